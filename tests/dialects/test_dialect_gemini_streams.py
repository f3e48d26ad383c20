"""Corners of Gemini's answers: reasons, refusals, faults, sources, log probabilities, odd parts, cut streams, any bytes."""

import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, VOICE, hear_anthropic_stream, hear_openai_stream, price, relayed
from gemini_samples import GEMINI, NEW
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayz.core.chat import Opaque, RedactedThinking, Text, Thinking, ToolCall
from gatewayz.core.errors import ProviderTrouble
from gatewayz.core.stream import (
    AnnotationDelta,
    Ended,
    Finished,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Unknown,
    UsageReport,
)
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects import bridge
from gatewayz.dialects.base import Dialect
from gatewayz.dialects.signatures import seal

CLIENTS = pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])


def chunk(*parts: dict[str, Any], finish: Any = None, index: int = 0, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    if finish is not None:
        candidate["finishReason"] = finish
    candidate |= more.pop("candidate", {})
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r-7", **more}


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in chunks)


def events_of(body: bytes) -> list[StreamEvent]:
    reader = GEMINI.reader()
    return reader.feed(body) + reader.close()


def of_kind(events: list[StreamEvent], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"), ("BLOCKLIST", "content_filter"), ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"), ("MODEL_ARMOR", "content_filter"), ("IMAGE_SAFETY", "content_filter"),
        ("OTHER", "stop"), ("SOMETHING_NEW", "stop"), ("FINISH_REASON_UNSPECIFIED", "stop"),
    ],
)  # fmt: skip
def test_why_it_ended(native: str, finish: str) -> None:
    said = chunk({"text": "a"}, finish=native)
    answer, facts = GEMINI.read_answer(json.dumps(said).encode())
    assert (answer.choices[0].finish, answer.choices[0].native_finish) == (finish, native)
    assert facts.finish == finish
    assert of_kind(events_of(sse(said)), Finished) == [Finished(finish, 0, native)]
    called = chunk({"functionCall": {"name": "f"}}, finish=native)
    answer, _ = GEMINI.read_answer(json.dumps(called).encode())
    assert answer.choices[0].finish == ("tool_calls" if finish == "stop" else finish)


@pytest.mark.parametrize("native", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"])
def test_a_call_that_went_wrong_is_a_fault_of_the_provider(native: str) -> None:
    said = chunk({"text": "Let me call"}, finish=native)
    with pytest.raises(ValueError, match=native):
        GEMINI.read_answer(json.dumps(said).encode())
    events = events_of(sse(said, chunk({"text": "more"}, finish="STOP")))
    assert isinstance(events[-1], StreamError) and events[-1].kind == native.lower()
    assert not of_kind(events, Finished)


@CLIENTS
def test_a_prompt_that_was_blocked_is_told_as_filtered(client: Dialect) -> None:
    said = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}}
    answer, facts = GEMINI.read_answer(json.dumps(said).encode())
    assert (facts.finish, facts.native_finish, facts.empty) == ("content_filter", "PROHIBITED_CONTENT", True)
    assert facts.usage == Usage(9, 0)
    assert answer.choices[0].parts == ()
    relay = bridge(client, GEMINI, VOICE, NEW, price)
    shown = relayed(relay, [sse(said)])
    assert relay.facts.ended and not relay.facts.started
    found = hear_openai_stream(shown) if client is OPENAI else hear_anthropic_stream(shown)
    assert found.finish == ("content_filter" if client is OPENAI else "refusal")


def test_usage_counts_each_token_once() -> None:
    counts = {
        "promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 20, "thoughtsTokenCount": 7,
        "toolUsePromptTokenCount": 5, "totalTokenCount": 132,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 50}, {"modality": "AUDIO", "tokenCount": 50}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}],
    }  # fmt: skip
    _, facts = GEMINI.read_answer(json.dumps(chunk({"text": "a"}, finish="STOP", usageMetadata=counts)).encode())
    assert facts.usage == Usage(
        105, 27, cached_tokens=60, reasoning_tokens=7, audio_input_tokens=20, audio_output_tokens=4
    )
    reports = of_kind(
        events_of(
            sse(
                chunk({"text": "a"}, usageMetadata={"promptTokenCount": 100}),
                chunk({"text": "b"}, usageMetadata={"promptTokenCount": 100}),
                chunk(finish="STOP", usageMetadata=counts),
                {"usageMetadata": counts},
            )
        ),
        UsageReport,
    )
    assert [report.usage for report in reports] == [Usage(100), facts.usage]
    for silent in (None, {}, {"trafficType": "ON_DEMAND"}, {"promptTokenCount": "many"}):
        _, facts = GEMINI.read_answer(json.dumps(chunk({"text": "a"}, finish="STOP", usageMetadata=silent)).encode())
        assert facts.usage is None


