"""Limits in three layers (1.5): where each begins, what it says, and that it lets everybody else alone."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance.access_helpers import (
    CHAT,
    MESSAGES,
    chat_body,
    config_of,
    early_in_the_minute,
    error_of,
    limit_of,
    refused_by_limit,
    soon,
    visitor,
)
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

FREE_MODEL = "acme/tiny:free"
# The defaults of the product, and room for what is not under test.
DEFAULTS: dict[str, Any] = {
    "ip_limit_per_min": 300,
    "fingerprint_limit_per_min": 100,
    "registrations_per_hour": 3,
    "rpm_free": 60,
}


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A live gateway with the limits that the product ships with, behind a proxy."""
    with LiveGateway(tmp_path_factory.mktemp("limits"), config_of(upstream, **DEFAULTS)) as live:
        yield live


@pytest.mark.ac("AC-1.5.1", "AC-1.5.5")
def test_the_301st_stranger_of_a_minute_is_429(gateway: LiveGateway) -> None:
    with visitor(gateway, ip="203.0.113.1") as stranger:
        first = limit_of(stranger.get("/v1/models?limit=1"))
        assert (first["limit"], first["remaining"], first["reason"]) == ("300", "299", "ip")
        assert 0 < int(first["reset"]) - time.time() <= 61
        for left in range(298, -1, -1):
            answer = stranger.get("/user/profile" if left % 2 else "/circuit-breakers/first")
            assert answer.status_code in (200, 401)
            assert answer.headers["x-ratelimit-remaining"] == str(left)
        for path in ("/v1/models", "/user/profile", "/no/such/path", "/admin/users"):
            refused_by_limit(stranger.get(path), "ip", 300)
            refused_by_limit(stranger.get(path, anthropic_version="2023-06-01"), "ip", 300)
        for path in (CHAT, MESSAGES, "/chat/completions", "/v1/v1/messages"):
            refused_by_limit(stranger.infer(path, FREE_MODEL), "ip", 300)
            refused_by_limit(stranger.send("POST", path, "no JSON"), "ip", 300)
        # Refused requests do not push the end of the window away.
        assert stranger.get("/v1/models").headers["x-ratelimit-reset"] == first["reset"]
        for path in ("/health", "/health/quick", "/ping", "/metrics"):
            answer = stranger.get(path)
            assert answer.status_code == 200
            assert "x-ratelimit-limit" not in answer.headers
    with visitor(gateway, ip="203.0.113.2") as neighbour:
        assert neighbour.get("/v1/models?limit=1").status_code == 200


@pytest.mark.ac("AC-1.5.2")
def test_callers_with_a_key_never_meet_the_limit_of_their_address(gateway: LiveGateway) -> None:
    admin = gateway.admin_key
    with visitor(gateway, admin, ip="203.0.113.3") as caller:
        for number in range(310):
            answer = caller.get("/velocity-mode-status" if number % 2 else "/user/profile")
            assert answer.status_code == 200
            assert "x-ratelimit-limit" not in answer.headers, "an enterprise key has no limit"
        # The empty header is no second key, and the key in the other header is no stranger either.
        assert "x-ratelimit-limit" not in caller.get("/v1/models?limit=1", x_api_key="").headers
    with visitor(gateway, ip="203.0.113.3") as stranger:
        assert limit_of(stranger.get("/v1/models?limit=1"))["remaining"] == "299"
        assert "x-ratelimit-limit" not in stranger.get("/v1/models?limit=1", x_api_key=admin).headers


def test_a_key_that_opens_nothing_counts_as_a_stranger(gateway: LiveGateway) -> None:
    with visitor(gateway, "gw_live_" + "A" * 43, ip="203.0.113.4") as pretender:
        for left in (299, 298, 297):
            answer = pretender.get("/v1/models?limit=1") if left == 298 else pretender.infer(CHAT)
            assert answer.headers["x-ratelimit-remaining"] == str(left)
            assert answer.headers["x-ratelimit-reason"] == "ip"


