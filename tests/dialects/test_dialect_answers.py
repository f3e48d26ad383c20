"""Plain answers: every finish reason, every way of counting, errors with status 200."""

import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, VOICE, price

from gatewayz.core.chat import ChatAnswer, Choice, RedactedThinking, Refusal, Text, Thinking, ToolCall
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects.base import AnswerFacts, Quirks

TEXT = (Text("Hi"),)


def openai(message: dict[str, Any], finish: str | None = "stop", **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"id": "c1", "model": "native", "created": 5, "choices": [choice], **fields}).encode()


def anthropic(content: list[Any], stop: str | None = "end_turn", **fields: Any) -> bytes:
    body = {"id": "m1", "type": "message", "role": "assistant", "model": "claude", "content": content}
    return json.dumps({**body, "stop_reason": stop, "stop_sequence": None, **fields}).encode()


def written(dialect: Any, choice: Choice, usage: Usage = NOTHING) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        dialect.write_answer(ChatAnswer("x1", "n", 0, (choice,), usage), VOICE, usage, 4_200_000)
    )
    return body


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
        ("model_length", "length"),
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("sensitive", "content_filter"),
        ("brand_new", "stop"),
    ],
)
def test_openai_finish_reasons(native: str, finish: str) -> None:
    answer, facts = OPENAI.read_answer(openai({"content": "Hi"}, native))
    assert (answer.choices[0].finish, answer.choices[0].native_finish) == (finish, native)
    assert (facts.finish, facts.native_finish) == (finish, native)
    forwarded = json.loads(OPENAI.forward_answer(openai({"content": "Hi"}, native), VOICE, NOTHING, 0, Quirks()))
    shown = forwarded["choices"][0]
    assert shown["finish_reason"] in ("stop", "length", "tool_calls", "content_filter", "function_call")
    assert shown.get("native_finish_reason", shown["finish_reason"]) == native


@pytest.mark.parametrize(
    ("native", "finish", "openai_word"),
    [
        ("end_turn", "stop", "stop"),
        ("stop_sequence", "stop", "stop"),
        ("max_tokens", "length", "length"),
        ("model_context_window_exceeded", "length", "length"),
        ("tool_use", "tool_calls", "tool_calls"),
        ("refusal", "content_filter", "content_filter"),
        ("pause_turn", "pause", "stop"),
        ("brand_new", "stop", "stop"),
    ],
)
def test_anthropic_stop_reasons(native: str, finish: str, openai_word: str) -> None:
    answer, facts = ANTHROPIC.read_answer(anthropic([{"type": "text", "text": "Hi"}], native))
    assert (answer.choices[0].finish, facts.finish, facts.native_finish) == (finish, finish, native)
    choice = written(OPENAI, answer.choices[0])["choices"][0]
    assert choice["finish_reason"] == openai_word
    assert choice.get("native_finish_reason", openai_word) == native


