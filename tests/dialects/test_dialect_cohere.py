"""Cohere's chat: every recording against an independent reading, odd streams, and requests of both clients."""

import itertools
import json
from typing import Any

import pytest
from cohere_samples import (
    COHERE,
    PLAIN,
    THINKER,
    Recording,
    content,
    end,
    event,
    hear,
    left_out,
    read,
    read_all,
    recordings,
    to_cohere,
)
from dialect_samples import ANTHROPIC, OPENAI, VOICE, hear_anthropic_stream, hear_openai_stream, price, relayed
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core.chat import Opaque, Text, Thinking, ToolCall
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.stream import (
    AnnotationDelta,
    BlockClosed,
    Ended,
    Finished,
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
from gatewayz.dialects.base import Dialect, Quirks, Target

FINISH = {"COMPLETE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls", "STOP_SEQUENCE": "stop"}
CLIENTS = pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
CITATION = {
    "start": 2, "end": 6, "text": "sunn", "content_index": 0, "type": "TEXT_CONTENT",
    "sources": [{"type": "document", "id": "1", "document": {"title": "T", "text": "Sunny days."}}],
}  # fmt: skip
GOOD = b"".join(
    (
        event("message-start", id="c-1", delta={"message": {"role": "assistant"}}),
        event("content-start", index=0, delta={"message": {"content": {"type": "thinking", "thinking": ""}}}),
        content(0, thinking="Hm, 你好"),
        event("content-end", index=0),
        event("content-start", index=1, delta={"message": {"content": {"type": "text", "text": ""}}}),
        content(1, text="Grüße 😀"),
        event("content-end", index=1),
        event("tool-call-start", index=0, delta={"message": {"tool_calls": {**CALL, "function": {"name": "f", "arguments": ""}}}}),
        event("tool-call-delta", index=0, delta={"message": {"tool_calls": {"function": {"arguments": '{"a":1}'}}}}),
        event("tool-call-end", index=0),
        end("TOOL_CALL", usage={"billed_units": {"input_tokens": 3, "output_tokens": 4}}),
        b"data: [DONE]\n\n",
    )
)  # fmt: skip


def of(found: Any, kind: type) -> list[Any]:
    return [each for each in found if isinstance(each, kind)]


@pytest.mark.ac("AC-CC.13.1")
@pytest.mark.parametrize("recording", recordings(stream=False))
def test_plain_answers_say_what_their_bytes_say(recording: Recording) -> None:
    said = hear(recording)
    answer, facts = COHERE.read_answer(recording.body)
    (choice,) = answer.choices
    assert "".join(part.text for part in of(choice.parts, Text)) == said.text
    assert "".join(part.text for part in of(choice.parts, Thinking)) == said.thoughts
    calls = [(part.id, part.name, json.loads(part.arguments)) for part in of(choice.parts, ToolCall)]
    assert calls == said.calls and not of(choice.parts, Opaque)
    cited = [each["url_citation"]["url"] for part in of(choice.parts, Text) for each in part.annotations]
    assert cited == said.urls
    assert (choice.finish, choice.native_finish, facts.usage) == (FINISH[str(said.reason)], said.reason, said.usage)
    assert facts.upstream_id == json.loads(recording.body)["id"]


@pytest.mark.ac("AC-CC.13.1")
@pytest.mark.parametrize("recording", recordings(stream=True))
def test_streams_say_what_their_bytes_say(recording: Recording) -> None:
    said, found = hear(recording), read_all(recording.body)
    assert "".join(each.text for each in of(found, TextDelta)) == said.text
    assert "".join(each.text for each in of(found, ThinkingDelta)) == said.thoughts
    started = of(found, ToolCallStarted)
    fragments = [
        "".join(each.fragment for each in of(found, ToolCallDelta) if each.block == call.block) for call in started
    ]
    assert [(call.id, call.name, json.loads(text)) for call, text in zip(started, fragments, strict=True)] == said.calls
    assert [each.usage for each in of(found, UsageReport)] == [said.usage]
    (finished,) = of(found, Finished)
    assert (finished.finish, finished.native_finish) == (FINISH[str(said.reason)], said.reason)
    assert isinstance(found[-1], Ended) and not of(found, Unknown)
    opened = {each.block for each in found if isinstance(each, (TextDelta, ThinkingDelta, ToolCallStarted))}
    assert sorted(each.block for each in of(found, BlockClosed)) == sorted(opened)


@CLIENTS
@pytest.mark.parametrize("recording", recordings(stream=True))
def test_streams_reach_the_clients(recording: Recording, client: Dialect) -> None:
    said = hear(recording)
    shown = relayed(bridge(client, COHERE, VOICE, THINKER, price), [recording.body])
    found = hear_openai_stream(shown) if client is OPENAI else hear_anthropic_stream(shown)
    assert (found.text, found.reasoning) == (said.text, said.thoughts)
    assert found.inputs() == [call[1:] for call in said.calls] and found.done == 1


@pytest.mark.parametrize("body", [GOOD, *(each.values[0].body for each in recordings(stream=True) if each.values[0])])
def test_single_bytes_give_the_same_events(body: bytes) -> None:
    reader = COHERE.reader()
    assert [each for i in range(len(body)) for each in reader.feed(body[i : i + 1])] + reader.close() == read_all(body)


@given(st.lists(st.integers(0, len(GOOD)), max_size=8))
def test_any_split_gives_the_same_events(places: list[int]) -> None:
    reader, ends = COHERE.reader(), [0, *sorted(places), len(GOOD)]
    assert [e for a, b in itertools.pairwise(ends) for e in reader.feed(GOOD[a:b])] + reader.close() == read_all(GOOD)


@given(st.integers(0, GOOD.index(b"event: message-end")))
def test_a_stream_that_is_cut_off_is_no_whole_answer(place: int) -> None:
    assert not of(read_all(GOOD[:place]), Ended)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_raising(data: bytes) -> None:
    assert not of(read_all(data), Ended)


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (end("ERROR", error="It broke."), "It broke."),
        (end("ERROR"), "ended with ERROR"),
        (end("TIMEOUT"), "ended with TIMEOUT"),
        (b'data: {"id":"x","message":"internal server error"}\n\n', "internal server error"),
        (b'event: error\ndata: {"message":"no"}\n\n', "no"),
    ],
)
def test_a_failure_is_told_and_nothing_after_it(tail: bytes, message: str) -> None:
    found = read_all(content(text="Hi") + tail + GOOD)
    assert isinstance(found[-1], StreamError) and message in found[-1].message and not of(found, Ended)


