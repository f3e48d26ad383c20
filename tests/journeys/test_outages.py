"""Things break under load, and customers do not notice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import spine
from tests.fakes.handle import FakeUpstream
from tests.journeys.load import steady
from tests.live import LiveGateway
from tests.servers import start_redis

MODEL = "acme/chat"
REQUESTS, OVER_S = 200, 3.0


@pytest.fixture
def pair() -> Iterator[tuple[FakeUpstream, FakeUpstream]]:
    """Two providers in processes of their own."""
    with FakeUpstream() as primary, FakeUpstream() as other:
        primary.script("primary", default={"delay_s": 0.03, "first_delay_s": 0.03})
        yield primary, other


def config(primary: FakeUpstream, other: FakeUpstream) -> str:
    """A model with an offer at each."""
    settings = spine.settings_toml(breaker_failures=5, breaker_cooldown_s=1, breaker_successes=1)
    providers = spine.provider_toml(primary, "primary", priority=1) + spine.provider_toml(other, "other", priority=2)
    return settings + providers + spine.model_toml(MODEL, ("primary", "other"))


async def test_the_primary_provider_is_killed_in_mid_load(
    pair: tuple[FakeUpstream, FakeUpstream], tmp_path: Path
) -> None:
    primary, other = pair
    with LiveGateway(tmp_path, config(primary, other)) as live:
        customer = live.customer(100)
        load = asyncio.create_task(steady(customer, MODEL, requests=REQUESTS, over_s=OVER_S))
        await asyncio.sleep(OVER_S / 3)
        await asyncio.to_thread(primary.kill)
        outcome = await load
        assert outcome.wrong == []
        assert outcome.served == {"Hello from primary", "Hello from other"}
        # A stream whose first words had left cannot be started again; it is told, and costs nothing.
        assert outcome.complete + outcome.broken_off == REQUESTS and outcome.broken_off <= 3
        state = live.call("GET", "/circuit-breakers/primary").json()["state"]
        assert state in ("OPEN", "HALF_OPEN")
        kinds = [kind for kind, _ in spine.ledger(customer)]
        assert kinds.count("api_usage") == outcome.complete
        assert kinds.count("refund") == kinds.count("hold") == outcome.broken_off
        primary.start()
        spine.eventually(
            lambda: customer.chat(MODEL).json()["choices"][0]["message"]["content"] == "Hello from primary",
            "traffic at the primary again",
        )


async def test_redis_is_stopped_and_started_under_load(pair: tuple[FakeUpstream, FakeUpstream], tmp_path: Path) -> None:
    url, redis = await asyncio.to_thread(lambda: start_redis(own=True))
    try:
        with LiveGateway(tmp_path, config(*pair), env={"REDIS_URL": url}) as live:
            customer = live.customer(100)

            def redis_state() -> str:
                return str(live.call("GET", "/health").json()["components"]["redis"]["status"])

            assert redis_state() == "healthy"
            load = asyncio.create_task(steady(customer, MODEL, requests=REQUESTS, over_s=OVER_S))
            await asyncio.sleep(OVER_S / 4)
            await asyncio.to_thread(redis.kill)
            await asyncio.sleep(OVER_S / 4)
            seen = await asyncio.to_thread(live.call, "GET", "/health")
            assert seen.status_code == 200 and seen.json()["components"]["redis"]["status"] == "degraded"
            await asyncio.to_thread(redis.start)
            outcome = await load
            assert outcome.wrong == [] and outcome.complete == REQUESTS
            assert [kind for kind, _ in spine.ledger(customer)] == ["api_usage"] * REQUESTS
            await asyncio.to_thread(spine.eventually, lambda: redis_state() == "healthy", "Redis in use again", 15.0)
    finally:
        await asyncio.to_thread(redis.close)
