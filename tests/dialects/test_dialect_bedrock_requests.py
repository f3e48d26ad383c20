"""Requests of both clients as Converse bodies: each family of models in its own words."""

import base64
import json
from typing import Any

import pytest
from bedrock_samples import BEDROCK, CLAUDE, LLAMA, NOVA, OLD_CLAUDE, OPEN, left_out, read, to_bedrock
from dialect_samples import ANTHROPIC, OPENAI

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.base import Dialect, Quirks, Target
from gatewayz.dialects.bedrock.family import family_of, plain_id
from gatewayz.dialects.bedrock.parts_write import DOCUMENT_ONLY, call_id
from gatewayz.dialects.bedrock.request_write import NO_CALLS_INSTRUCTION

ADAPTIVE = Target("eu.anthropic.claude-opus-4-8")
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.50}'}}
CALLED: list[Any] = [
    {"role": "user", "content": "One."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "done"},
]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


def refused(client: Dialect, param: str, target: Target = CLAUDE, **fields: Any) -> str:
    with pytest.raises(InvalidRequest) as caught:
        BEDROCK.write_request(read(client, fields), target)
    assert caught.value.param == param
    return caught.value.message


def test_a_plain_request() -> None:
    body = to_bedrock(
        OPENAI,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        temperature=1.5, max_tokens=7, stop=["END"],
    )  # fmt: skip
    assert body == {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {"maxTokens": 7, "temperature": 1.0, "stopSequences": ["END"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }
    assert to_bedrock(OPENAI, LLAMA) == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}


@pytest.mark.parametrize(
    ("native_id", "plain", "version"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", None, (3, 0)),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "anthropic.claude-3-7-sonnet-20250219-v1:0", (3, 7)),
        ("anthropic.claude-opus-4-20250514-v1:0", None, (4, 0)),
        ("global.anthropic.claude-opus-4-1-20250805-v1:0", "anthropic.claude-opus-4-1-20250805-v1:0", (4, 1)),
        ("anthropic.claude-sonnet-4-6", None, (4, 6)),
        ("us-gov.anthropic.claude-opus-5", "anthropic.claude-opus-5", (5, 0)),
        ("anthropic.claude-v2", None, (0, 0)),
        ("us.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", (0, 0)),
        ("deepseek.v3.2", None, (0, 0)),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0", (0, 0)),
    ],
)
def test_families_by_name(native_id: str, plain: str | None, version: tuple[int, int]) -> None:
    assert plain_id(native_id) == (plain or native_id) and family_of(native_id).claude == version


@pytest.mark.parametrize(
    ("target", "effort", "config", "further", "named"),
    [
        (CLAUDE, "low", {"maxTokens": 4000}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, set()),
        (ADAPTIVE, "high", {"maxTokens": 4000}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, set()),
        (OLD_CLAUDE, "low", {"maxTokens": 4000}, None, {"reasoning_effort"}),
        (OPEN, "high", {"maxTokens": 4000}, {"reasoning_effort": "high"}, set()),
        (
            NOVA, "high", {"maxTokens": 4000},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, set(),
        ),
        (LLAMA, "high", {"maxTokens": 4000}, None, {"reasoning_effort"}),
        (CLAUDE, "none", {"maxTokens": 4000}, None, set()),
        (LLAMA, "none", {"maxTokens": 4000}, None, set()),
    ],
)  # fmt: skip
def test_thinking_in_the_words_of_each_maker(
    target: Target, effort: str, config: Any, further: Any, named: set[str]
) -> None:
    fields = {"reasoning_effort": effort, "max_tokens": 4000}
    body = to_bedrock(OPENAI, target, **fields)
    assert body["inferenceConfig"] == config and body.get("additionalModelRequestFields") == further
    assert left_out(OPENAI, target, **fields) == named


def test_a_budget_needs_room_and_a_maximum_is_always_told_to_claude() -> None:
    body = to_bedrock(ANTHROPIC, thinking={"type": "enabled", "budget_tokens": 3000}, max_tokens=3001)
    assert body["inferenceConfig"]["maxTokens"] > body["additionalModelRequestFields"]["thinking"]["budget_tokens"]
    assert to_bedrock(OPENAI)["inferenceConfig"] == {"maxTokens": CLAUDE.default_max_tokens}


def test_thinking_goes_with_no_other_temperature_and_no_forced_tool() -> None:
    fields = {"reasoning_effort": "low", "temperature": 0.5, "top_p": 0.5, "max_tokens": 4000}
    assert to_bedrock(OPENAI, **fields)["inferenceConfig"] == {"maxTokens": 4000}
    assert left_out(OPENAI, **fields) == {"temperature", "top_p"}
    forced = {"reasoning_effort": "low", "tools": [TOOL], "tool_choice": "required"}
    assert "additionalModelRequestFields" not in to_bedrock(OPENAI, **forced)
    assert left_out(OPENAI, **forced) == {"reasoning_effort"}
    assert left_out(OPENAI, reasoning_effort="low", messages=CALLED) == {"reasoning_effort"}


@pytest.mark.parametrize(
    ("target", "further", "named"),
    [
        (CLAUDE, {"top_k": 40}, set()),
        (NOVA, {"inferenceConfig": {"topK": 40}}, set()),
        (LLAMA, None, {"top_k"}),
    ],
)
def test_top_k(target: Target, further: Any, named: set[str]) -> None:
    assert to_bedrock(ANTHROPIC, target, top_k=40).get("additionalModelRequestFields") == further
    assert left_out(ANTHROPIC, target, top_k=40) == named


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, None),
        ("auto", None),  # some models take no word of it
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "f"}}, {"tool": {"name": "f"}}),
    ],
)
def test_forms_of_tool_choice(choice: Any, written: Any) -> None:
    config = to_bedrock(OPENAI, tools=[TOOL], **({"tool_choice": choice} if choice else {}))["toolConfig"]
    spec = {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}}
    assert config["tools"] == [{"toolSpec": spec}] and config.get("toolChoice") == written


