"""The simulated provider, spoken to as any other: bytes of the OpenAI dialect in, bytes out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.dialects import DIALECTS
from gatewayz.providers import SIMULATED_MODELS, Simulated, simulated_wanted
from gatewayz.providers.schema_sample import sample
from gatewayz.providers.simulated_answer import pieces
from gatewayz.settings import Settings, read_environment

SIM = Simulated(lambda: 1_700_000_000.5, pause_s=0)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}


def body(text: Any = "Hello there", **members: Any) -> bytes:
    return json.dumps({"model": "sim-chat", "messages": [{"role": "user", "content": text}], **members}).encode()


async def plain(request: bytes, status: int = 200) -> dict[str, Any]:
    reply = SIM.answer(request, stream=False, request_id="r1")
    assert reply.status == status and reply.headers["content-type"] == "application/json"
    answer = json.loads(await reply.read())
    assert isinstance(answer, dict)
    return answer


async def choice(request: bytes) -> dict[str, Any]:
    answer = (await plain(request))["choices"][0]
    assert isinstance(answer, dict)
    return answer


async def stream(request: bytes) -> list[dict[str, Any]]:
    reply = SIM.answer(request, stream=True, request_id="r1")
    assert reply.headers["content-type"] == "text/event-stream"
    data = await reply.read()
    frames = data.decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


async def test_a_plain_answer_says_that_it_is_simulated() -> None:
    answer = await plain(body())
    assert answer["id"] == "chatcmpl-sim-r1" and answer["created"] == 1_700_000_000 and answer["model"] == "sim-chat"
    (only,) = answer["choices"]
    assert only["message"]["content"].startswith("Simulated answer") and "Hello there" in only["message"]["content"]
    assert only["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["completion_tokens"] == len(pieces(only["message"]["content"])) > 0 and usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_plain_and_streamed_say_the_same() -> None:
    said = (await choice(body(n=2, reasoning_effort="low")))["message"]
    frames = await stream(body(n=2, reasoning_effort="low", stream_options={"include_usage": True}))
    deltas = [part["delta"] for frame in frames for part in frame["choices"] if part["index"] == 0]
    assert "".join(delta.get("content", "") for delta in deltas) == said["content"]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == said["reasoning_content"]
    assert frames[-1]["choices"] == []
    assert frames[-1]["usage"] == (await plain(body(n=2, reasoning_effort="low")))["usage"]
    assert {part["finish_reason"] for frame in frames for part in frame["choices"]} == {None, "stop"}
    assert len(frames) > 6


async def test_usage_in_a_stream_only_when_asked_for() -> None:
    assert all("usage" not in frame for frame in await stream(body()))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_the_maximum_of_tokens_is_kept(field: str) -> None:
    answer = await plain(body(**{field: 3}))
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["choices"][0]["finish_reason"] == "length"
    thinking = await plain(body(reasoning_effort="high", **{field: 2}))
    assert thinking["choices"][0]["message"]["content"] == ""
    assert thinking["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2


@pytest.mark.parametrize("stop", ["answer", ["zzz", "answer"]])
async def test_stop_sequences(stop: Any) -> None:
    said = await choice(body(stop=stop))
    assert said["message"]["content"] == "Simulated " and said["finish_reason"] == "stop"


async def test_several_choices() -> None:
    answer = await plain(body(n=3))
    assert [each["index"] for each in answer["choices"]] == [0, 1, 2]
    assert len({each["message"]["content"] for each in answer["choices"]}) == 3


async def test_a_tool_is_called_with_arguments_of_its_schema() -> None:
    said = await choice(body(tools=[WEATHER, CLOCK]))
    assert said["finish_reason"] == "tool_calls" and said["message"]["content"] is None
    (call,) = said["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather" and call["type"] == "function" and call["id"]
    assert json.loads(call["function"]["arguments"]) == {"city": "simulated", "unit": "c"}


async def test_tools_that_the_text_names_are_called_together_unless_forbidden() -> None:
    text = "get_time and then get weather"
    said = await choice(body(text, tools=[WEATHER, CLOCK]))
    assert [call["function"]["name"] for call in said["message"]["tool_calls"]] == ["get_weather", "get_time"]
    said = await choice(body(text, tools=[WEATHER, CLOCK], parallel_tool_calls=False))
    assert len(said["message"]["tool_calls"]) == 1


async def test_tool_choice() -> None:
    assert (await choice(body(tools=[WEATHER], tool_choice="none")))["finish_reason"] == "stop"
    named = {"type": "function", "function": {"name": "get_time"}}
    said = await choice(body(tools=[WEATHER, CLOCK], tool_choice=named))
    assert [call["function"]["name"] for call in said["message"]["tool_calls"]] == ["get_time"]


async def test_streamed_calls_put_together_are_the_plain_ones() -> None:
    request = body("get_weather, get_time", tools=[WEATHER, CLOCK])
    calls: dict[int, dict[str, str]] = {}
    for frame in await stream(request):
        for delta in frame["choices"][0]["delta"].get("tool_calls", []):
            call = calls.setdefault(
                delta["index"], {"id": delta.get("id"), "name": delta["function"].get("name"), "text": ""}
            )
            call["text"] += delta["function"]["arguments"]
    said = (await choice(request))["message"]["tool_calls"]
    assert [(call["id"], call["name"], call["text"]) for call in calls.values()] == [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in said
    ]


async def test_a_tools_result_is_answered() -> None:
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "x", "content": "12 degrees"},
    ]
    said = await choice(json.dumps({"model": "sim-chat", "messages": messages, "tools": [WEATHER]}).encode())
    assert "12 degrees" in said["message"]["content"] and said["finish_reason"] == "stop"


async def test_json_on_demand() -> None:
    said = await choice(body(response_format={"type": "json_object"}))
    assert json.loads(said["message"]["content"])["simulated"] is True
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]}
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}
    assert json.loads((await choice(body(response_format=form)))["message"]["content"]) == {"age": 18}


async def test_reasoning() -> None:
    assert "reasoning_content" not in (await choice(body()))["message"]
    assert "reasoning_content" not in (await choice(body(reasoning_effort="none")))["message"]
    assert (await choice(body(reasoning_effort="low")))["message"]["reasoning_content"].startswith(
        "Simulated reasoning"
    )
    assert "reasoning_content" in (await choice(body(model="sim-thinking")))["message"]
    assert "reasoning_content" not in (await choice(body(model="sim-thinking", reasoning_effort="none")))["message"]


async def test_images_are_acknowledged_and_counted() -> None:
    parts = [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    answer = await plain(body(parts))
    assert "1 image." in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["prompt_tokens"] > (await plain(body("what?")))["usage"]["prompt_tokens"] + 1000


@pytest.mark.parametrize(
    "request_body", [b"", b"[]", b"{", b'{"model":"sim-chat"}', b'{"model":"sim-chat","messages":[]}']
)
async def test_bodies_that_nobody_would_take(request_body: bytes) -> None:
    assert (await plain(request_body, 400))["error"]["type"] == "invalid_request_error"


async def test_an_unknown_model() -> None:
    assert (await plain(body(model="gpt-9"), 404))["error"]["code"] == "model_not_found"


async def test_closing_ends_a_stream() -> None:
    reply = SIM.answer(body(), stream=True, request_id="r")
    assert await reply.next_chunk()
    reply.close()
    reply.close()
    assert await reply.next_chunk() == b""


async def test_the_dialect_reads_it() -> None:
    dialect = DIALECTS["openai"]
    facts = dialect.glance_answer(await SIM.answer(body(), stream=False, request_id="r").read())
    assert facts.usage is not None and not facts.empty and facts.finish == "stop"


async def test_a_stream_takes_its_time() -> None:
    reply = Simulated(lambda: 0, pause_s=0.001).answer(body(), stream=True, request_id="r")
    chunks = 0
    while await reply.next_chunk():
        chunks += 1
    assert chunks > 5


_MEMBERS = st.sampled_from(
    [
        "tools",
        "tool_choice",
        "response_format",
        "stop",
        "n",
        "max_tokens",
        "reasoning_effort",
        "stream_options",
        "model",
    ]
)
_INNER = st.sampled_from(["type", "function", "name", "json_schema", "schema", "parameters"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_INNER, inner),
    max_leaves=5,
)


@given(st.dictionaries(_MEMBERS, _VALUES))
async def test_no_request_breaks_it(members: dict[str, Any]) -> None:
    reply = SIM.answer(body(**members), stream=False, request_id="r")
    assert reply.status in (200, 400, 404) and json.loads(await reply.read())
    reply = SIM.answer(body(**members), stream=True, request_id="r")
    assert await reply.read()


@given(st.text())
def test_pieces_lose_nothing(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_models_have_a_price_and_an_id_of_their_own() -> None:
    assert [model.id for model in SIMULATED_MODELS if model.kind == "chat"] == ["sim/chat", "sim/thinking"]
    assert SIMULATED_MODELS[0].price_prompt_nano_per_mtok == 100_000_000
    assert SIMULATED_MODELS[0].price_completion_nano_per_mtok == 400_000_000
    chats = [model for model in SIMULATED_MODELS if model.kind == "chat"]
    assert all({"tools", "vision", "json_schema"} <= model.capabilities for model in chats)
    others = [model for model in SIMULATED_MODELS if model.kind != "chat"]
    assert len(others) == len({model.kind for model in others}) == 6
    assert all(model.price_prompt_nano_per_mtok > 0 or any(model.units.values()) for model in others)


@pytest.mark.parametrize(
    ("setting", "app_env", "real", "wanted"),
    [
        ("auto", "development", False, True), ("auto", "development", True, False), ("auto", "test", False, True),
        ("auto", "production", False, False), ("on", "production", True, True), ("on", "development", True, True),
        ("off", "development", False, False),
    ],
)  # fmt: skip
def test_when_it_is_there(setting: str, app_env: str, real: bool, wanted: bool) -> None:
    environment = read_environment({"APP_ENV": app_env, "GATEWAYZ_SECRET_KEY": "k" * 43 + "="})
    assert simulated_wanted(Settings(simulated_provider=setting), environment, real) is wanted


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "simulated"),
        ({"type": "string", "minLength": 12}, "simulatedxxx"),
        ({"type": "string", "maxLength": 3}, "sim"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
        ({"type": "integer", "exclusiveMaximum": 0}, -1),
        ({"type": "number", "exclusiveMinimum": 1}, 1.5),
        ({"type": "number", "maximum": 0.25}, 0.25),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True}, [1, 2, 3]),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "uniqueItems": True}, ["a", "b"]),
        ({"type": "array", "maxItems": 0}, []),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["b"]}]}, {"b": "simulated", "a": 1}),
        ({"$defs": {"x": {"const": 3}}, "properties": {"y": {"$ref": "#/$defs/x"}}}, {"y": 3}),
        ({"required": ["q"]}, {"q": "simulated"}),
        (True, "simulated"),
        (None, None),
    ],
)  # fmt: skip
def test_values_fulfil_their_schema(schema: Any, value: Any) -> None:
    assert sample(schema) == value


def test_a_schema_that_refers_to_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert sample(node)
    assert sample({"$ref": "#"}) is not None
    assert sample({"allOf": [{"$ref": "#"}]}) is not None
