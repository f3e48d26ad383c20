"""Arguments of tool calls for the dialects that want an object instead of JSON text."""

from typing import Any

import msgspec

from gatewayz.dialects import json_text

INVALID_ARGUMENTS = "invalid_arguments"  # member that holds tool arguments which are no JSON object


def json_object(text: str) -> bool:
    """Whether a text is one JSON object."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(json_text.load(text.encode()), dict)
    except (ValueError, UnicodeEncodeError):
        return False


def call_input(arguments: str) -> Any:
    """Tool arguments as object, its bytes kept; what is no JSON object is kept as text under `invalid_arguments`."""
    text = arguments.strip()
    if not text:
        return {}
    return msgspec.Raw(text.encode()) if json_object(text) else {INVALID_ARGUMENTS: arguments}
