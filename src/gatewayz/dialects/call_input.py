"""Arguments of tool calls for the dialects that want an object instead of JSON text."""

from typing import Any

import msgspec

from gatewayz.dialects import json_text

INVALID_ARGUMENTS = "invalid_arguments"  # member that holds tool arguments which are no JSON object


def json_object(text: str) -> bytes | None:
    """The bytes of a text that is one JSON object, kept as they are but for NaN, which is null; None if it is none."""
    text = text.strip()
    if not text.startswith("{"):
        return None
    try:
        data = json_text.strict(text.encode())
        return data if isinstance(json_text.load(data), dict) else None
    except ValueError:
        return None


def call_input(arguments: str) -> Any:
    """Tool arguments as object, its bytes kept; what is no JSON object is kept as text under `invalid_arguments`."""
    if not arguments.strip():
        return {}
    data = json_object(arguments)
    return msgspec.Raw(data) if data is not None else {INVALID_ARGUMENTS: arguments}
