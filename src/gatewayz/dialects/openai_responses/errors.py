"""Errors of the Responses API: the body is that of every OpenAI endpoint, the event says it twice.

The published event has its words at the top; the official clients look for an `error` object and raise it.
"""

from typing import Any

from gatewayz.core.errors import GatewayError
from gatewayz.dialects import json_text
from gatewayz.dialects.openai_chat import errors

# What other parts of the gateway name as chats do. Where in the input it stood is not known any more.
_NAMED_HERE = (("messages", "input"), ("response_format", "text.format"), ("reasoning_effort", "reasoning.effort"))


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The error body, with the field under the name that it has in this API."""
    return json_text.dump(_members(error, request_id))


def error_event(error: GatewayError, request_id: str) -> dict[str, Any]:
    """The members of an `error` event beside type and number."""
    body = _members(error, request_id)
    return {name: body["error"][name] for name in ("code", "message", "param")} | body


def _members(error: GatewayError, request_id: str) -> dict[str, Any]:
    body: dict[str, Any] = json_text.load(errors.render_error(error, request_id))
    param, told = error.param, body["error"]
    for name, here in _NAMED_HERE:
        if param is not None and (param == name or param.startswith((f"{name}[", f"{name}."))):
            told["param"] = here
            told["message"] = error.message.replace(f"'{param}'", f"'{here}'")
    return body