def test_one_fingerprint_at_many_addresses_shares_a_smaller_limit(gateway: LiveGateway) -> None:
    for number in range(50):
        with visitor(gateway, ip=f"198.51.100.{number % 5 + 1}", agent="bot/1") as bot:
            assert bot.get("/v1/models?limit=1").status_code == 200
            found = limit_of(bot.get("/v1/models?limit=1"))
    assert (found["limit"], found["remaining"], found["reason"]) == ("100", "0", "fingerprint")
    with visitor(gateway, ip="198.51.100.99", agent="bot/1") as bot:
        refused_by_limit(bot.get("/v1/models?limit=1"), "fingerprint", 100)
    with visitor(gateway, ip="198.51.100.99", agent="browser/1") as person:
        assert person.get("/v1/models?limit=1").status_code == 200


@pytest.mark.ac("AC-1.5.3", "AC-1.5.6")
def test_a_key_above_its_plan_is_429_everywhere_in_both_dialects(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    early_in_the_minute(5)
    customer = gateway.customer(10)
    ways = [("POST", CHAT), ("POST", MESSAGES), ("GET", "/user/profile"), ("POST", "/v1/v1/messages")]
    with visitor(gateway, customer.key) as user:

        def send(number: int) -> httpx.Response:
            method, path = ways[number % len(ways)]
            return user.send(method, path, chat_body() if method == "POST" else None)

        for number in range(60):
            answer = send(number)
            assert answer.status_code == 200, answer.text
            found = limit_of(answer)
            assert (found["limit"], found["remaining"], found["reason"]) == ("60", str(59 - number), "key")
        asked = len(upstream.journal())
        before = [send(number) for number in range(len(ways))]
        for answer in before:
            refused_by_limit(answer, "key", 60)
        for method, path, body in (
            ("POST", CHAT, chat_body(stream=True)),
            ("POST", MESSAGES, chat_body(stream=True)),
            ("POST", "/chat/completions", "no JSON"),
            ("GET", "/credits/transactions", None),
            ("GET", "/user/api-keys", None),
            ("POST", "/user/api-keys", {"key_name": "x"}),
            ("GET", "/user/rate-limits", None),
            ("GET", "/user/activity/log", None),
            ("GET", "/admin/users", None),
        ):
            refused_by_limit(user.send(method, path, body), "key", 60)
        assert len(upstream.journal()) == asked
        assert {answer.headers["x-ratelimit-reset"] for answer in before} == {found["reset"]}
        assert int(found["reset"]) % 60 == 0
    rows = gateway.admin("GET", f"/admin/users/{customer.user_id}")
    assert rows["status"] == "active"
    assert gateway.customer(10).chat("acme/single").status_code == 200


@pytest.mark.ac("AC-1.5.6")
def test_a_race_passes_exactly_the_limit(gateway: LiveGateway) -> None:
    early_in_the_minute(4)
    customer = gateway.customer(10, rate_limit=20)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: customer.call("GET", "/user/profile").status_code, range(60)))
    assert (found.count(200), found.count(429)) == (20, 40)


@pytest.mark.ac("AC-1.5.4", "AC-1.5.7")
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
def test_without_a_key_three_answers_a_day(
    gateway: LiveGateway, upstream: FakeUpstream, path: str, stream: bool
) -> None:
    with visitor(gateway, ip=f"203.0.113.{100 + len(path) + stream}") as stranger:
        body = chat_body(FREE_MODEL, stream=stream)
        for left in (2, 1, 0):
            answer = stranger.send("POST", path, body)
            assert answer.status_code == 200, answer.text
            found = limit_of(answer)
            assert (found["limit"], found["remaining"], found["reason"]) == ("3", str(left), "anonymous")
        refused_by_limit(stranger.send("POST", path, body), "anonymous", 3)
        other = MESSAGES if path == CHAT else CHAT
        refused_by_limit(stranger.send("POST", other, body), "anonymous", 3)
        assert int(found["reset"]) % 86_400 == 0
        assert len(upstream.journal()) == 3
    status = gateway.call("GET", "/velocity-mode-status").json()["normal_limits"]
    assert status["anonymous_per_day"] == 3
    assert all(limit is None or limit > 3 for limit in status["key_per_minute"].values())


