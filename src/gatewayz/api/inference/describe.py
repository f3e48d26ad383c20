"""OpenAPI of the inference routes, which FastAPI does not see."""

import re
from typing import Any

from gatewayz.api.inference.on_path import METHODS
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
    "gemini": {
        "type": "object",
        "required": ["contents"],
        "properties": {
            "contents": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "systemInstruction": {"type": "object"},
            "tools": {"type": "array", "items": {"type": "object"}},
            "generationConfig": {"type": "object"},
            "provider": {"type": "string", "description": "use this provider only"},
        },
        "additionalProperties": True,
    },
}
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
    "/v1beta/models/{model}:generateContent": ("Google's generateContent, with any model", "An answer"),
    "/v1beta/models/{model}:streamGenerateContent": (
        "Google's streamGenerateContent, with any model",
        "Server-sent events with alt=sse, else one JSON array",
    ),
    "/v1beta/models/{model}:countTokens": ("How many tokens a request has; free", "The number of tokens"),
    "/v1/messages/count_tokens": ("How many tokens a Messages request has; free", "The number of tokens"),
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")
_ON_PATH: list[dict[str, Any]] = [
    {
        "name": "model",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "canonical id, alias, or provider/model; slashes may stand as they are",
    },
    {
        "name": "key",
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "description": "an API key, where no header can be sent",
    },
    {"name": "alt", "in": "query", "required": False, "schema": {"type": "string", "enum": ["sse", "json"]}},
]
_REFUSALS = {
    "400": "invalid request", "401": "no or wrong key", "402": "cannot pay", "403": "not allowed", "404": "unknown model",
    "409": "request id in use", "413": "too large", "429": "rate limited", "502": "provider failed",
    "503": "nobody can serve this now", "504": "provider too slow",
}  # fmt: skip


def inference_paths() -> dict[str, Any]:
    """Path items of all inference routes."""
    found = {path: {"post": _operation(path, route)} for path, route in ROUTES.items()}
    for route in METHODS.values():
        operation = _operation(route.endpoint, route)
        parameters = _ON_PATH if ":stream" in route.endpoint else _ON_PATH[:-1]
        found[route.endpoint] = {"post": {**operation, "parameters": [*parameters, *operation["parameters"]]}}
    return found


def _operation(path: str, route: Route) -> dict[str, Any]:
    summary, answer = _WORDS[route.endpoint]
    plain = route.counts or path.endswith(":generateContent")
    forms: dict[str, Any] = {"application/json": {}, **({} if plain else {"text/event-stream": {}})}
    responses: dict[str, Any] = {"200": {"description": answer, "content": forms}}
    body = _BODIES[route.dialect]
    if route.counts:
        body = {**body, "required": [name for name in body["required"] if name != "max_tokens"]}
    responses.update({status: {"description": text} for status, text in _REFUSALS.items()})
    return {
        "tags": ["inference"],
        "summary": summary,
        "operationId": _NOT_IN_NAMES.sub("_", path.strip("/")),
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
