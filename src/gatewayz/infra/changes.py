"""Changes that every process must hear of: a small table written in the transaction of the change, polled by all.

A job is done once by somebody; a change is heard once by everybody. Polling one indexed query a few times a second works
on every database, with or without Redis, and cannot lose a message while a process reconnects.
"""

import asyncio
from collections.abc import Callable

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.db import Database
from gatewayz.infra.glances import GlanceFailed
from gatewayz.infra.tables import changes

log = structlog.get_logger(__name__)

POLL_INTERVAL_S = 0.25
# Transactions commit out of order: a smaller id may appear after a larger one was read. Rows this young are read again.
_OVERLAP_US = 15 * US_PER_S
_RETENTION_US = 3600 * US_PER_S

_NEWER = (
    sa.select(changes.c.id, changes.c.created_at_us, changes.c.topic, changes.c.subject)
    .where(changes.c.id > sa.bindparam("floor"))
    .order_by(changes.c.id)
)

Listener = Callable[[str], None]


async def announce(connection: AsyncConnection, topic: str, subject: str, now_us: int) -> None:
    """Writes a change in the caller's transaction; all processes hear it after the commit."""
    await connection.execute(sa.insert(changes).values(topic=topic, subject=subject, created_at_us=now_us))


class ChangeFeed:
    """Tells this process's listeners of every change, each once. `heard` may be called with what we changed ourselves."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._newer = database.glance(_NEWER)
        self._listeners: dict[str, list[Listener]] = {}
        self._seen: dict[int, int] = {}
        self._floor = 0

    def on(self, topic: str, listener: Listener) -> None:
        """Calls `listener(subject)` for each change of `topic`; it must be quick and must not raise."""
        self._listeners.setdefault(topic, []).append(listener)

    def tell(self, topic: str, subject: str) -> None:
        """Tells the listeners of this process at once (the change itself was announced in the database)."""
        for listener in self._listeners.get(topic, ()):
            listener(subject)

    async def start(self) -> None:
        """Forgets what lies in the past: a process that starts has nothing cached yet."""
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(changes.c.id, changes.c.created_at_us))
            self._seen = {row.id: row.created_at_us for row in rows}
        self._raise_floor()

    async def poll(self) -> int:
        """Reads and tells new changes; returns how many. Raises GlanceFailed."""
        fresh = 0
        for change_id, created_at_us, topic, subject in await self._newer.ask(self._floor):
            if change_id not in self._seen:
                self._seen[change_id] = created_at_us
                self.tell(topic, subject)
                fresh += 1
        self._raise_floor()
        return fresh

    async def purge(self) -> None:
        """Deletes changes that every living process has long heard."""
        horizon = self._clock.now_us() - _RETENTION_US

        async def forget(connection: AsyncConnection, limit: int) -> int:
            old = sa.select(changes.c.id).where(changes.c.created_at_us < horizon).limit(limit)
            return (await connection.execute(sa.delete(changes).where(changes.c.id.in_(old)))).rowcount

        await self._database.in_pages(forget)

    async def run(self) -> None:
        """Polls until cancelled; a database that is away is tried again at the same pace."""
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            try:
                await self.poll()
            except GlanceFailed as error:
                log.warning("change_feed_unreachable", error=type(error).__name__)

    def _raise_floor(self) -> None:
        horizon = self._clock.now_us() - _OVERLAP_US
        old = [change_id for change_id, at_us in self._seen.items() if at_us < horizon]
        if old:
            self._floor = max(self._floor, max(old))
            self._seen = {change_id: at for change_id, at in self._seen.items() if change_id > self._floor}