def test_the_end_is_the_last_reason_and_only_if_there_is_one() -> None:
    body = sse(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, finish="MAX_TOKENS"))
    events = events_of(body)
    assert "".join(event.text for event in of_kind(events, TextDelta)) == "ab"
    assert of_kind(events, Finished) == [Finished("length", 0, "MAX_TOKENS")]
    assert isinstance(events[-1], Ended)
    cut = events_of(sse(chunk({"text": "a"})))
    assert not of_kind(cut, Ended) and not of_kind(cut, Finished), "a silent end is no end"
    assert not of_kind(events_of(b""), Ended)
    one_of_two = events_of(sse(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, index=1)))
    assert not of_kind(one_of_two, Ended)
    half = events_of(sse(chunk({"text": "a"})) + b'data: {"candidates":[{"conte')
    assert [type(event) for event in half] == [type(event) for event in cut]


def test_alternatives_stay_apart() -> None:
    body = sse(
        chunk({"text": "a"}), chunk({"text": "x"}, index=1), chunk({"text": "b"}, finish="STOP"),
        chunk({"functionCall": {"name": "f", "args": {}}}, index=1, finish="STOP"),
    )  # fmt: skip
    relay = bridge(OPENAI, GEMINI, VOICE, NEW, price)
    shown = relayed(relay, [body])
    first, second = hear_openai_stream(shown), hear_openai_stream(shown, 1)
    assert (first.text, first.finish, first.calls) == ("ab", "stop", [])
    assert (second.text, second.finish, second.inputs()) == ("x", "tool_calls", [("f", {})])


@pytest.mark.ac("AC-CC.13.1")
@CLIENTS
def test_parallel_calls_over_several_chunks(client: Dialect) -> None:
    body = sse(
        chunk({"text": "Hm", "thought": True}),
        chunk({"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "S"}),
        chunk({"functionCall": {"name": "f", "args": {"a": 2.5}, "id": "given"}}),
        chunk({"functionCall": {"name": "g"}}, {"text": ""}, finish="STOP"),
    )
    relay = bridge(client, GEMINI, VOICE, NEW, price)
    shown = relayed(relay, [body])
    found = hear_openai_stream(shown) if client is OPENAI else hear_anthropic_stream(shown)
    assert found.inputs() == [("f", {"a": 1}), ("f", {"a": 2.5}), ("g", {})]
    assert (found.reasoning, found.signatures, found.redacted) == ("Hm", seal("call0", "S"), [])
    ids = [event.id for event in of_kind(events_of(body), ToolCallStarted)]
    assert ids == ["call_r7_0", "given", "call_r7_2"]
    assert ids == [event.id for event in of_kind(events_of(body), ToolCallStarted)], "always the same"
    assert [event.fragment for event in of_kind(events_of(body), ToolCallDelta)] == ['{"a":1}', '{"a":2.5}', "{}"]


def test_places_of_signatures_in_a_plain_answer() -> None:
    said = chunk(
        {"text": "t1", "thought": True},
        {"text": "t2", "thought": True, "thoughtSignature": "A"},
        {"text": "x", "thoughtSignature": "B"},
        {"functionCall": {"name": "f", "args": {}}},
        {"functionCall": {"name": "g", "args": {}}, "thoughtSignature": "C"},
        {"thoughtSignature": "D"},
        finish="STOP",
    )
    answer, _ = GEMINI.read_answer(json.dumps(said).encode())
    kind = "google-gemini-v1"
    assert answer.choices[0].parts == (
        Thinking("t1t2", seal("thought", "A"), kind), Text("x"), RedactedThinking(seal("text", "B"), kind),
        ToolCall("call_r7_0", "f", "{}"), RedactedThinking(seal("call1", "C"), kind), ToolCall("call_r7_1", "g", "{}"),
        RedactedThinking(seal("end", "D"), kind),
    )  # fmt: skip


def test_a_signature_alone_is_no_content() -> None:
    said = chunk({"text": "", "thoughtSignature": "S"}, finish="STOP")
    assert GEMINI.read_answer(json.dumps(said).encode())[1].empty
    relay = bridge(OPENAI, GEMINI, VOICE, NEW, price)
    relayed(relay, [sse(said)])
    assert not relay.facts.started


def test_sources_are_told_in_characters() -> None:
    text = "Größe 12. Mehr."
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"retrievedContext": {"text": "no address"}}],
        "groundingSupports": [
            {"segment": {"endIndex": len("Größe 12.".encode())}, "groundingChunkIndices": [0, 1, 7]},
            {"segment": {"startIndex": len("Größe 12. ".encode()), "endIndex": 999}, "groundingChunkIndices": [0]},
        ],
    }
    cited = {"citationSources": [{"startIndex": 0, "endIndex": 3, "uri": "https://b"}]}
    said = chunk({"text": text}, finish="STOP", candidate={"groundingMetadata": grounding, "citationMetadata": cited})
    answer, _ = GEMINI.read_answer(json.dumps(said).encode())
    found = [each["url_citation"] for each in answer.choices[0].parts[0].annotations]  # type: ignore[union-attr]
    assert [(each["start_index"], each["end_index"], each["url"]) for each in found] == [
        (0, 9, "https://a"),
        (10, 15, "https://a"),
        (0, 2, "https://b"),
    ]
    streamed = of_kind(
        events_of(
            sse(
                chunk({"text": "Größe"}),
                chunk(
                    {"text": " 12. Mehr."},
                    finish="STOP",
                    candidate={"groundingMetadata": grounding, "citationMetadata": cited},
                ),
            )
        ),
        AnnotationDelta,
    )
    assert [event.annotation["url_citation"] for event in streamed] == found


