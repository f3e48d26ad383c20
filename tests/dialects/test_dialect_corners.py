"""Corners of both dialects: rare shapes of requests, streams and answers, each seen or to be expected in the wild."""

import base64
import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, TARGET, VOICE, hear_anthropic_stream, payloads, price
from request_samples import ANTHROPIC_TOOL, CALL, PDF, TOOL, USER, read, refused, to_anthropic, to_openai

from gatewayz.core.chat import Document, Opaque, Refusal, Text
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.stream import (
    AnnotationDelta,
    BlockClosed,
    Ended,
    Finished,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Unknown,
)
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects import citations
from gatewayz.dialects.base import Quirks, Target
from gatewayz.dialects.data_uri import split_data_uri


def openai_parts(*parts: Any) -> tuple[Any, ...]:
    return read(OPENAI, {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}).messages[0].parts


def anthropic_parts(*blocks: Any) -> tuple[Any, ...]:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": list(blocks)}]}
    return read(ANTHROPIC, body).messages[0].parts


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c1", "model": "n", "choices": [choice]}).encode() + b"\n\n"


# ---- requests


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages[0].audio"),
        ({"role": "assistant", "tool_calls": "x"}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": [5]}, "messages[0].tool_calls[0]"),
        ({"role": "assistant", "tool_calls": [{"id": "x"}]}, "messages[0].tool_calls[0].function"),
        ({"role": "assistant", "tool_calls": [{"function": {}}]}, "messages[0].tool_calls[0].function.name"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "messages[0].content[0].text"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url.url"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "messages[0].content[0].input_audio.data"),
        ({"role": "user", "content": [{"type": "file"}]}, "messages[0].content[0].file"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "messages[0].content[0].file.file_data"),
    ],
    ids=str,
)
def test_broken_openai_messages_are_named(message: dict[str, Any], param: str) -> None:
    assert refused(to_anthropic, messages=[message]).param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"function": {"name": "f", "parameters": 5}}]}, "tools[0].function.parameters"),
        ({"tools": [TOOL], "tool_choice": "some"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools.tools"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"reasoning": {"max_tokens": "x"}}, "reasoning.max_tokens"),
        ({"messages": []}, "messages"),
    ],
    ids=str,
)
def test_broken_openai_parameters_are_named(fields: dict[str, Any], param: str) -> None:
    assert refused(to_anthropic, **fields).param == param


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "text", "text": 5}, "messages[0].content[0].text"),
        ({"type": "text"}, "messages[0].content[0].text"),
        ({"type": "image"}, "messages[0].content[0].source"),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text"}]},
            "messages[0].content[0].content[0].text",
        ),
        ({"type": "tool_result", "tool_use_id": "t", "content": 5}, "messages[0].content[0].content"),
    ],
    ids=str,
)
def test_broken_anthropic_blocks_are_named(block: dict[str, Any], param: str) -> None:
    assert refused(to_openai, messages=[{"role": "user", "content": [block]}]).param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "input_schema": 5}]}, "tools[0].input_schema"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"effort": "enormous"}}, "output_config.effort"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000.5}}, "thinking.budget_tokens"),
    ],
    ids=str,
)
def test_broken_anthropic_parameters_are_named(fields: dict[str, Any], param: str) -> None:
    assert refused(to_openai, **fields).param == param


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_a_request_without_messages_is_told_so(dialect: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dialect.glance(b'{"model":"m","max_tokens":5}')
    assert (caught.value.param, caught.value.code) == ("messages", "missing_field")


def test_documents_of_every_source() -> None:
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    parts = anthropic_parts(
        {"type": "document", "source": {"type": "content", "content": texts}, "citations": {"enabled": True}},
        {"type": "document", "source": {"type": "content", "content": "c"}, "context": "C", "title": "T"},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {"type": "search_result", "source": "https://x", "title": "T", "content": texts},
        {"type": "search_result", "source": "https://x", "title": "T", "content": 5},
    )
    assert parts[0] == Document(text="a\nb", citations=True)
    assert parts[1] == Document(text="c", context="C", name="T")
    assert isinstance(parts[2], Opaque)
    assert parts[3] == Document(file_id="f")
    assert parts[4] == Document(text="a\nb", name="T", context="https://x")
    assert isinstance(parts[5], Opaque)


def test_odd_openai_parts() -> None:
    words = {"type": "output_text", "text": "plain"}
    assert openai_parts(words, {"type": "refusal", "refusal": "No."}) == (Text("plain"), Refusal("No."))
    raw = {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}
    assert openai_parts(raw) == (Document(data=PDF, media_type="application/pdf", name="a.pdf"),)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("data:image/png;base64,QUJD", ("image/png", "QUJD")),
        ("DATA:text/plain;charset=utf-8;BASE64,QUJD", ("text/plain", "QUJD")),
        ("data:;base64,QUJD", ("application/octet-stream", "QUJD")),
        ("data:text/html,a%20b", ("text/html", base64.b64encode(b"a b").decode())),
        ("data:,ABC", ("text/plain", "QUJD")),
        ("data:broken", None),
        ("https://x/data:,a", None),
    ],
)
def test_data_uris(url: str, found: tuple[str, str] | None) -> None:
    assert split_data_uri(url) == found


