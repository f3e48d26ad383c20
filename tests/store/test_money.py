"""Money on real databases: races, repeated batches, lost commits, sweeps."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec import structs

from gatewayz.billing import grants, ledger
from gatewayz.billing.books import Books
from gatewayz.billing.cashier import Cashier, Hold
from gatewayz.billing.journal import Journal, encode
from gatewayz.billing.ops import Charge, Claim, Operation, Receipt, Release, Result, StoredAnswer
from gatewayz.billing.recall import TOPIC, Recall
from gatewayz.billing.store import AlreadyPosted, BadOperation, More, Store, StoreAway, no_more
from gatewayz.billing.store_postgres import PostgresStore
from gatewayz.billing.store_sqlite import SqliteStore
from gatewayz.billing.sweep import Sweeper
from gatewayz.billing.tables import balances, credit_transactions, holds, idempotency, key_usage, leases
from gatewayz.billing.writer import Writer
from gatewayz.core.caller import SCOPES, Caller
from gatewayz.core.errors import PaymentRequired, Unavailable
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.operations.records import RequestRecord
from gatewayz.operations.tables import activity_log
from gatewayz.settings import Settings

USD = 1_000_000_000
CENT = USD // 100
USER = 7
CALLER = Caller(USER, 70, "user", "free", frozenset(SCOPES))


def new_store(database: Database, clock: ManualClock) -> Store:
    def books() -> Books:
        return Books(clock.now_us(), USD, 5 * USD)

    if database.is_sqlite:
        return SqliteStore(database.sqlite_path, books)
    return PostgresStore(database.postgres_dsn, books)


class Till:
    """A cashier with its writer, over one database; several of them are several processes."""

    def __init__(
        self,
        database: Database,
        clock: ManualClock,
        settings: Settings,
        name: str,
        store: Store | None = None,
        journal: Journal | None = None,
        recall: Recall | None = None,
    ) -> None:
        self.writer = Writer(store or new_store(database, clock), journal)
        self.cashier = Cashier(self.writer, settings, clock, name, recall)

    async def close(self) -> None:
        await self.cashier.close()
        await self.writer.close()


@pytest.fixture
async def till(database: Database, clock: ManualClock) -> AsyncIterator[Callable[..., Till]]:
    made: list[Till] = []

    def make(
        name: str = "p",
        store: Store | None = None,
        journal: Journal | None = None,
        recall: Recall | None = None,
        **settings: float,
    ) -> Till:
        chosen = replace(Settings(), **settings)  # type: ignore[arg-type]
        made.append(Till(database, clock, chosen, name, store, journal, recall))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def fund(database: Database, clock: ManualClock, amount: int, user_id: int = USER) -> None:
    async with database.begin() as connection:
        await grants.open_account(connection, Settings(), user_id, clock.now_us(), trial=False)
        if amount:
            order = grants.Order(user_id, amount, f"fund:{user_id}", "test", "system", clock.now_us())
            await grants.grant(connection, order)


def charge(amount: int) -> Charge:
    return Charge(amount, "acme/chat", "first", 10, 5, '{"prompt":10}', '{"prompt":1}')


def record(request_id: str) -> RequestRecord:
    return RequestRecord(1, USER, 70, request_id, "/v1/chat/completions", "acme/chat", cost_nano_usd=1)


async def total(database: Database) -> int:
    async with database.read() as connection:
        row = (await connection.execute(sa.select(balances).where(balances.c.user_id == USER))).one()
        moved = await connection.scalar(
            sa.select(sa.func.sum(credit_transactions.c.amount_nano_usd)).where(credit_transactions.c.user_id == USER)
        )
        held = await connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(holds.c.amount_nano_usd), 0)))
        leased = await connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(leases.c.amount_nano_usd), 0)))
    whole = row.trial_nano_usd + row.allowance_nano_usd + row.purchased_nano_usd
    assert whole == (moved or 0), "the balance is what the ledger rows add up to"
    assert row.reserved_nano_usd == held + leased, "what is reserved is what holds and leases promise"
    return int(whole)


async def count(database: Database, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0)


@pytest.mark.ac("AC-6.1.8", "AC-6.1.9")
async def test_an_answer_is_charged_with_its_record(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 10 * USD)
    cashier = till().cashier
    hold = await cashier.hold(CALLER, "7:r1", CENT)
    receipt = await cashier.capture(hold, "7:r1", charge(300_000), record("r1"))
    assert receipt.amount == 300_000
    assert await total(database) == 10 * USD - 300_000
    async with database.read() as connection:
        rows, matching = await ledger.page(connection, ledger.LedgerFilter(USER, type="api_usage"), 10, 0)
    assert matching == 1
    row = rows[0]
    assert (row["request_id"], row["user_id"], row["key_id"], row["model"]) == ("7:r1", USER, 70, "acme/chat")
    assert (row["prompt_tokens"], row["completion_tokens"], row["provider"]) == (10, 5, "first")
    assert row["purchased_nano_usd"] == -300_000
    assert await count(database, activity_log, activity_log.c.request_id == "r1") == 1


async def race(cashiers: Sequence[Cashier], requests: int, amount: int) -> int:
    """Requests that all start at once over several processes; returns how many were served."""

    async def one(number: int) -> bool:
        cashier = cashiers[number % len(cashiers)]
        try:
            hold = await cashier.hold(CALLER, f"7:race{number}", amount)
        except PaymentRequired:
            return False
        await asyncio.sleep(0)
        await cashier.capture(hold, f"7:race{number}", charge(amount), record(f"race{number}"))
        return True

    return sum(await asyncio.gather(*(one(number) for number in range(requests))))


async def test_two_hundred_race_for_money_that_pays_for_twenty(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 20 * CENT)
    assert await race([till().cashier], 200, CENT) == 20
    assert await total(database) == 0


async def test_the_same_race_through_four_processes(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 20 * CENT)
    assert await race([till(name).cashier for name in "abcd"], 200, CENT) == 20
    assert await total(database) == 0


async def test_a_rich_account_needs_no_durable_hold(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 100 * USD)
    one = till()
    taken = [await one.cashier.hold(CALLER, f"7:h{number}", CENT) for number in range(50)]
    assert await count(database, holds) == 0
    assert all(hold.ref.lease_id for hold in taken)
    assert one.writer.posted <= 3
    for number, hold in enumerate(taken):
        await one.cashier.capture(hold, f"7:h{number}", charge(CENT // 2), record(f"h{number}"))
    assert await total(database) == 100 * USD - 25 * CENT


@pytest.mark.ac("AC-6.1.4")
async def test_a_void_leaves_a_hold_and_a_refund_row(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 10 * CENT)
    cashier = till().cashier
    hold = await cashier.hold(CALLER, "7:v", 9 * CENT)
    await cashier.void(hold, "7:v", "provider_error", record("v"))
    assert await total(database) == 10 * CENT
    async with database.read() as connection:
        rows, _ = await ledger.page(connection, ledger.LedgerFilter(USER), 2, 0)
        without, shown = await ledger.page(connection, ledger.LedgerFilter(USER, include_holds=False), 10, 0)
    assert [(row["request_id"], row["amount_nano_usd"]) for row in rows] == [
        ("7:v:refund", 9 * CENT),
        ("7:v:hold", -9 * CENT),
    ]
    assert shown == len(without) == 2


async def test_a_hold_is_settled_once(till: Callable[..., Till], database: Database, clock: ManualClock) -> None:
    await fund(database, clock, USD)
    cashier = till().cashier
    hold = await cashier.hold(CALLER, "7:x", CENT)
    await cashier.capture(hold, "7:x", charge(1), record("x"))
    with pytest.raises(RuntimeError):
        await cashier.capture(hold, "7:x", charge(1), record("x"))


@pytest.mark.ac("AC-6.1.14")
async def test_the_database_itself_refuses_a_second_row(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, USD)
    cashier = till().cashier
    first = await cashier.hold(CALLER, "7:a", CENT)
    second = await cashier.hold(CALLER, "7:b", CENT)
    await cashier.capture(first, "7:same", charge(5), record("a"))
    with pytest.raises(AlreadyPosted):
        await cashier.capture(second, "7:same", charge(5), record("b"))
    assert await count(database, credit_transactions, credit_transactions.c.request_id == "7:same") == 1
    assert await count(database, activity_log, activity_log.c.request_id == "b") == 0
    with pytest.raises(sa.exc.IntegrityError):
        async with database.begin() as connection:
            order = grants.Order(USER, 5, "7:same", "x", "system", 1)
            await grants._write(connection, order, "bonus", "promotions", grants.Split(purchased=5), 0)


async def test_one_bad_operation_does_not_fail_its_batch(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, USD)
    cashier = till().cashier
    taken = [await cashier.hold(CALLER, f"7:{number}", CENT) for number in range(5)]
    await cashier.capture(taken[0], "7:taken", charge(1), record("0"))
    ids = ["7:one", "7:taken", "7:two", "7:three"]
    outcomes = await asyncio.gather(
        *(cashier.capture(hold, name, charge(1), record(name)) for hold, name in zip(taken[1:], ids, strict=True)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Receipt, AlreadyPosted, Receipt, Receipt]


class Flaky:
    """A store whose connection is lost: before the commit, or after it with the outcome unknown."""

    def __init__(self, real: Store) -> None:
        self.real = real
        self.lose: list[str] = []

    async def apply(self, batch_id: str, batch: Sequence[Operation], more: More = no_more) -> list[Result]:
        how = self.lose.pop(0) if self.lose else ""
        if how == "before":
            raise StoreAway("cut")
        results = await self.real.apply(batch_id, batch, more)
        if how == "after":
            raise StoreAway("cut", results)
        return results

    async def is_committed(self, batch_id: str) -> bool:
        return await self.real.is_committed(batch_id)

    async def close(self) -> None:
        await self.real.close()


@pytest.mark.parametrize("how", [["before"], ["after"], ["before", "after"], ["after", "before"], ["before", "before"]])
async def test_a_lost_commit_is_neither_lost_nor_doubled(
    how: list[str], till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, USD)
    flaky = Flaky(new_store(database, clock))
    cashier = till(store=flaky).cashier
    hold = await cashier.hold(CALLER, "7:cut", CENT)
    flaky.lose = list(how)
    receipt = await cashier.capture(hold, "7:cut", charge(123), record("cut"))
    assert receipt.amount == 123
    assert await total(database) == USD - 123
    assert await count(database, activity_log, activity_log.c.request_id == "cut") == 1


async def test_without_a_ledger_nothing_is_promised(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, USD)
    flaky = Flaky(new_store(database, clock))
    one = till(store=flaky)
    flaky.lose = ["before", "before", "before"]
    with pytest.raises(Unavailable) as refused:
        await one.cashier.hold(CALLER, "7:no", CENT)
    assert refused.value.code == "billing_unavailable"
    assert refused.value.headers["Retry-After"]


async def test_orphans_of_a_dead_process_are_swept(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 100 * USD)
    dead = till("dead")
    await dead.cashier.hold(CALLER, "7:leased", CENT)
    await dead.cashier.hold(CALLER, "7:direct", 50 * USD)
    dead.cashier._slices.clear()  # the process dies: it never gives anything back
    alive = till("alive")
    sweeper = Sweeper(database, alive.writer, clock)
    assert await sweeper.sweep() == 0
    clock.advance(61)
    await sweeper.sweep()
    assert await count(database, leases) == 0
    clock.advance(1300)
    await sweeper.sweep()
    assert await count(database, holds) == 0
    assert await total(database) == 100 * USD


async def test_a_swept_hold_is_charged_all_the_same(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 2 * USD)
    one = till(lease_usd=0)
    hold = await one.cashier.hold(CALLER, "7:late", USD)
    clock.advance(2000)
    assert await Sweeper(database, one.writer, clock).sweep() == 1
    await one.cashier.capture(hold, "7:late", charge(CENT), record("late"))
    assert await total(database) == 2 * USD - CENT


async def test_idle_slices_are_returned(till: Callable[..., Till], database: Database, clock: ManualClock) -> None:
    await fund(database, clock, 100 * USD)
    one = till()
    hold = await one.cashier.hold(CALLER, "7:i", CENT)
    await one.cashier.capture(hold, "7:i", charge(1), record("i"))
    clock.advance(31)
    await one.cashier.tend()
    await one.writer.drain(5)
    assert await count(database, leases) == 0
    assert await total(database) == 100 * USD - 1


async def test_a_process_own_slice_never_stands_in_its_way(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 10 * USD)
    cashier = till().cashier
    small = await cashier.hold(CALLER, "7:small", CENT)
    large = await cashier.hold(CALLER, "7:large", 10 * USD - CENT)
    assert large.ref.hold_id == "7:large"
    await cashier.capture(large, "7:large", charge(USD), record("large"))
    await cashier.capture(small, "7:small", charge(CENT), record("small"))
    assert await total(database) == 9 * USD - CENT


async def test_overrun_is_billed_and_the_next_request_refused(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, CENT)
    cashier = till().cashier
    hold = await cashier.hold(CALLER, "7:over", CENT)
    await cashier.capture(hold, "7:over", charge(2 * CENT), record("over"))
    assert await total(database) == -CENT
    with pytest.raises(PaymentRequired):
        await cashier.hold(CALLER, "7:next", 1)


async def test_key_caps_hold_under_a_race(till: Callable[..., Till], database: Database, clock: ManualClock) -> None:
    await fund(database, clock, 100 * USD)
    capped = replace(CALLER, daily_cap_nano_usd=5 * CENT)
    tills = [till("a"), till("b")]

    async def one(number: int) -> Hold | None:
        try:
            return await tills[number % 2].cashier.hold(capped, f"7:k{number}", CENT)
        except PaymentRequired as error:
            assert error.code == "daily_usage_cap"
            return None

    held = [hold for hold in await asyncio.gather(*(one(number) for number in range(30))) if hold]
    assert len(held) == 5
    await tills[0].cashier.capture(held[0], "7:k", charge(0), record("k"))
    assert await one(99) is not None
    assert await one(100) is None


async def test_a_key_may_make_so_many_requests_and_no_more(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 100 * USD)
    cashier = till().cashier
    counted = replace(CALLER, max_requests=2)
    for number in range(2):
        hold = await cashier.hold(counted, f"7:m{number}", CENT)
        await cashier.capture(hold, f"7:m{number}", charge(1), record(f"m{number}"))
    with pytest.raises(PaymentRequired) as refused:
        await cashier.hold(counted, "7:m2", CENT)
    assert refused.value.code == "key_request_cap"
    async with database.read() as connection:
        row = (await connection.execute(sa.select(key_usage))).one()
    assert (row.requests, row.held_nano_usd, row.held_requests) == (2, 0, 0)


@pytest.mark.ac("AC-6.1.13")
async def test_the_daily_cap_holds_until_midnight(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 100 * USD)
    async with database.begin() as connection:
        await grants.set_daily_cap(connection, USER, 3 * CENT)
    cashier = till().cashier
    for number in range(3):
        hold = await cashier.hold(CALLER, f"7:d{number}", CENT)
        await cashier.capture(hold, f"7:d{number}", charge(CENT), record(f"d{number}"))
    with pytest.raises(PaymentRequired) as refused:
        await cashier.hold(CALLER, "7:d3", CENT)
    assert refused.value.code == "daily_usage_cap"
    clock.advance(86_400)
    assert await cashier.hold(CALLER, "7:d4", CENT)


async def test_a_repeated_id_gets_the_stored_answer(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, USD)
    one = till()
    begun = await one.cashier.begin(USER, "mine", "hash")
    assert begun.state == "new"
    assert (await till("other").cashier.begin(USER, "mine", "hash")).state == "running"
    hold = await one.cashier.hold(CALLER, "7:mine", CENT)
    answer = StoredAnswer("application/json", b"sealed", clock.now_us() + 1_000_000)
    await one.cashier.capture(hold, "7:mine", charge(5), record("mine"), Claim(USER, "mine", 1), answer)
    again = await one.cashier.begin(USER, "mine", "hash")
    assert (again.state, again.sealed) == ("done", b"sealed")
    assert (await one.cashier.begin(USER, "mine", "other")).state == "conflict"
    clock.advance(2)
    await Sweeper(database, one.writer, clock).purge()
    assert await count(database, idempotency, idempotency.c.answer.is_not(None)) == 0
    assert (await one.cashier.begin(USER, "mine", "hash")).state == "reused"


async def test_many_processes_claim_one_id_and_one_wins(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, USD)
    tills = [till(name) for name in "abcdef"]
    states = await asyncio.gather(*(one.cashier.begin(USER, "contested", "hash") for one in tills))
    assert sorted(begun.state for begun in states) == ["new"] + ["running"] * 5


async def test_grants_and_charges_do_not_overwrite_each_other(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, 10 * USD)
    cashier = till().cashier

    async def spend(number: int) -> None:
        hold = await cashier.hold(CALLER, f"7:g{number}", CENT)
        await cashier.capture(hold, f"7:g{number}", charge(CENT), record(f"g{number}"))

    async def give(number: int) -> None:
        async with database.begin() as connection:
            order = grants.Order(USER, CENT, f"give:{number}", "test", "system", clock.now_us())
            await grants.grant(connection, order)

    await asyncio.gather(*(spend(number) for number in range(40)), *(give(number) for number in range(20)))
    assert await total(database) == 10 * USD - 20 * CENT


@pytest.mark.ac("AC-6.1.12")
async def test_a_refund_never_exceeds_the_charge(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    from gatewayz.core.errors import InvalidRequest

    await fund(database, clock, USD)
    cashier = till().cashier
    hold = await cashier.hold(CALLER, "7:paid", 10 * CENT)
    await cashier.capture(hold, "7:paid", charge(10 * CENT), record("paid"))

    async def refund(key: str, amount: int | None) -> grants.Movement:
        async with database.begin() as connection:
            order = grants.Order(USER, 0, key, "sorry", "user:1", clock.now_us())
            return await grants.refund_charge(connection, order, "paid", amount)

    assert (await refund("r1", 4 * CENT)).amount == 4 * CENT
    assert (await refund("r1", 4 * CENT)).repeated
    with pytest.raises(InvalidRequest):
        await refund("r2", 7 * CENT)
    assert (await refund("r3", None)).amount == 6 * CENT
    with pytest.raises(InvalidRequest):
        await refund("r4", None)
    assert await total(database) == USD


@pytest.mark.ac("AC-6.1.10")
async def test_if_the_record_cannot_be_written_nothing_is_charged(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    await fund(database, clock, USD)
    one = till()
    hold = await one.cashier.hold(CALLER, "7:nolog", CENT)
    async with database.begin() as connection:
        await connection.execute(sa.text("ALTER TABLE activity_log RENAME TO activity_log_gone"))
    settling = asyncio.ensure_future(one.cashier.capture(hold, "7:nolog", charge(CENT), record("nolog")))
    await asyncio.sleep(0.3)
    assert not settling.done()
    assert await total(database) == USD
    async with database.begin() as connection:
        await connection.execute(sa.text("ALTER TABLE activity_log_gone RENAME TO activity_log"))
    await settling
    assert await total(database) == USD - CENT


async def test_slices_of_other_processes_are_called_back(
    till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    """An account whose money lies leased in an idle process is served by another one all the same."""
    await fund(database, clock, 10 * USD)
    feed = ChangeFeed(database, clock)
    await feed.start()
    idle = till("idle")
    feed.on(TOPIC, idle.cashier.heard_recall)
    small = await idle.cashier.hold(CALLER, "7:s", CENT)
    await idle.cashier.capture(small, "7:s", charge(CENT), record("s"))
    assert await count(database, leases) == 1
    busy = till("busy", recall=Recall(database, clock))

    async def poll() -> None:
        while True:
            await asyncio.sleep(0.05)
            await feed.poll()

    polling = asyncio.create_task(poll())
    try:
        everything = await busy.cashier.hold(CALLER, "7:all", 10 * USD - CENT)
    finally:
        polling.cancel()
    assert everything.ref.amount == 10 * USD - CENT
    assert await count(database, leases) == 0
    with pytest.raises(PaymentRequired):
        await idle.cashier.hold(CALLER, "7:none", CENT)


async def test_while_the_database_is_away_settlements_go_to_disk(
    till: Callable[..., Till], database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    await fund(database, clock, USD)
    flaky = Flaky(new_store(database, clock))
    one = till(store=flaky, journal=Journal(tmp_path, "one"))
    first = await one.cashier.hold(CALLER, "7:j1", CENT)
    second = await one.cashier.hold(CALLER, "7:j2", CENT)
    flaky.lose = ["before"] * 4
    receipt = await one.cashier.capture(first, "7:j1", charge(5), record("j1"))
    assert receipt.amount == 5
    assert (tmp_path / "one.journal").stat().st_size > 0
    await one.cashier.capture(second, "7:j2", charge(6), record("j2"))
    with pytest.raises(Unavailable):
        await one.cashier.begin(USER, "claimed", "hash")
    assert await one.writer.drain(5)
    assert not one.writer.is_away
    assert (tmp_path / "one.journal").stat().st_size == 0
    assert await total(database) == USD - 11
    assert (await one.cashier.begin(USER, "claimed", "hash")).state == "new"


@pytest.mark.parametrize("how", ["before", "after"])
async def test_a_successor_posts_the_journal_of_a_dead_process(
    how: str, till: Callable[..., Till], database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    """Killed while the database was away, whether or not the lost commit had happened: charged once."""
    await fund(database, clock, USD)
    flaky = Flaky(new_store(database, clock))
    journal = Journal(tmp_path, "dead")
    dead = till(store=flaky, journal=journal)
    hold = await dead.cashier.hold(CALLER, "7:dead", CENT)
    flaky.lose = [how] + ["before"] * 1000
    await dead.cashier.capture(hold, "7:dead", charge(7), record("dead"))
    assert dead.writer._task is not None
    dead.writer._task.cancel()
    os.close(journal._descriptor)  # type: ignore[arg-type]  # the kernel lets go of a dead process's lock
    journal._descriptor = None
    alive = till("alive", journal=Journal(tmp_path, "alive"))
    assert await alive.writer.adopt_orphans() == 1
    assert await alive.writer.adopt_orphans() == 0
    assert await total(database) == USD - 7
    assert await count(database, activity_log, activity_log.c.request_id == "dead") == 1
    assert list(tmp_path.glob("dead*")) == []


async def test_a_living_process_keeps_its_journal(
    till: Callable[..., Till], database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    living = Journal(tmp_path, "living")
    await living.keep("b1", [Release(None, record("x"))])
    assert Journal(tmp_path, "other").orphans() == []
    living.close()
    (orphan,) = Journal(tmp_path, "other").orphans()
    assert [batch.batch_id for batch in orphan.batches] == ["b1"]
    assert orphan.batches[0].ops == (Release(None, record("x")),)
    orphan.leave()


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    whole = encode("b1", [Release(None, record("x"))])
    (tmp_path / "dead.journal").write_bytes(whole + whole[: len(whole) // 2])
    (orphan,) = Journal(tmp_path, "other").orphans()
    assert [batch.batch_id for batch in orphan.batches] == ["b1"]
    orphan.leave()


@pytest.mark.parametrize("wrong", ["\ud800", 2**70], ids=["surrogate", "too large"])
async def test_a_value_that_no_database_holds_fails_alone(
    wrong: str | int, till: Callable[..., Till], database: Database, clock: ManualClock
) -> None:
    """One unstorable record must not look like an outage: its own request fails, everybody else's goes on."""
    await fund(database, clock, USD)
    one = till()
    held = [await one.cashier.hold(CALLER, f"7:b{number}", CENT) for number in range(3)]
    bad = structs.replace(record("b1"), latency_us=wrong) if isinstance(wrong, int) else record("b1")
    cut = structs.replace(charge(1), usage_json=wrong) if isinstance(wrong, str) else charge(1)
    outcomes = await asyncio.gather(
        one.cashier.capture(held[0], "7:b0", charge(1), record("b0")),
        one.cashier.capture(held[1], "7:b1", cut, bad),
        one.cashier.capture(held[2], "7:b2", charge(1), record("b2")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Receipt, BadOperation, Receipt]
    assert not one.writer.is_away
    assert await total(database) == USD - 2
