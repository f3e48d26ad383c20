"""Streams forwarded in their own dialect: what is changed on the way, to the byte, and nothing else."""

import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, QUIET, TARGET, VOICE, payloads, price

from gatewayz.core.errors import ProviderTrouble
from gatewayz.core.usage import Usage
from gatewayz.dialects.base import Bridge, Quirks, Target, Voice


def quirky(**quirks: Any) -> Target:
    return Target("native-model", Quirks(**quirks))


# ---- OpenAI streams


HEAD = b'{"id":"c1","object":"chat.completion.chunk","created":1,"model":"native"'
ROLE = HEAD + b',"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
TEXT = HEAD + b',"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"x":1.50}'
STOP = HEAD + b',"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
USAGE = HEAD + b',"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}'


def stream(*chunks: bytes, done: bool = True) -> bytes:
    return b"".join(b"data: " + chunk + b"\n\n" for chunk in [*chunks, *([b"[DONE]"] if done else [])])


def shown(chunk: bytes) -> bytes:
    return b"data: " + chunk.replace(b'"model":"native"', b'"model":"org/model"') + b"\n\n"


def openai(voice: Voice = VOICE, target: Target = TARGET) -> Bridge:
    return OPENAI.forwarder(voice, target, price)


def test_an_openai_stream_to_the_byte() -> None:
    relay = openai()
    assert relay.feed(stream(ROLE, done=False)) == b"", "nothing is shown before the first content"
    assert not relay.facts.started
    assert relay.feed(stream(TEXT, done=False)) == shown(ROLE) + shown(TEXT)
    assert relay.facts.started
    assert relay.feed(stream(STOP, USAGE)) == b"", "the end waits for the charge"
    assert (relay.facts.ended, relay.facts.usage) == (True, Usage(7, 3))
    cost = USAGE.replace(b'"total_tokens":10', b'"total_tokens":10,"cost":0.0042')
    assert relay.finish(Usage(7, 3), 4_200_000) == shown(STOP) + shown(cost) + b"data: [DONE]\n\n"
    facts = relay.facts
    assert (facts.finish, facts.native_finish, facts.upstream_id) == ("stop", "stop", "c1")
    assert (facts.output_chars, facts.events, facts.unknown_events) == (2, 4, 0)


def test_usage_is_not_shown_to_a_client_that_did_not_ask() -> None:
    both = STOP.replace(b"}]}", b'}],"usage":{"prompt_tokens":7,"completion_tokens":3}}')
    for end in ([STOP, USAGE], [both]):
        relay = openai(QUIET)
        out = relay.feed(stream(ROLE, TEXT, *end)) + relay.finish(Usage(7, 3), 1)
        assert out == shown(ROLE) + shown(TEXT) + shown(STOP) + b"data: [DONE]\n\n"
        assert relay.facts.usage == Usage(7, 3)


def test_usage_that_the_provider_did_not_report_is_given_and_marked() -> None:
    relay = openai()
    out = relay.feed(stream(TEXT, STOP)) + relay.finish(Usage(5, 2, estimated=True), 1_500)
    last = payloads(out)[-2]
    assert last["choices"] == []
    assert last["usage"]["usage_estimated"] is True
    assert (last["usage"]["prompt_tokens"], last["usage"]["total_tokens"]) == (5, 7)
    assert b'"cost":0.0000015' in out
    zeros = USAGE.replace(b'7,"completion_tokens":3,"total_tokens":10', b'0,"completion_tokens":0,"total_tokens":0')
    relay = openai()
    out = relay.feed(stream(TEXT, STOP, zeros)) + relay.finish(Usage(5, 2, estimated=True), 1_500)
    usages = [chunk["usage"] for chunk in payloads(out)[:-1] if chunk.get("usage")]
    assert [usage["completion_tokens"] for usage in usages] == [2]


def test_usage_on_every_chunk_is_priced_as_it_stands_and_at_last_as_charged() -> None:
    first = TEXT.replace(b'"x":1.50', b'"usage":{"prompt_tokens":7,"completion_tokens":1,"cost":{"total":9}}')
    relay = openai()
    out = relay.feed(stream(first, first, STOP, USAGE)) + relay.finish(Usage(7, 3), 99)
    costs = [chunk["usage"]["cost"] for chunk in payloads(out)[:-1] if chunk.get("usage")]
    assert costs == [0.000008, 0.000008, 9.9e-08]


