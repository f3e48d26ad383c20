"""The caller's rate limits: what each key may do per minute, what it has done, and a limit of one's own per key."""

import asyncio
from typing import Annotated, Any, Protocol, cast

from fastapi import APIRouter, Depends, Path, Request
from pydantic import AliasChoices, Field

from gatewayz.accounts import keys
from gatewayz.api.auth import needs, origin_of
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import StrictBody
from gatewayz.api.paging import Paging, listed
from gatewayz.core.caller import Caller
from gatewayz.core.errors import InvalidFields
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import US_PER_S, Clock, iso
from gatewayz.infra.db import Database
from gatewayz.policy.limits import Limiter, LimitState, key_rpm, plan_rpm
from gatewayz.settings import Settings

# More than any account may have.
_ALL_KEYS = 10_000

Reader = Annotated[Caller, Depends(needs("account:read"))]
Writer = Annotated[Caller, Depends(needs("account:write"))]
KeyId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class House(Protocol):
    """What these pages need of `app.state.house`."""

    @property
    def database(self) -> Database: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def feed(self) -> ChangeFeed: ...

    @property
    def limiter(self) -> Limiter: ...

    @property
    def settings(self) -> Settings: ...


class LimitChange(StrictBody):
    """Body of a change: requests per minute of the key; null returns it to the plan's."""

    rate_limit: Annotated[
        int | None, Field(ge=1, le=10**9, validation_alias=AliasChoices("rate_limit", "requests_per_minute"))
    ]


def router() -> APIRouter:
    """The routes of rate limits."""
    routes = APIRouter(tags=["Account"], route_class=GuardedRoute)
    routes.get("/user/rate-limits")(list_limits)
    routes.put("/user/rate-limits/{key_id}")(change_limit)
    return routes


async def list_limits(request: Request, page: Paging, caller: Reader) -> dict[str, Any]:
    """The plan's limit, the account's use in this minute, and limit and use of each key, newest first."""
    house = _house_of(request)
    async with house.database.read() as connection:
        found, total = await keys.page(connection, caller.user_id, active_at_us=None, limit=_ALL_KEYS, offset=0)
    states = await asyncio.gather(*(_peek(house, caller, key) for key in found))
    rows = [_key_view(house, caller, key, state) for key, state in zip(found, states, strict=True)]
    house.limiter.velocity.refresh()
    account = {
        "tier": caller.tier,
        "requests_per_minute_per_key": plan_rpm(caller.tier, house.settings) or None,
        "mode": house.limiter.velocity.mode,
        # Keys without a limit are not counted, so they cannot be part of the sum.
        "used": sum(state.limit - state.remaining for state in states),
    }
    return listed(rows[page.offset : page.offset + page.limit], total, page) | {"account": account}


async def change_limit(request: Request, key_id: KeyId, body: LimitChange, caller: Writer) -> dict[str, Any]:
    """The key's limit after the change; the next request is measured by it. Above the plan is refused."""
    house = _house_of(request)
    plan = plan_rpm(caller.tier, house.settings)
    if body.rate_limit and plan and body.rate_limit > plan:
        raise InvalidFields(
            f"rate_limit is above the {plan} requests per minute of this account's plan.",
            code="rate_limit_above_plan",
            param="rate_limit",
        )
    change = {"rpm_limit": body.rate_limit}
    async with house.database.begin() as connection:
        key = await keys.update(
            connection, caller.user_id, key_id, change, origin_of(request, caller), house.clock.now_us()
        )
    house.feed.tell("key", str(key.id))
    return _key_view(house, caller, key, await _peek(house, caller, key))


async def _peek(house: House, caller: Caller, key: keys.Key) -> LimitState:
    return await house.limiter.peek_key(key.id, key_rpm(caller.tier, key.settings.rpm_limit, house.settings))


def _key_view(house: House, caller: Caller, key: keys.Key, state: LimitState) -> dict[str, Any]:
    """`requests_per_minute` is what applies normally, `limit` what applies now; null: no limit."""
    limited = state.limit > 0
    return {
        "key_id": key.id,
        "key_name": key.settings.key_name,
        "rate_limit": key.settings.rpm_limit,
        "requests_per_minute": key_rpm(caller.tier, key.settings.rpm_limit, house.settings) or None,
        "limit": state.limit if limited else None,
        "used": state.limit - state.remaining if limited else None,
        "remaining": state.remaining if limited else None,
        "reset_at": iso(state.reset_at_s * US_PER_S) if limited else None,
        "mode": state.mode,
    }


def _house_of(request: Request) -> House:
    return cast(House, request.app.state.house)