@pytest.mark.parametrize(
    ("choice", "stop"),
    [
        (Choice(TEXT, "stop", "stop"), "end_turn"),
        (Choice(TEXT, "stop", stop_sequence="END"), "stop_sequence"),
        (Choice(TEXT, "length"), "max_tokens"),
        (Choice((ToolCall("t", "f", "{}"),), "tool_calls"), "tool_use"),
        (Choice(TEXT, "content_filter"), "refusal"),
        (Choice((Refusal("No."),), "stop"), "refusal"),
        (Choice(TEXT, "pause"), "pause_turn"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.finish,
)
def test_finish_for_an_anthropic_client(choice: Choice, stop: str) -> None:
    body = written(ANTHROPIC, choice)
    assert (body["stop_reason"], body["stop_sequence"]) == (stop, choice.stop_sequence)


@pytest.mark.parametrize("finish", ["stop", "", None])
def test_tool_calls_finish_as_tool_calls(finish: str | None) -> None:
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    answer, _ = OPENAI.read_answer(openai({"content": None, "tool_calls": calls}, finish))
    assert answer.choices[0].finish == "tool_calls"


def test_the_parts_of_an_openai_answer() -> None:
    message = {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "more"}]},
            {"type": "text", "text": "Hi"},
        ],
        "reasoning": "hm",
        "refusal": "No.",
        "annotations": [{"type": "url_citation", "url_citation": {"url": "https://x", "title": "X"}}],
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}],
    }
    answer, facts = OPENAI.read_answer(openai(message))
    assert answer.choices[0].parts == (
        Thinking("hm"),
        Thinking("more"),
        Text("Hi", annotations=tuple(message["annotations"])),
        Refusal("No."),
        ToolCall("call_c1_0", "f", '{"x":1}'),
    )
    assert (facts.empty, facts.upstream_id) == (False, "c1")
    cited = written(ANTHROPIC, answer.choices[0])["content"][2]["citations"]
    assert (cited[0]["type"], cited[0]["url"], cited[0]["title"]) == ("web_search_result_location", "https://x", "X")


def test_the_parts_of_an_anthropic_answer_for_an_openai_client() -> None:
    citation = {
        "type": "web_search_result_location",
        "url": "https://x",
        "title": "X",
        "cited_text": "c",
        "encrypted_index": "e",
    }
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Hi "},
        {"type": "text", "text": "you", "citations": [citation, {"type": "char_location", "cited_text": "c"}]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1.5}},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    ]
    answer, facts = ANTHROPIC.read_answer(anthropic(content, "tool_use"))
    assert facts.output_chars == len("hm") + len("xyz") + len("Hi you") + len('f{"x":1.5}')
    message = written(OPENAI, answer.choices[0])["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hi you", "hm")
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "index": 0, "signature": "sig"},
        {"type": "reasoning.encrypted", "data": "xyz", "index": 1},
    ]
    assert message["tool_calls"] == [
        {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"x":1.5}'}}
    ]
    place = {"start_index": 3, "end_index": 6, "url": "https://x", "title": "X"}
    assert message["annotations"] == [
        {"type": "url_citation", "url_citation": place},
        {"type": "char_location", "char_location": {"cited_text": "c"}},
    ]
    assert message["gateway_raw"] == [content[5]], "nothing is lost in silence"


@pytest.mark.ac("AC-9.1.1", "AC-9.2.1")
def test_both_forms_are_whole() -> None:
    usage = Usage(100, 20, cached_tokens=60, cache_write_5m_tokens=10, cache_write_1h_tokens=5, reasoning_tokens=7)
    choice = Choice(
        (Thinking("hm", "sig"), RedactedThinking("xyz"), Text("Hi"), ToolCall("t", "f", '{"x": 1.50}')), "tool_calls"
    )
    body = written(OPENAI, choice, usage)
    assert (body["id"], body["object"], body["created"], body["model"]) == (
        "x1",
        "chat.completion",
        1_700_000_000,
        "org/model",
    )
    assert body["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 15, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 7, "audio_tokens": 0},
        "cost": 0.0042,
    }
    body = written(ANTHROPIC, choice, usage)
    assert (body["id"], body["type"], body["role"], body["model"]) == ("x1", "message", "assistant", "org/model")
    assert body["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1.5}},
    ]
    assert body["usage"] == {
        "input_tokens": 25,
        "cache_creation_input_tokens": 15,
        "cache_read_input_tokens": 60,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 5},
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 7},
        "cost": 0.0042,
    }


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}, Usage(9, 4)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2, "audio_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 1},
            },
            Usage(9, 4, 3, 2, reasoning_tokens=2, audio_input_tokens=1, audio_output_tokens=1),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 8}, Usage(9, 4, 8)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 8}, Usage(9, 4, 8)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 50}}, Usage(9, 4, 9)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "total_tokens": 20,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(9, 11, reasoning_tokens=7),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 20}, Usage(9, 11, reasoning_tokens=7)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "total_tokens": 20,
                "prompt_tokens_details": {"audio_tokens": 7},
            },
            Usage(16, 4, audio_input_tokens=7),
        ),
        ({"prompt_tokens": 9}, Usage(9, 0)),
        ({"prompt_tokens": 9.0, "completion_tokens": -4}, Usage(9, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 10**30}, Usage(9, 0)),
        ({"prompt_tokens": None}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
    ids=str,
)
def test_openai_usage(raw: Any, usage: Usage | None) -> None:
    assert OPENAI.glance_answer(openai({"content": "Hi"}, usage=raw)).usage == usage


