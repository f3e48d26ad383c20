"""The simulated provider through the official SDKs: everything can be tried without any provider's key."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from tests.acceptance import spine
from tests.acceptance.spine import anthropic_client, openai_client
from tests.live import Customer, LiveGateway

MODEL = "sim/chat"
THINKER = "sim/thinking"
HELLO: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway without any provider."""
    with LiveGateway(tmp_path_factory.mktemp("simulated"), spine.settings_toml()) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(50)


def test_chat_plain_and_streamed(customer: Customer) -> None:
    client = openai_client(customer)
    plain = client.chat.completions.create(model=MODEL, messages=HELLO)
    text = plain.choices[0].message.content or ""
    assert text.startswith("Simulated answer") and "weather in Paris" in text
    assert plain.usage is not None and plain.usage.prompt_tokens > 0
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == plain.usage.completion_tokens


def test_it_costs_what_the_catalog_says(gateway: LiveGateway) -> None:
    customer = gateway.customer(1)
    usage = customer.chat(MODEL).json()["usage"]
    cost = usage["prompt_tokens"] * 0.10e-6 + usage["completion_tokens"] * 0.40e-6
    assert usage["cost"] == pytest.approx(cost) and cost > 0
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-cost))]


def test_messages_plain_and_streamed(customer: Customer) -> None:
    client = anthropic_client(customer)
    plain: Any = client.messages.create(model=MODEL, max_tokens=200, messages=HELLO)
    assert plain.content[0].text.startswith("Simulated answer") and plain.stop_reason == "end_turn"
    with client.messages.stream(model=MODEL, max_tokens=200, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == plain.content[0].text
    short = client.messages.create(model=MODEL, max_tokens=3, messages=HELLO)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 3)


def test_tools_in_both_dialects(customer: Customer) -> None:
    function: Any = {"name": "get_weather", "description": "Weather", "parameters": SCHEMA}
    first = openai_client(customer).chat.completions.create(
        model=MODEL, messages=HELLO, tools=[{"type": "function", "function": function}]
    )
    calls: Any = first.choices[0].message.tool_calls
    assert calls[0].function.name == "get_weather" and "city" in json.loads(calls[0].function.arguments)
    history: Any = [
        *HELLO,
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": calls[0].id, "content": "sunny and 21 degrees"},
    ]
    second = openai_client(customer).chat.completions.create(
        model=MODEL, messages=history, tools=[{"type": "function", "function": function}]
    )
    assert "sunny and 21 degrees" in (second.choices[0].message.content or "")
    tool: Any = {"name": "get_weather", "description": "Weather", "input_schema": SCHEMA}
    with anthropic_client(customer).messages.stream(
        model=MODEL, max_tokens=200, messages=HELLO, tools=[tool]
    ) as stream:
        message: Any = stream.get_final_message()
    assert message.stop_reason == "tool_use" and "city" in message.content[-1].input


class Report(BaseModel):
    city: str
    degrees: int
    words: list[str]


@pytest.mark.ac("AC-9.1.3")
def test_structured_answers(customer: Customer) -> None:
    client = openai_client(customer)
    loose = client.chat.completions.create(model=MODEL, messages=HELLO, response_format={"type": "json_object"})
    assert isinstance(json.loads(loose.choices[0].message.content or ""), dict)
    strict = client.chat.completions.parse(model=MODEL, messages=HELLO, response_format=Report)
    assert isinstance(strict.choices[0].message.parsed, Report)


def test_thinking_in_both_dialects(customer: Customer) -> None:
    chunks = list(openai_client(customer).chat.completions.create(model=THINKER, messages=HELLO, stream=True))
    thoughts = [
        (chunk.choices[0].delta.model_extra or {}).get("reasoning_content") for chunk in chunks if chunk.choices
    ]
    assert "".join(filter(None, thoughts)).startswith("Simulated reasoning")
    message: Any = anthropic_client(customer).messages.create(model=THINKER, max_tokens=400, messages=HELLO)
    assert [block.type for block in message.content] == ["thinking", "text"]


def test_it_leaves_when_a_real_provider_is_there() -> None:
    house = spine.shared().gateway
    assert house.call("GET", f"/v1/models/{MODEL}").status_code == 404
    assert house.customer(1).chat(MODEL).status_code in (404, 503)


@pytest.mark.ac("AC-9.1.6", "AC-CC.6.1", "AC-CC.7.1")
def test_every_service_beside_chats_can_be_tried_without_a_key(customer: Customer) -> None:
    client = openai_client(customer)
    near, same, far = (
        each.embedding
        for each in client.embeddings.create(model="sim/embedding", input=["red cat", "cat red", "blue dog"]).data
    )
    assert near == same != far
    found = client.moderations.create(model="sim/moderation", input=["please flag me", "hello"]).results
    assert [each.flagged for each in found] == [True, False]
    pictures = client.images.generate(model="sim/image", prompt="a cat", n=2, size="128x64").data or []
    assert len({each.b64_json for each in pictures}) == 2
    assert base64.b64decode(pictures[0].b64_json or "").startswith(b"\x89PNG")
    edited = client.images.edit(model="sim/image", image=("a.png", b"png"), prompt="a hat").data or []
    assert (edited[0].revised_prompt or "").startswith("Simulated image")
    kinds = [each.type for each in client.images.generate(model="sim/image", prompt="x", stream=True, partial_images=1)]
    assert kinds == ["image_generation.partial_image", "image_generation.completed"]
    ranked = customer.call("POST", "/v1/rerank", {"model": "sim/rerank", "query": "ruby", "documents": ["tea", "ruby"]})
    assert ranked.json()["results"][0]["index"] == 1


@pytest.mark.ac("AC-CC.7.2")
def test_sound_goes_in_and_comes_out(customer: Customer) -> None:
    client = openai_client(customer)
    spoken = client.audio.speech.create(
        model="sim/speech", input="hello " * 20, voice="any", response_format="wav"
    ).content
    heard = client.audio.transcriptions.create(model="sim/transcription", file=("a.wav", spoken))
    assert heard.text == "Simulated transcription of 8.0 seconds of wav sound."
    mp3 = client.audio.speech.create(model="sim/speech", input="hello", voice="any").content
    body = {"model": "sim/transcription", "audio": base64.b64encode(mp3).decode(), "response_format": "vtt"}
    answer = customer.call("POST", "/v1/audio/transcriptions/base64", body)
    assert answer.text.startswith("WEBVTT") and "of mp3 sound" in answer.text
    told = list(client.audio.transcriptions.create(model="sim/transcription", file=("a.mp3", mp3), stream=True))
    assert told[-1].type == "transcript.text.done"


def test_what_the_simulated_provider_cannot_do_it_refuses(customer: Customer) -> None:
    body = {"model": "sim/speech", "input": "hello", "voice": "any", "response_format": "flac"}
    answer = customer.call("POST", "/v1/audio/speech", body)
    assert answer.status_code == 400
    assert "mp3, wav and pcm" in spine.error_of(answer)["message"]
