"""Client dialect x provider dialect, plain and streamed: the same conversation means the same in all eight ways."""

import json
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance import spine
from tests.acceptance.spine import CHAT, MESSAGES, MIXED, ask
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

PERSONAS = {CHAT: "first", MESSAGES: "ant"}
WAYS = pytest.mark.parametrize(
    ("dialect", "model", "stream"),
    [(dialect, model, stream) for dialect in ("openai", "anthropic") for model in PERSONAS for stream in (False, True)],
)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALLS = [
    {"id": "call_p", "name": "get_weather", "arguments": {"city": "Paris", "days": [1, 2.5], "note": None}},
    {"id": "call_r", "name": "get_time", "arguments": {}},
]
TOOLS: dict[str, Any] = {
    "openai": [
        {"type": "function", "function": {"name": name, "description": "d", "parameters": SCHEMA}}
        for name in ("get_weather", "get_time")
    ],
    "anthropic": [{"name": name, "description": "d", "input_schema": SCHEMA} for name in ("get_weather", "get_time")],
}
FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


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


@dataclass
class Meaning:
    """What an answer says, whatever its dialect and form."""

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str, Any], ...] = ()
    finish: str | None = None


def meaning(dialect: str, answer: httpx.Response) -> Meaning:
    """Reads an answer as a client of its dialect would."""
    assert answer.status_code == 200, answer.text
    streamed = answer.headers["content-type"].startswith("text/event-stream")
    if dialect == "openai":
        return _of_chunks(answer.text) if streamed else _of_completion(answer.json())
    return _of_events(answer.text) if streamed else _of_blocks(answer.json()["content"], answer.json()["stop_reason"])


def _of_completion(body: dict[str, Any]) -> Meaning:
    message = body["choices"][0]["message"]
    calls = [call["function"] | {"id": call["id"]} for call in message.get("tool_calls") or ()]
    return Meaning(
        message.get("content") or "",
        message.get("reasoning_content") or "",
        tuple((call["id"], call["name"], json.loads(call["arguments"])) for call in calls),
        body["choices"][0]["finish_reason"],
    )


def _of_chunks(text: str) -> Meaning:
    found = Meaning()
    calls: dict[int, list[str]] = {}
    for each in spine.events(text)[:-1]:
        for choice in each.data["choices"]:
            delta = choice["delta"]
            found.text += delta.get("content") or ""
            found.thinking += delta.get("reasoning_content") or ""
            found.finish = choice["finish_reason"] or found.finish
            for call in delta.get("tool_calls") or ():
                parts = calls.setdefault(call["index"], ["", "", ""])
                parts[0] += call.get("id") or ""
                parts[1] += call["function"].get("name") or ""
                parts[2] += call["function"].get("arguments") or ""
    found.calls = tuple((parts[0], parts[1], json.loads(parts[2])) for _, parts in sorted(calls.items()))
    return found


