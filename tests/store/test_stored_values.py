"""What a batch writes is read back as it was, whatever it is: both stores pack rows in their own way."""

from collections.abc import Callable
from random import Random

import pytest
import sqlalchemy as sa
from msgspec.structs import astuple, replace

from gatewayz.billing.books import Books
from gatewayz.billing.ops import Capture, Charge, HoldRef
from gatewayz.billing.store import LEDGER_COLUMNS
from gatewayz.billing.store_postgres import PostgresStore
from gatewayz.billing.store_sqlite import SqliteStore
from gatewayz.billing.tables import balances, key_usage
from gatewayz.infra.db import Database
from gatewayz.operations.records import RECORD_COLUMNS, RequestRecord

NOW = 1_000
USER, RICH = 7, 10**12


def text(random: Random) -> str:
    """Anything that may be stored: quotes, backslashes, braces, control characters, every plane of Unicode."""
    letters = (
        "a",
        "1",
        '"',
        "'",
        "\\",
        "{",
        "}",
        "[",
        ",",
        ":",
        "null",
        "\\u0000",
        "\n",
        "\t",
        "\x01",
        "\x7f",
        "é",
        "\u2028",
        "😀",
    )
    return "".join(random.choice(letters) for _ in range(random.randrange(9)))


def any_capture(random: Random, number: int) -> Capture:
    """A capture whose every value may differ from what is usual."""
    maybe: Callable[[], str | None] = lambda: random.choice((None, "", text(random)))  # noqa: E731
    whole: Callable[[], int] = lambda: random.choice((0, 1, 2**31, 2**63 - 1, random.getrandbits(62)))  # noqa: E731
    charge = Charge(random.randrange(10**6), text(random), text(random), whole(), 0, text(random), text(random))
    record = RequestRecord(
        whole(), random.choice((None, USER)), whole(), f"r{number}{text(random)}", text(random), text(random),
        maybe(), maybe(), maybe(), maybe(), maybe(), random.random() < 0.5, random.randrange(-(2**31), 2**31), maybe(), maybe(),
        whole(), whole(), whole(), whole(), random.random() < 0.5, whole(), whole(), random.choice((None, whole())),
        maybe(), maybe(), maybe(), maybe(),
    )  # fmt: skip
    return Capture(f"7:{number}{text(random)}", HoldRef(USER, number, 0), charge, record)


@pytest.mark.parametrize("seed", range(5))
async def test_every_value_is_stored_as_it_is(database: Database, seed: int) -> None:
    random = Random(seed)
    captures = [any_capture(random, number) for number in range(40)]
    usual = RequestRecord(NOW, USER, 70, "r", "/v1/chat/completions", "acme/chat", stream=True, first_token_us=seed % 2)
    captures += [replace(any_capture(random, number), record=usual) for number in range(40, 44)]
    async with database.begin() as connection:
        await connection.execute(sa.insert(balances), [{"user_id": USER, "purchased_nano_usd": RICH}])
    new_books = lambda: Books(NOW, 0, 0)  # noqa: E731
    store = (
        SqliteStore(database.sqlite_path, new_books)
        if database.is_sqlite
        else PostgresStore(database.postgres_dsn, new_books)
    )
    try:
        for start, end in ((0, 1), (1, 3), (3, 40), (40, 44)):
            await store.apply(f"batch{start}", captures[start:end])
    finally:
        await store.close()
    async with database.read() as connection:
        columns = ", ".join(RECORD_COLUMNS)
        records = (await connection.execute(sa.text(f"SELECT {columns} FROM activity_log ORDER BY id"))).all()
        ledger = (
            await connection.execute(sa.text(f"SELECT {LEDGER_COLUMNS} FROM credit_transactions ORDER BY id"))
        ).all()
        counters = (await connection.execute(sa.select(key_usage).order_by(key_usage.c.key_id))).all()
    assert [tuple(row) for row in records] == [astuple(each.record) for each in captures]
    left, expected = RICH, []
    for each in captures:
        of = each.charge
        left -= of.amount
        expected.append(
            (each.ledger_id, USER, each.hold.key_id, "api_usage", "revenue", -of.amount, 0, 0, -of.amount, left, of.model,
             of.provider, of.prompt_tokens, of.completion_tokens, of.usage_json, of.price_json, None, NOW)
        )  # fmt: skip
    assert [tuple(row) for row in ledger] == expected
    assert [row.spent_nano_usd for row in counters] == [each.charge.amount for each in captures]
