"""Requests of both clients as Gemini gets them: turns, parts, media, results, thinking, sampling; what is refused or left out."""

import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI
from gemini_samples import GEMINI, NEW, OLD, left_out, read, to_gemini
from hypothesis import given
from test_dialect_properties import conversations

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.base import Dialect, Quirks, Target
from gatewayz.dialects.conversation import NO_RESULT, OPENING
from gatewayz.dialects.gemini.generation import thinker, version_of
from gatewayz.dialects.gemini.signed import EXCUSED
from gatewayz.dialects.signatures import seal

PNG = "iVBORw0KGgo="
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "number"}}}}
TOOLS = [{"type": "function", "function": FUNCTION}]


def turns(client: Dialect = OPENAI, target: Target = OLD, **fields: Any) -> list[tuple[str, list[Any]]]:
    contents = to_gemini(client, target, **fields)["contents"]
    return [(content["role"], content["parts"]) for content in contents]


def refused(client: Dialect = OPENAI, target: Target = OLD, **fields: Any) -> InvalidRequest:
    request = read(client, fields)
    with pytest.raises(InvalidRequest) as caught:
        GEMINI.write_request(request, target)
    with pytest.raises(InvalidRequest):
        GEMINI.dropped(request, target)
    assert caught.value.param
    return caught.value


def call(call_id: str, name: str = "f", arguments: str = '{"x": 1.50}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_leading_system_messages_become_the_instruction_and_later_ones_keep_their_place() -> None:
    messages = [
        {"role": "system", "content": "A"},
        {"role": "developer", "content": [{"type": "text", "text": "B"}]},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "C"},
        {"role": "assistant", "content": "Yo"},
    ]
    body = to_gemini(OPENAI, messages=messages)
    assert body["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "Hi"}, {"text": "<system>\nC\n</system>"}]},
        {"role": "model", "parts": [{"text": "Yo"}]},
    ]
    assert to_gemini(ANTHROPIC, system="A")["systemInstruction"] == {"parts": [{"text": "A"}]}
    assert "systemInstruction" not in to_gemini(OPENAI)


def test_a_conversation_begins_with_the_user() -> None:
    opening = ("user", [{"text": OPENING}])
    assert turns(messages=[{"role": "system", "content": "S"}]) == [opening]
    assert turns(messages=[{"role": "assistant", "content": "I"}]) == [opening, ("model", [{"text": "I"}])]


def test_neighbouring_turns_are_one_and_empty_texts_are_left_out() -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": ""}]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "c"},
    ]
    assert turns(messages=messages) == [("user", [{"text": "a"}, {"text": "b"}]), ("model", [{"text": "c"}])]


@pytest.mark.ac("AC-CC.13.1")
def test_calls_and_results_round_trip_in_any_order() -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Looking.", "tool_calls": [call("c1"), call("c2", "g", "")]},
        {"role": "user", "content": "By the way"},
        {"role": "tool", "tool_call_id": "c2", "content": '{"sun": true, "t": 21.0}'},
        {"role": "tool", "tool_call_id": "c1", "content": "[1, 2]"},
    ]
    found = turns(messages=messages, tools=TOOLS)
    assert found[1] == (
        "model",
        [
            {"text": "Looking."},
            {"functionCall": {"name": "f", "args": {"x": 1.5}}},
            {"functionCall": {"name": "g", "args": {}}},
        ],
    )
    assert found[2] == (
        "user",
        [
            {"functionResponse": {"name": "g", "response": {"sun": True, "t": 21.0}}},
            {"functionResponse": {"name": "f", "response": {"output": "[1, 2]"}}},
            {"text": "By the way"},
        ],
    )
    written = GEMINI.write_request(read(OPENAI, {"messages": messages, "tools": TOOLS}), OLD)
    assert b'{"x": 1.50}' in written and b'{"sun": true, "t": 21.0}' in written, "numbers keep their spelling"


def test_from_the_third_generation_on_calls_and_results_carry_their_ids() -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [call("c1"), call("c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": "a"},
        {"role": "tool", "tool_call_id": "c2", "content": "b"},
    ]
    for target, marked in ((OLD, False), (NEW, True), (Target("gemini-pro-latest"), True), (Target("gemma-3"), False)):
        (_, model, user) = turns(target=target, messages=messages)
        calls = [part["functionCall"].get("id") for part in model[1]]
        results = [part["functionResponse"].get("id") for part in user[1]]
        assert calls == results == (["c1", "c2"] if marked else [None, None])
        assert [part.get("thoughtSignature") for part in model[1]] == [EXCUSED if marked else None, None]