def _of_blocks(blocks: list[dict[str, Any]], finish: str) -> Meaning:
    openai_finish = {native: name for name, native in FINISHES.items()}
    return Meaning(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        tuple((block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"),
        openai_finish[finish],
    )


def _of_events(text: str) -> Meaning:
    blocks: dict[int, dict[str, Any]] = {}
    finish = ""
    for each in spine.events(text):
        if each.name == "content_block_start":
            blocks[each.data["index"]] = dict(each.data["content_block"]) | {"json": ""}
        elif each.name == "content_block_delta":
            block, delta = blocks[each.data["index"]], each.data["delta"]
            block["json"] += delta.get("partial_json", "")
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    block[name] = block.get(name, "") + delta[name]
        elif each.name == "message_delta":
            finish = each.data["delta"]["stop_reason"]
    for block in blocks.values():
        if block["type"] == "tool_use":
            block["input"] = json.loads(block["json"] or "{}")
    return _of_blocks([block for _, block in sorted(blocks.items())], finish)


@WAYS
def test_text(customer: Customer, upstream: FakeUpstream, dialect: str, model: str, stream: bool) -> None:
    upstream.script(PERSONAS[model], {"text": 'Grüße 你好\n\ttab "quoted" \\ \u2028 😀'})
    said = meaning(dialect, ask(customer, dialect, model, stream=stream))
    assert said == Meaning('Grüße 你好\n\ttab "quoted" \\ \u2028 😀', finish="stop")


@WAYS
def test_tools(customer: Customer, upstream: FakeUpstream, dialect: str, model: str, stream: bool) -> None:
    upstream.script(PERSONAS[model], {"text": "Looking.", "tool_calls": CALLS, "fragment_chars": 3})
    said = meaning(dialect, ask(customer, dialect, model, stream=stream, tools=TOOLS[dialect]))
    assert said.text == "Looking." and said.finish == "tool_calls"
    assert said.calls == tuple((call["id"], call["name"], call["arguments"]) for call in CALLS)
    spoken = "openai" if model == CHAT else "anthropic"
    assert upstream.journal()[0]["body"]["tools"] == TOOLS[spoken]


@WAYS
def test_reasoning(customer: Customer, upstream: FakeUpstream, dialect: str, model: str, stream: bool) -> None:
    # The mixed model has an offer in each dialect; here only its capability matters.
    model = {CHAT: MIXED}.get(model, model)
    persona = {MIXED: "first"}.get(model, "ant")
    upstream.script(persona, {"thinking": "Let me see.", "text": "Four."})
    wish: dict[str, Any] = {"reasoning_effort": "low"}
    if dialect == "anthropic":
        wish = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    said = meaning(dialect, ask(customer, dialect, model, stream=stream, **wish))
    assert (said.thinking, said.text, said.finish) == ("Let me see.", "Four.", "stop")
    body = upstream.journal(persona)[0]["body"]
    assert "reasoning_effort" in body if persona == "first" else body["thinking"]["budget_tokens"] >= 1024


@WAYS
@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_why_it_ended(
    customer: Customer, upstream: FakeUpstream, dialect: str, model: str, stream: bool, finish: str
) -> None:
    native = finish if model == CHAT else FINISHES[finish]
    upstream.script(PERSONAS[model], {"text": "Half a", "finish": native})
    assert meaning(dialect, ask(customer, dialect, model, stream=stream)) == Meaning("Half a", finish=finish)


@WAYS
def test_usage_and_charge(gateway: LiveGateway, upstream: FakeUpstream, dialect: str, model: str, stream: bool) -> None:
    customer = gateway.customer(1)
    usage = {"prompt": 1000, "cached": 600, "completion": 50}
    upstream.script(PERSONAS[model], {"text": "Hi", "usage": usage})
    more = {"stream_options": {"include_usage": True}} if stream and dialect == "openai" else {}
    answer = ask(customer, dialect, model, stream=stream, **more)
    told = _usage(dialect, answer)
    if dialect == "openai":
        assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (1000, 50, 1050)
        assert told["prompt_tokens_details"]["cached_tokens"] == 600
    else:
        assert (told["input_tokens"], told["cache_read_input_tokens"], told["output_tokens"]) == (400, 600, 50)
    # The offer at `first` has no price for cached tokens: they cost what others cost.
    cost = (1000 * 2 + 50 * 8) / 1e6 if model == CHAT else (400 * 3 + 600 * 0.3 + 50 * 15) / 1e6
    assert told["cost"] == pytest.approx(cost)
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-cost))]


def _usage(dialect: str, answer: httpx.Response) -> dict[str, Any]:
    """The final usage that a client is told."""
    found: dict[str, Any] = {}
    if not answer.headers["content-type"].startswith("text/event-stream"):
        found = answer.json()["usage"]
    elif dialect == "openai":
        found = spine.events(answer.text)[-2].data["usage"]
    else:
        for each in spine.events(answer.text):
            started = each.data.get("message", {}) if each.name == "message_start" else each.data
            found |= started.get("usage", {})
    return found


