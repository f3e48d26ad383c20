"""Requests from one dialect into the other: system, parts, parameters, and there and back."""

import base64
import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, RESPONSES, TARGET
from request_samples import (
    ANTHROPIC_TOOL,
    CALL,
    DETAILS,
    LENIENT,
    PDF,
    TOOL,
    USER,
    left_out,
    read,
    refused,
    to_anthropic,
    to_openai,
)

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import PROVIDER_DIALECTS
from gatewayz.dialects.anthropic.parts_write import OPENING
from gatewayz.dialects.anthropic.request_write import JSON_INSTRUCTION
from gatewayz.dialects.base import Quirks, Target


def test_the_smallest_request_both_ways() -> None:
    assert to_anthropic() == {"model": "native-model", "messages": [USER], "max_tokens": 4096}
    assert to_openai() == {"model": "native-model", "messages": [USER], "max_tokens": 50}


# ---- system text


def test_leading_system_and_developer_messages_become_the_system_prompt() -> None:
    messages = [{"role": "system", "content": "A"}, {"role": "developer", "content": "B"}, USER]
    texts = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    assert to_anthropic(messages=messages)["system"] == texts
    assert to_anthropic(messages=[messages[0], USER])["system"] == "A"
    assert to_anthropic(messages=[{"role": "system", "content": " "}, USER]).get("system") is None


def test_later_system_messages_keep_their_place() -> None:
    messages = [USER, {"role": "assistant", "content": "Yes?"}, {"role": "system", "content": "Rhyme."}, USER]
    turn = [{"type": "text", "text": "<system>\nRhyme.\n</system>"}, {"type": "text", "text": "Hi"}]
    assert to_anthropic(messages=messages)["messages"][2] == {"role": "user", "content": turn}
    able = Target("n", Quirks(system_messages=True))
    assert to_anthropic(able, messages=messages)["messages"][2:] == [{"role": "system", "content": "Rhyme."}, USER]


@pytest.mark.parametrize("system", ["S", [{"type": "text", "text": "S"}]], ids=["string", "blocks"])
def test_the_system_prompt_becomes_a_system_message(system: Any) -> None:
    assert to_openai(system=system)["messages"] == [{"role": "system", "content": "S"}, USER]


def test_a_conversation_of_system_messages_only_is_opened() -> None:
    written = to_anthropic(messages=[{"role": "system", "content": "S"}])
    assert (written["system"], written["messages"]) == ("S", [{"role": "user", "content": OPENING}])


# ---- turns


def test_neighbours_of_one_role_are_one_turn_and_empty_contents_are_left_out() -> None:
    messages = [
        {"role": "user", "content": "A"},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "B"}, {"type": "text", "text": " "}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "C"},
        {"role": "assistant", "content": "D"},
        {"role": "assistant", "content": "E \n"},
    ]
    texts = [[block["text"] for block in turn["content"]] for turn in to_anthropic(messages=messages)["messages"]]
    assert texts == [["A", "B", "C"], ["D", "E"]], "the words put into the model's mouth end without white space"


def test_a_conversation_that_the_assistant_opens_gets_a_user_turn() -> None:
    messages = [{"role": "assistant", "content": "Hello!"}, USER]
    assert to_anthropic(messages=messages)["messages"][0] == {"role": "user", "content": OPENING}


# ---- parts


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "text", "text": "T"}, {"type": "text", "text": "T"}),
        (
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUJD"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                "title": "a.pdf",
            },
        ),
    ],
    ids=["text", "image by address", "image data", "pdf"],
)
def test_parts_both_ways(part: dict[str, Any], block: dict[str, Any]) -> None:
    text, also = {"type": "text", "text": "Look:"}, {"role": "user"}
    written = to_anthropic(messages=[{**also, "content": [text, part]}])
    assert written["messages"][0]["content"] == [text, block]
    back = to_openai(messages=[{**also, "content": [text, block]}])
    assert back["messages"][0]["content"] == [text, part]


