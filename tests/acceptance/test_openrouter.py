"""An application written for OpenRouter changes its base URL: preferences, stand-ins, pages and errors."""

from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance import spine
from tests.events import events
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

BASE = "/api/v1"
CHAT = f"{BASE}/chat/completions"


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


def chat(customer: Customer, model: str = spine.CHAT, *, path: str = CHAT, **more: Any) -> httpx.Response:
    return customer.call("POST", path, spine.chat_body(model, **more))


def served_by(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return spine.text_of("openai", answer).removeprefix("Hello from ")


# Preferences


@pytest.mark.parametrize("path", [CHAT, "/v1/chat/completions"])
def test_an_order_decides_who_is_asked(customer: Customer, upstream: FakeUpstream, path: str) -> None:
    assert served_by(chat(customer, path=path, provider={"order": ["second"]})) == "second"
    assert upstream.journal("first") == []
    sent = upstream.journal("second")[0]["body"]
    assert not {"provider", "usage"} & sent.keys()


def test_messages_know_preferences_too(customer: Customer, upstream: FakeUpstream) -> None:
    body = spine.messages_body(spine.MESSAGES, provider={"order": ["anttwo"]})
    for path in ("/v1/messages", f"{BASE}/messages"):
        assert spine.text_of("anthropic", customer.call("POST", path, body)) == "Hello from anttwo"
    assert "provider" not in upstream.journal("anttwo")[0]["body"]


def test_those_in_the_order_stand_in_for_each_other_and_no_others_without_fallbacks(
    customer: Customer, upstream: FakeUpstream
) -> None:
    upstream.script("second", {"status": 500})
    assert served_by(chat(customer, provider={"order": ["second"]})) == "first"
    upstream.reset()
    upstream.script("second", {"status": 500})
    answer = chat(customer, provider={"order": ["second"], "allow_fallbacks": False})
    assert answer.status_code == 502
    assert upstream.journal("first") == []


def test_only_ignore_and_a_slug_restrict(customer: Customer) -> None:
    assert served_by(chat(customer, provider={"only": ["second/fp8", "nobody"]})) == "second"
    assert served_by(chat(customer, provider={"ignore": ["first"]})) == "second"
    assert served_by(chat(customer, provider="second")) == "second"


def test_an_order_of_the_callers_own_is_stronger_than_a_conversation(
    customer: Customer, upstream: FakeUpstream
) -> None:
    cached = {"usage": {"prompt": 1700, "completion": 5, "cached": 1500}}
    for slug in ("first", "second"):
        upstream.script(slug, default=cached)
    messages = [{"role": "system", "content": "Be brief. " * 700}, {"role": "user", "content": "Own order?"}]
    body = {"model": spine.CHAT, "messages": messages, "provider": {"order": ["second", "first"]}}
    assert served_by(customer.call("POST", CHAT, body)) == "second"
    assert served_by(customer.call("POST", CHAT, {**body, "provider": {"order": ["first", "second"]}})) == "first"


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        ({"only": ["third"]}, "not_in_only"),
        ({"data_collection": "deny"}, "data_collection_unknown"),
        ({"zdr": True}, "zdr_unknown"),
        ({"quantizations": ["fp8"]}, "quantization_not_wanted"),
        ({"max_price": {"completion": 7.99}}, "price_above_max"),
        ({"require_parameters": True}, "lacks_parameters"),
    ],
)
def test_when_nobody_is_left_the_reasons_are_told(
    customer: Customer, upstream: FakeUpstream, provider: dict[str, Any], reason: str
) -> None:
    answer = chat(customer, provider=provider, min_p=0.1)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, 404)
    assert error["metadata"]["error_type"] == "not_found"
    assert {each["reason"] for each in error["metadata"]["details"]["excluded"]} == {reason}
    assert "first" in error["message"] and "second" in error["message"]
    assert upstream.journal() == []


