"""What an account has, and where it went: balance and ledger of the caller."""

from decimal import Decimal
from typing import Annotated, Any, Protocol, cast

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict

from gatewayz.accounts import audit
from gatewayz.api.auth import needs, origin_of
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import Id
from gatewayz.api.paging import Paging, listed
from gatewayz.api.times import optional_time_us
from gatewayz.billing import grants, ledger
from gatewayz.billing.recall import TOPIC
from gatewayz.core.caller import Caller
from gatewayz.core.errors import InvalidFields
from gatewayz.core.money import credits_number, nano_from_usd, usd_number, usd_text
from gatewayz.infra.changes import ChangeFeed, announce
from gatewayz.infra.clock import Clock, iso
from gatewayz.infra.db import Database
from gatewayz.settings import Settings


class House(Protocol):
    """What these pages work with."""

    database: Database
    clock: Clock
    settings: Settings
    feed: ChangeFeed


Reader = Annotated[Caller, Depends(needs("account:read"))]
Writer = Annotated[Caller, Depends(needs("account:write"))]


def router() -> APIRouter:
    """GET /user/balance, /credits/balance, /credits/transactions; PUT /user/daily-cap."""
    routes = APIRouter(tags=["account"], route_class=GuardedRoute)
    routes.get("/user/balance", summary="What the account has and may spend now")(read_balance)
    routes.get("/credits/balance", summary="What the account has and may spend now")(read_balance)
    routes.put("/user/daily-cap", summary="Bound what the account may spend per UTC day")(set_daily_cap)
    routes.get("/credits/transactions", summary="The account's ledger, newest first")(read_transactions)
    return routes


async def read_balance(request: Request, caller: Reader) -> dict[str, Any]:
    """Balance in USD and credits (1 credit = 0.01 USD), by bucket, with what stands in the way of spending it."""
    house = cast(House, request.app.state.house)
    trial_daily = nano_from_usd(house.settings.trial_daily_usd)
    async with house.database.read() as connection:
        view = await ledger.view(connection, caller.user_id, house.clock.now_us(), trial_daily)
    return {
        "balance_usd": usd_number(view.total),
        "balance_usd_exact": usd_text(view.total),
        "credits": credits_number(view.total),
        "available_usd": usd_number(max(0, view.spendable)),
        "reserved_usd": usd_number(view.reserved),
        "spent_today_usd": usd_number(view.spent_today),
        "daily_cap_usd": None if view.daily_cap is None else usd_number(view.daily_cap),
        "buckets": {
            "trial": {
                "balance_usd": usd_number(view.trial),
                "spendable_today_usd": usd_number(view.trial_spendable),
                "ends_at": iso(view.trial_ends_at_us),
            },
            "allowance": {"balance_usd": usd_number(view.allowance)},
            "purchased": {"balance_usd": usd_number(view.purchased)},
        },
        "status": view.status,
        "blocked_by": view.blocked_by,
    }


class CapBody(BaseModel):
    """The cap in USD per UTC day; null takes it away."""

    model_config = ConfigDict(extra="forbid")

    daily_usd_cap: Decimal | None

    def nano(self) -> int | None:
        """The cap in nano-USD. Raises InvalidFields for what is no amount of money, or below zero."""
        if self.daily_usd_cap is None:
            return None
        try:
            cap = nano_from_usd(self.daily_usd_cap)
        except ValueError:
            cap = -1
        if cap < 0:
            raise InvalidFields("daily_usd_cap must be an amount of USD, at least 0.", param="daily_usd_cap")
        return cap


async def set_daily_cap(request: Request, caller: Writer, body: CapBody) -> dict[str, Any]:
    """Sets or removes the account's own cap; requests that could exceed it are refused until the next UTC day."""
    house = cast(House, request.app.state.house)
    cap = body.nano()
    entry = audit.Entry(
        at_us=house.clock.now_us(),
        action="account.daily_cap",
        resource=f"user:{caller.user_id}",
        origin=origin_of(request, caller),
        owner_user_id=caller.user_id,
        after={"daily_usd_cap": None if cap is None else usd_text(cap)},
    )
    async with house.database.begin() as connection:
        await grants.set_daily_cap(connection, caller.user_id, cap)
        # Slices that were leased before the cap must not be spent past it.
        await announce(connection, TOPIC, str(caller.user_id), entry.at_us)
        await audit.append(connection, "audit", entry)
    house.feed.tell(TOPIC, str(caller.user_id))
    return {"daily_usd_cap": None if cap is None else usd_number(cap)}


async def read_transactions(
    request: Request,
    caller: Reader,
    page: Paging,
    type: Annotated[str | None, Query(description="one type of movement, e.g. api_usage")] = None,
    key_id: Annotated[Id | None, Query(description="movements of one API key")] = None,
    from_: Annotated[str | None, Query(alias="from", description="ISO 8601 time, included")] = None,
    to: Annotated[str | None, Query(description="ISO 8601 time, excluded")] = None,
    include_holds: Annotated[bool, Query(description="false hides the hold rows of refunded requests")] = True,
) -> dict[str, Any]:
    """Ledger rows of the caller's account, newest first, with the number of all that match."""
    house = cast(House, request.app.state.house)
    if type is not None and type not in ledger.TYPES:
        raise InvalidFields(f"type must be one of {', '.join(ledger.TYPES)}.", param="type")
    wanted = ledger.LedgerFilter(
        user_id=caller.user_id,
        type=type,
        key_id=key_id,
        from_us=optional_time_us(from_, "from"),
        until_us=optional_time_us(to, "to"),
        include_holds=include_holds,
    )
    async with house.database.read() as connection:
        rows, total = await ledger.page(connection, wanted, page.limit, page.offset)
    return listed([shown_row(row) for row in rows], total, page)


def shown_row(row: dict[str, Any]) -> dict[str, Any]:
    """A ledger row for people: amounts in USD (exact texts beside numbers), the request id as the client knows it."""
    prefix = f"{row['user_id']}:"
    return {
        "id": row["id"],
        "type": row["type"],
        "request_id": row["request_id"].removeprefix(prefix),
        "amount_usd": usd_number(row["amount_nano_usd"]),
        "amount_usd_exact": usd_text(row["amount_nano_usd"]),
        "amount_credits": credits_number(row["amount_nano_usd"]),
        "balance_after_usd": usd_number(row["balance_after_nano_usd"]),
        "split_usd": {
            "trial": usd_number(row["trial_nano_usd"]),
            "allowance": usd_number(row["allowance_nano_usd"]),
            "purchased": usd_number(row["purchased_nano_usd"]),
        },
        "counter_account": row["contra"],
        "user_id": row["user_id"],
        "key_id": row["key_id"],
        "model": row["model"],
        "provider": row["provider"],
        "prompt_tokens": row["prompt_tokens"],
        "completion_tokens": row["completion_tokens"],
        "usage": msgspec.json.decode(row["usage"]) if row["usage"] else None,
        "price_nano_usd_per_mtok": msgspec.json.decode(row["price"]) if row["price"] else None,
        "reason": row["reason"],
        "refers_to": row["refers_to"].removeprefix(prefix) if row["refers_to"] else None,
        "created_at": iso(row["created_at_us"]),
    }
