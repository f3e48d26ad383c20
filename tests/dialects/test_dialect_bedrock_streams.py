"""Bedrock's streams: every recording against an independent reading, any cut of the bytes, and all that can be wrong."""

import base64
import itertools
import json
import random
import struct
import zlib
from typing import Any

import pytest
from bedrock_samples import (
    BEDROCK,
    CLAUDE,
    Recording,
    hear,
    read_all,
    recordings,
)
from dialect_samples import ANTHROPIC, OPENAI, VOICE, hear_anthropic_stream, hear_openai_stream, price, relayed
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayz.core.chat import Opaque, RedactedThinking, Text, Thinking, ToolCall
from gatewayz.core.stream import (
    AnnotationDelta,
    Ended,
    Finished,
    RedactedBlock,
    SignatureDelta,
    StreamError,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    Unknown,
    UsageReport,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import bridge
from gatewayz.dialects.base import Dialect
from gatewayz.dialects.bedrock.event_stream import MOST_PAYLOAD_BYTES, EventStreamParser
from tests.aws_frames import delta, event, events, frame, text_header

FINISH = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
}
GOOD = events(
    ("messageStart", {"role": "assistant"}),
    delta({"text": "Grüße 😀"}),
    delta({"text": " 你好"}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}}),
    delta({"toolUse": {"input": '{"a":'}}, 1),
    delta({"toolUse": {"input": "1}"}}, 1),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}}),
)
CLIENTS = pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])


def starts() -> list[int]:
    """Where the frames of `GOOD` begin."""
    places = [0]
    while (after := places[-1] + struct.unpack(">I", GOOD[places[-1] : places[-1] + 4])[0]) < len(GOOD):
        places.append(after)
    return places


def of(found: list[Any], kind: type) -> list[Any]:
    return [each for each in found if isinstance(each, kind)]


@pytest.mark.ac("AC-CC.13.1")
@pytest.mark.parametrize("recording", recordings(stream=True))
def test_streams_say_what_their_bytes_say(recording: Recording) -> None:
    said, found = hear(recording), read_all(recording.body)
    assert "".join(each.text for each in of(found, TextDelta)) == said.texts("text")
    assert "".join(each.text for each in of(found, ThinkingDelta)) == said.texts("thinking")
    assert [each.signature for each in of(found, SignatureDelta)] == [b[2] for b in said.of("thinking") if b[2]]
    redacted = [base64.b64encode(each.data.encode()).decode() for each in of(found, RedactedBlock)]
    assert redacted == [block[1] for block in said.of("redacted")]
    assert [(each.id, each.name) for each in of(found, ToolCallStarted)] == [(b[1], b[2]) for b in said.of("call")]
    assert [each.fragment for each in of(found, ToolCallDelta)] == [block[3] for block in said.of("call")]
    assert len(of(found, AnnotationDelta)) == len(said.cited)
    assert bool(of(found, Unknown)) == bool(said.of("other"))
    (finished,) = of(found, Finished)
    assert (finished.finish, finished.native_finish) == (FINISH[str(said.stop)], said.stop)
    assert [each.usage for each in of(found, UsageReport)] == [said.usage]
    assert isinstance(found[-1], Ended)


@pytest.mark.ac("AC-CC.13.1")
@pytest.mark.parametrize("recording", recordings(stream=False))
def test_plain_answers_say_what_their_bytes_say(recording: Recording) -> None:
    said = hear(recording)
    answer, facts = BEDROCK.read_answer(recording.body)
    (choice,) = answer.choices
    texts, thoughts, calls = (of(list(choice.parts), kind) for kind in (Text, Thinking, ToolCall))
    assert [part.text for part in texts] == [block[1] for block in said.of("text") if block[1]]
    assert [(part.text, part.signature or "") for part in thoughts] == [(b[1], b[2]) for b in said.of("thinking")]
    assert [(part.id, part.name, json.loads(part.arguments)) for part in calls] == [
        (b[1], b[2], json.loads(b[3])) for b in said.of("call")
    ]
    redacted = [base64.b64encode(part.data.encode()).decode() for part in of(list(choice.parts), RedactedThinking)]
    assert redacted == [block[1] for block in said.of("redacted")]
    assert sum(len(part.annotations) for part in texts) == len(said.cited)
    assert facts.unknown_events == len(of(list(choice.parts), Opaque)) == len(said.of("other"))
    assert (choice.finish, choice.native_finish, facts.usage) == (FINISH[str(said.stop)], said.stop, said.usage)
    assert not facts.empty