def test_a_ceiling_that_is_met_lets_pass(customer: Customer) -> None:
    assert served_by(chat(customer, provider={"max_price": {"prompt": 2, "completion": "8"}})) == "first"


@pytest.mark.parametrize("suffix", [":nitro", ":floor", ":fast", ":exacto"])
def test_suffixes_that_sort_name_the_same_model(customer: Customer, suffix: str) -> None:
    answer = chat(customer, spine.CHAT + suffix)
    assert served_by(answer)
    assert answer.json()["model"] == spine.CHAT


def test_plugins_that_cannot_be_served_are_refused_by_name(customer: Customer) -> None:
    for answer in (chat(customer, spine.CHAT + ":online"), chat(customer, plugins=[{"id": "web"}])):
        assert (answer.status_code, answer.json()["error"]["metadata"]["code"]) == (400, "web_search_unavailable")
    answer = chat(customer, plugins=[{"id": "file-parser"}])
    assert (answer.status_code, answer.json()["error"]["metadata"]["param"]) == (400, "plugins[0].id")


def test_variants_are_models_of_the_catalog(customer: Customer) -> None:
    assert served_by(chat(customer, spine.FREE)) == "first"
    for suffix in (":thinking", ":extended", ":free"):
        assert chat(customer, spine.CHAT + suffix).status_code == 404


# Stand-ins


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_everywhere_is_stood_in_for(
    customer: Customer, upstream: FakeUpstream, gateway: LiveGateway, stream: bool
) -> None:
    for slug in ("first", "second"):
        upstream.script(slug, {"status": 500})
    answer = chat(customer, models=[spine.MESSAGES], route="fallback", stream=stream)
    assert served_by(answer) == "ant"
    record = spine.eventually(lambda: customer.call("GET", "/user/activity/log").json()["data"], "a record")[0]
    assert (record["requested_model"], record["model"], record["provider"]) == (spine.CHAT, spine.MESSAGES, "ant")
    assert [each.partition(":")[0] for each in record["attempts"]] == ["first", "second", "ant"]
    row = customer.call("GET", "/credits/transactions").json()["data"][0]
    assert (row["type"], row["model"], row["amount_usd_exact"]) == ("api_usage", spine.MESSAGES, "-0.000105")


def test_models_that_nobody_serves_are_passed_over(customer: Customer) -> None:
    assert served_by(chat(customer, "nobody/nothing", models=[spine.SINGLE])) == "first"
    answer = chat(customer, "nobody/nothing", models=["nobody/else"])
    assert answer.status_code == 404
    assert "nobody/nothing" in answer.json()["error"]["message"]


def test_the_first_of_the_models_needs_no_model(customer: Customer) -> None:
    body = {"models": [spine.SINGLE, spine.CHAT], "messages": [{"role": "user", "content": "Hello!"}]}
    answer = customer.call("POST", CHAT, body)
    assert answer.json()["model"] == spine.SINGLE


def test_a_mistake_of_the_callers_is_not_tried_again_with_another_model(
    customer: Customer, upstream: FakeUpstream
) -> None:
    upstream.script("first", {"status": 400, "error": {"error": {"message": "bad temperature"}}})
    assert chat(customer, models=[spine.MESSAGES]).status_code == 400
    assert upstream.journal("ant") == []


