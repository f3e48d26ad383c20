"""Four server processes on one PostgreSQL: they spend the same money once, and die one by one."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.each_worker import workers_of
from tests.journeys.money.judge import judge, read_books
from tests.journeys.money.load import Ask, Load
from tests.journeys.money.race import make_cost_equal_hold, outcomes, purchased, race_for_twenty, usd
from tests.journeys.money.scene import QUICK, SOAK, Stage, stage
from tests.live import Customer
from tests.servers import start_postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]

REPEATS = 10 if SOAK else 1
WORKERS = 4
# Long enough that no idle slice comes back by itself while the last money is spent.
LEASE_S = 8


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage with four processes, all of which serve."""
    home: Path = tmp_path_factory.mktemp("four")
    dsn, server = start_postgres(durable=True)
    with stage(home, dsn, workers=WORKERS, lease_s=LEASE_S) as scene:
        with Load(keep_alive=False) as load:
            reach_all(scene, load, scene.gateway.customer(50))
        yield scene
    server.close()


@pytest.fixture(autouse=True)
def _fresh_scripts(four: Stage) -> None:
    four.set_scripts()


def reach_all(scene: Stage, load: Load, customer: Customer) -> int:
    """Asks until every process has a slice of the account; returns how many answers that took."""
    served = 0
    until = time.monotonic() + 60
    while len(slices_of(scene, customer)) < WORKERS:
        assert time.monotonic() < until, "some process never serves"
        told = load.ask([Ask(customer, QUICK, stream=False) for _ in range(4)])
        assert all(each.complete for each in told), outcomes(told)
        served += len(told)
    return served


def slices_of(scene: Stage, customer: Customer) -> list[str]:
    """Ids of the slices of an account."""
    return [row.id for row in read_books(scene.database_url).leases if row.user_id == customer.user_id]


def test_two_hundred_at_once_through_four_processes_spend_money_for_twenty(four: Stage) -> None:
    with Load(keep_alive=False) as load:
        hold_nano = make_cost_equal_hold(four)
        for _ in range(REPEATS):
            race_for_twenty(four, load, hold_nano)
        judge(four, load.told, life_s=LEASE_S, full_cost_nano=hold_nano)


def test_a_rich_account_that_grows_poor_can_spend_its_last_money_anywhere(four: Stage) -> None:
    """Every process has set a slice aside; all of it is found again when the rest does not suffice."""
    with Load(keep_alive=False) as load:
        hold_nano = make_cost_equal_hold(four)
        paid_for = 300
        customer = four.gateway.customer(usd(paid_for * hold_nano))
        served = reach_all(four, load, customer)
        four.upstream.script("quick", default={"usage": {"prompt": hold_nano // 2000, "completion": 0}})
        while (last := load.ask([Ask(customer, QUICK, stream=False)])[0]).complete:
            served += 1
        assert (last.status, last.code) == (402, "payment_required")
        assert served == paid_for
        assert purchased(customer) == 0
        judge(four, load.told, life_s=LEASE_S, full_cost_nano=hold_nano)


def test_processes_that_are_killed_one_by_one_and_all_at_once(four: Stage) -> None:
    with Load(four.customers(), seed=2, keep_alive=False) as load:
        dice = random.Random(2)
        for _ in range(4 * REPEATS):
            load.wait_for(20)
            dice.choice(workers_of(four.gateway)).kill()
        four.gateway.kill()
        four.gateway.start()
        load.wait_for(20)
        load.pause_until_idle()
        judge(four, load.told, life_s=LEASE_S)
