"""Circuit breakers as operators see them (2.5): their states over HTTP, resets, and the metrics of their moves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.access_helpers import CHAT, config_of, error_of, limit_of, refused_by_limit, soon, visitor
from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway

PAGES = "/circuit-breakers"
SETTINGS: dict[str, Any] = {"breaker_failures": 5, "breaker_cooldown_s": 60, "rate_limit_retries": 0}


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A live gateway with the shipped thresholds, behind a proxy."""
    with LiveGateway(tmp_path_factory.mktemp("breakers"), config_of(upstream, **SETTINGS)) as live:
        yield live


@pytest.fixture(autouse=True)
def _closed(gateway: LiveGateway) -> None:
    # From an address of its own each time: resets are limited per address.
    _closed.number += 1  # type: ignore[attr-defined]
    with visitor(gateway, ip=f"192.0.2.{_closed.number}") as somebody:  # type: ignore[attr-defined]
        assert somebody.send("POST", f"{PAGES}/reset-all").status_code == 200


_closed.number = 0  # type: ignore[attr-defined]


def state_of(gateway: LiveGateway, provider: str) -> dict[str, Any]:
    answer = gateway.call("GET", f"{PAGES}/{provider}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def fail(gateway: LiveGateway, upstream: FakeUpstream, times: int, provider: str = "first") -> None:
    """So many failed attempts at the provider, each a request of its own."""
    upstream.script(provider, default={"status": 502})
    customer = gateway.customer(10)
    model = "acme/single" if provider == "first" else "acme/claude-like"
    with visitor(gateway, customer.key) as user:
        for _ in range(times):
            assert user.infer(CHAT, model).status_code >= 500


def figures(gateway: LiveGateway, name: str) -> dict[str, float]:
    """The samples of a metric family by their labels."""
    lines = gateway.call("GET", "/metrics").text.splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith(name + "{"))
    return {labels.partition("{")[2].rstrip("}"): float(value) for labels, _, value in found}


@pytest.mark.ac("AC-2.5.1", "AC-2.5.9")
def test_a_provider_never_seen_is_closed_and_no_key_is_needed(gateway: LiveGateway) -> None:
    shown = state_of(gateway, "never-seen")
    assert (shown["provider"], shown["state"], shown["failure_count"]) == ("never-seen", "CLOSED", 0)
    assert (shown["opened_at"], shown["next_probe_at"]) == (None, None)
    assert shown["config"]["failures"] == 5
    page = gateway.call("GET", f"{PAGES}?limit=2").json()
    assert {"first", "second", "ant"} <= {row["provider"] for row in gateway.call("GET", PAGES).json()["data"]}
    assert (page["returned"], page["has_more"]) == (2, True)