def test_no_call_is_wanted_any_more() -> None:
    assert "toolConfig" not in to_bedrock(OPENAI, tools=[TOOL], tool_choice="none")
    body = to_bedrock(OPENAI, tools=[TOOL], tool_choice="none", messages=CALLED)
    assert "toolChoice" not in body["toolConfig"] and {"text": NO_CALLS_INSTRUCTION} in body["system"]
    body = to_bedrock(OPENAI, messages=CALLED)
    assert [each["toolSpec"]["name"] for each in body["toolConfig"]["tools"]] == ["f"]
    assert body["system"] == [{"text": NO_CALLS_INSTRUCTION}]


def test_calls_keep_their_arguments_and_results_their_words() -> None:
    messages = to_bedrock(OPENAI, messages=CALLED)["messages"]
    assert messages[1:] == [
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1.5}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "done"}]}}]},
    ]
    assert b"1.50" in BEDROCK.write_request(read(OPENAI, {"messages": CALLED}), CLAUDE)


def test_results_are_json_objects_to_mistral() -> None:
    mistral = Target("mistral.mistral-large-2407-v1:0")
    for text, wanted in (("done", {"output": "done"}), ('{"a": 1.50}', {"a": 1.5})):
        messages = [*CALLED[:2], {**CALLED[2], "content": text}]
        block = to_bedrock(OPENAI, mistral, messages=messages)["messages"][2]["content"][0]
        assert block["toolResult"]["content"] == [{"json": wanted}]


def test_ids_of_calls_fit_and_stay_apart() -> None:
    assert call_id("a.b:c-d_1") == "a.b:c-d_1" and call_id("") == "call"
    long = [call_id("x" * 80 + end) for end in ("1", "2")]
    assert len(set(long)) == 2 and all(len(each) == 64 for each in long) and call_id("x" * 80 + "1") == long[0]


@pytest.mark.parametrize(
    ("target", "result"),
    [
        (CLAUDE, {"toolUseId": "c1", "content": [{"text": "no"}], "status": "error"}),
        (NOVA, {"toolUseId": "c1", "content": [{"text": "no"}], "status": "error"}),
        (LLAMA, {"toolUseId": "c1", "content": [{"text": "Error: no"}]}),
    ],
)
def test_failed_results(target: Target, result: Any) -> None:
    block = {"type": "tool_result", "tool_use_id": "c1", "content": "no", "is_error": True}
    use = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
    messages = [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": [use]}, {"role": "user", "content": [block]},
    ]  # fmt: skip
    assert to_bedrock(ANTHROPIC, target, messages=messages)["messages"][2]["content"] == [{"toolResult": result}]


def test_thoughts_go_back_to_claude_with_their_signatures_and_to_nobody_else() -> None:
    said = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZW5j"},
        {"type": "text", "text": "Two."},
    ]
    messages = [
        {"role": "user", "content": "One."},
        {"role": "assistant", "content": said},
        {"role": "user", "content": "?"},
    ]
    assert to_bedrock(ANTHROPIC, messages=messages)["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": base64.b64encode(b"ZW5j").decode()}},
        {"text": "Two."},
    ]
    assert to_bedrock(ANTHROPIC, LLAMA, messages=messages)["messages"][1]["content"] == [{"text": "Two."}]
    said[1]["data"] = "aws-bedrock-v1:AP8="
    sealed = to_bedrock(ANTHROPIC, LLAMA, messages=messages)["messages"][1]["content"][0]
    assert sealed == {"reasoningContent": {"redactedContent": "AP8="}}
    fields = {"model": "m", "max_tokens": 50, "messages": messages}
    glance = ANTHROPIC.glance(json.dumps(fields).encode())
    assert b"aws-bedrock" not in ANTHROPIC.forward_request(glance, CLAUDE), "no other family is given it"


