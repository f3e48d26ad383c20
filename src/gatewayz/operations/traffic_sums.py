"""Request records added up by hour, model and provider: the statements. Sums are rows of `traffic_hours`."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.infra.clock import US_PER_S
from gatewayz.operations.tables import activity_log, traffic_hours

HOUR_US = 3600 * US_PER_S
Sums = list[dict[str, Any]]
_log = activity_log.c
_COLUMNS = tuple(column.name for column in traffic_hours.c)
_KEY = ("hour_us", "model", "provider")


async def of_hour(connection: AsyncConnection, hour_us: int) -> Sums:
    """The sums of all records of one hour."""
    return await _sums(connection, _log.created_at_us >= hour_us, _log.created_at_us < hour_us + HOUR_US)


async def of_records(connection: AsyncConnection, from_us: int, seen: int | None, newest: int) -> Sums:
    """The sums of records made from a time on, whose ids are above `seen` (None: whichever) and up to `newest`."""
    if seen is None:
        return await _sums(connection, _log.created_at_us >= from_us, _log.id <= newest)
    # The sum keeps the index of times out of it, which would lead through all records of two hours.
    return await _sums(connection, _log.id > seen, _log.id <= newest, _log.created_at_us + 0 >= from_us)


async def replace(connection: AsyncConnection, from_us: int, until_us: int | None, sums: Sums) -> None:
    """Makes these the sums of the hours of a time, in the caller's transaction. May be repeated."""
    gone = sa.delete(traffic_hours).where(traffic_hours.c.hour_us >= from_us)
    if until_us is not None:
        gone = gone.where(traffic_hours.c.hour_us < until_us)
    await connection.execute(gone)
    if sums:
        await connection.execute(sa.insert(traffic_hours), sums)


async def add(connection: AsyncConnection, sums: Sums) -> None:
    """Adds these to the sums that stand, in the caller's transaction. Not to be repeated."""
    if not sums:
        return
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(traffic_hours)
    grown = {name: traffic_hours.c[name] + insert.excluded[name] for name in _COLUMNS if name not in _KEY}
    await connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=grown), sums)


def total(value: Any) -> Any:
    """A sum in SQL that is 0 over nothing."""
    return sa.func.coalesce(sa.func.sum(value), 0).cast(sa.BigInteger)


async def _sums(connection: AsyncConnection, *conditions: Any) -> Sums:
    well = _log.status < 400
    # How fast a plain answer was written nobody can tell: all of it came at once.
    streamed = sa.and_(well, _log.stream, _log.first_token_us.is_not(None))
    hour_us = _log.created_at_us - _log.created_at_us % HOUR_US
    figures: Sequence[Any] = (
        sa.func.count(),
        total(sa.case((well, 0), else_=1)),
        total(_log.prompt_tokens + _log.completion_tokens),
        total(sa.case((well, _log.latency_us), else_=0)),
        total(sa.case((well, sa.func.coalesce(_log.first_token_us, 0)), else_=0)),
        total(sa.case((sa.and_(well, _log.first_token_us.is_not(None)), 1), else_=0)),
        total(sa.case((streamed, _log.completion_tokens), else_=0)),
        total(sa.case((streamed, _log.latency_us - _log.first_token_us), else_=0)),
    )
    known = (_log.model.is_not(None), _log.provider.is_not(None))
    query = sa.select(hour_us.label("hour_us"), _log.model, _log.provider, *figures).where(*conditions, *known)
    rows = await connection.execute(query.group_by(sa.text("hour_us"), _log.model, _log.provider))
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
