"""PostgreSQL goes away under load: refused before any provider is called, finished what was begun, nothing lost."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.money.judge import judge
from tests.journeys.money.load import Load
from tests.journeys.money.outage import HOLD_EXPIRY_S, begin_long_streams, refused_without_a_call
from tests.journeys.money.scene import LEASE_S, SOAK, stage
from tests.servers import ServerHandle, start_postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]

REPEATS = 10 if SOAK else 1
ALL_CASES = [("stop", True), ("stop", False), ("kill", False), ("kill", True), ("pause", False), ("pause", True)]


@pytest.fixture
def server() -> Iterator[tuple[str, ServerHandle]]:
    """A PostgreSQL to be broken."""
    dsn, handle = start_postgres(own=True, durable=True)
    yield dsn, handle
    handle.resume()
    handle.close()


@pytest.mark.parametrize(("how", "gateway_dies"), ALL_CASES if SOAK else ALL_CASES[::2])
def test_nothing_is_lost_or_doubled_when_postgresql_goes_away(
    how: str, gateway_dies: bool, tmp_path: Path, server: tuple[str, ServerHandle]
) -> None:
    dsn, postgres = server
    with stage(tmp_path, dsn, hold_expiry_s=HOLD_EXPIRY_S) as scene:
        customers = scene.customers()
        with Load(customers, clients=8, seed=3) as load:
            for _ in range(REPEATS):
                load.wait_for(20)
                streams = begin_long_streams(scene, load, customers)
                load.resume()
                getattr(postgres, how)()
                time.sleep(LEASE_S)
                load.pause_until_idle()
                refused_without_a_call(scene, load, customers)
                load.wait_beside()
                assert len(streams) == 2 * len(customers)
                assert all(told.complete for told in streams), streams
                if gateway_dies:
                    scene.gateway.kill()
                if how == "pause":
                    postgres.resume()
                else:
                    postgres.start()
                if gateway_dies:
                    scene.gateway.start()
                load.resume()
                load.wait_for(20)
            load.pause_until_idle()
            judge(scene, load.told, life_s=HOLD_EXPIRY_S)