def test_results_that_fail_are_missing_or_hold_an_image() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": n, "name": n, "input": {}} for n in "abc"]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "b", "content": "no", "is_error": True},
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "see"}, image]},
            ],
        },
    ]
    assert turns(ANTHROPIC, messages=messages)[2][1] == [
        {"functionResponse": {"name": "b", "response": {"error": "no"}}},
        {"functionResponse": {"name": "a", "response": {"output": "see"}}},
        {"functionResponse": {"name": "c", "response": {"error": NO_RESULT}}},
        {"text": "Result of tool call a:"},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
    ]


def test_arguments_that_are_no_object_are_kept_as_text() -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call("c", arguments="[1")]}]
    assert turns(messages=messages)[1][1][0]["functionCall"]["args"] == {"invalid_arguments": "[1"}


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{PNG}"}},
            {"inlineData": {"mimeType": "image/webp", "data": PNG}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://h/a/b.JPG?x=1"}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/a/b.JPG?x=1"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "gs://bucket/b.png"}},
            {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/b.png"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
        ),
        (
            {"type": "file", "file": {"file_data": "https://h/paper"}},
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://h/paper"}},
        ),
        (
            {"type": "file", "file": {"file_data": "https://h/notes.txt"}},
            {"fileData": {"mimeType": "text/plain", "fileUri": "https://h/notes.txt"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
        ),
    ],
    ids=["image", "image-url", "image-gs", "pdf", "pdf-url", "text-url", "wav", "mp3"],
)
def test_media(part: dict[str, Any], written: dict[str, Any]) -> None:
    assert turns(messages=[{"role": "user", "content": [part]}]) == [("user", [written])]


def test_documents_of_anthropic_clients() -> None:
    plain = {
        "type": "document",
        "title": "T",
        "context": "C",
        "source": {"type": "text", "media_type": "text/plain", "data": "D"},
    }
    cited = {"type": "document", "source": {"type": "url", "url": "https://h/x.pdf"}, "citations": {"enabled": True}}
    messages = [{"role": "user", "content": [plain, cited]}]
    assert turns(ANTHROPIC, messages=messages)[0][1] == [
        {"text": "Document: T\n\nC\n\nD"},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://h/x.pdf"}},
    ]
    assert left_out(ANTHROPIC, messages=messages) == {"documents.citations"}


def test_what_cannot_be_said_is_refused_by_name() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://h/picture"}}
    assert (
        refused(messages=[{"role": "user", "content": "a"}, {"role": "user", "content": [image]}]).param
        == "messages[1]"
    )
    assert refused(messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]).param
    assert refused(messages=[{"role": "user", "content": [{"type": "video", "video": {}}]}]).param == "messages[0]"
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    assert refused(ANTHROPIC, messages=[{"role": "assistant", "content": [block]}]).param
    assert refused(ANTHROPIC, tools=[{"type": "web_search_20250305", "name": "web_search"}]).param == "tools"
    assert refused(tools=[{"type": "function", "function": {"name": "1st"}}]).param == "tools[0]"
    assert refused(n=9).param == "n"
    assert refused(stop=list("abcdef")).param == "stop"
    assert refused(web_search_options={"user_location": {}}).param == "web_search_options"
    assert refused(modalities=["text", "audio"]).param == "modalities"
    assert to_gemini(OPENAI, modalities=["text"])


def test_sampling() -> None:
    body = to_gemini(
        OPENAI, max_completion_tokens=99, temperature=1.5, top_p=0.9, top_k=40, seed=7, presence_penalty=0.5,
        frequency_penalty=-0.5, stop=["a", "b"], n=2, logprobs=True, top_logprobs=3,
    )  # fmt: skip
    assert body["generationConfig"] == {
        "maxOutputTokens": 99, "temperature": 1.5, "topP": 0.9, "topK": 40, "seed": 7, "presencePenalty": 0.5,
        "frequencyPenalty": -0.5, "stopSequences": ["a", "b"], "candidateCount": 2, "responseLogprobs": True,
        "logprobs": 3,
    }  # fmt: skip
    assert to_gemini(ANTHROPIC, stop_sequences=["x"], top_k=3)["generationConfig"] == {
        "maxOutputTokens": 50,
        "topK": 3,
        "stopSequences": ["x"],
    }
    quirky = Target("gemini-2.5-flash", Quirks(max_temperature=1.0, drop_params=frozenset({"seed", "topK"})))
    assert to_gemini(OPENAI, quirky, temperature=1.5, seed=7, top_k=1)["generationConfig"] == {"temperature": 1.0}
    assert left_out(OPENAI, quirky, seed=7, top_k=1) == {"seed", "topK"}
    assert refused(target=Target("gemini-2.5-flash", Quirks(drop_params=frozenset({"tools"}))), tools=TOOLS).param


