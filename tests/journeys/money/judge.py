"""Holds what clients were told against what the database says, to the last nano-USD."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gatewayz.billing.tables import balances, credit_transactions, holds, leases
from gatewayz.infra.db import Database
from gatewayz.operations.tables import activity_log
from tests.journeys.money.load import Told
from tests.journeys.money.scene import ADOPT_S, FULL_COST_NANO, LIFE_S, SWEEP_S, Stage

USAGE_KINDS = ("api_usage", "hold", "refund")


@dataclass(frozen=True)
class Books:
    """Everything that the database knows about money."""

    balances: list[Any]
    ledger: list[Any]
    holds: list[Any]
    leases: list[Any]
    records: list[Any]


def read_books(database_url: str) -> Books:
    """All rows, as one moment saw them."""

    async def read() -> Books:
        database = Database(database_url)
        try:
            async with database.read() as connection:
                if not database.is_sqlite:
                    await connection.execution_options(isolation_level="REPEATABLE READ")
                tables = (balances, credit_transactions, holds, leases, activity_log)
                rows = [(await connection.execute(sa.select(table))).all() for table in tables]
            return Books(*map(list, rows))
        finally:
            await database.close()

    return asyncio.run(read())


def sums_agree(books: Books) -> None:
    """At every moment: a balance is what its ledger rows add up to, what is reserved is what promises hold."""
    moved: Counter[int] = Counter()
    promised: Counter[int] = Counter()
    for row in books.ledger:
        moved[row.user_id] += row.amount_nano_usd
    for row in [*books.holds, *books.leases]:
        promised[row.user_id] += row.amount_nano_usd
    for row in books.balances:
        whole = row.trial_nano_usd + row.allowance_nano_usd + row.purchased_nano_usd
        assert whole == moved[row.user_id], f"account {row.user_id}: {whole} in the balance, {moved[row.user_id]} moved"
        assert row.reserved_nano_usd == promised[row.user_id], (
            f"account {row.user_id}: reserved is not what is promised"
        )
    charged = sum(-row.amount_nano_usd for row in books.ledger if row.type == "api_usage")
    assert charged == sum(row.cost_nano_usd for row in books.records), "records and ledger tell different sums"
    pairs = Counter(row.request_id.rpartition(":")[0] for row in books.ledger if row.contra == "holds")
    assert set(pairs.values()) <= {2}, "a hold row without its refund row"
    assert sum(row.amount_nano_usd for row in books.ledger if row.contra == "holds") == 0


def wait_until_promises_end(database_url: str, life_s: float) -> Books:
    """The books once nobody holds anything any more. Fails if a hold or lease outlives its time and one sweep."""
    until = time.monotonic() + life_s + SWEEP_S + 3
    while True:
        books = read_books(database_url)
        if not books.holds and not books.leases:
            return books
        assert time.monotonic() < until, f"still promised: {books.holds} {books.leases}"
        time.sleep(0.25)


def wait_until_journals_are_posted(stage: Stage) -> None:
    """Returns when no settlement waits on disk. Fails if that takes longer than two looks for left journals."""
    until = time.monotonic() + 2 * ADOPT_S
    folder = stage.gateway.home / "journal"
    while any(path.stat().st_size for path in folder.glob("*.journal")):
        assert time.monotonic() < until, f"not posted: {list(folder.iterdir())}"
        time.sleep(0.1)


def judge(stage: Stage, told: Sequence[Told], *, life_s: float = LIFE_S, full_cost_nano: int = FULL_COST_NANO) -> Books:
    """The whole verdict, on a gateway that runs and has nothing to do. Returns the books it rests on.

    `told` is everything that the clients of these accounts were told, ever.
    `life_s` is the life of the longest promise, `full_cost_nano` what every complete answer costs.
    """
    wait_until_journals_are_posted(stage)
    books = wait_until_promises_end(stage.database_url, life_s)
    sums_agree(books)
    for row in books.balances:
        # No answer here can cost more than was set aside for it, so nothing excuses a balance below zero.
        assert row.purchased_nano_usd >= 0, f"account {row.user_id} has {row.purchased_nano_usd}"
        assert row.reserved_nano_usd == 0
    stage.note_served()
    accounts = {each.ask.customer.user_id for each in told}
    charges = {key: rows for key, rows in _charges(books).items() if key[0] in accounts}
    answers_are_charged_once(told, charges, full_cost_nano)
    nothing_else_is_charged(stage, told, charges, full_cost_nano)
    return books


Charges = dict[tuple[int, str], list[Any]]


def _charges(books: Books) -> Charges:
    """The charges by account and the client's request id, whatever the attempt."""
    known = {(row.user_id, row.request_id) for row in books.records}
    charges: Charges = defaultdict(list)
    for row in books.ledger:
        if row.type != "api_usage":
            continue
        name = row.request_id.partition(":")[2]
        if (row.user_id, name) not in known:
            name = name.rpartition(":")[0]
        assert (row.user_id, name) in known, f"{row.request_id} was charged and has no record"
        charges[row.user_id, name].append(row)
    return charges


def answers_are_charged_once(told: Sequence[Told], charges: Charges, full_cost_nano: int) -> None:
    """Every answer that was received in full is in the ledger exactly once, with the cost that it told."""
    for each in told:
        if not each.complete:
            continue
        assert each.request_id is not None
        rows = charges.get((each.ask.customer.user_id, each.request_id), [])
        assert len(rows) == 1, f"{len(rows)} charges for {each}"
        assert each.cost_nano == -rows[0].amount_nano_usd == full_cost_nano, f"{rows[0].amount_nano_usd} for {each}"


def nothing_else_is_charged(stage: Stage, told: Sequence[Told], charges: Charges, full_cost_nano: int) -> None:
    """All other charges belong to a client that left or was cut off, cost no more than the answer, and were served."""
    by_id: dict[tuple[int, str], list[Told]] = defaultdict(list)
    nameless: Counter[int] = Counter()
    for each in told:
        if each.request_id is None:
            nameless[each.ask.customer.user_id] += 1
        else:
            by_id[each.ask.customer.user_id, each.request_id].append(each)
    for (user_id, request_id), rows in charges.items():
        assert request_id in stage.served, f"{request_id} was charged and no provider was asked"
        known = by_id.get((user_id, request_id), [])
        if any(each.complete for each in known):
            continue
        assert sum(-row.amount_nano_usd for row in rows) <= full_cost_nano, f"{rows} for {known}"
        if known:
            assert any(each.cut or each.left for each in known), f"charged without an answer: {known}"
        else:
            nameless[user_id] -= 1
    assert all(count >= 0 for count in nameless.values()), "more charges than requests"
