"""The official SDKs in every pairing of client and provider dialect: one agent's conversation, plain and streamed.

An image and thinking, parallel calls, their results in the next turn with the signatures of the thinking, at last text;
and structured output. What the provider was sent in the second turn is compared with what it said in the first.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.spine import anthropic_client, model_toml, openai_client, provider_toml
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

PROVIDERS = {"openai": "first", "anthropic": "ant", "gemini": "gem", "bedrock": "rock", "cohere": "co"}
NATIVE = {"first": "native-first", "ant": "native-ant", "gem": "gemini-3-flash-preview"}
NATIVE |= {"rock": "anthropic.claude-sonnet-4-5-20250929-v1:0", "co": "command-a-reasoning-08-2025"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
NAMES = ("get_weather", "get_time")
CALLS = [
    {"id": "call_p", "name": "get_weather", "arguments": {"city": "Paris — 你好"}},
    {"id": "call_r", "name": "get_time", "arguments": {"city": "Rome"}},
]
THOUGHT, SIGNATURE = "Two cities, so two calls.", "c2lnbmF0dXJl"
FIRST: dict[str, Any] = {"thinking": THOUGHT, "signature": SIGNATURE, "tool_calls": CALLS}
SECOND: dict[str, Any] = {"text": "Sunny in Paris, noon in Rome. 😀"}
USAGE = {"prompt": 40, "completion": 20, "reasoning": 6}
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
PAIRS = pytest.mark.parametrize("provider", PROVIDERS)


def model(provider: str) -> str:
    return f"acme/by-{provider}"


def config(upstream: FakeUpstream) -> str:
    texts = [spine.settings_toml()]
    for dialect, persona in PROVIDERS.items():
        texts.append(provider_toml(upstream, persona, dialect))
        text = model_toml(model(dialect), (persona,), supports_reasoning=True)
        texts.append(text.replace(f'native_id = "native-{persona}"', f'native_id = "{NATIVE[persona]}"'))
    return "".join(texts)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The three providers."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def customer(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    """An account that can pay, at a gateway in front of them."""
    with LiveGateway(tmp_path_factory.mktemp("pairings"), config(upstream)) as live:
        yield live.customer(50)


def check_first_request(provider: str, body: dict[str, Any]) -> None:
    """The image and the tools, in the provider's words."""
    text = json.dumps(body)
    assert text.count(PIXEL) == 1 and text.count("Where is this?") == 1 and "Be brief." in text
    if provider == "gemini":
        tools = body["tools"][0]["functionDeclarations"]
    elif provider == "bedrock":
        tools = [tool["toolSpec"] for tool in body["toolConfig"]["tools"]]
        assert body["additionalModelRequestFields"]["thinking"]["type"] == "enabled"
    else:
        tools = [tool.get("function", tool) for tool in body["tools"]]
    assert [tool["name"] for tool in tools] == list(NAMES)