@CLIENTS
@pytest.mark.parametrize("recording", recordings(stream=True))
def test_streams_reach_the_clients(recording: Recording, client: Dialect) -> None:
    said = hear(recording)
    shown = relayed(bridge(client, BEDROCK, VOICE, CLAUDE, price), [recording.body])
    found = hear_openai_stream(shown) if client is OPENAI else hear_anthropic_stream(shown)
    assert (found.text, found.reasoning) == (said.texts("text"), said.texts("thinking"))
    assert found.inputs() == [(block[2], json.loads(block[3] or "{}")) for block in said.of("call")]
    assert found.signatures == "".join(block[2] for block in said.of("thinking"))
    assert found.done == 1 and found.usage is not None


def cuts(body: bytes) -> list[list[bytes]]:
    """The body in single bytes, and cut at random."""
    ways = [[body[i : i + 1] for i in range(len(body))]]
    for seed, mean in enumerate((3, 40, 700)):
        chance, places = random.Random(seed), [0]
        while places[-1] < len(body):
            places.append(min(len(body), places[-1] + chance.randint(0, 2 * mean)))
        ways.append([body[a:b] for a, b in itertools.pairwise(places)])
    return ways


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_any_cut_of_a_recording_gives_the_same_events(recording: Recording) -> None:
    expected = read_all(recording.body)
    for pieces in cuts(recording.body):
        reader = BEDROCK.reader()
        assert [each for piece in pieces for each in reader.feed(piece)] + reader.close() == expected


@given(st.lists(st.integers(0, len(GOOD)), max_size=8))
def test_any_split_gives_the_same_events(places: list[int]) -> None:
    reader, ends = BEDROCK.reader(), [0, *sorted(places), len(GOOD)]
    found = [each for a, b in itertools.pairwise(ends) for each in reader.feed(GOOD[a:b])] + reader.close()
    assert found == read_all(GOOD)


@settings(max_examples=300)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_silent(place: int, change: int) -> None:
    """What was told before it stays; the rest is an error, and there is no regular end."""
    changed = bytearray(GOOD)
    changed[place] ^= change
    found, whole = read_all(bytes(changed)), read_all(GOOD)
    *before, last = found
    assert isinstance(last, StreamError) and last.kind in ("corrupt_stream", "stream_overflow")
    assert before == whole[: len(before)] and not of(before, Ended)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_raising(data: bytes) -> None:
    found = read_all(data)
    assert not of(found, Ended)


@given(st.integers(1, len(GOOD) - 1))
def test_a_stream_that_is_cut_off_is_no_whole_answer(place: int) -> None:
    """Cut within a frame it is broken, cut between two it just stops; a regular end needs the reason and whole frames."""
    found, sizes = read_all(GOOD[:place]), [struct.unpack(">I", GOOD[at : at + 4])[0] for at in starts()]
    between = place in itertools.accumulate(sizes)
    assert isinstance(found[-1], StreamError) is not between
    assert bool(of(found, Ended)) is (between and bool(of(found, Finished)))


def test_a_stream_without_usage_ends_regularly_and_one_without_reason_does_not() -> None:
    silent = events(delta({"text": "Hi"}), ("messageStop", {"stopReason": "end_turn"}))
    assert isinstance(read_all(silent)[-1], Ended) and not of(read_all(silent), UsageReport)
    unfinished = events(delta({"text": "Hi"}), ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}))
    assert not of(read_all(unfinished), Ended)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (GOOD[:30], "ends within"),
        (struct.pack(">II", 15, 0) + struct.pack(">I", zlib.crc32(struct.pack(">II", 15, 0))), "shorter"),
        (struct.pack(">II", 40, 30) + struct.pack(">I", zlib.crc32(struct.pack(">II", 40, 30))), "shorter"),
        (frame(b"\x05ab", b"{}"), "headers"),
        (frame(b"\x01a\x63", b"{}"), "headers"),
        (frame(b"\x01a\x07\x00\x09ab", b"{}"), "headers"),
        (frame(b"\x01a\x07\x00\x01\xff", b"{}"), "headers"),
    ],
)
def test_what_is_no_frame_is_broken(data: bytes, told: str) -> None:
    (error,) = of(read_all(data), StreamError)
    assert told in error.message and error.kind == "corrupt_stream"


def test_a_frame_is_bounded_before_it_is_there() -> None:
    prelude = struct.pack(">II", MOST_PAYLOAD_BYTES + 200_000, 8)
    parser = EventStreamParser()
    assert parser.feed(prelude + struct.pack(">I", zlib.crc32(prelude))) == [] and parser.overflowed
    assert parser.feed(GOOD) == [] and parser.close() is None
    (error,) = read_all(prelude + struct.pack(">I", zlib.crc32(prelude)) + GOOD)
    assert error.kind == "stream_overflow"


def test_headers_of_other_types_are_skipped() -> None:
    others = b"\x01a\x00\x01b\x01\x01c\x02\x07\x01d\x03\x00\x07\x01e\x04" + bytes(4) + b"\x01f\x05" + bytes(8)
    others += b"\x01g\x06\x00\x02xy\x01h\x08" + bytes(8) + b"\x01i\x09" + bytes(16)
    named = text_header(":message-type", "event") + text_header(":event-type", "contentBlockDelta")
    data = frame(others + named, json.dumps(delta({"text": "Hi"})[1]).encode())
    assert [each.text for each in of(read_all(data), TextDelta)] == ["Hi"]


