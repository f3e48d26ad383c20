"""The official OpenAI SDK against a live process, with only base_url and api_key changed (9.1)."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import openai
import pytest
from pydantic import BaseModel

from tests.acceptance import spine
from tests.acceptance.spine import BARE, CHAT, FREE, GPT, MIXED, SINGLE, openai_client
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

HELLO: Any = [{"role": "user", "content": "Hello!"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PARIS = {"id": "call_p", "name": "get_weather", "arguments": {"city": "Paris"}}
ROME = {"id": "call_r", "name": "get_weather", "arguments": {"city": "Rome — Roma"}}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


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


@pytest.fixture(scope="module")
def client(customer: Customer) -> openai.OpenAI:
    """Its client."""
    return openai_client(customer)


@pytest.mark.ac("AC-9.1.1", "AC-9.1.6")
def test_a_plain_answer(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    upstream.script("first", {"text": "Salut — 你好", "usage": {"prompt": 12, "completion": 7}})
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=HELLO, temperature=0.2, user="u-1")
    answer = raw.parse()
    assert answer.choices[0].message.content == "Salut — 你好"
    assert answer.choices[0].message.role == "assistant" and answer.choices[0].finish_reason == "stop"
    assert (answer.object, answer.model) == ("chat.completion", CHAT)
    assert answer.id and answer.created > 1_600_000_000
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (12, 7, 19)
    assert answer._request_id == raw.headers["x-request-id"]
    sent = upstream.journal("first")[0]
    assert sent["body"] == {
        "model": "native-first", "messages": HELLO, "temperature": 0.2, "user": "u-1",
    }  # fmt: skip
    assert sent["headers"]["authorization"] == "Bearer sk-first"


@pytest.mark.ac("AC-9.1.2")
def test_a_stream_holds_nothing_but_data_lines(customer: Customer) -> None:
    answer = spine.ask(customer, "openai", CHAT, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]" and lines.count("data: [DONE]") == 1
    chunks = [json.loads(line[6:]) for line in lines[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {CHAT}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert not any(chunk.get("usage") for chunk in chunks)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "stop"


@pytest.mark.ac("AC-9.1.6")
@pytest.mark.parametrize("when", ["end", "every", "own"])
def test_a_stream_with_usage(client: openai.OpenAI, upstream: FakeUpstream, when: str) -> None:
    usage = {"prompt": 11, "completion": 4, "cached": 3, "reasoning": 2}
    upstream.script("first", {"text": "one two three", "usage": usage, "usage_when": when})
    chunks = list(
        client.chat.completions.create(model=CHAT, messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three"
    told = chunks[-1].usage
    assert told is not None
    assert (told.prompt_tokens, told.completion_tokens, told.total_tokens) == (11, 4, 15)
    assert told.prompt_tokens_details is not None and told.prompt_tokens_details.cached_tokens == 3
    assert told.model_extra is not None and told.model_extra["cost"] == pytest.approx(11 * 2e-6 + 4 * 8e-6)


@pytest.mark.ac("AC-9.1.3", "AC-9.1.6")
def test_json_mode(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    upstream.script("first", {"text": '{"city": "Paris"}'})
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content or "") == {"city": "Paris"}
    assert upstream.journal("first")[0]["body"]["response_format"] == {"type": "json_object"}


class City(BaseModel):
    name: str
    people: int


@pytest.mark.ac("AC-9.1.6")
def test_a_parsed_answer(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    upstream.script("first", {"text": '{"name": "Paris", "people": 2000000}'})
    answer = client.chat.completions.parse(model=CHAT, messages=HELLO, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Paris", people=2_000_000)
    form = upstream.journal("first")[0]["body"]["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["required"] == ["name", "people"]


@pytest.mark.ac("AC-9.1.4", "AC-9.1.6")
def test_tools_there_and_back(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    upstream.script("first", {"tool_calls": [PARIS, ROME]}, {"text": "Sunny in both."})
    first = client.chat.completions.create(model=CHAT, messages=HELLO, tools=[WEATHER], tool_choice="auto")
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls" and message.tool_calls is not None
    calls: Any = message.tool_calls
    assert [(call.id, call.function.name) for call in calls] == [("call_p", "get_weather"), ("call_r", "get_weather")]
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Paris"}, {"city": "Rome — Roma"}]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    history: Any = [*HELLO, message.model_dump(exclude_none=True), *results]
    second = client.chat.completions.create(model=CHAT, messages=history, tools=[WEATHER])
    assert second.choices[0].message.content == "Sunny in both."
    assert upstream.journal("first")[1]["body"]["messages"] == history
    assert upstream.journal("first")[1]["body"]["tools"] == [WEATHER]


@pytest.mark.ac("AC-9.1.4", "AC-9.1.6")
@pytest.mark.parametrize("interleave", [False, True])
def test_streamed_parallel_tools(client: openai.OpenAI, upstream: FakeUpstream, interleave: bool) -> None:
    upstream.script("first", {"tool_calls": [PARIS, ROME], "fragment_chars": 3, "interleave": interleave})
    with client.chat.completions.stream(model=CHAT, messages=HELLO, tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    calls: Any = final.choices[0].message.tool_calls
    assert [call.id for call in calls] == ["call_p", "call_r"]
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Rome — Roma"]
    assert final.choices[0].finish_reason == "tool_calls"


@pytest.mark.ac("AC-9.1.6")
def test_images_and_several_choices_pass(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    parts: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]
    messages: Any = [{"role": "user", "content": parts}]
    answer = client.chat.completions.create(model=CHAT, messages=messages, n=2, seed=7, stop=["END"])
    assert [choice.index for choice in answer.choices] == [0, 1]
    body = upstream.journal("first")[0]["body"]
    assert body["messages"][0]["content"] == parts
    assert (body["n"], body["seed"], body["stop"]) == (2, 7, ["END"])


@pytest.mark.ac("AC-9.1.5")
def test_logprobs_or_null(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    token: Any = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    choice = {
        "index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop",
        "logprobs": {"content": [token], "refusal": None},
    }  # fmt: skip
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    upstream.script("first", {"body": json.dumps({**body, "usage": {"prompt_tokens": 1, "completion_tokens": 1}})})
    able = client.chat.completions.create(model=CHAT, messages=HELLO, logprobs=True, top_logprobs=2)
    assert able.choices[0].logprobs is not None and able.choices[0].logprobs.content is not None
    assert able.choices[0].logprobs.content[0].logprob == -0.1
    assert upstream.journal("first")[0]["body"]["logprobs"] is True
    unable = client.chat.completions.with_raw_response.create(model=BARE, messages=HELLO, logprobs=True)
    assert json.loads(unable.text)["choices"][0]["logprobs"] is None


@pytest.mark.ac("AC-9.1.6")
def test_models(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {CHAT, GPT} <= listed.keys()
    one = client.models.retrieve(CHAT)
    assert (one.id, one.object, one.owned_by) == (CHAT, "model", listed[CHAT].owned_by)
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("acme/none")
    assert caught.value.code == "model_not_found"


def _with_key(key: str) -> Callable[[LiveGateway], Customer]:
    return lambda gateway: Customer(gateway, 0, key)


@pytest.mark.ac("AC-9.1.6", "AC-9.1.7")
@pytest.mark.parametrize(
    ("who", "body", "script", "expected", "code"),
    [
        (None, {"messages": []}, {}, openai.BadRequestError, None),
        (None, {"temperature": "hot"}, {}, openai.BadRequestError, None),
        (None, {}, {"status": 400}, openai.BadRequestError, "invalid_request"),
        (_with_key("gw_live_" + "x" * 43), {}, {}, openai.AuthenticationError, "invalid_api_key"),
        (lambda g: g.customer(1, model_allowlist=[GPT]), {}, {}, openai.PermissionDeniedError, None),
        (None, {"model": "acme/none"}, {}, openai.NotFoundError, "model_not_found"),
        (None, {}, {"status": 500}, openai.InternalServerError, "provider_error"),
        (None, {}, {"status": 503}, openai.InternalServerError, "provider_overloaded"),
        (None, {}, {"status": 401}, openai.InternalServerError, "no_provider_available"),
        (None, {}, {"status": 504}, openai.InternalServerError, "provider_timeout"),
    ],
)
def test_error_classes(
    gateway: LiveGateway,
    customer: Customer,
    upstream: FakeUpstream,
    who: Callable[[LiveGateway], Customer] | None,
    body: dict[str, Any],
    script: dict[str, Any],
    expected: type[openai.APIStatusError],
    code: str | None,
) -> None:
    client = openai_client(who(gateway) if who else customer)
    upstream.script("first", default=script)
    with pytest.raises(expected) as caught:
        client.chat.completions.create(**{"model": SINGLE, "messages": HELLO, **body})
    error = caught.value
    assert isinstance(error.body, dict) and {"message", "type", "code", "param", "request_id"} <= error.body.keys()
    assert error.request_id == error.body["request_id"]
    assert "Scripted" not in error.message or error.status_code == 400
    if code is not None:
        assert error.code == code


@pytest.mark.ac("AC-9.1.6")
def test_who_cannot_pay_gets_402_with_the_numbers(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    client = openai_client(gateway.customer(0))
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=GPT, messages=HELLO, max_tokens=16_000, n=128)
    assert caught.value.status_code == 402
    body: Any = caught.value.body
    assert body["type"] == "insufficient_credits" and body["shortfall_usd"] > 0
    assert upstream.journal() == []


@pytest.mark.ac("AC-9.1.6")
def test_limits_carry_retry_after(gateway: LiveGateway) -> None:
    client = openai_client(gateway.customer(1, rate_limit=1))
    client.chat.completions.create(model=SINGLE, messages=HELLO)
    with pytest.raises(openai.RateLimitError) as caught:
        for _ in range(3):  # a minute's border may lie between two of them
            client.chat.completions.create(model=SINGLE, messages=HELLO)
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.response.headers["x-ratelimit-remaining"] == "0"


@pytest.mark.ac("AC-9.1.6")
def test_the_sdk_retries_what_may_help(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("first", {"status": 500}, {"text": "second time"})
    answer = openai_client(customer, max_retries=2).chat.completions.create(model=SINGLE, messages=HELLO)
    assert answer.choices[0].message.content == "second time"
    assert spine.asked(upstream) == ["first", "first"]


@pytest.mark.ac("AC-9.1.6")
def test_the_sdks_own_timeout_stops_the_provider(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(1)
    upstream.script("first", {"hang": "headers"})
    with pytest.raises(openai.APITimeoutError):
        openai_client(customer, timeout=0.3).chat.completions.create(model=SINGLE, messages=HELLO)
    assert upstream.wait_until("first", "closed_early", True)
    record = spine.only_record(customer)
    assert (record["status"], record["error_code"], record["cost_usd"]) == (499, "client_closed", 0)
    assert spine.ledger(customer) == []


@pytest.mark.ac("AC-9.1.6")
@pytest.mark.parametrize("model", [SINGLE, spine.MESSAGES])
def test_leaving_in_mid_stream_pays_for_what_was_produced(
    gateway: LiveGateway, upstream: FakeUpstream, model: str
) -> None:
    customer = gateway.customer(1)
    persona = "first" if model == SINGLE else "ant"
    upstream.script(persona, {"text": "word " * 400, "chunk_chars": 20, "chunk_delay_s": 0.05})
    stream = openai_client(customer).chat.completions.create(model=model, messages=HELLO, stream=True)
    for _, _chunk in zip(range(4), stream, strict=False):
        pass
    stream.close()
    assert upstream.wait_until(persona, "closed_early", True)
    record = spine.only_record(customer)
    assert (record["status"], record["usage_estimated"]) == (499, True)
    assert 15 <= record["completion_tokens"] < 250  # four chunks and what was under way, not the whole text
    rows = spine.ledger(customer)
    assert [kind for kind, _ in rows] == ["api_usage"]
    assert rows[0][1] == pytest.approx(-record["cost_usd"]) and record["cost_usd"] > 0


@pytest.mark.ac("AC-9.1.6")
async def test_many_at_once_with_the_async_client(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(5)
    upstream.script("first", default={"text": "all together now", "chunk_delay_s": 0.01})
    async with openai.AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key=customer.key, max_retries=0) as client:

        async def plain() -> str | None:
            answer = await client.chat.completions.create(model=SINGLE, messages=HELLO)
            return answer.choices[0].message.content

        async def streamed() -> str:
            chunks = await client.chat.completions.create(model=SINGLE, messages=HELLO, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

        said = await asyncio.gather(*(each() for each in [plain, streamed] * 15))
    assert said == ["all together now"] * 30
    assert len(spine.ledger(customer)) == 30


@pytest.mark.ac("AC-9.1.6")
def test_earlier_reasoning_is_shown_and_goes_back(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    upstream.script("first", {"thinking": "Let me see.", "text": "Four."})
    chunks = list(client.chat.completions.create(model=MIXED, messages=HELLO, stream=True, reasoning_effort="low"))
    thoughts = [
        (chunk.choices[0].delta.model_extra or {}).get("reasoning_content") for chunk in chunks if chunk.choices
    ]
    assert "".join(filter(None, thoughts)) == "Let me see."
    assert upstream.journal("first")[0]["body"]["reasoning_effort"] == "low"


@pytest.mark.ac("AC-9.1.8", "AC-9.1.9")
def test_strangers_get_free_models_only(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    def call(model: str, **more: Any) -> httpx.Response:
        return gateway.call("POST", "/v1/chat/completions", spine.chat_body(model, **more))

    answer = call(FREE, max_tokens=50_000)
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"] == "Hello from first"
    assert upstream.journal()[0]["body"]["max_tokens"] == 1024
    for model in (SINGLE, "acme/none"):
        refused = call(model)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "missing_api_key")
    assert len(upstream.journal()) == 1


@pytest.mark.ac("AC-9.1.7")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/chat/completions", None, 405),
        ("POST", "/v1/chat/completion", {}, 404),
        ("POST", "/v1/chat/completions", "{", 400),
        ("POST", "/v1/chat/completions", b"\xff\xfe", 400),
        ("POST", "/v1/chat/completions", [], 400),
        ("POST", "/v1/chat/completions", {"model": 5, "messages": HELLO}, 400),
        ("POST", "/v1/chat/completions", b" " * 10_000_001, 413),
        ("DELETE", "/v1/models", None, 405),
    ],
)
def test_every_error_has_the_shape(customer: Customer, method: str, path: str, body: Any, status: int) -> None:
    answer = customer.call(method, path, body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert all(isinstance(error[name], str) and error[name] for name in ("message", "type", "code", "request_id"))
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.ac("AC-9.1.7")
def test_a_compressed_body_is_refused_by_name(customer: Customer) -> None:
    answer = customer.gateway.call(
        "POST", "/v1/chat/completions", b"x", key=customer.key, headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_format")