def test_a_stream_without_terminator_counts_as_ended_if_every_choice_is_finished() -> None:
    relay = openai()
    relay.feed(stream(TEXT, STOP, done=False))
    assert not relay.facts.ended
    relay.close()
    assert relay.facts.ended
    cut = openai()
    cut.feed(stream(TEXT, done=False))
    cut.close()
    assert not cut.facts.ended
    second = TEXT.replace(b'"index":0', b'"index":1')
    open_choice = openai()
    open_choice.feed(stream(TEXT, second, STOP, done=False))
    open_choice.close()
    assert not open_choice.facts.ended


def test_a_last_event_without_blank_line_is_heard_and_a_torn_one_is_not() -> None:
    relay = openai()
    relay.feed(stream(TEXT, STOP, done=False) + b"data: [DONE]")
    relay.close()
    assert relay.facts.ended
    torn = openai()
    assert torn.feed(stream(TEXT, done=False) + b"data: " + TEXT[:60]) == shown(TEXT)
    assert torn.close() == b""
    assert (torn.facts.ended, torn.facts.unknown_events, torn.facts.error) == (False, 0, None)


def test_a_finish_that_was_never_said_is_added_at_the_terminator() -> None:
    calls = b'[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]'
    call = HEAD + b',"choices":[{"index":0,"delta":{"tool_calls":' + calls + b"}}]}"
    for chunk, finish in ((TEXT, "stop"), (call, "tool_calls")):
        relay = openai()
        out = relay.feed(stream(chunk)) + relay.finish(Usage(1, 1), 1)
        assert payloads(out)[1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": finish}]
        assert relay.facts.finish == finish


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"error":{"message":"secret host","code":500}}\n\n',
        b'event: error\ndata: {"message":"secret host"}\n\n',
        b'data: {"detail":"secret host"}\n\n',
        b'data: {"message":"secret host","type":"t"}\n\n',
        b'{"error":{"message":"secret host"}}\n',
        b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"error"}]}\n\n',
    ],
)
def test_an_error_inside_a_stream_is_a_fact_and_never_shown(broken: bytes) -> None:
    relay = openai()
    before = relay.feed(stream(TEXT, done=False))
    assert relay.feed(broken + stream(TEXT, STOP)) == b""
    assert relay.close() == b""
    assert relay.facts.error is not None
    assert not relay.facts.ended
    end = relay.fail(ProviderTrouble("The provider failed."), "req_7")
    assert before + end == shown(TEXT) + (
        b'data: {"error":{"message":"The provider failed.","type":"provider_error","code":"provider_error",'
        b'"param":null,"request_id":"req_7"}}\n\ndata: [DONE]\n\n'
    )


def test_an_error_instead_of_a_stream_shows_nothing_at_all() -> None:
    relay = openai()
    assert relay.feed(b'{"error": {"message": "no such model",\n "code": 404}}') + relay.close() == b""
    assert (relay.facts.started, relay.facts.error.message, relay.facts.error.status) == (False, "no such model", 404)
    assert b"role" not in relay.fail(ProviderTrouble("x"), "r")


def test_an_error_after_the_finish_leaves_the_answer_whole_and_its_usage_counts() -> None:
    late = HEAD + b',"error":{"message":"late"},"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}'
    relay = openai()
    relay.feed(stream(TEXT, STOP, late))
    assert (relay.facts.error, relay.facts.ended, relay.facts.usage) == (None, True, Usage(7, 3))


def test_an_event_that_never_ends_is_an_error() -> None:
    relay = openai()
    piece = b"x" * 1_048_576
    relay.feed(b"data: ")
    for _ in range(33):
        relay.feed(piece)
    assert relay.facts.error is not None


@pytest.mark.ac("AC-9.1.11")
def test_unknown_chunks_are_counted_and_passed_on() -> None:
    relay = openai()
    out = relay.feed(stream(TEXT, b'{"kind":"new","value":[1]}', b'{"token":{"text":"!"}}', b"gibberish", STOP))
    out += relay.finish(Usage(1, 1), 1)
    assert relay.facts.unknown_events == 3
    assert relay.facts.output_chars == 3
    assert relay.facts.unknown_excerpt == '{"kind":"new","value":[1]}', "the first one, for the log"
    chunks = payloads(out)[:-1]
    assert (chunks[1]["choices"], chunks[1]["gateway_raw"]) == ([], {"kind": "new", "value": [1]})
    assert chunks[2]["choices"][0]["delta"] == {"content": "!"}
    assert chunks[3]["gateway_raw"] == "gibberish"
    assert {chunk["id"] for chunk in chunks} == {"c1"}


def test_keep_alives_are_nothing() -> None:
    relay = openai()
    assert relay.feed(b': ping\n\nevent: ping\ndata: {"type":"ping"}\n\ndata:\n\ndata: \n\n') == b""
    assert (relay.facts.events, relay.facts.unknown_events) == (0, 0)