def test_other_documents() -> None:
    text_file = {"file_data": "data:text/plain;base64," + base64.b64encode(b"words").decode()}
    written = to_anthropic(messages=[{"role": "user", "content": [{"type": "file", "file": text_file}]}])
    source = written["messages"][0]["content"][0]["source"]
    assert source == {"type": "text", "media_type": "text/plain", "data": "words"}
    plain = {
        "type": "document",
        "title": "T",
        "context": "C",
        "source": {"type": "text", "media_type": "text/plain", "data": "words"},
    }
    content = to_openai(messages=[{"role": "user", "content": [plain]}])["messages"][0]["content"]
    assert content == [{"type": "text", "text": "Document: T\n\nC\n\nwords"}]
    by_url = {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}}
    content = to_openai(messages=[{"role": "user", "content": [by_url]}])["messages"][0]["content"]
    assert content == [{"type": "file", "file": {"file_data": "https://x/a.pdf"}}]
    assert to_anthropic(messages=[{"role": "user", "content": content}])["messages"][0]["content"] == [by_url]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:application/msword;base64,AA=="}},
        {"type": "video_url", "video_url": {"url": "https://x"}},
    ],
    ids=lambda part: str(part)[:60],
)
def test_parts_that_anthropic_does_not_take_are_refused_by_name(part: dict[str, Any]) -> None:
    assert "messages[0]" in str(refused(to_anthropic, messages=[{"role": "user", "content": [part]}]).param)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "container_upload", "file_id": "f"},
        {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}},
    ],
    ids=lambda block: block["type"],
)
def test_blocks_that_openai_does_not_take_are_refused_by_name(block: dict[str, Any]) -> None:
    assert refused(to_openai, messages=[{"role": "user", "content": [block]}]).param == "messages[0]"


def test_cache_marks_both_ways() -> None:
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    part = {"type": "text", "text": "long", **mark}
    fields = {
        "messages": [{"role": "system", "content": [part]}, {"role": "user", "content": [part]}],
        "tools": [{**TOOL, **mark}],
    }
    written = to_anthropic(**fields)
    assert written["system"] == written["messages"][0]["content"] == [part]
    assert written["tools"] == [{**ANTHROPIC_TOOL, **mark}]
    back = to_openai(
        LENIENT, system=[part], messages=[{"role": "user", "content": [part]}], tools=[{**ANTHROPIC_TOOL, **mark}]
    )
    assert (back["messages"], back["tools"]) == (fields["messages"], fields["tools"])
    plain = to_openai(system=[part], tools=[{**ANTHROPIC_TOOL, **mark}])
    assert "cache_control" not in json.dumps(plain), "providers that do not know the mark do without"


# ---- the other parameters


def test_plain_parameters_both_ways() -> None:
    written = to_anthropic(
        stop=["a", "b"], temperature=0.5, top_k=7, user="u", stream=True, max_tokens=9, service_tier="default"
    )
    assert (written["stop_sequences"], written["temperature"], written["top_k"]) == (["a", "b"], 0.5, 7)
    assert (written["metadata"], written["stream"], written["max_tokens"]) == ({"user_id": "u"}, True, 9)
    assert written["service_tier"] == "standard_only"
    assert "stream_options" not in written
    back = to_openai(
        stop_sequences=["a"], temperature=0.5, top_p=0.9, metadata={"user_id": "u"}, stream=True, service_tier="auto"
    )
    assert (back["stop"], back["temperature"], back["top_p"], back["user"]) == (["a"], 0.5, 0.9, "u")
    assert (back["stream"], back["stream_options"], back["service_tier"]) == (True, {"include_usage": True}, "auto")
    assert to_anthropic(stop="x")["stop_sequences"] == ["x"]
    assert to_anthropic(max_completion_tokens=7, max_tokens=9)["max_tokens"] == 7
    assert to_openai(Target("n", Quirks(max_tokens_field="max_completion_tokens")))["max_completion_tokens"] == 50


def test_temperature_is_cut_at_one_and_excludes_top_p() -> None:
    written = to_anthropic(temperature=1.8, top_p=0.9)
    assert (written["temperature"], "top_p" in written) == (1.0, False)
    assert to_anthropic(top_p=0.9)["top_p"] == 0.9


@pytest.mark.parametrize("form", ["output_config", "output_format"])
def test_schemas_both_ways(form: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}
    assert to_anthropic(response_format=wanted)["output_config"] == {
        "format": {"type": "json_schema", "schema": schema}
    }
    theirs = {"type": "json_schema", "schema": schema}
    fields = {"output_config": {"format": theirs}} if form == "output_config" else {"output_format": theirs}
    back = to_openai(**fields)["response_format"]
    assert back == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    able = Target("n", Quirks(adaptive_thinking=True))
    assert to_anthropic(able, response_format=wanted, reasoning_effort="low")["output_config"].keys() == {
        "effort",
        "format",
    }


@pytest.mark.ac("AC-9.1.3")
def test_json_mode_becomes_an_instruction() -> None:
    assert to_anthropic(response_format={"type": "json_object"})["system"] == JSON_INSTRUCTION
    assert to_anthropic(response_format={"type": "text"}).get("system") is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, "audio"),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
    ],
    ids=str,
)
def test_what_would_change_the_meaning_is_refused(fields: dict[str, Any], param: str) -> None:
    error = refused(to_anthropic, **fields)
    assert (error.param, error.code, error.status) == (param, "unsupported_parameter", 400)


