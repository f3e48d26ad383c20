"""Requests of the Responses API: glanced at, forwarded, read into canonical form, and written for its providers."""

import json
from typing import Any

import pytest
from dialect_samples import ABSENT, ANTHROPIC, OPENAI, folder
from hypothesis import given
from hypothesis import strategies as st
from responses_samples import TARGET, glanced

from gatewayz.core.chat import (
    Audio,
    Document,
    Image,
    Message,
    OpaqueTool,
    Reasoning,
    RedactedThinking,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import GEMINI
from gatewayz.dialects import OPENAI_RESPONSES as RESPONSES
from gatewayz.dialects.base import Quirks, Target
from gatewayz.dialects.openai_responses.glance import continued
from gatewayz.dialects.openai_responses.keep import input_items, output_of, response_in
from gatewayz.dialects.openai_responses.models import encrypts_reasoning
from gatewayz.dialects.openai_responses.names import Called, function_name, known_as
from gatewayz.dialects.openai_responses.reasoning import carried, encrypted_for, reasoned
from gatewayz.routing.conversation import conversation_key

PNG = "iVBORw0KGgo="
ITEMS: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "Look."},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            {"type": "input_file", "file_url": "https://example.com/b.pdf"},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        ],
    },
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "E"},
    {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "I call."}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
    {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}", "namespace": "ns"},
    {"type": "custom_tool_call", "call_id": "c3", "name": "h", "input": "free"},
    {"type": "function_call_output", "call_id": "c1", "output": "one"},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
    {"type": "custom_tool_call_output", "call_id": "c3", "output": "three"},
    {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    {"role": "user", "content": "Why?"},
]


def forwarded(target: Target = TARGET, **members: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(RESPONSES.forward_request(glanced(**members), target))
    return body


def test_items_in_canonical_form() -> None:
    request = RESPONSES.read_request(glanced(input=ITEMS, instructions="Rule."))
    sealed = "openai-responses-v1::E"
    assert request.messages == (
        Message("system", (Text("Rule."),)),
        Message("developer", (Text("Be brief."),)),
        Message(
            "user",
            (
                Text("Look."),
                Image(data=PNG, media_type="image/png", detail="low"),
                Document(data="JVBERg==", media_type="application/pdf", name="a.pdf"),
                Document(url="https://example.com/b.pdf"),
                Audio("UklGRg==", "wav"),
            ),
        ),
        Message(
            "assistant",
            (
                Thinking("Hm.", sealed, "openai-responses-v1"),
                Text("I call."),
                ToolCall("c1", "f", '{"a":1}'),
                ToolCall("c2", "ns__g", "{}"),
                ToolCall("c3", "h", '{"input":"free"}'),
            ),
        ),
        Message(
            "user",
            (ToolResult("c1", (Text("one"),)), ToolResult("c2", (Text("two"),)), ToolResult("c3", (Text("three"),))),
        ),
        Message("assistant", (Refusal("No."),)),
        Message("user", (Text("Why?"),)),
    )


def test_parameters_in_canonical_form() -> None:
    tools = [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "free"},
        {"type": "custom", "name": "strict", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "web_search"},
    ]
    request = RESPONSES.read_request(
        glanced(
            tools=tools,
            tool_choice={"type": "function", "name": "f"},
            parallel_tool_calls=False,
            reasoning={"effort": "low", "summary": "auto"},
            text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
            max_output_tokens=99,
            temperature=0.5,
            top_p=0.9,
            top_logprobs=2,
            include=["message.output_text.logprobs"],
            safety_identifier="who",
            service_tier="flex",
            truncation="auto",
            metadata={"a": "b"},
            store=False,
        )
    )
    assert request.tools[0] == Tool("f", "d", {"type": "object"}, True)
    assert isinstance(request.tools[1], Tool) and request.tools[1].parameters["required"] == ["input"]
    assert [tool.kind for tool in request.tools if isinstance(tool, OpaqueTool)] == [
        "custom with a grammar",
        "web_search",
    ]
    assert request.tool_choice == ToolChoice("named", "f") and request.parallel_tool_calls is False
    assert request.reasoning == Reasoning(effort="low")
    assert request.response_format == ResponseFormat("json_schema", {"type": "object"}, "n", True)
    assert (request.max_tokens, request.temperature, request.top_p) == (99, 0.5, 0.9)
    assert (request.logprobs, request.top_logprobs, request.user) == (True, 2, "who")
    assert request.service_tier == "flex" and request.metadata is None
    assert request.extra == {"truncation": "auto"}


