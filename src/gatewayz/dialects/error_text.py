"""Reading error bodies of any provider: JSON in a dozen shapes, HTML, plain text. Never raises."""

import re
from typing import Any

from gatewayz.core.stream import StreamError
from gatewayz.dialects import json_text

_LONGEST = 2_000
_TAG = re.compile(r"<[^>]*>")
_INVISIBLE = re.compile(r"<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)


def read_error(body: bytes) -> StreamError:
    """What an error body says: the message for the classifier, and kind, code and status in the provider's words."""
    try:
        value = json_text.load(body)
    except ValueError:
        return StreamError(_plain(body))
    return error_from(value)


def error_from(value: Any) -> StreamError:
    """As `read_error`, of a JSON value (an error body, an `error` member, or an array around either)."""
    if isinstance(value, list) and value:
        return error_from(value[0])
    if not isinstance(value, dict):
        return StreamError(_text(value))
    inner = value.get("error") or _of_choices(value.get("choices")) or _of_envelope(value)
    if isinstance(inner, list) and inner:
        inner = inner[0]
    if isinstance(inner, dict):
        found = _from_object(inner)
        return found if found.message else StreamError(_text(value), found.kind, found.code, found.status)
    if isinstance(inner, str) and inner:
        return StreamError(_cut(inner), _word(value.get("type")), _word(value.get("code")), _status(value))
    return _from_object(value)


def _of_choices(choices: Any) -> Any:
    """The error inside a choice, where OpenRouter puts the failure of a provider behind it."""
    found = [choice.get("error") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return next((error for error in found if error), None)


def _of_envelope(value: dict[str, Any]) -> Any:
    """The first error of an envelope that says whether it succeeded, as Cloudflare puts it around everything."""
    errors = value.get("errors")
    told = isinstance(errors, list) and bool(errors) and isinstance(errors[0], dict) and bool(errors[0].get("message"))
    return errors if told and value.get("success") is False else None


def _from_object(error: dict[str, Any]) -> StreamError:
    kind = _word(error.get("type"))
    if kind is None or kind == "error":
        kind = _word(error.get("status")) or kind
    return StreamError(_message(error), kind, _word(error.get("code")), _status(error), _word(error.get("param")))


def _message(error: dict[str, Any]) -> str:
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    for name in ("message", "detail", "error_message", "msg", "title", "reason", "errors", "description"):
        found = error.get(name)
        if found:
            text = _text(found)
            return _cut(f"{text}: {_text(raw)}") if raw else text
    return _text(error) if error else ""


def _status(error: dict[str, Any]) -> int | None:
    for name in ("status_code", "http_status", "status", "code"):
        found = error.get(name)
        if isinstance(found, str) and found.isdecimal() and len(found) == 3:
            found = int(found)
        if isinstance(found, int) and 100 <= found <= 599:
            return found
    return None


def _word(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    return str(value)[:200] if isinstance(value, (str, int)) and value != "" else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _cut(value)
    return _cut(json_text.dump(value).decode())


def _plain(body: bytes) -> str:
    text = body[: 64 * _LONGEST].decode("utf-8", "replace")
    if "<" in text:
        text = _TAG.sub(" ", _INVISIBLE.sub(" ", text))
    return _cut(" ".join(text.split()))


def _cut(text: str) -> str:
    return text[:_LONGEST]
