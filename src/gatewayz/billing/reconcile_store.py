"""The statements of reconciliation: each sums or compares inside the database and gives back only what does not agree."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.billing.ledger import TYPES
from gatewayz.billing.matching import Group
from gatewayz.billing.tables import balances, credit_transactions, holds, leases
from gatewayz.catalog.tables import price_history
from gatewayz.infra.db import Database
from gatewayz.operations.tables import activity_log

# A page of charges takes about two milliseconds to judge, which is as long as other requests should wait.
PAGE = 200
# A client that left is charged for what was produced; every other failure that is charged costs something.
_CLIENT_CLOSED = 499

_rows = credit_transactions.c
_records = activity_log.c


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection that sees one moment of the database, however long it reads."""
    async with database.read() as connection:
        if not database.is_sqlite:
            # On SQLite every transaction sees the moment of its first read.
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


async def first_row_since(connection: AsyncConnection, since_us: int) -> int:
    """The smallest ledger number written since then; one beyond the last if there is none."""
    found = await connection.scalar(sa.select(sa.func.min(_rows.id)).where(_rows.created_at_us >= since_us))
    if found is None:
        found = int(await connection.scalar(sa.select(sa.func.max(_rows.id))) or 0) + 1
    return int(found)


async def counts(connection: AsyncConnection, first: int) -> tuple[int, int]:
    """How many accounts there are, and how many ledger rows from number `first` on."""
    accounts = await connection.scalar(sa.select(sa.func.count()).select_from(balances))
    rows = await connection.scalar(sa.select(sa.func.count()).select_from(credit_transactions).where(_rows.id >= first))
    return int(accounts or 0), int(rows or 0)


async def totals(connection: AsyncConnection) -> tuple[int, dict[str, int]]:
    """The sum of all balances, and the sum of each counter-account (what the accounts won, it lost)."""
    c = balances.c
    whole = _sum(c.trial_nano_usd) + _sum(c.allowance_nano_usd) + _sum(c.purchased_nano_usd)
    accounts = await connection.scalar(sa.select(whole))
    query = sa.select(_rows.contra, (-_sum(_rows.amount_nano_usd)).label("total")).group_by(_rows.contra)
    contra = {row.contra: int(row.total) for row in await connection.execute(query.order_by(_rows.contra))}
    return int(accounts or 0), contra


def unequal_buckets() -> sa.Select[Any]:
    """Accounts whose buckets are not what their ledger rows add up to, and accounts with rows but without a balance."""
    split = (_rows.trial_nano_usd, _rows.allowance_nano_usd, _rows.purchased_nano_usd)
    b = balances.c
    kept = (b.trial_nano_usd, b.allowance_nano_usd, b.purchased_nano_usd)
    nothing = [sa.literal(0, sa.BigInteger)] * 3
    names = ("trial", "allowance", "purchased")
    moved = sa.select(
        _rows.user_id,
        sa.literal(0).label("opened"),
        *(_sum(column).label(f"moved_{name}") for column, name in zip(split, names, strict=True)),
        *(zero.label(f"kept_{name}") for zero, name in zip(nothing, names, strict=True)),
    ).group_by(_rows.user_id)
    both = sa.union_all(moved, sa.select(b.user_id, sa.literal(1), *nothing, *kept)).subquery()
    sums = {name: _sum(both.c[name]) for name in both.c.keys() if name != "user_id"}  # noqa: SIM118  (columns, not a dict)
    differs = [sums[f"moved_{name}"] != sums[f"kept_{name}"] for name in names]
    return (
        sa.select(both.c.user_id, *(value.label(name) for name, value in sums.items()))
        .group_by(both.c.user_id)
        .having(sa.or_(sums["opened"] == 0, *differs))
        .order_by(both.c.user_id)
    )


def unequal_promises() -> sa.Select[Any]:
    """Accounts whose reserved sum is not what their holds and leases promise."""
    zero = sa.literal(0, sa.BigInteger)
    both = sa.union_all(
        sa.select(balances.c.user_id, balances.c.reserved_nano_usd.label("reserved"), zero.label("promised")),
        sa.select(holds.c.user_id, zero, holds.c.amount_nano_usd),
        sa.select(leases.c.user_id, zero, leases.c.amount_nano_usd),
    ).subquery()
    reserved, promised = _sum(both.c.reserved), _sum(both.c.promised)
    query = sa.select(both.c.user_id, reserved.label("reserved"), promised.label("promised"))
    return query.group_by(both.c.user_id).having(reserved != promised).order_by(both.c.user_id)


