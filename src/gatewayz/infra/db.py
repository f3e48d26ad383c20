"""The database: one engine for reads and one for writes over SQLite (WAL) or PostgreSQL, and one metadata for all rooms.

Times are BIGINT microseconds since the epoch, money is BIGINT nano-USD: both databases keep them exactly and compare them
alike. SQLite writers start with BEGIN IMMEDIATE, since a deferred transaction that turns into a write fails at once with
"database is locked" when another writer was faster.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from gatewayz.infra.glances import PostgresGlance, SqliteGlance

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite only numbers rows by itself for INTEGER PRIMARY KEY.
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BUSY_TIMEOUT_S = 10
# Rows that one transaction of much work does, and the least pause before the next. As long as it took others get their turn:
# SQLite lets who waits ask again now and then, and a transaction that begins at once would be faster.
PAGE = 500
_SHORTEST_PAUSE_S = 0.02


class Database:
    """Connections to one database. `begin` writes, `read` reads; both end their transaction themselves."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """`url` is a DATABASE_URL: `sqlite:///path`, `postgresql://…` (any driver suffix is replaced by ours)."""
        self.url = normal_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._writer = _sqlite_engine(self.url, immediate=True)
            self._reader = _sqlite_engine(self.url, immediate=False)
        else:
            self._writer = self._reader = create_async_engine(
                self.url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, pool_timeout=10
            )
        self._glances: list[SqliteGlance | PostgresGlance] = []

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A write transaction: committed at the end, rolled back on any exception."""
        async with self._writer.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; sees committed rows only."""
        async with self._reader.connect() as connection:
            yield connection

    async def in_pages(self, act: Callable[[AsyncConnection, int], Awaitable[int]]) -> int:
        """Acts in one short write transaction after the other until there is no full page to do; returns the rows of all.

        For work on rows that may be many: on SQLite every charge waits for the transaction that is under way. `act` gets a
        connection and how many rows it may do at most, and returns how many it did.
        """
        done = 0
        while True:
            began_s = time.monotonic()
            async with self.begin() as connection:
                page = await act(connection, PAGE)
            done += page
            if page < PAGE:
                return done
            await asyncio.sleep(max(_SHORTEST_PAUSE_S, time.monotonic() - began_s))

    def glance(self, query: sa.Select[Any]) -> SqliteGlance | PostgresGlance:
        """The means to ask a query again and again; its values are taken in the order of the text. Closed with the database."""
        text = str(query.compile(dialect=self._reader.dialect))
        glance = SqliteGlance(self.sqlite_path, text) if self.is_sqlite else PostgresGlance(self.postgres_dsn, text)
        self._glances.append(glance)
        return glance

    @property
    def sqlite_path(self) -> str:
        """Path of the SQLite file. Raises ValueError on PostgreSQL."""
        if not self.is_sqlite or not self.url.database:
            raise ValueError("not an SQLite file database")
        return self.url.database

    @property
    def postgres_dsn(self) -> str:
        """DSN without a driver suffix, as asyncpg takes it. Raises ValueError on SQLite."""
        if self.is_sqlite:
            raise ValueError("not a PostgreSQL database")
        query = dict(self.url.query)
        if "ssl" in query:
            query["sslmode"] = query.pop("ssl")  # as it is called in a DSN
        return self.url.set(drivername="postgresql", query=query).render_as_string(hide_password=False)

    def pool_figures(self) -> dict[str, int]:
        """Size and use of the write pool, for health pages."""
        pool: Any = self._writer.pool
        return {name: int(getattr(pool, name)()) for name in ("size", "checkedout", "overflow") if hasattr(pool, name)}

    async def ping(self) -> None:
        """Returns if the database answers. Raises sqlalchemy.exc.SQLAlchemyError or OSError otherwise."""
        async with self.read() as connection:
            await connection.execute(sa.text("SELECT 1"))

    async def close(self) -> None:
        """Closes all connections. May be called twice."""
        for glance in self._glances:
            await glance.close()
        await self._writer.dispose()
        if self._reader is not self._writer:
            await self._reader.dispose()


def normal_url(url: str) -> URL:
    """The URL with our async driver. Raises ValueError for other databases than SQLite and PostgreSQL."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError(
                "DATABASE_URL: SQLite needs a file, in-memory databases would be lost with each connection"
            )
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in ("postgresql", "postgres"):
        query = dict(parsed.query)
        if query.pop("channel_binding", "prefer") == "require":
            raise ValueError(
                "DATABASE_URL: this driver cannot bind channels; leave out channel_binding=require (sslmode still encrypts)"
            )
        sslmode = query.pop("sslmode", None)
        if sslmode:
            query["ssl"] = sslmode
        return parsed.set(drivername="postgresql+asyncpg", query=query)
    raise ValueError(f"DATABASE_URL: {backend} is not supported; use sqlite:///path or postgresql://…")


def open_sqlite(path: str) -> sqlite3.Connection:
    """A raw connection for code that runs in its own thread; autocommit, so BEGIN and COMMIT are explicit."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return connection


# FULL: a commit that was reported must survive a power cut, since the answer is sent on the strength of it.
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}",
)


# Kilobytes of pages. Several connections read now and then, mostly pages that the system has at hand anyway.
_SMALL_CACHE = "PRAGMA cache_size=-500"


def _sqlite_engine(url: URL, *, immediate: bool) -> AsyncEngine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    if immediate:
        engine = create_async_engine(url, poolclass=NullPool)
    else:
        engine = create_async_engine(url, pool_size=4, max_overflow=4)

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in (*_PRAGMAS, _SMALL_CACHE):
            cursor.execute(pragma)
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
