"""Every recorded answer of the two dialects, read, forwarded and translated, against an independent reading."""

import json
from typing import Any

import pytest
from dialect_samples import (
    ANTHROPIC,
    OPENAI,
    TARGET,
    VOICE,
    Heard,
    Recording,
    hear_anthropic_answer,
    hear_anthropic_stream,
    hear_openai_answer,
    hear_openai_stream,
    price,
    recordings,
    relayed,
)
from msgspec.structs import replace

from gatewayz.core.errors import InvalidRequest
from gatewayz.core.stream import (
    Ended,
    Finished,
    RedactedBlock,
    RefusalDelta,
    SignatureDelta,
    StreamError,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReport,
)
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects import bridge
from gatewayz.dialects.base import Quirks

FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "pause",
}
TO_ANTHROPIC = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def hear_stream(recording: Recording) -> Heard:
    return hear_openai_stream(recording.body) if recording.dialect is OPENAI else hear_anthropic_stream(recording.body)


def hear_answer(recording: Recording) -> Heard:
    return hear_openai_answer(recording.body) if recording.dialect is OPENAI else hear_anthropic_answer(recording.body)


def expected_usage(recording: Recording, raw: dict[str, Any] | None) -> Usage | None:
    """The token counts of a raw usage object, by the provider's own documentation."""
    if not raw:
        return None
    if recording.dialect is OPENAI:
        prompt, completion = raw["prompt_tokens"], raw["completion_tokens"]
        reasoning = (raw.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
        details = raw.get("prompt_tokens_details") or {}
        if recording.name.startswith("xai/"):
            completion += reasoning
        elif recording.name.startswith("gemini/"):
            reasoning = raw["total_tokens"] - prompt - completion
            completion += reasoning
        elif raw.get("prompt_audio_seconds"):
            prompt += details["audio_tokens"]
        cached = details.get("cached_tokens") or raw.get("prompt_cache_hit_tokens") or raw.get("cached_tokens") or 0
        # A provider that counts reasoning with another tokenizer says that a part is more than the whole.
        reasoning = min(reasoning, completion)
        return Usage(prompt, completion, cached_tokens=min(cached, prompt), reasoning_tokens=reasoning)
    total = [0, 0, 0]
    apart = [one for one in raw.get("iterations") or [] if one["type"] != "message"]
    for part in [raw, *apart]:
        cached = part.get("cache_read_input_tokens") or 0
        fresh = part["input_tokens"] + (part.get("cache_creation_input_tokens") or 0)
        total = [total[0] + fresh + cached, total[1] + part["output_tokens"], total[2] + cached]
    thought = (raw.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return Usage(total[0], total[1], cached_tokens=total[2], reasoning_tokens=thought)


def main_counts(usage: Usage | None) -> tuple[int, ...] | None:
    if usage is None:
        return None
    return usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens


def collect(events: list[StreamEvent]) -> Heard:
    """Canonical events put together, choice 0."""
    heard = Heard()
    calls: dict[int, list[str]] = {}
    for event in events:
        if getattr(event, "index", 0) != 0:
            continue
        if isinstance(event, TextDelta):
            heard.text += event.text
        elif isinstance(event, ThinkingDelta):
            heard.reasoning += event.text
        elif isinstance(event, RefusalDelta):
            heard.refusal += event.text
        elif isinstance(event, SignatureDelta):
            heard.signatures += event.signature
        elif isinstance(event, RedactedBlock):
            heard.redacted.append(event.data)
        elif isinstance(event, ToolCallStarted):
            calls[event.block] = [event.name, ""]
        elif isinstance(event, ToolCallDelta):
            calls[event.block][1] += event.fragment
        elif isinstance(event, Finished):
            heard.finish = event.finish
        elif isinstance(event, UsageReport):
            heard.usage = {"usage": event.usage}
        elif isinstance(event, StreamError):
            heard.error = event
        elif isinstance(event, Ended):
            heard.done += 1
    heard.calls = [type("C", (), {"name": n, "arguments": a})() for n, a in calls.values()]
    return heard


def assert_same_content(found: Heard, expected: Heard) -> None:
    assert found.text == expected.text
    # Blocks of reasoning may be set apart by blank lines.
    assert "".join(found.reasoning.split()) == "".join(expected.reasoning.split())
    assert found.refusal == expected.refusal
    assert found.signatures == expected.signatures
    assert found.redacted == expected.redacted
    assert found.inputs() == expected.inputs()


def expected_finish(expected: Heard) -> str:
    finish = FINISH[expected.finish] if expected.finish else "stop"
    return "tool_calls" if expected.calls and finish == "stop" else finish


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_reader_hears_what_the_bytes_say(recording: Recording) -> None:
    reader = recording.dialect.reader()
    found = collect(reader.feed(recording.body) + reader.close())
    expected = hear_stream(recording)
    assert_same_content(found, expected)
    if expected.error is not None and expected.finish is None:
        assert found.error.message.startswith(expected.error["message"][:40])
        return
    assert found.finish == expected_finish(expected)
    assert found.done == 1
    usage = found.usage["usage"] if found.usage else None
    assert main_counts(usage) == main_counts(expected_usage(recording, expected.usage))


@pytest.mark.ac("AC-9.1.10")
@pytest.mark.parametrize("recording", recordings(stream=True))
def test_forwarded_stream_says_the_same_to_its_client(recording: Recording) -> None:
    relay = recording.dialect.forwarder(VOICE, TARGET, price)
    shown = relayed(relay, [recording.body])
    expected = hear_stream(recording)
    if relay.facts.error is not None:
        assert expected.error is not None
        assert expected.error["message"].encode()[:40] not in shown, "provider errors are not shown"
        return
    found = hear_openai_stream(shown) if recording.dialect is OPENAI else hear_anthropic_stream(shown)
    assert_same_content(found, expected)
    assert found.models == {VOICE.model}
    assert len(found.ids) == 1
    assert found.done == 1
    assert relay.facts.started and relay.facts.ended
    assert relay.facts.finish == FINISH[found.finish]
    assert relay.facts.native_finish is not None or expected.finish is None
    assert main_counts(relay.facts.usage) == main_counts(expected_usage(recording, expected.usage))
    assert found.usage["cost"] == price(relay.facts.usage or Usage(1, 1)) / 1e9
    if recording.dialect is OPENAI:
        assert shown.endswith(b"data: [DONE]\n\n")
        assert all(line.startswith(b"data: ") or not line for line in shown.split(b"\n"))


@pytest.mark.ac("AC-9.1.10")
@pytest.mark.parametrize("recording", recordings(stream=True))
def test_translated_stream_says_the_same_to_the_other_client(recording: Recording) -> None:
    client = ANTHROPIC if recording.dialect is OPENAI else OPENAI
    relay = bridge(client, recording.dialect, VOICE, TARGET, price)
    shown = relayed(relay, [recording.body])
    expected = hear_stream(recording)
    if relay.facts.error is not None:
        assert expected.error is not None
        return
    if client is ANTHROPIC:
        expected.text += expected.refusal  # Anthropic has no place of its own for it
        expected.refusal, refused = "", expected.refusal
        found = hear_anthropic_stream(shown)
        finish = expected_finish(expected)
        assert found.finish == ("refusal" if refused and finish == "stop" else TO_ANTHROPIC[finish])
    else:
        found = hear_openai_stream(shown)
        finish = expected_finish(expected)
        assert found.finish == ("stop" if finish == "pause" else finish)
        assert not expected.calls or all(call.arguments for call in found.calls), "arguments are never an empty string"
    assert_same_content(found, expected)
    assert (found.models, found.done) == ({VOICE.model}, 1)
    usage = expected_usage(recording, expected.usage) or Usage(1, 1)
    assert found.usage["cost"] == price(usage) / 1e9
    if client is OPENAI:
        assert (found.usage["prompt_tokens"], found.usage["completion_tokens"]) == main_counts(usage)[:2]
    else:
        cached = found.usage["cache_read_input_tokens"] + found.usage["cache_creation_input_tokens"]
        assert found.usage["input_tokens"] + cached == usage.prompt_tokens
        assert found.usage["output_tokens"] == usage.completion_tokens


@pytest.mark.parametrize("recording", recordings(stream=False))
def test_plain_answers_are_read_forwarded_and_translated(recording: Recording) -> None:
    expected = hear_answer(recording)
    answer, facts = recording.dialect.read_answer(recording.body)
    # A client of the same dialect knows every part: only a translated answer may hold one that is not.
    known = replace(facts, unknown_events=0, unknown_excerpt=None)
    assert known == recording.dialect.glance_answer(recording.body)
    assert facts.native_finish is not None or not expected.finish
    assert main_counts(facts.usage) == main_counts(expected_usage(recording, expected.usage))
    filtered = facts.finish == "content_filter"
    assert facts.empty == (not (expected.text or expected.reasoning or expected.refusal or expected.calls) or filtered)
    usage = facts.usage or NOTHING
    forwarded = recording.dialect.forward_answer(recording.body, VOICE, usage, price(usage), Quirks())
    hear = hear_openai_answer if recording.dialect is OPENAI else hear_anthropic_answer
    same = hear(forwarded)
    assert_same_content(same, expected)
    assert same.models == {VOICE.model}
    assert same.usage["cost"] == price(usage) / 1e9
    as_openai = hear_openai_answer(OPENAI.write_answer(answer, VOICE, usage, price(usage)))
    as_anthropic = hear_anthropic_answer(ANTHROPIC.write_answer(answer, VOICE, usage, price(usage)))
    assert_same_content(as_openai, expected)
    expected.text += expected.refusal
    expected.refusal = ""
    assert_same_content(as_anthropic, expected)
    assert as_openai.usage["cost"] == as_anthropic.usage["cost"] == price(usage) / 1e9


@pytest.mark.parametrize("recording", recordings(ok=False))
def test_recorded_errors_are_understood(recording: Recording) -> None:
    error = recording.dialect.read_error(recording.body)
    assert len(error.message) > 10
    assert not error.message.startswith("{")


@pytest.mark.parametrize("recording", recordings(ok=None))
def test_recorded_requests_survive_a_glance_and_both_translations(recording: Recording) -> None:
    """What the recorders asked for can be read, forwarded and said in the other dialect, or is refused by name."""
    body = {"model": "org/model", **recording.request}
    if recording.dialect is ANTHROPIC:
        body.setdefault("max_tokens", 100)
    try:
        glance = recording.dialect.glance(json.dumps(body).encode())
    except InvalidRequest as error:
        pytest.fail(f"refused: {error.message}")
    forwarded = json.loads(recording.dialect.forward_request(glance, TARGET))
    assert forwarded["messages"] == body["messages"] or "developer" in str(body["messages"])
    request = recording.dialect.read_request(glance)
    other = ANTHROPIC if recording.dialect is OPENAI else OPENAI
    try:
        written = json.loads(other.write_request(request, TARGET))
    except InvalidRequest as error:
        assert error.param
    else:
        other.glance(json.dumps(written).encode())
