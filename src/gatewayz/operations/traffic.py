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
from gatewayz.operations import traffic_sums
from gatewayz.operations.tables import activity_log, traffic_hours
from gatewayz.operations.traffic_sums import HOUR_US

Window = Literal["hour", "day", "week", "month"]
WINDOW_HOURS: Mapping[Window, int] = MappingProxyType({"hour": 1, "day": 24, "week": 168, "month": 720})
_KEPT_HOURS = 31 * 24
_HOURS_AT_ONCE = 48
_LEASE = "traffic"
# Of `meta`: the hour before which all are closed, the last record of the open ones, and when they were last added up.
_MARK, _SEEN = "traffic_until", "traffic_seen"
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
            added = await _remembered(connection, _ADDED_AT)
        state = (newest, now_us // HOUR_US)
        if state != self._seen:
            # What another process has just added up is read; whoever looks first after a pause adds up for all.
            if added is None or not 0 <= now_us - added < SHORTEST_PAUSE_S * US_PER_S:
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
        """Adds up what is due, at most two days of hours that are over; returns whether that was all.

        Two hours are open, this one and the one before, since records are committed after they are made: to them new records
        are added, by their ids. When an hour is closed it is added up as a whole, with what ids have missed: on
        PostgreSQL a record may be committed after one with a higher id.
        """
        open_us = self._clock.now_us() // HOUR_US * HOUR_US - HOUR_US
        async with self._database.read() as connection:
            first = await self._first_hour(connection, open_us)
        if first is None:
            return True
        closed_us = max(first, min(open_us, first + _HOURS_AT_ONCE * HOUR_US))
        for hour_us in range(first, closed_us, HOUR_US):
            # Not read within the writing transaction: on SQLite every charge would wait meanwhile.
            async with self._database.read() as connection:
                sums = await traffic_sums.of_hour(connection, hour_us)
            async with self._database.begin() as connection:
                await traffic_sums.replace(connection, hour_us, hour_us + HOUR_US, sums)
        return await self._add_new(open_us, closed_us) and closed_us >= open_us

    async def _add_new(self, open_us: int, closed_us: int) -> bool:
        """Adds the records that are new to their hours; False if another process was faster."""
        async with self._database.read() as connection:
            seen = await _remembered(connection, _SEEN)
            newest = await connection.scalar(sa.select(sa.func.max(activity_log.c.id))) or 0
            sums = await traffic_sums.of_records(connection, open_us, seen, newest)
        async with self._database.begin() as connection:
            if not await _advance(connection, seen, newest):
                return False
            if seen is None:
                await traffic_sums.replace(connection, open_us, None, sums)
            else:
                await traffic_sums.add(connection, sums)
            await _remember(connection, _MARK, closed_us)
            await _remember(connection, _ADDED_AT, self._clock.now_us())
            oldest_us = open_us - (_KEPT_HOURS - 1) * HOUR_US
            await connection.execute(sa.delete(traffic_hours).where(traffic_hours.c.hour_us < oldest_us))
        return True

    async def _first_hour(self, connection: AsyncConnection, open_us: int) -> int | None:
        """The first hour that is not closed, None if there is no record at all."""
        oldest_us = open_us - (_KEPT_HOURS - 2) * HOUR_US
        mark = await _remembered(connection, _MARK)
        if mark is not None:
            return max(mark, oldest_us)
        first = await connection.scalar(sa.select(sa.func.min(activity_log.c.created_at_us)))
        return None if first is None else max(int(first) // HOUR_US * HOUR_US, oldest_us)

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


async def sums_since(connection: AsyncConnection, from_hour_us: int) -> dict[tuple[str, str], Figures]:
    """The figures of all hours from that one on."""
    table = traffic_hours.c
    names = (
        "requests", "errors", "tokens", "latency_us", "first_token_us", "first_tokens", "streamed_tokens", "streamed_us",
    )  # fmt: skip
    sums = [traffic_sums.total(table[name]).label(name) for name in names]
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


async def _remembered(connection: AsyncConnection, name: str) -> int | None:
    value = await connection.scalar(sa.select(meta.c.value).where(meta.c.name == name))
    return None if value is None else int(value)


async def _advance(connection: AsyncConnection, seen: int | None, newest: int) -> bool:
    """Says that the sums hold the records up to `newest`, unless another process has added after `seen`."""
    insert: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    change: Any
    if seen is None:
        change = insert.insert(meta).values(name=_SEEN, value=str(newest)).on_conflict_do_nothing()
    else:
        change = sa.update(meta).where(meta.c.name == _SEEN, meta.c.value == str(seen)).values(value=str(newest))
    return bool((await connection.execute(change)).rowcount)


async def _remember(connection: AsyncConnection, name: str, number: int) -> None:
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(meta).values(name=name, value=str(number))
    await connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"value": str(number)}))