def test_without_a_key_only_free_models_answer(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    with visitor(gateway, ip="203.0.113.5") as stranger:
        for path in (CHAT, MESSAGES):
            error_of(stranger.infer(path, "acme/single"), 401, "missing_api_key")
            error_of(stranger.infer(path, "no/such-model"), 401, "missing_api_key")
        assert stranger.infer(CHAT, FREE_MODEL).headers["x-ratelimit-remaining"] == "2"
    assert len(upstream.journal()) == 1


@pytest.mark.ac("AC-1.5.4")
def test_the_anonymous_limit_stays_below_the_smallest_plan(upstream: FakeUpstream, tmp_path: Path) -> None:
    with LiveGateway(tmp_path, config_of(upstream, anonymous_per_day=10**6, rpm_free=1)) as live:
        status = live.call("GET", "/velocity-mode-status").json()["normal_limits"]
        assert status["anonymous_per_day"] < 1440 * status["key_per_minute"]["free"]
        with visitor(live, ip="203.0.113.6") as stranger:
            assert limit_of(stranger.infer(CHAT, FREE_MODEL))["limit"] == str(status["anonymous_per_day"])


@pytest.mark.ac("AC-1.5.11")
def test_limits_and_use_of_account_and_keys_are_shown(gateway: LiveGateway) -> None:
    early_in_the_minute()
    owner = gateway.customer(10)
    made = owner.call("POST", "/user/api-keys", {"key_name": "second", "rate_limit": 10}).json()
    for _ in range(4):
        assert gateway.call("GET", "/user/profile", key=made["api_key"]).status_code == 200
    answer = owner.call("GET", "/user/rate-limits").json()
    rows = {row["key_name"]: row for row in answer["data"]}
    second, first = rows["second"], rows["Default"]
    assert (second["rate_limit"], second["limit"], second["used"], second["remaining"]) == (10, 10, 4, 6)
    assert (first["rate_limit"], first["requests_per_minute"], first["used"]) == (None, 60, 2)
    assert answer["account"] == {"tier": "free", "requests_per_minute_per_key": 60, "mode": "normal", "used": 6}
    assert answer["total"] == 2


@pytest.mark.ac("AC-1.5.12")
def test_a_changed_limit_measures_the_next_request(gateway: LiveGateway) -> None:
    early_in_the_minute()
    owner = gateway.customer(10)
    made = owner.call("POST", "/user/api-keys", {"key_name": "second"}).json()
    path = f"/user/rate-limits/{made['key_id']}"

    def change(limit: int | None) -> httpx.Response:
        return owner.call("PUT", path, {"rate_limit": limit})

    def use() -> httpx.Response:
        return gateway.call("POST", CHAT, chat_body(), key=made["api_key"])

    assert limit_of(use())["limit"] == "60"
    assert change(2).json()["limit"] == 2
    assert limit_of(use())["remaining"] == "0"
    refused_by_limit(use(), "key", 2)
    assert change(5).status_code == 200
    found = limit_of(use())
    assert (found["limit"], found["remaining"]) == ("5", "2")
    assert change(None).json()["limit"] == 60
    assert limit_of(use())["limit"] == "60"
    assert error_of(change(61), 422, "rate_limit_above_plan")["param"] == "rate_limit"
    for limit in (0, -1, "many", 1.5):
        error_of(owner.call("PUT", path, {"rate_limit": limit}), 422)
    error_of(owner.call("PUT", "/user/rate-limits/999999", {"rate_limit": 5}), 404, "key_not_found")


@pytest.mark.ac("AC-1.5.14")
def test_the_fourth_registration_of_an_hour_is_429(gateway: LiveGateway) -> None:
    def register(person: str, **more: Any) -> httpx.Response:
        body = {"username": person, "email": f"{person}@example.com", "auth_method": "email", **more}
        return stranger.send("POST", "/admin/create", body)

    with visitor(gateway, ip="203.0.113.7") as stranger:
        for left in (2, 1, 0):
            answer = register(f"person{left}")
            assert answer.status_code in (200, 201), answer.text
            found = limit_of(answer)
            assert (found["limit"], found["remaining"], found["reason"]) == ("3", str(left), "registration")
        refused_by_limit(register("person4"), "registration", 3)
        assert 3000 < int(register("person5").headers["retry-after"]) <= 3600
        # A key of one's own does not help.
        stranger.client.headers["authorization"] = f"Bearer {gateway.customer(0).key}"
        refused_by_limit(register("person6"), "registration", 3)
    with visitor(gateway, ip="203.0.113.8") as stranger:
        assert register("person7").status_code in (200, 201)
        error_of(register("person7"), 409, "email_taken")
        error_of(register("person8", email="nobody"), 422)
        refused_by_limit(register("person9"), "registration", 3)


@pytest.fixture(scope="module")
def nervous(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway whose velocity mode needs few requests and ends soon."""
    velocity = {"velocity_min_requests": 8, "velocity_window_s": 2, "velocity_cooldown_s": 1}
    config = config_of(upstream, **DEFAULTS | velocity)
    with LiveGateway(tmp_path_factory.mktemp("velocity"), config) as live:
        yield live


def velocity_of(gateway: LiveGateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.call("GET", "/velocity-mode-status").json()
    return found


def fail(customer: Customer, upstream: FakeUpstream, times: int) -> None:
    """So many requests that end in a 5xx."""
    upstream.script("first", default={"status": 500})
    with visitor(customer.gateway, customer.key) as user:
        for _ in range(times):
            assert user.infer(CHAT).status_code >= 500


@pytest.mark.ac("AC-1.5.9", "AC-1.5.10")
def test_many_failures_halve_all_limits_for_a_while(nervous: LiveGateway, upstream: FakeUpstream) -> None:
    early_in_the_minute(10)
    customer = nervous.customer(10)
    calm = velocity_of(nervous)
    assert (calm["active"], calm["until"], calm["mode"]) == (False, None, "normal")
    fail(customer, upstream, 10)
    status = velocity_of(nervous)
    assert (status["active"], status["mode"]) == (True, "velocity")
    assert status["until"] is not None and status["rate"] > 0.25
    assert (status["failures"], status["sample_size"]) == (10, 10)
    assert (status["threshold"], status["factor"], status["cooldown_s"]) == (0.25, 0.5, 1)
    assert status["normal_limits"]["key_per_minute"]["free"] == 60
    assert status["reduced_limits"]["key_per_minute"]["free"] == 30
    assert (status["normal_limits"]["ip_per_minute"], status["reduced_limits"]["ip_per_minute"]) == (300, 150)
    assert (status["normal_limits"]["anonymous_per_day"], status["reduced_limits"]["anonymous_per_day"]) == (3, 1)
    upstream.reset()
    with visitor(nervous, customer.key) as user, visitor(nervous, ip="203.0.113.9") as stranger:
        for answer, limit in (
            (user.infer(MESSAGES), "30"),
            (user.get("/user/profile"), "30"),
            (stranger.get("/v1/models?limit=1"), "150"),
            (stranger.infer(CHAT, FREE_MODEL), "1"),
        ):
            found = limit_of(answer)
            assert (found["limit"], found["mode"]) == (limit, "velocity")
        refused = stranger.infer(CHAT, FREE_MODEL)
        refused_by_limit(refused, "anonymous", 1)
        assert refused.headers["x-ratelimit-mode"] == "velocity"
    soon(lambda: not velocity_of(nervous)["active"], within_s=8)
    found = limit_of(customer.call("GET", "/user/profile"))
    assert (found["limit"], found["mode"]) == ("60", "normal")
    log = nervous.log_path.read_text()
    assert "velocity_mode_entered" in log and "velocity_mode_left" in log
    assert "velocity" in nervous.call("GET", "/metrics").text


def test_errors_of_callers_do_not_count_for_velocity(nervous: LiveGateway, upstream: FakeUpstream) -> None:
    customer = nervous.customer(10)
    soon(lambda: velocity_of(nervous)["sample_size"] == 0)
    with visitor(nervous, customer.key) as user:
        for number in range(12):
            assert (
                user.infer(CHAT, "no/such-model" if number % 2 else "acme/single", authorization="").status_code == 401
            )
            assert user.send("POST", CHAT, "{").status_code == 400
    upstream.script("first", default={"status": 400})
    assert customer.chat("acme/single").status_code == 400
    status = velocity_of(nervous)
    assert (status["active"], status["failures"]) == (False, 0)
    assert status["sample_size"] > 8
