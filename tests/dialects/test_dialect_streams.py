"""Translated streams: what the writers give to the byte, what the readers make of odd providers."""

import json
from typing import Any

import pytest
from dialect_samples import (
    ANTHROPIC,
    OPENAI,
    QUIET,
    TARGET,
    VOICE,
    hear_anthropic_stream,
    hear_openai_stream,
    payloads,
    price,
)

from gatewayz.core.errors import ProviderTrouble, TimedOut
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
    Unknown,
    UsageReport,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import bridge
from gatewayz.dialects.base import Voice

USAGE = Usage(100, 20, cached_tokens=60, cache_write_5m_tokens=10)
COST = 4_200_000
OPENAI_HEAD = '{"id":"x1","object":"chat.completion.chunk","created":1700000000,"model":"org/model","choices":'
WHOLE_ANSWER: list[StreamEvent] = [
    Started("x1", "native", 5, Usage(100, 1, cached_tokens=60)),
    ThinkingDelta("h", block=0),
    ThinkingDelta("m", block=0),
    SignatureDelta("sig", block=0),
    BlockClosed(block=0),
    RedactedBlock("xyz", block=1),
    TextDelta("Hi", block=2),
    AnnotationDelta({"type": "url_citation", "url_citation": {"url": "https://x", "title": "X"}}, "openai", block=2),
    BlockClosed(block=2),
    ToolCallStarted("t1", "f", block=3),
    ToolCallDelta('{"x":', block=3),
    ToolCallDelta("1}", block=3),
    BlockClosed(block=3),
    ToolCallStarted("t2", "g", block=4),
    BlockClosed(block=4),
    UsageReport(USAGE),
    Finished("tool_calls", 0, "tool_use"),
    Ended(),
]


def openai(events: list[StreamEvent], voice: Voice = VOICE, finish: bool = True) -> str:
    writer = OPENAI.writer(voice, price)
    out = b"".join(writer.write(event) for event in events)
    return (out + (writer.finish(USAGE, COST) if finish else b"")).decode()


def anthropic(events: list[StreamEvent], finish: bool = True) -> str:
    writer = ANTHROPIC.writer(VOICE, price)
    out = b"".join(writer.write(event) for event in events)
    return (out + (writer.finish(USAGE, COST) if finish else b"")).decode()


def choice(delta: str, finish: str = "null") -> str:
    return f'data: {OPENAI_HEAD}[{{"index":0,"delta":{delta},"finish_reason":{finish}}}],"usage":null}}\n\n'


def event(name: str, rest: str) -> str:
    return f'event: {name}\ndata: {{"type":"{name}"{rest}}}\n\n'


# ---- writers, to the byte


@pytest.mark.ac("AC-9.1.2", "AC-9.1.4")
def test_a_whole_answer_for_an_openai_client() -> None:
    finish = '"finish_reason":"tool_calls","native_finish_reason":"tool_use"'
    ending = f'{OPENAI_HEAD}[{{"index":0,"delta":{{}},{finish}}}],"usage":null}}'
    usage = (
        '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,'
        '"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10,"audio_tokens":0},'
        '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0},"cost":0.0042}'
    )
    assert openai(WHOLE_ANSWER) == "".join(
        [
            choice(
                '{"role":"assistant","reasoning_content":"h","reasoning_details":'
                '[{"type":"reasoning.text","text":"h","index":0}]}'
            ),
            choice('{"reasoning_content":"m","reasoning_details":[{"type":"reasoning.text","text":"m","index":0}]}'),
            choice('{"reasoning_details":[{"type":"reasoning.text","text":"","signature":"sig","index":0}]}'),
            choice('{"reasoning_details":[{"type":"reasoning.encrypted","data":"xyz","index":1}]}'),
            choice('{"content":"Hi"}'),
            choice('{"annotations":[{"type":"url_citation","url_citation":{"url":"https://x","title":"X"}}]}'),
            choice('{"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":""}}]}'),
            choice('{"tool_calls":[{"index":0,"function":{"arguments":"{\\"x\\":"}}]}'),
            choice('{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}'),
            choice('{"tool_calls":[{"index":1,"id":"t2","type":"function","function":{"name":"g","arguments":""}}]}'),
            f"data: {ending}\n\n",
            f'data: {OPENAI_HEAD}[],"usage":{usage}}}\n\n',
            "data: [DONE]\n\n",
        ]
    )


