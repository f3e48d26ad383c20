"""Requests from one dialect into the other: tools, their calls and results, and thinking."""

from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, TARGET
from request_samples import (
    ANTHROPIC_TOOL,
    CALL,
    DETAILS,
    FUNCTION,
    LENIENT,
    TOOL,
    USER,
    left_out,
    read,
    refused,
    to_anthropic,
    to_openai,
)

from gatewayz.core.chat import RedactedThinking, Text, Thinking
from gatewayz.dialects.base import Quirks, Target
from gatewayz.dialects.conversation import NO_RESULT

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


@pytest.mark.parametrize(
    ("member", "wrong", "param"),
    [
        ("tools", [{"type": "function", "function": {"name": "f", "description": 5}}], "tools[0].function.description"),
        ("tools", [{"type": "function", "function": {"name": "f", "strict": "yes"}}], "tools[0].function.strict"),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": []}}], "tools[0].function.parameters"),
        ("response_format", {"schema": 5}, "response_format.json_schema.schema"),
        ("response_format", {"schema": {}, "strict": 1}, "response_format.json_schema.strict"),
        ("response_format", {"schema": {}, "name": []}, "response_format.json_schema.name"),
    ],
)
def test_what_could_not_be_carried_over_is_named_not_left_out(member: str, wrong: Any, param: str) -> None:
    value = wrong if member == "tools" else {"type": "json_schema", "json_schema": wrong}
    assert refused(to_anthropic, **{member: value}).param == param


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"reasoning": 5}, "reasoning"),
        ({"reasoning": {"enabled": "yes"}}, "reasoning.enabled"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"reasoning": {"exclude": 0}}, "reasoning.exclude"),
        ({"reasoning": {"summary": []}}, "reasoning.summary"),
        ({"reasoning_effort": "low", "reasoning": []}, "reasoning"),
        ({"include_reasoning": "yes"}, "include_reasoning"),
        ({"include_reasoning": 0}, "include_reasoning"),
        ({"verbosity": 5}, "verbosity"),
        ({"thinking": "on"}, "thinking"),
        ({"thinking": {"type": 5}}, "thinking.type"),
    ],
)
def test_wishes_for_reasoning_of_the_wrong_type_are_named(members: dict[str, Any], param: str) -> None:
    assert refused(to_anthropic, **members).param == param


def test_a_detail_of_an_image_that_is_no_text_is_named() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://h/x.png", "detail": 5}}
    error = refused(to_anthropic, messages=[{"role": "user", "content": [image]}])
    assert error.param == "messages[0].content[0].image_url.detail"


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


def test_thinking_signed_by_another_family_is_not_sent_to_anthropic() -> None:
    def sent(family: str | None) -> Any:
        details = [{**detail, "format": family} for detail in DETAILS]
        message = {"role": "assistant", "content": "A", "reasoning_details": details}
        return to_anthropic(messages=[USER, message, USER])["messages"][1]["content"]

    assert sent("openai-responses-v1") == "A"
    assert sent("anthropic-claude-v1") == [THOUGHT, REDACTED, {"type": "text", "text": "A"}] == sent(None)
    summary = {"role": "assistant", "content": "A", "reasoning": "sum", "reasoning_details": DETAILS[1:]}
    parts = read(OPENAI, {"model": "m", "messages": [USER, summary]}).messages[1].parts
    assert parts == (Thinking("sum"), RedactedThinking("xyz"), Text("A"))


def test_call_ids_are_shortened_in_translated_requests_too() -> None:
    use = {"type": "tool_use", "id": "toolu_0123456789", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_0123456789", "content": "r"}
    turns = [USER, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    messages = to_openai(Target("n", Quirks(short_call_ids=True)), messages=turns)["messages"]
    assert len(messages[1]["tool_calls"][0]["id"]) == 9
    assert messages[2]["tool_call_id"] == messages[1]["tool_calls"][0]["id"]


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