def test_every_model_must_be_allowed_to_the_key(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(5, model_allowlist=[spine.CHAT])
    answer = chat(customer, models=[spine.SINGLE])
    assert (answer.status_code, answer.json()["error"]["metadata"]["code"]) == (403, "model_not_allowed")
    assert upstream.journal() == []


def test_the_dearest_model_must_be_affordable(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(0)  # what is left of the trial's day: one dollar
    alone = chat(customer, max_tokens=100_000)
    assert alone.status_code == 200
    answer = chat(customer, models=[spine.MESSAGES], max_tokens=100_000)
    assert answer.status_code == 402
    assert len(upstream.journal()) == 1


# Usage and lookups


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [spine.CHAT, spine.MESSAGES], ids=["same dialect", "translated"])
def test_usage_says_what_the_charge_is_made_of(customer: Customer, stream: bool, model: str) -> None:
    for path, more in ((CHAT, {}), ("/v1/chat/completions", {"usage": {"include": True}})):
        answer = chat(customer, model, path=path, stream=stream, **more)
        if stream:
            chunks = [each.data for each in events(answer.text) if each.data != "[DONE]"]
            usage = [each["usage"] for each in chunks if each.get("usage")][-1]
        else:
            usage = answer.json()["usage"]
        details = usage["cost_details"]
        assert usage["is_byok"] is False
        assert details["upstream_inference_cost"] is None
        parts = details["upstream_inference_prompt_cost"] + details["upstream_inference_completions_cost"]
        assert parts == pytest.approx(usage["cost"])
        assert usage["cost"] > 0


def test_who_does_not_ask_gets_openais_usage(customer: Customer) -> None:
    usage = chat(customer, path="/v1/chat/completions").json()["usage"]
    assert not {"cost_details", "is_byok"} & usage.keys()


@pytest.mark.parametrize("stream", [False, True])
def test_a_generation_is_found_by_the_id_in_the_answer_and_by_the_request_id(customer: Customer, stream: bool) -> None:
    answer = chat(customer, spine.SINGLE, stream=stream, user="someone")
    shown = events(answer.text)[0].data if stream else answer.json()
    for path in (BASE, "/v1"):
        for wanted in (shown["id"], answer.headers["x-request-id"]):
            found = customer.call("GET", f"{path}/generation?id={wanted}")
            assert found.status_code == 200, found.text
            data = found.json()["data"]
            assert (data["model"], data["provider_name"], data["streamed"]) == (spine.SINGLE, "first", stream)
            assert (data["native_tokens_prompt"], data["native_tokens_completion"]) == (10, 5)
            assert data["total_cost"] == pytest.approx(0.00006)
            assert (data["finish_reason"], data["upstream_id"]) == ("stop", shown["id"])
            assert (data["external_user"], data["cancelled"]) == ("someone", False)
            assert data["latency"] > 0 and data["generation_time"] >= 0


def test_an_answer_without_an_id_of_its_own_is_found_by_the_one_it_was_given(
    customer: Customer, upstream: FakeUpstream
) -> None:
    upstream.script("first", {"body": '{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'})
    answer = chat(customer, spine.SINGLE)
    made_up = answer.json()["id"]
    assert answer.headers["x-request-id"] in made_up
    assert customer.call("GET", f"{BASE}/generation?id={made_up}").status_code == 200


def test_a_failed_request_is_found_with_its_attempts(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("first", {"status": 500})
    answer = chat(customer, spine.SINGLE)
    assert answer.status_code == 502
    data = customer.call("GET", f"{BASE}/generation?id={answer.headers['x-request-id']}").json()["data"]
    assert data["provider_responses"] == [{"provider_name": "first", "status": 500, "is_byok": False}]
    assert data["total_cost"] == 0


def test_nobody_finds_the_generations_of_others(customer: Customer, gateway: LiveGateway) -> None:
    wanted = chat(customer, spine.SINGLE).headers["x-request-id"]
    other = gateway.customer(1)
    answer = other.call("GET", f"{BASE}/generation?id={wanted}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, 404)
    assert gateway.call("GET", f"{BASE}/generation?id={wanted}").status_code == 401
    narrow = customer.call(
        "POST", "/user/api-keys", {"key_name": "narrow", "environment_tag": "live", "scopes": ["inference"]}
    ).json()["api_key"]
    assert gateway.call("GET", f"{BASE}/generation?id={wanted}", key=narrow).status_code == 404
    own = gateway.call("POST", CHAT, spine.chat_body(spine.SINGLE), key=narrow).headers["x-request-id"]
    assert gateway.call("GET", f"{BASE}/generation?id={own}", key=narrow).status_code == 200


@pytest.mark.parametrize("path", [f"{BASE}/key", f"{BASE}/auth/key", "/v1/key"])
def test_a_key_knows_its_limit_and_what_it_spent(gateway: LiveGateway, path: str) -> None:
    customer = gateway.customer(5, daily_usd_cap=1)
    chat(customer, spine.SINGLE)
    data = customer.call("GET", path).json()["data"]
    assert (data["limit"], data["limit_reset"]) == (1.0, "daily")
    assert data["usage"] == data["usage_daily"] == data["usage_monthly"] == pytest.approx(0.00006)
    assert data["limit_remaining"] == pytest.approx(1 - 0.00006)
    assert data["effective_budget"]["remaining_usd"] == data["limit_remaining"]
    assert gateway.customer(1).call("GET", path).json()["data"]["limit"] is None


def test_credits_less_usage_is_the_balance(customer: Customer) -> None:
    chat(customer, spine.SINGLE)
    data = customer.call("GET", f"{BASE}/credits").json()["data"]
    balance = customer.call("GET", "/user/balance").json()["balance_usd"]
    assert data["total_usage"] == pytest.approx(0.00006)
    assert data["total_credits"] - data["total_usage"] == pytest.approx(balance)


# Catalog


def test_models_are_listed_in_openrouters_form(customer: Customer, gateway: LiveGateway) -> None:
    body = gateway.call("GET", f"{BASE}/models").json()
    rows = {row["id"]: row for row in body["data"]}
    assert body["total_count"] == len(rows) == gateway.call("GET", f"{BASE}/models/count").json()["data"]["count"]
    row = rows[spine.MESSAGES]
    assert row["pricing"]["prompt"] == "0.000003"
    assert row["pricing"]["input_cache_read"] == "0.0000003"
    assert {"tools", "reasoning"} <= set(row["supported_parameters"])
    assert not {"seed", "logit_bias"} & set(row["supported_parameters"])
    assert row["architecture"]["input_modalities"] == ["image", "text"]
    assert row["top_provider"]["context_length"] == 128000
    seeded = gateway.call("GET", f"{BASE}/models?supported_parameters=seed,tools").json()["data"]
    assert spine.CHAT in {each["id"] for each in seeded} and spine.MESSAGES not in {each["id"] for each in seeded}
    assert gateway.call("GET", f"{BASE}/models/{spine.CHAT}").json()["data"] == rows[spine.CHAT]


def test_a_keys_own_models_are_those_it_may_use(gateway: LiveGateway) -> None:
    customer = gateway.customer(1, model_allowlist=[spine.CHAT])
    assert [row["id"] for row in customer.call("GET", f"{BASE}/models/user").json()["data"]] == [spine.CHAT]
    assert gateway.call("GET", f"{BASE}/models/user").status_code == 401


@pytest.mark.parametrize("prefix", [BASE, "/v1"])
def test_the_endpoints_of_a_model_are_its_offers(gateway: LiveGateway, prefix: str) -> None:
    data = gateway.call("GET", f"{prefix}/models/{spine.CHAT}/endpoints").json()["data"]
    assert [each["tag"] for each in data["endpoints"]] == ["first", "second"]
    assert data["endpoints"][0]["pricing"] == {"prompt": "0.000002", "completion": "0.000008"}
    assert gateway.call("GET", f"{prefix}/models/nobody/nothing/endpoints").status_code == 404
    assert gateway.call("GET", f"/v1/models/{spine.CHAT}").json()["object"] == "model"


def test_providers_are_listed_in_openrouters_form(gateway: LiveGateway) -> None:
    slugs = {each["slug"] for each in gateway.call("GET", f"{BASE}/providers").json()["data"]}
    assert {"openai", "first", "ant"} <= slugs


# Errors


@pytest.mark.parametrize(
    ("status", "kind", "call"),
    [
        (404, "not_found", ("GET", f"{BASE}/nothing", None)),
        (405, "not_found", ("GET", CHAT, None)),
        (400, "invalid_request", ("POST", CHAT, "{")),
        (400, "invalid_request", ("POST", f"{BASE}/completions", {"model": spine.CHAT})),
        (422, "unprocessable", ("GET", f"{BASE}/generation", None)),
    ],
)
def test_errors_have_openrouters_shape(customer: Customer, status: int, kind: str, call: tuple[str, str, Any]) -> None:
    answer = customer.call(*call)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, status)
    assert isinstance(error["message"], str)
    assert error["metadata"]["request_id"] == answer.headers["x-request-id"]
    if status != 405:
        assert error["metadata"]["error_type"] == kind


def test_under_v1_errors_stay_openais(customer: Customer) -> None:
    error = chat(customer, "nobody/nothing", path="/v1/chat/completions").json()["error"]
    assert error["code"] == "model_not_found"
    answer = customer.call("POST", f"{BASE}/messages", spine.messages_body("nobody/nothing"))
    assert answer.json()["type"] == "error"


@pytest.mark.parametrize("model", [spine.SINGLE, "acme/messages"])
def test_a_stream_that_breaks_ends_with_openrouters_error_chunk(
    customer: Customer, upstream: FakeUpstream, model: str
) -> None:
    slug = "first" if model == spine.SINGLE else "ant"
    upstream.script(slug, {"cut_after_chunks": 2, "text": "word " * 20})
    chunks = events(chat(customer, model, stream=True).text)
    assert chunks[-1].data == "[DONE]"
    last = chunks[-2].data
    assert (last["error"]["code"], last["choices"][0]["finish_reason"]) == (502, "error")
    assert last["object"] == "chat.completion.chunk"
    assert last["id"] == chunks[0].data["id"]


# What OpenRouter's clients send besides


def test_reasoning_is_said_in_the_providers_words(customer: Customer, upstream: FakeUpstream) -> None:
    chat(customer, spine.SINGLE, reasoning={"effort": "high"}, include_reasoning=True, session_id="s")
    sent = upstream.journal("first")[0]["body"]
    assert sent["reasoning_effort"] == "high"
    assert not {"reasoning", "include_reasoning", "session_id"} & sent.keys()
    chat(customer, spine.SINGLE, reasoning={"enabled": False})
    assert upstream.journal("first")[1]["body"]["reasoning_effort"] == "none"


def test_answers_hold_what_openrouters_sdks_insist_on(customer: Customer) -> None:
    for model in (spine.CHAT, spine.MESSAGES):
        assert chat(customer, model).json()["system_fingerprint"] is None


def test_headers_of_attribution_are_tolerated(customer: Customer) -> None:
    answer = customer.call(
        "POST", CHAT, spine.chat_body(spine.SINGLE), **{"HTTP-Referer": "https://app.example", "X-Title": "App"}
    )
    assert answer.status_code == 200


def test_measured_speed_decides_once_there_is_some(upstream: FakeUpstream, tmp_path: Path) -> None:
    """`first` comes first by priority; once `second` was seen to be quicker, whoever sorts by latency gets it."""
    config = spine.settings_toml()
    config += spine.provider_toml(upstream, "first", priority=1) + spine.provider_toml(upstream, "second", priority=2)
    config += spine.model_toml(spine.CHAT, ("first", "second"))
    upstream.script("first", default={"delay_s": 0.3})
    with LiveGateway(tmp_path, config) as own:
        customer = own.customer(5)
        assert served_by(chat(customer, provider={"sort": "latency"})) == "first"
        for slug in ("first", "second"):
            for _ in range(5):
                assert served_by(chat(customer, provider={"only": [slug]})) == slug
        spine.eventually(
            lambda: served_by(chat(customer, spine.CHAT + ":fast")) == "second", "the quicker one", timeout_s=60
        )
        assert served_by(chat(customer, provider={"preferred_max_latency": 0.2})) == "second"
        assert served_by(chat(customer)) == "first"


@pytest.mark.ac("AC-2.7.1")
def test_what_nobody_has_measured_is_tried_by_requests_that_go_by_speed(upstream: FakeUpstream, tmp_path: Path) -> None:
    """`first` comes first by priority; where every such request explores, `second` is tried until it is known."""
    config = spine.settings_toml(explore_share=1, breaker_failures=1, breaker_cooldown_s=600)
    config += spine.provider_toml(upstream, "first", priority=1) + spine.provider_toml(upstream, "second", priority=2)
    config += spine.model_toml(spine.CHAT, ("first", "second"))
    fast = {"sort": "latency"}
    with LiveGateway(tmp_path, config) as own:
        customer = own.customer(5)
        told = customer.call("POST", CHAT, spine.chat_body(spine.CHAT, provider=fast), **{"X-Gatewayz-Explain": "true"})
        assert told.status_code == 200, told.text
        explained = told.json()["gatewayz"]
        assert explained["exploration"]["provider"] == explained["served_by"]["provider"] == "second"
        for wanted in ({"sort": "price"}, {"order": ["first"]}, {"only": ["first"]}, {**fast, "order": ["first"]}):
            assert served_by(chat(customer, provider=wanted)) == "first"
        assert served_by(chat(customer)) == "first"
        # An estimate is no traffic.
        estimated = customer.call("POST", "/v1/estimate", spine.chat_body(spine.CHAT, provider=fast)).json()
        assert "exploration" not in estimated
        for _ in range(4):
            chat(customer, provider=fast)
        for _ in range(5):
            chat(customer, provider={"only": ["first"]})
        upstream.script("second", default={"delay_s": 0.4})
        chat(customer, provider=fast)
        # Once both are known the quicker one is asked, and nobody else is tried.
        spine.eventually(lambda: served_by(chat(customer, provider=fast)) == "first", "the quicker one", timeout_s=60)
        assert served_by(chat(customer, spine.CHAT + ":fast")) == "first"


def test_a_provider_in_trouble_is_not_tried(upstream: FakeUpstream, tmp_path: Path) -> None:
    config = spine.settings_toml(explore_share=1, breaker_failures=1, breaker_cooldown_s=600)
    config += spine.provider_toml(upstream, "first", priority=1) + spine.provider_toml(upstream, "second", priority=2)
    config += spine.model_toml(spine.CHAT, ("first", "second"))
    upstream.script("second", default={"status": 500})
    with LiveGateway(tmp_path, config) as own:
        customer = own.customer(5)
        # The trial fails, the others of the plan stand in, and its breaker opens.
        assert served_by(chat(customer, provider={"sort": "latency"})) == "first"
        assert len(upstream.journal("second")) == 1
        assert served_by(chat(customer, provider={"sort": "throughput"})) == "first"
        assert len(upstream.journal("second")) == 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, spine.chat_body(spine.MESSAGES, reasoning=5), "reasoning"),
        (CHAT, spine.chat_body(spine.MESSAGES, include_reasoning="yes"), "include_reasoning"),
        (CHAT, spine.chat_body(spine.SINGLE, reasoning=5), "reasoning"),
        (CHAT, spine.chat_body(spine.SINGLE, include_reasoning="yes"), "include_reasoning"),
        ("/v1/responses", {"model": spine.MESSAGES, "input": "a", "reasoning": {"summary": 5}}, "reasoning.summary"),
        ("/v1/responses", {"model": spine.MESSAGES, "input": "a", "text": {"verbosity": 5}}, "text.verbosity"),
    ],
)
def test_what_a_translation_would_leave_out_for_its_wrong_type_is_400_by_name(
    customer: Customer, upstream: FakeUpstream, path: str, body: dict[str, Any], param: str
) -> None:
    answer = customer.call("POST", path, body)
    assert answer.status_code == 400 and f"'{param}'" in answer.json()["error"]["message"]
    assert upstream.journal() == []
