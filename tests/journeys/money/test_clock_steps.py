"""The wall clock is set an hour forward or back while money is promised: nothing is lost, nothing spent twice."""

from collections.abc import AsyncIterator, Callable

import pytest
import sqlalchemy as sa

from gatewayz.billing import grants
from gatewayz.billing.books import Books
from gatewayz.billing.cashier import Cashier
from gatewayz.billing.ops import Charge
from gatewayz.billing.store import AlreadyPosted
from gatewayz.billing.store_postgres import PostgresStore
from gatewayz.billing.store_sqlite import SqliteStore
from gatewayz.billing.sweep import Sweeper
from gatewayz.billing.tables import balances, credit_transactions, holds, leases
from gatewayz.billing.writer import Writer
from gatewayz.core.caller import SCOPES, Caller
from gatewayz.core.errors import PaymentRequired
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.operations.records import RequestRecord
from gatewayz.settings import Settings

USD = 1_000_000_000
CENT = USD // 100
HOUR_S = 3600.0
USER = 7
CALLER = Caller(USER, 70, "user", "free", frozenset(SCOPES))
SETTINGS = Settings()


class Process:
    """One process: a cashier, its writer and a sweeper. All processes of a test share one machine's clock."""

    def __init__(self, database: Database, clock: ManualClock, name: str) -> None:
        def books() -> Books:
            return Books(clock.now_us(), USD, USD)

        store = (
            SqliteStore(database.sqlite_path, books)
            if database.is_sqlite
            else PostgresStore(database.postgres_dsn, books)
        )
        self.writer = Writer(store)
        self.cashier = Cashier(self.writer, SETTINGS, clock, name)
        self.sweeper = Sweeper(database, self.writer, clock)

    async def serve(self, name: str, held: int, charged: int) -> None:
        """One request from hold to charge."""
        hold = await self.cashier.hold(CALLER, f"{USER}:{name}", held)
        await self.cashier.capture(hold, f"{USER}:{name}", charge(charged), record(name))


def charge(amount: int) -> Charge:
    return Charge(amount, "acme/chat", "first", 10, 5, "{}", "{}")


def record(name: str) -> RequestRecord:
    return RequestRecord(1, USER, 70, name, "/v1/chat/completions", "acme/chat")


@pytest.fixture
async def process(database: Database, clock: ManualClock) -> AsyncIterator[Callable[[str], Process]]:
    """Makes processes on an account with ten dollars."""
    async with database.begin() as connection:
        await grants.open_account(connection, SETTINGS, USER, clock.now_us(), trial=False)
        await grants.grant(connection, grants.Order(USER, 10 * USD, "fund", "test", "system", clock.now_us()))
    made: list[Process] = []

    def make(name: str) -> Process:
        made.append(Process(database, clock, name))
        return made[-1]

    yield make
    for each in made:
        await each.cashier.close()
        await each.writer.close()


async def left(database: Database) -> int:
    """Nano-USD in the balance; the sums are looked at, too."""
    async with database.read() as connection:
        row = (await connection.execute(sa.select(balances))).one()
        moved = await connection.scalar(sa.select(sa.func.sum(credit_transactions.c.amount_nano_usd)))
        promised = [
            await connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(table.c.amount_nano_usd), 0)))
            for table in (holds, leases)
        ]
    assert row.purchased_nano_usd == moved
    assert row.reserved_nano_usd == sum(promised)
    return int(row.purchased_nano_usd)


async def promises(database: Database) -> int:
    """How many holds and leases there are."""
    async with database.read() as connection:
        counts = [await connection.scalar(sa.select(sa.func.count()).select_from(table)) for table in (holds, leases)]
    return sum(count or 0 for count in counts)


async def test_a_slice_that_was_swept_after_a_step_forward_is_not_spent_again(
    process: Callable[[str], Process], database: Database, clock: ManualClock
) -> None:
    """A slice is free for all once the clock says that its time is over, so its old owner must not use it either."""
    one, other = process("one"), process("other")
    await one.serve("before", CENT, CENT)
    clock.step_wall(HOUR_S)
    assert await other.sweeper.sweep() == 1
    rest = await other.cashier.hold(CALLER, f"{USER}:rest", 10 * USD - CENT)
    with pytest.raises(PaymentRequired):
        await one.cashier.hold(CALLER, f"{USER}:again", CENT)
    await other.cashier.capture(rest, f"{USER}:rest", charge(10 * USD - CENT), record("rest"))
    assert await left(database) == 0


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_what_was_under_way_during_a_step_is_charged_once(
    step_s: float, process: Callable[[str], Process], database: Database, clock: ManualClock
) -> None:
    one, other = process("one"), process("other")
    leased = await one.cashier.hold(CALLER, f"{USER}:leased", CENT)
    direct = await one.cashier.hold(CALLER, f"{USER}:direct", 2 * USD)
    clock.step_wall(step_s)
    await other.sweeper.sweep()
    await one.cashier.capture(leased, f"{USER}:leased", charge(CENT), record("leased"))
    await one.cashier.capture(direct, f"{USER}:direct", charge(USD), record("direct"))
    assert await left(database) == 9 * USD - CENT


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_slices_heal_after_a_step(
    step_s: float, process: Callable[[str], Process], database: Database, clock: ManualClock
) -> None:
    """The owner goes on, its slice is not swept under its hands again, and goes back when it is idle."""
    one, other = process("one"), process("other")
    await one.serve("before", CENT, CENT)
    clock.step_wall(step_s)
    await other.sweeper.sweep()
    for number in range(8):
        clock.advance(SETTINGS.lease_s / 4)
        await one.serve(f"after{number}", CENT, CENT)
        await one.cashier.tend()
        await one.writer.drain(5)
        assert await other.sweeper.sweep() == 0
    assert await left(database) == 10 * USD - 9 * CENT
    clock.advance(SETTINGS.lease_s)
    await one.cashier.tend()
    await one.writer.drain(5)
    await other.sweeper.sweep()
    assert await promises(database) == 0


async def test_orphans_of_a_step_back_are_free_when_the_clock_has_caught_up(
    process: Callable[[str], Process], database: Database, clock: ManualClock
) -> None:
    dead, alive = process("dead"), process("alive")
    await dead.cashier.hold(CALLER, f"{USER}:leased", CENT)
    await dead.cashier.hold(CALLER, f"{USER}:direct", 2 * USD)
    clock.step_wall(-HOUR_S)
    await alive.sweeper.sweep()
    assert await promises(database) == 2
    clock.advance(HOUR_S + SETTINGS.request_deadline_s + 900)
    await alive.sweeper.sweep()
    assert await promises(database) == 0
    await alive.serve("everything", 10 * USD, 10 * USD)
    assert await left(database) == 0


async def test_a_request_id_is_charged_once_over_a_step(
    process: Callable[[str], Process], database: Database, clock: ManualClock
) -> None:
    """The unique ids of the ledger do not depend on any clock."""
    one = process("one")
    await one.serve("same", CENT, CENT)
    for step_s in (HOUR_S, -2 * HOUR_S):
        clock.step_wall(step_s)
        hold = await one.cashier.hold(CALLER, f"{USER}:same", CENT)
        with pytest.raises(AlreadyPosted):
            await one.cashier.capture(hold, f"{USER}:same", charge(CENT), record("same"))
    assert await left(database) == 10 * USD - CENT