def test_uploaded_files_are_known_to_their_own_provider_only() -> None:
    mine = {"type": "document", "source": {"type": "file", "file_id": "f"}}
    assert refused(to_openai, messages=[{"role": "user", "content": [mine]}]).param == "messages[0].file_id"
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [mine]}]}
    again = json.loads(ANTHROPIC.write_request(read(ANTHROPIC, body), TARGET))
    assert again["messages"][0]["content"] == [mine]
    theirs = {"type": "file", "file": {"file_id": "f"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [theirs]}]}
    assert json.loads(OPENAI.write_request(read(OPENAI, body), TARGET))["messages"] == body["messages"]


def test_a_request_written_in_its_own_dialect_again_keeps_everything() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
    video = {"type": "video_url", "video_url": {"url": "https://x"}}
    body = {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "D"},
            {"role": "user", "content": [{"type": "text", "text": "T"}, audio, video], "name": "Ann"},
            {"role": "assistant", "content": "A", "refusal": "No.", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
        ],
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "tools": [TOOL, {"type": "custom", "custom": {"name": "c"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "description": "d", "schema": {}}},
        "verbosity": "low",
    }
    able = Target("m", Quirks(developer_role=True))
    assert json.loads(OPENAI.write_request(read(OPENAI, body), able)) == body
    assert OPENAI.dropped(read(OPENAI, body), able) == ()
    server_tool = {"type": "web_search_20250305", "name": "web_search"}
    body = {
        "model": "m",
        "max_tokens": 9,
        "system": "S",
        "messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}],
        "tools": [ANTHROPIC_TOOL, server_tool],
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": []},
    }
    assert json.loads(ANTHROPIC.write_request(read(ANTHROPIC, body), Target("m"))) == body
    assert ANTHROPIC.dropped(read(ANTHROPIC, body), Target("m")) == ()


def test_json_object_mode_stays_what_it_is_among_openai_providers() -> None:
    body = {"model": "m", "messages": [USER], "response_format": {"type": "json_object"}}
    assert json.loads(OPENAI.write_request(read(OPENAI, body), TARGET))["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"reasoning": {"enabled": True}}, 8_192),
        ({"thinking": {"type": "enabled"}}, 8_192),
        ({"thinking": {"type": "adaptive"}}, 16_384),
        ({"reasoning": {"effort": "low"}}, 2_048),
    ],
    ids=str,
)
def test_reasoning_in_other_spellings(fields: dict[str, Any], thinking: int) -> None:
    assert to_anthropic(max_tokens=90_000, **fields)["thinking"]["budget_tokens"] == thinking


def test_adaptive_models_without_a_word_choose_themselves() -> None:
    target = Target("n", Quirks(adaptive_thinking=True))
    written = to_anthropic(target, thinking={"type": "adaptive"})
    assert (written["thinking"], "output_config" in written) == ({"type": "adaptive"}, False)
    assert to_anthropic(target, reasoning={"max_tokens": 99_000})["output_config"] == {"effort": "max"}


def test_tool_choice_of_providers_that_choose_themselves() -> None:
    target = Target("n", Quirks(tool_choice=False))
    tools = {"tools": [ANTHROPIC_TOOL]}
    assert "tool_choice" not in to_openai(target, **tools, tool_choice={"type": "auto"})
    assert "tools" not in to_openai(target, **tools, tool_choice={"type": "none"})
    with pytest.raises(InvalidRequest, match="tool_choice"):
        to_openai(target, **tools, tool_choice={"type": "any"})


