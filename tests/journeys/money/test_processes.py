"""Four server processes on one PostgreSQL: they spend the same money once, and die one by one."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.journeys.money.judge import judge, read_books
from tests.journeys.money.load import Ask, Load
from tests.journeys.money.race import make_cost_equal_hold, outcomes, purchased, race_for_twenty, usd
from tests.journeys.money.scene import QUICK, SOAK, Stage, stage
from tests.servers import start_postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]

REPEATS = 10 if SOAK else 1
WORKERS = 4
# Long enough that no idle slice comes back by itself while the last money is spent.
LEASE_S = 8


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage with four processes."""
    dsn, server = start_postgres(durable=True)
    with stage(tmp_path_factory.mktemp("four"), dsn, workers=WORKERS, lease_s=LEASE_S) as scene:
        wait_for_workers(scene)
        yield scene
    server.close()


def workers_of(scene: Stage) -> list[psutil.Process]:
    """The serving children, without the helper that Python starts beside them."""
    children = psutil.Process(scene.gateway.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def wait_for_workers(scene: Stage) -> None:
    """Returns when every process listens: until then a race would be run by fewer."""
    until = time.monotonic() + 60
    while sum(_listens(worker, scene.gateway.port) for worker in workers_of(scene)) < WORKERS:
        assert time.monotonic() < until
        time.sleep(0.1)


def _listens(worker: psutil.Process, port: int) -> bool:
    """Whether the process has opened its side of the shared socket, i.e. has threads of a running ledger."""
    return any(con.laddr.port == port and con.status == "LISTEN" for con in worker.net_connections("tcp"))


def test_two_hundred_at_once_through_four_processes_spend_money_for_twenty(four: Stage) -> None:
    with Load([], clients=0) as load:
        hold_nano = make_cost_equal_hold(four)
        for _ in range(REPEATS):
            race_for_twenty(four, load, hold_nano)
        judge(four, load.told, life_s=LEASE_S, full_cost_nano=hold_nano)
    four.set_scripts()


def test_a_rich_account_that_grows_poor_can_spend_its_last_money_anywhere(four: Stage) -> None:
    """Every process has a slice; one of them alone then asks until nothing is left."""
    with Load([], clients=0) as load:
        hold_nano = make_cost_equal_hold(four)
        paid_for = 300
        customer = four.gateway.customer(usd(paid_for * hold_nano))
        spread = load.ask([Ask(customer, QUICK, stream=False) for _ in range(120)])
        assert all(told.complete for told in spread), outcomes(spread)
        assert len(leases_of(four, customer.user_id)) == WORKERS, "the load did not reach every process"
        served = len(spread)
        while (told := load.ask([Ask(customer, QUICK, stream=False) for _ in range(10)])) and told[0].complete:
            served += sum(each.complete for each in told)
        assert {each.status for each in told} <= {200, 402}, outcomes(told)
        last = load.ask([Ask(customer, QUICK, stream=False)])
        assert last[0].status == 402
        served += sum(each.complete for each in told)
        assert purchased(customer) == (paid_for - served) * hold_nano
        assert served == paid_for
        judge(four, load.told, life_s=LEASE_S, full_cost_nano=hold_nano)
    four.set_scripts()


def leases_of(scene: Stage, user_id: int) -> list[str]:
    """Ids of the slices of an account."""
    return [row.id for row in read_books(scene.database_url).leases if row.user_id == user_id]


def test_processes_that_are_killed_one_by_one_and_all_at_once(four: Stage) -> None:
    with Load(four.customers(), seed=2) as load:
        dice = random.Random(2)
        for _ in range(4 * REPEATS):
            load.wait_for(20)
            dice.choice(workers_of(four)).kill()
        four.gateway.kill()
        four.gateway.start()
        load.wait_for(20)
        load.pause_until_idle()
        judge(four, load.told, life_s=LEASE_S)
        load.resume()
