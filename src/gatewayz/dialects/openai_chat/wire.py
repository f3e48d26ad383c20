"""What OpenAI-like answers and chunks look like on the wire, read leniently: providers differ in every detail.

Members whose type varies between providers are `Any` and are checked where they are used.
"""

from typing import Annotated, Any, TypeGuard, TypeVar

import msgspec

from gatewayz.core.chat import FinishReason
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text

_ABSURD = 2**40  # no answer has so many tokens; such a count is a provider's mistake

_T = TypeVar("_T")

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "COMPLETE": "stop",
    "STOP": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "MAX_TOKENS": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "SAFETY": "content_filter",
    "sensitive": "content_filter",
    "pause": "pause",
}
ERROR_FINISH = frozenset({"error", "network_error", "abort", "insufficient_system_resource"})


def finish_reason(native: str) -> FinishReason:
    """The normal form of a provider's finish reason; an unknown one counts as a regular stop."""
    return FINISH_REASONS.get(native, "stop")


class SeenChoice(msgspec.Struct):
    """One choice as the forwarder sees it: enough to know what it carries."""

    index: Any = 0
    delta: "SeenDelta | None" = None
    message: Any = None
    text: Any = None
    finish_reason: Any = None
    native_finish_reason: Any = None


class SeenDelta(msgspec.Struct):
    """A delta as the forwarder sees it."""

    content: Any = None
    tool_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    function_call: Any = None
    audio: Any = None
    images: Any = None
    annotations: Any = None