@pytest.mark.parametrize(
    ("members", "needs"),
    [
        ({"input": ITEMS}, {"vision", "documents", "audio"}),
        ({"tools": [{"type": "function", "name": "f"}]}, {"tools"}),
        ({"tools": [{"type": "web_search"}]}, set()),
        ({"text": {"format": {"type": "json_object"}}}, {"json_object"}),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, {"json_schema"}),
        ({"top_logprobs": 1}, {"logprobs"}),
        ({"reasoning": {"effort": "none"}}, set()),
        ({"reasoning": {"effort": "high"}}, {"reasoning"}),
    ],
)
def test_what_a_request_needs(members: dict[str, Any], needs: set[str]) -> None:
    assert glanced(**members).needs == needs


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([{"type": 5}], "input[0].content[0].type"),
        ([{"type": "input_text", "text": "a"}, {"type": None}], "input[0].content[1].type"),
        ([{"type": "input_text", "text": "a"}, "b"], "input[0].content[1]"),
        (5, "input[0].content"),
    ],
)
def test_a_part_that_is_none_is_named(parts: Any, param: str) -> None:
    body = json.dumps({"model": "m", "input": [{"role": "user", "content": parts}]}).encode()
    with pytest.raises(InvalidRequest) as refused:
        RESPONSES.read_request(RESPONSES.glance(body))
    assert refused.value.param == param


