"""Circuit breakers as callers and operators see them (2.5), in one process and shared by two through Redis."""

import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.spine import ask
from tests.each_worker import at_each_worker
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

# Small thresholds; providers with a breaker of their own have their own numbers.
COOLDOWN_S = 1.0
SETTINGS = spine.settings_toml(
    breaker_failures=3, breaker_cooldown_s=COOLDOWN_S, breaker_successes=2, breaker_resets_per_hour=1000
)
MODELS = {
    "acme/plain": ("one", "two"),
    "acme/own": ("own",),
    "acme/steady": ("steady", "two"),
    "acme/lost": ("lost", "two"),
    "acme/pair": ("pair", "two"),
}


def config(upstream: FakeUpstream, settings: str = SETTINGS) -> str:
    """Providers of this module, each played by a persona."""
    providers = [
        spine.provider_toml(upstream, slug, priority=at)
        for at, slug in enumerate(("one", "steady", "lost", "pair", "two"), 1)
    ]
    own = {"breaker_failures": 1, "breaker_cooldown_s": 30}
    providers.append(spine.provider_toml(upstream, "own", **own))
    return settings + "".join(providers) + "".join(spine.model_toml(model, offers) for model, offers in MODELS.items())


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway with small thresholds."""
    with LiveGateway(tmp_path_factory.mktemp("breakers"), config(upstream)) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(100)


@pytest.fixture(autouse=True)
def _all_closed(gateway: LiveGateway) -> None:
    gateway.call("POST", "/circuit-breakers/reset-all")


def breaker(gateway: LiveGateway, slug: str) -> dict[str, Any]:
    """GET /circuit-breakers/{slug}, without a key."""
    answer = gateway.call("GET", f"/circuit-breakers/{slug}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def fail(customer: Customer, upstream: FakeUpstream, slug: str, model: str, times: int, script: Any = None) -> None:
    """Lets a provider fail so often, in a row."""
    upstream.script(slug, *[script or {"status": 503}] * times)
    for _ in range(times):
        ask(customer, "openai", model)


def until_half_open(gateway: LiveGateway, slug: str) -> None:
    """Waits for the cool-down to pass."""
    spine.eventually(lambda: breaker(gateway, slug)["state"] == "HALF_OPEN", "HALF_OPEN")


@pytest.mark.ac("AC-2.5.1")
def test_who_was_never_seen_is_closed(gateway: LiveGateway) -> None:
    found = breaker(gateway, "nobody-called-this")
    assert (found["state"], found["failure_count"], found["opened_at"]) == ("CLOSED", 0, None)


@pytest.mark.ac("AC-2.5.2", "AC-2.5.3", "AC-2.4.8")
def test_failures_in_a_row_open_it_and_it_is_left_out(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    fail(customer, upstream, "one", "acme/plain", 2)
    assert (breaker(gateway, "one")["state"], breaker(gateway, "one")["failure_count"]) == ("CLOSED", 2)
    assert ask(customer, "openai", "acme/plain").status_code == 200  # a success starts the count anew
    fail(customer, upstream, "one", "acme/plain", 3)
    found = breaker(gateway, "one")
    assert found["state"] == "OPEN" and found["opened_at"] is not None
    upstream.reset()
    for dialect in ("openai", "anthropic"):
        for stream in (False, True):
            answer = ask(customer, dialect, "acme/plain", stream=stream)
            assert spine.text_of(dialect, answer) == "Hello from two"
    assert spine.asked(upstream) == ["two"] * 4


@pytest.mark.ac("AC-2.5.4", "AC-2.5.5")
def test_after_the_cool_down_successes_close_it(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    fail(customer, upstream, "one", "acme/plain", 3)
    opened = time.monotonic()
    until_half_open(gateway, "one")  # no request was made meanwhile
    assert time.monotonic() - opened > COOLDOWN_S - 0.3
    upstream.reset()
    assert spine.text_of("openai", ask(customer, "openai", "acme/plain")) == "Hello from one"
    assert (breaker(gateway, "one")["state"], breaker(gateway, "one")["success_count"]) == ("HALF_OPEN", 1)
    ask(customer, "openai", "acme/plain", stream=True)
    assert (breaker(gateway, "one")["state"], breaker(gateway, "one")["failure_count"]) == ("CLOSED", 0)


@pytest.mark.ac("AC-2.5.5", "AC-2.5.6")
def test_one_failure_opens_it_again_and_restarts_the_cool_down(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    fail(customer, upstream, "one", "acme/plain", 3)
    first = breaker(gateway, "one")["opened_at"]
    until_half_open(gateway, "one")
    ask(customer, "openai", "acme/plain")
    fail(customer, upstream, "one", "acme/plain", 1)
    again = breaker(gateway, "one")
    assert again["state"] == "OPEN" and again["opened_at"] > first
    until_half_open(gateway, "one")
    assert breaker(gateway, "one")["success_count"] == 0  # the success before the failure does not count


def test_half_open_lets_one_probe_through(gateway: LiveGateway, customer: Customer, upstream: FakeUpstream) -> None:
    fail(customer, upstream, "one", "acme/plain", 3)
    until_half_open(gateway, "one")
    upstream.reset()
    upstream.script("one", default={"delay_s": 0.5})
    said: list[str] = []
    threads = [
        threading.Thread(target=lambda: said.append(spine.text_of("openai", ask(customer, "openai", "acme/plain"))))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["Hello from one", *["Hello from two"] * 4]


@pytest.mark.parametrize("script", [{"status": 404}, {"status": 402}, {"status": 400}, {"status": 422}])
def test_what_is_not_the_providers_health_does_not_count(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream, script: dict[str, Any]
) -> None:
    fail(customer, upstream, "steady", "acme/steady", 4, script)
    assert (breaker(gateway, "steady")["state"], breaker(gateway, "steady")["failure_count"]) == ("CLOSED", 0)


def test_being_busy_does_not_count(gateway: LiveGateway, customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("steady", default={"status": 429, "headers": {"Retry-After-Ms": "1"}})
    assert ask(customer, "openai", "acme/steady").status_code == 429
    assert breaker(gateway, "steady")["failure_count"] == 0


@pytest.mark.parametrize(
    "script", [{"status": 401}, {"status": 500}, {"empty": True}, {"error_after": 1}, {"cut_after_chunks": 1}]
)
def test_streams_that_fail_count(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream, script: dict[str, Any]
) -> None:
    upstream.script("lost", *[script] * 3)
    for _ in range(3):
        ask(customer, "openai", "acme/lost", stream=True)
    assert breaker(gateway, "lost")["state"] == "OPEN"


def test_a_provider_may_have_thresholds_of_its_own(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    upstream.script("own", {"status": 500})
    assert ask(customer, "openai", "acme/own").status_code == 502
    assert breaker(gateway, "own")["state"] == "OPEN"
    upstream.reset()
    paused = ask(customer, "openai", "acme/own")
    error = spine.error_of(paused)
    assert (paused.status_code, error["code"]) == (503, "no_provider_available")
    assert int(paused.headers["retry-after"]) >= 1 and upstream.journal() == []
    assert breaker(gateway, "own")["config"]["failures"] == 1


@pytest.mark.ac("AC-2.5.7", "AC-2.5.8", "AC-2.5.9")
def test_resets_need_no_key(gateway: LiveGateway, customer: Customer, upstream: FakeUpstream) -> None:
    for path in ("/circuit-breakers/one/reset", "/circuit-breakers/reset-all"):
        fail(customer, upstream, "one", "acme/plain", 3)
        fail(customer, upstream, "lost", "acme/lost", 3)
        assert breaker(gateway, "one")["state"] == breaker(gateway, "lost")["state"] == "OPEN"
        assert gateway.call("POST", path).status_code == 200
        assert breaker(gateway, "one")["state"] == "CLOSED"
        assert breaker(gateway, "lost")["state"] == ("CLOSED" if "all" in path else "OPEN")
        upstream.reset()
        assert spine.text_of("openai", ask(customer, "openai", "acme/plain")) == "Hello from one"
        gateway.call("POST", "/circuit-breakers/reset-all")


@pytest.mark.ac("AC-2.5.9")
def test_resets_are_audited_and_limited_and_may_be_closed_to_strangers(upstream: FakeUpstream, tmp_path: Path) -> None:
    with LiveGateway(tmp_path, config(upstream, spine.settings_toml())) as live:
        answers = [live.call("POST", "/circuit-breakers/one/reset") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        entries = live.admin("GET", "/admin/audit-logs?limit=100")["data"]
        assert sum(entry["action"] == "breaker.reset" for entry in entries) == 10
        live.stop()
        live.config = config(upstream, spine.settings_toml(breaker_admin_only=True))
        live.start()
        assert live.call("GET", "/circuit-breakers").status_code == 401
        assert live.call("POST", "/circuit-breakers/reset-all", key=live.customer(1).key).status_code == 403
        assert live.call("POST", "/circuit-breakers/reset-all", key=live.admin_key).status_code == 200


@pytest.mark.ac("AC-2.5.10")
def test_moves_are_counted_and_the_state_is_shown(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    moves = (("CLOSED", "OPEN"), ("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED"))

    def counted() -> list[float]:
        name = "circuit_breaker_state_transitions_total"
        found = []
        for before, after in moves:
            labels = {"provider": "one", "from": before, "to": after}
            found.append(spine.metric(gateway, name, **labels))
        return found

    def state() -> float:
        return spine.metric(gateway, "circuit_breaker_current_state", provider="one")

    before = counted()
    fail(customer, upstream, "one", "acme/plain", 3)
    assert state() == 2
    until_half_open(gateway, "one")
    spine.eventually(lambda: state() == 1, "the gauge of HALF_OPEN")
    for _ in range(2):
        ask(customer, "openai", "acme/plain")
    assert state() == 0
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 1, 1]


@pytest.mark.ac("AC-2.5.2", "AC-2.5.3", "AC-2.5.7")
def test_two_processes_share_it_through_redis(redis_url: str, upstream: FakeUpstream, tmp_path: Path) -> None:
    settings = spine.settings_toml(breaker_failures=6, breaker_cooldown_s=30, breaker_resets_per_hour=1000)
    live = LiveGateway(tmp_path, config(upstream, settings), env={"REDIS_URL": redis_url}, workers=2)
    with live, at_each_worker(live) as workers:
        customer = live.customer(10)
        live.call("POST", "/circuit-breakers/reset-all")
        turns = cycle([customer.at(worker) for worker in workers])

        def states() -> set[str]:
            """What the processes say."""
            return {breaker(worker, "pair")["state"] for worker in workers}

        upstream.script("pair", default={"status": 503})
        # Failures are counted together, whichever process meets them.
        spine.eventually(lambda: ask(next(turns), "openai", "acme/pair") and states() == {"OPEN"}, "OPEN everywhere")
        called = len(upstream.journal("pair"))
        assert 6 <= called <= 12
        for _ in range(10):
            assert spine.text_of("openai", ask(next(turns), "openai", "acme/pair")) == "Hello from two"
        assert len(upstream.journal("pair")) == called
        live.call("POST", "/circuit-breakers/pair/reset")
        spine.eventually(lambda: states() == {"CLOSED"}, "CLOSED everywhere")
