"""A caller may see what was decided for its own request, and what a request would cost before it is made."""

from typing import Any

import pytest

from tests.acceptance import spine
from tests.events import events
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

EXPLAIN = {"X-Gatewayz-Explain": "1"}
DRY = {"X-Gatewayz-Dry-Run": "1"}


@pytest.fixture(scope="module")
def house() -> spine.Spine:
    return spine.shared()


@pytest.fixture
def upstream(house: spine.Spine) -> FakeUpstream:
    house.upstream.reset()
    return house.upstream


@pytest.fixture
def gateway(house: spine.Spine) -> LiveGateway:
    return house.gateway


@pytest.fixture
def customer(gateway: LiveGateway, upstream: FakeUpstream) -> Customer:
    return gateway.customer(5)


def explained(customer: Customer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the answer says of itself."""
    answer = customer.call("POST", path, body, **EXPLAIN)
    assert answer.status_code == 200, answer.text
    if not body.get("stream"):
        return answer.json()["gatewayz"]
    told = [each.data for each in events(answer.text) if isinstance(each.data, dict)]
    found = [each.get("gatewayz") or each for each in told if each.get("gatewayz") or each.get("type") == "gatewayz"]
    assert len(found) == 1
    return found[0]


PATHS = [
    ("/v1/chat/completions", spine.chat_body(spine.CHAT)),
    ("/api/v1/chat/completions", spine.chat_body(spine.CHAT)),
    ("/v1/messages", spine.messages_body(spine.CHAT)),
    ("/v1/completions", {"model": spine.CHAT, "prompt": "Hello!"}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), PATHS)
def test_an_answer_explains_itself_to_whoever_asks(
    customer: Customer, upstream: FakeUpstream, path: str, body: dict[str, Any], stream: bool
) -> None:
    upstream.script("first", {"status": 500})
    body = {**body, "stream": stream, "provider": {"ignore": ["third"], "order": ["first"]}}
    told = explained(customer, path, body)
    (plan,) = told["plans"]
    assert (told["model"], plan["order"]) == (spine.CHAT, "order")
    assert [each["provider"] for each in plan["candidates"]] == ["first", "second"]
    assert plan["candidates"][0]["price_usd_per_token"] == {"prompt": "0.000002", "completion": "0.000008"}
    assert told["attempts"] == [{"provider": "first", "outcome": "500"}, {"provider": "second", "outcome": "200"}]
    assert told["served_by"]["provider"] == "second"
    assert told["cost_usd"] == "0.00006"
    assert float(told["hold_usd"]) == max(float(each["ceiling_usd"]) for each in plan["candidates"])
    assert "sk-" not in str(told) and "127.0.0.1" not in str(told)


@pytest.mark.ac("AC-2.4.9")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), PATHS)
def test_nothing_is_told_to_who_does_not_ask(
    customer: Customer, upstream: FakeUpstream, path: str, body: dict[str, Any], stream: bool
) -> None:
    upstream.script("first", {"status": 500})
    answer = customer.call("POST", path, {**body, "stream": stream})
    assert answer.status_code == 200
    assert "gatewayz" not in answer.text
    assert '"provider"' not in answer.text


def test_an_error_explains_itself_too(customer: Customer, upstream: FakeUpstream) -> None:
    for slug in ("first", "second"):
        upstream.script(slug, {"status": 500})
    answer = customer.call("POST", "/v1/chat/completions", spine.chat_body(spine.CHAT), **EXPLAIN)
    body = answer.json()
    assert answer.status_code == 502
    assert body["error"]["code"] == "provider_error"
    assert [each["provider"] for each in body["gatewayz"]["attempts"]] == ["first", "second"]
    assert "served_by" not in body["gatewayz"]


def test_strangers_are_told_nothing(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    answer = gateway.call("POST", "/v1/chat/completions", spine.chat_body(spine.FREE), headers=EXPLAIN)
    assert answer.status_code == 200
    assert "gatewayz" not in answer.json()


def test_a_repetition_gives_the_stored_answer_without_the_explanation(
    customer: Customer, upstream: FakeUpstream
) -> None:
    headers = {**EXPLAIN, "X-Request-ID": "explained-once"}
    first = customer.call("POST", "/v1/chat/completions", spine.chat_body(spine.CHAT), **headers)
    again = customer.call("POST", "/v1/chat/completions", spine.chat_body(spine.CHAT), **headers)
    assert {name: value for name, value in first.json().items() if name != "gatewayz"} == again.json()


def test_the_official_openai_client_reads_explained_answers(customer: Customer) -> None:
    client = spine.openai_client(customer, default_headers=EXPLAIN)
    messages: Any = [{"role": "user", "content": "Hello!"}]
    plain = client.chat.completions.create(model=spine.CHAT, messages=messages)
    assert plain.choices[0].message.content == "Hello from first"
    text = ""
    with client.chat.completions.stream(model=spine.CHAT, messages=messages) as stream:
        for event in stream:
            text += event.delta if event.type == "content.delta" else ""
        assert stream.get_final_completion().choices[0].message.content == text == "Hello from first"


def test_the_official_anthropic_client_reads_explained_answers(customer: Customer) -> None:
    client = spine.anthropic_client(customer, default_headers=EXPLAIN)
    messages: Any = [{"role": "user", "content": "Hello!"}]
    plain = client.messages.create(model=spine.MESSAGES, max_tokens=9, messages=messages)
    assert plain.content[0].text == "Hello from ant"  # type: ignore[union-attr]
    with client.messages.stream(model=spine.MESSAGES, max_tokens=9, messages=messages) as stream:
        assert stream.get_final_text() == "Hello from ant"
    raw = client.messages.create(model=spine.MESSAGES, max_tokens=9, messages=messages, stream=True)
    assert [event.type for event in raw][-1] == "message_stop"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("header", ["X-OpenRouter-Metadata", "X-OpenRouter-Experimental-Metadata"])
@pytest.mark.parametrize(("path", "body"), PATHS)
def test_openrouters_router_metadata_can_be_asked_for(
    customer: Customer, upstream: FakeUpstream, path: str, body: dict[str, Any], stream: bool, header: str
) -> None:
    upstream.script("first", {"status": 500})
    answer = customer.call("POST", path, {**body, "stream": stream}, **{header: "enabled"})
    if stream:
        told = [each.data for each in events(answer.text) if isinstance(each.data, dict)]
        (metadata,) = [each["openrouter_metadata"] for each in told if "openrouter_metadata" in each]
    else:
        metadata = answer.json()["openrouter_metadata"]
    assert (metadata["requested"], metadata["strategy"], metadata["attempt"]) == (spine.CHAT, "direct", 2)
    assert metadata["endpoints"]["available"] == [
        {"model": spine.CHAT, "provider": "first", "selected": False},
        {"model": spine.CHAT, "provider": "second", "selected": True},
    ]
    assert [each["status"] for each in metadata["attempts"]] == [500, 200]
    assert '"gatewayz"' not in answer.text


# Estimates


def nothing_happened(customer: Customer, upstream: FakeUpstream) -> None:
    assert upstream.journal() == []
    assert customer.call("GET", "/user/activity/log").json()["total"] == 0
    balance = customer.call("GET", "/user/balance").json()
    assert (balance["spent_today_usd"], balance["reserved_usd"]) == (0.0, 0.0)


def test_an_estimate_says_what_would_be_held_and_does_nothing(customer: Customer, upstream: FakeUpstream) -> None:
    answer = customer.call("POST", "/v1/estimate", spine.chat_body(spine.CHAT, max_tokens=100, n=2))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    prompt = told["prompt_tokens_estimated"]
    assert (told["object"], told["choices"], told["endpoint"]) == ("estimate", 2, "/v1/chat/completions")
    assert float(told["prompt_cost_usd"]) == pytest.approx(prompt * 0.000002)
    assert float(told["ceiling_usd"]) == pytest.approx(prompt * 0.000002 + 2 * 100 * 0.000008)
    assert told["would_hold_usd"] == told["ceiling_usd"]
    assert [each["provider"] for each in told["plans"][0]["candidates"]] == ["first", "second"]
    nothing_happened(customer, upstream)
    real = customer.call("POST", "/v1/chat/completions", spine.chat_body(spine.CHAT, max_tokens=100, n=2), **EXPLAIN)
    assert real.json()["gatewayz"]["hold_usd"] == told["would_hold_usd"]


def test_stand_ins_raise_what_would_be_held(customer: Customer) -> None:
    body = spine.chat_body(spine.CHAT, max_tokens=100, models=[spine.MESSAGES, "nobody/nothing"])
    told = customer.call("POST", "/v1/estimate", body).json()
    assert [plan["model"] for plan in told["plans"]] == [spine.CHAT, spine.MESSAGES]
    assert float(told["would_hold_usd"]) > float(told["ceiling_usd"])
    assert told["passed_over"][0]["model"] == "nobody/nothing"


@pytest.mark.parametrize(
    ("query", "body", "headers", "dialect"),
    [
        ("", spine.chat_body(spine.CHAT), {}, "openai"),
        ("", {"model": spine.CHAT, "prompt": "Hello!"}, {}, "openai_completions"),
        ("", spine.messages_body(spine.CHAT, system="Be brief."), {}, "anthropic"),
        ("", spine.messages_body(spine.CHAT), {"anthropic-version": "2023-06-01"}, "anthropic"),
        ("?dialect=anthropic", spine.messages_body(spine.CHAT), {}, "anthropic"),
        ("?path=/v1/messages", spine.messages_body(spine.CHAT), {}, "anthropic"),
        ("?path=/api/v1/chat/completions", spine.chat_body(spine.CHAT), {}, "openai"),
    ],
)
def test_an_estimate_understands_every_dialect(
    customer: Customer, query: str, body: dict[str, Any], headers: dict[str, str], dialect: str
) -> None:
    answer = customer.call("POST", "/v1/estimate" + query, body, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["dialect"] == dialect


@pytest.mark.parametrize("query", ["?dialect=klingon", "?path=/v1/nothing", "?path=/v1/estimate"])
def test_an_estimate_of_no_dialect_is_refused_by_name(customer: Customer, query: str) -> None:
    answer = customer.call("POST", "/v1/estimate" + query, spine.chat_body(spine.CHAT))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, query[1:].partition("=")[0])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), PATHS)
@pytest.mark.parametrize("way", ["header", "query"])
def test_a_dry_run_answers_the_plan_of_the_request(
    customer: Customer, upstream: FakeUpstream, path: str, body: dict[str, Any], stream: bool, way: str
) -> None:
    headers = DRY if way == "header" else {}
    query = "?dry_run=true" if way == "query" else ""
    answer = customer.call("POST", path + query, {**body, "stream": stream}, **headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert (told["object"], told["stream"]) == ("estimate", stream)
    assert told["plans"][0]["candidates"][0]["provider"] == "first"
    nothing_happened(customer, upstream)


def test_a_dry_run_takes_no_request_id(customer: Customer, upstream: FakeUpstream) -> None:
    headers = {"X-Request-ID": "dry-then-real"}
    customer.call("POST", "/v1/chat/completions", spine.chat_body(spine.CHAT), **DRY, **headers)
    real = customer.call("POST", "/v1/chat/completions", spine.chat_body(spine.CHAT), **headers)
    assert real.json()["choices"][0]["message"]["content"] == "Hello from first"


def test_who_could_not_ask_cannot_estimate(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    body = spine.chat_body(spine.CHAT)
    assert gateway.call("POST", "/v1/estimate", body).status_code == 401
    assert gateway.call("POST", "/v1/chat/completions?dry_run=1", spine.chat_body(spine.FREE)).status_code == 401
    narrow = gateway.customer(1, model_allowlist=[spine.SINGLE])
    assert narrow.call("POST", "/v1/estimate", body).status_code == 403
    poor = gateway.customer(0)
    assert poor.call("POST", "/v1/estimate", body).status_code == 200
    answer = poor.call("POST", "/v1/estimate", spine.chat_body("nobody/nothing"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