def test_the_model_name_is_replaced_at_its_own_place_only() -> None:
    tricky = (
        b'{"id":"c1","choices":[{"index":0,"delta":{"content":"\\"model\\":\\"native\\"","tool_calls":'
        b'[{"index":0,"id":"t","function":{"name":"model","arguments":"{\\"model\\":\\"native\\"}"}}]},"model":"native"}],'
        b'"model" : "native"}'
    )
    out = openai().feed(stream(tricky, done=False))
    (chunk,) = payloads(out)
    assert chunk["model"] == "org/model"
    assert chunk["choices"][0]["model"] == "native"
    assert chunk["choices"][0]["delta"] == json.loads(tricky)["choices"][0]["delta"]


def test_one_id_whatever_the_provider_sends() -> None:
    no_id = TEXT.replace(b'"id":"c1",', b"")
    other = TEXT.replace(b"c1", b"c2")
    blank = ROLE.replace(b"c1", b"")
    out = openai().feed(stream(blank, TEXT, other, no_id, done=False))
    assert {chunk["id"] for chunk in payloads(out)} == {"c1"}
    out = openai().feed(stream(no_id, no_id, done=False))
    assert {chunk["id"] for chunk in payloads(out)} == {"chatcmpl-req_7"}


def test_what_would_mislead_an_openai_client_is_brought_into_normal_form() -> None:
    deltas = [
        {"reasoning": "think"},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "more"}]},
                {"type": "text", "text": "So"},
            ]
        },
        {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]},
        {"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"function": {"arguments": "{}"}}]},
    ]
    chunks = [
        json.dumps({"id": "c1", "model": "n", "choices": [{"index": 0, "delta": delta}]}).encode() for delta in deltas
    ]
    last = b'{"id":"c1","model":"n","choices":[{"index":0,"delta":{},"finish_reason":"model_length"}]}'
    relay = openai()
    out = relay.feed(stream(*chunks, last)) + relay.finish(Usage(1, 1), 1)
    found = [chunk["choices"][0] for chunk in payloads(out)[:-2]]
    assert found[0]["delta"] == {"reasoning_content": "think"}
    assert found[1]["delta"] == {"content": "So", "reasoning_content": "more"}
    calls = [choice["delta"]["tool_calls"][0] for choice in found[2:5]]
    assert [(call["index"], call["function"]["arguments"]) for call in calls] == [(0, '{"x":1}'), (1, ""), (1, "{}")]
    assert (found[5]["finish_reason"], found[5]["native_finish_reason"]) == ("length", "model_length")
    assert (relay.facts.finish, relay.facts.native_finish) == ("length", "model_length")


@pytest.mark.parametrize("first", ["reasoning", "reasoning_content"])
def test_reasoning_beside_an_empty_member_of_the_other_name_is_told_once(first: str) -> None:
    delta = {"reasoning": "think", "reasoning_content": ""}
    ordered = {first: delta[first], **delta}
    body = json.dumps({"id": "c1", "model": "n", "choices": [{"index": 0, "delta": ordered}]}, separators=(",", ":"))
    out = openai().feed(stream(body.encode(), done=False))
    assert out.count(b'"reasoning_content"') == 1
    assert payloads(out)[0]["choices"][0]["delta"] == {"reasoning_content": "think"}


def test_a_plain_answer_where_a_stream_was_asked_for_is_shown_as_one_chunk() -> None:
    answer = {
        "id": "c1",
        "model": "n",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    relay = openai()
    out = relay.feed(json.dumps(answer, indent=1).encode()) + relay.close() + relay.finish(Usage(1, 1), 5)
    (chunk, done) = payloads(out)
    assert (chunk["choices"][0]["delta"]["content"], chunk["usage"]["cost"], done) == ("Hi", 5e-09, "[DONE]")
    assert relay.facts.ended


def test_half_surrogate_pairs_cross_untouched() -> None:
    halves = [TEXT.replace(b"Hi", half) for half in (b"\\ud83d", b"\\ude00")]
    relay = openai()
    assert relay.feed(stream(*halves, done=False)) == shown(halves[0]) + shown(halves[1])
    assert relay.facts.unknown_events == 0


def test_members_that_a_profile_names_are_stripped() -> None:
    relay = openai(target=quirky(strip_answer_fields=frozenset({"x", "system_fingerprint"})))
    (chunk,) = payloads(relay.feed(stream(TEXT, done=False)))
    assert "x" not in chunk
    assert chunk["choices"][0]["delta"] == {"content": "Hi"}


def test_several_choices_end_together() -> None:
    other = TEXT.replace(b'"index":0', b'"index":1')
    other_stop = STOP.replace(b'"index":0', b'"index":1')
    relay = openai()
    assert relay.feed(stream(TEXT, STOP, done=False)) == shown(TEXT)
    assert relay.feed(stream(other, done=False)) == shown(STOP) + shown(other), "one more choice came after all"
    relay.feed(stream(other_stop))
    assert relay.finish(Usage(1, 1), 1).startswith(shown(other_stop))


# ---- Anthropic streams


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields}, separators=(',', ':'))}\n\n".encode()