def test_logprobs_in_the_form_of_openai() -> None:
    result = {
        "chosenCandidates": [
            {"token": "Hé", "tokenId": 1, "logProbability": -0.5},
            {"token": "y", "logProbability": -1},
        ],
        "topCandidates": [
            {"candidates": [{"token": "Hé", "logProbability": -0.5}, {"token": "Ho", "logProbability": -2}]}
        ],
    }
    said = chunk({"text": "Héy"}, finish="STOP", candidate={"logprobsResult": result})
    expected = {
        "content": [
            {
                "token": "Hé",
                "logprob": -0.5,
                "bytes": [72, 195, 169],
                "top_logprobs": [
                    {"token": "Hé", "logprob": -0.5, "bytes": [72, 195, 169]},
                    {"token": "Ho", "logprob": -2, "bytes": [72, 111]},
                ],
            },
            {"token": "y", "logprob": -1, "bytes": [121], "top_logprobs": []},
        ],
        "refusal": None,
    }
    answer, _ = GEMINI.read_answer(json.dumps(said).encode())
    assert answer.choices[0].logprobs == expected
    assert [event.logprobs for event in of_kind(events_of(sse(said)), TextDelta)] == [expected]


def test_parts_of_other_kinds_are_passed_on() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    code = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "S"}
    said = chunk({"text": "See"}, image, code, finish="STOP")
    answer, facts = GEMINI.read_answer(json.dumps(said).encode())
    assert [(part.kind, part.raw) for part in answer.choices[0].parts if isinstance(part, Opaque)] == [
        ("inlineData", image),
        ("executableCode", code),
    ]
    assert not facts.empty
    assert json.loads(OPENAI.write_answer(answer, VOICE, NOTHING, 0))["choices"][0]["message"]["gateway_raw"] == [
        image,
        code,
    ]
    relay = bridge(OPENAI, GEMINI, VOICE, NEW, price)
    shown = relayed(relay, [sse(said)])
    assert relay.facts.unknown_events == 2
    assert b'"gateway_raw":{"inlineData":{"mimeType":"image/png","data":"AAAA"}}' in shown


