"""The official Anthropic SDK against a live process, with only base_url and api_key changed (9.2)."""

import asyncio
from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from tests.acceptance import spine
from tests.acceptance.spine import CHAT, GPT, MESSAGES, SINGLE, anthropic_client
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

HELLO: Any = [{"role": "user", "content": "Hello!"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PARIS = {"id": "toolu_p", "name": "get_weather", "arguments": {"city": "Paris"}}
ROME = {"id": "toolu_r", "name": "get_weather", "arguments": {"city": "Rome — Roma"}}
# The tests hold for a provider of the same dialect and for one of the other.
MODELS = pytest.mark.parametrize(("model", "persona"), [(MESSAGES, "ant"), (CHAT, "first")])


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
def client(customer: Customer) -> anthropic.Anthropic:
    """Its client."""
    return anthropic_client(customer)


@pytest.mark.ac("AC-9.2.1", "AC-9.2.4")
@MODELS
@pytest.mark.parametrize("path", ["", "/", "/v1"])
def test_a_plain_answer(customer: Customer, upstream: FakeUpstream, model: str, persona: str, path: str) -> None:
    upstream.script(persona, {"text": "Salut — 你好", "usage": {"prompt": 12, "completion": 7}})
    message = anthropic_client(customer, path=path).messages.create(model=model, max_tokens=50, messages=HELLO)
    assert (message.type, message.role, message.model) == ("message", "assistant", model)
    assert message.content[0].type == "text" and message.content[0].text == "Salut — 你好"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (12, 7)
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.id and message._request_id


@pytest.mark.ac("AC-9.2.2")
@MODELS
def test_the_events_come_in_order(customer: Customer, upstream: FakeUpstream, model: str, persona: str) -> None:
    upstream.script(persona, {"text": "one two three", "usage": {"prompt": 12, "completion": 7}})
    answer = spine.ask(customer, "anthropic", model, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = [each for each in spine.events(answer.text) if each.name != "ping"]
    assert all(each.name == each.data["type"] for each in found)
    names = [each.name for each in found]
    deltas = names.count("content_block_delta")
    assert deltas >= 1
    assert names == [
        "message_start", "content_block_start", *["content_block_delta"] * deltas, "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    start, end = found[0].data["message"], found[-2].data
    assert (start["model"], start["role"], start["content"], start["stop_reason"]) == (model, "assistant", [], None)
    assert end["delta"]["stop_reason"] == "end_turn" and end["usage"]["output_tokens"] == 7


@pytest.mark.ac("AC-9.2.4")
@MODELS
def test_the_stream_helper(client: anthropic.Anthropic, upstream: FakeUpstream, model: str, persona: str) -> None:
    upstream.script(persona, {"text": "one two three", "usage": {"prompt": 12, "completion": 7}})
    with client.messages.stream(model=model, max_tokens=50, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "one two three"
    assert (final.usage.output_tokens, final.stop_reason) == (7, "end_turn")
    if model == MESSAGES:  # the other dialect does not know the prompt's tokens before the end
        assert final.usage.input_tokens == 12


@pytest.mark.ac("AC-9.2.4")
@MODELS
def test_tools_there_and_back(client: anthropic.Anthropic, upstream: FakeUpstream, model: str, persona: str) -> None:
    upstream.script(persona, {"text": "Looking.", "tool_calls": [PARIS, ROME]}, {"text": "Sunny in both."})
    first = client.messages.create(
        model=model, max_tokens=50, messages=HELLO, tools=[WEATHER], tool_choice={"type": "any"}, system="Be brief."
    )
    assert first.stop_reason == "tool_use" and first.content[0].type == "text"
    calls: Any = [block for block in first.content if block.type == "tool_use"]
    assert [(call.id, call.name, call.input["city"]) for call in calls] == [
        ("toolu_p", "get_weather", "Paris"),
        ("toolu_r", "get_weather", "Rome — Roma"),
    ]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls]
    history: Any = [
        *HELLO,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": results},
    ]
    second: Any = client.messages.create(model=model, max_tokens=50, messages=history, tools=[WEATHER])
    assert second.content[0].text == "Sunny in both."
    one, two = (entry["body"] for entry in upstream.journal(persona))
    if persona == "ant":
        assert (one["system"], one["tool_choice"], one["tools"]) == ("Be brief.", {"type": "any"}, [WEATHER])
        assert two["messages"] == history
        return
    assert one["messages"][0] == {"role": "system", "content": "Be brief."} and one["tool_choice"] == "required"
    assert one["tools"][0]["function"]["parameters"] == WEATHER["input_schema"]
    said = two["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in said[1]["tool_calls"]] == ["toolu_p", "toolu_r"]
    assert [(message["tool_call_id"], message["content"]) for message in said[2:]] == [
        ("toolu_p", "sunny"),
        ("toolu_r", "sunny"),
    ]


@pytest.mark.ac("AC-9.2.4")
@MODELS
def test_streamed_parallel_tools(client: anthropic.Anthropic, upstream: FakeUpstream, model: str, persona: str) -> None:
    upstream.script(persona, {"tool_calls": [PARIS, ROME], "fragment_chars": 3})
    with client.messages.stream(model=model, max_tokens=50, messages=HELLO, tools=[WEATHER]) as stream:
        final = stream.get_final_message()
    calls: Any = final.content
    assert [(call.type, call.id, call.input["city"]) for call in calls] == [
        ("tool_use", "toolu_p", "Paris"),
        ("tool_use", "toolu_r", "Rome — Roma"),
    ]
    assert final.stop_reason == "tool_use"


@pytest.mark.ac("AC-9.2.4")
@pytest.mark.parametrize("stream", [False, True])
def test_thinking_keeps_its_signature(client: anthropic.Anthropic, upstream: FakeUpstream, stream: bool) -> None:
    script = {"thinking": "Let me see.", "signature": "c2lnbmVkIQ==", "redacted": "b3BhcXVl", "text": "Four."}
    upstream.script("ant", script, {"text": "Yes."})
    asked: Any = {"model": MESSAGES, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    if stream:
        with client.messages.stream(messages=HELLO, **asked) as running:
            final = running.get_final_message()
    else:
        final = client.messages.create(messages=HELLO, **asked)
    thought, hidden, text = final.content
    assert thought.type == "thinking" and (thought.thinking, thought.signature) == ("Let me see.", "c2lnbmVkIQ==")
    assert hidden.type == "redacted_thinking" and hidden.data == "b3BhcXVl"
    assert text.type == "text" and text.text == "Four."
    blocks = [block.model_dump(exclude_none=True) for block in final.content]
    history: Any = [*HELLO, {"role": "assistant", "content": blocks}, {"role": "user", "content": "Sure?"}]
    client.messages.create(messages=history, **asked)
    assert upstream.journal("ant")[1]["body"]["messages"] == history


@pytest.mark.ac("AC-9.2.3", "AC-9.2.4")
@pytest.mark.parametrize("stream", [False, True])
def test_cached_tokens_are_told_and_priced_apart(gateway: LiveGateway, upstream: FakeUpstream, stream: bool) -> None:
    customer = gateway.customer(1)
    usage = {"prompt": 1000, "cached": 600, "cache_write": 300, "completion": 50}
    upstream.script("ant", {"text": "Hi", "usage": usage})
    system: Any = [{"type": "text", "text": "Long text", "cache_control": {"type": "ephemeral"}}]
    asked: Any = {"model": MESSAGES, "max_tokens": 100, "messages": HELLO, "system": system}
    client = anthropic_client(customer)
    if stream:
        with client.messages.stream(**asked) as running:
            final = running.get_final_message()
    else:
        final = client.messages.create(**asked)
    told = final.usage
    assert (told.input_tokens, told.output_tokens) == (100, 50)
    assert (told.cache_read_input_tokens, told.cache_creation_input_tokens) == (600, 300)
    assert upstream.journal("ant")[0]["body"]["system"] == system
    rows = spine.eventually(lambda: spine.ledger(customer), "the charge")
    cost = (100 * 3 + 600 * 0.3 + 300 * 3.75 + 50 * 15) / 1e6
    assert rows == [("api_usage", pytest.approx(-cost))]


@pytest.mark.ac("AC-9.2.4")
def test_headers_and_unknown_fields_reach_an_anthropic_provider(
    client: anthropic.Anthropic, upstream: FakeUpstream
) -> None:
    client.messages.create(
        model=MESSAGES,
        max_tokens=50,
        messages=HELLO,
        metadata={"user_id": "u-1"},
        stop_sequences=["END"],
        extra_headers={"anthropic-beta": "some-beta-2026-01-01"},
        extra_body={"brand_new": {"deep": [1, None]}},
    )
    sent = upstream.journal("ant")[0]
    assert sent["headers"]["x-api-key"] == "sk-ant" and "authorization" not in sent["headers"]
    assert sent["headers"]["anthropic-beta"] == "some-beta-2026-01-01"
    assert sent["body"] == {
        "model": "native-ant", "max_tokens": 50, "messages": HELLO, "metadata": {"user_id": "u-1"},
        "stop_sequences": ["END"], "brand_new": {"deep": [1, None]},
    }  # fmt: skip


@pytest.mark.ac("AC-9.2.4")
@pytest.mark.parametrize(
    ("who", "body", "script", "expected", "kind"),
    [
        (None, {"messages": []}, {}, anthropic.BadRequestError, "invalid_request_error"),
        (None, {}, {"status": 400}, anthropic.BadRequestError, "invalid_request_error"),
        (
            lambda g: Customer(g, 0, "gw_live_" + "x" * 43),
            {}, {}, anthropic.AuthenticationError, "authentication_error",
        ),
        (
            lambda g: g.customer(1, model_allowlist=[GPT]),
            {}, {}, anthropic.PermissionDeniedError, "permission_error",
        ),
        (None, {"model": "acme/none"}, {}, anthropic.NotFoundError, "not_found_error"),
        (None, {}, {"status": 500}, anthropic.InternalServerError, "api_error"),
        (None, {}, {"status": 529}, anthropic.InternalServerError, "overloaded_error"),
        (None, {}, {"status": 402}, anthropic.InternalServerError, "overloaded_error"),
        (None, {}, {"status": 408}, anthropic.InternalServerError, "timeout_error"),
    ],
)  # fmt: skip
def test_error_classes(
    gateway: LiveGateway,
    customer: Customer,
    upstream: FakeUpstream,
    who: Callable[[LiveGateway], Customer] | None,
    body: dict[str, Any],
    script: dict[str, Any],
    expected: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    client = anthropic_client(who(gateway) if who else customer)
    for persona in ("ant", "anttwo"):
        upstream.script(persona, default=script)
    with pytest.raises(expected) as caught:
        client.messages.create(**{"model": MESSAGES, "max_tokens": 50, "messages": HELLO, **body})
    told: Any = caught.value.body
    assert told["type"] == "error" and told["error"]["type"] == kind
    assert told["request_id"] == caught.value.request_id == caught.value.response.headers["x-request-id"]
    assert {"message", "code", "param"} <= told["error"].keys()


@pytest.mark.ac("AC-9.2.4")
def test_who_cannot_pay_gets_402(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    client = anthropic_client(gateway.customer(0), timeout=30)
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model=MESSAGES, max_tokens=120_000, messages=HELLO)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["error"]["type"]) == (402, "billing_error")
    assert upstream.journal() == []


@pytest.mark.ac("AC-9.2.4")
def test_limits_carry_retry_after(gateway: LiveGateway) -> None:
    client = anthropic_client(gateway.customer(1, rate_limit=1))
    with pytest.raises(anthropic.RateLimitError) as caught:
        for _ in range(3):  # a minute's border may lie between two of them
            client.messages.create(model=MESSAGES, max_tokens=50, messages=HELLO)
    assert int(caught.value.response.headers["retry-after"]) >= 1


@pytest.mark.ac("AC-9.2.4")
def test_the_sdk_retries_what_may_help(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("first", {"status": 500}, {"text": "second time"})
    answer: Any = anthropic_client(customer, max_retries=2).messages.create(model=SINGLE, max_tokens=50, messages=HELLO)
    assert answer.content[0].text == "second time"
    assert spine.asked(upstream) == ["first", "first"]


@pytest.mark.ac("AC-9.2.4")
@MODELS
def test_leaving_in_mid_stream_stops_the_provider(
    gateway: LiveGateway, upstream: FakeUpstream, model: str, persona: str
) -> None:
    customer = gateway.customer(1)
    upstream.script(persona, {"text": "word " * 400, "chunk_chars": 20, "chunk_delay_s": 0.05})
    with anthropic_client(customer).messages.stream(model=model, max_tokens=900, messages=HELLO) as stream:
        for _, _text in zip(range(4), stream.text_stream, strict=False):
            pass
    assert upstream.wait_until(persona, "closed_early", True)
    record = spine.only_record(customer)
    assert record["status"] == 499 and 15 <= record["completion_tokens"] < 250
    assert [kind for kind, _ in spine.ledger(customer)] == ["api_usage"]


@pytest.mark.ac("AC-9.2.4")
async def test_many_at_once_with_the_async_client(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(5)
    upstream.script("ant", default={"text": "all together now", "chunk_delay_s": 0.01})
    asked: Any = {"model": MESSAGES, "max_tokens": 50, "messages": HELLO}
    async with anthropic.AsyncAnthropic(base_url=gateway.base_url, api_key=customer.key, max_retries=0) as client:

        async def plain() -> str:
            message: Any = await client.messages.create(**asked)
            return message.content[0].text

        async def streamed() -> str:
            async with client.messages.stream(**asked) as stream:
                return "".join([text async for text in stream.text_stream])

        said = await asyncio.gather(*(each() for each in [plain, streamed] * 15))
    assert said == ["all together now"] * 30
    assert len(spine.ledger(customer)) == 30


@pytest.mark.ac("AC-9.2.4")
def test_an_image_reaches_either_dialect(client: anthropic.Anthropic, upstream: FakeUpstream) -> None:
    image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    messages: Any = [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]
    for model in (MESSAGES, CHAT):
        client.messages.create(model=model, max_tokens=50, messages=messages)
    assert upstream.journal("ant")[0]["body"]["messages"] == messages
    parts = upstream.journal("first")[0]["body"]["messages"][0]["content"]
    assert parts[0] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert parts[1]["text"] == "What is this?"