def test_a_plan_is_text_before_the_calls_and_a_bare_call_has_an_empty_object() -> None:
    body = event("tool-plan-delta", delta={"message": {"tool_plan": "I will look."}})
    start = {"message": {"tool_calls": {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}}}
    body += event("tool-call-start", index=0, delta=start) + event("tool-call-end", index=0) + end("TOOL_CALL")
    found = read_all(body)
    kinds = [type(each).__name__ for each in found]
    assert kinds == [
        "TextDelta", "BlockClosed", "ToolCallStarted", "ToolCallDelta", "BlockClosed", "Finished", "Ended",
    ]  # fmt: skip
    assert (found[1].block, found[2].block, found[3].fragment) == (0, 1, "{}")


def test_unknown_content_is_counted_and_passed_on() -> None:
    odd = event("content-start", index=4, delta={"message": {"content": {"type": "image", "image": {}}}})
    odd += event("novelty", text="x") + content(text="Hi") + end()
    relay = bridge(OPENAI, COHERE, VOICE, THINKER, price)
    assert hear_openai_stream(relayed(relay, [odd])).text == "Hi"
    assert relay.facts.unknown_events == 2 and relay.facts.ended


def test_citations_of_documents_are_anthropics_and_those_of_addresses_openais() -> None:
    sources = [*CITATION["sources"], {"type": "tool", "id": "t", "tool_output": {"url": "https://e.org", "title": "E"}}]
    citation = {**CITATION, "sources": [*sources, {"type": "tool", "id": "c1:0", "tool_output": {"x": 1}}]}  # type: ignore[misc]
    message = {"content": [{"type": "text", "text": "A sunny day."}], "citations": [citation]}
    answer, _ = COHERE.read_answer(json.dumps({"id": "i", "message": message, "finish_reason": "COMPLETE"}).encode())
    (part,) = answer.choices[0].parts
    document, page, tool = part.annotations  # type: ignore[union-attr]
    assert document == {
        "type": "char_location", "cited_text": "Sunny days.", "document_index": 1, "document_title": "T",
        "start_char_index": 0, "end_char_index": 11,
    }  # fmt: skip
    inner = {"start_index": 2, "end_index": 6, "url": "https://e.org", "title": "E"}
    assert page == {"type": "url_citation", "url_citation": inner}
    assert tool["cited_text"] == "sunn" and tool["source"] == "c1:0"
    body = content(text="A sunny day.") + event("citation-start", index=0, delta={"message": {"citations": citation}})
    body += event("citation-end", index=0) + end()
    assert [each.annotation for each in of(read_all(body), AnnotationDelta)] == [document, page, tool]


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {"billed_units": {"input_tokens": 83, "output_tokens": 109}, "cached_tokens": 144,
             "tokens": {"input_tokens": 379, "output_tokens": 164, "reasoning_tokens": 54}},
            Usage(83, 109, reasoning_tokens=54),
        ),
        ({"billed_units": {"input_tokens": 12.0, "output_tokens": 10.0}}, Usage(12, 10)),
        ({"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 5, "output_tokens": 6}}, Usage(5, 6)),
        ({"billed_units": {"input_tokens": -1, "output_tokens": True}}, Usage()),
        ({"billed_units": {}}, None),
        (None, None),
    ],
)  # fmt: skip
def test_what_is_billed_is_what_counts(raw: Any, usage: Usage | None) -> None:
    message = {"content": [{"type": "text", "text": "Hi"}]}
    body = {"id": "i", "message": message, "finish_reason": "COMPLETE", "usage": raw}
    assert COHERE.read_answer(json.dumps(body).encode())[1].usage == usage
    assert [each.usage for each in of(read_all(content(text="Hi") + end(usage=raw)), UsageReport)] == (
        [usage] if usage else []
    )


