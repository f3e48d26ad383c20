"""Requests forwarded in their own dialect: what is changed on the way, to the byte, and nothing else."""

import json
from dataclasses import replace
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, TARGET

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.base import Quirks, Target
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS

USER = [{"role": "user", "content": "Hi"}]
BODY = {"model": "org/model", "messages": USER}


def forwarded(fields: dict[str, Any], target: Target = TARGET) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        OPENAI.forward_request(OPENAI.glance(json.dumps({**BODY, **fields}).encode()), target)
    )
    return body


def quirky(**quirks: Any) -> Target:
    return Target("native-model", Quirks(**quirks))


def test_only_the_model_changes_and_every_other_value_keeps_its_bytes() -> None:
    body = (
        b'{ "model":"org/model" , "messages":[ {"role":"user","content":"\\u00e9 \xc3\xa9"} ],'
        b'"seed":12345678901234567, "x":[1.10, {"b":1,"a":2}] }'
    )
    sent = OPENAI.forward_request(OPENAI.glance(body), TARGET)
    assert sent == (
        b'{"model":"native-model","messages":[ {"role":"user","content":"\\u00e9 \xc3\xa9"} ],'
        b'"seed":12345678901234567,"x":[1.10, {"b":1,"a":2}]}'
    )


def test_the_gateways_own_member_stays_here() -> None:
    assert forwarded({"provider": "groq", "n": 2}) == {**BODY, "model": "native-model", "n": 2}


@pytest.mark.parametrize("name", sorted(GATEWAY_FIELDS))
def test_each_member_for_the_gateway_is_seen_alone_and_stays_here(name: str) -> None:
    body = json.dumps({**BODY, name: "fallback" if name == "provider" else None}).encode()
    seen = OPENAI.glance(body)
    assert seen.for_gateway
    assert json.loads(OPENAI.forward_request(seen, TARGET)) == {**BODY, "model": "native-model"}
    assert not OPENAI.glance(json.dumps(BODY).encode()).for_gateway


@pytest.mark.parametrize(
    ("quirks", "follows"),
    [
        ({}, ("max_tokens", False, False)),
        ({"max_tokens_field": "max_completion_tokens"}, ("max_completion_tokens", False, False)),
        ({"drop_params": frozenset({"max_tokens"})}, ("", True, False)),
        ({"add_params": {"x": 1}}, ("max_tokens", True, False)),
        ({"max_temperature": 0.0}, ("max_tokens", True, False)),
        ({"tool_choice": False}, ("max_tokens", True, False)),
        ({"stream_options": False}, ("max_tokens", True, False)),
        ({"short_call_ids": True}, ("max_tokens", False, True)),
        ({"reasoning_field": ""}, ("max_tokens", False, True)),
        ({"developer_role": True, "cache_control": True}, ("max_tokens", False, False)),
    ],
)
def test_what_a_provider_changes_follows_from_its_quirks(
    quirks: dict[str, Any], follows: tuple[str, bool, bool]
) -> None:
    target = quirky(**quirks)
    assert (target.maximum_as, target.changes_parameters, target.changes_messages) == follows
    again = replace(target, quirks=Quirks())
    assert (again.maximum_as, again.changes_parameters, again.changes_messages) == ("max_tokens", False, False)


def test_usage_is_asked_for_in_streams() -> None:
    assert forwarded({"stream": True})["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    assert forwarded({"stream": True, "stream_options": options})["stream_options"] == {
        **options,
        "include_usage": True,
    }
    assert forwarded({"stream": True, "stream_options": None})["stream_options"] == {"include_usage": True}
    assert "stream_options" not in forwarded({})
    assert "stream_options" not in forwarded({"stream": True, "stream_options": options}, quirky(stream_options=False))


