"""Batches on SQLite: one thread with one connection, one `BEGIN IMMEDIATE … COMMIT` per batch."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache

from gatewayz.billing.account import Balance
from gatewayz.billing.books import Books, KeyRow, LeaseRow, post, reads
from gatewayz.billing.ops import Operation, Result
from gatewayz.billing.sqlite_rows import Inserts
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
    More,
    StoreAway,
    no_more,
    read_claim,
    read_hold,
    writes,
)
from gatewayz.billing.tables import credit_transactions
from gatewayz.infra.db import open_sqlite
from gatewayz.infra.own_thread import OwnThread
from gatewayz.operations.records import RECORD_COLUMNS
from gatewayz.operations.tables import activity_log

# Charges of accounts without trial and allowance have these in common.
_OF_A_CHARGE = ("type", "contra", "trial_nano_usd", "allowance_nano_usd")
_UNIQUE = frozenset({"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})


class SqliteStore:
    """Applies batches in a thread of its own, so that a commit never blocks the event loop."""

    def __init__(self, path: str, new_books: Callable[[], Books]) -> None:
        """`new_books` gives empty books with the time and thresholds of this moment."""
        self._path = path
        self._new_books = new_books
        self._thread = OwnThread("ledger")
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        # The tables that get a row with every charge.
        self._inserts = {
            INSERT_LEDGER: Inserts(credit_transactions, LEDGER_COLUMNS.split(", "), _OF_A_CHARGE),
            INSERT_RECORD: Inserts(activity_log, RECORD_COLUMNS),
        }

    def apply(self, batch_id: str, batch: Sequence[Operation], more: More = no_more) -> "asyncio.Future[list[Result]]":
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
                if len(rows) > 1 and (inserts := self._inserts.get(statement)):
                    inserts.run(cursor, rows)
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
        books.balances = {row[0]: Balance(*row) for row in cursor.execute(_in(_BALANCES, len(users)), tuple(users))}
    if holds := wanted.hold_ids:
        books.holds = {row[0]: read_hold(row) for row in cursor.execute(_in(_HOLDS, len(holds)), tuple(holds))}
    if leases := wanted.lease_ids:
        books.leases = {row[0]: LeaseRow(*row) for row in cursor.execute(_in(_LEASES, len(leases)), tuple(leases))}
    if keys := wanted.key_ids:
        books.keys = {row[0]: KeyRow(*row) for row in cursor.execute(_in(_KEYS, len(keys)), tuple(keys))}
    for claim in wanted.claims:
        cursor.execute(_FIND_CLAIM, claim)
        if row := cursor.fetchone():
            books.claims[claim] = read_claim(row)


_BALANCES = f"SELECT {BALANCE_COLUMNS} FROM balances WHERE user_id"  # noqa: S608
_HOLDS = f"SELECT {HOLD_COLUMNS} FROM holds WHERE id"  # noqa: S608
_LEASES = f"SELECT {LEASE_COLUMNS} FROM leases WHERE id"  # noqa: S608
_KEYS = f"SELECT {KEY_COLUMNS} FROM key_usage WHERE key_id"  # noqa: S608
_FIND_CLAIM = f"SELECT {CLAIM_COLUMNS} FROM idempotency WHERE user_id = ?1 AND request_id = ?2"  # noqa: S608


# As many parameters as a batch has operations, at most 512; SQLite takes 32,766.
@lru_cache(maxsize=512)
def _in(selection: str, count: int) -> str:
    return f"{selection} IN ({', '.join('?' * count)})"