def test_what_is_left_out_is_named() -> None:
    cached = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    given = left_out(
        OPENAI, logit_bias={"1": 1}, user="u", metadata={"a": "b"}, service_tier="flex", parallel_tool_calls=False,
        tools=[{"type": "function", "function": {**FUNCTION, "strict": True}}], seed=2**40, store=True,
        messages=[{"role": "user", "name": "n", "content": [cached]}],
    )  # fmt: skip
    assert given == {
        "logit_bias", "user", "metadata", "service_tier", "parallel_tool_calls", "tools.strict", "seed", "store",
        "messages.name", "cache_control",
    }  # fmt: skip
    assert left_out(OPENAI, service_tier="auto", parallel_tool_calls=True, reasoning_effort="low") == set()
    assert left_out(OPENAI, Target("gemini-2.0-flash"), reasoning_effort="low") == {"reasoning_effort"}
    assert left_out(OPENAI, Target("gemini-2.0-flash"), reasoning_effort="none") == set()


def test_structured_output() -> None:
    assert to_gemini(OPENAI, response_format={"type": "json_object"})["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    assert "generationConfig" not in to_gemini(OPENAI, response_format={"type": "text"})
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {**schema, "$schema": "s"}}}
    expected = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    assert to_gemini(OPENAI, response_format=wanted)["generationConfig"] == expected
    body = to_gemini(ANTHROPIC, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert body["generationConfig"] == {"maxOutputTokens": 50, **expected}


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-flash", "none", {"includeThoughts": False, "thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"includeThoughts": False, "thinkingBudget": 128}),
        ("gemini-2.5-flash", "minimal", {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.5-flash", "medium", {"includeThoughts": True, "thinkingBudget": 8192}),
        ("gemini-2.5-flash", "max", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-2.5-pro", "xhigh", {"includeThoughts": True, "thinkingBudget": 32768}),
        ("gemini-3-flash-preview", "none", {"includeThoughts": False, "thinkingLevel": "minimal"}),
        ("gemini-3-flash-preview", "medium", {"includeThoughts": True, "thinkingLevel": "medium"}),
        ("gemini-3-pro-preview", "minimal", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3-pro-preview", "medium", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("google/gemini-3.1-pro-preview", "medium", {"includeThoughts": True, "thinkingLevel": "medium"}),
        ("gemini-flash-latest", "max", {"includeThoughts": True, "thinkingLevel": "high"}),
    ],
)
def test_effort(model: str, effort: str, config: dict[str, Any]) -> None:
    assert to_gemini(OPENAI, Target(model), reasoning_effort=effort)["generationConfig"]["thinkingConfig"] == config


@pytest.mark.parametrize(
    ("model", "thinking", "config"),
    [
        ("gemini-2.5-flash", {"type": "enabled", "budget_tokens": 5000}, {"thinkingBudget": 5000}),
        ("gemini-2.5-flash", {"type": "enabled", "budget_tokens": 99999}, {"thinkingBudget": 24576}),
        ("gemini-2.5-flash", {"type": "adaptive"}, {"thinkingBudget": -1}),
        ("gemini-3-flash-preview", {"type": "enabled", "budget_tokens": 2000}, {"thinkingLevel": "low"}),
        ("gemini-3-flash-preview", {"type": "enabled", "budget_tokens": 9000}, {"thinkingLevel": "high"}),
        ("gemini-3-flash-preview", {"type": "adaptive"}, {}),
    ],
)
def test_budget(model: str, thinking: dict[str, Any], config: dict[str, Any]) -> None:
    body = to_gemini(ANTHROPIC, Target(model), thinking=thinking)
    assert body["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, **config}


def test_models_that_do_not_think() -> None:
    for model in ("gemini-2.0-flash", "gemma-3-27b-it", "gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts", "x"):
        assert thinker(model) is None
        assert "generationConfig" not in to_gemini(OPENAI, Target(model), reasoning_effort="high")
    assert version_of("models/gemini-3.1-pro-preview-customtools") == (3, 1)


def test_a_signature_returns_to_its_place_even_if_ids_changed() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": seal("call1", "S1"), "index": 0},
        {"type": "reasoning.encrypted", "data": seal("text", "S2"), "index": 1},
        {"type": "reasoning.encrypted", "data": seal("end", "S3"), "index": 2},
        {"type": "reasoning.encrypted", "data": seal("thought", "S4"), "index": 3},
    ]
    message = {"role": "assistant", "content": "T", "reasoning_details": details, "tool_calls": [call("x"), call("y")]}
    found = turns(target=NEW, messages=[{"role": "user", "content": "Hi"}, message])[1][1]
    assert found[:3] == [
        {"text": "hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "S4"},
        {"text": "T", "thoughtSignature": "S2"},
    ]
    assert [part["thoughtSignature"] for part in found[3:]] == [EXCUSED, "S1", "S3"]


def test_a_signature_that_another_gateway_brought_along_goes_to_the_first_call() -> None:
    details = [{"type": "reasoning.encrypted", "data": "BARE", "format": "google-gemini-v1", "index": 0}]
    message = {"role": "assistant", "content": "T", "reasoning_details": details, "tool_calls": [call("x")]}
    found = turns(target=NEW, messages=[{"role": "user", "content": "Hi"}, message])[1][1]
    assert found[1]["thoughtSignature"] == "BARE"
    alone = turns(messages=[{"role": "user", "content": "Hi"}, {**message, "tool_calls": None}])[1][1]
    assert alone == [{"text": "T"}, {"text": "", "thoughtSignature": "BARE"}]


def test_another_gateway_gets_the_signatures_bare_and_others_none() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": seal("call0", "S1"), "index": 0},
        {"type": "reasoning.encrypted", "data": seal("end", "S2"), "index": 1},
    ]
    message = {"role": "assistant", "content": "T", "reasoning_details": details, "tool_calls": [call("x")]}
    request = read(OPENAI, {"messages": [{"role": "user", "content": "Hi"}, message]})
    written = json.loads(OPENAI.write_request(request, Target("m", Quirks(reasoning_details=True))))
    assert written["messages"][1]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "index": 0, "format": "google-gemini-v1"},
        {"type": "reasoning.encrypted", "data": "S1", "index": 1, "format": "google-gemini-v1"},
        {"type": "reasoning.encrypted", "data": "S2", "index": 2, "format": "google-gemini-v1"},
    ]
    assert "reasoning_details" not in json.loads(OPENAI.write_request(request, OLD))["messages"][1]


