"""What Gemini's answers and chunks look like on the wire, and how their counts and reasons are read.

Members whose type is not checked while decoding are `Any` and are checked where they are used.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from gatewayz.core.chat import FinishReason
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text

NAME = "gemini"
_ABSURD = 2**40  # no answer has so many tokens; such a count is a provider's mistake

FINISH_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
# The model meant to call a function and did not get it right: reported as a stop, an agent would wait for ever.
FAULTS = frozenset({"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"})
# A call of a function that was not declared, or too many of them: the calls are there, their caller may answer them.
_FAULTS_WITHOUT_CALLS = frozenset({"UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"})
# Vertex writes numbers where it is asked for numeric enums; these five mean the same in all versions.
_NUMBERED = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}


class Call(msgspec.Struct):
    """A `functionCall`."""

    name: Any = None
    args: Any = None
    id: Any = None


class Part(msgspec.Struct, rename="camel"):
    """A part; one of which nothing here is set is of another kind."""

    text: Any = None
    thought: Any = None
    thought_signature: Any = None
    function_call: Call | None = None


class Content(msgspec.Struct):
    """What a candidate says."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    """One alternative of a chunk or a plain answer."""

    index: Any = 0
    content: Content | None = None
    finish_reason: Any = None
    grounding_metadata: Any = None
    citation_metadata: Any = None
    logprobs_result: Any = None


class Body(msgspec.Struct, rename="camel"):
    """A chunk or a plain answer."""

    candidates: list[Candidate] | None = None
    usage_metadata: Any = None
    prompt_feedback: Any = None
    model_version: Any = None
    response_id: Any = None
    error: Any = None


_BODY = msgspec.json.Decoder(Body)


def body(data: bytes) -> Body:
    """The chunk or answer in `data`. Raises ValueError if it is none (no JSON object, not of this shape, an error)."""
    json_text.refuse_deep(data)
    try:
        read = _BODY.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError("not an answer") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        read = _leniently(data)
    if read.error or (read.candidates is None and read.prompt_feedback is None and read.usage_metadata is None):
        raise ValueError("not an answer")
    return read


def _leniently(data: bytes) -> Body:
    """The slow way, which also reads half surrogate pairs."""
    try:
        return msgspec.convert(json_text.load(data), Body)
    except msgspec.ValidationError as error:
        raise ValueError("not an answer") from error


def other_kind(part: Part, data: bytes, candidate: int, number: int) -> tuple[str, Any] | None:
    """(kind, JSON value) of a part that holds something else than text, a thought or a call; None for those.

    `data` are the bytes that were read as `Body`, in which this is part `number` of candidate `candidate`.
    """
    if part.function_call is not None or isinstance(part.text, str):
        return None
    raw = json_text.load(data)["candidates"][candidate]["content"]["parts"][number]
    names = [name for name in raw if name not in ("thought", "thoughtSignature", "text", "functionCall")]
    return (names[0], raw) if names else None


def native_finish(reason: Any) -> str | None:
    """The finish reason in Gemini's words; None while there is none."""
    if type(reason) is int:
        return _NUMBERED.get(reason)
    return reason if isinstance(reason, str) and reason else None


def finish_reason(native: str, calls: bool) -> FinishReason:
    """The normal form of a finish reason; Gemini says STOP after calls, too. Unknown ones count as a regular stop."""
    normal = FINISH_REASONS.get(native, "stop")
    return "tool_calls" if calls and normal == "stop" else normal


def is_fault(native: str, calls: bool) -> bool:
    """Whether this reason tells of a failure of the model rather than of an end."""
    return native in FAULTS or (native in _FAULTS_WITHOUT_CALLS and not calls)


def block_reason(feedback: Any) -> str | None:
    """Why the prompt was blocked; None if it was not."""
    if not isinstance(feedback, dict) or not feedback.get("blockReason"):
        return None
    return str(feedback["blockReason"])


def made_up_call_id(response_id: Any, number: int) -> str:
    """An id for a call that came without one: always the same for the same answer."""
    tail = "".join(char for char in str(response_id or "")[-24:] if char.isascii() and char.isalnum())
    return f"call_{tail}_{number}"


def arguments_of(call: Call) -> str:
    """The arguments of a call as JSON text."""
    return json_text.dump(call.args if call.args is not None else {}).decode()


def usage_of(raw: Any) -> Usage | None:
    """Token counts of a `usageMetadata`; None if there are none.

    Thoughts and prompts of tools that ran at the provider stand beside the other counts, cached tokens within them.
    """
    if not isinstance(raw, dict) or not any(type(raw.get(name)) is int for name in _MAIN_COUNTS):
        return None
    thoughts = _count(raw, "thoughtsTokenCount")
    prompt = _count(raw, "promptTokenCount") + _count(raw, "toolUsePromptTokenCount")
    completion = _count(raw, "candidatesTokenCount") + thoughts
    cached = min(_count(raw, "cachedContentTokenCount"), prompt)
    audio = _of_modality(raw, "promptTokensDetails", "AUDIO") - _of_modality(raw, "cacheTokensDetails", "AUDIO")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=thoughts,
        audio_input_tokens=min(max(audio, 0), prompt - cached),
        audio_output_tokens=min(_of_modality(raw, "candidatesTokensDetails", "AUDIO"), completion - thoughts),
    )


def with_searches(usage: Usage | None, groundings: Iterable[Any]) -> Usage | None:
    """The usage with the searches that the candidates' `groundingMetadata` tell of.

    Google bills each query once and none that is empty, which its lists hold, too (https://ai.google.dev/gemini-api/docs/google-search).
    """
    queries: set[str] = set()
    for grounding in groundings:
        told = grounding.get("webSearchQueries") if isinstance(grounding, dict) else None
        queries.update(query for query in told if isinstance(query, str) and query) if isinstance(told, list) else None
    return msgspec.structs.replace(usage, web_searches=len(queries)) if usage is not None and queries else usage


_MAIN_COUNTS = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")


def _count(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    return value if type(value) is int and 0 < value < _ABSURD else 0


def _of_modality(raw: dict[str, Any], name: str, modality: str) -> int:
    details = raw.get(name)
    return sum(
        _count(detail, "tokenCount")
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and detail.get("modality") == modality
    )
