"""IP allowlists kept by administrators, for one key or a whole account, and the question whether an address passes."""

import ipaddress
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, StringConstraints, model_validator

from gatewayz.accounts import allowlist, keys
from gatewayz.api.auth import AdminCaller, house_of, origin_of
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import Id, Line, Network, StrictBody
from gatewayz.api.paging import Paging, listed
from gatewayz.infra.clock import iso
from gatewayz.policy import access

EntryId = Annotated[int, Path(ge=1, le=2**63 - 1)]


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise ValueError("must be an IP address") from None


class NewEntry(StrictBody):
    """Body of a new entry: for a key, or (with `user_id` alone) for every key of that account."""

    ip: Network
    key_id: Id | None = None
    user_id: Id | None = None
    label: Line = ""
    enabled: bool = True

    @model_validator(mode="after")
    def _for_somebody(self) -> Self:
        if self.key_id is None and self.user_id is None:
            raise ValueError("give key_id, or user_id for all keys of an account")
        return self


class EntryChange(StrictBody):
    """Body of a change; what is absent stays as it is."""

    ip: Network | None = None
    label: Line | None = None
    enabled: bool | None = None


class Question(StrictBody):
    """Would this address pass with this key?"""

    ip: Annotated[str, StringConstraints(max_length=64), AfterValidator(_address)]
    key_id: Id


def router() -> APIRouter:
    """The routes of the allowlists."""
    routes = APIRouter(prefix="/api/admin/ip-whitelist", tags=["Administration"], route_class=GuardedRoute)
    routes.post("")(add_entry)
    routes.get("")(list_entries)
    routes.post("/check")(check_address)
    routes.get("/{entry_id}")(one_entry)
    routes.put("/{entry_id}")(change_entry)
    routes.delete("/{entry_id}")(delete_entry)
    return routes


async def add_entry(request: Request, body: NewEntry, caller: AdminCaller) -> dict[str, Any]:
    """Adds an address or range; from then on the key works from listed places only."""
    house = house_of(request)
    async with house.database.begin() as connection:
        entry = await allowlist.add(
            connection,
            ip=body.ip,
            key_id=body.key_id,
            user_id=body.user_id,
            label=body.label,
            enabled=body.enabled,
            origin=origin_of(request, caller),
            now_us=house.clock.now_us(),
        )
    house.feed.tell(*entry.change)
    return _view(entry)


async def list_entries(
    request: Request,
    page: Paging,
    caller: AdminCaller,
    key_id: Annotated[Id | None, Query()] = None,
    user_id: Annotated[Id | None, Query()] = None,
) -> dict[str, Any]:
    """Entries, of one key or account if asked."""
    async with house_of(request).database.read() as connection:
        found, total = await allowlist.page(
            connection, user_id=user_id, key_id=key_id, limit=page.limit, offset=page.offset
        )
    return listed([_view(entry) for entry in found], total, page)


async def one_entry(request: Request, entry_id: EntryId, caller: AdminCaller) -> dict[str, Any]:
    """One entry."""
    async with house_of(request).database.read() as connection:
        return _view(await allowlist.get(connection, entry_id))


async def change_entry(request: Request, entry_id: EntryId, body: EntryChange, caller: AdminCaller) -> dict[str, Any]:
    """Changes address, label or whether the entry counts."""
    house = house_of(request)
    changes = body.model_dump(exclude_unset=True, exclude_none=True)
    async with house.database.begin() as connection:
        entry = await allowlist.update(connection, entry_id, changes, origin_of(request, caller), house.clock.now_us())
    house.feed.tell(*entry.change)
    return _view(entry)


async def delete_entry(request: Request, entry_id: EntryId, caller: AdminCaller) -> dict[str, Any]:
    """Removes an entry; a key without entries is not restricted."""
    house = house_of(request)
    async with house.database.begin() as connection:
        entry = await allowlist.delete(connection, entry_id, origin_of(request, caller), house.clock.now_us())
    house.feed.tell(*entry.change)
    return {"id": entry.id, "deleted": True}


async def check_address(request: Request, body: Question, caller: AdminCaller) -> dict[str, Any]:
    """Whether the address would pass with that key, and by which entry."""
    async with house_of(request).database.read() as connection:
        key = await keys.get(connection, None, body.key_id)
        entries = await allowlist.in_force(connection, key)
    match = access.matching_entry(body.ip, tuple(ip for _, ip in entries))
    by = next(({"id": entry_id, "ip": ip} for entry_id, ip in entries if ip == match), None)
    return {
        "ip": body.ip,
        "key_id": key.id,
        "allowed": not entries or match is not None,
        "restricted": bool(entries),
        "matched_entry": by,
    }


def _view(entry: allowlist.Address) -> dict[str, Any]:
    return {
        "id": entry.id,
        "ip": entry.ip,
        "user_id": entry.user_id,
        "key_id": entry.key_id,
        "scope": "account" if entry.key_id is None else "key",
        "label": entry.label,
        "enabled": entry.enabled,
        "created_at": iso(entry.created_at_us),
    }
