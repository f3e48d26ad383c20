"""The server is killed under load, over and over, and started again on the same database."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.money.judge import judge, read_books, sums_agree
from tests.journeys.money.load import Load
from tests.journeys.money.scene import SOAK, Stage, stage
from tests.servers import start_postgres

KILLS = 20
CHAPTERS = 10 if SOAK else 1

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]


@pytest.fixture(scope="module")
def durable_postgres() -> Iterator[str]:
    dsn, server = start_postgres(durable=True)
    yield dsn
    server.close()


def kill_again_and_again(stage: Stage, load: Load, dice: random.Random) -> None:
    """Twenty lives; at the end of each the sums are looked at while nobody can repair them."""
    for life in range(KILLS):
        load.wait_for(5)
        time.sleep(dice.uniform(0, 0.5))
        stage.gateway.kill()
        if life % 4 == 0:
            sums_agree(read_books(stage.database_url))
        stage.gateway.start()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_server_that_is_killed_twenty_times_keeps_exact_books(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("durable_postgres") if kind == "postgresql" else None
    with stage(tmp_path, url) as scene, Load(scene.customers(), seed=1) as load:
        for chapter in range(CHAPTERS):
            kill_again_and_again(scene, load, random.Random(chapter))
            load.wait_for(20)
            load.pause_until_idle()
            judge(scene, load.told)
            scene.set_scripts()
            load.resume()
        kinds = [(told.ask.stream, told.complete) for told in load.told if told.status == 200]
        assert {(True, True), (False, True), (True, False)} <= set(kinds), "the load was not mixed"
        assert sum(told.cut for told in load.told) > KILLS, "the kills hit nothing"
