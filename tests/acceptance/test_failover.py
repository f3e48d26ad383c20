"""A provider's trouble is not the customer's trouble (2.4): every row of the table, over HTTP, in both dialects."""

import re
import time
from itertools import pairwise
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance import spine
from tests.acceptance.spine import CHAT, CLAUDE, GPT, LLAMA, MESSAGES, MIXED, SINGLE, WIDE, ask
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

DIALECTS = pytest.mark.parametrize("dialect", ["openai", "anthropic"])
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])

# What happens at a provider -> what the client is told when nobody else can help (status, code).
NEXT: dict[str, tuple[dict[str, Any], int, str]] = {
    "401": ({"status": 401}, 503, "no_provider_available"),
    "402": ({"status": 402}, 503, "no_provider_available"),
    "403": ({"status": 403}, 503, "no_provider_available"),
    "404": ({"status": 404}, 404, "model_not_found"),
    "408": ({"status": 408}, 504, "provider_timeout"),
    "500": ({"status": 500}, 502, "provider_error"),
    "502": ({"status": 502, "body": "<html>Bad Gateway nginx</html>"}, 502, "provider_error"),
    "503": ({"status": 503}, 503, "provider_overloaded"),
    "504": ({"status": 504}, 504, "provider_timeout"),
    "529": ({"status": 529}, 503, "provider_overloaded"),
    "no credit as 429": (
        {
            "status": 429,
            "error": {"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}},
        },
        503,
        "no_provider_available",
    ),
    "connection closed": ({"delay_s": 0.3, "status": 0}, 502, "provider_error"),
    "empty": ({"empty": True, "usage": None}, 502, "provider_error"),
    "error in a 200": ({"error_in_200": {"error": {"message": "boom", "type": "server_error"}}}, 502, "provider_error"),
    "silent too long": ({"hang": "headers"}, 504, "provider_timeout"),
}
ROWS = pytest.mark.parametrize("row", NEXT)
STOP = {400: 400, 413: 413, 422: 400}


@pytest.fixture(scope="module")
def upstream() -> FakeUpstream:
    """The scripted providers of the shared house."""
    return spine.shared().upstream


@pytest.fixture(scope="module")
def gateway() -> LiveGateway:
    """The shared house."""
    return spine.shared().gateway


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(50)


@pytest.mark.ac("AC-2.4.1", "AC-2.4.2")
@ROWS
@DIALECTS
@STREAM
def test_trouble_at_the_first_is_served_by_the_second(
    gateway: LiveGateway, upstream: FakeUpstream, row: str, dialect: str, stream: bool
) -> None:
    customer = gateway.customer(1)
    upstream.script("first", default=NEXT[row][0])
    answer = ask(customer, dialect, CHAT, stream=stream)
    assert answer.status_code == 200, answer.text
    assert spine.text_of(dialect, answer) == "Hello from second"
    assert spine.asked(upstream) == ["first", "second"]
    record = spine.only_record(customer)
    assert (record["provider"], record["status"]) == ("second", 200)
    assert [attempt.partition(":")[0] for attempt in record["attempts"]] == ["first", "second"]
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-(10 * 2 + 5 * 8) / 1e6))]


@ROWS
@DIALECTS
@STREAM
def test_what_is_told_when_nobody_can_help(
    gateway: LiveGateway, upstream: FakeUpstream, row: str, dialect: str, stream: bool
) -> None:
    customer = gateway.customer(1)
    before = customer.balance()["balance_usd"]
    script, status, code = NEXT[row]
    upstream.script("first", default=script)
    answer = ask(customer, dialect, SINGLE, stream=stream)
    error = spine.error_of(answer)
    if stream and row == "silent too long":  # the status line has left by then
        assert answer.status_code == 200
    else:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
    assert error["code"] == code
    assert SINGLE in error["message"]
    assert not re.search(r"first|native|nginx|sk-|127\.0|quota|Scripted", answer.text)
    kinds = spine.ledger(customer)
    assert [kind for kind, _ in kinds] == ["hold", "refund"]
    assert kinds[0][1] == -kinds[1][1] < 0
    assert customer.balance()["balance_usd"] == before
    record = spine.only_record(customer)
    assert (record["status"], record["error_code"], record["cost_usd"]) == (status, code, 0)


@pytest.mark.ac("AC-2.4.3")
@pytest.mark.parametrize("status", STOP)
@DIALECTS
@STREAM
def test_the_callers_own_mistake_goes_nowhere_else(
    gateway: LiveGateway, upstream: FakeUpstream, status: int, dialect: str, stream: bool
) -> None:
    customer = gateway.customer(1)
    words = {"message": "'temperature' must be at most 2.", "type": "invalid_request_error", "param": "temperature"}
    upstream.script("first", default={"status": status, "error": {"error": words}})
    answer = ask(customer, dialect, CHAT, stream=stream)
    assert answer.status_code == STOP[status]
    assert "temperature" in spine.error_of(answer)["message"]
    assert spine.asked(upstream) == ["first"]
    assert spine.ledger(customer) == []


