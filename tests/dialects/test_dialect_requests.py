"""Requests from one dialect into the other: every row of the translation table, every rule, and there and back."""

import base64
import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, TARGET

from gatewayz.core.chat import ChatRequest
from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.anthropic.parts_write import OPENING
from gatewayz.dialects.anthropic.request_write import JSON_INSTRUCTION
from gatewayz.dialects.base import Dialect, Quirks, Target
from gatewayz.dialects.conversation import NO_RESULT

USER = {"role": "user", "content": "Hi"}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"x": {"type": "number"}}}}
TOOL = {"type": "function", "function": FUNCTION}
ANTHROPIC_TOOL = {"name": "f", "description": "d", "input_schema": FUNCTION["parameters"]}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
PDF = base64.b64encode(b"%PDF-1.4").decode()
LENIENT = Target("native-model", Quirks(reasoning_details=True, cache_control=True, developer_role=True))


def read(dialect: Dialect, fields: dict[str, Any]) -> ChatRequest:
    return dialect.read_request(dialect.glance(json.dumps(fields).encode()))


def to_anthropic(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [USER], **fields}
    written: dict[str, Any] = json.loads(ANTHROPIC.write_request(read(OPENAI, body), target))
    return written


def to_openai(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 50, "messages": [USER], **fields}
    written: dict[str, Any] = json.loads(OPENAI.write_request(read(ANTHROPIC, body), target))
    return written


def left_out(**fields: Any) -> set[str]:
    return set(ANTHROPIC.dropped(read(OPENAI, {"model": "m", "messages": [USER], **fields}), TARGET))