def test_the_assistants_own_images_are_refused() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x"}}
    messages = [USER, {"role": "assistant", "content": [image]}, USER]
    assert refused(to_anthropic, messages=messages).param == "messages[1]"


def test_files_that_say_they_are_text_and_are_not() -> None:
    binary = base64.b64encode(b"\xff\xfe").decode()
    part = {"type": "file", "file": {"file_data": f"data:text/plain;base64,{binary}"}}
    assert refused(to_anthropic, messages=[{"role": "user", "content": [part]}]).param == "messages[0]"


def test_a_result_before_its_call_stays_text() -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "early"}
    turns = to_anthropic(messages=[USER, result, {"role": "assistant", "tool_calls": [CALL]}], tools=[TOOL])["messages"]
    assert [block["text"] for block in turns[0]["content"]] == ["Hi", "Result of tool call c1:", "early"]
    assert turns[2]["content"][0]["is_error"] is True


def test_a_legacy_result_without_call_is_text() -> None:
    turns = to_anthropic(messages=[USER, {"role": "function", "name": "f", "content": "r"}])["messages"]
    assert turns[0]["content"][1]["text"] == "Result of tool call call_f:"


def test_anthropic_quirks_when_forwarding() -> None:
    def forwarded(fields: dict[str, Any], **quirks: Any) -> dict[str, Any]:
        body = json.dumps({"model": "m", "max_tokens": 9, "messages": [USER], **fields}).encode()
        sent: dict[str, Any] = json.loads(
            ANTHROPIC.forward_request(ANTHROPIC.glance(body), Target("n", Quirks(**quirks)))
        )
        return sent

    assert forwarded({"temperature": 0.9}, max_temperature=0.5)["temperature"] == 0.5
    drop = frozenset({"output_config", "tool_choice"})
    assert "tool_choice" not in forwarded(
        {"tool_choice": {"type": "auto"}, "output_config": {"effort": "low"}}, drop_params=drop
    )
    for fields in (
        {"tool_choice": {"type": "any"}},
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
    ):
        with pytest.raises(InvalidRequest):
            forwarded(fields, drop_params=drop)


# ---- streams


def test_events_with_line_breaks_in_their_data_are_one_line_for_clients() -> None:
    relay = OPENAI.forwarder(VOICE, TARGET, price)
    out = relay.feed(b'data: {"id":"c1","model":"n",\ndata: "choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')
    assert all(line.startswith(b"data: ") or not line for line in out.split(b"\n"))
    relay = ANTHROPIC.forwarder(VOICE, TARGET, price)
    delta = b'data: {"type":"content_block_delta","index":0,\ndata: "delta":{"type":"text_delta","text":"Hi"}}\n\n'
    assert relay.feed(delta) == b"event: content_block_delta\n" + delta.replace(b"\ndata: ", b" ")


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_an_event_without_end_is_an_error_to_readers_and_relays(dialect: Any) -> None:
    huge = b"data: " + b"x" * (33 * 1024 * 1024)
    reader = dialect.reader()
    assert [one.kind for one in reader.feed(huge) if isinstance(one, StreamError)] == ["stream_overflow"]
    assert reader.feed(b"\n\n") == reader.close() == []
    relay = dialect.forwarder(VOICE, TARGET, price)
    relay.feed(huge)
    assert relay.facts.error is not None


def test_anthropic_streams_without_their_last_blank_line() -> None:
    ending = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4}).rstrip()
    relay = ANTHROPIC.forwarder(VOICE, TARGET, price)
    relay.feed(ending)
    assert not relay.facts.ended
    relay.close()
    assert (relay.facts.ended, relay.facts.usage) == (True, Usage(0, 4))
    reader = ANTHROPIC.reader()
    assert reader.feed(ending) == []
    assert [type(one) for one in reader.close()][-2:] == [Finished, Ended]
    for torn in (ANTHROPIC.forwarder(VOICE, TARGET, price), ANTHROPIC.reader()):
        torn.feed(ending[:-4])
        assert not torn.close()


