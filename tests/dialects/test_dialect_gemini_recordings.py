"""Every recorded answer of Gemini, read and translated to both clients, against an independent reading."""

import itertools
import json
import random
from typing import Any

import pytest
from dialect_samples import (
    ANTHROPIC,
    OPENAI,
    VOICE,
    Heard,
    hear_anthropic_answer,
    hear_anthropic_stream,
    hear_openai_answer,
    hear_openai_stream,
    price,
    relayed,
)
from gemini_samples import GEMINI, NEW, OLD, Recording, Said, hear, history_of, recordings, to_gemini

from gatewayz.core.chat import Opaque, Text, Thinking, ToolCall
from gatewayz.core.stream import Ended, Finished, Unknown, UsageReport
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects import bridge
from gatewayz.dialects.base import Dialect
from gatewayz.dialects.signatures import SEALED_BY_GEMINI

FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "UNEXPECTED_TOOL_CALL": "stop",
}
TO_ANTHROPIC = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
CLIENTS = pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])


def finish_of(said: Said) -> str:
    finish = FINISH[said.finish or "STOP"]
    return "tool_calls" if said.calls and finish == "stop" else finish


def bare(sealed: str) -> list[str]:
    """The signatures inside the sealed ones that a client was given, in order."""
    return [each.partition(":")[2] for each in sealed.split(SEALED_BY_GEMINI)[1:]]


def assert_client_heard(client: Dialect, found: Heard, said: Said) -> None:
    assert found.text == said.text
    assert found.reasoning == said.thoughts
    assert found.inputs() == [(name, args) for name, args, _ in said.calls]
    told = bare(found.signatures) + [each for sealed in found.redacted for each in bare(sealed)]
    # Signatures of parts that have no form in other dialects stay inside those parts.
    assert sorted(told) == sorted(said.signatures[len(said.others) :] if said.others else said.signatures)
    finish = finish_of(said)
    assert found.finish == (finish if client is OPENAI else TO_ANTHROPIC[finish])
    assert found.models == {VOICE.model}
    usage = said.usage or (Usage(1, 1) if found.done else NOTHING)
    assert found.usage["cost"] == price(usage) / 1e9
    if client is OPENAI:
        assert (found.usage["prompt_tokens"], found.usage["completion_tokens"]) == (
            usage.prompt_tokens,
            usage.completion_tokens,
        )
        assert found.usage["completion_tokens_details"]["reasoning_tokens"] == usage.reasoning_tokens
    else:
        assert (found.usage["input_tokens"], found.usage["output_tokens"]) == (
            usage.prompt_tokens,
            usage.completion_tokens,
        )


@pytest.mark.parametrize("recording", recordings(stream=False))
def test_plain_answers_are_read(recording: Recording) -> None:
    said = hear(recording)
    answer, facts = GEMINI.read_answer(recording.body)
    (choice,) = answer.choices
    assert "".join(part.text for part in choice.parts if isinstance(part, Text)) == said.text
    assert "".join(part.text for part in choice.parts if isinstance(part, Thinking)) == said.thoughts
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [(name, args) for name, args, _ in said.calls]
    assert all(call.id for call in calls) and len({call.id for call in calls}) == len(calls)
    assert all(call.id == given for call, (_, _, given) in zip(calls, said.calls, strict=True) if given)
    assert [part.kind for part in choice.parts if isinstance(part, Opaque)] == said.others
    assert (choice.finish, choice.native_finish) == (finish_of(said), said.finish)
    assert facts.usage == said.usage and facts.finish == choice.finish
    assert facts.empty == (not (said.text or said.thoughts or said.calls or said.others))
    assert facts.upstream_id == recording.chunks()[0]["responseId"]


@CLIENTS
@pytest.mark.parametrize("recording", recordings(stream=False))
def test_plain_answers_reach_the_clients(recording: Recording, client: Dialect) -> None:
    answer, facts = GEMINI.read_answer(recording.body)
    usage = facts.usage or NOTHING
    shown = client.write_answer(answer, VOICE, usage, price(usage))
    found = hear_openai_answer(shown) if client is OPENAI else hear_anthropic_answer(shown)
    assert_client_heard(client, found, hear(recording))


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_streams_are_read(recording: Recording) -> None:
    said = hear(recording)
    reader = GEMINI.reader()
    events = reader.feed(recording.body) + reader.close()
    (finished,) = [event for event in events if isinstance(event, Finished)]
    assert (finished.finish, finished.native_finish) == (finish_of(said), said.finish)
    assert isinstance(events[-1], Ended)
    assert [event.usage for event in events if isinstance(event, UsageReport)][-1] == said.usage
    assert [next(iter(json.loads(event.raw))) for event in events if isinstance(event, Unknown)] == said.others


