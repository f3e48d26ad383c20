"""Errors in the words of Google's APIs."""

from typing import Any

from gatewayz.core.errors import GatewayError
from gatewayz.dialects import json_text

STATUS_BY_CODE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_DOMAIN = "gatewayz"
_TYPES = "type.googleapis.com/google.rpc."
# Names by which the dialects of providers call a field, and what it is called here.
_OWN_NAMES = {
    "n": "generationConfig.candidateCount",
    "stop": "generationConfig.stopSequences",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "max_tokens": "generationConfig.maxOutputTokens",
    "response_format": "generationConfig.responseMimeType",
    "tool_choice": "toolConfig",
    "system": "systemInstruction",
}


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The error body, a superset of Google's: `code` is the status, the gateway's own word is a detail's `reason`."""
    param = own_name(error.param)
    message = error.message
    if error.param is not None and param != error.param:
        message = message.replace(f"'{error.param}'", f"'{param}'")
    metadata = {"requestId": request_id, "type": error.type, **({"param": param} if param else {})}
    metadata |= {"suggestions": ", ".join(error.suggestions)} if error.suggestions else {}
    info = {"@type": f"{_TYPES}ErrorInfo", "reason": error.code, "domain": _DOMAIN, "metadata": metadata}
    details: list[dict[str, Any]] = [info]
    if param is not None and error.fault == "caller":
        violation = {"field": param, "description": message}
        details.append({"@type": f"{_TYPES}BadRequest", "fieldViolations": [violation]})
    wait = next((value for name, value in error.headers.items() if name.lower() == "retry-after"), None)
    if wait is not None and wait.isdecimal():
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{wait}s"})
    if error.details is not None:
        details.append({"@type": f"{_DOMAIN}/details", **error.details})
    members = {
        "code": error.status,
        "message": message,
        "status": STATUS_BY_CODE.get(error.status, "UNKNOWN"),
        "type": error.type,
        "param": param,
        "details": details,
    }
    return json_text.dump({"error": {**error.extra, **members}})


def own_name(param: str | None) -> str | None:
    """What a client of Gemini calls a field. Messages have no place there: turns were joined since."""
    if param is None:
        return None
    return "contents" if param.startswith("messages[") else _OWN_NAMES.get(param, param)