@WAYS
def test_a_conversation_with_results_and_an_image(
    customer: Customer, upstream: FakeUpstream, dialect: str, model: str, stream: bool
) -> None:
    answer = ask(customer, dialect, model, stream=stream, **_history(dialect), tools=TOOLS[dialect])
    assert meaning(dialect, answer).text == f"Hello from {PERSONAS[model]}"
    body = upstream.journal()[0]["body"]
    wanted = _history("openai" if model == CHAT else "anthropic")
    said = json.dumps(body["messages"])
    for word in ("aGVsbG8=", "call_p", "sunny", "Paris", "And now?"):
        assert said.count(word) == json.dumps(wanted["messages"]).count(word), word
    roles = [message["role"] for message in body["messages"]]
    assert roles == [message["role"] for message in wanted["messages"]]
    if model == MESSAGES:
        assert "Be brief." in json.dumps(body["system"])


def _history(dialect: str) -> dict[str, Any]:
    """The same conversation in the words of a dialect."""
    if dialect == "openai":
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
        call = {
            "id": "call_p",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
        }
        return {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Where is this?"}, picture]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_p", "content": "sunny"},
                {"role": "user", "content": "And now?"},
            ]
        }
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
    result = {"type": "tool_result", "tool_use_id": "call_p", "content": "sunny"}
    call = {"type": "tool_use", "id": "call_p", "name": "get_weather", "input": {"city": "Paris"}}
    return {
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Where is this?"}, image]},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result, {"type": "text", "text": "And now?"}]},
        ],
    }


def _chunk(delta: dict[str, Any], **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None)}
    return (
        "data: "
        + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more})
        + "\n\n"
    )


_USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
STYLES: dict[str, tuple[str, list[str]]] = {
    "openai": (
        "first",
        [_chunk({"role": "assistant", "content": ""}), _chunk({"content": "Hello"}), _chunk({"content": " there"}),
         _chunk({}, finish_reason="stop"), 'data: {"id":"c","choices":[],"usage":' + json.dumps(_USAGE) + "}\n\n",
         "data: [DONE]\n\n"],
    ),
    # Google's OpenAI-like endpoint: no role chunk, the finish reason beside the last text, usage in every chunk.
    "gemini": (
        "first",
        [_chunk({"role": "assistant", "content": "Hello"}, usage=_USAGE),
         _chunk({"role": "assistant", "content": " there"}, finish_reason="stop", usage=_USAGE), "data: [DONE]\n\n"],
    ),
    # Fireworks: its own form of model name, usage in the chunk of the finish reason.
    "fireworks": (
        "fireworks",
        [_chunk({"role": "assistant"}, model="accounts/fireworks/models/x"), _chunk({"content": "Hello there"}),
         _chunk({}, finish_reason="stop", usage=_USAGE), "data: [DONE]\n\n"],
    ),
}  # fmt: skip


@pytest.mark.ac("AC-9.1.10")
@pytest.mark.parametrize("style", [*STYLES, "anthropic"])
def test_every_style_reaches_the_client_in_one_form(gateway: LiveGateway, upstream: FakeUpstream, style: str) -> None:
    customer = gateway.customer(1)
    model = MESSAGES
    if style == "anthropic":
        upstream.script("ant", {"text": "Hello there", "usage": {"prompt": 9, "completion": 4}})
    else:
        persona, frames = STYLES[style]
        upstream.script(persona, {"frames": frames})
        model = CHAT
        if style == "fireworks":
            model = spine.LLAMA
            for other in ("openrouter", "groq", "together"):
                upstream.script(other, {"status": 404})
    answer = ask(customer, "openai", model, stream=True, stream_options={"include_usage": True})
    chunks = [each.data for each in spine.events(answer.text)[:-1]]
    assert meaning("openai", answer) == Meaning("Hello there", finish="stop")
    assert {chunk["model"] for chunk in chunks} == {model} and len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    last = chunks[-1]["usage"]
    assert (last["prompt_tokens"], last["completion_tokens"]) == (9, 4)
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert finishes.count("stop") == 1 and finishes[-1] == "stop"
