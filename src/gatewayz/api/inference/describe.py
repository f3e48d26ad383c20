"""OpenAPI of the inference routes, which FastAPI does not see."""

from typing import Any

from gatewayz.api.inference.routes import ROUTES, Route

_BODIES: dict[str, dict[str, Any]] = {
    "openai": {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "description": "canonical id, alias, or provider/model"},
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "stream": {"type": "boolean"},
            "provider": {"type": "string", "description": "use this provider only"},
        },
        "additionalProperties": True,
    },
    "openai_responses": {
        "type": "object",
        "required": ["model"],
        "properties": {
            "model": {"type": "string", "description": "canonical id, alias, or provider/model"},
            "input": {
                "description": "what the user says, or items of a conversation; needed unless one is continued",
                "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "object"}}],
            },
            "previous_response_id": {"type": "string", "description": "a kept response of this account, to go on from"},
            "store": {"type": "boolean", "description": "keep the response for 30 days; true unless said otherwise"},
            "stream": {"type": "boolean"},
            "provider": {"type": "string", "description": "use this provider only"},
        },
        "additionalProperties": True,
    },
    "openai_completions": {
        "type": "object",
        "required": ["model", "prompt"],
        "properties": {
            "model": {"type": "string", "description": "canonical id, alias, or provider/model"},
            "prompt": {"type": "string", "minLength": 1},
            "stream": {"type": "boolean"},
        },
        "additionalProperties": True,
    },
    "anthropic": {
        "type": "object",
        "required": ["model", "messages", "max_tokens"],
        "properties": {
            "model": {"type": "string", "description": "canonical id, alias, or provider/model"},
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "max_tokens": {"type": "integer", "minimum": 1},
            "stream": {"type": "boolean"},
        },
        "additionalProperties": True,
    },
}
_WORDS = {
    "/v1/chat/completions": (
        "OpenAI Chat Completions, with any model",
        "A completion, or server-sent events ending in [DONE]",
    ),
    "/v1/responses": (
        "OpenAI Responses, with any model",
        "A response, or server-sent events ending in response.completed, response.incomplete or response.failed",
    ),
    "/v1/completions": (
        "OpenAI's legacy completions, with any chat model",
        "Text, or server-sent events ending in [DONE]",
    ),
    "/v1/messages": ("Anthropic Messages, with any model", "A message, or server-sent events ending in message_stop"),
    "/v1/messages/count_tokens": ("How many tokens a Messages request has; free", "The number of tokens"),
}
_REFUSALS = {
    "400": "invalid request", "401": "no or wrong key", "402": "cannot pay", "403": "not allowed", "404": "unknown model",
    "409": "request id in use", "413": "too large", "429": "rate limited", "502": "provider failed",
    "503": "nobody can serve this now", "504": "provider too slow",
}  # fmt: skip


def inference_paths() -> dict[str, Any]:
    """Path items of all inference routes."""
    return {path: {"post": _operation(path, route)} for path, route in ROUTES.items()}


def _operation(path: str, route: Route) -> dict[str, Any]:
    summary, answer = _WORDS[route.endpoint]
    forms: dict[str, Any] = (
        {"application/json": {}} if route.counts else {"application/json": {}, "text/event-stream": {}}
    )
    responses: dict[str, Any] = {"200": {"description": answer, "content": forms}}
    body = _BODIES[route.dialect]
    if route.counts:
        body = {**body, "required": [name for name in body["required"] if name != "max_tokens"]}
    responses.update({status: {"description": text} for status, text in _REFUSALS.items()})
    return {
        "tags": ["inference"],
        "summary": summary,
        "operationId": path.strip("/").replace("/", "_"),
        "parameters": [
            {
                "name": "X-Request-ID",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 128},
                "description": "the same id again gets the first answer, without a second charge",
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": responses,
    }