def test_cache_marks_are_blocks_where_the_model_takes_them() -> None:
    mark: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    fields = {
        "system": [{"type": "text", "text": "S", **mark}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, **mark}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "A", **mark}, {"type": "text", "text": "B"}]}
        ],
    }
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    body = to_bedrock(ANTHROPIC, **fields)
    assert body["system"] == [{"text": "S"}, point]
    assert body["messages"][0]["content"] == [{"text": "A"}, point, {"text": "B"}]
    assert body["toolConfig"]["tools"][1] == point
    older = Target("anthropic.claude-3-7-sonnet-20250219-v1:0")
    assert to_bedrock(ANTHROPIC, older, **fields)["system"][1] == {"cachePoint": {"type": "default"}}
    assert left_out(ANTHROPIC, older, **fields) == {"cache_control.ttl"}
    nova = to_bedrock(ANTHROPIC, NOVA, **fields)
    assert len(nova["toolConfig"]["tools"]) == 1 and len(nova["system"]) == 2
    assert left_out(ANTHROPIC, LLAMA, **fields) == {"cache_control"}
    assert "cachePoint" not in json.dumps(to_bedrock(ANTHROPIC, LLAMA, **fields))


def test_documents_have_names_that_differ_and_a_text_beside_them() -> None:
    file = {"type": "file", "file": {"filename": "a/b.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    odd = {"type": "file", "file": {"filename": "_.csv", "file_data": "data:text/csv;base64,YSxi"}}
    content = to_bedrock(OPENAI, messages=[{"role": "user", "content": [file, file, odd]}])["messages"][0]["content"]
    assert content == [
        {"document": {"name": "a b pdf", "format": "pdf", "source": {"bytes": "JVBERi0="}}},
        {"document": {"name": "a b pdf 2", "format": "pdf", "source": {"bytes": "JVBERi0="}}},
        {"document": {"name": "csv", "format": "csv", "source": {"bytes": "YSxi"}}},
        {"text": DOCUMENT_ONLY},
    ]


def test_addresses_are_refused_and_most_of_all_those_of_the_operators_own_store() -> None:
    def with_image(url: str) -> list[Any]:
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    assert "send it as data" in refused(OPENAI, "messages[0]", messages=with_image("s3://bucket/cat.png"))
    source = {"type": "url", "url": "s3://bucket/a.pdf"}
    document = [{"role": "user", "content": [{"type": "document", "source": source}]}]
    assert "send it as data" in refused(ANTHROPIC, "messages[0]", messages=document)
    assert "send it as data" in refused(OPENAI, "messages[0]", messages=with_image("https://example.com/cat.png"))
    assert "image/tiff" in refused(OPENAI, "messages[0]", messages=with_image("data:image/tiff;base64,AA=="))


@pytest.mark.parametrize("target", [CLAUDE, OPEN, Target("qwen.qwen3-32b-v1:0")])
def test_a_schema_where_the_model_keeps_to_one(target: Target) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": SCHEMA}}
    form = to_bedrock(OPENAI, target, response_format=wanted)["outputConfig"]["textFormat"]
    assert form["type"] == "json_schema"
    told = form["structure"]["jsonSchema"]
    assert json.loads(told["schema"]) == SCHEMA and (told["name"], told["description"]) == ("n", "d")


def test_a_schema_where_it_does_not_is_left_to_another_provider() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    for target in (OLD_CLAUDE, LLAMA, NOVA):
        refused(OPENAI, "response_format", target, response_format=wanted)
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item]
    assert to_bedrock(OPENAI, tools=[strict])["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    assert left_out(OPENAI, LLAMA, tools=[strict]) == {"tools.strict"}


@pytest.mark.parametrize(
    ("client", "param", "fields"),
    [
        (OPENAI, "n", {"n": 2}),
        (OPENAI, "logprobs", {"logprobs": True}),
        (OPENAI, "web_search_options", {"web_search_options": {}}),
        (OPENAI, "modalities", {"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}),
        (ANTHROPIC, "container", {"container": "c"}),
        (ANTHROPIC, "tools", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ],
)
def test_another_kind_of_answer_is_refused_by_name(client: Dialect, param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        BEDROCK.write_request(read(client, fields), CLAUDE)
    assert caught.value.param in (param, "audio")


def test_names_of_tools_that_bedrock_does_not_take_are_refused() -> None:
    tool = {"name": "f.g", "input_schema": {"type": "object"}}
    assert "f.g" in refused(ANTHROPIC, "tools[0]", tools=[tool])


def test_what_an_operator_adds_and_drops() -> None:
    guard = {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}}
    target = Target(CLAUDE.native_id, Quirks(add_params=guard, drop_params=frozenset({"topP", "toolConfig"})))
    body = to_bedrock(OPENAI, target, top_p=0.5)
    assert body["guardrailConfig"] == guard["guardrailConfig"] and "topP" not in body["inferenceConfig"]
    assert left_out(OPENAI, target, top_p=0.5) == {"topP"}
    refused(OPENAI, "toolConfig", target, tools=[TOOL])
