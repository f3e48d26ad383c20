"""Reconciliation on real databases: clean books stay silent, every kind of drift is found and named."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.accounts import audit
from gatewayz.billing.matching import Group, Unmatched, unmatched
from gatewayz.billing.nightly import Nightly, last_runs, night_due, page
from gatewayz.billing.pricing import cost, price_from_json, price_json, usage_from_json, usage_json
from gatewayz.billing.reconcile import KINDS, MAX_EVIDENCE, MAX_EVIDENCE_PER_KIND, Drift, Report, reconcile, verify
from gatewayz.billing.reconcile_store import ledger_row, snapshot, totals
from gatewayz.catalog import PriceSnapshot, PriceTier
from gatewayz.core.errors import PaymentRequired
from gatewayz.core.usage import Usage
from gatewayz.infra.clock import US_PER_DAY, US_PER_S, ManualClock
from gatewayz.infra.db import Database
from tests.store.ledger_books import CENT, COST, FREE, PRICE, USAGE, USD, Shop

HOUR_US = 3600 * US_PER_S
ONE, TWO, THREE = 7, 8, 9


@pytest.fixture
async def shops(database: Database, clock: ManualClock) -> AsyncIterator[Callable[..., Shop]]:
    made: list[Shop] = []

    def make(name: str = "p") -> Shop:
        made.append(Shop(database, clock, name))
        return made[-1]

    yield make
    for shop in made:
        await shop.close()


@pytest.fixture
async def shop(shops: Callable[..., Shop]) -> Shop:
    """Books in which everything has happened that may happen."""
    shop = shops()
    await shop.open(ONE, 10 * USD)
    await shop.open(TWO, trial=True)
    await shop.open(THREE, USD)
    await shop.answer(ONE, "plain")
    await shop.answer(ONE, "cached", Usage(1000, 3, cached_tokens=999))
    await shop.answer(TWO, "plain")
    await shop.fail(ONE, "retried")
    await shop.answer(ONE, "retried", attempt=2)
    # A client left, came back with the same id, and got as much again.
    await shop.answer(ONE, "left", status=499)
    await shop.answer(ONE, "left", attempt=2)
    # Ids that look like the attempts of others.
    await shop.answer(ONE, "left:7")
    await shop.answer(ONE, "plain:2", Usage(1, 1))
    await shop.fail(THREE, "free")
    await shop.answer(THREE, "free", price=FREE, attempt=2)
    await shop.refuse(ONE, "mistaken")
    await shop.refuse(None, "stranger", 200)
    await shop.refund(ONE, "plain")
    await shop.refund(ONE, "cached", 100)
    return shop


def kinds(report: Report) -> dict[str, int]:
    assert report.drifts == sum(report.kinds.values())
    assert set(report.kinds) <= set(KINDS)
    return report.kinds


def of_kind(report: Report, kind: str) -> Drift:
    (found,) = [drift for drift in report.evidence if drift.kind == kind]
    return found


async def test_books_that_agree_give_no_drift(shop: Shop) -> None:
    report = await shop.check()
    assert report.evidence == ()
    assert (report.accounts, report.charges, report.drifts) == (3, 9, 0)
    cached, small = cost(PRICE, Usage(1000, 3, cached_tokens=999)), cost(PRICE, Usage(1, 1))
    assert report.charged == report.metered == 6 * COST + cached + small
    assert report.balances == 16 * USD - report.charged + COST + 100
    assert report.contra == {
        "grants": -11 * USD,
        "holds": 0,
        "promotions": -5 * USD,
        "revenue": report.charged - COST - 100,
    }


async def test_empty_books_agree(database: Database, clock: ManualClock) -> None:
    async with snapshot(database) as connection:
        report = await reconcile(connection, clock.now_us())
    assert (report.drifts, report.accounts, report.rows, report.contra) == (0, 0, 0, {})


async def test_a_storm_leaves_the_books_whole(shops: Callable[..., Shop], clock: ManualClock) -> None:
    """Three processes charge, fail, retry, refund and grant at random; some accounts run dry on the way."""
    processes = [shops(name) for name in "abc"]
    dice = random.Random(5)
    for user_id in range(1, 5):
        await processes[0].open(user_id, dice.choice([CENT, USD]), trial=user_id % 2 == 0)

    async def one(number: int) -> None:
        shop, user_id, name = dice.choice(processes), dice.randint(1, 4), f"r{number}"
        usage = Usage(dice.randint(0, 3000), dice.randint(0, 900), cached_tokens=0, reasoning_tokens=0)
        try:
            match dice.randint(0, 5):
                case 0:
                    await shop.fail(user_id, name)
                    await shop.answer(user_id, name, usage, attempt=2)
                case 1:
                    await shop.give(user_id, dice.randint(1, CENT), name)
                case 2:
                    await shop.answer(user_id, name, usage)
                    await shop.refund(user_id, name, 1 if usage.total_tokens else None)
                case 3:
                    await shop.refuse(user_id, name)
                case _:
                    await shop.answer(user_id, name, usage, status=dice.choice([200, 499]))
        except PaymentRequired:
            await shop.refuse(user_id, name, 402)

    for start in range(0, 160, 20):
        await asyncio.gather(*(one(number) for number in range(start, start + 20)))
        clock.advance(dice.randint(1, 50))
    report = await processes[0].check()
    assert report.evidence == ()
    assert report.charges > 60


# --- planted drift


async def test_a_bucket_that_somebody_filled(shop: Shop) -> None:
    await shop.run("UPDATE balances SET purchased_nano_usd = purchased_nano_usd + 5 WHERE user_id = 7")
    report = await shop.check()
    assert kinds(report) == {"balance": 1, "double_entry": 1}
    drift = of_kind(report, "balance")
    assert (drift.user_id, drift.ids) == (ONE, ("purchased",))
    assert drift.found == (drift.expected or 0) + 5
    assert of_kind(report, "double_entry").found == report.balances


async def test_money_moved_between_buckets(shop: Shop) -> None:
    await shop.run(
        "UPDATE balances SET purchased_nano_usd = purchased_nano_usd + 5, trial_nano_usd = trial_nano_usd - 5"
        " WHERE user_id = 8"
    )
    report = await shop.check()
    assert kinds(report) == {"balance": 2}
    assert [drift.ids for drift in report.evidence] == [("trial",), ("purchased",)]


async def test_an_account_without_its_balance(shop: Shop) -> None:
    await shop.open(10, USD)
    await shop.run("DELETE FROM balances WHERE user_id = 10")
    report = await shop.check()
    assert kinds(report) == {"balance": 1, "double_entry": 1}
    drift = of_kind(report, "balance")
    assert (drift.user_id, drift.ids, drift.expected, drift.found) == (10, ("purchased",), USD, None)


async def test_a_reservation_that_nobody_promised(shop: Shop) -> None:
    await shop.run("UPDATE balances SET reserved_nano_usd = reserved_nano_usd + 3 WHERE user_id = 9")
    report = await shop.check()
    assert kinds(report) == {"reserved": 1}
    drift = of_kind(report, "reserved")
    assert drift.user_id == THREE and drift.found == (drift.expected or 0) + 3


async def test_a_running_balance_that_was_changed(shop: Shop) -> None:
    await shop.run("UPDATE credit_transactions SET balance_after_nano_usd = 1 WHERE request_id = '7:retried:2'")
    report = await shop.check()
    # The row itself, and the next one of the account, which follows from it.
    assert kinds(report) == {"running": 2}
    assert report.evidence[0].ids == ("7:retried:2",)
    assert report.evidence[0].found == 1
    assert report.evidence[0].row_id is not None


async def test_a_charge_that_was_changed(shop: Shop) -> None:
    await shop.run(
        "UPDATE credit_transactions SET amount_nano_usd = amount_nano_usd - 1,"
        " purchased_nano_usd = purchased_nano_usd - 1 WHERE request_id = '7:retried:2'"
    )
    report = await shop.check()
    assert kinds(report) == {"balance": 1, "double_entry": 1, "running": 1, "record_differs": 1, "price": 1}
    drift = of_kind(report, "price")
    assert (drift.user_id, drift.ids, drift.expected, drift.found) == (ONE, ("7:retried:2",), COST, COST + 1)
    drift = of_kind(report, "record_differs")
    assert (drift.ids, drift.expected, drift.found) == (("7:retried:2",), COST + 1, COST)


@pytest.mark.parametrize(
    ("request_id", "ledger_id", "amount"),
    [("cached", "7:cached", None), ("retried", "7:retried:2", COST), ("plain:2", "7:plain:2", 10_000)],
)
async def test_a_charge_without_a_record(shop: Shop, request_id: str, ledger_id: str, amount: int | None) -> None:
    await shop.run("DELETE FROM activity_log WHERE request_id = :id AND status = 200", id=request_id)
    report = await shop.check()
    assert kinds(report) == {"record_missing": 1}
    drift = of_kind(report, "record_missing")
    assert (drift.user_id, drift.ids, drift.found) == (ONE, (ledger_id,), None)
    assert amount in (None, drift.expected)


async def test_a_free_answer_without_a_record(shop: Shop) -> None:
    """The failed attempt before it has left a record of the same id, which cost nothing either."""
    await shop.run("DELETE FROM activity_log WHERE request_id = 'free' AND status = 200")
    report = await shop.check()
    assert kinds(report) == {"record_missing": 1}
    assert of_kind(report, "record_missing").ids == ("9:free:2",)


async def test_a_record_with_another_cost(shop: Shop) -> None:
    await shop.run("UPDATE activity_log SET cost_nano_usd = 5 WHERE request_id = 'cached'")
    report = await shop.check()
    assert kinds(report) == {"record_differs": 1}
    drift = of_kind(report, "record_differs")
    assert (drift.user_id, drift.ids, drift.found) == (ONE, ("7:cached",), 5)


@pytest.mark.parametrize("copy_of", ["cached", "left", "retried"])
async def test_a_record_that_stands_twice(shop: Shop, copy_of: str) -> None:
    columns = (
        "created_at_us, user_id, request_id, endpoint, requested_model, stream, status, prompt_tokens,"
        " completion_tokens, cached_tokens, reasoning_tokens, usage_estimated, cost_nano_usd, latency_us"
    )
    await shop.run(
        f"INSERT INTO activity_log ({columns}) SELECT {columns} FROM activity_log"
        " WHERE request_id = :id AND status = 200",
        id=copy_of,
    )
    report = await shop.check()
    assert kinds(report) == {"charge_missing": 1}
    drift = of_kind(report, "charge_missing")
    assert (drift.user_id, drift.ids, drift.expected) == (ONE, (copy_of,), None)


async def test_a_record_of_another_account(shop: Shop) -> None:
    await shop.run("UPDATE activity_log SET user_id = 9 WHERE request_id = 'cached'")
    report = await shop.check()
    assert kinds(report) == {"record_missing": 1, "charge_missing": 1}
    assert of_kind(report, "record_missing").user_id == ONE
    assert of_kind(report, "charge_missing").user_id == THREE


async def test_token_counts_that_were_changed(shop: Shop) -> None:
    await shop.run("UPDATE credit_transactions SET prompt_tokens = 101 WHERE request_id = '8:plain'")
    report = await shop.check()
    assert kinds(report) == {"tokens": 1}
    drift = of_kind(report, "tokens")
    assert (drift.user_id, drift.ids, drift.expected, drift.found) == (TWO, ("8:plain",), 150, 151)


@pytest.mark.parametrize("text", ["{", "{}", None, '{"prompt":1}'])
async def test_a_price_that_cannot_be_read(shop: Shop, text: str | None) -> None:
    await shop.run("UPDATE credit_transactions SET price = :text WHERE request_id = '8:plain'", text=text)
    report = await shop.check()
    assert kinds(report) == {"unreadable": 1}
    assert of_kind(report, "unreadable").ids == ("8:plain",)


async def test_usage_of_a_later_version_is_not_guessed_at(shop: Shop) -> None:
    await shop.run(
        "UPDATE credit_transactions SET usage = :text WHERE request_id = '8:plain'",
        text='{"prompt":100,"completion":50,"pictures":3}',
    )
    assert kinds(await shop.check()) == {"unreadable": 1}


async def test_another_price_than_was_charged(shop: Shop) -> None:
    await shop.run(
        "UPDATE credit_transactions SET price = :text WHERE request_id = '8:plain'",
        text=price_json(replace(PRICE, request_nano_usd=5)),
    )
    report = await shop.check()
    assert kinds(report) == {"price": 1}
    assert of_kind(report, "price").expected == COST + 5


async def test_half_a_pair(shop: Shop) -> None:
    await shop.run("UPDATE credit_transactions SET request_id = '7:lost:refund' WHERE request_id = '7:retried:refund'")
    report = await shop.check()
    assert kinds(report) == {"pair": 2}
    assert [drift.ids[0] for drift in report.evidence] == ["7:retried:hold", "7:lost:hold"]
    assert [drift.found for drift in report.evidence] == [-CENT, CENT]


async def test_a_pair_that_gives_back_too_much(shop: Shop) -> None:
    await shop.run(
        "UPDATE credit_transactions SET amount_nano_usd = amount_nano_usd + 1,"
        " purchased_nano_usd = purchased_nano_usd + 1 WHERE request_id = '7:retried:refund'"
    )
    report = await shop.check()
    assert kinds(report) == {"balance": 1, "double_entry": 2, "running": 1, "pair": 1}
    assert of_kind(report, "pair").found == 1


async def test_a_type_that_nobody_knows(shop: Shop) -> None:
    await shop.run("UPDATE credit_transactions SET type = 'gift' WHERE request_id = 'fund:9'")
    report = await shop.check()
    assert kinds(report) == {"type": 1}
    assert of_kind(report, "type").ids == ("fund:9", "gift", "grants")


@pytest.mark.parametrize("what", ["hold", "lease"])
async def test_promises_that_outlived_their_time(shop: Shop, what: str) -> None:
    now_us = shop.clock.now_us()
    columns = "id, user_id, amount_nano_usd, expires_at_us"
    values = ":id, 9, 5, :until"
    if what == "hold":
        columns, values = f"{columns}, key_metered, created_at_us", f"{values}, false, 1"
    for name, until_us in (("fresh", now_us - 299 * US_PER_S), ("stuck", now_us - 301 * US_PER_S)):
        await shop.run(f"INSERT INTO {what}s ({columns}) VALUES ({values})", id=name, until=until_us)
    await shop.run("UPDATE balances SET reserved_nano_usd = reserved_nano_usd + 10 WHERE user_id = 9")
    report = await shop.check()
    assert kinds(report) == {"overdue": 1}
    drift = of_kind(report, "overdue")
    assert (drift.user_id, drift.ids, drift.found) == (THREE, (what, "stuck"), 5)


async def without_constraints(shop: Shop) -> None:
    """The ledger as a careless restore could leave it: the same rows, and nothing that guards them."""
    await shop.run("CREATE TABLE bare AS SELECT * FROM credit_transactions")
    await shop.run("DROP TABLE credit_transactions")
    await shop.run("ALTER TABLE bare RENAME TO credit_transactions")


async def form(shop: Shop) -> Report:
    async with snapshot(shop.database) as connection:
        return await verify(connection, shop.clock.now_us())


async def test_the_form_of_a_sound_ledger(shop: Shop) -> None:
    report = await form(shop)
    assert (report.drifts, report.charges) == (0, 0)
    assert report.rows == (await shop.rows("SELECT count(*) FROM credit_transactions"))[0][0]


async def test_a_split_that_is_not_whole_and_an_id_that_stands_twice(shop: Shop) -> None:
    await without_constraints(shop)
    await shop.run("UPDATE credit_transactions SET trial_nano_usd = 4 WHERE request_id = '7:left:7'")
    await shop.run("UPDATE credit_transactions SET request_id = '7:cached' WHERE request_id = '7:left'")
    report = await form(shop)
    assert kinds(report) == {"split": 1, "repeated_id": 1}
    split, repeated = of_kind(report, "split"), of_kind(report, "repeated_id")
    assert (split.ids, split.expected, split.found) == (("7:left:7",), -COST, 4 - COST)
    assert (repeated.ids, repeated.expected, repeated.found) == (("7:cached",), 1, 2)
    async with shop.database.read() as connection:
        row = await ledger_row(connection, split.row_id or 0)
    assert row is not None and row["request_id"] == "7:left:7"


# --- what is looked at, and when


async def test_single_rows_are_looked_at_from_a_day_on(shop: Shop) -> None:
    await shop.later(5 * 86_400)
    since_us = shop.clock.now_us()
    await shop.answer(ONE, "late")
    await shop.answer(TWO, "late")
    await shop.run("UPDATE credit_transactions SET price = '{' WHERE request_id = '7:cached'")
    await shop.run("DELETE FROM activity_log WHERE request_id = 'cached'")
    report = await shop.check(since_us)
    assert report.evidence == ()
    assert (report.rows, report.charges, report.since_us) == (2, 2, since_us)
    assert kinds(await shop.check()) == {"unreadable": 1, "record_missing": 1}
    # The first row of the stretch still has to follow from what came before it.
    await shop.run("UPDATE credit_transactions SET balance_after_nano_usd = 1 WHERE request_id = '8:late'")
    report = await shop.check(since_us)
    assert kinds(report) == {"running": 1}
    assert of_kind(report, "running").ids == ("8:late",)
    await shop.later(60)
    assert kinds(await shop.check(shop.clock.now_us())) == {}


async def test_a_request_that_began_before_the_stretch_is_no_drift(shop: Shop) -> None:
    await shop.later(86_400)
    await shop.answer(ONE, "over midnight")
    assert kinds(await shop.check(shop.clock.now_us())) == {}


async def test_records_are_kept_for_ninety_days(shop: Shop) -> None:
    await shop.run("DELETE FROM activity_log")
    assert kinds(await shop.check()) == {"record_missing": 9}
    await shop.later(91 * 86_400)
    assert kinds(await shop.check()) == {}


async def test_what_is_charged_meanwhile_is_not_half_seen(shop: Shop) -> None:
    async with snapshot(shop.database) as connection:
        before, _ = await totals(connection)
        await shop.answer(ONE, "meanwhile")
        await shop.fail(ONE, "meanwhile failed")
        report = await reconcile(connection, shop.clock.now_us())
    assert (report.drifts, report.balances, report.charges) == (0, before, 9)
    assert (await shop.check()).charges == 10


async def test_evidence_is_capped_and_everything_counted(shop: Shop) -> None:
    values = "2, :id, '', '', false, 200, 0, 0, 0, 0, false, 1, 0, :at"
    columns = (
        "user_id, request_id, endpoint, requested_model, stream, status, prompt_tokens, completion_tokens,"
        " cached_tokens, reasoning_tokens, usage_estimated, cost_nano_usd, latency_us, created_at_us"
    )
    async with shop.database.begin() as connection:
        statement = sa.text(f"INSERT INTO activity_log ({columns}) VALUES ({values})")
        at_us = shop.clock.now_us()
        await connection.execute(statement, [{"id": f"x{number}", "at": at_us} for number in range(1300)])
    await shop.run("UPDATE credit_transactions SET prompt_tokens = 1 WHERE type = 'api_usage'")
    report = await shop.check()
    assert report.kinds["charge_missing"] == 1300
    kept = [drift.kind for drift in report.evidence]
    assert kept.count("charge_missing") == MAX_EVIDENCE_PER_KIND
    assert kept.count("tokens") == report.kinds["tokens"] == 8
    assert MAX_EVIDENCE_PER_KIND < MAX_EVIDENCE == 1000


# --- the night


DAY = 20_000 * US_PER_DAY
THREE_O_CLOCK = DAY + 3 * HOUR_US


@pytest.mark.parametrize(
    ("now_us", "alive_since_us", "last_run_us", "due"),
    [
        # running through three o'clock
        (THREE_O_CLOCK - 1, DAY - HOUR_US, THREE_O_CLOCK - US_PER_DAY, None),
        (THREE_O_CLOCK, DAY - HOUR_US, THREE_O_CLOCK - US_PER_DAY, 20_000),
        (THREE_O_CLOCK + HOUR_US, DAY - HOUR_US, THREE_O_CLOCK + 5, None),
        # started after three: only if the last run is too long ago
        (THREE_O_CLOCK + 2 * HOUR_US, THREE_O_CLOCK + HOUR_US, THREE_O_CLOCK - US_PER_DAY, None),
        (THREE_O_CLOCK + 2 * HOUR_US, THREE_O_CLOCK + HOUR_US, THREE_O_CLOCK - 35 * HOUR_US, 20_000),
        (THREE_O_CLOCK + 2 * HOUR_US, THREE_O_CLOCK + HOUR_US, None, 20_000),
        # not in the first minute
        (THREE_O_CLOCK + 59 * US_PER_S, THREE_O_CLOCK, None, None),
        (THREE_O_CLOCK + 60 * US_PER_S, THREE_O_CLOCK, None, 20_000),
        # before three the night of the day before counts
        (DAY + HOUR_US, DAY - HOUR_US, None, 19_999),
    ],
)
def test_when_a_night_is_due(now_us: int, alive_since_us: int, last_run_us: int | None, due: int | None) -> None:
    assert night_due(now_us, alive_since_us, last_run_us) == due


@dataclass
class Fleet:
    """Processes that each look once a minute whether the night is theirs."""

    processes: list[Nightly]
    told: list[list[int]]

    async def tick(self) -> int:
        return sum(await asyncio.gather(*(process.tick() for process in self.processes)))


@pytest.fixture
def fleet(database: Database, clock: ManualClock) -> Callable[[int], Fleet]:
    def make(size: int) -> Fleet:
        told: list[list[int]] = [[] for _ in range(size)]
        return Fleet([Nightly(database, clock, heard.append) for heard in told], told)

    return make


async def test_one_process_of_a_fleet_runs_the_night(
    shop: Shop, fleet: Callable[[int], Fleet], database: Database, clock: ManualClock
) -> None:
    processes = fleet(4)
    assert await processes.tick() == 0
    await shop.later(61)
    assert await processes.tick() == 1
    assert await processes.tick() == 0
    assert [heard[-1] for heard in processes.told] == [0] * 4
    await shop.later((3 * 3600 - clock.now_us() // US_PER_S) % 86_400)
    assert [await processes.tick() for _ in range(3)] == [1, 0, 0]
    async with database.read() as connection:
        rows, total = await page(connection, 10, 0)
        last = await last_runs(connection)
    assert total == len(rows) == 2
    assert [row["drifts"] for row in rows] == [0, 0]
    # From the first run, which found nothing, with a day of overlap.
    assert rows[1]["since_us"] is None
    assert rows[0]["since_us"] == rows[1]["started_at_us"] - US_PER_DAY
    assert last.clean_us == last.began_us == rows[0]["started_at_us"]


async def test_drift_is_told_loudly_until_it_is_mended(
    shop: Shop, fleet: Callable[[int], Fleet], database: Database, clock: ManualClock
) -> None:
    await shop.run("UPDATE balances SET purchased_nano_usd = purchased_nano_usd + 5 WHERE user_id = 7")
    processes = fleet(2)
    await shop.later(61)
    with structlog.testing.capture_logs() as logs:
        assert await processes.tick() == 1
    (alarm,) = [entry for entry in logs if entry["event"] == "reconciliation_drift"]
    assert (alarm["log_level"], alarm["drifts"]) == ("critical", 2)
    await processes.tick()
    assert [heard[-1] for heard in processes.told] == [2, 2]
    async with database.read() as connection:
        entries, total = await audit.page(connection, "audit", audit.Filters(action="ledger.drift"), 10, 0)
        rows, _ = await page(connection, 10, 0)
        assert (await last_runs(connection)).clean_us is None
    assert (total, entries[0]["severity"]) == (1, "critical")
    assert entries[0]["after"] == {"drifts": 2, "balance": 1, "double_entry": 1}
    assert [drift["kind"] for drift in rows[0]["evidence"]["drifts"]] == ["balance", "double_entry"]
    await shop.run("UPDATE balances SET purchased_nano_usd = purchased_nano_usd - 5 WHERE user_id = 7")
    await shop.later(86_400)
    assert await processes.tick() == 1
    await processes.tick()
    assert [heard[-1] for heard in processes.told] == [0, 0]


async def test_the_night_of_a_dead_process_is_taken_over(
    shop: Shop, fleet: Callable[[int], Fleet], database: Database, clock: ManualClock
) -> None:
    processes = fleet(3)
    await shop.later(12 * 3600)
    night = (clock.now_us() - 3 * HOUR_US) // US_PER_DAY
    await shop.run("INSERT INTO reconciliations (night, started_at_us) VALUES (:n, :at)", n=night, at=clock.now_us())
    assert await processes.tick() == 0
    await shop.later(2.9 * 3600)
    assert await processes.tick() == 0
    await shop.later(0.2 * 3600)
    assert await processes.tick() == 1
    async with database.read() as connection:
        rows, total = await page(connection, 10, 0)
    assert (total, rows[0]["night"], rows[0]["started_at_us"]) == (1, night, clock.now_us())


# --- values


@given(
    st.builds(
        PriceSnapshot,
        id=st.integers(1, 10**9),
        source=st.text(max_size=20),
        effective_from_us=st.integers(0, 2**62),
        prompt=st.integers(0, 10**12),
        completion=st.integers(0, 10**12),
        cache_read=st.none() | st.integers(0, 10**12),
        cache_write_5m=st.none() | st.integers(0, 10**12),
        cache_write_1h=st.none() | st.integers(0, 10**12),
        reasoning=st.none() | st.integers(0, 10**12),
        audio_input=st.none() | st.integers(0, 10**12),
        audio_output=st.none() | st.integers(0, 10**12),
        image_input=st.none() | st.integers(0, 10**12),
        image_output=st.none() | st.integers(0, 10**12),
        request_nano_usd=st.integers(0, 10**9),
        basis=st.just("image_edits hd/1024x1024"),
        units=st.dictionaries(st.sampled_from(["image", "query"]), st.integers(0, 10**12)),
        tiers=st.lists(
            st.builds(
                PriceTier,
                above_prompt_tokens=st.integers(0, 10**6),
                prompt=st.integers(0, 10**12),
                completion=st.integers(0, 10**12),
                cache_read=st.none() | st.integers(0, 10**12),
                cache_write_5m=st.none() | st.integers(0, 10**12),
                cache_write_1h=st.none() | st.integers(0, 10**12),
            ),
            max_size=3,
        ).map(lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above_prompt_tokens))),
    ),
    st.builds(Usage, *[st.integers(0, 10**7)] * 16, st.booleans()),
)
def test_price_and_usage_come_back_from_the_ledger_as_they_were(price: PriceSnapshot, usage: Usage) -> None:
    assert price_from_json(price_json(price)) == price
    assert usage_from_json(usage_json(usage)) == usage


def test_kinds_of_price_that_are_not_billed_are_not_kept() -> None:
    rich = replace(PRICE, batch_prompt=3, units={"image": 5})
    assert price_from_json(price_json(rich)) == PRICE
    assert cost(rich, USAGE) == cost(PRICE, USAGE) == COST


ids = st.text("ab:23", min_size=1, max_size=6)


def judged(charges: Iterable[tuple[str, int]], records: Iterable[tuple[str, int]]) -> list[Unmatched]:
    """What the databases hand over, and what the matching makes of it. Pairs are id and cost, all of one account."""
    numbers: dict[tuple[str, int], list[int]] = {}
    for place, pairs in enumerate((charges, records)):
        for pair in pairs:
            numbers.setdefault(pair, [0, 0])[place] += 1

    async def groups() -> AsyncIterator[Group]:
        for (name, amount), (charged, recorded) in sorted(
            numbers.items(), key=lambda item: (item[0][0].encode(), item[0][1])
        ):
            if charged != recorded:
                yield Group(7, name, amount, charged, recorded, f"7:{name}" if charged else None, 1, 1)

    async def collect() -> list[Unmatched]:
        return [found async for found in unmatched(groups())]

    return run(collect())


def run(work: Awaitable[list[Unmatched]]) -> list[Unmatched]:
    """Runs what never waits for anything, without a loop."""
    try:
        work.__await__().send(None)
    except StopIteration as done:
        return list(done.value)
    raise AssertionError("it waited")


def test_a_charge_may_be_an_attempt_of_an_attempt_by_name() -> None:
    """`a` was tried twice, and so was a request that its client named `a:2`: the charges pass their records on."""
    assert judged([("a:2", 5), ("a:2:2", 5)], [("a", 5), ("a:2", 5)]) == []
    assert judged([("a:2", 5), ("a:2:2", 7)], [("a", 5), ("a:2", 7)]) == []
    (found,) = judged([("a:2", 5)], [("a", 6)])
    assert (found.kind, found.id, found.charged, found.recorded) == ("record_differs", "7:a:2", 5, 6)


@given(st.data(), st.lists(st.tuples(ids, st.integers(1, 3), st.integers(0, 2)), max_size=12))
def test_charges_find_their_records_whatever_clients_call_their_requests(
    data: st.DataObject, requests: list[tuple[str, int, int]]
) -> None:
    """A ledger id stands once; each charge has its record under the client's own id. One record less is one drift."""
    charges: dict[str, int] = {}
    records: list[tuple[str, int]] = []
    for name, attempt, amount in requests:
        ledger_name = name if attempt == 1 else f"{name}:{attempt}"
        if ledger_name not in charges:
            charges[ledger_name] = amount
            records.append((name, amount))
    assert judged(charges.items(), records) == []
    if records:
        lost = data.draw(st.integers(0, len(records) - 1))
        (found,) = judged(charges.items(), records[:lost] + records[lost + 1 :])
        assert (found.kind, found.charged) == ("record_missing", records[lost][1])
        extra = (data.draw(ids), 9)
        (found,) = judged(charges.items(), [*records, extra])
        assert (found.kind, found.id, found.recorded) == ("charge_missing", *extra)