def test_what_does_not_is_dropped_and_told() -> None:
    fields = {
        "seed": 1,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "logit_bias": {"5": 1},
        "metadata": {"a": "b"},
        "verbosity": "low",
        "store": True,
        "service_tier": "flex",
        "stop": ["\n", "x"],
        "modalities": ["text"],
        "messages": [{**USER, "name": "Ann"}],
    }
    written = to_anthropic(**fields)
    assert written == {
        "model": "native-model",
        "messages": [USER],
        "max_tokens": 4096,
        "stop_sequences": ["x"],
    }
    assert left_out(**fields) == {*(fields.keys() - {"messages"}), "messages.name"}
    theirs = read(ANTHROPIC, {"model": "m", "max_tokens": 5, "messages": [USER], "top_k": 3, "speed": "fast"})
    assert set(OPENAI.dropped(theirs, TARGET)) == {"top_k", "speed"}


CLEARING = [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]


@pytest.mark.parametrize(
    "writer", [OPENAI, RESPONSES, *(PROVIDER_DIALECTS[name] for name in ("gemini", "bedrock", "cohere"))]
)
def test_only_clearing_old_turns_is_left_out_for_other_providers(writer: Any) -> None:
    def asked(*edits: dict[str, Any]) -> Any:
        body = {"model": "m", "max_tokens": 5, "messages": [USER], "context_management": {"edits": edits}}
        return read(ANTHROPIC, body)

    assert "context_management" not in json.loads(writer.write_request(asked(*CLEARING), TARGET))
    assert writer.dropped(asked(*CLEARING), TARGET) == ("context_management",)
    with pytest.raises(InvalidRequest) as raised:
        writer.write_request(asked(*CLEARING, {"type": "compact_20260112"}), TARGET)
    assert raised.value.param == "context_management"


def test_quirks_hold_for_translated_requests_too() -> None:
    target = Target(
        "n",
        Quirks(
            drop_params=frozenset({"temperature"}), add_params={"safe": True}, max_temperature=0.3, stream_options=False
        ),
        force_params={"off": True},
        force_unless=frozenset({"reasoning_effort"}),
    )
    written = to_openai(target, temperature=0.9, stream=True)
    assert (written["safe"], written["off"], "temperature" in written, "stream_options" in written) == (
        True,
        True,
        False,
        False,
    )
    assert "off" not in to_openai(target, thinking={"type": "enabled", "budget_tokens": 2000})
    assert to_openai(Target("n", Quirks(max_temperature=0.3)), temperature=0.9)["temperature"] == 0.3
    back = to_anthropic(target, temperature=0.9)
    assert (back["safe"], back["off"], "temperature" in back) == (True, True, False)
    assert "off" not in to_anthropic(target, reasoning_effort="low")
    with pytest.raises(InvalidRequest, match="tools"):
        to_anthropic(Target("n", Quirks(drop_params=frozenset({"tools"}))), tools=[TOOL])
    with pytest.raises(InvalidRequest, match="tools"):
        to_openai(Target("n", Quirks(drop_params=frozenset({"tools"}))), tools=[ANTHROPIC_TOOL])


# ---- there and back


EVERYTHING: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
            ],
        },
        {
            "role": "assistant",
            "content": "Hm.",
            "reasoning_content": "hm",
            "reasoning_details": DETAILS,
            "tool_calls": [CALL, {**CALL, "id": "c2"}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Well,"},
    ],
    "max_tokens": 50_000,
    "stop": ["END"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [TOOL, {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}, "strict": True}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    },
    "reasoning_effort": "medium",
    "user": "u",
}


def test_openai_to_anthropic_and_back_keeps_the_meaning() -> None:
    over = ANTHROPIC.write_request(read(OPENAI, EVERYTHING), TARGET)
    back = json.loads(OPENAI.write_request(ANTHROPIC.read_request(ANTHROPIC.glance(over)), LENIENT))
    expected = {**EVERYTHING, "model": "native-model"}
    assert back == expected


def test_anthropic_to_openai_and_back_keeps_the_meaning() -> None:
    first = json.loads(ANTHROPIC.write_request(read(OPENAI, EVERYTHING), TARGET))
    over = OPENAI.write_request(read(ANTHROPIC, first), LENIENT)
    again = json.loads(ANTHROPIC.write_request(OPENAI.read_request(OPENAI.glance(over)), TARGET))
    assert again == first
