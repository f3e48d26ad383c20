"""All SQL of accounts, keys, allowlists and the audit trail. Every function runs in its caller's transaction."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts.tables import (
    api_keys,
    audit_heads,
    audit_log,
    ip_allowlist,
    key_use_hours,
    security_audit_log,
    users,
)

if TYPE_CHECKING:
    from gatewayz.accounts.audit import Filters

Row = sa.RowMapping
_TRAILS = {"audit": audit_log, "security": security_audit_log}
_ESCAPE = "\\"


def _insert(connection: AsyncConnection, table: sa.Table) -> Any:
    """INSERT of the connected database, since ON CONFLICT is not part of the common one."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


# --- users ---------------------------------------------------------------------------------------------------------


async def insert_user(connection: AsyncConnection, values: Mapping[str, Any]) -> Row | None:
    """The new row, or None if the normalised e-mail is taken."""
    statement = _insert(connection, users).values(**values).on_conflict_do_nothing().returning(users)
    return (await connection.execute(statement)).mappings().one_or_none()


async def find_user(connection: AsyncConnection, user_id: int, *, lock: bool = False) -> Row | None:
    """The account; `lock` keeps others from changing it until the transaction ends."""
    query = sa.select(users).where(users.c.id == user_id)
    return (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()


async def find_user_by_email(connection: AsyncConnection, email_normalised: str) -> Row | None:
    query = sa.select(users).where(users.c.email_normalised == email_normalised).with_for_update()
    return (await connection.execute(query)).mappings().one_or_none()


async def update_user(connection: AsyncConnection, user_id: int, values: Mapping[str, Any]) -> Row:
    statement = sa.update(users).where(users.c.id == user_id).values(**values).returning(users)
    row: Row = (await connection.execute(statement)).mappings().one()
    return row


async def lock_active_admins(connection: AsyncConnection) -> set[int]:
    """Ids of the active administrators, locked, so that two of them cannot step down at the same time."""
    query = sa.select(users.c.id).where(users.c.role == "admin", users.c.status == "active").order_by(users.c.id)
    return set((await connection.execute(query.with_for_update())).scalars())


def user_conditions(
    *,
    search: str | None = None,
    email: str | None = None,
    role: str | None = None,
    tier: str | None = None,
    status: str | None = None,
    key: str | None = None,
) -> list[sa.ColumnElement[bool]]:
    """Conditions of a search: `search` and `email` are parts, `key` is the beginning or the last 4 of an API key."""
    conditions: list[sa.ColumnElement[bool]] = []
    if search:
        part = search.lower()
        conditions.append(
            sa.or_(
                sa.func.lower(users.c.email).contains(part, autoescape=True),
                sa.func.lower(users.c.username).contains(part, autoescape=True),
                _has_key(search),
            )
        )
    if email:
        conditions.append(sa.func.lower(users.c.email).contains(email.lower(), autoescape=True))
    for column, value in ((users.c.role, role), (users.c.tier, tier), (users.c.status, status)):
        if value:
            conditions.append(column == value)
    if key:
        conditions.append(_has_key(key))
    return conditions


def _has_key(text: str) -> sa.ColumnElement[bool]:
    named = sa.or_(api_keys.c.last4 == text, api_keys.c.prefix == text)
    return sa.exists().where(api_keys.c.user_id == users.c.id, api_keys.c.deleted_at_us.is_(None), named)


async def page_of_users(
    connection: AsyncConnection, conditions: Sequence[sa.ColumnElement[bool]], limit: int, offset: int
) -> Sequence[Row]:
    query = sa.select(users).where(*conditions).order_by(users.c.id.desc()).limit(limit).offset(offset)
    return (await connection.execute(query)).mappings().all()


async def count_users(
    connection: AsyncConnection, conditions: Sequence[sa.ColumnElement[bool]]
) -> Sequence[tuple[str, str, str, int]]:
    """(role, tier, status, count) of the accounts that match."""
    kinds = (users.c.role, users.c.tier, users.c.status)
    query = sa.select(*kinds, sa.func.count()).where(*conditions).group_by(*kinds)
    return [(row[0], row[1], row[2], row[3]) for row in await connection.execute(query)]


# --- keys ----------------------------------------------------------------------------------------------------------


async def insert_key(connection: AsyncConnection, values: Mapping[str, Any]) -> Row | None:
    """The new row, or None if the account has a key of that name."""
    statement = _insert(connection, api_keys).values(**values).on_conflict_do_nothing().returning(api_keys)
    return (await connection.execute(statement)).mappings().one_or_none()


async def find_key(connection: AsyncConnection, key_id: int, user_id: int | None, *, lock: bool = False) -> Row | None:
    """An existing key, of that account unless `user_id` is None."""
    query = sa.select(api_keys).where(api_keys.c.id == key_id, api_keys.c.deleted_at_us.is_(None))
    if user_id is not None:
        query = query.where(api_keys.c.user_id == user_id)
    return (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()


async def find_key_by_hash(connection: AsyncConnection, key_hash: str) -> Row | None:
    """A key by its current hash, deleted ones included."""
    query = sa.select(api_keys).where(api_keys.c.key_hash == key_hash)
    return (await connection.execute(query)).mappings().one_or_none()


async def name_is_taken(connection: AsyncConnection, user_id: int, key_name: str, but_for: int) -> bool:
    query = sa.select(api_keys.c.id).where(
        api_keys.c.user_id == user_id,
        api_keys.c.key_name == key_name,
        api_keys.c.deleted_at_us.is_(None),
        api_keys.c.id != but_for,
    )
    return (await connection.execute(query)).first() is not None


async def count_keys(connection: AsyncConnection, user_id: int) -> int:
    query = sa.select(sa.func.count()).where(api_keys.c.user_id == user_id, api_keys.c.deleted_at_us.is_(None))
    return int((await connection.execute(query)).scalar_one())


async def page_of_keys(
    connection: AsyncConnection, user_id: int, *, active_at_us: int | None, limit: int, offset: int
) -> tuple[Sequence[Row], int]:
    """Keys of an account, newest first, and the count of all; `active_at_us` leaves out those dead at that time."""
    conditions = [api_keys.c.user_id == user_id, api_keys.c.deleted_at_us.is_(None)]
    if active_at_us is not None:
        conditions += [
            api_keys.c.is_active.is_(sa.true()),
            sa.or_(api_keys.c.expires_at_us.is_(None), api_keys.c.expires_at_us > active_at_us),
        ]
    query = sa.select(api_keys).where(*conditions).order_by(api_keys.c.id.desc()).limit(limit).offset(offset)
    count = sa.select(sa.func.count()).select_from(api_keys).where(*conditions)
    return (await connection.execute(query)).mappings().all(), (await connection.execute(count)).scalar_one()


async def update_key(connection: AsyncConnection, key_id: int, values: Mapping[str, Any]) -> Row:
    statement = sa.update(api_keys).where(api_keys.c.id == key_id).values(**values).returning(api_keys)
    row: Row = (await connection.execute(statement)).mappings().one()
    return row


async def sealed_keys_after(connection: AsyncConnection, key_id: int, limit: int) -> Sequence[Row]:
    """Ids and ciphertexts of keys, deleted ones included, in the order of their ids."""
    query = sa.select(api_keys.c.id, api_keys.c.encrypted_key).where(api_keys.c.id > key_id).order_by(api_keys.c.id)
    return (await connection.execute(query.limit(limit).with_for_update())).mappings().all()


async def set_ciphertext(connection: AsyncConnection, key_id: int, encrypted_key: str) -> None:
    await connection.execute(sa.update(api_keys).where(api_keys.c.id == key_id).values(encrypted_key=encrypted_key))


_WHO = sa.select(
    api_keys,
    users.c.role,
    users.c.tier,
    users.c.status,
    users.c.trial_ends_at_us,
).join_from(api_keys, users, users.c.id == api_keys.c.user_id)
_BY_HASH = _WHO.where(api_keys.c.key_hash == sa.bindparam("key_hash"), api_keys.c.deleted_at_us.is_(None))
_BY_OLD_HASH = _WHO.where(api_keys.c.previous_key_hash == sa.bindparam("key_hash"), api_keys.c.deleted_at_us.is_(None))


async def identify(connection: AsyncConnection, key_hash: str) -> Row | None:
    """The key with its account by the current hash, else by the one before the last rotation; both are indexed."""
    for query in (_BY_HASH, _BY_OLD_HASH):
        row = (await connection.execute(query, {"key_hash": key_hash})).mappings().one_or_none()
        if row is not None:
            return row
    return None


async def note_uses(connection: AsyncConnection, uses: Sequence[Mapping[str, Any]]) -> None:
    """Adds uses (`key_id`, `user_id`, `hour`, `uses`, `last_used_at_us`, `ip`) and moves the keys' last use forward."""
    add = _insert(connection, key_use_hours)
    add = add.on_conflict_do_update(
        index_elements=["key_id", "hour"],
        set_={
            "uses": key_use_hours.c.uses + add.excluded.uses,
            "last_used_at_us": add.excluded.last_used_at_us,
            "ip": add.excluded.ip,
        },
    )
    await connection.execute(add, list(uses))
    at_us = sa.bindparam("at_us", type_=sa.BigInteger)
    older = sa.or_(api_keys.c.last_used_at_us.is_(None), api_keys.c.last_used_at_us < at_us)
    touch = sa.update(api_keys).where(api_keys.c.id == sa.bindparam("of_key"), older).values(last_used_at_us=at_us)
    await connection.execute(touch, [{"of_key": use["key_id"], "at_us": use["last_used_at_us"]} for use in uses])


# --- allowlists ----------------------------------------------------------------------------------------------------


async def enabled_addresses(connection: AsyncConnection, user_id: int, key_id: int) -> Sequence[tuple[int, str]]:
    """(entry id, address) of the enabled entries that hold for a key: its own and those of its account."""
    query = sa.select(ip_allowlist.c.id, ip_allowlist.c.ip).where(
        ip_allowlist.c.user_id == user_id,
        ip_allowlist.c.enabled.is_(sa.true()),
        sa.or_(ip_allowlist.c.key_id == key_id, ip_allowlist.c.key_id.is_(None)),
    )
    return [(row[0], row[1]) for row in await connection.execute(query.order_by(ip_allowlist.c.id))]


async def insert_address(connection: AsyncConnection, values: Mapping[str, Any]) -> Row:
    statement = sa.insert(ip_allowlist).values(**values).returning(ip_allowlist)
    row: Row = (await connection.execute(statement)).mappings().one()
    return row


async def find_address(connection: AsyncConnection, entry_id: int, *, lock: bool = False) -> Row | None:
    query = sa.select(ip_allowlist).where(ip_allowlist.c.id == entry_id)
    return (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()


async def update_address(connection: AsyncConnection, entry_id: int, values: Mapping[str, Any]) -> Row:
    statement = sa.update(ip_allowlist).where(ip_allowlist.c.id == entry_id).values(**values).returning(ip_allowlist)
    row: Row = (await connection.execute(statement)).mappings().one()
    return row


async def delete_address(connection: AsyncConnection, entry_id: int) -> None:
    await connection.execute(sa.delete(ip_allowlist).where(ip_allowlist.c.id == entry_id))


async def page_of_addresses(
    connection: AsyncConnection, *, user_id: int | None, key_id: int | None, limit: int, offset: int
) -> tuple[Sequence[Row], int]:
    conditions: list[sa.ColumnElement[bool]] = []
    if user_id is not None:
        conditions.append(ip_allowlist.c.user_id == user_id)
    if key_id is not None:
        conditions.append(ip_allowlist.c.key_id == key_id)
    query = sa.select(ip_allowlist).where(*conditions).order_by(ip_allowlist.c.id).limit(limit).offset(offset)
    count = sa.select(sa.func.count()).select_from(ip_allowlist).where(*conditions)
    return (await connection.execute(query)).mappings().all(), (await connection.execute(count)).scalar_one()


# --- audit trail ---------------------------------------------------------------------------------------------------


async def lock_head(connection: AsyncConnection, chain: str, genesis: str) -> tuple[int, str]:
    """Number and hash of the chain's last entry; the row stays locked until the transaction ends."""
    query = sa.select(audit_heads.c.seq, audit_heads.c.hash).where(audit_heads.c.chain == chain).with_for_update()
    head = (await connection.execute(query)).first()
    if head is None:
        first = _insert(connection, audit_heads).values(chain=chain, seq=0, hash=genesis).on_conflict_do_nothing()
        await connection.execute(first)
        head = (await connection.execute(query)).one()
    return head[0], head[1]


async def read_head(connection: AsyncConnection, chain: str, genesis: str) -> tuple[int, str]:
    """Number and hash of the chain's last entry, (0, genesis) of an empty chain."""
    query = sa.select(audit_heads.c.seq, audit_heads.c.hash).where(audit_heads.c.chain == chain)
    head = (await connection.execute(query)).first()
    return (0, genesis) if head is None else (head[0], head[1])


async def move_head(connection: AsyncConnection, chain: str, seq: int, link: str) -> None:
    statement = sa.update(audit_heads).where(audit_heads.c.chain == chain).values(seq=seq, hash=link)
    await connection.execute(statement)


async def insert_entry(connection: AsyncConnection, chain: str, row: Mapping[str, Any]) -> None:
    await connection.execute(sa.insert(_TRAILS[chain]).values(**row))


async def entries_after(connection: AsyncConnection, chain: str, seq: int, limit: int) -> list[dict[str, Any]]:
    """Entries behind `seq` in the order of the chain, as plain rows."""
    table = _TRAILS[chain]
    query = sa.select(table).where(table.c.seq > seq).order_by(table.c.seq).limit(limit)
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def page_of_entries(
    connection: AsyncConnection, chain: str, filters: "Filters", limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    table = _TRAILS[chain]
    conditions: list[sa.ColumnElement[bool]] = []
    if filters.action is not None:
        family = filters.action.endswith(".")
        conditions.append(
            table.c.action.startswith(filters.action, autoescape=True) if family else table.c.action == filters.action
        )
    for name in ("actor_user_id", "owner_user_id", "resource", "severity", "request_id"):
        value = getattr(filters, name)
        if value is not None:
            conditions.append(table.c[name] == value)
    if filters.from_us is not None:
        conditions.append(table.c.at_us >= filters.from_us)
    if filters.until_us is not None:
        conditions.append(table.c.at_us < filters.until_us)
    query = sa.select(table).where(*conditions).order_by(table.c.seq.desc()).limit(limit).offset(offset)
    rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    count = sa.select(sa.func.count()).select_from(table).where(*conditions)
    return rows, (await connection.execute(count)).scalar_one()


async def page_of_key_events(
    connection: AsyncConnection, user_id: int, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Audit entries about the account's keys and their hourly use, newest first, with the count of all."""
    done = sa.select(
        audit_log.c.at_us,
        audit_log.c.action,
        audit_log.c.resource,
        audit_log.c.actor,
        audit_log.c.ip,
        audit_log.c.user_agent,
        audit_log.c.request_id,
        audit_log.c.before,
        audit_log.c.after,
        sa.literal(1, sa.BigInteger).label("count"),
    ).where(audit_log.c.owner_user_id == user_id, audit_log.c.action.startswith("key."))
    used = sa.select(
        key_use_hours.c.last_used_at_us.label("at_us"),
        sa.literal("key.used").label("action"),
        (sa.literal("key:") + sa.cast(key_use_hours.c.key_id, sa.Text)).label("resource"),
        (sa.literal("user:") + sa.cast(key_use_hours.c.user_id, sa.Text)).label("actor"),
        key_use_hours.c.ip,
        sa.literal("").label("user_agent"),
        sa.literal("").label("request_id"),
        sa.cast(sa.null(), sa.Text).label("before"),
        sa.cast(sa.null(), sa.Text).label("after"),
        key_use_hours.c.uses.label("count"),
    ).where(key_use_hours.c.user_id == user_id)
    events = sa.union_all(done, used).subquery()
    query = sa.select(events).order_by(events.c.at_us.desc(), events.c.resource).limit(limit).offset(offset)
    rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    total = (await connection.execute(sa.select(sa.func.count()).select_from(events))).scalar_one()
    return rows, total
