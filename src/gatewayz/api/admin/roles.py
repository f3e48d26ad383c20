"""Roles: what each may do, who holds which, and every change with its reason."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BeforeValidator

from gatewayz.accounts import audit, roles, users
from gatewayz.api.auth import AdminCaller, house_of, origin_of
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import Id, Reason, StrictBody
from gatewayz.api.paging import Paging, listed
from gatewayz.core.caller import Role
from gatewayz.core.errors import NotFound
from gatewayz.infra.clock import iso


def _without_alias(value: object) -> object:
    return (roles.canonical(value) or value) if isinstance(value, str) else value


class RoleChange(StrictBody):
    """Body of a change of role; aliases of roles are taken."""

    user_id: Id
    new_role: Annotated[Role, BeforeValidator(_without_alias)]
    reason: Reason


def router() -> APIRouter:
    """The routes of roles."""
    routes = APIRouter(tags=["Administration"], route_class=GuardedRoute)
    routes.post("/admin/roles/update")(update_role)
    routes.get("/admin/roles")(list_roles)
    routes.get("/admin/roles/audit/log")(role_changes)
    routes.get("/admin/roles/permissions/{role}")(permissions)
    routes.get("/admin/roles/{user_id}")(role_of_user)
    return routes


async def update_role(request: Request, body: RoleChange, caller: AdminCaller) -> dict[str, Any]:
    """Gives the account another role, from its next request on."""
    house = house_of(request)
    now_us = house.clock.now_us()
    async with house.database.begin() as connection:
        before, after = await users.update_role(
            connection, body.user_id, body.new_role, body.reason, origin_of(request, caller), now_us
        )
    house.feed.tell("user", str(body.user_id))
    return {
        "user_id": after.id,
        "old_role": before.role,
        "new_role": after.role,
        "reason": body.reason,
        "changed_by": caller.user_id,
        "changed_at": iso(now_us),
    }


async def list_roles(caller: AdminCaller) -> dict[str, Any]:
    """Every role with its permissions, aliases and number of keys."""
    return {"data": [_role_view(role) for role in roles.PERMISSIONS]}


async def permissions(role: Annotated[str, Path(max_length=64)], caller: AdminCaller) -> dict[str, Any]:
    """The permissions of a role or alias."""
    found = roles.canonical(role)
    if found is None:
        raise NotFound(
            "There is no such role.", code="role_not_found", param="role", suggestions=tuple(roles.PERMISSIONS)
        )
    return _role_view(found)


async def role_of_user(
    request: Request, user_id: Annotated[int, Path(ge=1, le=2**63 - 1)], caller: AdminCaller
) -> dict[str, Any]:
    """The role of an account and what it allows."""
    async with house_of(request).database.read() as connection:
        user = await users.get(connection, user_id)
    return {"user_id": user.id} | _role_view(user.role)


async def role_changes(request: Request, page: Paging, caller: AdminCaller) -> dict[str, Any]:
    """Changes of role, newest first."""
    async with house_of(request).database.read() as connection:
        wanted = audit.Filters(action="role.updated")
        rows, total = await audit.page(connection, "audit", wanted, page.limit, page.offset)
    changes = [
        {
            "time": iso(row["at_us"]),
            "user_id": row["owner_user_id"],
            "old_role": row["before"]["role"],
            "new_role": row["after"]["role"],
            "reason": row["reason"],
            "actor": row["actor"],
            "ip": row["ip"],
        }
        for row in rows
    ]
    return listed(changes, total, page)


def _role_view(role: Role) -> dict[str, Any]:
    return {
        "role": role,
        "aliases": [alias for alias, meant in roles.ALIASES.items() if meant == role],
        "permissions": list(roles.PERMISSIONS[role]),
        "max_keys": roles.MAX_KEYS[role],
    }