@pytest.mark.ac("AC-9.2.2")
def test_a_whole_answer_for_an_anthropic_client() -> None:
    def delta(index: int, inner: str) -> str:
        return event("content_block_delta", f',"index":{index},"delta":{inner}')

    def start(index: int, inner: str) -> str:
        return event("content_block_start", f',"index":{index},"content_block":{inner}')

    def stop(index: int) -> str:
        return event("content_block_stop", f',"index":{index}')

    created = '"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":0}'
    first = (
        f'{{"input_tokens":40,"cache_creation_input_tokens":0,"cache_read_input_tokens":60,{created % 0},'
        '"output_tokens":1}'
    )
    last = (
        f'{{"input_tokens":30,"cache_creation_input_tokens":10,"cache_read_input_tokens":60,{created % 10},'
        '"output_tokens":20,"cost":0.0042}'
    )
    cited = (
        '{"type":"citations_delta","citation":{"type":"web_search_result_location","cited_text":"","url":"https://x",'
        '"title":"X","encrypted_index":""}}'
    )
    assert anthropic(WHOLE_ANSWER) == "".join(
        [
            event(
                "message_start",
                ',"message":{"id":"x1","type":"message","role":"assistant","model":"org/model","content":[],'
                f'"stop_reason":null,"stop_sequence":null,"usage":{first}}}',
            ),
            start(0, '{"type":"thinking","thinking":"","signature":""}'),
            delta(0, '{"type":"thinking_delta","thinking":"h"}'),
            delta(0, '{"type":"thinking_delta","thinking":"m"}'),
            delta(0, '{"type":"signature_delta","signature":"sig"}'),
            stop(0),
            start(1, '{"type":"redacted_thinking","data":"xyz"}'),
            stop(1),
            start(2, '{"type":"text","text":""}'),
            delta(2, '{"type":"text_delta","text":"Hi"}'),
            delta(2, cited),
            stop(2),
            start(3, '{"type":"tool_use","id":"t1","name":"f","input":{}}'),
            delta(3, '{"type":"input_json_delta","partial_json":"{\\"x\\":"}'),
            delta(3, '{"type":"input_json_delta","partial_json":"1}"}'),
            stop(3),
            start(4, '{"type":"tool_use","id":"t2","name":"g","input":{}}'),
            stop(4),
            event("message_delta", f',"delta":{{"stop_reason":"tool_use","stop_sequence":null}},"usage":{last}'),
            event("message_stop", ""),
        ]
    )


def test_nothing_is_shown_before_the_first_content_and_the_end_waits_for_the_charge() -> None:
    for dialect in (OPENAI, ANTHROPIC):
        writer = dialect.writer(VOICE, price)
        shown = [writer.write(one) for one in WHOLE_ANSWER]
        assert shown[0] == b""
        assert shown[1] != b""
        assert b"".join(shown[-3:]) == b""


def test_usage_only_if_asked_for() -> None:
    out = openai([Started("x1", "n", 5), TextDelta("Hi"), Finished("stop"), Ended()], QUIET)
    assert "usage" not in out
    assert out.endswith('"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')


def test_counted_usage_is_marked() -> None:
    counted = Usage(1, 2, estimated=True)
    for dialect, place in ((OPENAI, -2), (ANTHROPIC, -2)):
        writer = dialect.writer(VOICE, price)
        out = writer.write(TextDelta("Hi")) + writer.finish(counted, 1_000)
        assert payloads(out)[place]["usage"]["usage_estimated"] is True
        assert b'"cost":0.000001' in out


def test_an_answer_without_a_word_is_still_well_formed() -> None:
    events: list[StreamEvent] = [Started("x1", "n", 5), Finished("content_filter"), Ended()]
    heard = hear_anthropic_stream(anthropic(events).encode())
    assert (heard.finish, heard.text, heard.done) == ("refusal", "", 1)
    assert choice('{"role":"assistant","content":""}', '"content_filter"') in openai(events)
    assert payloads(openai([]).encode())[-1] == "[DONE]"
    assert hear_anthropic_stream(anthropic([]).encode()).finish == "end_turn"


