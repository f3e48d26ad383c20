"""Chunks that a dialect does not know: an error in disguise, text at an unusual place, or something to pass on."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from gatewayz.core.chat import Choice, Opaque
from gatewayz.dialects import json_text
from gatewayz.dialects.base import EXCERPT_BYTES, AnswerFacts

_TEXT_MEMBERS = ("text", "content", "output_text", "completion", "response", "generated_text", "delta", "token")
_OBJECT_MEMBERS = ("message", "data", "result")
_ERROR_MEMBERS = ("error", "errors", "detail", "error_message", "error_code")
_ERROR_COMPANIONS = ("code", "status", "status_code", "type")
_DEPTH = 4


def looks_like_error(value: Any) -> bool:
    """Whether a value of unknown shape tells of a failure: such text must never be shown as an answer."""
    if not isinstance(value, dict):
        return False
    if any(value.get(name) for name in _ERROR_MEMBERS) or "error" in (value.get("type"), value.get("object")):
        return True
    return isinstance(value.get("message"), str) and any(name in value for name in _ERROR_COMPANIONS)


def find_text(value: Any, depth: int = _DEPTH) -> str | None:
    """Text at one of the usual places of a JSON object of unknown shape; None if there is none."""
    if not isinstance(value, dict) or depth == 0:
        return None
    for name in _TEXT_MEMBERS:
        found = value.get(name)
        if isinstance(found, str) and found:
            return found
        inner = find_text(found, depth - 1)
        if inner:
            return inner
    for name in _OBJECT_MEMBERS:
        inner = find_text(value.get(name), depth - 1)
        if inner:
            return inner
    choices = value.get("choices")
    if isinstance(choices, list) and len(choices) == 1:
        return find_text(choices[0], depth - 1)
    return None


def noting_opaque(facts: AnswerFacts, choices: Iterable[Choice]) -> AnswerFacts:
    """The facts of a plain answer with its opaque parts counted, as chunks of unknown form are in a stream."""
    opaque = [part for choice in choices for part in choice.parts if isinstance(part, Opaque)]
    if not opaque:
        return facts
    excerpt = json_text.dump(opaque[0].raw)[:EXCERPT_BYTES].decode("utf-8", "replace")
    return replace(facts, unknown_events=len(opaque), unknown_excerpt=excerpt)


def raw_value(data: bytes) -> Any:
    """The JSON value of a chunk, or its text if it is no JSON."""
    try:
        return json_text.load(data)
    except ValueError:
        return data.decode("utf-8", "replace")
