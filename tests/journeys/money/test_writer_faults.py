"""What a writer meets beside lost connections: journals of the dead while it works, and faults that nobody foresaw."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from gatewayz.billing import grants
from gatewayz.billing.books import Books
from gatewayz.billing.journal import Journal
from gatewayz.billing.ops import Capture, Charge, HoldRef, Operation, Receipt, Result
from gatewayz.billing.store import More, Store, no_more
from gatewayz.billing.store_postgres import PostgresStore
from gatewayz.billing.store_sqlite import SqliteStore
from gatewayz.billing.tables import balances, credit_transactions
from gatewayz.billing.writer import Writer
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.operations.records import RequestRecord
from gatewayz.settings import Settings

USD = 1_000_000_000
USER = 7
EACH = 40


def new_store(database: Database, clock: ManualClock) -> Store:
    def books() -> Books:
        return Books(clock.now_us(), USD, USD)

    if database.is_sqlite:
        return SqliteStore(database.sqlite_path, books)
    return PostgresStore(database.postgres_dsn, books)


def capture(name: str) -> Capture:
    """One nano-USD for a request of this name."""
    record = RequestRecord(1, USER, 70, name, "/v1/chat/completions", "acme/chat", cost_nano_usd=1)
    charge = Charge(1, "acme/chat", "first", 10, 5, "{}", "{}")
    return Capture(f"{USER}:{name}", HoldRef(USER, 70, 0), charge, record)


@pytest.fixture
async def account(database: Database, clock: ManualClock) -> None:
    """One dollar."""
    async with database.begin() as connection:
        await grants.open_account(connection, Settings(), USER, clock.now_us(), trial=False)
        await grants.grant(connection, grants.Order(USER, USD, "fund", "test", "system", clock.now_us()))


async def charged(database: Database) -> int:
    """Nano-USD that have been charged; balance and ledger must agree on it."""
    async with database.read() as connection:
        left = await connection.scalar(sa.select(balances.c.purchased_nano_usd))
        moved = await connection.scalar(sa.select(sa.func.sum(credit_transactions.c.amount_nano_usd)))
    assert left == moved
    return USD - int(left or 0)


async def test_journals_of_the_dead_are_posted_while_the_living_go_on(
    account: None, database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    """Both go through one connection, and never into one transaction."""
    dead = Journal(tmp_path, "dead")
    for number in range(EACH):
        await dead.keep(f"batch{number}", [capture(f"dead{number}")])
    dead.close()
    writer = Writer(new_store(database, clock), Journal(tmp_path, "alive"))

    async def go_on() -> None:
        for number in range(EACH):
            await writer.submit(capture(f"alive{number}"))

    adopted, _ = await asyncio.gather(writer.adopt_orphans(), go_on())
    assert (adopted, writer.failures) == (EACH, 0)
    assert await charged(database) == 2 * EACH
    await writer.close()


class Surprising:
    """A store that fails as nobody foresaw, for as many batches as `faults` says."""

    def __init__(self, real: Store, faults: int) -> None:
        self.real = real
        self.faults = faults

    async def apply(self, batch_id: str, batch: Sequence[Operation], more: More = no_more) -> list[Result]:
        if self.faults:
            self.faults -= 1
            raise ZeroDivisionError("nobody foresaw this")
        return await self.real.apply(batch_id, batch, more)

    async def is_committed(self, batch_id: str) -> bool:
        return await self.real.is_committed(batch_id)

    async def close(self) -> None:
        await self.real.close()


@pytest.mark.parametrize("faults", [1, 2])
async def test_a_fault_that_nobody_foresaw_leaves_no_answer_hanging(
    faults: int, account: None, database: Database, clock: ManualClock
) -> None:
    """The batch is posted one by one; at worst one operation fails, and its caller hears of it."""
    writer = Writer(Surprising(new_store(database, clock), faults))
    async with asyncio.timeout(10):
        waiting = [writer.submit(capture(f"r{number}")) for number in range(3)]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        ZeroDivisionError if faults == 2 else Receipt,
        Receipt,
        Receipt,
    ]
    assert await charged(database) == 4 - faults
    await writer.close()