@pytest.mark.parametrize(
    ("name", "status"),
    [("throttlingException", None), ("modelStreamErrorException", None), ("internalServerException", None)],
)
def test_an_exception_is_an_error_by_its_name_and_ends_the_stream(name: str, status: int | None) -> None:
    payload = {"message": "It failed.", "originalStatusCode": 500}
    found = read_all(events(delta({"text": "Hi"})) + event(name, payload, kind="exception") + GOOD)
    assert found[-1] == StreamError("It failed.", kind=name, status=status) and not of(found, Ended)


def test_an_error_may_stand_in_headers_alone() -> None:
    headers = b"".join(
        text_header(name, value)
        for name, value in ((":message-type", "error"), (":error-code", "Boom"), (":error-message", "It broke."))
    )
    assert read_all(frame(headers, b"")) == [StreamError("It broke.", kind="Boom")]


def test_a_json_body_in_the_place_of_a_stream_is_an_error() -> None:
    (error,) = read_all(b'{"message": "The provided model identifier is invalid."}')
    assert error == StreamError("The provided model identifier is invalid.")


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_an_answer_that_the_model_spoiled_is_an_error(reason: str) -> None:
    found = read_all(events(delta({"text": "Hi"}), ("messageStop", {"stopReason": reason})))
    assert isinstance(found[-1], StreamError) and found[-1].kind == reason
    plain = {"output": {"message": {"content": [{"text": "Hi"}]}}, "stopReason": reason}
    with pytest.raises(ValueError, match=reason):
        BEDROCK.read_answer(json.dumps(plain).encode())


def test_unknown_events_are_counted_and_text_in_them_is_shown() -> None:
    odd = events(delta({"text": "Hi"}), ("novelty", {"text": " there"}), delta({"novelty": 1}), ("x", {}))
    odd += event("y", b"no json at all") + GOOD
    relay = bridge(OPENAI, BEDROCK, VOICE, CLAUDE, price)
    assert "Hi there" in hear_openai_stream(relayed(relay, [odd])).text
    assert relay.facts.unknown_events == 4 and relay.facts.ended


def test_half_an_emoji_between_two_deltas_is_kept() -> None:
    halves = [event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"%s"}}' % each)
              for each in (b"\\ud83d", b"\\ude00")]  # fmt: skip
    assert "".join(each.text for each in of(read_all(b"".join(halves)), TextDelta)) == "\ud83d\ude00"


def test_a_call_without_arguments_has_an_empty_object_and_encrypted_bytes_travel_sealed() -> None:
    start = ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}})
    found = read_all(events(start, ("contentBlockStop", {"contentBlockIndex": 0})))
    assert [each.fragment for each in of(found, ToolCallDelta)] == ["{}"]
    blob = base64.b64encode(b"\x00\xff").decode()
    (block,) = of(read_all(events(delta({"reasoningContent": {"redactedContent": blob}}))), RedactedBlock)
    assert block.data == f"aws-bedrock-v1:{blob}"


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (
            {"inputTokens": 10, "outputTokens": 5, "totalTokens": 115, "cacheReadInputTokens": 60, "cacheWriteInputTokens": 40},
            Usage(110, 5, cached_tokens=60, cache_write_5m_tokens=40),
        ),
        (
            {
                "inputTokens": 10, "outputTokens": 5, "totalTokens": 55, "cacheWriteInputTokens": 40,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 30}, {"ttl": "5m", "inputTokens": 10}, 7],
            },
            Usage(50, 5, cache_write_5m_tokens=10, cache_write_1h_tokens=30),
        ),
        (
            {"inputTokens": 100, "outputTokens": 5, "totalTokens": 105, "cacheReadInputTokens": 60},
            Usage(100, 5, cached_tokens=60),
        ),
        ({"inputTokens": -3, "outputTokens": 5}, Usage(0, 5)),
        ({"outputTokens": "5"}, None),
        (None, None),
    ],
)  # fmt: skip
def test_usage_is_read_by_the_providers_own_sum(counts: Any, usage: Usage | None) -> None:
    body = {"output": {"message": {"content": [{"text": "Hi"}]}}, "stopReason": "end_turn", "usage": counts}
    assert BEDROCK.read_answer(json.dumps(body).encode())[1].usage == usage
    found = of(read_all(events(("metadata", {"usage": counts}))), UsageReport)
    assert [each.usage for each in found] == ([usage] if usage else [])


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"output":{}}', b'{"output":{"message":{}}}', b'{"message":"no"}', b"\xff"]
)
def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError):
        BEDROCK.read_answer(body)
