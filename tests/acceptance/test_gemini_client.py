"""Gemini's REST interface: paths, keys, both forms of streams, money, errors, leaving clients, counting, models."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance import spine
from tests.acceptance.test_gemini import GEM, NATIVE, gemini_model
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

HI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello!"}]}]}
GPT, CLAUDE, FREE = spine.SINGLE, spine.MESSAGES, spine.FREE
USED = {"prompt": 100, "completion": 10}
MODELS = pytest.mark.parametrize(("model", "persona"), [(GPT, "first"), (CLAUDE, "ant"), (GEM, "gem")])
# What 100 tokens in and 10 out cost, in USD.
COST = {"first": 0.00028, "ant": 0.00045, "gem": 0.00028}


def config(upstream: FakeUpstream) -> str:
    texts = [spine.settings_toml(anonymous_max_tokens=64, trial_credit_usd=0)]
    texts += [spine.provider_toml(upstream, "first"), spine.provider_toml(upstream, "second")]
    texts += [spine.provider_toml(upstream, "ant", "anthropic"), spine.provider_toml(upstream, "gem", "gemini")]
    texts.append(spine.model_toml(GPT, ("first",)))
    texts.append(spine.model_toml(CLAUDE, ("ant",), price=(3, 15), supports_reasoning=True))
    texts.append(spine.model_toml(FREE, ("first",), price=(0, 0)))
    texts.append(gemini_model(GEM, {"gem": NATIVE}, modality="text+image+file+audio->text"))
    texts.append(gemini_model("acme/failing", {"gem": NATIVE, "second": "native-second"}))
    return "".join(texts)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The fake providers."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One provider of each dialect."""
    with LiveGateway(tmp_path_factory.mktemp("rest"), config(upstream)) as live:
        yield live


@pytest.fixture
def customer(gateway: LiveGateway) -> Customer:
    """A fresh account that can pay."""
    return gateway.customer(1)


def path(model: str, method: str = "generateContent", version: str = "v1beta") -> str:
    return f"/{version}/models/{model}:{method}"


def ask(customer: Customer, where: str, body: Any = HI, **headers: str) -> httpx.Response:
    """One request with the key as Google's clients send it."""
    return customer.gateway.call("POST", where, body, headers={"x-goog-api-key": customer.key, **headers})


def chunks(answer: httpx.Response) -> list[Any]:
    """The chunks of a stream, in whichever form it came."""
    if answer.headers["content-type"].startswith("application/json"):
        value: list[Any] = answer.json()
        return value
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.split("\r\n\r\n")
    assert blocks[-1] == "" and all(block.startswith("data: ") for block in blocks[:-1])
    return [json.loads(block[6:]) for block in blocks[:-1]]


def text_of(found: list[Any]) -> str:
    parts = [part for chunk in found for each in chunk["candidates"] for part in each["content"]["parts"]]
    return "".join(part.get("text", "") for part in parts)


@pytest.mark.ac("AC-9.1.10")
@MODELS
@pytest.mark.parametrize("form", ["plain", "events", "array"])
def test_every_form_is_answered_and_paid_exactly(
    customer: Customer, upstream: FakeUpstream, model: str, persona: str, form: str
) -> None:
    upstream.script(persona, {"text": "Grüße 你好 😀, and more.", "usage": USED})
    where = {
        "plain": path(model),
        "events": path(model, "streamGenerateContent?alt=sse"),
        "array": path(model, "streamGenerateContent"),
    }[form]
    answer = ask(customer, where)
    assert answer.status_code == 200 and answer.headers["x-request-id"] and answer.headers["x-ratelimit-limit"]
    found = [answer.json()] if form == "plain" else chunks(answer)
    assert text_of(found) == "Grüße 你好 😀, and more." and (form == "plain" or len(found) > 2)
    last = found[-1]
    assert (last["candidates"][0]["finishReason"], last["modelVersion"]) == ("STOP", model)
    used = last["usageMetadata"]
    assert (used["promptTokenCount"], used["candidatesTokenCount"], used["totalTokenCount"]) == (100, 10, 110)
    assert used["cost"] == pytest.approx(COST[persona])
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-COST[persona]))]
    record = spine.only_record(customer)
    assert (record["requested_model"], record["model"], record["stream"]) == (model, model, form != "plain")
    method = "generateContent" if form == "plain" else "streamGenerateContent"
    assert record["endpoint"] == f"/v1beta/models/{{model}}:{method}"


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_ids_with_slashes_and_every_version(
    customer: Customer, upstream: FakeUpstream, version: str, slash: str
) -> None:
    upstream.script("gem", {"text": "Hi."})
    answer = ask(customer, path(GEM.replace("/", slash), version=version))
    assert text_of([answer.json()]) == "Hi."
    assert upstream.journal("gem")[0]["path"].endswith(f"/models/{NATIVE}:generateContent")