@pytest.mark.ac("AC-2.4.3")
def test_a_context_that_is_too_long_says_so(customer: Customer, upstream: FakeUpstream) -> None:
    words = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens."
    upstream.script("first", {"status": 400, "error": {"error": {"message": words, "code": "context_length_exceeded"}}})
    error = spine.error_of(ask(customer, "openai", CHAT))
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert spine.asked(upstream) == ["first"]


@pytest.mark.ac("AC-2.4.4")
@DIALECTS
@STREAM
def test_busy_is_asked_again_and_nobody_else(
    customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool
) -> None:
    busy = {"status": 429, "headers": {"Retry-After-Ms": "80"}}
    upstream.script("first", busy, busy, {})
    answer = ask(customer, dialect, CHAT, stream=stream)
    assert answer.status_code == 200 and spine.text_of(dialect, answer) == "Hello from first"
    assert spine.asked(upstream) == ["first"] * 3
    times = [entry["at_s"] for entry in upstream.journal()]
    assert all(later - earlier >= 0.08 for earlier, later in pairwise(times))


@pytest.mark.ac("AC-2.4.4")
@DIALECTS
def test_busy_for_good_is_told_with_retry_after(gateway: LiveGateway, upstream: FakeUpstream, dialect: str) -> None:
    customer = gateway.customer(1)
    upstream.script("first", default={"status": 429, "headers": {"Retry-After-Ms": "50"}})
    answer = ask(customer, dialect, CHAT)
    assert (answer.status_code, spine.error_of(answer)["code"]) == (429, "provider_rate_limited")
    assert int(answer.headers["retry-after"]) >= 1
    assert spine.asked(upstream) == ["first"] * 4
    assert [kind for kind, _ in spine.ledger(customer)] == ["hold", "refund"]