@pytest.mark.ac("AC-9.1.10", "AC-CC.13.1")
@CLIENTS
@pytest.mark.parametrize("recording", recordings(stream=True))
def test_streams_reach_the_clients(recording: Recording, client: Dialect) -> None:
    relay = bridge(client, GEMINI, VOICE, NEW, price)
    shown = relayed(relay, [recording.body])
    found = hear_openai_stream(shown) if client is OPENAI else hear_anthropic_stream(shown)
    said = hear(recording)
    assert_client_heard(client, found, said)
    assert found.done == 1 and len(found.ids) == 1
    assert relay.facts.started and relay.facts.ended
    assert (relay.facts.finish, relay.facts.native_finish, relay.facts.usage) == (
        finish_of(said),
        said.finish,
        said.usage,
    )


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_any_cut_of_a_stream_gives_the_same_events(recording: Recording) -> None:
    body = recording.body
    ways = [[body[i : i + 1] for i in range(len(body))]] if len(body) < 40_000 else []
    for seed, mean in enumerate((3, 40, 700)):
        chance = random.Random(seed)
        places = [0]
        while places[-1] < len(body):
            places.append(min(len(body), places[-1] + chance.randint(0, 2 * mean)))
        ways.append([body[a:b] for a, b in itertools.pairwise(places)])
    whole = GEMINI.reader()
    expected = whole.feed(body) + whole.close()
    for pieces in ways:
        reader = GEMINI.reader()
        assert [event for piece in pieces for event in reader.feed(piece)] + reader.close() == expected


@pytest.mark.parametrize("recording", recordings(stream=True))
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_line_ends_and_arrays_make_no_difference(recording: Recording, end: bytes) -> None:
    def events_of(body: bytes) -> list[Any]:
        reader = GEMINI.reader()
        return [event for event in reader.feed(body) + reader.close() if not isinstance(event, Unknown)]

    chunks = [json.dumps(chunk).encode() for chunk in recording.chunks()]
    as_events = b"".join(b"data: " + chunk + end + end for chunk in chunks)
    as_array = b"[" + b",".join(chunks) + b"]"
    assert events_of(as_events) == events_of(as_array) == events_of(recording.body)


@pytest.mark.ac("AC-CC.13.1")
@CLIENTS
@pytest.mark.parametrize("recording", recordings(where=lambda said: bool(said.parts) and not said.others))
def test_what_gemini_said_goes_back_to_it_as_it_was(recording: Recording, client: Dialect) -> None:
    """Parts, their order by kind, and each signature on the part that it was on, after a visit at the client."""
    said = hear(recording)
    answer, _ = GEMINI.read_answer(_as_plain(recording))
    shown = client.write_answer(answer, VOICE, NOTHING, 0)
    contents = to_gemini(client, OLD, messages=history_of(client, shown))["contents"]
    assert contents[0]["role"] == "user" and contents[1]["role"] == "model"
    expected = [
        {**part, "functionCall": _idless(part["functionCall"])} if "functionCall" in part else part
        for part in said.parts
    ]
    assert contents[1]["parts"] == sorted(expected, key=lambda part: "functionCall" in part)
    responses = [part["functionResponse"]["name"] for part in contents[2]["parts"] if "functionResponse" in part]
    assert responses == [name for name, _, _ in said.calls]


def _idless(call: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in call.items() if name != "id"}


def _as_plain(recording: Recording) -> bytes:
    """The answer as if it had come whole."""
    chunks = recording.chunks()
    parts = [
        part
        for chunk in chunks
        for candidate in chunk.get("candidates", [])
        for part in candidate.get("content", {}).get("parts", [])
    ]
    last = {**chunks[-1], "candidates": [{**chunks[-1]["candidates"][0], "content": {"parts": parts}}]}
    return json.dumps(last).encode()


@CLIENTS
@pytest.mark.parametrize("recording", recordings(where=lambda said: bool(said.signatures)))
def test_signatures_of_gemini_do_not_reach_another_family(recording: Recording, client: Dialect) -> None:
    answer, _ = GEMINI.read_answer(_as_plain(recording))
    history = history_of(client, client.write_answer(answer, VOICE, NOTHING, 0))
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": history}).encode()
    glance = client.glance(body)
    written = ANTHROPIC.write_request(client.read_request(glance), NEW)
    assert SEALED_BY_GEMINI.encode() not in written
    if client is ANTHROPIC:
        assert SEALED_BY_GEMINI.encode() not in client.forward_request(glance, NEW)


@pytest.mark.parametrize("recording", recordings(ok=False))
def test_recorded_errors_are_understood(recording: Recording) -> None:
    error = GEMINI.read_error(recording.body)
    assert (error.status, error.kind) == (404, "NOT_FOUND")
    assert len(error.message) > 10 and not error.message.startswith("{")
    with pytest.raises(ValueError):
        GEMINI.read_answer(recording.body)