def overdue(expired_before_us: int) -> sa.Select[Any]:
    """Holds and leases whose time was over before that moment."""
    parts = [
        sa.select(
            sa.literal(name).label("what"), table.c.user_id, table.c.id, table.c.amount_nano_usd, table.c.expires_at_us
        ).where(table.c.expires_at_us < expired_before_us)
        for name, table in (("hold", holds), ("lease", leases))
    ]
    both = sa.union_all(*parts).subquery()
    return sa.select(both).order_by(both.c.expires_at_us, both.c.id)


def broken_runs(first: int) -> sa.Select[Any]:
    """Ledger rows whose balance is not the one before plus their amount, in order; from number `first` on (0: all)."""
    rows = sa.select(
        _rows.id,
        _rows.request_id,
        _rows.user_id,
        _rows.amount_nano_usd,
        _rows.balance_after_nano_usd,
        sa.func.lag(_rows.balance_after_nano_usd).over(partition_by=_rows.user_id, order_by=_rows.id).label("before"),
    )
    if first == 0:
        part = rows.subquery()
        found = sa.select(part)
        opening: Any = sa.literal(0)
    else:
        part = rows.where(_rows.id >= first).subquery()
        sums = sa.select(_rows.user_id, _sum(_rows.amount_nano_usd).label("opening")).where(_rows.id < first)
        earlier = sums.group_by(_rows.user_id).subquery()
        found = sa.select(part).select_from(part.outerjoin(earlier, earlier.c.user_id == part.c.user_id))
        opening = sa.func.coalesce(earlier.c.opening, 0)
    expected = sa.func.coalesce(part.c.before, opening) + part.c.amount_nano_usd
    return (
        found.add_columns(expected.label("expected"))
        .where(expected != part.c.balance_after_nano_usd)
        .order_by(part.c.id)
    )


def broken_rows(first: int) -> sa.Select[Any]:
    """Ledger rows that break what the table promises of each: a whole split, a known type, a counter-account."""
    split = _rows.trial_nano_usd + _rows.allowance_nano_usd + _rows.purchased_nano_usd
    query = sa.select(
        _rows.id, _rows.request_id, _rows.user_id, _rows.type, _rows.amount_nano_usd, split.label("split"), _rows.contra
    )
    wrong = sa.or_(split != _rows.amount_nano_usd, _rows.type.not_in(TYPES), _rows.contra == "")
    return query.where(_rows.id >= first, wrong).order_by(_rows.id)


def repeated_ids() -> sa.Select[Any]:
    """Ledger ids that stand more than once."""
    query = sa.select(
        _rows.request_id,
        sa.func.count().label("times"),
        sa.func.min(_rows.user_id).label("user_id"),
        sa.func.max(_rows.id).label("last"),
    )
    return query.group_by(_rows.request_id).having(sa.func.count() > 1).order_by(sa.func.max(_rows.id))


def broken_pairs(first: int) -> sa.Select[Any]:
    """Holds in the ledger without exactly one refund that takes each bucket back, and the reverse."""
    suffix = sa.case((_rows.type == "hold", len(":hold")), else_=len(":refund"))
    name = sa.func.substr(_rows.request_id, 1, sa.func.length(_rows.request_id) - suffix)
    of_pairs = sa.or_(_rows.type == "hold", _rows.contra == "holds")
    rows = (
        sa.select(
            name.label("name"),
            _rows.id,
            _rows.user_id,
            sa.case((_rows.type == "hold", 1), else_=0).label("is_hold"),
            sa.case((sa.and_(_rows.type == "refund", _rows.contra == "holds"), 1), else_=0).label("is_refund"),
            _rows.amount_nano_usd,
            _rows.trial_nano_usd,
            _rows.allowance_nano_usd,
            _rows.purchased_nano_usd,
        )
        .where(_rows.id >= first, of_pairs)
        .subquery()
    )
    c = rows.c
    is_pair = sa.and_(sa.func.count() == 2, _sum(c.is_hold) == 1, _sum(c.is_refund) == 1)
    balanced = sa.and_(
        _sum(c.trial_nano_usd) == 0, _sum(c.allowance_nano_usd) == 0, _sum(c.purchased_nano_usd) == 0,
        _sum(c.amount_nano_usd) == 0, sa.func.min(c.user_id) == sa.func.max(c.user_id),
    )  # fmt: skip
    return (
        sa.select(
            c.name,
            sa.func.min(c.id).label("id"),
            sa.func.min(c.user_id).label("user_id"),
            sa.func.count().label("rows"),
            _sum(c.amount_nano_usd).label("left_over"),
        )
        .group_by(c.name)
        .having(sa.not_(sa.and_(is_pair, balanced)))
        .order_by(sa.func.min(c.id))
    )