def check_second_request(provider: str, client: str, body: dict[str, Any]) -> None:
    """Calls, results in their order, and thinking with its signature: as the provider said them."""
    if provider in ("openai", "cohere"):
        said, *results = body["messages"][-3:]
        calls = [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in said["tool_calls"]
        ]
        told = [(result["tool_call_id"], result["content"]) for result in results]
        if provider == "cohere":
            assert said["content"] == [{"type": "thinking", "thinking": THOUGHT}]
        elif client == "anthropic":  # between equal dialects the client's own message is forwarded as it is
            assert said["reasoning_content"] == THOUGHT
    elif provider == "anthropic":
        said, results = body["messages"][-2:]
        thought = {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
        assert {name: said["content"][0][name] for name in thought} == thought
        blocks = [block for block in said["content"] if block["type"] == "tool_use"]
        calls = [(block["id"], block["name"], block["input"]) for block in blocks]
        told = [(block["tool_use_id"], _text(block["content"])) for block in results["content"]]
    elif provider == "bedrock":
        said, results = body["messages"][-2:]
        thought = {"reasoningText": {"text": THOUGHT, "signature": SIGNATURE}}
        assert said["content"][0] == {"reasoningContent": thought}
        uses = [block["toolUse"] for block in said["content"] if "toolUse" in block]
        calls = [(use["toolUseId"], use["name"], use["input"]) for use in uses]
        given = [block["toolResult"] for block in results["content"]]
        told = [(each["toolUseId"], _text(each["content"])) for each in given]
    else:
        said, results = body["contents"][-2:]
        parts = [part for part in said["parts"] if "functionCall" in part]
        assert parts[0]["thoughtSignature"] == SIGNATURE, "on the call that it was on"
        calls = [
            (part["functionCall"]["id"], part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts
        ]
        responses = [part["functionResponse"] for part in results["parts"]]
        told = [(response["id"], next(iter(response["response"].values()))) for response in responses]
    assert calls == [(call["id"], call["name"], call["arguments"]) for call in CALLS]
    assert told == [("call_p", "sunny"), ("call_r", "noon")]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def script(upstream: FakeUpstream, provider: str, *, interleave: bool) -> str:
    """Has the provider call tools, then speak. OpenAI's own helper cannot put calls together that come interleaved."""
    persona = PROVIDERS[provider]
    upstream.script(persona, {**FIRST, "interleave": interleave, "usage": USAGE}, {**SECOND, "usage": USAGE})
    return persona


def by_openai(client: Any, provider: str, stream: bool, messages: list[Any], **more: Any) -> Any:
    """One answer by the SDK's own means; a stream is put together by its helper."""
    if not stream:
        return client.chat.completions.create(model=model(provider), messages=messages, **more)
    more["stream_options"] = {"include_usage": True}
    with client.chat.completions.stream(model=model(provider), messages=messages, **more) as events:
        return events.get_final_completion()


@pytest.mark.ac("AC-9.1.4", "AC-9.1.6", "AC-9.1.10", "AC-CC.13.1")
@PAIRS
@WAYS
def test_an_agent_with_the_openai_sdk(customer: Customer, upstream: FakeUpstream, provider: str, stream: bool) -> None:
    persona = script(upstream, provider, interleave=False)
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    function = {"description": "d", "parameters": SCHEMA, "strict": True}
    more: dict[str, Any] = {
        "tools": [{"type": "function", "function": {"name": name, **function}} for name in NAMES],
        "reasoning_effort": "low",
        "max_tokens": 4_000,
    }
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Where is this?"}, picture]},
    ]
    with openai_client(customer) as client:
        answer = by_openai(client, provider, stream, messages, **more)
        (choice,) = answer.choices
        found = [
            (call.id, call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls
        ]
        assert found == [(call["id"], call["name"], call["arguments"]) for call in CALLS]
        assert (choice.finish_reason, choice.message.reasoning_content) == ("tool_calls", THOUGHT)
        assert (answer.usage.prompt_tokens, answer.model) == (40, model(provider))
        reply = choice.message.model_dump(exclude_none=True)
        for call in reply["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
        messages += [reply]
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": content}
            for call, content in zip(CALLS, ("sunny", "noon"), strict=True)
        ]
        last = by_openai(client, provider, stream, messages, **more).choices[0]
    assert (last.message.content, last.finish_reason) == (SECOND["text"], "stop")
    one, two = (entry["body"] for entry in upstream.journal(persona))
    check_first_request(provider, one)
    check_second_request(provider, "openai", two)


def by_anthropic(client: Any, provider: str, stream: bool, messages: list[Any], **more: Any) -> Any:
    """One message by the SDK's own means; a stream is put together by its helper."""
    if not stream:
        return client.messages.create(model=model(provider), messages=messages, **more)
    with client.messages.stream(model=model(provider), messages=messages, **more) as events:
        return events.get_final_message()


@pytest.mark.ac("AC-9.2.1", "AC-9.2.2", "AC-9.2.4", "AC-CC.13.1")
@PAIRS
@WAYS
def test_an_agent_with_the_anthropic_sdk(
    customer: Customer, upstream: FakeUpstream, provider: str, stream: bool
) -> None:
    persona = script(upstream, provider, interleave=True)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    more: dict[str, Any] = {
        "tools": [{"name": name, "description": "d", "input_schema": SCHEMA} for name in NAMES],
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
        "max_tokens": 4_000,
        "system": "Be brief.",
    }
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "Where is this?"}, picture]}]
    with anthropic_client(customer) as client:
        message = by_anthropic(client, provider, stream, messages, **more)
        calls = [block for block in message.content if block.type == "tool_use"]
        found = [(call.id, call.name, call.input) for call in calls]
        assert found == [(call["id"], call["name"], call["arguments"]) for call in CALLS]
        assert "".join(block.thinking for block in message.content if block.type == "thinking") == THOUGHT
        assert (message.stop_reason, message.model) == ("tool_use", model(provider))
        messages.append({"role": "assistant", "content": message.content})
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": content}
            for call, content in zip(CALLS, ("sunny", "noon"), strict=True)
        ]
        messages.append({"role": "user", "content": results})
        last = by_anthropic(client, provider, stream, messages, **more)
    assert (last.content[-1].text, last.stop_reason) == (SECOND["text"], "end_turn")
    one, two = (entry["body"] for entry in upstream.journal(persona))
    check_first_request(provider, one)
    check_second_request(provider, "anthropic", two)


def schema_sent(provider: str, body: dict[str, Any]) -> Any:
    if provider == "openai":
        return body["response_format"]["json_schema"]["schema"]
    if provider == "cohere":
        return body["response_format"]["json_schema"]
    if provider == "anthropic":
        return body["output_config"]["format"]["schema"]
    if provider == "bedrock":
        return json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])
    config = body["generationConfig"]
    return config.get("responseJsonSchema") or config["responseSchema"]


@pytest.mark.ac("AC-9.1.3")
@PAIRS
@WAYS
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_structured_output(customer: Customer, upstream: FakeUpstream, sdk: str, provider: str, stream: bool) -> None:
    persona = PROVIDERS[provider]
    upstream.script(persona, {"text": '{"city": "Zürich"}'})
    messages: list[Any] = [{"role": "user", "content": "Which city?"}]
    if sdk == "openai":
        form = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
        with openai_client(customer) as client:
            answer = by_openai(client, provider, stream, messages, response_format=form)
        text = answer.choices[0].message.content
    else:
        form = {"type": "json_schema", "schema": SCHEMA}
        with anthropic_client(customer) as client:
            more: dict[str, Any] = {"max_tokens": 100, "extra_body": {"output_config": {"format": form}}}
            text = by_anthropic(client, provider, stream, messages, **more).content[0].text
    assert json.loads(text) == {"city": "Zürich"}
    sent = schema_sent(provider, upstream.journal(persona)[0]["body"])
    assert sent["properties"]["city"]["type"].lower() == "string" and sent["required"] == ["city"]