def refused(write: Any, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        write(**fields)
    assert caught.value.param
    return caught.value


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


# ---- tools


@pytest.mark.parametrize(
    ("openai", "anthropic"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
    ids=["auto", "required", "none", "named"],
)
def test_tool_definitions_and_choices_both_ways(openai: Any, anthropic: dict[str, Any]) -> None:
    written = to_anthropic(tools=[TOOL], tool_choice=openai)
    assert (written["tools"], written["tool_choice"]) == ([ANTHROPIC_TOOL], anthropic)
    back = to_openai(tools=[ANTHROPIC_TOOL], tool_choice=anthropic)
    assert (back["tools"], back["tool_choice"]) == ([TOOL], openai)


def test_parallel_calls_off_both_ways() -> None:
    assert to_anthropic(tools=[TOOL], parallel_tool_calls=False)["tool_choice"] == {
        "type": "auto",
        "disable_parallel_tool_use": True,
    }
    written = to_anthropic(tools=[TOOL], tool_choice="required", parallel_tool_calls=True)
    assert written["tool_choice"] == {"type": "any", "disable_parallel_tool_use": False}
    back = to_openai(tools=[ANTHROPIC_TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert (back["tool_choice"], back["parallel_tool_calls"]) == ("required", False)
    assert "tool_choice" not in to_anthropic(parallel_tool_calls=False), "without tools there is nothing to choose"


def test_allowed_tools_leave_the_allowed_ones() -> None:
    other = {"type": "function", "function": {"name": "g"}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
    written = to_anthropic(tools=[TOOL, other], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert ([tool["name"] for tool in written["tools"]], written["tool_choice"]) == (["f"], {"type": "any"})


def test_odd_tool_definitions() -> None:
    bare = to_anthropic(tools=[{"type": "function", "function": {"name": "f", "strict": True}}])["tools"]
    assert bare == [{"name": "f", "input_schema": {"type": "object", "properties": {}}, "strict": True}]
    untyped = to_anthropic(tools=[{"type": "function", "function": {"name": "f", "parameters": {"properties": {}}}}])[
        "tools"
    ]
    assert untyped[0]["input_schema"] == {"type": "object", "properties": {}}
    assert refused(to_anthropic, tools=[{"type": "custom", "custom": {"name": "c"}}]).param == "tools"
    assert refused(to_openai, tools=[{"type": "web_search_20250305", "name": "web_search"}]).param == "tools"
    assert refused(to_anthropic, tools=[{"type": "function", "function": {}}]).param == "tools[0].function.name"


def test_calls_and_results_both_ways() -> None:
    messages = [
        USER,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "user", "content": "And?"},
    ]
    use = {"type": "tool_use", "name": "f", "input": {"x": 1}}
    turns = [
        USER,
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Let me see."}, {**use, "id": "c1"}, {**use, "id": "c2"}],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    assert to_anthropic(messages=messages, tools=[TOOL])["messages"] == turns
    assert to_openai(messages=turns, tools=[ANTHROPIC_TOOL])["messages"] == messages


def test_results_in_any_order_late_double_missing_and_unasked_for() -> None:
    messages = [
        USER,
        {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "c2"}, {**CALL, "id": "c3"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "user", "content": "Wait."},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c1", "content": "again"},
        {"role": "tool", "tool_call_id": "zz", "content": "who?"},
    ]
    turn = to_anthropic(messages=messages, tools=[TOOL])["messages"][2]["content"]
    assert turn[:3] == [
        {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
        {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "c3", "content": NO_RESULT, "is_error": True},
    ]
    texts = ["Wait.", "Result of tool call c1:", "again", "Result of tool call zz:", "who?"]
    assert [block["text"] for block in turn[3:]] == texts


def test_a_call_id_used_twice_is_answered_twice() -> None:
    messages = []
    for answer in ("one", "two"):
        messages += [
            USER,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": answer},
        ]
    turns = to_anthropic(messages=messages, tools=[TOOL])["messages"]
    assert [
        turn["content"][0]["content"] for turn in turns if isinstance(turn["content"], list) and turn["role"] == "user"
    ] == ["one", "two"]


def test_a_missing_result_at_the_end_is_filled_in_for_openai_too() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    messages = to_openai(messages=[USER, {"role": "assistant", "content": [use]}, USER])["messages"]
    assert messages[2] == {"role": "tool", "tool_call_id": "t1", "content": f"Error: {NO_RESULT}"}
    assert messages[3] == USER


def test_images_and_errors_in_results() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "content": [{"type": "text", "text": "saw"}, image],
        "is_error": True,
    }
    turns = [
        USER,
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result, {"type": "text", "text": "So?"}]},
    ]
    messages = to_openai(messages=turns)["messages"]
    assert messages[2] == {"role": "tool", "tool_call_id": "t1", "content": "Error: saw"}
    assert messages[3]["role"] == "user"
    assert [part["type"] for part in messages[3]["content"]] == ["text", "image_url"]
    assert messages[4] == {"role": "user", "content": "So?"}
    assert messages[3]["content"][0]["text"] == "Result of tool call t1:"
    parts = [{"type": "text", "text": "saw"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]
    written = to_anthropic(
        messages=[
            USER,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": parts},
        ]
    )
    assert written["messages"][2]["content"][0]["content"] == [{"type": "text", "text": "saw"}, image]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        ("{}", {}),
        (' {"x": 12345678901234567890} ', {"x": 12345678901234567890}),
        ("[1]", {"invalid_arguments": "[1]"}),
        ('{"x":', {"invalid_arguments": '{"x":'}),
        ({"x": 1}, {"x": 1}),
    ],
    ids=str,
)
def test_arguments_become_an_object(arguments: Any, given: dict[str, Any]) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turn = to_anthropic(messages=[USER, {"role": "assistant", "tool_calls": [call]}])["messages"][1]
    assert turn["content"][0]["input"] == given


def test_arguments_keep_their_bytes() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.50}'}}
    body = {"model": "m", "messages": [USER, {"role": "assistant", "tool_calls": [call]}]}
    assert b'"input":{"x": 1.50}' in ANTHROPIC.write_request(read(OPENAI, body), TARGET)


def test_ids_that_anthropic_refuses_are_rewritten_on_both_ends() -> None:
    call = {**CALL, "id": "functions.f:0"}
    result = {"role": "tool", "tool_call_id": "functions.f:0", "content": "r"}
    turns = to_anthropic(messages=[USER, {"role": "assistant", "tool_calls": [call]}, result])["messages"]
    assert turns[1]["content"][0]["id"] == turns[2]["content"][0]["tool_use_id"] == "functions_f_0"


def test_tools_that_were_called_but_are_not_offered_any_more_are_declared() -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "r"}
    written = to_anthropic(messages=[USER, {"role": "assistant", "tool_calls": [CALL]}, result])
    assert written["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert written["tool_choice"] == {"type": "none"}


def test_legacy_functions() -> None:
    messages = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x":1}'}},
        {"role": "function", "name": "f", "content": "r"},
    ]
    written = to_anthropic(messages=messages, functions=[FUNCTION], function_call={"name": "f"})
    assert (written["tools"], written["tool_choice"]) == ([ANTHROPIC_TOOL], {"type": "tool", "name": "f"})
    use, result = written["messages"][1]["content"][0], written["messages"][2]["content"][0]
    assert (use["input"], result["content"]) == ({"x": 1}, "r")
    assert use["id"] == result["tool_use_id"]


# ---- thinking


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "xyz"}
DETAILS = [
    {"type": "reasoning.text", "text": "hm", "index": 0, "signature": "sig"},
    {"type": "reasoning.encrypted", "data": "xyz", "index": 1},
]


def test_thinking_blocks_both_ways() -> None:
    turns = [USER, {"role": "assistant", "content": [THOUGHT, REDACTED, {"type": "text", "text": "A"}]}, USER]
    messages = to_openai(LENIENT, messages=turns)["messages"]
    assert messages[1] == {"role": "assistant", "content": "A", "reasoning_content": "hm", "reasoning_details": DETAILS}
    assert to_anthropic(messages=messages)["messages"] == turns
    plain = to_openai(messages=turns)["messages"][1]
    assert plain == {"role": "assistant", "content": "A", "reasoning_content": "hm"}
    mute = Target("n", Quirks(reasoning_field=""))
    assert to_openai(mute, messages=turns)["messages"][1] == {"role": "assistant", "content": "A"}


