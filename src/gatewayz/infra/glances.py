"""One query that is asked again and again, a few times a second for as long as the process lives.

It has a connection of its own, without pool, transaction or anything else between it and the driver: most of what a process
at rest does is such questions, and each awakening empties caches that others need.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gatewayz.infra.own_thread import OwnThread

_CONNECT_TIMEOUT_S = 5.0
_BUSY_TIMEOUT_S = 10

Row = Sequence[Any]


class GlanceFailed(OSError):
    """The database could not be asked; the next question connects anew."""


class SqliteGlance:
    """The query in a thread of its own."""

    def __init__(self, path: str, text: str) -> None:
        """`text` takes its values at question marks."""
        self._path = path
        self._text = text
        self._thread = OwnThread("glance")
        self._connection: sqlite3.Connection | None = None

    async def ask(self, *values: Any) -> Sequence[Row]:
        """All rows. Raises GlanceFailed."""
        return await self._thread.run(self._ask, values)

    async def close(self) -> None:
        """Ends thread and connection. May be called twice."""
        await asyncio.to_thread(self._thread.stop)
        self._leave()

    def _ask(self, values: tuple[Any, ...]) -> Sequence[Row]:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
                )
            # Read to the end at once, so that no old state of the file is held.
            return self._connection.execute(self._text, values).fetchall()
        except sqlite3.Error as error:
            self._leave()
            raise GlanceFailed(str(error)) from error

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class PostgresGlance:
    """The query over one connection, as a prepared statement outside of any transaction: one round trip."""

    def __init__(self, dsn: str, text: str) -> None:
        """`text` takes its values at `$1`, `$2` …"""
        self._dsn = dsn
        self._text = text
        self._turn = asyncio.Lock()
        self._connection: Any = None

    async def ask(self, *values: Any) -> Sequence[Row]:
        """All rows. Raises GlanceFailed."""
        # Imported where it is used: a process on SQLite does without.
        asyncpg = import_module("asyncpg")
        async with self._turn:
            try:
                if self._connection is None:
                    self._connection = await asyncpg.connect(self._dsn, timeout=_CONNECT_TIMEOUT_S)
                rows: Sequence[Row] = await self._connection.fetch(self._text, *values)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                self._leave()
                raise GlanceFailed(str(error) or type(error).__name__) from error
            except BaseException:
                self._leave()
                raise
        return rows

    async def close(self) -> None:
        """Ends the connection. May be called twice."""
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None and not connection.is_closed():
                await connection.close(timeout=2)

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
