"""A batch in two statements of PostgreSQL: one that locks and reads, one that writes.

A round trip costs a worker more than the rows that travel in it, and while it lasts other workers wait for the locked
balances. So all tables are written by one statement, and the rows of each travel as one JSON text: the driver would look at
every single value of an array, which costs a worker several times what the whole text does, and the database no less.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gatewayz.billing.account import Balance
from gatewayz.billing.books import Books, LeaseRow, Reads
from gatewayz.billing.store import (
    ADD_KEY_USE,
    BALANCE_COLUMNS,
    DELETE_HOLD,
    DELETE_LEASE,
    HOLD_COLUMNS,
    INSERT_BATCH,
    INSERT_HOLD,
    INSERT_LEDGER,
    INSERT_RECORD,
    LEASE_COLUMNS,
    LEDGER_COLUMNS,
    SPEND_LEASE,
    UPDATE_BALANCE,
    UPSERT_LEASE,
    for_postgres,
    read_hold,
    writes,
)
from gatewayz.billing.tables import balances, credit_transactions, holds, key_usage, leases, ledger_batches
from gatewayz.operations.records import RECORD_COLUMNS
from gatewayz.operations.tables import activity_log

_BALANCE, _HOLD, _LEASE = 0, 1, 2

# Plans are made once, for any number of rows, and look rows up by their keys: a plan that reads a whole table, made while
# the table was small, would stay when it is not small any more.
PREPARE = (
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
    " SET enable_hashjoin = off; SET enable_mergejoin = off"
)


def _padded(columns: str, kind: int, key: str, table: str) -> str:
    """One row type for all that is read: what it is, its text id if it has one, and up to 13 numbers."""
    names = [name.strip() for name in columns.split(",")]
    numbers = [f"{name}::bigint" for name in names if name != "id"]
    numbers += ["NULL::bigint"] * (_WIDTH - len(numbers))
    return f"SELECT {kind}, {key}, {', '.join(numbers)} FROM {table}"  # noqa: S608


_WIDTH = len(BALANCE_COLUMNS.split(","))
# The balance rows come first and are always taken in the order of their ids: holds, leases and key counters of an account
# change only under its balance lock, so no two batches can wait for each other in a circle. A statement sees what was
# committed before it began, but for rows that it locks, which it sees as they are then: so the promises are locked as
# well, and only once all balances are (the condition on `b`), which is when nobody else can change them.
READ = f"""
WITH b AS MATERIALIZED
 (SELECT {BALANCE_COLUMNS} FROM balances WHERE user_id = ANY($1::bigint[]) ORDER BY user_id FOR UPDATE),
h AS MATERIALIZED
 (SELECT {HOLD_COLUMNS} FROM holds WHERE id = ANY($2::text[]) AND (SELECT count(*) FROM b) >= 0 FOR UPDATE),
l AS MATERIALIZED
 (SELECT {LEASE_COLUMNS} FROM leases WHERE id = ANY($3::text[]) AND (SELECT count(*) FROM b) >= 0 FOR UPDATE)
{_padded(BALANCE_COLUMNS, _BALANCE, "NULL::text", "b")}
UNION ALL {_padded(HOLD_COLUMNS.replace("key_metered", "key_metered::int"), _HOLD, "id", "h")}
UNION ALL {_padded(LEASE_COLUMNS, _LEASE, "id", "l")}
"""  # noqa: S608


async def read(connection: Any, books: Books, wanted: Reads) -> None:
    """Locks the balances, holds and leases of a batch and loads them."""
    for row in await connection.fetch(READ, list(wanted.user_ids), list(wanted.hold_ids), list(wanted.lease_ids)):
        values = tuple(row)
        kind, key = values[0], values[1]
        if kind == _BALANCE:
            books.balances[values[2]] = Balance(*values[2:])
        elif kind == _LEASE:
            books.leases[key] = LeaseRow(*values[1:5])
        else:
            books.holds[key] = read_hold(values[1:8])


def _types(table: sa.Table, columns: Sequence[str]) -> list[str]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [table.c[name.strip()].type.compile(dialect=dialect) for name in columns]


_INSERTED = re.compile(r"VALUES \(([^)]*)\)")
_VALUE = re.compile(r"\?(\d+)")
_BALANCE_WRITTEN = re.findall(r"(\w+) = \?", UPDATE_BALANCE)


def _from_rows(statement: str, types: Sequence[str], parameter: int) -> str:
    """A statement for one row (`?1` is its first value) as one for many, which are an array of arrays in JSON."""
    rows = f"jsonb_array_elements(${parameter}::jsonb) AS n(cells)"
    if "VALUES" in statement:
        many = _INSERTED.sub(lambda values: f"SELECT {values[1]} FROM {rows}", statement)  # noqa: S608
    else:
        joined = "USING" if statement.startswith("DELETE") else "FROM"
        many = statement.replace(" WHERE ", f" {joined} {rows} WHERE ")
    return _VALUE.sub(lambda value: f"(n.cells->>{int(value[1]) - 1})::{types[int(value[1]) - 1]}", many)


# The statements that may stand in one: no two of them write the same row.
_TOGETHER: dict[str, list[str]] = {
    INSERT_BATCH: _types(ledger_batches, ["id", "created_at_us"]),
    UPDATE_BALANCE: _types(balances, [_BALANCE_WRITTEN[-1], *_BALANCE_WRITTEN[:-1]]),
    INSERT_HOLD: _types(holds, HOLD_COLUMNS.split(",")),
    DELETE_HOLD: _types(holds, ["id"]),
    SPEND_LEASE: _types(leases, ["id", "amount_nano_usd"]),
    UPSERT_LEASE: _types(leases, LEASE_COLUMNS.split(",")),
    DELETE_LEASE: _types(leases, ["id"]),
    ADD_KEY_USE: _types(
        key_usage,
        ["key_id", "user_id", "requests", "tokens", "spent_nano_usd", "held_nano_usd", "held_requests", "day"],
    ),
    INSERT_LEDGER: _types(credit_transactions, LEDGER_COLUMNS.split(",")),
    INSERT_RECORD: _types(activity_log, RECORD_COLUMNS),
}


@cache
def write_statement(statements: tuple[str, ...]) -> str:
    """Several statements, each for many rows, as one; a parameter for the rows of each. They are few combinations."""
    parts = [
        f"w{place} AS ({_from_rows(statement.strip(), _TOGETHER[statement], place)})"
        for place, statement in enumerate(statements, 1)
    ]
    return f"WITH {', '.join(parts)} SELECT 1"


async def write(connection: Any, books: Books, batch_id: str) -> None:
    """Writes all that the batch changed, and its id."""
    statements, parameters = [INSERT_BATCH], [as_json([(batch_id, books.now_us)])]
    for statement, rows in writes(books):
        if statement in _TOGETHER:
            statements.append(statement)
            parameters.append(as_json(rows))
        else:
            await connection.executemany(for_postgres(statement), rows)
    await connection.execute(write_statement(tuple(statements)), *parameters)


def as_json(rows: list[tuple[Any, ...]]) -> str:
    """Rows as an array of arrays. Raises UnicodeError for a text that is none."""
    return _encode(rows).decode()


_encode = msgspec.json.Encoder().encode