def test_thoughts_of_other_families_are_not_sent() -> None:
    thinking = [
        {"type": "thinking", "thinking": "mine", "signature": "claude"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "T"},
    ]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": thinking}]
    assert turns(ANTHROPIC, messages=messages)[1] == ("model", [{"text": "T"}])
    plain = {"role": "assistant", "content": "T", "reasoning_content": "mine"}
    assert turns(messages=[{"role": "user", "content": "Hi"}, plain])[1] == ("model", [{"text": "T"}])


def test_a_conversation_that_gemini_took_part_in_goes_to_anthropic_without_its_thinking() -> None:
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": seal("call0", "S")}, use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]},
    ]
    body = {
        "model": "m", "max_tokens": 3000, "messages": messages, "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "stream": True, "container": "kept",
    }  # fmt: skip
    sent = json.loads(ANTHROPIC.forward_request(ANTHROPIC.glance(json.dumps(body).encode()), Target("claude")))
    assert sent["messages"][1] == {"role": "assistant", "content": [use]}
    assert "thinking" not in sent, "a tool loop that began without Anthropic's thinking is refused with it"
    assert sent["stream"] is True and sent["container"] == "kept"
    unsigned = json.loads(json.dumps(body).replace(seal("call0", "S"), ""))
    again = json.loads(ANTHROPIC.forward_request(ANTHROPIC.glance(json.dumps(unsigned).encode()), Target("claude")))
    assert again["messages"] == sent["messages"]


@given(messages=conversations())
def test_every_conversation_becomes_one_that_gemini_accepts(messages: list[dict[str, Any]]) -> None:
    found = turns(messages=messages, target=NEW)
    assert found[0][0] == "user"
    waiting: list[str] = []
    for place, (role, parts) in enumerate(found):
        assert parts and (place == 0 or found[place - 1][0] != role)
        results = [part["functionResponse"]["id"] for part in parts if "functionResponse" in part]
        assert sorted(results) == sorted(waiting), "each call is answered at once, and once"
        assert all("functionResponse" in part for part in parts[: len(results)])
        assert all(part["text"] for part in parts if "text" in part)
        waiting = [part["functionCall"]["id"] for part in parts if "functionCall" in part]
        signed = [part.get("thoughtSignature") for part in parts if "functionCall" in part]
        assert not signed or signed[0] == EXCUSED
    assert not waiting