class Seen(msgspec.Struct):
    """A chunk as the forwarder sees it; members that it does not name are skipped without being built."""

    id: Any = None
    model: Any = None
    choices: list[SeenChoice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


class Choice(msgspec.Struct):
    """One choice of a chunk or a plain answer, complete."""

    index: Any = 0
    delta: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    text: Any = None
    finish_reason: Any = None
    native_finish_reason: Any = None
    stop_reason: Any = None
    logprobs: Any = None


class Body(msgspec.Struct):
    """A chunk or a plain answer, complete."""

    id: Any = None
    model: Any = None
    created: Any = None
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    citations: Any = None


SEEN = msgspec.json.Decoder(Seen)
BODY = msgspec.json.Decoder(Body)


def seen(data: bytes) -> Seen:
    """The chunk in `data` for the forwarder. Raises ValueError if it is none (no JSON object, or not of this shape)."""
    try:
        return SEEN.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError("not a chunk") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _convert(data, Seen)


def body(data: bytes) -> Body:
    """The chunk or answer in `data`. Raises ValueError if it is none."""
    json_text.refuse_deep(data)
    try:
        return BODY.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError("not a chat completion") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _convert(data, Body)


def _convert(data: bytes, kind: type[_T]) -> _T:
    """The slow way, which also reads half surrogate pairs."""
    try:
        return msgspec.convert(json_text.load(data), kind)
    except msgspec.ValidationError as error:
        raise ValueError("not a chunk") from error


_Count = Annotated[int, msgspec.Meta(ge=0, lt=_ABSURD)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = 0
    audio_tokens: _Count | None = 0
    cache_write_tokens: _Count | None = 0
    cache_creation_tokens: _Count | None = 0


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = 0
    audio_tokens: _Count | None = 0


class UsualUsage(msgspec.Struct):
    """Usage as nearly all providers tell it: whole numbers under OpenAI's own names, and nothing that changes them."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: None = None
    cached_tokens: None = None
    cache_read_input_tokens: None = None
    cache_creation_input_tokens: None = None
    reasoning_tokens: None = None
    server_tool_use: None = None
    server_tool_use_details: None = None
    num_search_queries: None = None


_NO_PROMPT_DETAILS, _NO_COMPLETION_DETAILS = _PromptDetails(), _CompletionDetails()


def groq_error(x_groq: Any) -> str | None:
    """Why Groq stopped a stream early, which it says beside regular choices; None if it did not."""
    error = x_groq.get("error") if isinstance(x_groq, dict) else None
    return error if isinstance(error, str) and error else None


def usage_of(raw: Any, x_groq: Any = None) -> Usage | None:
    """Token counts of a `usage` member (or Groq's own); None if there are none. All spellings seen so far are read.

    Where the provider's total is more than prompt and completion, the rest was consumed beside them: the audio of the
    prompt at Mistral, the reasoning at xAI and (without saying so) at Gemini. It is added where it belongs.
    """
    if not isinstance(raw, dict):
        raw = x_groq.get("usage") if isinstance(x_groq, dict) else None
        if not isinstance(raw, dict):
            return None
    try:
        usual = msgspec.convert(raw, UsualUsage)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return _odd_usage(raw)
    return as_told(usual) or _odd_usage(raw)


def as_told(usual: UsualUsage) -> Usage | None:
    """The counts as they stand there; None where they contradict each other, so that `usage_of` must find what is meant."""
    prompt, completion = usual.prompt_tokens, usual.completion_tokens
    if usual.total_tokens > prompt + completion:
        return None
    inside, outside = usual.prompt_tokens_details, usual.completion_tokens_details
    if (inside is None or inside == _NO_PROMPT_DETAILS) and (outside is None or outside == _NO_COMPLETION_DETAILS):
        return Usage(prompt, completion)
    inside, outside = inside or _NO_PROMPT_DETAILS, outside or _NO_COMPLETION_DETAILS
    cached, written = inside.cached_tokens or 0, inside.cache_write_tokens or inside.cache_creation_tokens or 0
    reasoning, heard, spoken = outside.reasoning_tokens or 0, inside.audio_tokens or 0, outside.audio_tokens or 0
    if cached + written + heard > prompt or reasoning + spoken > completion:
        return None
    return Usage(prompt, completion, cached, written, 0, reasoning, heard, spoken)


def is_told_as_charged(raw: Any, usage: Usage | None) -> bool:
    """Whether a usage report, read as `usage`, lacks nothing but its cost."""
    return (
        usage is not None
        and isinstance(raw, dict)
        and type(raw.get("prompt_tokens")) is int
        and type(raw.get("completion_tokens")) is int
        and raw["prompt_tokens"] == usage.prompt_tokens
        and raw["completion_tokens"] == usage.completion_tokens
        and "cost" not in raw
    )


def _odd_usage(raw: dict[str, Any]) -> Usage | None:
    """Token counts in any other spelling; None if there are none."""
    if not any(_is_count(raw.get(name)) for name in ("prompt_tokens", "completion_tokens")):
        return None
    prompt_details = _details(raw, "prompt_tokens_details")
    completion_details = _details(raw, "completion_tokens_details")
    cached = _count(prompt_details, "cached_tokens") or _count(raw, "prompt_cache_hit_tokens")
    cached = cached or _count(raw, "cached_tokens") or _count(raw, "cache_read_input_tokens")
    written = _count(prompt_details, "cache_write_tokens") or _count(prompt_details, "cache_creation_tokens")
    written = written or _count(raw, "cache_creation_input_tokens")
    reasoning = _count(completion_details, "reasoning_tokens") or _count(raw, "reasoning_tokens")
    audio = _count(prompt_details, "audio_tokens")
    prompt, completion = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    hidden = _count(raw, "total_tokens") - prompt - completion
    if hidden > 0 and hidden == audio:
        prompt += hidden
    elif hidden > 0:
        completion += hidden
        reasoning = reasoning or hidden
    cached = min(cached, prompt)  # Grok on Azure counts its own cached preamble there
    written = min(written, prompt - cached)
    if reasoning > completion and "citation_tokens" in raw:
        completion += reasoning  # Perplexity's research models: its total leaves them out, its bill does not
    reasoning = min(reasoning, completion)  # some providers count it with another tokenizer
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_5m_tokens=written,
        reasoning_tokens=reasoning,
        audio_input_tokens=min(audio, prompt - cached - written),
        audio_output_tokens=min(_count(completion_details, "audio_tokens"), completion - reasoning),
        web_searches=_searches(raw),
    )


def _searches(raw: dict[str, Any]) -> int:
    """Searches of the web: OpenRouter has told them under two names, Perplexity's research models under a third."""
    told = _details(raw, "server_tool_use_details") or _details(raw, "server_tool_use")
    return _count(told, "web_search_requests") or _count(raw, "num_search_queries")


def _details(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _count(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    return int(value) if _is_count(value) and 0 < value < _ABSURD else 0


def _is_count(value: Any) -> TypeGuard[int | float]:
    """Whether this is a whole number, also as 7.0, as some providers write it."""
    return type(value) is int or (isinstance(value, float) and value.is_integer())


def usage_members(usage: Usage, cost_nano_usd: int, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """The `usage` object for a client, with `cost` in USD as an exact number, and what `more` there is to say of it."""
    members: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": usage.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
        "cost": json_text.usd_raw(cost_nano_usd),
    }
    if usage.web_searches:
        members["server_tool_use_details"] = {"web_search_requests": usage.web_searches}
    if usage.estimated:
        members["usage_estimated"] = True
    if more is not None:
        members.update(more)
    return members