@pytest.mark.ac("AC-2.4.4")
def test_busy_without_a_word_is_asked_at_growing_intervals(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("first", {"status": 429}, {"status": 429}, {})
    assert ask(customer, "openai", CHAT).status_code == 200
    times = [entry["at_s"] for entry in upstream.journal()]
    assert 0.25 <= times[1] - times[0] < 0.9
    assert 0.5 <= times[2] - times[1] < 1.4


@pytest.mark.ac("AC-2.4.4")
def test_a_wait_beyond_the_deadline_is_left_to_the_client(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("first", default={"status": 429, "headers": {"Retry-After": "60"}})
    begun = time.monotonic()
    answer = ask(customer, "openai", CHAT)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert time.monotonic() - begun < 2 and spine.asked(upstream) == ["first"]


def test_at_most_five_providers(customer: Customer, upstream: FakeUpstream) -> None:
    for slug in ("first", "second", "third", "fourth", "fifth"):
        upstream.script(slug, default={"status": 500})
    assert ask(customer, "openai", WIDE).status_code == 502
    assert spine.asked(upstream) == ["first", "second", "third", "fourth", "fifth"]


def test_the_deadline_ends_it_and_blames_nobody_who_was_not_asked(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    slugs = ("first", "second", "third", "fourth", "fifth")
    for slug in slugs:
        upstream.script(slug, default={"hang": "headers"})

    def failures() -> list[int]:
        return [gateway.call("GET", f"/circuit-breakers/{slug}").json()["failure_count"] for slug in slugs]

    before = failures()
    begun = time.monotonic()
    answer = ask(customer, "openai", WIDE)
    assert 5 < time.monotonic() - begun < 8  # the deadline is 6 s, each provider has 1.5 s
    assert answer.status_code == 504
    called = spine.asked(upstream)
    assert called == list(slugs[:4])
    assert failures()[4] == before[4]


@pytest.mark.ac("AC-2.4.5", "AC-2.4.6")
@pytest.mark.parametrize(("model", "maker"), [(GPT, "openai"), (CLAUDE, "anthropic")])
@DIALECTS
def test_vendor_models_go_to_their_maker_then_openrouter(
    customer: Customer, upstream: FakeUpstream, model: str, maker: str, dialect: str
) -> None:
    upstream.script(maker, default={"status": 503})
    answer = ask(customer, dialect, model)
    assert answer.status_code == 200 and spine.text_of(dialect, answer) == "Hello from openrouter"
    assert spine.asked(upstream) == [maker, "openrouter"]
    upstream.reset()
    for slug in (maker, "openrouter"):
        upstream.script(slug, default={"status": 503})
    assert ask(customer, dialect, model).status_code == 503
    assert spine.asked(upstream) == [maker, "openrouter"]


@pytest.mark.ac("AC-2.4.7")
def test_open_weights_go_to_everyone_who_has_them(customer: Customer, upstream: FakeUpstream) -> None:
    chain = ["openrouter", "groq", "together", "fireworks"]
    for slug in chain:
        upstream.script(slug, default={"status": 502})
    assert ask(customer, "openai", LLAMA).status_code == 502
    assert spine.asked(upstream) == chain


@pytest.mark.ac("AC-2.4.9")
@DIALECTS
@STREAM
def test_nothing_tells_of_a_failover(customer: Customer, upstream: FakeUpstream, dialect: str, stream: bool) -> None:
    same = {"text": "The same words.", "id": "upstream-id"}
    upstream.script("first", same, {"status": 503})
    upstream.script("second", same)
    direct, rescued = (ask(customer, dialect, CHAT, stream=stream) for _ in range(2))
    assert spine.asked(upstream) == ["first", "first", "second"]
    assert _comparable(direct) == _comparable(rescued)
    told = "\n".join([rescued.text, *rescued.headers, *rescued.headers.values()])
    assert not re.search(r"first|second|native|failover|attempt|retr", told, re.IGNORECASE)


def _comparable(answer: httpx.Response) -> tuple[int, list[str], dict[str, str], str]:
    """What two answers to the same question must have in common: all but ids and times."""
    varying = {"date", "x-request-id", "request-id", "x-trace-id", "server-timing", "x-ratelimit-remaining"}
    values = {name: value for name, value in answer.headers.items() if name not in {*varying, "x-ratelimit-reset"}}
    body = re.sub(r'"created":\d+', "", answer.text.replace(answer.headers["x-request-id"], ""))
    return answer.status_code, sorted(answer.headers), values, body


@DIALECTS
def test_a_way_through_the_other_dialect(customer: Customer, upstream: FakeUpstream, dialect: str) -> None:
    for stream in (False, True):
        upstream.reset()
        upstream.script("first", {"status": 500})
        answer = ask(customer, dialect, MIXED, stream=stream)
        assert spine.text_of(dialect, answer) == "Hello from ant"
        assert [entry["path"] for entry in upstream.journal()] == ["/p/first/v1/chat/completions", "/p/ant/v1/messages"]


@DIALECTS
def test_an_anthropic_provider_is_replaced_by_another(customer: Customer, upstream: FakeUpstream, dialect: str) -> None:
    for script in ({"status": 529}, {"error_in_200": {"type": "error", "error": {"type": "overloaded_error"}}}):
        for stream in (False, True):
            upstream.reset()
            upstream.script("ant", script)
            answer = ask(customer, dialect, MESSAGES, stream=stream)
            assert spine.text_of(dialect, answer) == "Hello from anttwo", answer.text
            assert spine.asked(upstream) == ["ant", "anttwo"]


def test_a_refusal_is_an_answer(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(1)
    upstream.script("first", {"refusal": "I cannot help with that."})
    answer = ask(customer, "openai", CHAT)
    assert answer.json()["choices"][0]["message"]["refusal"] == "I cannot help with that."
    assert spine.asked(upstream) == ["first"]
    assert [kind for kind, _ in spine.ledger(customer)] == ["api_usage"]


@DIALECTS
def test_a_slow_start_gets_its_status_line_early(customer: Customer, upstream: FakeUpstream, dialect: str) -> None:
    upstream.script("first", {"first_delay_s": 1.0})
    path, body = spine.BODIES[dialect]
    headers = {"Authorization": f"Bearer {customer.key}"}
    url = customer.gateway.base_url + path
    begun = time.monotonic()
    with httpx.stream("POST", url, json=body(CHAT, stream=True), headers=headers, timeout=10) as answer:
        opened_s = time.monotonic() - begun
        assert answer.status_code == 200
        answer.read()
    ended_s = time.monotonic() - begun
    assert 0.4 < opened_s < 0.9 and ended_s >= 1.0  # the gate is 0.5 s
    assert spine.text_of(dialect, answer) == "Hello from first"


@DIALECTS
def test_failover_goes_on_after_the_status_line(customer: Customer, upstream: FakeUpstream, dialect: str) -> None:
    upstream.script("first", {"hang": "first"})
    answer = ask(customer, dialect, CHAT, stream=True)
    assert answer.status_code == 200 and spine.text_of(dialect, answer) == "Hello from second"


@DIALECTS
def test_a_failure_after_the_status_line_is_told_in_the_stream(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str
) -> None:
    customer = gateway.customer(1)
    upstream.script("first", {"delay_s": 0.8, "status": 500})
    upstream.script("second", {"status": 500})
    answer = ask(customer, dialect, CHAT, stream=True)
    assert answer.status_code == 200
    assert spine.error_of(answer)["code"] == "provider_error"
    found = spine.events(answer.text)
    if dialect == "openai":
        assert len(found) == 2 and found[-1].data == "[DONE]"
    else:
        assert [each.name for each in found] == ["error"]
    assert [kind for kind, _ in spine.ledger(customer)] == ["hold", "refund"]
    assert spine.only_record(customer)["status"] == 502