def test_trouble_inside_the_stream() -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    for body in (
        sse(chunk({"text": "a"}), error),
        sse(error),
        json.dumps([error]).encode(),
        json.dumps(error).encode(),
    ):
        found = of_kind(events_of(body), StreamError)
        assert [(each.status, each.kind, each.message) for each in found] == [
            (503, "UNAVAILABLE", "The model is overloaded.")
        ]
    strange = events_of(sse({"surprise": {"text": "hello"}}, chunk({"text": "a"}, finish="STOP")))
    assert [event.text for event in of_kind(strange, Unknown)] == [None] and isinstance(strange[-1], Ended)
    garbage = events_of(b"data: {nonsense\n\n" + sse(chunk({"text": "a"}, finish="STOP")))
    assert [event.raw for event in of_kind(garbage, Unknown)] == [b"{nonsense"] and isinstance(garbage[-1], Ended)
    huge = GEMINI.reader()
    assert [event.kind for event in huge.feed(b"data: " + b"x" * (33 * 2**20))] == ["stream_overflow"]
    assert huge.close() == []


NAMES = st.sampled_from(
    ["candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args", "id",
     "finishReason", "index", "usageMetadata", "promptTokenCount", "promptFeedback", "blockReason", "error", "code",
     "groundingMetadata", "groundingChunks", "groundingSupports", "segment", "groundingChunkIndices", "web", "uri",
     "logprobsResult", "chosenCandidates", "token", "citationMetadata", "citations", "inlineData", "responseId"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["STOP", "MAX_TOKENS", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "SAFETY", "", "x", "\ud83d"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**25) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)
CALL = st.fixed_dictionaries({}, optional={"name": VALUES, "args": VALUES, "id": VALUES})
PART = st.fixed_dictionaries(
    {},
    optional={
        "text": VALUES,
        "thought": st.booleans(),
        "thoughtSignature": VALUES,
        "functionCall": CALL,
        "inlineData": VALUES,
    },
)
CANDIDATE = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 1) | VALUES,
        "content": st.fixed_dictionaries({}, optional={"parts": st.lists(PART, max_size=3)}),
        "finishReason": WORDS | VALUES,
        "groundingMetadata": VALUES,
        "citationMetadata": VALUES,
        "logprobsResult": VALUES,
    },
)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(CANDIDATE, max_size=2),
        "usageMetadata": VALUES,
        "promptFeedback": VALUES,
        "responseId": VALUES,
        "error": VALUES,
    },
)
LINE = st.one_of(
    (BODY | VALUES).map(lambda value: b"data: " + json.dumps(value).encode() + b"\r\n\r\n"),
    st.sampled_from(
        [b"data: [DONE]\n\n", b": c\n\n", b"event: error\n", b"data:\n\n", b"\r\n", b"data: {\n\n", b"data: [1]\n\n"]
    ),
    st.binary(max_size=20),
)


@CLIENTS
@settings(max_examples=250, deadline=None)
@given(lines=st.lists(LINE, max_size=6), cut=st.integers(1, 30), array=st.booleans())
def test_no_stream_makes_a_relay_raise_and_no_cut_changes_it(
    client: Dialect, lines: list[bytes], cut: int, array: bool
) -> None:
    body = (b"[" if array else b"") + b"".join(lines)
    relay = bridge(client, GEMINI, VOICE, NEW, price)
    whole = relayed(relay, [body])
    other = bridge(client, GEMINI, VOICE, NEW, price)
    assert relayed(other, [body[i : i + cut] for i in range(0, len(body), cut)]) == whole
    assert relay.facts == other.facts
    relay.fail(ProviderTrouble("x"), "r")
    for line in whole.decode().split("\n"):
        if line.startswith("data: ") and line != "data: [DONE]":
            json.loads(line[6:])
    if client is ANTHROPIC:
        hear_anthropic_stream(whole)


@settings(max_examples=250, deadline=None)
@given(value=BODY | VALUES)
def test_no_answer_raises_anything_but_value_error(value: Any) -> None:
    body = json.dumps(value).encode()
    for variant in (
        body,
        body[:-1],
        b'{"candidates":[%s]}' % body,
        b'{"candidates":[{"content":{"parts":[%s]}}]}' % body,
    ):
        GEMINI.read_error(variant)
        try:
            answer, facts = GEMINI.read_answer(variant)
        except ValueError:
            continue
        for client in (OPENAI, ANTHROPIC):
            json.loads(client.write_answer(answer, VOICE, facts.usage or NOTHING, 1))
