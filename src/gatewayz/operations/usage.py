"""Reading request records: the log of an account, and its totals by time, model and provider."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.operations.tables import activity_log

US_PER_HOUR = 3_600_000_000
US_PER_DAY = 86_400_000_000
Grouping = Literal["hour", "day"]
MOST_APPS = 1000
# What an application is known by.
_KNOWN_BY = sa.func.coalesce(activity_log.c.app_origin, activity_log.c.app_title)


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records are wanted; None does not filter. Times are microseconds, `until_us` is exclusive."""

    user_id: int
    model: str | None = None
    provider: str | None = None
    key_id: int | None = None
    status: str | None = None  # "success", "error", or a status code
    from_us: int | None = None
    until_us: int | None = None
    app: str | None = None  # its origin, or its name where it has none


async def page(
    connection: AsyncConnection, wanted: RecordFilter, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Records newest first, and the number of all that match."""
    conditions = _conditions(wanted)
    query = (
        sa.select(activity_log)
        .where(*conditions)
        .order_by(activity_log.c.created_at_us.desc(), activity_log.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    rows = (await connection.execute(query)).mappings().all()
    total = await connection.scalar(sa.select(sa.func.count()).select_from(activity_log).where(*conditions))
    return [dict(row) for row in rows], int(total or 0)


async def totals(connection: AsyncConnection, wanted: RecordFilter, grouping: Grouping) -> dict[str, Any]:
    """Totals of the matching records, and the same by time, model, provider and key. Money stays nano-USD."""
    width = US_PER_HOUR if grouping == "hour" else US_PER_DAY
    bucket = (activity_log.c.created_at_us - activity_log.c.created_at_us % width).label("start_us")
    conditions = _conditions(wanted)
    whole = (await connection.execute(sa.select(*_SUMS).where(*conditions))).mappings().one()
    return {
        "total": dict(whole),
        "by_time": await _grouped(connection, conditions, [bucket]),
        "by_model": await _grouped(connection, conditions, [activity_log.c.model]),
        "by_provider": await _grouped(connection, conditions, [activity_log.c.provider]),
        "by_key": await _grouped(connection, conditions, [activity_log.c.api_key_id]),
        "by_environment": await _grouped(connection, conditions, [activity_log.c.environment]),
        "by_app": await _by_app(connection, conditions),
    }


def _sum(value: Any, name: str) -> Any:
    return sa.func.coalesce(sa.func.sum(value), 0).cast(sa.BigInteger).label(name)


_SUMS: tuple[Any, ...] = (
    sa.func.count().label("requests"),
    _sum(sa.case((activity_log.c.status >= 400, 1), else_=0), "errors"),
    _sum(activity_log.c.prompt_tokens, "prompt_tokens"),
    _sum(activity_log.c.completion_tokens, "completion_tokens"),
    _sum(activity_log.c.cost_nano_usd, "cost_nano_usd"),
    sa.func.max(activity_log.c.created_at_us).label("last_at_us"),
)


async def _grouped(connection: AsyncConnection, conditions: Sequence[Any], columns: list[Any]) -> list[dict[str, Any]]:
    query = sa.select(*columns, *_SUMS).where(*conditions).group_by(*columns).order_by(*columns)
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def _by_app(connection: AsyncConnection, conditions: Sequence[Any]) -> list[dict[str, Any]]:
    """The same by application, most requests first; applications name themselves, so no more than `MOST_APPS`."""
    columns = [activity_log.c.app_origin, sa.func.max(activity_log.c.app_title).label("app_title")]
    count = sa.func.count()
    query = (
        sa.select(*columns, *_SUMS)
        .where(*conditions)
        .group_by(activity_log.c.app_origin, _KNOWN_BY)
        .order_by(count.desc(), _KNOWN_BY)
        .limit(MOST_APPS)
    )
    return [dict(row) for row in (await connection.execute(query)).mappings()]


def _conditions(wanted: RecordFilter) -> list[Any]:
    table = activity_log.c
    found: list[Any] = [table.user_id == wanted.user_id]
    for column, value in (
        (table.model, wanted.model),
        (table.provider, wanted.provider),
        (table.api_key_id, wanted.key_id),
        (_KNOWN_BY, wanted.app),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.status == "success":
        found.append(table.status < 400)
    elif wanted.status == "error":
        found.append(table.status >= 400)
    elif wanted.status is not None:
        found.append(table.status == int(wanted.status))
    if wanted.from_us is not None:
        found.append(table.created_at_us >= wanted.from_us)
    if wanted.until_us is not None:
        found.append(table.created_at_us < wanted.until_us)
    return found