REASONED: dict[str, Any] = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"type": "function", "name": "f", "description": 5}]}, "tools[0].description"),
        ({"tools": [{"type": "function", "name": "f", "strict": "yes"}]}, "tools[0].strict"),
        ({"tools": [{"type": "custom", "name": "f", "description": []}]}, "tools[0].description"),
        ({"text": {"format": {"type": "json_schema", "schema": {}, "strict": 1}}}, "text.format.strict"),
        ({"text": {"format": {"type": "json_schema", "schema": {}, "name": {}}}}, "text.format.name"),
        ({"text": {"verbosity": 5}}, "text.verbosity"),
        ({"text": {"verbosity": False}}, "text.verbosity"),
        ({"reasoning": {"summary": 5}}, "reasoning.summary"),
        ({"reasoning": {"summary": 0, "effort": "low"}}, "reasoning.summary"),
        ({"reasoning": {"generate_summary": []}}, "reasoning.generate_summary"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"reasoning": 5}, "reasoning"),
        ({"input": [REASONED | {"encrypted_content": 5}]}, "input[0].encrypted_content"),
        ({"input": [REASONED | {"summary": "s"}]}, "input[0].summary"),
        ({"input": [REASONED | {"summary": [5]}]}, "input[0].summary[0]"),
        ({"input": [REASONED | {"content": {}}]}, "input[0].content"),
        ({"input": [REASONED | {"content": [{"type": "reasoning_text", "text": 5}]}]}, "input[0].content[0].text"),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_image", "image_url": "https://h/x", "detail": 5}]}
                ]
            },
            "input[0].content[0].detail",
        ),
    ],
)
def test_what_could_not_be_carried_over_is_named_not_left_out(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        RESPONSES.read_request(glanced(**{"input": "a", **members}))
    assert refused.value.param == param


def test_only_allowed_tools_are_offered() -> None:
    tools = [{"type": "function", "name": name} for name in "fg"]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    request = RESPONSES.read_request(glanced(tools=tools, tool_choice=allowed))
    assert [tool.name for tool in request.tools if isinstance(tool, Tool)] == ["g"]
    assert request.tool_choice == ToolChoice("required")


def test_members_that_nothing_concerns_keep_their_bytes() -> None:
    body = b'{"model":"m","input":"Hi \\u00e9","tools" : [ {"type":"function","name":"f"} ],"unknown": 1.50}'
    sent = RESPONSES.forward_request(RESPONSES.glance(body), TARGET)
    assert b'"input":"Hi \\u00e9"' in sent and b'[ {"type":"function","name":"f"} ]' in sent
    assert b'"unknown":1.50' in sent and b'"model":"native-model"' in sent and b'"store":false' in sent


def test_what_the_gateway_does_itself_is_not_asked_of_the_provider() -> None:
    body = forwarded(store=True, previous_response_id="resp_1", provider="x", background=False, max_output_tokens=5)
    assert body.keys() == {"model", "input", "store", "max_output_tokens"} and body["store"] is False


def test_items_are_sent_without_ids_and_without_what_others_encrypted() -> None:
    def item(encrypted: str | None, **more: Any) -> dict[str, Any]:
        return {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": encrypted, **more}

    said = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": []}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    content = [{"type": "reasoning_text", "text": "Hm."}]
    items = [
        item("openai-responses-v1:acme:mine"),
        item("openai-responses-v1:other:theirs"),
        item("gatewayz-v1:signed:-:claude"),
        item("bare"),
        item(None),
        item(None, content=content),
        said,
        search,
    ]
    told = forwarded(input=items)["input"]
    assert [each.get("encrypted_content") for each in told[:3]] == ["mine", "bare", None]
    assert told[2]["content"] == content and told[4] == search and len(told) == 5
    assert told[3] == {"type": "message", "role": "assistant", "status": "completed", "content": []}
    assert not any("id" in each for each in told[:4])
    thinker = Target("gpt-5-mini", provider="acme")
    assert len(forwarded(thinker, input=items)["input"]) == 4, "unencrypted thoughts are not taken by those who encrypt"
    assert forwarded(thinker)["include"] == ["reasoning.encrypted_content"]
    with pytest.raises(InvalidRequest, match="compaction"):
        forwarded(input=[{"type": "compaction", "encrypted_content": "openai-responses-v1:other:x"}])


def test_namespaces_stay_where_they_are_known() -> None:
    group = {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "f"}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"}
    known = Target("native", Quirks(namespaces=True))
    assert forwarded(known, tools=[group], input=[call])["tools"] == [group]
    assert forwarded(known, tools=[group], input=[call])["input"] == [call]
    told = forwarded(tools=[group, {"type": "web_search"}], input=[call])
    assert told["tools"] == [{"type": "function", "name": "n__f", "description": "(n: d)"}, {"type": "web_search"}]
    assert told["input"] == [{"type": "function_call", "call_id": "c", "name": "n__f", "arguments": "{}"}]


def test_quirks_of_a_provider() -> None:
    target = Target("n", Quirks(drop_params=frozenset({"truncation", "top_logprobs"}), max_temperature=1.0))
    glance = glanced(truncation="auto", temperature=1.7)
    assert json.loads(RESPONSES.forward_request(glance, target))["temperature"] == 1.0
    assert RESPONSES.dropped(glance, target) == ("truncation",)
    with pytest.raises(InvalidRequest, match="top_logprobs"):
        RESPONSES.forward_request(glanced(top_logprobs=2), target)


@pytest.mark.parametrize(
    ("name", "encrypts"),
    [
        ("gpt-5", True),
        ("openai/gpt-5.1-codex", True),
        ("o3-mini", True),
        ("o4-mini-2025-04-16", True),
        ("grok-4.3", True),
        ("gpt-4o", False),
        ("gpt-5-chat-latest", False),
        ("grok-4-fast-non-reasoning", False),
        ("llama-3.3", False),
        ("foo1", False),
    ],
)
def test_models_that_encrypt_their_reasoning(name: str, encrypts: bool) -> None:
    assert encrypts_reasoning(name) is encrypts


def test_a_chat_for_a_provider_of_responses() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Rule."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": "http://x/y"}],
            },
            {
                "role": "assistant",
                "content": "I call.",
                "reasoning_details": [
                    {"type": "reasoning.encrypted", "data": "openai-responses-v1:acme:mine", "index": 0},
                    {"type": "reasoning.encrypted", "data": "google-gemini-v1:end:SIG", "index": 1},
                ],
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
        ],
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "max_tokens": 50,
        "stop": ["x"],
        "seed": 1,
        "stream": True,
        "logprobs": True,
        "top_logprobs": 3,
    }
    request = OPENAI.read_request(OPENAI.glance(json.dumps(body).encode()))
    told = json.loads(RESPONSES.write_request(request, Target("gpt-5", provider="acme")))
    assert told == {
        "model": "gpt-5",
        "input": [
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Rule."}]},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look."},
                    {"type": "input_image", "image_url": "http://x/y", "detail": "auto"},
                ],
            },
            {"type": "reasoning", "summary": [], "encrypted_content": "mine"},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "I call.", "annotations": []}],
            },
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
        ],
        "store": False,
        "max_output_tokens": 50,
        "top_logprobs": 3,
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False}
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_object"}},
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "stream": True,
    }
    assert RESPONSES.dropped(request, TARGET) == ("stop", "seed")


def test_what_it_writes_it_reads() -> None:
    request = RESPONSES.read_request(glanced(input=ITEMS[:-2]))
    told = json.loads(RESPONSES.write_request(request, TARGET))
    again = RESPONSES.read_request(glanced(input=told["input"]))
    assert again.messages == request.messages


@pytest.mark.parametrize("target", [OPENAI, ANTHROPIC, GEMINI], ids=lambda dialect: dialect.name)
def test_other_dialects_name_what_they_do_not_know(target: Any) -> None:
    for members, param in (
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "custom", "name": "x", "format": {"type": "grammar"}}]}, "tools"),
        ({"input": [{"type": "web_search_call", "id": "w"}]}, "messages[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "messages[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "messages[0].file_id"),
    ):
        request = RESPONSES.read_request(glanced(**members))
        with pytest.raises(InvalidRequest) as told:
            target.write_request(request, Target("native"))
        assert told.value.param == param