def test_usage_as_groq_reports_it() -> None:
    body = openai({"content": "Hi"}, x_groq={"usage": {"prompt_tokens": 9, "completion_tokens": 4}})
    assert OPENAI.glance_answer(body).usage == Usage(9, 4)


@pytest.mark.ac("AC-9.2.3")
@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"input_tokens": 9, "output_tokens": 4}, Usage(9, 4)),
        ({"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 100}, Usage(109, 4, 100)),
        ({"input_tokens": 9, "output_tokens": 4, "cache_creation_input_tokens": 50}, Usage(59, 4, 0, 50)),
        (
            {
                "input_tokens": 9,
                "output_tokens": 4,
                "cache_creation_input_tokens": 50,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
            },
            Usage(59, 4, 0, 20, 30),
        ),
        (
            {
                "input_tokens": 9,
                "output_tokens": 4,
                "iterations": [
                    {"type": "compaction", "input_tokens": 1_000, "output_tokens": 50, "cache_read_input_tokens": 7},
                    {"type": "message", "input_tokens": 9, "output_tokens": 4},
                ],
            },
            Usage(1_016, 54, 7),
        ),
        ({"output_tokens": 4}, Usage(0, 4)),
        ({"input_tokens": None}, None),
        (None, None),
    ],
    ids=str,
)
def test_anthropic_usage(raw: Any, usage: Usage | None) -> None:
    assert ANTHROPIC.glance_answer(anthropic([{"type": "text", "text": "Hi"}], usage=raw)).usage == usage


def test_forwarded_answers_change_the_model_and_add_the_cost() -> None:
    body = (
        b'{"id":"c1", "model":"native","choices":[ {"index":0,"message":{"role":"assistant","content":"\\u00e9"},'
        b'"finish_reason":"stop","logprobs":null} ],"created":5,"usage":{"prompt_tokens":7,"completion_tokens":3,'
        b'"cost":9},"object":"chat.completion","x":1.50}'
    )
    stripping = Quirks(strip_answer_fields=frozenset({"created"}))
    assert OPENAI.forward_answer(body, VOICE, Usage(7, 3), 4_200_000, stripping) == (
        b'{"id":"c1","model":"org/model","choices":[ {"index":0,"message":{"role":"assistant","content":"\\u00e9"},'
        b'"finish_reason":"stop","logprobs":null} ],"usage":{"prompt_tokens":7,"completion_tokens":3,"cost":0.0042},'
        b'"object":"chat.completion","x":1.50,"created":1700000000}'
    )
    body = (
        b'{"model":"claude","id":"m1","content":[ {"type":"text","text":"\\u00e9"} ],'
        b'"usage":{"input_tokens":7,"output_tokens":3}}'
    )
    assert ANTHROPIC.forward_answer(body, VOICE, Usage(7, 3), 4_200_000, Quirks()) == (
        b'{"model":"org/model","id":"m1","content":[ {"type":"text","text":"\\u00e9"} ],'
        b'"usage":{"input_tokens":7,"output_tokens":3,"cost":0.0042}}'
    )


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize("reported", [None, {"prompt_tokens": 0, "input_tokens": 0}], ids=["silent", "zeros"])
def test_counted_usage_stands_in_forwarded_answers_and_is_marked(dialect: Any, reported: Any) -> None:
    body = (
        openai({"content": "Hi"}, usage=reported)
        if dialect is OPENAI
        else anthropic([{"type": "text", "text": "Hi"}], usage=reported)
    )
    usage = json.loads(dialect.forward_answer(body, VOICE, Usage(5, 2, estimated=True), 1, Quirks()))["usage"]
    assert usage["usage_estimated"] is True
    assert usage.get("prompt_tokens", usage.get("input_tokens")) == 5
    assert usage["cost"] == 1e-09