def test_probabilities_are_in_openais_form() -> None:
    item = {"text": "Hi", "token_ids": [1, 2], "logprobs": [-0.25, -0.5]}
    wanted = {"token": "Hi", "logprob": -0.75, "bytes": [72, 105], "top_logprobs": []}
    body = {
        "id": "i",
        "message": {"content": [{"type": "text", "text": "Hi"}]},
        "finish_reason": "COMPLETE",
        "logprobs": [item],
    }
    assert COHERE.read_answer(json.dumps(body).encode())[0].choices[0].logprobs["content"] == [wanted]
    delta = event("content-delta", index=0, delta={"message": {"content": {"text": "Hi"}}}, logprobs=item)
    assert of(read_all(delta), TextDelta)[0].logprobs["content"] == [wanted]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"message":"no"}', b'{"id":"a"}', b'{"message":{"content":[]},"finish_reason":"ERROR"}', b"\xff"],
)
def test_what_is_no_answer_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError):
        COHERE.read_answer(body)


def test_a_plain_request() -> None:
    body = to_cohere(
        OPENAI, PLAIN, stream=True, max_tokens=7, temperature=0.5, top_p=1, seed=3, stop="END", logprobs=True,
        presence_penalty=2, frequency_penalty=0.5,
        messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    )  # fmt: skip
    assert body == {
        "model": PLAIN.native_id,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream": True, "max_tokens": 7, "temperature": 0.5, "p": 0.99, "seed": 3, "stop_sequences": ["END"],
        "logprobs": True, "presence_penalty": 1, "frequency_penalty": 0.5,
    }  # fmt: skip


def test_what_has_no_place_is_named() -> None:
    fields = {"presence_penalty": -1, "seed": -3, "user": "u", "logit_bias": {"5": 1}, "metadata": {"a": "b"}}
    assert left_out(OPENAI, **fields) == set(fields)
    assert left_out(OPENAI, PLAIN, reasoning_effort="high") == {"reasoning_effort"}


@pytest.mark.parametrize(
    ("effort", "thinking"),
    [
        ("none", {"type": "disabled"}),
        ("low", {"type": "enabled", "token_budget": 2048}),
        ("high", {"type": "enabled", "token_budget": 16384}),
    ],
)
def test_thinking(effort: str, thinking: Any) -> None:
    assert to_cohere(OPENAI, reasoning_effort=effort)["thinking"] == thinking
    assert "thinking" not in to_cohere(OPENAI, PLAIN, reasoning_effort=effort)
    shared = to_cohere(OPENAI, reasoning_effort=effort, max_tokens=1000)["thinking"]
    assert shared == ({**thinking, "token_budget": 500} if "token_budget" in thinking else thinking)
    budget = {"thinking": {"type": "enabled", "budget_tokens": 3000}, "max_tokens": 5000}
    assert to_cohere(ANTHROPIC, **budget)["thinking"] == {"type": "enabled", "token_budget": 3000}


