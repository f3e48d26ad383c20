"""PostgreSQL goes away under load: refused before any provider is called, finished what was begun, nothing lost."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.journeys.money.judge import judge, read_books
from tests.journeys.money.load import Ask, Load, Told
from tests.journeys.money.scene import CLAUDE, LEASE_S, QUICK, SCRIPTS, SLOW, SOAK, Stage, stage
from tests.live import Customer
from tests.servers import ServerHandle, start_postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]

# A stream that begins before the outage and ends in it.
LONG_S = 3.0
# Longer than any outage here: what was held before it must still be held after it.
HOLD_EXPIRY_S = 60
REPEATS = 10 if SOAK else 1


@pytest.fixture
def server() -> Iterator[tuple[str, ServerHandle]]:
    """A PostgreSQL to be broken."""
    dsn, handle = start_postgres(own=True, durable=True)
    yield dsn, handle
    handle.resume()
    handle.close()


def begin_long_streams(scene: Stage, load: Load, customers: Sequence[Customer]) -> list[Told]:
    """Streams of every account, begun and relayed when this returns; they are noted in the load when they end."""
    before = len(scene.upstream.journal("slow"))
    text = SCRIPTS[SLOW]["text"]
    slowly = {**SCRIPTS[SLOW], "chunk_delay_s": LONG_S / len(text)}
    load.pause_until_idle()
    scene.upstream.script("slow", *[slowly] * (2 * len(customers)))
    asks = [Ask(customer, SLOW, stream=True, own_id=None) for customer in customers for _ in range(2)]
    told = load.ask_beside(asks)
    until = time.monotonic() + 5
    while len(scene.upstream.journal("slow")) < before + len(asks):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.3)
    load.resume()
    return told


def refused_without_a_call(scene: Stage, load: Load, customers: Sequence[Customer]) -> None:
    """New requests get 503 with Retry-After, and no provider hears of them."""
    load.pause_until_idle()
    calls = len(scene.upstream.journal())
    asks = [
        Ask(customer, model, stream, own_id)
        for number, customer in enumerate(customers)
        for model in (QUICK, CLAUDE)
        for stream in (False, True)
        for own_id in (None, f"outage-{time.monotonic_ns()}-{number}-{model[5:]}-{stream}")
    ]
    for told in load.ask(asks):
        assert (told.status, told.code) in ((503, "billing_unavailable"), (503, "accounts_unavailable")), told
        assert told.retry_after is not None and int(told.retry_after) > 0
    assert len(scene.upstream.journal()) == calls


@pytest.mark.parametrize("how", ["stop", "kill", "pause"])
@pytest.mark.parametrize("gateway_dies", [False, True], ids=["same-process", "successor"])
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
                getattr(postgres, how)()
                time.sleep(LEASE_S)
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
            books = judge(scene, load.told, life_s=HOLD_EXPIRY_S)
            charged = [row.request_id for row in books.ledger if row.type == "api_usage"]
            assert len(charged) == len(set(charged))
