"""The Responses dialect over all recordings and all bytes: read, forwarded, written; any split gives the same."""

import json
from itertools import pairwise
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, price, relayed
from dialect_samples import VOICE as CHAT_VOICE
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from responses_samples import TARGET, Recorded, collected, counts, item_secrets, last_response, recorded, said_by, voice

from gatewayz.core.errors import ProviderTrouble
from gatewayz.core.stream import (
    AnnotationDelta,
    BlockClosed,
    Ended,
    Finished,
    RedactedBlock,
    RefusalDelta,
    SignatureDelta,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReport,
)
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects import GEMINI, bridge
from gatewayz.dialects import OPENAI_RESPONSES as RESPONSES
from gatewayz.dialects.base import Dialect, Quirks
from gatewayz.dialects.signatures import open_openai

SECRET = "openai-responses-v1:acme:"


def pieces_of(body: bytes, step: int) -> list[bytes]:
    return [body[start : start + step] for start in range(0, len(body), step)]


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """The events of a written stream; fails on anything else in it and on a gap in the numbers."""
    assert stream.endswith(b"\n\n")
    found = []
    for block in stream[:-2].split(b"\n\n"):
        name, data = block.split(b"\ndata: ", 1)
        event = json.loads(data)
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    return found


@pytest.mark.parametrize("sample", recorded(stream=False))
def test_a_recorded_answer_is_read_as_it_says(sample: Recorded) -> None:
    raw = json.loads(sample.body)
    answer, facts = RESPONSES.read_answer(sample.body)
    # Parts of unknown kinds are counted where the answer is read, not where it is forwarded.
    assert structs.replace(facts, unknown_events=0, unknown_excerpt=None) == RESPONSES.glance_answer(sample.body)
    others = [item for item in raw["output"] if item["type"] not in ("message", "reasoning", "function_call")]
    assert facts.unknown_events == len(others)
    assert facts.usage == counts(raw) and facts.upstream_id == raw["id"] and not facts.empty
    said = said_by(raw)
    assert facts.finish == said.finish
    asked = voice(reasoning={"summary": "auto"})
    told = said_by(json.loads(RESPONSES.write_answer(answer, asked, facts.usage or NOTHING, 5)))
    assert (told.text, told.refusal, told.calls, told.finish) == (said.text, said.refusal, said.calls, said.finish)
    assert told.reasoning == said.reasoning
    assert [open_openai(secret) for secret in told.secrets] == [("", secret) for secret in said.secrets]


@pytest.mark.parametrize("sample", recorded(stream=False))
def test_a_recorded_answer_is_forwarded_with_its_members(sample: Recorded) -> None:
    raw = json.loads(sample.body)
    told = json.loads(RESPONSES.forward_answer(sample.body, voice(), counts(raw), 7_000_000, Quirks(), "acme"))
    assert (told["id"], told["model"], told["store"], told["previous_response_id"]) == (
        "resp_1",
        "shown-model",
        True,
        None,
    )
    assert told["usage"]["cost"] == 0.007 and not told["usage"].keys() & {"is_byok", "cost_details"}
    kept = raw.keys() - {"id", "model", "store", "previous_response_id", "usage", "output"}
    assert {name: told[name] for name in kept} == {name: raw[name] for name in kept}
    assert said_by(told).secrets == [SECRET + secret for secret in said_by(raw).secrets]
    for ours, theirs in zip(told["output"], raw["output"], strict=True):
        ours.pop("encrypted_content", None), theirs.pop("encrypted_content", None)
        assert ours == theirs


@pytest.mark.parametrize("sample", recorded(stream=True))
def test_a_recorded_stream_is_read_and_forwarded_as_it_says(sample: Recorded) -> None:
    raw = last_response(sample.body)
    said, usage = said_by(raw), counts(raw)
    shown: set[bytes] = set()
    read: list[list[StreamEvent]] = []
    for step in (len(sample.body), 1, 7, 1000) if len(sample.body) < 50_000 else (len(sample.body), 700):
        pieces = pieces_of(sample.body, step)
        relay = RESPONSES.forwarder(voice(), TARGET, price)
        shown.add(relayed(relay, pieces))
        assert relay.facts.ended and relay.facts.started and relay.facts.error is None
        assert (relay.facts.usage, relay.facts.finish) == (usage, said.finish)
        reader = RESPONSES.reader()
        read.append([one for piece in pieces for one in reader.feed(piece)] + reader.close())
    assert len(shown) == 1 and all(found == read[0] for found in read)
    heard = collected(read[0])
    assert (heard.text, heard.refusal, heard.reasoning) == (said.text, said.refusal, said.reasoning)
    assert (heard.calls, heard.finish) == (said.calls, said.finish)
    assert [open_openai(secret) for secret in heard.secrets] == [("", secret) for secret in item_secrets(sample.body)]
    assert UsageReport(usage) in read[0] and isinstance(read[0][-1], Ended)
    told = events_of(shown.pop())
    theirs = [json.loads(line[6:]) for line in sample.body.split(b"\n") if line.startswith(b"data: {")]
    assert [each["type"] for each in told] == [each["type"] for each in theirs]
    assert [each["sequence_number"] for each in told] == [each["sequence_number"] for each in theirs]
    assert {each["response"]["id"] for each in told if "response" in each} == {"resp_1"}
    assert [each for each in told if "delta" in each] == [each for each in theirs if "delta" in each]
    assert said_by(told[-1]["response"]).secrets == [SECRET + secret for secret in said.secrets]