def test_anthropic_members_that_a_profile_names_are_stripped() -> None:
    target = Target("n", Quirks(strip_answer_fields=frozenset({"container"})))
    relay = ANTHROPIC.forwarder(VOICE, target, price)
    relay.feed(event("message_start", message={"model": "c", "container": 1, "usage": {"input_tokens": 7}}))
    text = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"})
    assert payloads(relay.feed(text))[0]["message"] == {"model": "org/model", "usage": {"input_tokens": 7}}
    answer = b'{"type":"message","content":[],"model":"c","container":1}'
    forwarded = json.loads(ANTHROPIC.forward_answer(answer, VOICE, NOTHING, 0, target.quirks))
    assert "container" not in forwarded


def test_an_event_name_that_would_break_the_stream_is_not_passed_on() -> None:
    relay = ANTHROPIC.forwarder(VOICE, TARGET, price)
    relay.feed(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}))
    assert relay.feed(b'data: {"type":"a\\nevent: b"}\n\n') == b""
    assert relay.facts.unknown_events == 1


def test_waiting_blocks_that_were_closed_before_their_turn() -> None:
    events: list[StreamEvent] = [
        ToolCallStarted("t1", "f", block=0),
        ToolCallStarted("t2", "g", block=1),
        ToolCallDelta("{}", block=1),
        BlockClosed(block=1),
        ToolCallStarted("t3", "h", block=2),
        BlockClosed(block=2),
        ToolCallDelta("{}", block=0),
        BlockClosed(block=0),
        Finished("tool_calls"),
    ]
    writer = ANTHROPIC.writer(VOICE, price)
    out = b"".join(writer.write(one) for one in events) + writer.finish(NOTHING, 0)
    assert hear_anthropic_stream(out).inputs() == [("f", {}), ("g", {}), ("h", {})]


def test_citations_in_both_forms() -> None:
    mine = {"type": "url_citation", "url_citation": {"url": "https://x"}}
    assert citations.to_openai(mine, 0, 1) is mine
    assert citations.to_openai("odd", 0, 1) == {"type": "citation", "citation": "odd"}
    page = {"type": "page_location", "cited_text": "c", "start_page_number": 1}
    there = citations.to_openai(page, 0, 1)
    assert citations.to_anthropic(there) == page
    assert citations.to_anthropic("odd") is None
    assert citations.to_anthropic({"type": "new"}) is None


def test_rare_members_of_openai_deltas() -> None:
    reader = OPENAI.reader()
    note = {"type": "url_citation", "url_citation": {"url": "https://x"}}
    events = reader.feed(
        chunk({"audio": {"transcript": "Hi"}}) + chunk({"annotations": [note]}) + chunk({"tool_calls": [5]})
    )
    assert events[1:] == [TextDelta("Hi", 0, 0), AnnotationDelta(note, "openai", 0, 0)]


def test_rare_members_of_anthropic_events() -> None:
    reader = ANTHROPIC.reader()
    note = {"type": "char_location", "cited_text": "c"}
    events = reader.feed(
        event("content_block_start", index=0, content_block={"type": "text", "text": "A", "citations": [note]})
    )
    assert events == [TextDelta("A", 0, 0), AnnotationDelta(note, "anthropic", 0, 0)]
    events = reader.feed(event("content_block_delta", index=0, delta={"type": "sparkle_delta"}))
    assert [type(one) for one in events] == [Unknown]


def test_usage_that_is_no_object_is_none() -> None:
    delta = event("message_delta", delta={"stop_reason": "end_turn"}, usage="many")
    relay = ANTHROPIC.forwarder(VOICE, TARGET, price)
    relay.feed(delta)
    assert relay.facts.usage is None
    assert payloads(relay.finish(Usage(1, 2), 5))[0]["usage"]["output_tokens"] == 2


def test_half_surrogate_pairs_in_anthropic_events_survive() -> None:
    half = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "\ud83d"})
    relay = ANTHROPIC.forwarder(VOICE, TARGET, price)
    assert relay.feed(half) == half
    delta = event(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": "\ud83d"}, usage={"output_tokens": 4}
    )
    relay.feed(delta)
    assert payloads(relay.finish(Usage(1, 4), 5))[0]["delta"]["stop_sequence"] == "\ud83d"
