"""Members of tools that only one dialect has: kept in it, named in the log when another one is spoken."""

import json
from typing import Any

import pytest

from gatewayz.dialects import CLIENT_DIALECTS, PROVIDER_DIALECTS
from gatewayz.dialects.base import Target

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
ANTHROPIC_TOOL = {
    "name": "weather",
    "input_schema": SCHEMA,
    "input_examples": [{"city": "Oslo"}],
    "defer_loading": True,
}
OPENAI_TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "examples": ["Oslo"]}}
# A conversation in which another family took part is written anew, also in its own dialect.
FOREIGN = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "?"}],
    },
    {"role": "user", "content": "Oslo"},
]
USER = [{"role": "user", "content": "Weather?"}]


def asked(client: str, provider: str, tool: dict[str, Any], messages: list[Any]) -> tuple[dict[str, Any], set[str]]:
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": messages, "tools": [tool]}).encode()
    dialect, theirs = CLIENT_DIALECTS[client], PROVIDER_DIALECTS[provider]
    request = dialect.read_request(dialect.glance(body))
    target = Target("claude-x" if provider == "anthropic" else "m")
    return json.loads(theirs.write_request(request, target)), set(theirs.dropped(request, target))


@pytest.mark.parametrize("provider", ["openai", "gemini", "bedrock", "cohere"])
def test_anthropic_members_are_named_elsewhere(provider: str) -> None:
    body, dropped = asked("anthropic", provider, ANTHROPIC_TOOL, USER)
    assert {"tools.defer_loading", "tools.input_examples"} <= dropped
    assert "defer_loading" not in json.dumps(body)


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "bedrock", "cohere"])
def test_openai_members_are_named_elsewhere(provider: str) -> None:
    body, dropped = asked("openai", provider, OPENAI_TOOL, USER)
    assert "tools.examples" in dropped and "examples" not in json.dumps(body)


def test_a_conversation_that_is_written_anew_keeps_them() -> None:
    body, dropped = asked("anthropic", "anthropic", ANTHROPIC_TOOL, FOREIGN)
    assert body["tools"] == [ANTHROPIC_TOOL] and dropped == set()
    body, dropped = asked("openai", "openai", OPENAI_TOOL, USER)
    assert body["tools"] == [OPENAI_TOOL] and dropped == set()


def test_marks_inside_results_of_tools_are_named() -> None:
    result = [{"type": "text", "text": "cold", "cache_control": {"type": "ephemeral"}}]
    messages = [
        *USER,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": result}]},
    ]
    for provider in ("openai", "gemini", "bedrock", "cohere"):
        assert "cache_control" in asked("anthropic", provider, ANTHROPIC_TOOL, messages)[1]