def test_what_came_from_google_and_for_google_is_left_as_it_is(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script(
        "gem",
        {
            "keep_body": True,
            "text": "Hi.",
            "signature": "U0lH",
            "tool_calls": [{"id": "a", "name": "f", "arguments": {}}],
        },
    )
    body = {
        **HI,
        "safetySettings": [{"category": "X", "threshold": "OFF"}],
        "unheard": {"of": [1.50]},
        "provider": "gem",
    }
    answer = ask(customer, path(GEM), body)
    (entry,) = upstream.journal("gem")
    del body["provider"]
    assert json.loads(entry["text"]) == body and "1.5" in entry["text"]
    assert entry["headers"]["x-goog-api-key"] == "sk-gem" and customer.key not in json.dumps(entry)
    parts = answer.json()["candidates"][0]["content"]["parts"]
    assert [part["thoughtSignature"] for part in parts if "thoughtSignature" in part] == ["U0lH"]


# --- who asks ---


def test_a_key_opens_by_header_by_query_and_as_everywhere(gateway: LiveGateway, customer: Customer) -> None:
    where, key = path(GPT), customer.key
    for query, headers in (
        ("", {"x-goog-api-key": key}),
        (f"?key={key}", {}),
        ("", {"authorization": f"Bearer {key}"}),
        (f"?key={key}", {"x-goog-api-key": key, "x-api-key": key}),
    ):
        assert gateway.call("POST", where + query, HI, headers=headers).status_code == 200
    for query, headers in (
        (f"?key={key}", {"x-goog-api-key": "gw_live_other"}),
        ("?key=gw_live_other", {"authorization": f"Bearer {key}"}),
        (f"?key={key}&key=gw_live_other", {}),
    ):
        answer = gateway.call("POST", where + query, HI, headers=headers)
        assert (answer.status_code, reason(answer)) == (401, "multiple_api_keys")
    # Elsewhere neither of the two is a key.
    chat = {"model": GPT, "messages": [{"role": "user", "content": "Hi"}]}
    other = gateway.call("POST", f"/v1/chat/completions?key={key}", chat, headers={"x-goog-api-key": key})
    assert other.status_code == 401


def reason(answer: httpx.Response) -> str:
    error = answer.json()["error"]
    assert error["code"] == answer.status_code and error["message"] and error["status"]
    return str(error["details"][0]["reason"])


def test_a_key_in_a_query_is_written_down_nowhere(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    secret = customer.key
    upstream.script("first", {"status": 500})
    for where in (path(GPT), path("acme/nothing"), path(GPT, "embedContent"), path(GPT, "countTokens")):
        answer = gateway.call("POST", f"{where}?key={secret}", HI)
        assert secret not in answer.text and secret not in str(answer.headers)
    for method, where in (("GET", "/v1beta/models"), ("DELETE", path(GPT)), ("GET", "/v1beta/nothing")):
        answer = gateway.call(method, f"{where}?key={secret}&pageToken=%FF")
        assert secret not in answer.text
    assert secret.encode() not in gateway.log_path.read_bytes()
    assert all(secret not in json.dumps(entry) for entry in upstream.journal())
    assert secret not in gateway.call("GET", "/metrics").text
    assert secret not in customer.call("GET", "/user/activity/log").text


@pytest.mark.ac("AC-9.1.8", "AC-9.1.9")
def test_strangers_get_free_models_only(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.script("first", {"text": "Free."})
    answer = gateway.call("POST", path(FREE), {**HI, "generationConfig": {"maxOutputTokens": 4000}})
    assert text_of([answer.json()]) == "Free." and upstream.journal("first")[0]["body"]["max_tokens"] == 64
    answer = gateway.call("POST", path(GEM), HI)
    assert (answer.status_code, reason(answer)) == (401, "missing_api_key")


# --- what goes wrong ---


@pytest.mark.ac("AC-9.1.7")
def test_every_error_has_googles_shape(gateway: LiveGateway, customer: Customer) -> None:
    poor = gateway.customer(0)
    for answer, status, word, code in (
        (ask(customer, path("acme/nothing")), 404, "NOT_FOUND", "model_not_found"),
        (ask(customer, path(GPT), {}), 400, "INVALID_ARGUMENT", "missing_field"),
        (ask(customer, path(GPT), "{"), 400, "INVALID_ARGUMENT", "invalid_json"),
        (ask(poor, path(GPT)), 402, "FAILED_PRECONDITION", "payment_required"),
        (ask(customer, path(GPT, "predict")), 404, "NOT_FOUND", "not_found"),
        (ask(customer, "/v1beta/tunedModels/mine:generateContent"), 404, "NOT_FOUND", "not_found"),
        (gateway.call("DELETE", path(GPT)), 405, "UNIMPLEMENTED", "method_not_allowed"),
        (gateway.call("GET", "/v1beta/models/acme/nothing"), 404, "NOT_FOUND", "model_not_found"),
        (gateway.call("GET", "/v1beta/files"), 404, "NOT_FOUND", "not_found"),
        (gateway.call("GET", "/v1beta/models?pageToken=!"), 400, "INVALID_ARGUMENT", "invalid_value"),
        (gateway.call("GET", "/v1beta/models?pageSize=-1"), 400, "INVALID_ARGUMENT", "invalid_value"),
        (gateway.call("GET", "/v1beta/models?pageSize=many"), 400, "INVALID_ARGUMENT", "invalid_value"),
        (ask(customer, path(GPT), {**HI, "cachedContent": "c/1"}), 400, "INVALID_ARGUMENT", "unsupported_parameter"),
    ):
        assert (answer.status_code, answer.json()["error"]["status"], reason(answer)) == (status, word, code), (
            answer.text
        )


def test_another_provider_takes_over(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("gem", {"status": 503})
    upstream.script("second", {"text": "Here I am.", "usage": USED})
    answer = ask(customer, path("acme/failing", "streamGenerateContent?alt=sse"))
    assert text_of(chunks(answer)) == "Here I am." and spine.asked(upstream) == ["gem", "second"]
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-0.00028))]


@pytest.mark.parametrize("form", ["streamGenerateContent?alt=sse", "streamGenerateContent"], ids=["events", "array"])
@MODELS
def test_a_stream_that_breaks_ends_with_an_error_and_costs_nothing(
    customer: Customer, upstream: FakeUpstream, model: str, persona: str, form: str
) -> None:
    upstream.script(persona, {"text": "One two three four five six seven eight.", "close_after_chunks": 3})
    found = chunks(ask(customer, path(model, form)))
    assert found[-1]["error"]["status"] == "UNAVAILABLE" and text_of(found[:-1]).startswith("One")
    assert not any("finishReason" in each for chunk in found[:-1] for each in chunk["candidates"])
    rows = spine.eventually(lambda: len(found := spine.ledger(customer)) == 2 and found, "hold and refund")
    assert [kind for kind, _ in rows] == ["hold", "refund"] and sum(amount for _, amount in rows) == pytest.approx(0)


@MODELS
def test_a_client_that_leaves_pays_for_what_was_made(
    customer: Customer, upstream: FakeUpstream, model: str, persona: str
) -> None:
    upstream.script(persona, {"text": "word " * 400, "chunk_delay_s": 0.03})
    where = customer.gateway.base_url + path(model, "streamGenerateContent?alt=sse")
    headers = {"x-goog-api-key": customer.key}
    with httpx.stream("POST", where, json=HI, headers=headers, timeout=30, verify=False) as answer:
        next(answer.iter_bytes())
    entry = upstream.wait_until(persona, "closed_early", True, timeout_s=30)
    assert entry["closed_early"] and not entry["done"]
    ((kind, amount),) = spine.eventually(lambda: spine.ledger(customer), "the charge", timeout_s=30)
    assert kind == "api_usage" and amount < 0


def test_a_repeated_id_is_answered_once_for_each_model_and_form(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("gem", {"text": "Once.", "usage": USED})
    where = path(GEM, "streamGenerateContent")
    first = ask(customer, where, **{"x-request-id": "mine-1"})
    again = ask(customer, where, **{"x-request-id": "mine-1"})
    assert (again.content, again.headers["content-type"]) == (first.content, first.headers["content-type"])
    assert again.headers["x-idempotent-replay"] == "true" and len(upstream.journal("gem")) == 1
    for other in (path(GPT), path(GEM), path(GEM, "streamGenerateContent?alt=sse")):
        answer = ask(customer, other, **{"x-request-id": "mine-1"})
        assert (answer.status_code, reason(answer)) == (409, "idempotency_conflict")
    assert len(spine.ledger(customer)) == 1


def test_many_at_once_never_spend_more_than_there_is(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    account = gateway.customer("0.002")
    upstream.script("gem", *[{"text": "Hi.", "usage": {"prompt": 5, "completion": 20}}] * 20)
    body = {**HI, "generationConfig": {"maxOutputTokens": 20}}
    with ThreadPoolExecutor(10) as pool:
        found = [each.status_code for each in pool.map(lambda _: ask(account, path(GEM), body), range(20))]
    assert set(found) <= {200, 402} and 1 <= found.count(200) <= 11
    assert len(spine.ledger(account)) == found.count(200)
    assert sum(-amount for _, amount in spine.ledger(account)) <= 0.002 + 1e-12


# --- counting and models ---


def test_tokens_are_counted_by_google_or_estimated(customer: Customer, upstream: FakeUpstream) -> None:
    before = customer.balance()
    counted = ask(customer, path(GEM, "countTokens"))
    (entry,) = upstream.journal("gem")
    assert entry["path"].endswith(f"/models/{NATIVE}:countTokens") and entry["body"] == HI
    assert counted.json() == {"totalTokens": len(json.dumps(HI)) // 4}
    system = {"systemInstruction": {"parts": [{"text": "Be brief."}]}}
    wrapped = {"generateContentRequest": {"model": f"models/{GEM}", **HI, **system}}
    for body in ({**HI, **system}, wrapped):
        assert ask(customer, path(GEM, "countTokens"), body).json()["totalTokens"] > 5
        inner = upstream.journal("gem")[-1]["body"]["generateContentRequest"]
        assert inner == {"model": f"models/{NATIVE}", **HI, **system}
    estimated = ask(customer, path(GPT, "countTokens")).json()
    assert estimated["estimated"] is True and estimated["totalTokens"] > 3
    assert customer.balance() == before and spine.ledger(customer) == []
    refused = customer.gateway.call("POST", path(GEM, "countTokens"), HI)
    assert (refused.status_code, reason(refused)) == (401, "missing_api_key")


def test_the_list_of_models_goes_by_pages(gateway: LiveGateway) -> None:
    whole = gateway.call("GET", "/v1beta/models?pageSize=1000").json()
    assert "nextPageToken" not in whole
    names = [each["name"] for each in whole["models"]]
    assert {f"models/{GPT}", f"models/{GEM}"} <= set(names) and names == sorted(names)
    found: list[str] = []
    token = ""
    for _ in range(len(names)):
        page = gateway.call("GET", f"/v1beta/models?pageSize=2&pageToken={token}").json()
        found += [each["name"] for each in page["models"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert found == names
    one = gateway.call("GET", f"/v1beta/models/{GEM}").json()
    assert one in whole["models"] and one["inputTokenLimit"] == 128_000
    by_sdk = gateway.call("GET", f"/v1/models/{GEM}", headers={"x-goog-api-key": "whatever"}).json()
    assert by_sdk == one and "data" in gateway.call("GET", "/v1/models").json()


@pytest.mark.parametrize("form", ["streamGenerateContent?alt=sse", "streamGenerateContent"], ids=["events", "array"])
def test_a_failure_after_the_status_line_is_told_inside_the_stream(
    customer: Customer, upstream: FakeUpstream, form: str
) -> None:
    """A provider that is slow to start has the status line sent before it fails."""
    upstream.script("gem", {"status": 500, "delay_s": 1.2})
    answer = ask(customer, path(GEM, form))
    (only,) = chunks(answer)
    assert answer.status_code == 200 and only["error"]["code"] == 502 and reason_in(only) == "provider_error"
    assert sum(amount for _, amount in spine.ledger(customer)) == pytest.approx(0)


def reason_in(chunk: dict[str, Any]) -> str:
    return str(chunk["error"]["details"][0]["reason"])


@pytest.mark.parametrize("model", [GEM, GPT])
@pytest.mark.parametrize(
    ("content", "named"),
    [({"role": 0, "parts": [{"text": "a"}]}, "contents[0].role"), ({"parts": {}}, "contents[0].parts")],
)
def test_a_member_of_the_wrong_type_is_named_also_where_it_is_falsy(
    customer: Customer, upstream: FakeUpstream, model: str, content: Any, named: str
) -> None:
    answer = ask(customer, path(model), {"contents": [content]})
    assert answer.status_code == 400 and named in answer.json()["error"]["message"]
    assert upstream.journal() == []


@pytest.mark.parametrize("given", [None, {"candidateCount": None, "temperature": None}])
def test_nulls_mean_nothing_and_go_on_as_they_are(customer: Customer, upstream: FakeUpstream, given: Any) -> None:
    upstream.script("gem", {"text": "Hi.", "keep_body": True})
    body = {**HI, "generationConfig": given, "tools": None, "systemInstruction": None}
    answer = ask(customer, path(GEM), body)
    assert answer.status_code == 200 and text_of([answer.json()]) == "Hi."
    assert upstream.journal("gem")[0]["body"] == body
    upstream.script("first", {"text": "Hi."})
    assert text_of([ask(customer, path(GPT), body).json()]) == "Hi."