@pytest.mark.parametrize(
    ("fields", "field", "sent"),
    [
        ({"max_tokens": 5}, "max_tokens", {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, "max_tokens", {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens", {"max_completion_tokens": 6}),
        ({"max_tokens": 5}, "max_completion_tokens", {"max_completion_tokens": 5}),
        ({"max_tokens": 0}, "max_tokens", {}),
        ({"max_tokens": None}, "max_tokens", {}),
    ],
)
def test_the_maximum_goes_under_the_name_that_the_provider_knows(
    fields: dict[str, Any], field: str, sent: dict[str, Any]
) -> None:
    found = forwarded(fields, quirky(max_tokens_field=field))
    assert {name: value for name, value in found.items() if "max" in name} == sent


def test_a_ceiling_set_on_the_glance_is_what_is_sent() -> None:
    glance = OPENAI.glance(json.dumps({**BODY, "max_tokens": 9_000}).encode())
    glance.max_tokens = 100
    assert json.loads(OPENAI.forward_request(glance, TARGET))["max_tokens"] == 100


def test_developer_messages_become_system_messages_where_that_role_is_unknown() -> None:
    messages = [{"role": "developer", "content": "developer", "x": 1.50}, *USER]
    assert forwarded({"messages": messages})["messages"] == [
        {"role": "system", "content": "developer", "x": 1.5},
        *USER,
    ]
    assert forwarded({"messages": messages}, quirky(developer_role=True))["messages"] == messages
    glance = OPENAI.glance(json.dumps({**BODY, "messages": messages}).encode())
    assert b'"x": 1.5' in OPENAI.forward_request(glance, quirky(developer_role=True)), "untouched bytes"


def test_parameters_that_the_provider_refuses_are_dropped_and_told() -> None:
    target = quirky(drop_params=frozenset({"seed", "tools", "n", "logprobs", "response_format", "tool_choice"}))
    fields = {"seed": 1, "n": 1, "logprobs": False, "tools": [], "response_format": {"type": "text"}}
    assert forwarded(fields, target) == {**BODY, "model": "native-model"}
    glance = OPENAI.glance(json.dumps({**BODY, **fields}).encode())
    assert OPENAI.dropped(glance, target) == ("seed", "n", "logprobs", "tools", "response_format")
    assert OPENAI.dropped(glance, TARGET) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("n", 2),
        ("logprobs", True),
        ("response_format", {"type": "json_object"}),
        ("tool_choice", "required"),
    ],
)
def test_what_would_change_the_meaning_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        forwarded({name: value}, quirky(drop_params=frozenset({name})))
    assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")


def test_added_and_forced_parameters() -> None:
    target = Target("n", Quirks(add_params={"safe": True, "top_p": 0.5}), force_params={"thinking": False})
    sent = forwarded({"top_p": 0.9}, target)
    assert (sent["safe"], sent["top_p"], sent["thinking"]) == (True, 0.9, False)
    unless = Target("n", force_params={"off": True}, force_unless=frozenset({"reasoning_effort"}))
    assert forwarded({}, unless)["off"] is True
    assert forwarded({"reasoning_effort": None}, unless)["off"] is True
    assert "off" not in forwarded({"reasoning_effort": "low"}, unless)


def test_call_ids_are_shortened_for_providers_that_want_them_short() -> None:
    call = {"id": "call_0123456789", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {**USER[0], "x": 1.5},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "abcDEF123"}]},
        {"role": "tool", "tool_call_id": "call_0123456789", "content": "r"},
        {"role": "tool", "tool_call_id": "abcDEF123", "content": "r"},
    ]
    sent = forwarded({"messages": messages}, quirky(short_call_ids=True))["messages"]
    first, second = (call["id"] for call in sent[1]["tool_calls"])
    assert (len(first), first.isalnum(), second) == (9, True, "abcDEF123")
    assert [message["tool_call_id"] for message in sent[2:]] == [first, second]
    assert sent[0] == messages[0]
    assert forwarded({"messages": messages})["messages"] == messages
    again = forwarded({"messages": messages}, quirky(short_call_ids=True))["messages"]
    assert again == sent, "the same id every time"


def test_temperature_is_lowered_to_what_the_provider_takes() -> None:
    target = quirky(max_temperature=1.0)
    assert forwarded({"temperature": 1.7}, target)["temperature"] == 1.0
    assert forwarded({"temperature": 0.3}, target)["temperature"] == 0.3
    assert forwarded({"temperature": None}, target)["temperature"] is None


@pytest.mark.parametrize(
    ("quirks", "left"),
    [
        ({}, {"reasoning_content": "R", "reasoning_details": [{"type": "reasoning.text", "text": "R"}]}),
        ({"reasoning_field": "reasoning"}, {"reasoning": "R"}),
        ({"reasoning_field": ""}, {}),
        (
            {"reasoning_field": "reasoning", "reasoning_details": True},
            {"reasoning": "R", "reasoning_details": [{"type": "reasoning.text", "text": "R"}]},
        ),
    ],
)
def test_reasoning_goes_back_under_the_name_that_the_provider_reads(
    quirks: dict[str, Any], left: dict[str, Any]
) -> None:
    details = [{"type": "reasoning.text", "text": "R"}]
    said = {"role": "assistant", "content": "A", "reasoning_content": "R", "reasoning_details": details}
    sent = forwarded({"messages": [*USER, said, *USER]}, quirky(**quirks))["messages"]
    assert sent == [*USER, {"role": "assistant", "content": "A", **left}, *USER]


def test_reasoning_that_a_client_sends_back_as_null_is_none() -> None:
    said = {"role": "assistant", "content": "A", "reasoning_content": None}
    sent = forwarded({"messages": [*USER, said]}, quirky(reasoning_field="reasoning"))["messages"]
    assert sent[1] == {"role": "assistant", "content": "A"}


def test_providers_that_choose_tools_on_their_own() -> None:
    target = quirky(tool_choice=False)
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert forwarded({"tools": tools, "tool_choice": "auto"}, target)["tools"] == tools
    assert "tools" not in forwarded({"tools": tools, "tool_choice": "none"}, target)
    with pytest.raises(InvalidRequest, match="tool_choice"):
        forwarded({"tools": tools, "tool_choice": "required"}, target)


def test_anthropic_requests_are_forwarded_likewise() -> None:
    body = (
        b'{"model":"org/model","max_tokens":10,"provider":"x","system":[ {"type":"text","text":"S"} ],'
        b'"messages":[{"role":"user","content":"a"}],"temperature":0.50,"top_k":5}'
    )
    glance = ANTHROPIC.glance(body)
    target = Target("claude", Quirks(drop_params=frozenset({"top_k"}), add_params={"speed": "fast"}))
    assert ANTHROPIC.forward_request(glance, target) == (
        b'{"model":"claude","max_tokens":10,"system":[ {"type":"text","text":"S"} ],'
        b'"messages":[{"role":"user","content":"a"}],"temperature":0.50,"speed":"fast"}'
    )
    assert ANTHROPIC.dropped(glance, target) == ("top_k",)
    with pytest.raises(InvalidRequest, match="system"):
        ANTHROPIC.forward_request(glance, Target("claude", Quirks(drop_params=frozenset({"system"}))))
    glance.max_tokens = 4
    assert b'"max_tokens":4,' in ANTHROPIC.forward_request(glance, Target("claude"))
