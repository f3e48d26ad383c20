"""Money that pays for twenty answers buys twenty, however many ask at once."""

from pathlib import Path

import pytest

from tests.journeys.money.judge import judge
from tests.journeys.money.load import Load
from tests.journeys.money.race import make_cost_equal_hold, race_for_twenty
from tests.journeys.money.scene import SOAK, stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_hundred_at_once_spend_money_for_twenty(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    with stage(tmp_path, url) as scene, Load() as load:
        hold_nano = make_cost_equal_hold(scene)
        for _ in range(50 if SOAK else 2):
            race_for_twenty(scene, load, hold_nano)
        judge(scene, load.told, full_cost_nano=hold_nano)
