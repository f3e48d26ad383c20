"""API keys: made, listed, changed, rotated, deleted; always within the account that owns them.

A key is stored as Fernet ciphertext and found by its HMAC; the plain text exists in the value returned by `create` and
`rotate` and nowhere afterwards. Every change is audited and announced as topic `key` in the same transaction.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import audit, roles, store
from gatewayz.accounts.audit import Entry, Origin
from gatewayz.core.caller import SCOPES
from gatewayz.core.errors import Conflict, NotFound
from gatewayz.core.ids import new_key
from gatewayz.infra.changes import announce
from gatewayz.infra.clock import US_PER_S
from gatewayz.infra.crypto import KeyRing

DEFAULT_SCOPES: frozenset[str] = frozenset(SCOPES) - {"admin"}


@dataclass(frozen=True, slots=True)
class KeySettings:
    """What the owner chooses. Empty lists and None do not restrict; `rpm_limit` None means the plan's."""

    key_name: str
    scopes: frozenset[str] = DEFAULT_SCOPES
    ip_allowlist: tuple[str, ...] = ()
    domain_referrers: tuple[str, ...] = ()
    model_allowlist: tuple[str, ...] = ()
    expires_at_us: int | None = None
    max_requests: int | None = None
    daily_cap_nano_usd: int | None = None
    rpm_limit: int | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Key:
    """A stored key without its secret. `previous_expires_at_us` is the end of the grace period after a rotation."""

    id: int
    user_id: int
    environment: str
    prefix: str
    last4: str
    settings: KeySettings
    created_at_us: int
    last_used_at_us: int | None
    previous_expires_at_us: int | None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its plain text, which is shown once and kept out of every log by leaving it out of `repr`."""

    key: Key
    secret: str

    def __repr__(self) -> str:
        return f"IssuedKey(key={self.key!r})"


async def create(
    connection: AsyncConnection,
    ring: KeyRing,
    user_id: int,
    environment: str,
    settings: KeySettings,
    origin: Origin,
    now_us: int,
) -> IssuedKey:
    """A new key of the account. Raises NotFound without that account, Conflict key_name_taken or key_limit_reached."""
    owner = await store.find_user(connection, user_id, lock=True)
    if owner is None:
        raise NotFound(f"There is no account {user_id}.", code="user_not_found")
    allowed = roles.MAX_KEYS[owner["role"]]
    if await store.count_keys(connection, user_id) >= allowed:
        raise Conflict(
            f"This account has {allowed} API keys, the most it may have; delete one first.", code="key_limit_reached"
        )
    secret = new_key(environment)
    key = await insert(connection, ring, user_id, secret, settings, now_us)
    await _record(connection, "key.created", key, origin, now_us, after=_facts(settings, _ALL))
    return IssuedKey(key, secret)


async def insert(
    connection: AsyncConnection, ring: KeyRing, user_id: int, secret: str, settings: KeySettings, now_us: int
) -> Key:
    """Stores that very key (no audit, no announcement). Raises Conflict key_name_taken."""
    environment = secret.split("_", 2)[1]
    values = _columns(settings, _ALL) | _secret_columns(ring, secret)
    values |= {
        "user_id": user_id,
        "prefix": f"gw_{environment}_",
        "environment_tag": environment,
        "created_at_us": now_us,
    }
    row = await store.insert_key(connection, values)
    if row is None:
        raise _name_taken(settings.key_name)
    return of_row(row)


async def restore(connection: AsyncConnection, key_id: int, settings: KeySettings) -> Key:
    """The key with exactly these settings, existing again if it was deleted (no audit, no announcement)."""
    values = _columns(settings, _ALL) | {"deleted_at_us": None}
    return of_row(await store.update_key(connection, key_id, values))


async def page(
    connection: AsyncConnection, user_id: int, *, active_at_us: int | None, limit: int, offset: int
) -> tuple[Sequence[Key], int]:
    """Keys of the account, newest first, and how many there are.

    `active_at_us` leaves out keys that are switched off or expired at that time; None lists all that exist.
    """
    rows, total = await store.page_of_keys(connection, user_id, active_at_us=active_at_us, limit=limit, offset=offset)
    return [of_row(row) for row in rows], total


async def get(connection: AsyncConnection, user_id: int | None, key_id: int) -> Key:
    """The key, of that account unless `user_id` is None. Raises NotFound, also for the keys of others."""
    row = await store.find_key(connection, key_id, user_id)
    if row is None:
        raise _not_found(key_id)
    return of_row(row)


async def update(
    connection: AsyncConnection,
    user_id: int,
    key_id: int,
    changes: Mapping[str, Any],
    origin: Origin,
    now_us: int,
) -> Key:
    """The key after changing the named fields of its KeySettings; unchanged values are neither written nor audited.

    Raises NotFound, Conflict key_name_taken, and ValueError for a name that is no setting.
    """
    if not changes.keys() <= _ALL:
        raise ValueError(f"not settings of a key: {sorted(changes.keys() - _ALL)}")
    before = await _locked(connection, user_id, key_id)
    changed = {name: value for name, value in changes.items() if getattr(before.settings, name) != value}
    if not changed:
        return before
    if "key_name" in changed and await store.name_is_taken(connection, user_id, changed["key_name"], key_id):
        raise _name_taken(changed["key_name"])
    after = of_row(await store.update_key(connection, key_id, _as_columns(changed)))
    await _record(
        connection,
        "key.updated",
        after,
        origin,
        now_us,
        before=_facts(before.settings, changed),
        after=_facts(after.settings, changed),
    )
    return after


async def rotate(
    connection: AsyncConnection,
    ring: KeyRing,
    user_id: int,
    key_id: int,
    *,
    grace_s: int,
    origin: Origin,
    now_us: int,
) -> IssuedKey:
    """The same key with a new secret; the old one works for `grace_s` more seconds (0: not at all). Raises NotFound.

    A second rotation within the grace period ends the first old secret at once.
    """
    row = await store.find_key(connection, key_id, user_id, lock=True)
    if row is None:
        raise _not_found(key_id)
    secret = new_key(row["environment_tag"])
    values = _secret_columns(ring, secret) | {
        "previous_key_hash": row["key_hash"] if grace_s else None,
        "previous_expires_at_us": now_us + grace_s * US_PER_S if grace_s else None,
    }
    key = of_row(await store.update_key(connection, key_id, values))
    await _record(
        connection,
        "key.rotated",
        key,
        origin,
        now_us,
        before={"last4": row["last4"]},
        after={"last4": key.last4, "grace_s": grace_s},
    )
    return IssuedKey(key, secret)


async def delete(connection: AsyncConnection, user_id: int, key_id: int, origin: Origin, now_us: int) -> Key:
    """The key as it was; it opens nothing from the next request on and its name is free again. Raises NotFound."""
    key = await _locked(connection, user_id, key_id)
    await store.update_key(connection, key_id, {"deleted_at_us": now_us, "is_active": False, "previous_key_hash": None})
    await _record(connection, "key.deleted", key, origin, now_us, before=_facts(key.settings, _ALL))
    return key


def of_row(row: Mapping[Any, Any]) -> Key:
    """The key of a row of `api_keys_new`."""
    return Key(
        id=row["id"],
        user_id=row["user_id"],
        environment=row["environment_tag"],
        prefix=row["prefix"],
        last4=row["last4"],
        settings=KeySettings(
            key_name=row["key_name"],
            scopes=frozenset(json.loads(row["scopes"])),
            ip_allowlist=tuple(json.loads(row["ip_allowlist"])),
            domain_referrers=tuple(json.loads(row["domain_referrers"])),
            model_allowlist=tuple(json.loads(row["model_allowlist"])),
            expires_at_us=row["expires_at_us"],
            max_requests=row["max_requests"],
            daily_cap_nano_usd=row["daily_cap_nano_usd"],
            rpm_limit=row["rpm_limit"],
            is_active=row["is_active"],
        ),
        created_at_us=row["created_at_us"],
        last_used_at_us=row["last_used_at_us"],
        previous_expires_at_us=row["previous_expires_at_us"],
    )


_ALL = frozenset(item.name for item in fields(KeySettings))


async def _locked(connection: AsyncConnection, user_id: int, key_id: int) -> Key:
    row = await store.find_key(connection, key_id, user_id, lock=True)
    if row is None:
        raise _not_found(key_id)
    return of_row(row)


async def _record(
    connection: AsyncConnection,
    action: str,
    key: Key,
    origin: Origin,
    now_us: int,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    await announce(connection, "key", str(key.id), now_us)
    entry = Entry(
        now_us,
        action,
        f"key:{key.id}",
        origin,
        owner_user_id=key.user_id,
        before=before,
        after=after,
        severity="medium",
    )
    await audit.append(connection, "audit", entry)


def _secret_columns(ring: KeyRing, secret: str) -> dict[str, Any]:
    return {
        "encrypted_key": ring.seal(secret.encode("ascii")).decode("ascii"),
        "key_hash": ring.lookup_hash(secret),
        "last4": secret[-4:],
    }


def _facts(settings: KeySettings, names: Iterable[str]) -> dict[str, Any]:
    """The named settings as a JSON object for the audit trail."""
    found = {name: getattr(settings, name) for name in names}
    return {name: sorted(value) if isinstance(value, (frozenset, tuple)) else value for name, value in found.items()}


def _columns(settings: KeySettings, names: Iterable[str]) -> dict[str, Any]:
    return _as_columns({name: getattr(settings, name) for name in names})


def _as_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(sorted(value)) if isinstance(value, (frozenset, set, tuple, list)) else value
        for name, value in values.items()
    }


def _not_found(key_id: int) -> NotFound:
    return NotFound(f"This account has no API key {key_id}.", code="key_not_found", param="key_id")


def _name_taken(key_name: str) -> Conflict:
    return Conflict(f"This account has an API key named {key_name!r} already.", code="key_name_taken", param="key_name")


async def opens(connection: AsyncConnection, ring: KeyRing, secret: str) -> bool:
    """True if this key exists and is switched on (expiry and restrictions are not looked at)."""
    row = await store.find_key_by_hash(connection, ring.lookup_hash(secret))
    return row is not None and row["deleted_at_us"] is None and bool(row["is_active"])


async def reseal_page(connection: AsyncConnection, ring: KeyRing, after_id: int, limit: int = 200) -> tuple[int, int]:
    """Encrypts the next keys after `after_id` under the ring's first key: the last id, and how many were done.

    Raises ValueError if no key of the ring opens one of them; then none of the page is changed.
    """
    rows = await store.sealed_keys_after(connection, after_id, limit)
    for row in rows:
        await store.set_ciphertext(connection, row["id"], ring.reseal(row["encrypted_key"].encode()).decode())
    return (rows[-1]["id"] if rows else after_id, len(rows))