@pytest.mark.parametrize(
    "error", [ProviderTrouble("The provider failed."), TimedOut("Too slow.")], ids=["broken", "slow"]
)
def test_a_failure_in_the_middle_closes_what_is_open(error: Any) -> None:
    events: list[StreamEvent] = [Started("x1", "n", 5), ToolCallStarted("t", "f"), ToolCallDelta('{"x"')]
    writer = ANTHROPIC.writer(VOICE, price)
    out = b"".join(writer.write(one) for one in events) + writer.fail(error, "req_7")
    ending = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    assert out.endswith(ending + b"event: error\ndata: " + ANTHROPIC.render_error(error, "req_7") + b"\n\n")
    writer = OPENAI.writer(VOICE, price)
    out = b"".join(writer.write(one) for one in events) + writer.fail(error, "req_7")
    assert out.endswith(b"data: " + OPENAI.render_error(error, "req_7") + b"\n\ndata: [DONE]\n\n")
    assert out.count(b"[DONE]") == 1
    before = ANTHROPIC.writer(VOICE, price).fail(error, "r")
    assert before.startswith(b"event: error"), "nothing was opened, nothing is closed"


def test_mixed_fragments_of_parallel_calls_come_one_call_after_the_other_for_anthropic() -> None:
    events: list[StreamEvent] = [
        Started("x1", "n", 5),
        ToolCallStarted("t1", "f", block=0),
        ToolCallStarted("t2", "g", block=1),
        ToolCallDelta('{"a":', block=0),
        ToolCallDelta('{"b":', block=1),
        ToolCallDelta("1}", block=0),
        ToolCallStarted("t3", "h", block=2),
        ToolCallDelta("2}", block=1),
        ToolCallDelta("{}", block=2),
        BlockClosed(block=0),
        BlockClosed(block=1),
        BlockClosed(block=2),
        Finished("tool_calls"),
    ]
    heard = hear_anthropic_stream(anthropic(events).encode())
    assert heard.inputs() == [("f", {"a": 1}), ("g", {"b": 2}), ("h", {})]
    assert hear_openai_stream(openai(events).encode()).inputs() == heard.inputs()
    unclosed = [one for one in events if not isinstance(one, BlockClosed)]
    assert hear_anthropic_stream(anthropic(unclosed).encode()).inputs() == heard.inputs()


def test_a_finished_call_makes_way_at_once() -> None:
    writer = ANTHROPIC.writer(VOICE, price)
    writer.write(ToolCallStarted("t1", "f", block=0))
    writer.write(ToolCallDelta("{}", block=0))
    assert b'"index":1' in writer.write(ToolCallStarted("t2", "g", block=1))
    assert b"partial_json" in writer.write(ToolCallDelta("{", block=1))
    assert writer.write(ToolCallDelta(" ", block=0)) == b"", "a closed block stays closed"


def test_several_choices() -> None:
    events: list[StreamEvent] = [
        Started("x1", "n", 5),
        TextDelta("A", index=0),
        TextDelta("B", index=1),
        Finished("stop", 0),
        Finished("length", 1),
    ]
    out = openai(events).encode()
    first, second = hear_openai_stream(out, 0), hear_openai_stream(out, 1)
    assert (first.text, first.finish, second.text, second.finish) == ("A", "stop", "B", "length")
    roles = [one["delta"].get("role") for chunk in payloads(out)[:-1] for one in chunk["choices"]]
    assert roles[:2] == ["assistant", "assistant"]
    assert hear_anthropic_stream(anthropic(events).encode()).text == "A"


def test_refusals_and_logprobs() -> None:
    events: list[StreamEvent] = [RefusalDelta("No."), BlockClosed(), Finished("stop")]
    assert hear_openai_stream(openai(events).encode()).refusal == "No."
    heard = hear_anthropic_stream(anthropic(events).encode())
    assert (heard.text, heard.finish) == ("No.", "refusal")
    assert '"delta":{"role":"assistant","content":"x"},"logprobs":{"content":[1]},' in openai(
        [TextDelta("x", logprobs={"content": [1]})]
    )


@pytest.mark.ac("AC-9.1.11")
def test_unknown_events_are_shown_as_far_as_the_client_can_take_them() -> None:
    raw = Unknown("anthropic", b'{"type":"new"}')
    text = Unknown("openai", b'{"token":{"text":"!"}}', "!")
    out = openai([TextDelta("a"), raw, text, TextDelta("b")])
    assert hear_openai_stream(out.encode()).text == "a!b"
    assert payloads(out.encode())[1]["gateway_raw"] == {"type": "new"}
    heard = hear_anthropic_stream(
        anthropic([text, TextDelta("a"), raw, text, BlockClosed(), text, Finished("stop")]).encode()
    )
    assert heard.text == "!a!!"
    assert '"gateway_raw":"gibberish"' in openai([Unknown("x", b"gibberish")])


