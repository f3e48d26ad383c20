"""Google's own SDK with nothing but its address and key changed, at providers of every dialect."""

import asyncio
import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.test_sdk_pairings import (
    CALLS,
    FIRST,
    PROVIDERS,
    SECOND,
    SIGNATURE,
    THOUGHT,
    USAGE,
    config,
    model,
    schema_sent,
)
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the SDK's own modules, while they are imported
    from google import genai
    from google.genai import errors, types

PAIRS = pytest.mark.parametrize("provider", PROVIDERS)
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
PIXEL = b"\x89PNG\xfb\xff not really"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """A provider of each dialect."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with LiveGateway(tmp_path_factory.mktemp("genai"), config(upstream)) as live:
        yield live


@pytest.fixture
def customer(gateway: LiveGateway) -> Customer:
    """A fresh account that can pay."""
    return gateway.customer(5)


@pytest.fixture
def client(customer: Customer) -> Iterator[genai.Client]:
    made = genai.Client(api_key=customer.key, http_options=types.HttpOptions(base_url=customer.gateway.base_url))
    yield made
    made.close()


def tools() -> list[types.Tool]:
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    names = ("get_weather", "get_time")
    functions = [types.FunctionDeclaration(name=name, description="d", parameters=schema) for name in names]  # type: ignore[arg-type]
    return [types.Tool(function_declarations=functions)]


@pytest.mark.ac("AC-9.1.4", "AC-9.1.10", "AC-CC.13.1")
@PAIRS
@WAYS
def test_an_agent_in_two_turns(
    client: genai.Client, customer: Customer, upstream: FakeUpstream, provider: str, stream: bool
) -> None:
    persona = PROVIDERS[provider]
    upstream.script(persona, {**FIRST, "interleave": True, "usage": USAGE}, {**SECOND, "usage": USAGE})
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=2000)
    chat = client.chats.create(
        model=model(provider),
        config=types.GenerateContentConfig(
            system_instruction="Be brief.", tools=tools(), max_output_tokens=4000, thinking_config=thinking
        ),
    )

    def send(message: Any) -> list[types.GenerateContentResponse]:
        return list(chat.send_message_stream(message)) if stream else [chat.send_message(message)]

    picture = types.Part.from_bytes(data=PIXEL, mime_type="image/png")
    answer = send([types.Part(text="Where is this?"), picture])
    parts = [part for each in answer for part in each.candidates[0].content.parts]  # type: ignore[index,union-attr]
    assert "".join(part.text for part in parts if part.thought) == THOUGHT
    calls = [part.function_call for part in parts if part.function_call]
    assert [{"id": call.id, "name": call.name, "arguments": call.args} for call in calls] == CALLS
    last = answer[-1]
    assert (last.candidates[0].finish_reason, last.model_version) == (types.FinishReason.STOP, model(provider))  # type: ignore[index]
    assert last.usage_metadata is not None
    assert (last.usage_metadata.prompt_token_count, last.usage_metadata.total_token_count) == (40, 60)
    results = [types.FunctionResponse(name=call.name, response={"output": f"of {call.name}"}) for call in calls]
    answer = send([types.Part(function_response=result) for result in results])
    assert "".join(each.text or "" for each in answer) == SECOND["text"]
    _, second = upstream.journal(persona)
    check_second_turn(provider, second["body"])
    # Each of the two answers is paid exactly: 40 tokens in at 2 USD and 20 out at 8 USD a million.
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-0.00024))] * 2


def check_second_turn(provider: str, body: dict[str, Any]) -> None:
    """Calls, their results and the thinking with its signature, as the provider said them."""
    text = json.dumps(body)
    told = ["of get_weather", "of get_time"]
    if provider in ("openai", "cohere"):
        said, *results = body["messages"][-3:]
        calls = [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in said["tool_calls"]
        ]
        assert [(each["tool_call_id"], each["content"]) for each in results] == list(
            zip(("call_p", "call_r"), told, strict=True)
        )
        if provider == "openai":
            assert said["reasoning_content"] == THOUGHT
        else:
            assert said["content"] == [{"type": "thinking", "thinking": THOUGHT}]
    elif provider == "anthropic":
        said, results = body["messages"][-2:]
        assert said["content"][0] == {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
        calls = [(each["id"], each["name"], each["input"]) for each in said["content"] if each["type"] == "tool_use"]
        assert [each["tool_use_id"] for each in results["content"]] == ["call_p", "call_r"]
    elif provider == "bedrock":
        said, results = body["messages"][-2:]
        thought = {"reasoningText": {"text": THOUGHT, "signature": SIGNATURE}}
        assert said["content"][0] == {"reasoningContent": thought}
        uses = [block["toolUse"] for block in said["content"] if "toolUse" in block]
        calls = [(use["toolUseId"], use["name"], use["input"]) for use in uses]
        assert [block["toolResult"]["toolUseId"] for block in results["content"]] == ["call_p", "call_r"]
    else:
        parts = [part for content in body["contents"] if content["role"] == "model" for part in content["parts"]]
        functions = [part for part in parts if "functionCall" in part]
        assert [part.get("thoughtSignature") for part in functions] == [SIGNATURE, None]
        calls = [
            (each["functionCall"]["id"], each["functionCall"]["name"], each["functionCall"]["args"])
            for each in functions
        ]
    assert calls == [(call["id"], call["name"], call["arguments"]) for call in CALLS]
    assert all(each in text for each in told) and "Be brief." in text and "gatewayz-v1" not in text


@pytest.mark.ac("AC-9.1.3")
@PAIRS
def test_structured_output(client: genai.Client, upstream: FakeUpstream, provider: str) -> None:
    upstream.script(PROVIDERS[provider], {"text": '{"city": "Zürich"}'})
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    wanted = types.GenerateContentConfig(response_mime_type="application/json", response_schema=schema)
    answer = client.models.generate_content(model=model(provider), contents="Which city?", config=wanted)
    assert json.loads(answer.text or "") == {"city": "Zürich"}
    (entry,) = upstream.journal(PROVIDERS[provider])
    sent = json.dumps(schema_sent(provider, entry["body"]))
    assert '"city"' in sent and '"required"' in sent


# The SDK subclasses what aiohttp would rather not have subclassed.
@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@PAIRS
def test_the_asynchronous_client(customer: Customer, upstream: FakeUpstream, provider: str) -> None:
    upstream.script(PROVIDERS[provider], {"text": "One, two, three."}, {"text": "Four."})

    async def talk() -> tuple[str, str]:
        options = types.HttpOptions(base_url=customer.gateway.base_url, api_version="v1beta")
        client = genai.Client(api_key=customer.key, http_options=options)
        try:
            stream = await client.aio.models.generate_content_stream(model=model(provider), contents="Count.")
            said = "".join([each.text or "" async for each in stream])
            plain = await client.aio.models.generate_content(model=model(provider), contents="On.")
            return said, plain.text or ""
        finally:
            await client.aio.aclose()

    assert asyncio.run(talk()) == ("One, two, three.", "Four.")


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_models_and_counts_in_every_version(customer: Customer, version: str) -> None:
    options = types.HttpOptions(base_url=customer.gateway.base_url, api_version=version)
    with genai.Client(api_key=customer.key, http_options=options) as client:
        listed = [each.name for each in client.models.list(config={"page_size": 2})]
        assert listed == [f"models/{model(provider)}" for provider in sorted(PROVIDERS)]
        one = client.models.get(model=model("openai"))
        assert (one.name, one.display_name, one.input_token_limit) == (
            f"models/{model('openai')}",
            model("openai"),
            128_000,
        )
        assert one.supported_actions == ["generateContent", "streamGenerateContent", "countTokens"]
        counted = client.models.count_tokens(model=model("gemini"), contents="How many tokens are these?")
        assert counted.total_tokens and counted.total_tokens > 5


@pytest.mark.ac("AC-9.1.7")
def test_errors_are_of_the_sdks_own_classes(client: genai.Client, customer: Customer, upstream: FakeUpstream) -> None:
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="acme/nothing", contents="Hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    upstream.script("first", {"status": 500}, {"status": 500})
    with pytest.raises(errors.ServerError) as failed:
        client.models.generate_content(model=model("openai"), contents="Hi")
    assert (failed.value.code, failed.value.status) == (502, "UNAVAILABLE")
    options = types.HttpOptions(base_url=customer.gateway.base_url)
    with (
        genai.Client(api_key="gw_live_wrong", http_options=options) as stranger,
        pytest.raises(errors.ClientError) as no,
    ):
        stranger.models.generate_content(model=model("openai"), contents="Hi")
    assert (no.value.code, no.value.status) == (401, "UNAUTHENTICATED")
