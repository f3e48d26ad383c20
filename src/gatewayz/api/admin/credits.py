"""Money moved by administrators: add, adjust, refund; each with a reason, an audit entry and a cap."""

import secrets
from decimal import Decimal
from typing import Annotated, Any, Protocol, cast

from fastapi import APIRouter, Request
from pydantic import Field

from gatewayz.accounts import audit
from gatewayz.api.auth import AdminCaller, origin_of
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import Id, Line, Reason, StrictBody
from gatewayz.billing import grants
from gatewayz.core.caller import Caller
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.ids import REQUEST_ID_PATTERN
from gatewayz.core.money import credits_number, nano_from_usd, usd_number, usd_text
from gatewayz.infra.clock import US_PER_DAY, Clock
from gatewayz.infra.db import Database
from gatewayz.settings import Settings


class House(Protocol):
    """What these pages work with."""

    database: Database
    clock: Clock
    settings: Settings


class _Body(StrictBody):
    user_id: Id
    reason: Reason


class MoneyBody(_Body):
    """An amount for an account: `amount_usd`, or `amount` (also in USD)."""

    amount_usd: Decimal | None = None
    amount: Decimal | None = None

    def nano(self) -> int:
        """The amount in nano-USD. Raises InvalidRequest without one, or with one that is no amount of money."""
        given = [value for value in (self.amount_usd, self.amount) if value is not None]
        if len(given) != 1:
            raise InvalidRequest("Give the amount in USD as amount_usd.", code="missing_field", param="amount_usd")
        return _nano(given[0])


class RefundBody(_Body):
    """A charge to give back: the request id it was charged for, and how much (all that is left, if not said)."""

    request_id: Annotated[Line, Field(min_length=1)]
    amount_usd: Decimal | None = None


def router() -> APIRouter:
    """POST /credits/add, /credits/adjust, /credits/refund."""
    routes = APIRouter(tags=["admin"], route_class=GuardedRoute)
    routes.post("/credits/add", summary="Add purchased credit to an account")(add)
    routes.post("/admin/add_credits", summary="Add purchased credit to an account")(add)
    routes.post("/credits/adjust", summary="Correct purchased credit up or down")(adjust)
    routes.post("/credits/refund", summary="Give a charge back, in whole or in part")(refund)
    return routes


async def add(request: Request, admin: AdminCaller, body: MoneyBody) -> dict[str, Any]:
    """Adds credit. Above the cap per act or per admin and day it is refused (400) and the attempt is audited."""
    house = cast(House, request.app.state.house)
    order = _order(request, admin, body.user_id, body.nano(), body.reason)
    over_cap: InvalidRequest | None = None
    async with house.database.begin() as connection:
        over_cap = await _over_cap(house, connection, order)
        if over_cap is None:
            done = await grants.grant(connection, order)
        if over_cap is not None or not done.repeated:
            action = "credits.add" if over_cap is None else "credits.add_refused"
            await audit.append(connection, "audit", _entry(request, admin, action, order))
    if over_cap is not None:
        raise over_cap
    return _shown(order, done)


async def adjust(request: Request, admin: AdminCaller, body: MoneyBody) -> dict[str, Any]:
    """Corrects purchased credit; a negative amount takes credit away."""
    house = cast(House, request.app.state.house)
    order = _order(request, admin, body.user_id, body.nano(), body.reason)
    async with house.database.begin() as connection:
        over_cap = await _over_cap(house, connection, order) if order.amount > 0 else None
        if over_cap is not None:
            raise over_cap
        done = await grants.adjust(connection, order)
        if not done.repeated:
            await audit.append(connection, "audit", _entry(request, admin, "credits.adjust", order))
    return _shown(order, done)


async def refund(request: Request, admin: AdminCaller, body: RefundBody) -> dict[str, Any]:
    """Refunds a charge, never more than what is left of it."""
    house = cast(House, request.app.state.house)
    amount = None if body.amount_usd is None else _nano(body.amount_usd)
    order = _order(request, admin, body.user_id, amount or 0, body.reason)
    async with house.database.begin() as connection:
        done = await grants.refund_charge(connection, order, body.request_id, amount)
        if not done.repeated:
            await audit.append(connection, "audit", _entry(request, admin, "credits.refund", order))
    return _shown(order, done)


def _order(request: Request, admin: Caller, user_id: int, amount: int, reason: str) -> grants.Order:
    house = cast(House, request.app.state.house)
    claimed = request.headers.get("x-request-id") or request.headers.get("idempotency-key")
    if claimed and not REQUEST_ID_PATTERN.fullmatch(claimed):
        raise InvalidRequest("X-Request-ID may hold up to 128 letters, digits and ._:+/=@~-.", param="X-Request-ID")
    key = f"admin:{admin.user_id}:{claimed or secrets.token_hex(12)}"
    return grants.Order(user_id, amount, key, reason, f"user:{admin.user_id}", house.clock.now_us())


async def _over_cap(house: House, connection: Any, order: grants.Order) -> InvalidRequest | None:
    once, daily = (
        nano_from_usd(house.settings.admin_grant_cap_usd),
        nano_from_usd(house.settings.admin_grant_cap_24h_usd),
    )
    if order.amount > once:
        return InvalidRequest(
            f"One grant may not exceed {usd_text(once)} USD.", code="grant_cap_exceeded", param="amount_usd"
        )
    granted = await grants.granted_by(connection, order.actor, order.now_us - US_PER_DAY)
    if granted + order.amount > daily:
        return InvalidRequest(
            f"Grants of one administrator may not exceed {usd_text(daily)} USD in 24 hours;"
            f" {usd_text(max(0, daily - granted))} USD are left.",
            code="grant_cap_exceeded",
            param="amount_usd",
        )
    return None


def _nano(amount: Decimal) -> int:
    try:
        return nano_from_usd(amount)
    except ValueError as error:
        raise InvalidRequest(
            "The amount must be a number of USD with at most 9 decimal places.",
            code="parameter_out_of_range",
            param="amount_usd",
        ) from error


def _entry(request: Request, admin: Caller, action: str, order: grants.Order) -> audit.Entry:
    return audit.Entry(
        at_us=order.now_us,
        action=action,
        resource=f"user:{order.user_id}",
        origin=origin_of(request, admin),
        owner_user_id=order.user_id,
        after={"amount_usd": usd_text(order.amount), "ledger_id": order.key},
        reason=order.reason,
        severity="high",
    )


def _shown(order: grants.Order, done: grants.Movement) -> dict[str, Any]:
    return {
        "user_id": order.user_id,
        "transaction_id": done.transaction_id,
        "amount_usd": usd_number(done.amount),
        "amount_credits": credits_number(done.amount),
        "balance_usd": usd_number(done.balance_after),
        "credits": credits_number(done.balance_after),
        "repeated": done.repeated,
    }