def test_streamed_pieces_of_reasoning_are_put_together() -> None:
    pieces = [
        {"type": "reasoning.text", "text": "h", "index": 0},
        {"type": "reasoning.text", "text": "m", "index": 0},
        {"type": "reasoning.text", "text": "", "signature": "s", "index": 0},
        {"type": "reasoning.text", "text": "", "signature": "ig", "index": 0},
        {"type": "reasoning.text", "text": "", "signature": "other", "index": 1},
    ]
    message = {"role": "assistant", "content": "A", "reasoning_details": pieces}
    content = to_anthropic(messages=[USER, message, USER])["messages"][1]["content"]
    assert content[:2] == [THOUGHT, {"type": "thinking", "thinking": "", "signature": "other"}]


def test_thinking_without_signature_is_not_sent_to_anthropic() -> None:
    message = {"role": "assistant", "content": "A", "reasoning_content": "hm"}
    assert to_anthropic(messages=[USER, message, USER])["messages"][1] == {"role": "assistant", "content": "A"}


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget", "sent_max"),
    [
        ("minimal", 50_000, 1_024, 50_000),
        ("low", 50_000, 2_048, 50_000),
        ("medium", 50_000, 8_192, 50_000),
        ("high", 50_000, 16_384, 50_000),
        ("xhigh", 50_000, 32_768, 50_000),
        ("max", 90_000, 65_536, 90_000),
        ("high", 10_000, 5_000, 10_000),
        ("low", 2_048, 1_024, 2_048),
        ("low", 1_025, 1_024, 1_025),
        ("low", 1_000, 1_024, 2_024),
        ("low", None, 2_048, 4_096 + 2_048),
    ],
)
def test_efforts_become_budgets_below_the_maximum(
    effort: str, max_tokens: int | None, budget: int, sent_max: int
) -> None:
    written = to_anthropic(reasoning_effort=effort, max_tokens=max_tokens)
    assert written["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert written["max_tokens"] == sent_max


@pytest.mark.parametrize(
    "reasoning",
    [{"reasoning_effort": "none"}, {"reasoning": {"enabled": False}}, {"thinking": {"type": "disabled"}}],
    ids=str,
)
def test_no_thinking_is_no_thinking(reasoning: dict[str, Any]) -> None:
    assert "thinking" not in to_anthropic(**reasoning)


def test_named_budgets_are_kept_and_raise_the_maximum() -> None:
    written = to_anthropic(reasoning={"max_tokens": 3_000}, max_tokens=2_000)
    assert (written["thinking"]["budget_tokens"], written["max_tokens"]) == (3_000, 5_000)
    assert to_anthropic(thinking={"type": "enabled", "budget_tokens": 2_000}, max_tokens=9_000)["max_tokens"] == 9_000


@pytest.mark.parametrize(
    ("effort", "sent"),
    [("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "xhigh"), ("max", "max")],
)
def test_adaptive_models_take_an_effort(effort: str, sent: str) -> None:
    target = Target("n", Quirks(adaptive_thinking=True))
    written = to_anthropic(target, reasoning_effort=effort, max_tokens=100)
    assert (written["thinking"], written["output_config"], written["max_tokens"]) == (
        {"type": "adaptive"},
        {"effort": sent},
        100,
    )
    assert to_anthropic(target, reasoning={"max_tokens": 9_000})["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_048}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8_192}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8_193}}, "high"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "disabled"}}, None),
        ({"output_config": {"effort": "low"}}, "low"),
    ],
    ids=str,
)
def test_budgets_become_efforts(fields: dict[str, Any], effort: str | None) -> None:
    assert to_openai(**fields).get("reasoning_effort") == effort


def test_thinking_gives_way_where_anthropic_would_refuse_it() -> None:
    forced = {"tools": [TOOL], "tool_choice": "required", "reasoning_effort": "low"}
    assert "thinking" not in to_anthropic(**forced)
    assert "reasoning_effort" in left_out(**forced)
    loop = {
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
        ],
        "tools": [TOOL],
        "reasoning_effort": "low",
    }
    assert "thinking" not in to_anthropic(**loop)
    loop["messages"][1]["reasoning_details"] = DETAILS
    assert "thinking" in to_anthropic(**loop)
    assert "thinking" in to_anthropic(Target("n", Quirks(adaptive_thinking=True)), **loop)


def test_sampling_gives_way_to_thinking() -> None:
    fields = {"reasoning_effort": "low", "temperature": 0.2, "top_p": 0.5, "top_k": 5}
    written = to_anthropic(**fields)
    assert not {"temperature", "top_p", "top_k"} & written.keys()
    assert left_out(**fields) == {"temperature", "top_p", "top_k"}
    assert to_anthropic(reasoning_effort="low", top_p=0.96)["top_p"] == 0.96


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
    assert refused(to_openai, context_management={"edits": []}).param == "context_management"


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