def test_half_surrogate_pairs_are_written_as_escapes() -> None:
    for out in (openai([TextDelta("\ud83d")]), anthropic([TextDelta("\ud83d")])):
        assert '"\\ud83d"' in out


# ---- readers


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    body = {
        "id": "c1",
        "model": "n",
        "created": 5,
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
    }
    return f"data: {json.dumps({**body, **fields})}\n\n".encode()


DONE = b"data: [DONE]\n\n"
STARTED = Started("c1", "n", 5)


def read(*pieces: bytes, dialect: Any = OPENAI) -> list[StreamEvent]:
    reader = dialect.reader()
    return [one for piece in pieces for one in reader.feed(piece)] + reader.close()


def call(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [fields]}


def test_blocks_follow_the_order_of_the_content() -> None:
    events = read(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "h"}),
        chunk({"content": "a"}),
        chunk(call(index=0, id="t", function={"name": "f", "arguments": ""})),
        chunk(call(index=0, function={"arguments": "{}"})),
        chunk({"content": "b"}),
        chunk({}, "tool_calls", usage={"prompt_tokens": 7, "completion_tokens": 3}),
        DONE,
    )
    assert events == [
        STARTED,
        ThinkingDelta("h", 0, 0),
        BlockClosed(0, 0),
        TextDelta("a", 0, 1),
        BlockClosed(0, 1),
        ToolCallStarted("t", "f", 0, 2),
        ToolCallDelta("{}", 0, 2),
        TextDelta("b", 0, 3),
        BlockClosed(0, 3),
        BlockClosed(0, 2),
        Finished("tool_calls", 0, "tool_calls"),
        UsageReport(Usage(7, 3)),
        Ended(),
    ]


@pytest.mark.parametrize(
    "fragments",
    [
        [call(index=0, id="a", function={"name": "f", "arguments": "{"}), call(index=0, function={"arguments": "}"})],
        [call(id="a", function={"name": "f", "arguments": "{"}), call(function={"arguments": "}"})],
        [call(id="a", function={"name": "f", "arguments": "{"}), call(id="a", function={"arguments": "}"})],
        [
            call(index=0, id="a", function={"name": "f"}),
            call(index=0, id="a", function={"name": "f", "arguments": "{}"}),
        ],
        [call(index=0, id="a", function={"name": "f", "arguments": {}})],
        [call(index=0, id="a"), call(index=0, function={"arguments": "{}"}), call(index=0, function={"name": "f"})],
    ],
    ids=["usual", "no index", "id only", "name repeated", "object", "name last"],
)
def test_tool_calls_however_a_provider_cuts_them(fragments: list[dict[str, Any]]) -> None:
    second = [call(id="b", index=0, function={"name": "g", "arguments": "{}"})]
    events = read(*[chunk(delta) for delta in fragments + second], chunk({}, "stop"), DONE)
    started = [one for one in events if isinstance(one, ToolCallStarted)]
    assert [(one.id, one.name) for one in started] == [("a", "f"), ("b", "g")]
    for one in started:
        assert "".join(d.fragment for d in events if isinstance(d, ToolCallDelta) and d.block == one.block) == "{}"
    assert [one.finish for one in events if isinstance(one, Finished)] == ["tool_calls"]


def test_calls_without_id_get_one_and_legacy_functions_are_calls() -> None:
    events = read(
        chunk({"function_call": {"name": "f", "arguments": "{"}}), chunk({"function_call": {"arguments": "}"}}), DONE
    )
    assert events[1:4] == [ToolCallStarted("call_c1_0", "f", 0, 0), ToolCallDelta("{", 0, 0), ToolCallDelta("}", 0, 0)]


def test_reasoning_in_every_spelling() -> None:
    array = [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}, {"type": "text", "text": "a"}]
    details = [{"type": "reasoning.text", "text": "h", "signature": "s"}, {"type": "reasoning.encrypted", "data": "x"}]
    for delta in (
        {"reasoning": "h"},
        {"reasoning_content": "h"},
        {"content": array},
        {"reasoning": "h", "reasoning_details": details},
    ):
        events = read(chunk(delta))
        assert [one.text for one in events if isinstance(one, ThinkingDelta)] == ["h"], delta
    assert [type(one) for one in events[1:]] == [ThinkingDelta, SignatureDelta, BlockClosed, RedactedBlock]
    events = read(chunk({"reasoning": "h", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}))
    assert [type(one) for one in events[1:]] == [RedactedBlock, ThinkingDelta], "reasoning that only stands outside"