def recorded_requests() -> list[Any]:
    found = []
    for path in sorted(folder().glob("*/openai-responses-*.json")):
        case = json.loads(path.read_bytes())
        if case["api"] == "openai-responses":
            found.append(pytest.param(case["request"]["body"], id=f"{path.parent.name}/{path.stem}"))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="ABSENT")]


@pytest.mark.parametrize("body", recorded_requests())
def test_a_recorded_request_is_read_and_forwarded(body: dict[str, Any]) -> None:
    own = {
        name: value for name, value in body.items() if name not in ("background", "provider", "previous_response_id")
    }
    glance = glanced(**own)
    told = json.loads(RESPONSES.forward_request(glance, TARGET))
    kept = own.keys() - {"model", "store", "input"}
    assert {name: told[name] for name in kept} == {name: own[name] for name in kept}
    items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    request = RESPONSES.read_request(glance)
    text = json.dumps(body["input"], ensure_ascii=False)
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                assert part.id in text
    calls = sum(item.get("type") == "function_call" for item in items)
    assert sum(isinstance(part, ToolCall) for message in request.messages for part in message.parts) == calls


def test_a_conversation_in_front_of_a_request() -> None:
    glance = glanced(input="Again?")
    before = glance.prompt_tokens
    image = b'[{"role":"user","content":[{"type":"input_image","image_url":"http://x/y"}]}]'
    continued(glance, [image, b" [ ] ", b'[{"type":"message","role":"assistant","content":"A"}]'])
    items = json.loads(bytes(glance.fields["input"]))
    assert [item["role"] for item in items] == ["user", "assistant", "user"]
    assert glance.needs == {"vision"} and glance.prompt_tokens > before + 1000
    assert glance.framing is not None and json.loads(glance.framing.own_input)[0]["content"] == "Again?"


def test_two_conversations_have_two_digests() -> None:
    def key(**members: Any) -> bytes:
        return conversation_key(1, "m", glanced(**members).fields, None)

    first = [{"role": "user", "content": "One"}]
    assert key(input=first) == key(input=[*first, {"role": "assistant", "content": "Two"}])
    assert len({key(input=first), key(input="Other"), key(input=first, instructions="Rule")}) == 3


def test_what_is_kept() -> None:
    plain = b'{"id":"r","output":[{"type":"message"}]}'
    stream = (
        b"event: response.created\ndata: {}\n\nevent: response.completed\ndata: " + b'{"response":' + plain + b"}\n\n"
    )
    assert response_in(plain) == response_in(stream) == plain
    assert response_in(b"event: response.x\ndata: nothing\n\n") is None and response_in(b"") is None
    assert output_of(plain) == b'[{"type":"message"}]' and output_of(b"{}") == b"[]"
    listed = input_items("resp_1", b'[{"role":"assistant","content":"A"},{"type":"reasoning","id":"rs"}]')
    assert listed[0]["content"] == [{"type": "output_text", "text": "A", "annotations": []}]
    assert [item["id"] for item in listed] == ["msg_1_in0", "rs"]


@given(text=st.text(), secret=st.text(min_size=1), family=st.none() | st.sampled_from(["anthropic-claude-v1"]))
def test_a_carried_signature_comes_back(text: str, secret: str, family: str | None) -> None:
    assert reasoned(text, carried(secret, family, hidden=False)) == Thinking(text, secret, family)
    assert reasoned("", carried(secret, family, hidden=True)) == RedactedThinking(secret, family)
    assert encrypted_for(carried(secret, family, hidden=False), "acme") is None


def test_gemini_is_told_by_its_seal() -> None:
    assert carried("google-gemini-v1:call0:S", None, hidden=True).startswith("gatewayz-v1:hidden:google-gemini-v1:")
    assert carried("openai-responses-v1:a:S", None, hidden=True) == "openai-responses-v1:a:S"
    assert reasoned("", "gatewayz-v1:hidden:x:") is None


def test_names_of_tools() -> None:
    long = function_name("t" * 60, "n" * 30)
    assert len(long) == 64 and long == function_name("t" * 60, "n" * 30) != function_name("t" * 61, "n" * 29)
    group = {
        "type": "namespace",
        "name": "n",
        "tools": [{"type": "custom", "name": "c"}, {"type": "function", "name": "f"}],
    }
    assert known_as([group, {"type": "function", "name": "plain"}, {"type": "custom", "name": "x"}]) == {
        "n__c": Called("c", "n", True),
        "n__f": Called("f", "n"),
        "x": Called("x", None, True),
    }
