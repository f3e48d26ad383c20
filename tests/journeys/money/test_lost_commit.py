"""Connections to PostgreSQL that are cut in mid-commit: the outcome is unknown, the books are exact all the same."""

import time
from pathlib import Path

import pytest

from tests.journeys.money.judge import judge
from tests.journeys.money.load import Load
from tests.journeys.money.proxy import CuttingProxy
from tests.journeys.money.scene import SOAK, stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]

CUTS = 500 if SOAK else 12


def test_commits_of_unknown_outcome_are_neither_lost_nor_doubled(postgres_url: str, tmp_path: Path) -> None:
    with CuttingProxy(postgres_url, seed=4) as proxy, stage(tmp_path, proxy.dsn) as scene:
        customers = scene.customers()
        with Load(customers, seed=4) as load:
            load.wait_for(20)
            proxy.share = 0.05
            until = time.monotonic() + (1800 if SOAK else 60)
            while min(proxy.before, proxy.after) < CUTS:
                assert time.monotonic() < until, f"{proxy.before} cuts before and {proxy.after} after a commit"
                load.wait_for(1)
            proxy.share = 0.0
            load.wait_for(20)
            load.pause_until_idle()
            judge(scene, load.told)
            assert not [told for told in load.told if told.cut], "the server lived all the time"
