"""Batches on PostgreSQL: one connection, rows locked in one order, three or four round trips to a batch.

A commit begins the transaction of the batch that follows at once, so that nobody waits for a BEGIN.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg

from gatewayz.billing import postgres_batch
from gatewayz.billing.books import Books, KeyRow, post, reads
from gatewayz.billing.ops import Operation, Result
from gatewayz.billing.store import (
    CLAIM_COLUMNS,
    FIND_BATCH,
    KEY_COLUMNS,
    UNSTORABLE,
    AlreadyPosted,
    BadOperation,
    More,
    StoreAway,
    for_postgres,
    no_more,
    read_claim,
)

# A database that hangs is as good as away: all answers of this process wait for the batch under way.
BATCH_TIMEOUT_S = 5.0
# The server counts rows for its autovacuum when a connection is outside of any transaction, so now and then it has to be.
LONGEST_CHAIN_S = 0.5

# The server or the driver refuses a value; the connection is well.
_REFUSED = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, *UNSTORABLE)
# The driver's own confusion is among them: a server that says goodbye between two statements causes it.
_AWAY = (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class PostgresStore:
    """Applies batches over one connection of its own, opened when needed and again after a fault."""

    def __init__(self, dsn: str, new_books: Callable[[], Books]) -> None:
        """`new_books` gives empty books with the time and thresholds of this moment."""
        self._dsn = dsn
        self._new_books = new_books
        self._connection: Any = None
        self._begun_s = 0.0  # when BEGIN was last said
        # The journals of dead processes are posted beside the batches of this one; on one connection the statements of
        # two batches would end up in one transaction.
        self._turn = asyncio.Lock()

    async def apply(self, batch_id: str, batch: Sequence[Operation], more: More = no_more) -> list[Result]:
        """See `Store.apply`."""
        async with self._turn:
            return await self._apply(batch_id, batch, more)

    async def is_committed(self, batch_id: str) -> bool:
        """See `Store.is_committed`."""
        async with self._turn:
            try:
                async with asyncio.timeout(BATCH_TIMEOUT_S):
                    connection = await self._open()
                    return await connection.fetchval(for_postgres(FIND_BATCH), batch_id) is not None
            except _AWAY as error:
                await self._drop()
                raise StoreAway(type(error).__name__) from error

    async def close(self) -> None:
        """Closes the connection. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            await connection.close(timeout=2)

    async def _apply(self, batch_id: str, batch: Sequence[Operation], more: More) -> list[Result]:
        results: list[Result] | None = None
        now_s = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(BATCH_TIMEOUT_S):
                connection = await self._open()
                # Not asyncpg's transaction block: on its way out it would wait for a ROLLBACK that a hanging server
                # never answers, where dropping the connection ends the transaction at once.
                if not connection.is_in_transaction():
                    self._begun_s = now_s()
                    await connection.execute("BEGIN")
                try:
                    books = self._new_books()
                    await _load(connection, books, batch)
                    results = post(books, batch)
                    await postgres_batch.write(connection, books, batch_id)
                    goes_on = more() and now_s() - self._begun_s < LONGEST_CHAIN_S
                    await connection.execute("COMMIT AND CHAIN" if goes_on else "COMMIT")
                except (*_REFUSED, LookupError):
                    await connection.execute("ROLLBACK")
                    raise
        except asyncpg.UniqueViolationError as error:
            raise AlreadyPosted(error.constraint_name or "unique") from error
        except _REFUSED as error:
            raise BadOperation(f"{type(error).__name__}: {error}") from error
        except _AWAY as error:
            await self._drop()
            raise StoreAway(type(error).__name__, results) from error
        except BaseException:
            # Whatever it was, the transaction ends with its connection and never leaks into the next batch.
            await self._drop()
            raise
        return results

    async def _open(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            # No limit for single commands: the batch has one, and their timers would cost a tenth of its CPU time.
            connection = await asyncpg.connect(self._dsn, timeout=BATCH_TIMEOUT_S)
            self._connection = connection
            await connection.execute(postgres_batch.PREPARE)
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _load(connection: Any, books: Books, batch: Sequence[Operation]) -> None:
    wanted = reads(batch)
    if wanted.user_ids:
        await postgres_batch.read(connection, books, wanted)
    if wanted.key_ids:
        query = f"SELECT {KEY_COLUMNS} FROM key_usage WHERE key_id = ANY($1::bigint[])"  # noqa: S608
        for row in await connection.fetch(query, list(wanted.key_ids)):
            books.keys[row[0]] = KeyRow(*row)
    for user_id, request_id in sorted(wanted.claims):
        query = f"SELECT {CLAIM_COLUMNS} FROM idempotency WHERE user_id = $1 AND request_id = $2 FOR UPDATE"  # noqa: S608
        found = await connection.fetchrow(query, user_id, request_id)
        if found:
            books.claims[(user_id, request_id)] = read_claim(found)
