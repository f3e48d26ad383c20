"""Answers and streams there and back: any of them means the same after each client's dialect, and usage adds up."""

import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, CHAT_PROVIDERS, OPENAI, RESPONSES, VOICE, price
from hypothesis import given, settings
from hypothesis import strategies as st
from meanings import of_answer, of_events

from gatewayz.core.chat import ChatAnswer, Choice, Part, RedactedThinking, Refusal, Text, Thinking, ToolCall
from gatewayz.core.stream import (
    BlockClosed,
    Ended,
    Finished,
    RedactedBlock,
    RefusalDelta,
    SignatureDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReport,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects.anthropic.wire import UsageSoFar
from gatewayz.dialects.base import Dialect
from gatewayz.dialects.gemini.wire import usage_of as gemini_usage
from gatewayz.dialects.openai_chat.wire import usage_of as openai_usage
from tests.aws_frames import delta, events

CLIENTS = pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(WORDS, st.none() | st.booleans() | st.integers(-(2**60), 2**60) | WORDS, max_size=3).map(
    json.dumps
)
FINISHES = st.sampled_from(["stop", "length", "content_filter"])


@st.composite
def usages(draw: Any) -> Usage:
    """Counts in which every part fits into its whole."""
    cached, five, hour, audio, rest = (draw(st.integers(0, 1_000)) for _ in range(5))
    reasoning, spoken, written = (draw(st.integers(0, 1_000)) for _ in range(3))
    return Usage(
        1 + cached + five + hour + audio + rest,
        1 + reasoning + spoken + written,
        cached,
        five,
        hour,
        reasoning,
        audio,
        spoken,
    )


@st.composite
def answers(draw: Any) -> ChatAnswer:
    """One choice with parts in the order in which models give them."""
    parts: list[Part] = draw(
        st.lists(st.builds(Thinking, WORDS, WORDS) | st.builds(RedactedThinking, WORDS), max_size=2)
    )
    parts += draw(st.lists(st.builds(Text, WORDS), max_size=2))
    parts += draw(st.lists(st.builds(Refusal, WORDS), max_size=1))
    names = draw(st.lists(WORDS, max_size=3))
    parts += [ToolCall(f"call_{number}", name, draw(ARGUMENTS)) for number, name in enumerate(names)]
    finish = "tool_calls" if names else draw(FINISHES)
    return ChatAnswer("id", "m", 0, (Choice(tuple(parts), finish),), draw(usages()))


@CLIENTS
@settings(max_examples=150, deadline=None)
@given(answer=answers())
def test_any_answer_means_the_same_after_a_dialect(client: Dialect, answer: ChatAnswer) -> None:
    usage = answer.usage or Usage()
    again, facts = client.read_answer(client.write_answer(answer, VOICE, usage, price(usage)))
    expected, found = of_answer(answer), of_answer(again)
    assert facts.usage is not None and facts.usage.total_tokens == usage.total_tokens
    expected.usage = found.usage = None
    if client is ANTHROPIC:
        assert found == expected.shown_to_anthropic()
    else:
        assert found.shown_to_openai() == expected.shown_to_openai()


@st.composite
def streams(draw: Any) -> list[StreamEvent]:
    """Blocks one after the other, except that the fragments of neighbouring calls may come mixed."""
    events: list[StreamEvent] = [Started("id", "m", 0)]
    block = 0
    for kind in draw(st.lists(st.sampled_from(["thinking", "redacted", "text", "refusal"]), max_size=4)):
        pieces = draw(st.lists(WORDS, min_size=1, max_size=3))
        if kind == "text":
            events += [TextDelta(piece, 0, block) for piece in pieces]
        elif kind == "refusal":
            events += [RefusalDelta(piece, 0, block) for piece in pieces]
        elif kind == "redacted":
            events.append(RedactedBlock(pieces[0], 0, block))
        else:
            events += [ThinkingDelta(piece, 0, block) for piece in pieces]
            events += [SignatureDelta(piece, 0, block) for piece in draw(st.lists(WORDS, max_size=2))]
        if draw(st.booleans()) and kind != "redacted":
            events.append(BlockClosed(0, block))
        block += 1
    calls = [draw(ARGUMENTS) for _ in range(draw(st.integers(0, 3)))]
    pieces_of = [[text[at : at + 3] for at in range(0, len(text), 3)] for text in calls]
    mixed = [number for number, pieces in enumerate(pieces_of) for _ in pieces]
    if draw(st.booleans()):
        mixed = draw(st.permutations(mixed))
    opened: set[int] = set()
    for number in mixed:
        if number not in opened:
            opened.add(number)
            events.append(ToolCallStarted(f"call_{number}", f"f{number}", 0, block + number))
        events.append(ToolCallDelta(pieces_of[number].pop(0), 0, block + number))
    if draw(st.booleans()):
        events += [BlockClosed(0, block + number) for number in range(len(calls))]
    finish = "tool_calls" if calls else draw(FINISHES)
    return [*events, Finished(finish), UsageReport(draw(usages())), Ended()]


@CLIENTS
@settings(max_examples=200, deadline=None)
@given(events=streams())
def test_any_stream_means_the_same_after_a_dialect(client: Dialect, events: list[StreamEvent]) -> None:
    writer = client.writer(VOICE, price)
    usage = next(event.usage for event in events if isinstance(event, UsageReport))
    shown = b"".join(writer.write(event) for event in events) + writer.finish(usage, price(usage))
    reader = client.reader()
    expected, found = of_events(events), of_events(reader.feed(shown) + reader.close())
    assert found.usage is not None and found.usage.total_tokens == usage.total_tokens
    expected.usage = found.usage = None
    for meaning in (expected, found):
        meaning.calls.sort(key=lambda call: call[0])
        # A run of blocks of thinking that nobody closed is one block to an OpenAI client: signatures are joined then.
        meaning.signatures = ["".join(meaning.signatures)]
    if client is ANTHROPIC:
        expected.shown_to_anthropic()
        found.text, expected.text = "".join(sorted(found.text)), "".join(sorted(expected.text))
    else:
        found.shown_to_openai()
    assert found == expected


COUNTS = (
    st.none() | st.booleans() | st.integers(-5, 2_000) | st.floats() | st.text(max_size=2) | st.integers(2**39, 2**80)
)
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(
        ["cached_tokens", "audio_tokens", "cache_write_tokens", "cache_creation_tokens", "reasoning_tokens"]
    ),
    COUNTS,
)
OPENAI_NAMES = [
    *("prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "cached_tokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_tokens", "citation_tokens"),
]
ANTHROPIC_NAMES = [
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    *("ephemeral_1h_input_tokens", "ephemeral_5m_input_tokens", "thinking_tokens"),
]
GEMINI_NAMES = [
    *("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount"),
    *("toolUsePromptTokenCount", "totalTokenCount"),
]
MODALITIES = st.lists(
    st.fixed_dictionaries({"modality": st.sampled_from(["AUDIO", "TEXT"]), "tokenCount": COUNTS}), max_size=2
)


def assert_each_token_is_counted_once(usage: Usage | None) -> None:
    if usage is None:
        return
    counts = [getattr(usage, name) for name in Usage.__slots__ if name != "estimated"]
    assert all(type(count) is int and count >= 0 for count in counts)
    parts_in = usage.cached_tokens + usage.cache_write_tokens + usage.audio_input_tokens
    assert parts_in <= usage.prompt_tokens
    assert usage.reasoning_tokens + usage.audio_output_tokens <= usage.completion_tokens


@settings(max_examples=300, deadline=None)
@given(
    flat=st.dictionaries(st.sampled_from(OPENAI_NAMES), COUNTS),
    prompt=DETAILS,
    completion=DETAILS,
)
def test_openai_counts_fit_into_each_other(flat: dict[str, Any], prompt: Any, completion: Any) -> None:
    raw = {**flat, "prompt_tokens_details": prompt, "completion_tokens_details": completion}
    assert_each_token_is_counted_once(openai_usage(raw))
    assert_each_token_is_counted_once(openai_usage(None, {"usage": raw}))


@settings(max_examples=300, deadline=None)
@given(
    reports=st.lists(
        st.dictionaries(st.sampled_from(ANTHROPIC_NAMES), COUNTS).flatmap(
            lambda flat: st.fixed_dictionaries(
                {name: st.just(value) for name, value in flat.items()},
                optional={
                    "cache_creation": st.just(flat) | COUNTS,
                    "output_tokens_details": st.just(flat) | COUNTS,
                    "iterations": st.lists(st.just({"type": "compaction", **flat}), max_size=2) | COUNTS,
                },
            )
        ),
        max_size=3,
    )
)
def test_anthropic_counts_fit_into_each_other(reports: list[Any]) -> None:
    usage = UsageSoFar()
    for report in reports:
        assert_each_token_is_counted_once(usage.add(report))
    last = usage.usage()
    assert usage.add({}) == last and usage.add(None) == last, "a report that says nothing changes nothing"


@settings(max_examples=300, deadline=None)
@given(flat=st.dictionaries(st.sampled_from(GEMINI_NAMES), COUNTS), prompt=MODALITIES, cache=MODALITIES, out=MODALITIES)
def test_gemini_counts_fit_into_each_other(flat: dict[str, Any], prompt: Any, cache: Any, out: Any) -> None:
    details = {"promptTokensDetails": prompt, "cacheTokensDetails": cache, "candidatesTokensDetails": out}
    assert_each_token_is_counted_once(gemini_usage({**flat, **details}))


@pytest.mark.parametrize("provider", CHAT_PROVIDERS.values(), ids=CHAT_PROVIDERS)
def test_usage_that_is_repeated_is_replaced_and_never_summed(provider: Any) -> None:
    """xAI and Perplexity tell the usage so far with every chunk, Gemini too; Anthropic and others at the start and end."""
    chunks: list[dict[str, Any]]
    if provider is OPENAI:
        chunks = [
            {
                "id": "c",
                "choices": [{"index": 0, "delta": {"content": "x"}}],
                "usage": {"prompt_tokens": 9, "completion_tokens": n},
            }
            for n in (1, 2, 3)
        ]
        chunks.append({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    elif provider is ANTHROPIC:
        told = {"input_tokens": 9, "output_tokens": 1}
        chunks = [
            {"type": "message_start", "message": {"id": "m", "usage": told}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "x"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"input_tokens": 9, "output_tokens": 3},
            },
            {"type": "message_stop"},
        ]
    elif provider.name == "bedrock":
        counts = [{"usage": {"inputTokens": 9, "outputTokens": n}} for n in (1, 2, 3)]
        told_so_far = [("metadata", each) for each in counts]
        body = events(delta({"text": "x"}), *told_so_far, ("messageStop", {"stopReason": "end_turn"}))
        reader = provider.reader()
        found = of_events(reader.feed(body) + reader.close())
        assert (found.usage, found.ended) == (Usage(9, 3), 1)
        return
    elif provider.name == "cohere":
        counted = {"input_tokens": 9, "output_tokens": 3}
        end = {
            "finish_reason": "COMPLETE",
            "usage": {"billed_units": counted, "tokens": {**counted, "input_tokens": 500}},
        }
        chunks = [
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "x"}}}},
            *({"type": "message-end", "delta": end} for _ in range(2)),
        ]
    elif provider is RESPONSES:
        frame = {"id": "resp_1", "object": "response", "output": []}
        chunks = [{"type": "response.created", "response": {**frame, "status": "in_progress", "usage": None}}]
        for kind, count in (("in_progress", 1), ("in_progress", 2), ("completed", 3)):
            told = {"input_tokens": 9, "output_tokens": count}
            chunks.append({"type": f"response.{kind}", "response": {**frame, "status": kind, "usage": told}})
        place = {"output_index": 0, "content_index": 0}
        chunks.insert(2, {"type": "response.output_text.delta", **place, "delta": "x"})
    else:
        chunks = [
            {
                "candidates": [{"content": {"parts": [{"text": "x"}]}}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": n},
            }
            for n in (1, 2, 3)
        ]
        chunks.append({"candidates": [{"finishReason": "STOP"}]})
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    reader = provider.reader()
    found = of_events(reader.feed(body) + reader.close())
    assert (found.usage, found.ended) == (Usage(9, 3), 1)
