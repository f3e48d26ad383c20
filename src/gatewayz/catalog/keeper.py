"""Keeps the catalog of this process: loads it, and swaps it for a new one when somebody changed it."""

import asyncio
from collections.abc import Callable, Iterable

import sqlalchemy as sa
import structlog

from gatewayz.catalog.aliases import AliasTables
from gatewayz.catalog.merge import merged
from gatewayz.catalog.searching import SearchOf
from gatewayz.catalog.seed import TOPIC, apply_seed, packaged_seed
from gatewayz.catalog.snapshot import Catalog, build
from gatewayz.catalog.store import read_in_use
from gatewayz.catalog.sync_store import read_version, read_withheld
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import Clock
from gatewayz.infra.db import Database

log = structlog.get_logger(__name__)

_RETRY_S = 1.0


class CatalogKeeper:
    """`current` is the catalog to use for one whole request; a reload replaces it and never changes it.

    `search_of` is set by whoever knows the providers: it tells which offers search the web, from the next load on.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        feed: ChangeFeed,
        *,
        free_model_allowlist: Iterable[str] = (),
        tables: AliasTables | None = None,
    ) -> None:
        """`tables` are the alias tables, by default the packaged ones. Listens to the change topics `catalog` and `cache`."""
        self._database = database
        self._clock = clock
        self._free = frozenset(free_model_allowlist)
        self._tables = tables
        self.search_of: SearchOf | None = None
        self._stale = False
        self._reloading: asyncio.Task[None] | None = None
        # One load at a time, so that the rows read first are never made current last.
        self._loading = asyncio.Lock()
        self.current: Catalog = build((), (), tables)
        self._listeners: list[Callable[[], None]] = []
        feed.on(TOPIC, self._heard)
        feed.on("cache", self._heard)

    async def seed(self, content: bytes | None = None) -> bool:
        """Writes the packaged seed (or `content`) if the database does not come from it; returns whether it did."""
        async with self._database.begin() as connection:
            return await apply_seed(connection, packaged_seed() if content is None else content, self._clock.now_us())

    async def load(self) -> Catalog:
        """Reads the database and makes the result current. Raises database errors, then the last catalog stays."""
        async with self._loading:
            async with self._database.read() as connection:
                # Read first: rows that are newer than their version are shown under the next one as well.
                version = await read_version(connection)
                rows = await read_in_use(connection)
                withheld = await read_withheld(connection)
            # Ten thousand models take long enough to be felt by every request on the loop.
            self.current = await asyncio.to_thread(
                lambda: build(*merged(*rows, self._free, withheld), self._tables, version, self.search_of)
            )
            for listener in self._listeners:
                listener()
            return self.current

    def on_load(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after each load; it must be quick and must not raise."""
        self._listeners.append(listener)

    async def close(self) -> None:
        """Ends a reload that is under way. May be called twice."""
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.gather(self._reloading, return_exceptions=True)
            self._reloading = None

    def refresh(self) -> None:
        """Loads the catalog anew, in the background: something that it rests on beside the database has changed."""
        self._heard("")

    def _heard(self, subject: str) -> None:
        self._stale = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        while self._stale:
            self._stale = False
            try:
                await self.load()
            except (sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("catalog_reload_failed", error=type(error).__name__)
                self._stale = True
                await asyncio.sleep(_RETRY_S)