@pytest.mark.ac("AC-2.5.2", "AC-2.5.3", "AC-2.5.7")
def test_five_failures_open_it_and_a_reset_closes_it(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    fail(gateway, upstream, 4)
    assert (state_of(gateway, "first")["state"], state_of(gateway, "first")["failure_count"]) == ("CLOSED", 4)
    fail(gateway, upstream, 1)
    shown = state_of(gateway, "first")
    assert shown["state"] == "OPEN"
    assert shown["opened_at"] is not None and shown["next_probe_at"] > shown["opened_at"]
    assert "first" in gateway.call("GET", "/health").json()["components"]["providers"]["paused"]
    upstream.reset()
    customer = gateway.customer(10)
    answer = customer.chat("acme/chat")
    assert answer.json()["choices"][0]["message"]["content"] == "Hello from second"
    refused = customer.chat("acme/single")
    error_of(refused, 503, "no_provider_available")
    assert int(refused.headers.get("retry-after", "1")) >= 1
    assert upstream.journal("first") == []
    answer = gateway.call("POST", f"{PAGES}/first/reset")
    assert (answer.status_code, answer.json()["state"], answer.json()["failure_count"]) == (200, "CLOSED", 0)
    assert customer.chat("acme/single").status_code == 200
    assert len(upstream.journal("first")) == 1


@pytest.mark.ac("AC-2.5.8", "AC-2.5.9")
def test_a_reset_of_all_closes_all_and_is_audited(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    fail(gateway, upstream, 5)
    fail(gateway, upstream, 5, "ant")
    assert {state_of(gateway, slug)["state"] for slug in ("first", "ant")} == {"OPEN"}
    with visitor(gateway, ip="203.0.113.1") as somebody:
        answer = somebody.send("POST", f"{PAGES}/reset-all")
        assert answer.status_code == 200
        assert {row["state"] for row in answer.json()["data"]} == {"CLOSED"}
        found = limit_of(answer)
        assert (found["limit"], found["remaining"], found["reason"]) == ("10", "9", "breaker_reset")
        assert somebody.send("POST", f"{PAGES}/ant/reset").status_code == 200
    assert {state_of(gateway, slug)["state"] for slug in ("first", "ant")} == {"CLOSED"}
    one, everything = gateway.admin("GET", "/admin/audit-logs?action=breaker.&limit=2")["data"]
    assert (everything["action"], everything["actor"], everything["ip"]) == (
        "breaker.reset_all",
        "anonymous",
        "203.0.113.1",
    )
    assert {slug: everything["before"][slug]["state"] for slug in ("first", "ant")} == {"first": "OPEN", "ant": "OPEN"}
    assert (one["action"], one["resource"], one["before"]["state"]) == ("breaker.reset", "breaker:ant", "CLOSED")


@pytest.mark.ac("AC-2.5.9")
def test_resets_are_limited_to_ten_an_hour_and_address(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    fail(gateway, upstream, 5)
    with visitor(gateway, ip="203.0.113.2") as somebody:
        for number in range(10):
            path = f"{PAGES}/reset-all" if number % 2 else f"{PAGES}/second/reset"
            assert somebody.send("POST", path).status_code == 200
        fail(gateway, upstream, 5)
        refused_by_limit(somebody.send("POST", f"{PAGES}/first/reset"), "breaker_reset", 10)
        refused_by_limit(somebody.send("POST", f"{PAGES}/reset-all"), "breaker_reset", 10)
        assert somebody.get(f"{PAGES}/first").status_code == 200
    assert state_of(gateway, "first")["state"] == "OPEN"


@pytest.mark.ac("AC-2.5.10")
def test_moves_are_counted_and_the_state_is_shown(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    def moves(before: str, after: str) -> float:
        labels = {f'from="{before}"', f'to="{after}"', 'provider="first"'}
        found = figures(gateway, "circuit_breaker_state_transitions_total")
        return sum(value for key, value in found.items() if set(key.split(",")) == labels)

    opened, closed = moves("CLOSED", "OPEN"), moves("OPEN", "CLOSED")
    fail(gateway, upstream, 5)
    assert moves("CLOSED", "OPEN") == opened + 1
    assert figures(gateway, "circuit_breaker_current_state")['provider="first"'] == 2
    gateway.call("POST", f"{PAGES}/first/reset")
    assert moves("OPEN", "CLOSED") == closed + 1
    assert figures(gateway, "circuit_breaker_current_state")['provider="first"'] == 0


@pytest.mark.ac("AC-2.5.9")
@pytest.mark.parametrize("slug", ["%20", "..%2f..%2fetc", "a" * 65, "<script>", "first'--"])
def test_what_is_no_name_of_a_provider_is_refused(gateway: LiveGateway, slug: str) -> None:
    for method, path in (("GET", f"{PAGES}/{slug}"), ("POST", f"{PAGES}/{slug}/reset")):
        answer = gateway.call(method, path)
        assert answer.status_code in (404, 422)
        error_of(answer, answer.status_code)


@pytest.mark.ac("AC-2.5.4", "AC-2.5.5", "AC-2.5.6", "AC-2.5.9")
def test_probes_close_it_and_a_setting_makes_the_pages_private(upstream: FakeUpstream, tmp_path: Path) -> None:
    changed = {"breaker_admin_only": True, "breaker_cooldown_s": 0.3, "breaker_failures": 2, "breaker_successes": 2}
    with LiveGateway(tmp_path, config_of(upstream, **SETTINGS | changed)) as live:
        customer = live.customer(10)
        for method, path in (
            ("GET", PAGES),
            ("GET", f"{PAGES}/first"),
            ("POST", f"{PAGES}/first/reset"),
            ("POST", f"{PAGES}/reset-all"),
        ):
            error_of(live.call(method, path), 401, "missing_api_key")
            error_of(customer.call(method, path), 403, "admin_required")
            assert live.call(method, path, key=live.admin_key).status_code == 200

        def state() -> str:
            found: str = live.admin("GET", f"{PAGES}/first")["state"]
            return found

        fail(live, upstream, 2)
        assert state() == "OPEN"
        soon(lambda: state() == "HALF_OPEN")
        upstream.script("first", {"status": 200}, {"status": 502}, default={"status": 200})
        assert customer.chat("acme/single").status_code == 200
        assert state() == "HALF_OPEN"
        assert customer.chat("acme/single").status_code >= 500
        assert state() == "OPEN"
        soon(lambda: state() == "HALF_OPEN")
        assert [customer.chat("acme/single").status_code for _ in range(2)] == [200, 200]
        assert state() == "CLOSED"
