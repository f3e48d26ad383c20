"""Rows that share values are inserted several at a time: whatever they are, they are stored as they are, and in order."""

import sqlite3
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from gatewayz.billing import sqlite_rows
from gatewayz.billing.sqlite_rows import Inserts

COLUMNS = ("name", "kind", "amount", "note", "tag", "flag")
things = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("tag", sa.Text),
    sa.Column("flag", sa.Boolean, nullable=False),
)


class Told(sqlite3.Cursor):
    """A cursor that remembers what it was asked: the texts, and how many values came with each."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.asked: list[tuple[str, int]] = []

    def execute(self, sql: str, parameters: Any = (), /) -> "Told":
        self.asked.append((sql, len(parameters)))
        super().execute(sql, parameters)
        return self


@pytest.fixture
def cursor() -> Iterator[Told]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(str(sa.schema.CreateTable(things)))
    yield Told(connection)
    connection.close()


def usual(name: object, **other: Any) -> tuple[Any, ...]:
    values = {"name": str(name), "kind": "api_usage", "amount": 0, "note": None, "tag": None, "flag": False} | other
    return tuple(values[column] for column in COLUMNS)


def stored(cursor: Told) -> Sequence[tuple[Any, ...]]:
    return cursor.connection.execute(f"SELECT {', '.join(COLUMNS)} FROM things ORDER BY id").fetchall()


def inserts() -> Inserts:
    return Inserts(things, COLUMNS, ("kind", "amount"))


@pytest.mark.parametrize("seed", range(3))
def test_any_rows_are_stored_in_their_order(cursor: Told, seed: int) -> None:
    random, number, sent, own = Random(seed), 0, list[tuple[Any, ...]](), inserts()
    for _ in range(2 * sqlite_rows._KEPT_FOR):
        rare = random.choice((0.0, 0.01, 0.5, 1.0))
        batch = []
        for _ in range(random.randrange(1, 40)):
            number += 1
            kinds = ("api_usage", "revenue", "api_usage'", "?", "")
            other = {
                "kind": random.choice(kinds), "amount": random.choice((0, 1, -5, 2**63 - 1)), "flag": random.random() < 0.5,
                "note": random.choice((None, "", "revenue", "NULL")), "tag": random.choice((None, "é😀'")),
            }  # fmt: skip
            batch.append(usual(number, **{name: value for name, value in other.items() if random.random() < rare}))
        own.run(cursor, batch)
        sent += batch
    assert stored(cursor) == sent


def test_what_all_rows_share_is_not_bound_and_few_statements_take_them(cursor: Told) -> None:
    inserts().run(cursor, [usual(number) for number in range(28)])
    assert [values for _, values in cursor.asked] == [16, 4, 4, 4]
    assert stored(cursor) == [usual(number) for number in range(28)]


def test_a_column_that_is_filled_now_and_then_brings_no_statement_with_every_batch(cursor: Told) -> None:
    own = inserts()
    for batch in range(sqlite_rows._KEPT_FOR):
        note = "now" if batch % 2 else None
        own.run(cursor, [usual(f"{batch}:{number}", note=note) for number in range(4)])
    assert len({text for text, _ in cursor.asked}) == 2
    assert cursor.asked[-1][1] == 4 * 2, "it is bound from then on"
    own.run(cursor, [usual(f"later:{number}") for number in range(4)])
    assert cursor.asked[-1][1] == 4, "and looked at anew some day"


def test_nothing_in_common_binds_everything(cursor: Told) -> None:
    rows = [("a", "x", 5, "n", "t", True), ("b", "y", 6, None, None, False), ("c", "z", 7, "m", "s", True)]
    inserts().run(cursor, rows)
    assert stored(cursor) == rows


def test_a_row_that_stands_already_undoes_the_whole_transaction(cursor: Told) -> None:
    cursor.execute("BEGIN IMMEDIATE")
    cursor.execute("INSERT INTO things (name, kind, amount, flag) VALUES ('before', 'k', 1, 0)")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE") as caught:
        inserts().run(cursor, [usual(number % 20) for number in range(28)])
    assert caught.value.sqlite_errorname == "SQLITE_CONSTRAINT_UNIQUE"
    assert not cursor.connection.in_transaction
    assert stored(cursor) == []
