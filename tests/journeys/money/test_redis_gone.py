"""Redis goes away under load and comes back: no request notices, and limits are limits all the time."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.money.judge import judge
from tests.journeys.money.load import Load, only_good
from tests.journeys.money.scene import QUICK, SOAK, Stage, stage
from tests.servers import ServerHandle, start_redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]

REPEATS = 50 if SOAK else 1
RPM = 5


@pytest.fixture
def redis() -> Iterator[tuple[str, ServerHandle]]:
    """A Redis to be broken."""
    url, handle = start_redis(own=True)
    yield url, handle
    handle.close()


def limits_are_there(scene: Stage) -> None:
    """A key with a limit is stopped at it, give or take the minute that may begin in between."""
    limited = scene.gateway.customer(1, rate_limit=RPM)
    statuses = [limited.chat(QUICK, max_tokens=10).status_code for _ in range(2 * RPM + 1)]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= RPM


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_request_fails_while_redis_is_away(
    kind: str, tmp_path: Path, redis: tuple[str, ServerHandle], request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    with (
        stage(tmp_path, url, env={"REDIS_URL": redis[0]}) as scene,
        Load([scene.gateway.customer(50), scene.gateway.customer(50)], mix=only_good, seed=8) as load,
    ):
        for _ in range(REPEATS):
            limits_are_there(scene)
            redis[1].kill()
            load.wait_for(50)
            limits_are_there(scene)
            redis[1].start()
            load.wait_for(50)
            time.sleep(1.0)
            limits_are_there(scene)
        load.pause_until_idle()
        assert [told for told in load.told if not told.complete] == []
        judge(scene, load.told)
