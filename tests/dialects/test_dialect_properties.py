"""What must hold for all bytes: any split gives the same answer, and nothing makes a reader or a relay raise."""

import itertools
import json
import random
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, TARGET, VOICE, Recording, price, recordings, relayed
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gatewayz.core.errors import ProviderTrouble
from gatewayz.core.usage import NOTHING
from gatewayz.dialects import bridge
from gatewayz.dialects.base import Dialect

PAIRS = [(client, provider) for client in (OPENAI, ANTHROPIC) for provider in (OPENAI, ANTHROPIC)]
PAIR_IDS = [f"{provider.name}-to-{client.name}" for client, provider in PAIRS]


def cuts(body: bytes) -> list[list[bytes]]:
    """The body whole, in single bytes (if short), and cut at random places, the same in every run."""
    ways = [[body]]
    if len(body) < 40_000:
        ways.append([body[i : i + 1] for i in range(len(body))])
    for seed, mean in enumerate((3, 40, 700)):
        chance = random.Random(seed)
        places = [0]
        while places[-1] < len(body):
            places.append(min(len(body), places[-1] + chance.randint(0, 2 * mean)))
        ways.append([body[a:b] for a, b in itertools.pairwise(places)])
    return ways


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_any_cut_of_a_recording_gives_the_same_events_and_the_same_bytes(recording: Recording) -> None:
    events = []
    for pieces in cuts(recording.body):
        reader = recording.dialect.reader()
        events.append([one for piece in pieces for one in reader.feed(piece)] + reader.close())
    assert all(found == events[0] for found in events)
    for client in (OPENAI, ANTHROPIC):
        shown = {
            relayed(bridge(client, recording.dialect, VOICE, TARGET, price), pieces) for pieces in cuts(recording.body)
        }
        assert len(shown) == 1


NAMES = st.sampled_from(
    [
        "id",
        "model",
        "choices",
        "usage",
        "error",
        "delta",
        "content",
        "type",
        "index",
        "message",
        "finish_reason",
        "text",
        "tool_calls",
        "function",
        "arguments",
        "name",
        "content_block",
        "stop_reason",
        "reasoning",
        "reasoning_details",
        "input_tokens",
        "prompt_tokens",
        "output_tokens",
        "completion_tokens",
        "partial_json",
        "thinking",
        "signature",
    ]
)
KINDS = (
    "stop tool_use message_start content_block_start content_block_delta content_block_stop message_delta message_stop "
    "text text_delta thinking error input_json_delta"
)
WORDS = st.sampled_from([*KINDS.split(), "", "x", "{}", "\ud83d", "é"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**25) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
CHOICE = st.fixed_dictionaries(
    {}, optional={"index": VALUES, "delta": VALUES, "message": VALUES, "finish_reason": VALUES}
)
CHUNK = st.fixed_dictionaries(
    {},
    optional={"id": VALUES, "model": VALUES, "choices": st.lists(CHOICE, max_size=2), "usage": VALUES, "error": VALUES},
)
EVENT = st.fixed_dictionaries(
    {"type": WORDS},
    optional={"index": VALUES, "delta": VALUES, "content_block": VALUES, "message": VALUES, "usage": VALUES},
)
LINE = st.one_of(
    (CHUNK | EVENT | VALUES).map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    st.sampled_from([b"data: [DONE]\n\n", b": c\n\n", b"event: error\n", b"data:\n\n", b"\r\n", b"data: {\n\n"]),
    st.binary(max_size=20),
)


@pytest.mark.parametrize(("client", "provider"), PAIRS, ids=PAIR_IDS)
@settings(max_examples=150, deadline=None)
@given(lines=st.lists(LINE, max_size=8), cut=st.integers(1, 30))
def test_no_stream_makes_a_relay_raise_and_no_cut_changes_it(
    client: Dialect, provider: Dialect, lines: list[bytes], cut: int
) -> None:
    body = b"".join(lines)
    relay = bridge(client, provider, VOICE, TARGET, price)
    whole = relayed(relay, [body])
    other = bridge(client, provider, VOICE, TARGET, price)
    assert relayed(other, [body[i : i + cut] for i in range(0, len(body), cut)]) == whole
    assert relay.facts == other.facts
    relay.fail(ProviderTrouble("x"), "r")
    text = whole.decode()
    for line in text.split("\n"):
        if line.startswith("data: ") and line != "data: [DONE]":
            json.loads(line[6:])
    if client is OPENAI:
        assert all(line.startswith("data: ") or not line for line in text.split("\n"))
        assert text.count("[DONE]\n") == (0 if relay.facts.error else 1)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@given(value=VALUES)
def test_no_answer_raises_anything_but_value_error(dialect: Dialect, value: Any) -> None:
    body = json.dumps(value).encode()
    for variant in (
        body,
        body[:-1],
        b'{"choices":[%s]}' % body,
        b'{"choices":[{"message":%s}]}' % body,
        b'{"content":[%s]}' % body,
    ):
        try:
            answer, facts = dialect.read_answer(variant)
        except ValueError:
            continue
        assert dialect.glance_answer(variant) == replace(facts, unknown_events=0, unknown_excerpt=None)
        for client in (OPENAI, ANTHROPIC):
            json.loads(client.write_answer(answer, VOICE, facts.usage or NOTHING, 1))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
ARGUMENTS = st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2).map(json.dumps)


@st.composite
def conversations(draw: Any) -> list[dict[str, Any]]:
    """Conversations as OpenAI clients send them, results mixed up."""
    messages: list[dict[str, Any]] = []
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        messages.append({"role": draw(st.sampled_from(["user", "system", "developer"])), "content": draw(TEXTS)})
        calls = []
        for _ in range(draw(st.integers(0, 3))):
            number += 1
            function = {"name": "f", "arguments": draw(ARGUMENTS)}
            calls.append({"id": f"c{number}", "type": "function", "function": function})
        message: dict[str, Any] = {"role": "assistant", "content": draw(TEXTS)}
        if calls:
            message["tool_calls"] = calls
        messages.append(message)
        for call in draw(st.permutations(calls)):
            if draw(st.booleans()):
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": draw(TEXTS)})
    return messages


@given(messages=conversations())
def test_every_conversation_becomes_one_that_anthropic_accepts(messages: list[dict[str, Any]]) -> None:
    body = json.dumps({"model": "m", "messages": messages}).encode()
    written = json.loads(ANTHROPIC.write_request(OPENAI.read_request(OPENAI.glance(body)), TARGET))
    turns = written["messages"]
    assert turns[0]["role"] == "user"
    for before, after in itertools.pairwise(turns):
        assert before["role"] != after["role"]
    waiting: list[str] = []
    for turn in turns:
        blocks = turn["content"] if isinstance(turn["content"], list) else [{"type": "text", "text": turn["content"]}]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert sorted(results) == sorted(waiting)
        assert [block["type"] for block in blocks[: len(results)]] == ["tool_result"] * len(results)
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert not waiting
    again = OPENAI.write_request(ANTHROPIC.read_request(ANTHROPIC.glance(json.dumps(written).encode())), TARGET)
    open_calls: set[str] = set()
    for message in json.loads(again)["messages"]:
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls, "every call is answered before anyone else speaks"
        open_calls = {call["id"] for call in message.get("tool_calls") or []}
    assert not open_calls