@pytest.mark.parametrize("sample", recorded(stream=True))
@pytest.mark.parametrize("client", [RESPONSES, OPENAI, ANTHROPIC], ids=lambda client: client.name)
def test_a_recorded_stream_is_translated(sample: Recorded, client: Dialect) -> None:
    """Also into itself: reader and writer are inverses."""
    said = said_by(last_response(sample.body))
    asked = voice(reasoning={"summary": "auto"}) if client is RESPONSES else CHAT_VOICE
    outs = set()
    for step in (len(sample.body), 333):
        reader, writer = RESPONSES.reader(), client.writer(asked, price)
        events = [one for piece in pieces_of(sample.body, step) for one in reader.feed(piece)] + reader.close()
        outs.add(b"".join(writer.write(event) for event in events) + writer.finish(Usage(1, 1), 0))
    (out,) = outs
    if client is RESPONSES:
        told = events_of(out)
        assert [each["sequence_number"] for each in told] == list(range(len(told)))
        again = said_by(told[-1]["response"])
        assert (again.text, again.refusal, again.reasoning) == (said.text, said.refusal, said.reasoning)
        assert (again.calls, again.finish) == (said.calls, said.finish)
    else:
        for _, name, _ in said.calls:
            assert json.dumps(name).encode() in out
        # The first and last piece of the text are there; how it was cut is the provider's choice.
        deltas = [event.text for event in events if isinstance(event, TextDelta)]
        for text in deltas[:1] + deltas[-1:]:
            assert json.dumps(text, ensure_ascii=False).encode() in out


@pytest.mark.parametrize("sample", [*recorded(stream=False, ok=False)])
def test_a_recorded_error_is_read(sample: Recorded) -> None:
    error = RESPONSES.read_error(sample.body)
    assert error.message and (error.code or error.kind)
    with pytest.raises(ValueError, match="not a response"):
        RESPONSES.read_answer(sample.body)


# --- all bytes

