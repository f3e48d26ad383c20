"""Which parameters of a request can be said to a provider: by the dialect it speaks, what its offer can do, what it refuses."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

_EVERYWHERE = frozenset(
    {"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "response_format", "stream", "n"}
)
# Sampling that OpenAI-like providers may know beyond OpenAI's own parameters; nobody states who does, so no one counts.
NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "openai": _EVERYWHERE
        | {"frequency_penalty", "presence_penalty", "logit_bias", "seed", "user", "metadata", "service_tier"},
        "anthropic": (_EVERYWHERE - {"n"}) | {"top_k", "stop_sequences", "system", "metadata", "user"},
        "gemini": _EVERYWHERE | {"top_k", "seed", "frequency_penalty", "presence_penalty"},
        "bedrock": (_EVERYWHERE - {"n"}) | {"top_k", "stop_sequences"},
        "cohere": (_EVERYWHERE - {"n"}) | {"top_k", "stop_sequences", "seed", "frequency_penalty", "presence_penalty"},
    }
)
# What an offer must be able to do before its provider can be told of it.
_NEEDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tools": ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        "logprobs": ("logprobs", "top_logprobs"),
        "reasoning": ("reasoning", "reasoning_effort", "include_reasoning", "thinking"),
        "json_schema": ("structured_outputs",),
    }
)
_NOT_SAID = {
    "anthropic": frozenset({"logprobs", "top_logprobs"}),
    "gemini": frozenset({"parallel_tool_calls"}),
    "bedrock": frozenset({"logprobs", "top_logprobs", "parallel_tool_calls"}),
    "cohere": frozenset({"top_logprobs", "parallel_tool_calls"}),
}
# Every name that is a parameter of the model's answer; others (messages, model, …) are no parameters.
KNOWN = frozenset(
    {"top_k", "min_p", "top_a", "repetition_penalty", "prediction", "verbosity", "web_search_options", "logit_bias"}
).union(*NAMES.values(), *_NEEDED.values()) - {"stream", "user", "metadata", "system", "service_tier"}


def understood(dialect: str, capabilities: Iterable[str], dropped: frozenset[str]) -> frozenset[str]:
    """The parameters that an offer with these capabilities understands from a provider that drops some of them."""
    return _understood(dialect, frozenset(capabilities), dropped)


@lru_cache(maxsize=1024)
def _understood(dialect: str, capabilities: frozenset[str], dropped: frozenset[str]) -> frozenset[str]:
    able = {name for need, names in _NEEDED.items() if need in capabilities for name in names}
    return (NAMES.get(dialect, _EVERYWHERE) | able) - dropped - _NOT_SAID.get(dialect, frozenset())