def test_perplexitys_citations_become_annotations() -> None:
    events = read(chunk({"content": "a"}, citations=["https://x"]), chunk({}, "stop", citations=["https://x"]))
    (found,) = [one for one in events if isinstance(one, AnnotationDelta)]
    assert (found.annotation["url_citation"]["url"], found.block) == ("https://x", 0)


@pytest.mark.parametrize(
    ("pieces", "last"),
    [
        (
            [chunk({"content": "a"}), b'data: {"error":{"message":"m","code":500}}\n\n'],
            StreamError("m", None, "500", 500),
        ),
        ([chunk({"content": "a"}), b'event: error\ndata: {"message":"m"}\n\n'], StreamError("m")),
        ([b'{"error":"m"}'], StreamError("m")),
        (
            [chunk({"content": "a"}), chunk({}, "error")],
            StreamError("the provider ended the answer with error", "error"),
        ),
        ([chunk({"content": "a"})], TextDelta("a")),
        ([chunk({"content": "a"}, "stop")], Ended()),
        ([chunk({"content": "a"}), DONE, chunk({"content": "late"})], Ended()),
        ([chunk({"content": "a"}, "stop"), b'data: {"error":{"message":"late"},"choices":[]}\n\n'], Ended()),
        ([chunk({"content": "a"}), b'data: {"id":"c1","cho'], TextDelta("a")),
    ],
    ids=["error", "error event", "error body", "error finish", "cut", "finished", "done", "afterthought", "torn"],
)
def test_how_an_openai_stream_ends(pieces: list[bytes], last: StreamEvent) -> None:
    assert read(*pieces)[-1] == last


def test_anthropic_events_that_others_do_not_know_are_unknown_and_never_text() -> None:
    block = {"type": "web_search_tool_result", "content": [{"text": "secret"}], "text": "secret"}
    start = anthropic_event("content_block_start", index=1, content_block=block)
    delta = anthropic_event("content_block_delta", index=1, delta={"type": "compaction_delta", "content": "secret"})
    events = read(start, delta, b'data: {"type":"new","text":"secret"}\n\n', dialect=ANTHROPIC)
    assert [type(one) for one in events] == [Unknown, Unknown, Unknown]
    assert [one.text for one in events if isinstance(one, Unknown)] == [None, None, None]
    relay = bridge(OPENAI, ANTHROPIC, VOICE, TARGET, price)
    assert relay.feed(start + delta) == b"", "nothing is shown before the first content"
    assert (relay.facts.unknown_events, relay.facts.started) == (2, False)
    text = anthropic_event("content_block_delta", index=2, delta={"type": "text_delta", "text": "Hi"})
    chunks = payloads(relay.feed(text))
    assert [bool(one.get("gateway_raw")) for one in chunks] == [True, True, False]


def anthropic_event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


@pytest.mark.parametrize(("given", "fragments"), [({}, ["{}"]), ({"x": 1}, ['{"x":1}'])], ids=["empty", "whole"])
def test_an_anthropic_call_without_fragments_has_whole_arguments(given: dict[str, Any], fragments: list[str]) -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": given}
    events = read(
        anthropic_event("content_block_start", index=0, content_block=block),
        anthropic_event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": ""}),
        anthropic_event("content_block_stop", index=0),
        dialect=ANTHROPIC,
    )
    assert [one.fragment for one in events if isinstance(one, ToolCallDelta)] == fragments


def test_facts_of_a_translated_stream() -> None:
    relay = bridge(ANTHROPIC, OPENAI, VOICE, TARGET, price)
    assert relay.feed(chunk({"role": "assistant", "content": ""})) == b""
    assert (relay.facts.started, relay.facts.upstream_id) == (False, "c1")
    assert relay.feed(chunk({"content": "Hi"})).startswith(b"event: message_start\n")
    assert relay.facts.started
    relay.feed(chunk({}, "model_length", usage={"prompt_tokens": 7, "completion_tokens": 3}) + DONE)
    facts = relay.facts
    assert (facts.finish, facts.native_finish, facts.usage, facts.ended) == (
        "length",
        "model_length",
        Usage(7, 3),
        True,
    )
    assert facts.output_chars == 2
    broken = bridge(ANTHROPIC, OPENAI, VOICE, TARGET, price)
    shown = broken.feed(
        chunk({"content": "Hi"}) + b'data: {"error":{"message":"secret host"}}\n\n' + chunk({"content": "x"})
    )
    assert (broken.facts.error, b"secret" in shown, b'"x"' in shown) == (StreamError("secret host"), False, False)