def unequal_groups(first: int, from_us: int, *, on_sqlite: bool) -> sa.Select[Any]:
    """Per account, request id and cost: charges and records whose numbers differ, sorted by account and bytes of the id.

    Left out are records that cost nothing and tell of a failure or of a stranger: nothing was to be charged for them.
    """
    prefix = sa.cast(_rows.user_id, sa.Text).concat(":")
    own = sa.func.substr(_rows.request_id, 1, sa.func.length(prefix)) == prefix
    bare = sa.func.substr(_rows.request_id, sa.func.length(prefix) + 1)
    none = sa.literal(0, sa.BigInteger)
    charges = sa.select(
        _rows.user_id,
        sa.case((own, bare), else_=_rows.request_id).label("request_id"),
        (-_rows.amount_nano_usd).label("cost"),
        sa.literal(1).label("charge"),
        sa.literal(0).label("record"),
        _rows.request_id.label("charge_id"),
        _rows.created_at_us.label("charge_at"),
        none.label("record_at"),
    ).where(_rows.id >= first, _rows.type == "api_usage")
    for_nothing = sa.and_(
        _records.user_id.is_not(None), sa.or_(_records.status < 400, _records.status == _CLIENT_CLOSED)
    )
    records = sa.select(
        _records.user_id,
        _records.request_id,
        _records.cost_nano_usd,
        sa.literal(0),
        sa.literal(1),
        sa.null().cast(sa.Text),
        none,
        _records.created_at_us,
    ).where(_records.created_at_us >= from_us, sa.or_(_records.cost_nano_usd > 0, for_nothing))
    both = sa.union_all(charges, records).subquery()
    c = both.c
    by_bytes = c.request_id if on_sqlite else sa.collate(c.request_id, "C")
    found = (_sum(c.charge), _sum(c.record))
    return (
        sa.select(
            c.user_id,
            by_bytes.label("request_id"),
            c.cost,
            found[0].label("charges"),
            found[1].label("records"),
            sa.func.max(c.charge_id).label("charge_id"),
            sa.func.max(c.charge_at).label("charge_at"),
            sa.func.max(c.record_at).label("record_at"),
        )
        .group_by(c.user_id, by_bytes, c.cost)
        .having(found[0] != found[1])
        .order_by(c.user_id, by_bytes, c.cost)
    )


async def groups(connection: AsyncConnection, query: sa.Select[Any]) -> AsyncIterator[Group]:
    """The rows of `unequal_groups` as values, a page at a time."""
    async for row in found(connection, query):
        yield Group(
            row.user_id,
            row.request_id,
            int(row.cost),
            int(row.charges),
            int(row.records),
            row.charge_id,
            int(row.charge_at),
            int(row.record_at),
        )


async def found(connection: AsyncConnection, query: sa.Select[Any]) -> AsyncIterator[Any]:
    """The rows of a query, fetched a page at a time."""
    async with connection.stream(query.execution_options(yield_per=PAGE)) as result:
        async for row in result:
            yield row


async def charges_after(connection: AsyncConnection, after: int, *conditions: sa.ColumnElement[bool]) -> Sequence[Any]:
    """The next page of charges with a larger number, in order."""
    query = (
        sa.select(
            _rows.id,
            _rows.request_id,
            _rows.user_id,
            _rows.amount_nano_usd,
            _rows.trial_nano_usd,
            _rows.allowance_nano_usd,
            _rows.purchased_nano_usd,
            _rows.model,
            _rows.provider,
            _rows.prompt_tokens,
            _rows.completion_tokens,
            _rows.usage,
            _rows.price,
        )
        .where(_rows.id > after, _rows.type == "api_usage", *conditions)
        .order_by(_rows.id)
        .limit(PAGE)
    )
    return (await connection.execute(query)).all()


async def rows_about(connection: AsyncConnection, charge_ids: Sequence[str]) -> Sequence[Any]:
    """Every ledger row that refers to one of these charges, in order."""
    query = sa.select(
        _rows.request_id,
        _rows.refers_to,
        _rows.type,
        _rows.amount_nano_usd,
        _rows.trial_nano_usd,
        _rows.allowance_nano_usd,
        _rows.purchased_nano_usd,
    )
    return (await connection.execute(query.where(_rows.refers_to.in_(charge_ids)).order_by(_rows.id))).all()


async def offers_of_prices(connection: AsyncConnection) -> dict[int, int]:
    """For the number of every price there ever was, the number of its offer."""
    rows = await connection.execute(sa.select(price_history.c.id, price_history.c.offer_id))
    return {row.id: row.offer_id for row in rows}


async def ledger_row(connection: AsyncConnection, row_id: int) -> dict[str, Any] | None:
    """A whole row of the ledger by its number."""
    row = (await connection.execute(sa.select(credit_transactions).where(_rows.id == row_id))).mappings().first()
    return dict(row) if row is not None else None


def _sum(column: Any) -> sa.ColumnElement[int]:
    # PostgreSQL adds BIGINT up to NUMERIC; every sum of ours fits BIGINT again.
    return sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.BigInteger)
