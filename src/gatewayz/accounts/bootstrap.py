"""The first administrator: an account that holds exactly the key the operator put into the environment."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import audit, keys, store, users
from gatewayz.accounts.audit import SYSTEM, Entry
from gatewayz.core.caller import SCOPES
from gatewayz.core.ids import KEY_PATTERN
from gatewayz.infra.changes import announce
from gatewayz.infra.crypto import KeyRing

# `.invalid` can receive no mail and be registered by nobody.
_EMAIL = "bootstrap-admin@gatewayz.invalid"
_KEY_NAME = "Bootstrap admin"


async def ensure_bootstrap_admin(connection: AsyncConnection, ring: KeyRing, api_key: str, now_us: int) -> users.User:
    """The administrator (role admin, tier enterprise, active) who holds exactly this key, unrestricted.

    May run at every start and in several processes at once. A bootstrap key of an earlier configuration stops working,
    so that changing the variable retires a leaked key. Raises ValueError if the key is malformed or belongs to another
    account.
    """
    if KEY_PATTERN.fullmatch(api_key) is None:
        raise ValueError("GATEWAYZ_BOOTSTRAP_ADMIN_KEY must be gw_live_ followed by 43 letters, digits, - or _")
    admin = await _ensure_admin(connection, now_us)
    settings = keys.KeySettings(_KEY_NAME, scopes=frozenset(SCOPES))
    row = await store.find_key_by_hash(connection, ring.lookup_hash(api_key))
    if row is not None and row["user_id"] != admin.id:
        raise ValueError("GATEWAYZ_BOOTSTRAP_ADMIN_KEY is the key of an ordinary account; choose another")
    if row is not None and row["deleted_at_us"] is None and _is_sound(keys.of_row(row)):
        return admin
    for old in (await keys.page(connection, admin.id, active_at_us=None, limit=1000, offset=0))[0]:
        if old.settings.key_name == _KEY_NAME and (row is None or old.id != row["id"]):
            await keys.delete(connection, admin.id, old.id, SYSTEM, now_us)
    if row is None:
        key = await keys.insert(connection, ring, admin.id, api_key, settings, now_us)
        action = "key.created"
    else:
        key = await keys.restore(connection, row["id"], settings)
        action = "key.updated"
    await announce(connection, "key", str(key.id), now_us)
    entry = Entry(now_us, action, f"key:{key.id}", SYSTEM, owner_user_id=admin.id, reason="bootstrap", severity="high")
    await audit.append(connection, "audit", entry)
    return admin


def _is_sound(key: keys.Key) -> bool:
    """True if nothing but its name and daily use distinguishes the key from a fresh bootstrap key."""
    return replace(key.settings, key_name=_KEY_NAME) == keys.KeySettings(_KEY_NAME, scopes=frozenset(SCOPES))


async def _ensure_admin(connection: AsyncConnection, now_us: int) -> users.User:
    wanted = {"role": "admin", "tier": "enterprise", "status": "active"}
    created = await store.insert_user(
        connection,
        {
            "username": "bootstrap-admin",
            "email": _EMAIL,
            "email_normalised": _EMAIL,
            "auth_method": "api_key",
            "created_at_us": now_us,
            **wanted,
        },
    )
    if created is not None:
        entry = Entry(now_us, "user.created", f"user:{created['id']}", SYSTEM, after=wanted, severity="high")
        await audit.append(connection, "audit", entry)
        return users.of_row(created)
    # Somebody's row: lock it, so that processes that start together do the rest one after the other.
    found = await store.find_user_by_email(connection, _EMAIL)
    if found is None:
        raise RuntimeError("the bootstrap account vanished while it was being looked up")
    if any(found[name] != value for name, value in wanted.items()):
        found = await store.update_user(connection, found["id"], wanted)
        await announce(connection, "user", str(found["id"]), now_us)
    return users.of_row(found)
