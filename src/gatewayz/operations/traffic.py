"""What is really used, and how fast does it answer? Request records added up by the hour, and sums of them in memory.

One process at a time adds up; all read the sums. Nothing here is asked by a request that is under way, and nothing is
estimated: where there is no record, there is no figure.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.db import Database
from gatewayz.infra.leases import Held, lease
from gatewayz.infra.tables import meta
from gatewayz.operations.tables import activity_log, traffic_hours

Window = Literal["hour", "day", "week", "month"]
WINDOW_HOURS: Mapping[Window, int] = MappingProxyType({"hour": 1, "day": 24, "week": 168, "month": 720})
HOUR_US = 3600 * US_PER_S
_KEPT_HOURS = 31 * 24
_HOURS_AT_ONCE = 48
_LEASE = "traffic"
_MARK = "traffic_until"
_ADDED_AT = "traffic_added_at"
# The sums cost time that grows with traffic: at most a twentieth of the time goes into them.
SHORTEST_PAUSE_S = 5.0
_SHARE = 20.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Recorded requests of a model at a provider; means in milliseconds over answers that succeeded, None without any.

    `tokens_per_s` is how fast streams wrote after their first token, None without any stream.
    """

    requests: int
    errors: int
    tokens: int
    latency_ms: float | None
    first_token_ms: float | None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Figures by (model id, provider) for each window, which is made of whole hours and the one that has begun.

    `digest` changes with any of them, `health_digest` only when a model begins or ceases to answer in the last hour; both
    are the same in all processes that read the same sums.
    """

    windows: Mapping[Window, Mapping[tuple[str, str], Figures]]
    digest: str = ""
    health_digest: str = ""

    def of(self, window: Window, model_id: str, provider: str) -> Figures | None:
        """What was recorded of a model at a provider, None for nothing."""
        return self.windows[window].get((model_id, provider))


NOTHING = Usage(MappingProxyType({window: MappingProxyType({}) for window in WINDOW_HOURS}))


class Traffic:
    """`current` is what was recorded; `tick` brings it up to date when it is due."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._next_s = 0.0
        # What was the newest record when all were added up, and in which hour.
        self._seen: tuple[int | None, int] | None = None
        self.current = NOTHING

    async def tick(self) -> bool:
        """Adds up and reads the sums if it is time; returns whether it did. Raises database errors."""
        if self._clock.monotonic_s() < self._next_s:
            return False
        started_s = time.monotonic()
        now_us = self._clock.now_us()
        async with self._database.read() as connection:
            newest = await connection.scalar(sa.select(sa.func.max(activity_log.c.id)))
            added = await connection.scalar(sa.select(meta.c.value).where(meta.c.name == _ADDED_AT))
        state = (newest, now_us // HOUR_US)
        if state != self._seen:
            # What another process has just added up is read; whoever looks first after a pause adds up for all.
            if added is None or not 0 <= now_us - int(added) < SHORTEST_PAUSE_S * US_PER_S:
                try:
                    async with lease(self._database, self._clock, _LEASE):
                        if await self._add_up():
                            self._seen = state
                except Held:
                    pass  # another process does it; this one looks again
            await self._read()
        self._next_s = self._clock.monotonic_s() + max(SHORTEST_PAUSE_S, _SHARE * (time.monotonic() - started_s))
        return True

    async def _add_up(self) -> bool:
        """Adds up what is due, at most two days at a time; returns whether that was all."""
        now_hour = self._clock.now_us() // HOUR_US * HOUR_US
        async with self._database.read() as connection:
            first = await self._first_open_hour(connection, now_hour)
        if first is None:
            return True
        last = min(now_hour, first + _HOURS_AT_ONCE * HOUR_US)
        for hour_us in range(first, last + HOUR_US, HOUR_US):
            async with self._database.begin() as connection:
                await add_up_hour(connection, hour_us)
        async with self._database.begin() as connection:
            # The hour before the last is added up once more: its last records may have been committed late.
            await _remember(connection, _MARK, max(first, last - HOUR_US))
            await _remember(connection, _ADDED_AT, self._clock.now_us())
            await connection.execute(
                sa.delete(traffic_hours).where(traffic_hours.c.hour_us < now_hour - _KEPT_HOURS * HOUR_US)
            )
        return last == now_hour

    async def _first_open_hour(self, connection: AsyncConnection, now_hour: int) -> int | None:
        oldest = now_hour - (_KEPT_HOURS - 1) * HOUR_US
        mark = await connection.scalar(sa.select(meta.c.value).where(meta.c.name == _MARK))
        if mark is not None:
            return max(int(mark), oldest)
        first = await connection.scalar(sa.select(sa.func.min(activity_log.c.created_at_us)))
        return None if first is None else max(int(first) // HOUR_US * HOUR_US, oldest)

    async def _read(self) -> None:
        now_us = self._clock.now_us()
        windows = {}
        async with self._database.read() as connection:
            for window, hours in WINDOW_HOURS.items():
                # Whole hours, at least as many as the window says: one that has just begun would hold nothing.
                windows[window] = await sums_since(connection, (now_us // HOUR_US - hours) * HOUR_US)
        if windows != dict(self.current.windows):
            hour = sorted((key, figures.errors < figures.requests) for key, figures in windows["hour"].items())
            self.current = Usage(
                MappingProxyType(windows), _digest([sorted(w.items()) for w in windows.values()]), _digest(hour)
            )


async def add_up_hour(connection: AsyncConnection, hour_us: int) -> None:
    """Makes the sums of one hour those of its records, in the caller's transaction. May be repeated."""
    log_c = activity_log.c
    well = log_c.status < 400
    # How fast a plain answer was written nobody can tell: all of it came at once.
    streamed = sa.and_(well, log_c.stream, log_c.first_token_us.is_not(None))
    figures = sa.select(
        sa.literal(hour_us, sa.BigInteger),
        log_c.model,
        log_c.provider,
        sa.func.count(),
        _sum(sa.case((well, 0), else_=1)),
        _sum(log_c.prompt_tokens + log_c.completion_tokens),
        _sum(sa.case((well, log_c.latency_us), else_=0)),
        _sum(sa.case((well, sa.func.coalesce(log_c.first_token_us, 0)), else_=0)),
        _sum(sa.case((sa.and_(well, log_c.first_token_us.is_not(None)), 1), else_=0)),
        _sum(sa.case((streamed, log_c.completion_tokens), else_=0)),
        _sum(sa.case((streamed, log_c.latency_us - log_c.first_token_us), else_=0)),
    ).where(
        log_c.created_at_us >= hour_us,
        log_c.created_at_us < hour_us + HOUR_US,
        log_c.model.is_not(None),
        log_c.provider.is_not(None),
    )
    await connection.execute(sa.delete(traffic_hours).where(traffic_hours.c.hour_us == hour_us))
    columns = [column.name for column in traffic_hours.c]
    await connection.execute(
        sa.insert(traffic_hours).from_select(columns, figures.group_by(log_c.model, log_c.provider))
    )


async def sums_since(connection: AsyncConnection, from_hour_us: int) -> dict[tuple[str, str], Figures]:
    """The figures of all hours from that one on."""
    table = traffic_hours.c
    names = (
        "requests", "errors", "tokens", "latency_us", "first_token_us", "first_tokens", "streamed_tokens", "streamed_us",
    )  # fmt: skip
    sums = [_sum(table[name]).label(name) for name in names]
    query = sa.select(table.model, table.provider, *sums).where(table.hour_us >= from_hour_us)
    rows = await connection.execute(query.group_by(table.model, table.provider))
    return {(row.model, row.provider): _figures(row) for row in rows}


def _figures(row: Any) -> Figures:
    well = row.requests - row.errors
    return Figures(
        requests=row.requests,
        errors=row.errors,
        tokens=row.tokens,
        latency_ms=round(row.latency_us / well / 1000, 1) if well else None,
        first_token_ms=round(row.first_token_us / row.first_tokens / 1000, 1) if row.first_tokens else None,
        tokens_per_s=round(row.streamed_tokens / row.streamed_us * US_PER_S, 1) if row.streamed_us else None,
    )


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:24]


def _sum(value: Any) -> Any:
    return sa.func.coalesce(sa.func.sum(value), 0).cast(sa.BigInteger)


async def _remember(connection: AsyncConnection, name: str, number: int) -> None:
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(meta).values(name=name, value=str(number))
    await connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"value": str(number)}))
