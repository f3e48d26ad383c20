"""Batches on SQLite: one thread with one connection, one `BEGIN IMMEDIATE … COMMIT` per batch."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from gatewayz.billing.books import Books, post, reads
from gatewayz.billing.ops import Operation, Result
from gatewayz.billing.own_thread import OwnThread
from gatewayz.billing.store import (
    BALANCE_COLUMNS,
    CLAIM_COLUMNS,
    FIND_BATCH,
    HOLD_COLUMNS,
    INSERT_BATCH,
    INSERT_RECORD,
    KEY_COLUMNS,
    LEASE_COLUMNS,
    UNSTORABLE,
    AlreadyPosted,
    BadOperation,
    StoreAway,
    read_balance,
    read_claim,
    read_hold,
    read_key,
    read_lease,
    writes,
)
from gatewayz.infra.db import open_sqlite
from gatewayz.operations.records import RECORD_COLUMNS
from gatewayz.operations.tables import activity_log

_UNIQUE = frozenset({"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})
# The driver looks for an adapter each time that it binds one of these; most records have nearly a dozen.
_LITERALS = {None: "NULL", False: "0", True: "1"}
_OFTEN_LITERAL = tuple(
    place
    for place, name in enumerate(RECORD_COLUMNS)
    if activity_log.c[name].nullable or isinstance(activity_log.c[name].type, sa.Boolean)
)


class SqliteStore:
    """Applies batches in a thread of its own, so that a commit never blocks the event loop."""

    def __init__(self, path: str, new_books: Callable[[], Books]) -> None:
        """`new_books` gives empty books with the time and thresholds of this moment."""
        self._path = path
        self._new_books = new_books
        self._thread = OwnThread("ledger")
        self._connection: sqlite3.Connection | None = None

    async def apply(self, batch_id: str, batch: Sequence[Operation]) -> list[Result]:
        """See `Store.apply`."""
        return await self._thread.run(self._apply, batch_id, list(batch))

    async def is_committed(self, batch_id: str) -> bool:
        """See `Store.is_committed`."""
        return await self._thread.run(self._is_committed, batch_id)

    async def close(self) -> None:
        """Waits for the running batch and closes the connection. May be called twice."""
        await asyncio.to_thread(self._thread.stop)
        self._drop()

    def _apply(self, batch_id: str, batch: list[Operation]) -> list[Result]:
        results: list[Result] | None = None
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            books = self._new_books()
            connection.execute(INSERT_BATCH, (batch_id, books.now_us))
            _load(connection, books, batch)
            results = post(books, batch)
            for statement, rows in writes(books):
                if statement is INSERT_RECORD and len(rows) > 1:
                    statement, rows = _records(rows)
                connection.executemany(statement, rows)
            connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            self._roll_back()
            if error.sqlite_errorname in _UNIQUE:
                raise AlreadyPosted(str(error)) from error
            raise BadOperation(str(error)) from error
        except (sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError, *UNSTORABLE) as error:
            self._roll_back()
            raise BadOperation(f"{type(error).__name__}: {error}") from error
        except sqlite3.Error as error:
            # After a failed COMMIT the transaction may still be open; a fresh connection cannot see it.
            self._drop()
            raise StoreAway(str(error), results) from error
        except LookupError:
            self._roll_back()
            raise
        return results

    def _is_committed(self, batch_id: str) -> bool:
        try:
            return self._open().execute(FIND_BATCH, (batch_id,)).fetchone() is not None
        except sqlite3.Error as error:
            self._drop()
            raise StoreAway(str(error)) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_sqlite(self._path)
        return self._connection

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _load(connection: sqlite3.Connection, books: Books, batch: list[Operation]) -> None:
    wanted = reads(batch)
    for row in _select(connection, BALANCE_COLUMNS, "balances", "user_id", wanted.user_ids):
        books.balances[row[0]] = read_balance(row)
    for row in _select(connection, HOLD_COLUMNS, "holds", "id", wanted.hold_ids):
        books.holds[row[0]] = read_hold(row)
    for row in _select(connection, LEASE_COLUMNS, "leases", "id", wanted.lease_ids):
        books.leases[row[0]] = read_lease(row)
    for row in _select(connection, KEY_COLUMNS, "key_usage", "key_id", wanted.key_ids):
        books.keys[row[0]] = read_key(row)
    for user_id, request_id in wanted.claims:
        found = connection.execute(
            f"SELECT {CLAIM_COLUMNS} FROM idempotency WHERE user_id = ?1 AND request_id = ?2",  # noqa: S608
            (user_id, request_id),
        ).fetchone()
        if found:
            books.claims[(user_id, request_id)] = read_claim(found)


def _select(
    connection: sqlite3.Connection, columns: str, table: str, key: str, ids: Sequence[Any]
) -> Iterable[tuple[Any, ...]]:
    return connection.execute(_selection(columns, table, key, len(ids)), ids) if ids else ()


# As many parameters as a batch has operations, at most 512; SQLite takes 32,766.
@lru_cache(maxsize=512)
def _selection(columns: str, table: str, key: str, count: int) -> str:
    return f"SELECT {columns} FROM {table} WHERE {key} IN ({', '.join('?' * count)})"  # noqa: S608


def _records(rows: list[tuple[Any, ...]]) -> tuple[str, list[tuple[Any, ...]]]:
    """The statement for these records, and what it binds: nulls and truths that all of them share stand in its text."""
    columns = list(zip(*rows, strict=True))
    shared = tuple(
        (place, _LITERALS[first])
        for place in _OFTEN_LITERAL
        if (first := columns[place][0]) in _LITERALS and columns[place].count(first) == len(rows)
    )
    statement, bound = _insert_records(shared)
    return statement, list(map(bound, rows))


@lru_cache(maxsize=256)
def _insert_records(shared: tuple[tuple[int, str], ...]) -> tuple[str, Callable[[tuple[Any, ...]], tuple[Any, ...]]]:
    literals = dict(shared)
    values = ", ".join(literals.get(place, "?") for place in range(len(RECORD_COLUMNS)))
    bound = [place for place in range(len(RECORD_COLUMNS)) if place not in literals]
    return f"INSERT INTO activity_log ({', '.join(RECORD_COLUMNS)}) VALUES ({values})", itemgetter(*bound)  # noqa: S608
