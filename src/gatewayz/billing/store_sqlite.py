"""Batches on SQLite: one thread with one connection, one `BEGIN IMMEDIATE … COMMIT` per batch."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

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
    INSERT_LEDGER,
    INSERT_RECORD,
    KEY_COLUMNS,
    LEASE_COLUMNS,
    LEDGER_COLUMNS,
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
from gatewayz.billing.tables import credit_transactions
from gatewayz.infra.db import open_sqlite
from gatewayz.operations.records import RECORD_COLUMNS
from gatewayz.operations.tables import activity_log

_UNIQUE = frozenset({"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})
# What stands in the text of a statement where all of its rows have it: it need not be bound for each of them, and for
# None and truths, of which most records have nearly a dozen, the driver would look for an adapter each time.
_Often = tuple[tuple[int, ...], Callable[[tuple[Any, ...]], tuple[Any, ...]]]
_LITERALS = {None: "NULL", False: "0", True: "1", "api_usage": "'api_usage'", "revenue": "'revenue'"}
# Rows that one statement inserts, in turn: each run of a statement gives the interpreter away and waits for it again.
_AT_ONCE = (16, 4, 1)


class SqliteStore:
    """Applies batches in a thread of its own, so that a commit never blocks the event loop."""

    def __init__(self, path: str, new_books: Callable[[], Books]) -> None:
        """`new_books` gives empty books with the time and thresholds of this moment."""
        self._path = path
        self._new_books = new_books
        self._thread = OwnThread("ledger")
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None

    def apply(self, batch_id: str, batch: Sequence[Operation]) -> "asyncio.Future[list[Result]]":
        """See `Store.apply`."""
        return self._thread.run(self._apply, batch_id, batch)

    def is_committed(self, batch_id: str) -> "asyncio.Future[bool]":
        """See `Store.is_committed`."""
        return self._thread.run(self._is_committed, batch_id)

    async def close(self) -> None:
        """Waits for the running batch and closes the connection. May be called twice."""
        await asyncio.to_thread(self._thread.stop)
        self._drop()

    def _apply(self, batch_id: str, batch: Sequence[Operation]) -> list[Result]:
        results: list[Result] | None = None
        try:
            cursor = self._cursor or self._open()
            cursor.execute("BEGIN IMMEDIATE")
            books = self._new_books()
            cursor.execute(INSERT_BATCH, (batch_id, books.now_us))
            _load(cursor, books, batch)
            results = post(books, batch)
            for statement, rows in writes(books):
                if len(rows) > 1 and statement in _OFTEN_LITERAL:
                    _insert(cursor, statement, rows)
                else:
                    cursor.executemany(statement, rows)
            cursor.execute("COMMIT")
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
            cursor = self._cursor or self._open()
            return cursor.execute(FIND_BATCH, (batch_id,)).fetchone() is not None
        except sqlite3.Error as error:
            self._drop()
            raise StoreAway(str(error)) from error

    def _open(self) -> sqlite3.Cursor:
        self._connection = open_sqlite(self._path)
        self._cursor = self._connection.cursor()
        return self._cursor

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = self._cursor = None


def _load(cursor: sqlite3.Cursor, books: Books, batch: Sequence[Operation]) -> None:
    wanted = reads(batch)
    if users := wanted.user_ids:
        found = _select(cursor, BALANCE_COLUMNS, "balances", "user_id", users)
        books.balances = {row[0]: read_balance(row) for row in found}
    if holds := wanted.hold_ids:
        books.holds = {row[0]: read_hold(row) for row in _select(cursor, HOLD_COLUMNS, "holds", "id", holds)}
    if leases := wanted.lease_ids:
        books.leases = {row[0]: read_lease(row) for row in _select(cursor, LEASE_COLUMNS, "leases", "id", leases)}
    if keys := wanted.key_ids:
        books.keys = {row[0]: read_key(row) for row in _select(cursor, KEY_COLUMNS, "key_usage", "key_id", keys)}
    for claim in wanted.claims:
        cursor.execute(_FIND_CLAIM, claim)
        if row := cursor.fetchone():
            books.claims[claim] = read_claim(row)


_FIND_CLAIM = f"SELECT {CLAIM_COLUMNS} FROM idempotency WHERE user_id = ?1 AND request_id = ?2"  # noqa: S608


def _select(
    cursor: sqlite3.Cursor, columns: str, table: str, key: str, ids: Collection[Any]
) -> Iterable[tuple[Any, ...]]:
    return cursor.execute(_selection(columns, table, key, len(ids)), tuple(ids))


# As many parameters as a batch has operations, at most 512; SQLite takes 32,766.
@lru_cache(maxsize=512)
def _selection(columns: str, table: str, key: str, count: int) -> str:
    return f"SELECT {columns} FROM {table} WHERE {key} IN ({', '.join('?' * count)})"  # noqa: S608


class _Insertion(NamedTuple):
    """How rows that have some values in common are inserted: what is bound of a row, and a statement for so many rows."""

    bound: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    statements: tuple[tuple[int, str], ...]


def _insert(cursor: sqlite3.Cursor, statement: str, rows: list[tuple[Any, ...]]) -> None:
    """Runs an insert of one row for many, in their order, with few statements."""
    often, often_of = _OFTEN_LITERAL[statement]
    shared = tuple(
        (place, _LITERALS[column[0]])
        for place, column in zip(often, zip(*map(often_of, rows), strict=True), strict=True)
        if column[0] in _LITERALS and column.count(column[0]) == len(rows)
    )
    bound, statements = _insertion(statement, shared)
    bound_rows, at = list(map(bound, rows)), 0
    for size, many in statements:
        while len(rows) - at >= size:
            cursor.execute(many, list(chain.from_iterable(bound_rows[at : at + size])))
            at += size


@lru_cache(maxsize=128)
def _insertion(statement: str, shared: tuple[tuple[int, str], ...]) -> _Insertion:
    before, values = statement.rstrip(")").split("VALUES (")
    # A statement that may have to undo some of its rows copies each page before it changes it: this one undoes all.
    before = before.replace("INSERT", "INSERT OR ROLLBACK")
    literals, width = dict(shared), len(values.split(","))
    one = f"({', '.join(literals.get(place, '?') for place in range(width))})"
    bound = itemgetter(*(place for place in range(width) if place not in literals))
    return _Insertion(bound, tuple((size, f"{before}VALUES {', '.join([one] * size)}") for size in _AT_ONCE))


def _literals_of(table: sa.Table, columns: Sequence[str], *names: str) -> _Often:
    """The places of columns that rows often have in common: those that may be null or are truths, and these."""
    places = tuple(
        place
        for place, name in enumerate(columns)
        if name in names or table.c[name].nullable or isinstance(table.c[name].type, sa.Boolean)
    )
    return places, itemgetter(*places)


# The tables of which every charge inserts a row.
_OFTEN_LITERAL: dict[str, _Often] = {
    INSERT_LEDGER: _literals_of(
        credit_transactions, LEDGER_COLUMNS.split(", "), "type", "contra", "trial_nano_usd", "allowance_nano_usd"
    ),
    INSERT_RECORD: _literals_of(activity_log, RECORD_COLUMNS),
}
