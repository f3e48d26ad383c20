"""OpenAPI of the inference routes, which FastAPI does not see."""

from typing import Any

from gatewayz.api.inference.routes import ROUTES, Route
from gatewayz.gateway.asked import MOST_MODELS

_OF_THE_GATEWAY: dict[str, Any] = {
    "provider": {
        "description": "use this provider only, or an object of preferences as OpenRouter's",
        "oneOf": [{"type": "string"}, {"type": "object"}],
    },
    "models": {
        "type": "array",
        "items": {"type": "string"},
        "maxItems": MOST_MODELS,
        "description": "models that may answer in place of the first, in this order",
    },
    "usage": {"type": "object", "description": "`include`: say in `usage` what the charge is made of"},
}
_BODIES: dict[str, dict[str, Any]] = {
    "openai": {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "description": "canonical id, alias, or provider/model"},
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "stream": {"type": "boolean"},
            **_OF_THE_GATEWAY,
        },
        "additionalProperties": True,
    },
    "openai_completions": {
        "type": "object",
        "required": ["model", "prompt"],
        "properties": {
            "model": {"type": "string", "description": "canonical id, alias, or provider/model"},
            **_OF_THE_GATEWAY,
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
            **_OF_THE_GATEWAY,
            "stream": {"type": "boolean"},
        },
        "additionalProperties": True,
    },
}
_ANY_BODY: dict[str, Any] = {"type": "object", "required": ["model"], "additionalProperties": True}
_HEADERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("X-Request-ID", "the same id again gets the first answer, without a second charge", {"maxLength": 128}),
    ("X-Gatewayz-Explain", "1: the answer says what was decided, in its member `gatewayz`", {}),
    ("X-Gatewayz-Dry-Run", "1: as POST /v1/estimate, without inference and charge", {}),
)
_WORDS = {
    "/v1/chat/completions": (
        "OpenAI Chat Completions, with any model",
        "A completion, or server-sent events ending in [DONE]",
    ),
    "/v1/completions": (
        "OpenAI's legacy completions, with any chat model",
        "Text, or server-sent events ending in [DONE]",
    ),
    "/v1/messages": ("Anthropic Messages, with any model", "A message, or server-sent events ending in message_stop"),
    "/v1/estimate": ("What an inference request would cost, and which way it would go; free", "The prediction"),
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
        {"application/json": {}}
        if route.counts or route.estimates
        else {"application/json": {}, "text/event-stream": {}}
    )
    responses: dict[str, Any] = {"200": {"description": answer, "content": forms}}
    body = _ANY_BODY if route.estimates else _BODIES[route.dialect.replace("openrouter", "openai", 1)]
    if route.counts:
        body = {**body, "required": [name for name in body["required"] if name != "max_tokens"]}
    responses.update({status: {"description": text} for status, text in _REFUSALS.items()})
    return {
        "tags": ["inference"],
        "summary": summary,
        "operationId": path.strip("/").replace("/", "_"),
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": False,
                "schema": {"type": "string", **more},
                "description": text,
            }
            for name, text, more in (_HEADERS[:1] if route.counts or route.estimates else _HEADERS)
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": responses,
    }
