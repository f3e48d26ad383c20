"""Accounts as administrators and support see them: search with statistics, one account, suspension."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import StringConstraints

from gatewayz.accounts import keys, roles, users
from gatewayz.api.auth import AdminCaller, house_of, origin_of, staff
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import Line, Reason, StrictBody
from gatewayz.api.paging import Paging, listed
from gatewayz.api.views import key_view, user_view
from gatewayz.core.caller import Caller, Tier
from gatewayz.core.errors import InvalidFields

UserReader = Annotated[Caller, Depends(staff("users:read"))]
UserId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Part = Annotated[Line, Query(description="part of the text, case does not matter")]


class StatusChange(StrictBody):
    """Body of a suspension or its end."""

    status: Literal["active", "suspended"]
    reason: Reason | Annotated[str, StringConstraints(max_length=0)] = ""


def router() -> APIRouter:
    """The routes of account administration."""
    routes = APIRouter(tags=["Administration"], route_class=GuardedRoute)
    routes.get("/admin/users")(list_users)
    routes.get("/admin/users/{user_id}")(one_user)
    routes.patch("/admin/users/{user_id}/status")(change_status)
    return routes


async def list_users(
    request: Request,
    page: Paging,
    caller: UserReader,
    search: Part | None = None,
    email: Part | None = None,
    role: Line | None = None,
    tier: Tier | None = None,
    status: users.Status | None = None,
    key: Annotated[Line | None, Query(description="prefix or last 4 characters of one of the account's keys")] = None,
) -> dict[str, Any]:
    """Accounts newest first; total and statistics count every account that matches the filters."""
    house = house_of(request)
    wanted = users.Search(search, email, _role(role) if role else None, tier, status, key)
    async with house.database.read() as connection:
        found, statistics = await users.page(connection, wanted, page.limit, page.offset)
    now_us = house.clock.now_us()
    counts = {
        "total": statistics.total,
        "by_role": statistics.by_role,
        "by_tier": statistics.by_tier,
        "by_status": statistics.by_status,
    }
    return listed([user_view(user, now_us) for user in found], statistics.total, page) | {"statistics": counts}


async def one_user(request: Request, user_id: UserId, caller: UserReader) -> dict[str, Any]:
    """One account with its keys, masked, those switched off or expired included."""
    house = house_of(request)
    now_us = house.clock.now_us()
    async with house.database.read() as connection:
        user = await users.get(connection, user_id)
        found, total = await keys.page(connection, user_id, active_at_us=None, limit=1000, offset=0)
    return user_view(user, now_us) | {"keys": [key_view(key, now_us) for key in found], "key_count": total}


async def change_status(request: Request, user_id: UserId, body: StatusChange, caller: AdminCaller) -> dict[str, Any]:
    """Suspends the account or lets it work again, from its next request on."""
    house = house_of(request)
    now_us = house.clock.now_us()
    async with house.database.begin() as connection:
        user = await users.update_status(
            connection, user_id, body.status, body.reason, origin_of(request, caller), now_us
        )
    house.feed.tell("user", str(user_id))
    return user_view(user, now_us)


def _role(name: str) -> str:
    role = roles.canonical(name)
    if role is None:
        raise InvalidFields(f"{name!r} is no role; one of {', '.join(roles.PERMISSIONS)}.", param="role")
    return role