def test_forwarded_answers_are_in_normal_form() -> None:
    message = {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]}
    body = json.loads(OPENAI.forward_answer(openai(message, "eos"), VOICE, NOTHING, 0, Quirks()))
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hi", "reasoning_content": "hm"}
    call = {"id": "t", "function": {"name": "f", "arguments": {"x": 1}}}
    body = json.loads(
        OPENAI.forward_answer(openai({"reasoning": "hm", "tool_calls": [call]}, None), VOICE, NOTHING, 0, Quirks())
    )
    assert body["choices"][0]["message"]["reasoning_content"] == "hm"
    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"x":1}'
    assert body["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"error":{"message":"m"}}',
        b'{"type":"error","error":{"type":"t","message":"m"}}',
        b'{"message":"m"}',
        b'{"choices":null,"content":null}',
        b'{"choices":5,"content":5}',
        b'{"choices":[5],"content":[5]}',
        b"\xff",
        b"[" * 10_000,
    ],
    ids=lambda body: repr(body[:30]),
)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_what_is_no_answer_is_a_value_error(dialect: Any, body: bytes) -> None:
    for read in (dialect.read_answer, dialect.glance_answer):
        with pytest.raises(ValueError):
            read(body)


def test_an_answer_that_ended_in_an_error_is_none() -> None:
    with pytest.raises(ValueError):
        OPENAI.glance_answer(openai({"content": "Hi"}, "error"))


@pytest.mark.parametrize(
    ("message", "empty"),
    [
        ({"content": ""}, True),
        ({"content": None, "function_call": {"name": ""}, "audio": {"data": ""}}, True),
        ({"content": "x"}, False),
        ({"refusal": "x"}, False),
        ({"reasoning_content": "x"}, False),
        ({"tool_calls": [{"function": {"name": "f"}}]}, False),
        ({"audio": {"data": "x"}}, False),
    ],
    ids=str,
)
def test_empty_answers_are_told(message: dict[str, Any], empty: bool) -> None:
    assert OPENAI.glance_answer(openai(message)).empty is empty


def test_anthropic_emptiness_and_facts() -> None:
    assert ANTHROPIC.glance_answer(anthropic([])) == AnswerFacts(None, "stop", "end_turn", "m1", True, 0)
    assert ANTHROPIC.glance_answer(anthropic([{"type": "text", "text": ""}])).empty
    assert not ANTHROPIC.glance_answer(anthropic([{"type": "compaction", "content": "x"}])).empty
    assert not ANTHROPIC.glance_answer(anthropic([{"type": "tool_use"}])).empty, "an odd block is kept, not refused"


def test_several_choices_and_logprobs() -> None:
    body = openai({"content": "A"}, logprobs=None)
    whole = json.loads(body)
    whole["choices"].append(
        {**whole["choices"][0], "index": 1, "message": {"content": "B"}, "logprobs": {"content": []}}
    )
    answer, facts = OPENAI.read_answer(json.dumps(whole).encode())
    assert facts.output_chars == 2
    back = json.loads(OPENAI.write_answer(answer, VOICE, NOTHING, price(NOTHING)))
    assert [choice["message"]["content"] for choice in back["choices"]] == ["A", "B"]
    assert back["choices"][1]["logprobs"] == {"content": []}
    assert json.loads(ANTHROPIC.write_answer(answer, VOICE, NOTHING, 0))["content"][0]["text"] == "A"
