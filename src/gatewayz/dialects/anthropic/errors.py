"""Errors in the words of the Anthropic dialect."""

from typing import Any

from gatewayz.core.errors import GatewayError
from gatewayz.dialects import json_text

# Anthropic has types of its own for payment, size and gateway trouble, and none for conflicts and wrong methods.
TYPE_BY_STATUS = {
    402: "billing_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_type(error: GatewayError) -> str:
    """The type under which Anthropic's clients know this kind of error."""
    return TYPE_BY_STATUS.get(error.status, error.type)


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The error body, a superset of Anthropic's; `extra` members never replace the regular ones."""
    members: dict[str, Any] = {
        "type": error_type(error),
        "message": error.message,
        "code": error.code,
        "param": error.param,
    }
    if error.suggestions:
        members["suggestions"] = error.suggestions
    if error.details is not None:
        members["details"] = error.details
    return json_text.dump({"type": "error", "error": {**error.extra, **members}, "request_id": request_id})
