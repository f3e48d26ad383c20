"""IP allowlist entries that administrators keep for a key or for a whole account.

They hold together with the list that the owner keeps in the key itself: an address passes if either names it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import audit, keys, store, users
from gatewayz.accounts.audit import Entry, Origin
from gatewayz.core.errors import NotFound
from gatewayz.infra.changes import announce


@dataclass(frozen=True, slots=True)
class Address:
    """One entry: an IPv4 address or CIDR for one key, or for all keys of the account if `key_id` is None."""

    id: int
    ip: str
    user_id: int
    key_id: int | None
    label: str
    enabled: bool
    created_at_us: int

    @property
    def change(self) -> tuple[str, str]:
        """Topic and subject of the change that all processes must hear when this entry changes."""
        return ("user", str(self.user_id)) if self.key_id is None else ("key", str(self.key_id))


async def add(
    connection: AsyncConnection,
    *,
    ip: str,
    key_id: int | None,
    user_id: int | None,
    label: str,
    enabled: bool,
    origin: Origin,
    now_us: int,
) -> Address:
    """The new entry, for the key if one is given, else for the account. Raises NotFound without that key or account."""
    if key_id is not None:
        owner_id = (await keys.get(connection, user_id, key_id)).user_id
    elif user_id is not None:
        owner_id = (await users.get(connection, user_id)).id
    else:
        raise ValueError("an entry needs a key or an account")
    values = {
        "ip": ip,
        "user_id": owner_id,
        "key_id": key_id,
        "label": label,
        "enabled": enabled,
        "created_at_us": now_us,
    }
    entry = Address(**await store.insert_address(connection, values))
    await _record(connection, "allowlist.added", entry, origin, now_us, after=asdict(entry))
    return entry


async def get(connection: AsyncConnection, entry_id: int) -> Address:
    """The entry. Raises NotFound."""
    return _found(await store.find_address(connection, entry_id), entry_id)


async def page(
    connection: AsyncConnection, *, user_id: int | None, key_id: int | None, limit: int, offset: int
) -> tuple[Sequence[Address], int]:
    """Entries in the order of their making, of one account or key if given, and how many there are."""
    rows, total = await store.page_of_addresses(connection, user_id=user_id, key_id=key_id, limit=limit, offset=offset)
    return [Address(**row) for row in rows], total


async def update(
    connection: AsyncConnection, entry_id: int, changes: Mapping[str, Any], origin: Origin, now_us: int
) -> Address:
    """The entry after changing any of `ip`, `label`, `enabled`. Raises NotFound, ValueError for other names."""
    if not changes.keys() <= {"ip", "label", "enabled"}:
        raise ValueError(f"cannot be changed: {sorted(changes)}")
    before = _found(await store.find_address(connection, entry_id, lock=True), entry_id)
    if not changes:
        return before
    after = Address(**await store.update_address(connection, entry_id, changes))
    await _record(connection, "allowlist.updated", after, origin, now_us, before=asdict(before), after=asdict(after))
    return after


async def delete(connection: AsyncConnection, entry_id: int, origin: Origin, now_us: int) -> Address:
    """The entry as it was. Raises NotFound."""
    entry = _found(await store.find_address(connection, entry_id, lock=True), entry_id)
    await store.delete_address(connection, entry_id)
    await _record(connection, "allowlist.deleted", entry, origin, now_us, before=asdict(entry))
    return entry


async def in_force(connection: AsyncConnection, key: keys.Key) -> Sequence[tuple[int | None, str]]:
    """Every (entry id, address) that restricts the key now; entries of the owner's own list have no id."""
    entries: list[tuple[int | None, str]] = [(None, ip) for ip in key.settings.ip_allowlist]
    entries += await store.enabled_addresses(connection, key.user_id, key.id)
    return entries


def _found(row: Mapping[Any, Any] | None, entry_id: int) -> Address:
    if row is None:
        raise NotFound(f"There is no allowlist entry {entry_id}.", code="allowlist_entry_not_found", param="id")
    return Address(**row)


async def _record(
    connection: AsyncConnection,
    action: str,
    entry: Address,
    origin: Origin,
    now_us: int,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    await announce(connection, *entry.change, now_us)
    note = Entry(
        now_us,
        action,
        f"allowlist:{entry.id}",
        origin,
        owner_user_id=entry.user_id,
        before=before,
        after=after,
        severity="medium",
    )
    await audit.append(connection, "audit", note)
