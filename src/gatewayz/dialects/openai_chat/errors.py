"""Errors in the words of the OpenAI dialect."""

from typing import Any

from gatewayz.core.errors import GatewayError
from gatewayz.dialects import json_text


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The error body `{"error": {...}}`; `extra` members never replace the regular ones."""
    members: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
    }
    if error.suggestions:
        members["suggestions"] = error.suggestions
    if error.details is not None:
        members["details"] = error.details
    return json_text.dump({"error": {**error.extra, **members}})