NAMES = st.sampled_from(
    [
        "type",
        "response",
        "item",
        "delta",
        "output_index",
        "content_index",
        "summary_index",
        "sequence_number",
        "id",
        "status",
        "output",
        "usage",
        "error",
        "content",
        "summary",
        "text",
        "name",
        "call_id",
        "arguments",
        "input",
        "encrypted_content",
        "model",
        "input_tokens",
        "output_tokens",
        "annotation",
        "incomplete_details",
        "reason",
        "object",
    ]
)
KINDS = st.sampled_from(
    [
        "response.created", "response.in_progress", "response.queued", "response.completed", "response.incomplete",
        "response.failed", "response.output_item.added", "response.output_item.done", "response.output_text.delta",
        "response.refusal.delta", "response.reasoning_text.delta", "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta", "response.custom_tool_call_input.delta", "response.new.kind",
        "response.output_text.annotation.added", "error", "keepalive", "other", "",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    ["", "x", "message", "reasoning", "function_call", "custom_tool_call", "response", "\ud83d", "é"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**25) | st.floats(allow_nan=False) | WORDS | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
EVENT = st.fixed_dictionaries(
    {"type": KINDS},
    optional=dict.fromkeys(("response", "item", "delta", "output_index", "content_index", "error", "part"), VALUES),
)
LINE = st.one_of(
    (EVENT | VALUES).map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    st.sampled_from([b"data: [DONE]\n\n", b": c\n\n", b"event: error\n", b"data:\n\n", b"\r\n", b"data: {\n\n"]),
    st.binary(max_size=20),
)


@pytest.mark.parametrize("client", [RESPONSES, OPENAI, ANTHROPIC], ids=lambda client: client.name)
@settings(max_examples=200, deadline=None)
@given(lines=st.lists(LINE, max_size=8), cut=st.integers(1, 30))
def test_no_bytes_make_a_relay_raise_and_no_cut_changes_it(client: Dialect, lines: list[bytes], cut: int) -> None:
    body = b"".join(lines)
    shown = []
    facts = []
    for step in (len(body) or 1, cut):
        relay = bridge(client, RESPONSES, voice() if client is RESPONSES else CHAT_VOICE, TARGET, price)
        out = relayed(relay, pieces_of(body, step), finish=False)
        if relay.facts.ended and relay.facts.error is None:
            out += relay.finish(relay.facts.usage or NOTHING, 1)
        else:
            out += relay.fail(ProviderTrouble("broke off"), "req-1")
        shown.append(out)
        facts.append(relay.facts)
    assert shown[0] == shown[1] and facts[0] == facts[1]


@settings(max_examples=200, deadline=None)
@given(value=VALUES | st.fixed_dictionaries({"status": st.just("completed"), "output": st.lists(VALUES, max_size=3)}))
def test_a_plain_answer_is_read_or_refused_with_value_error(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        answer, facts = RESPONSES.read_answer(body)
    except ValueError:
        return
    RESPONSES.write_answer(answer, voice(), facts.usage or NOTHING, 1)
    RESPONSES.forward_answer(body, voice(), facts.usage or NOTHING, 1, Quirks(), "acme")


BLOCK = st.integers(0, 3)
DELTA: Any = st.one_of(
    st.builds(TextDelta, st.text(max_size=4), block=BLOCK),
    st.builds(RefusalDelta, st.text(min_size=1, max_size=4), block=BLOCK),
    st.builds(ThinkingDelta, st.text(max_size=4), block=BLOCK),
    st.builds(SignatureDelta, st.text(min_size=1, max_size=4), block=BLOCK),
    st.builds(RedactedBlock, st.text(min_size=1, max_size=4), block=BLOCK),
    st.builds(ToolCallStarted, st.just("c"), st.sampled_from(["f", "free"]), block=st.integers(4, 6)),
    st.builds(ToolCallDelta, st.text(max_size=4), block=st.integers(4, 6)),
    st.builds(AnnotationDelta, st.just({"type": "url_citation", "url": "u"}), st.just("openai"), block=BLOCK),
    st.builds(BlockClosed, block=st.integers(0, 6)),
)


@settings(max_examples=400, deadline=None)
@given(deltas=st.lists(DELTA, max_size=14), summary=st.booleans(), fails=st.booleans())
def test_whatever_is_written_keeps_the_order_of_the_api(deltas: list[StreamEvent], summary: bool, fails: bool) -> None:
    reasoning = {"summary": "auto"} if summary else None
    writer = RESPONSES.writer(voice(tools=[{"type": "custom", "name": "free"}], reasoning=reasoning), price)
    opened: set[int] = set()
    out = b""
    for event in [Started("x", "m", 0), *deltas]:
        if isinstance(event, ToolCallStarted):
            if event.block in opened:
                continue
            opened.add(event.block)
        out += writer.write(event)
    if fails:
        out += writer.fail(ProviderTrouble("broke off"), "req-1")
    else:
        out += writer.write(Finished("stop")) + writer.finish(Usage(1, 1), 1)
    told = events_of(out)
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    assert [each["type"] for each in told[:2]] == ["response.created", "response.in_progress"]
    live: dict[int, dict[str, Any]] = {}
    done: dict[int, dict[str, Any]] = {}
    for each in told[2:]:
        kind, place = each["type"], each.get("output_index")
        if kind == "response.output_item.added":
            assert place == len(live) + len(done)
            live[place] = each["item"]
        elif kind == "response.output_item.done":
            assert live.pop(place)["id"] == each["item"]["id"]
            done[place] = each["item"]
        elif place is not None:
            assert live[place]["id"] == each["item_id"]
    for opening, closing in pairwise(each for each in told if each["type"].startswith("response.content_part")):
        if opening["type"].endswith("added"):
            assert closing["type"].endswith("done") and closing["item_id"] == opening["item_id"]
    if fails:
        assert [each["type"] for each in told[-2:]] == ["error", "response.failed"]
    else:
        assert not live and told[-1]["type"] == "response.completed"
        assert told[-1]["response"]["output"] == [done[place] for place in sorted(done)]


def test_a_plain_answer_in_the_place_of_a_stream_is_an_error() -> None:
    body = json.dumps({"id": "r", "object": "response", "status": "completed", "output": []}).encode()
    relay = RESPONSES.forwarder(voice(), TARGET, price)
    assert relayed(relay, [body]) == b"" and relay.facts.error is not None
    reader = RESPONSES.reader()
    assert isinstance((reader.feed(body) + reader.close())[-1], StreamError)


def test_gemini_is_no_stranger_to_the_writer() -> None:
    body = b'data: {"candidates":[{"content":{"parts":[{"text":"Hi","thoughtSignature":"SIG"}]},"finishReason":"STOP"}]}\n\n'
    relay = bridge(RESPONSES, GEMINI, voice(), TARGET, price)
    told = events_of(relayed(relay, [body]))
    secrets = said_by(told[-1]["response"]).secrets
    assert secrets == ["gatewayz-v1:hidden:google-gemini-v1:google-gemini-v1:text:SIG"]