START = event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "usage": {"input_tokens": 9, "output_tokens": 1},
    },
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
HI = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"Hi"}   }\n\n'
)
CLOSE = event("content_block_stop", index=0)
DELTA = event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 4})
END = event("message_stop")


def anthropic(target: Target = TARGET) -> Bridge:
    return ANTHROPIC.forwarder(VOICE, target, price)


def test_an_anthropic_stream_to_the_byte() -> None:
    relay = anthropic()
    assert relay.feed(START + PING + OPEN) == b""
    assert not relay.facts.started
    assert relay.feed(HI + PING) == START.replace(b'"claude"', b'"org/model"') + OPEN + HI + PING
    assert relay.feed(CLOSE) == CLOSE
    assert relay.feed(DELTA + END) == b"", "the end waits for the charge"
    facts = relay.facts
    assert (facts.ended, facts.finish, facts.native_finish) == (True, "stop", "end_turn")
    assert (facts.usage, facts.upstream_id, facts.output_chars) == (Usage(9, 4), "msg_1", 2)
    priced = DELTA.replace(b'"output_tokens":4', b'"output_tokens":4,"cost":0.0042')
    assert relay.finish(Usage(9, 4), 4_200_000) == priced + END


def test_anthropic_errors_are_facts_and_open_blocks_are_closed() -> None:
    relay = anthropic()
    relay.feed(START + OPEN + HI)
    broken = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"secret host"}}\n\n'
    assert relay.feed(broken + HI + END) == b""
    assert (relay.facts.error.kind, relay.facts.ended) == ("overloaded_error", False)
    assert relay.fail(ProviderTrouble("The provider failed."), "req_7") == CLOSE + (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"The provider failed.",'
        b'"code":"provider_error","param":null},"request_id":"req_7"}\n\n'
    )


def test_an_anthropic_error_before_any_content_shows_the_error_only() -> None:
    relay = anthropic()
    relay.feed(START + OPEN)
    assert relay.fail(ProviderTrouble("x"), "r").startswith(b"event: error\n")


def test_anthropic_usage_reports_complete_each_other() -> None:
    start = event(
        "message_start",
        message={
            "model": "c",
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 1,
            },
        },
    )
    delta = event(
        "message_delta",
        delta={"stop_reason": "end_turn"},
        usage={"output_tokens": 50, "input_tokens": None, "output_tokens_details": {"thinking_tokens": 7}},
    )
    relay = anthropic()
    relay.feed(start + OPEN + HI + CLOSE + delta + END)
    assert relay.facts.usage == Usage(
        140, 50, cached_tokens=100, cache_write_5m_tokens=10, cache_write_1h_tokens=20, reasoning_tokens=7
    )


def test_anthropic_usage_that_was_not_reported_is_given_and_marked() -> None:
    delta = event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None})
    relay = anthropic()
    relay.feed(event("message_start", message={"model": "c"}) + OPEN + HI + CLOSE + delta + END)
    assert relay.facts.usage is None
    last = payloads(relay.finish(Usage(5, 2, estimated=True), 1_500))[0]
    assert last["delta"]["stop_reason"] == "end_turn"
    assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"], last["usage"]["cost"]) == (5, 2, 0.0000015)
    assert last["usage"]["usage_estimated"] is True


def test_an_anthropic_stream_without_message_stop_is_whole_if_it_has_its_stop_reason() -> None:
    for end, whole in ((CLOSE + DELTA, True), (CLOSE, False), (DELTA, False)):
        relay = anthropic()
        relay.feed(START + OPEN + HI + end)
        relay.close()
        assert relay.facts.ended is whole


def test_newer_anthropic_events_pass_and_strangers_do_not() -> None:
    new = event("content_block_sparkle", index=0)
    relay = anthropic()
    relay.feed(START + OPEN + HI)
    assert relay.feed(new) == new
    assert relay.feed(b'data: {"no":"type"}\n\ndata: gibberish\n\n') == b""
    assert relay.facts.unknown_events == 3


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}},
    ],
    ids=lambda block: block["type"],
)
def test_blocks_that_say_something_open_the_gate(block: dict[str, Any]) -> None:
    relay = anthropic()
    assert relay.feed(START + event("content_block_start", index=0, content_block=block)) != b""
    assert relay.facts.started
