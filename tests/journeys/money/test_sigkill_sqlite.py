"""The server is killed under load, over and over, and started again on the same SQLite file."""

from pathlib import Path

import pytest

from tests.journeys.money.killing import survive_twenty_kills
from tests.journeys.money.scene import SOAK


@pytest.mark.slow
@pytest.mark.timeout(3600 if SOAK else 300)
def test_a_server_killed_twenty_times_keeps_exact_books(tmp_path: Path) -> None:
    survive_twenty_kills(tmp_path, None, seed=100)