def test_tools_choices_and_strictness() -> None:
    tools = [{"type": "function", "function": {**FUNCTION, "name": name}} for name in ("f", "g")]
    assert "tool_choice" not in to_cohere(OPENAI, tools=tools, tool_choice="auto")
    assert to_cohere(OPENAI, tools=tools, tool_choice="none")["tool_choice"] == "NONE"
    assert to_cohere(OPENAI, tools=tools, tool_choice="required")["tool_choice"] == "REQUIRED"
    named = to_cohere(OPENAI, tools=tools, tool_choice={"type": "function", "function": {"name": "g"}})
    assert (named["tools"], named["tool_choice"]) == ([tools[1]], "REQUIRED")
    strict = [{"type": "function", "function": {**FUNCTION, "strict": True}}]
    assert to_cohere(OPENAI, tools=strict)["strict_tools"] is True
    assert left_out(OPENAI, tools=[*strict, tools[1]]) == {"tools.strict"}


def test_what_the_model_said_goes_back_where_it_was() -> None:
    messages: list[Any] = [
        {"role": "user", "content": "One."},
        {"role": "assistant", "content": "I will look.", "reasoning_content": "Hm.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "assistant", "content": "Two.", "reasoning_content": "So."},
        {"role": "user", "content": "?"},
    ]
    sent = to_cohere(OPENAI, messages=messages)["messages"]
    assert sent[1] == {
        "role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}], "tool_plan": "I will look.", "tool_calls": [CALL],
    }  # fmt: skip
    assert sent[2] == {"role": "tool", "tool_call_id": "c1", "content": "done"}
    assert sent[3]["content"] == [{"type": "thinking", "thinking": "So."}, {"type": "text", "text": "Two."}]
    plain = to_cohere(OPENAI, PLAIN, messages=messages)["messages"]
    assert plain[3] == {"role": "assistant", "content": "Two."} and "content" not in plain[1]
    thought = {"type": "thinking", "thinking": "Signed elsewhere.", "signature": "c2ln"}
    said = [
        {"role": "user", "content": "One."},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "Two."}]},
    ]
    assert "Signed elsewhere" not in json.dumps(to_cohere(ANTHROPIC, messages=[*said, said[0]]))


def test_documents_to_be_cited_stand_beside_the_messages() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Sunny."}
    cited = {"type": "document", "title": "T", "source": source, "citations": {"enabled": True}}
    content = [{"type": "text", "text": "Sum up."}, cited, {**cited, "title": "U"}, {**cited, "citations": None}]
    body = to_cohere(ANTHROPIC, messages=[{"role": "user", "content": content}])
    assert body["documents"] == [
        {"id": "0", "data": {"title": "T", "text": "Sunny."}}, {"id": "1", "data": {"title": "U", "text": "Sunny."}},
    ]  # fmt: skip
    assert [each["text"] for each in body["messages"][0]["content"]] == ["Sum up.", "Document: T\n\nSunny."]


def test_forms_of_answers() -> None:
    assert to_cohere(OPENAI, response_format={"type": "json_object"})["response_format"] == {"type": "json_object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    sent = to_cohere(OPENAI, response_format=wanted)["response_format"]
    assert sent == {"type": "json_object", "json_schema": SCHEMA}


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("n", {"n": 2}),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 2}),
        ("stop", {"stop": ["a", "b", "c", "d", "e", "f"]}),
        ("web_search_options", {"web_search_options": {}}),
    ],
)
def test_another_kind_of_answer_is_refused_by_name(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        request = read(OPENAI, fields)
        COHERE.write_request(request, THINKER)
    assert caught.value.param == param


def test_what_an_operator_adds_and_drops() -> None:
    target = Target(
        PLAIN.native_id, Quirks(add_params={"safety_mode": "STRICT"}, drop_params=frozenset({"p", "tools"}))
    )
    body = to_cohere(OPENAI, target, top_p=0.5)
    assert body["safety_mode"] == "STRICT" and "p" not in body and left_out(OPENAI, target, top_p=0.5) == {"p"}
    with pytest.raises(InvalidRequest):
        to_cohere(OPENAI, target, tools=[{"type": "function", "function": FUNCTION}])


@pytest.mark.parametrize("recording", recordings(ok=False))
def test_recorded_errors_are_understood(recording: Recording) -> None:
    assert COHERE.read_error(recording.body).message == json.loads(recording.body)["message"]
    with pytest.raises(ValueError):
        COHERE.read_answer(recording.body)
