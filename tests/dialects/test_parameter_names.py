"""The table of parameters that a dialect can say is what its writers really do."""

import json
from typing import Any

import pytest

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import DIALECTS, PROVIDER_DIALECTS
from gatewayz.dialects.base import Quirks, Target
from gatewayz.dialects.parameter_names import KNOWN, understood

# One value of each parameter that asks for something.
VALUES: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "min_p": 0.1,
    "top_a": 0.1,
    "repetition_penalty": 1.1,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "max_tokens": 50,
    "max_completion_tokens": 50,
    "logit_bias": {"5": 1},
    "logprobs": True,
    "top_logprobs": 2,
    "seed": 7,
    "n": 2,
    "stop": ["x"],
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "reasoning_effort": "high",
    "prediction": {"type": "content", "content": "x"},
    "verbosity": "low",
}
EVERYTHING = frozenset({"tools", "logprobs", "reasoning", "json_schema", "json_object", "vision"})
# Models that can think, by the names that they have there.
NATIVE = {
    "gemini": "gemini-2.5-flash",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-reasoning-08-2025",
}


def is_said(dialect: str, name: str) -> bool:
    """Whether a provider of the dialect is told of the parameter by a client that speaks OpenAI's through the canonical form."""
    extra = {"tools": VALUES["tools"]} if name in ("tool_choice", "parallel_tool_calls") else {}
    extra |= {"logprobs": True} if name == "top_logprobs" else {}
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **extra, name: VALUES[name]}
    client, provider = DIALECTS["openai"], PROVIDER_DIALECTS[dialect]
    target = Target(NATIVE.get(dialect, "native"), Quirks())
    request = client.read_request(client.glance(json.dumps(body).encode()))
    try:
        provider.write_request(request, target)
    except InvalidRequest:
        return False
    return name not in provider.dropped(request, target)


@pytest.mark.parametrize("dialect", ["anthropic", "gemini", "bedrock", "cohere"])
@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_parameter_counts_as_understood_exactly_if_the_provider_is_told_of_it(dialect: str, name: str) -> None:
    assert (name in understood(dialect, EVERYTHING, frozenset())) == is_said(dialect, name)


def test_every_known_parameter_is_tried() -> None:
    other_words = {"functions", "function_call", "reasoning", "include_reasoning", "thinking", "structured_outputs"}
    assert KNOWN - VALUES.keys() - other_words == {"stop_sequences", "web_search_options"}


def test_openai_like_providers_understand_openais_own_and_nothing_that_nobody_states() -> None:
    names = understood("openai", EVERYTHING, frozenset())
    assert {"seed", "logit_bias", "n", "tools", "logprobs", "reasoning_effort"} <= names
    assert not {"top_k", "min_p", "top_a", "repetition_penalty"} & names


def test_what_an_offer_cannot_do_or_its_provider_drops_is_not_understood() -> None:
    assert not {"tools", "logprobs", "reasoning"} & understood("openai", (), frozenset())
    assert "seed" not in understood("openai", EVERYTHING, frozenset({"seed"}))
