"""OpenAPI of the inference routes, which FastAPI does not see."""

import re
from typing import Any

from gatewayz.api.inference.on_path import METHODS, VERTEX_METHODS
from gatewayz.api.inference.routes import ROUTES, Route
from gatewayz.gateway.asked import MOST_MODELS

_MODEL = {"type": "string", "description": "canonical id, alias, or provider/model"}
_FILE = {"type": "string", "format": "binary"}
_SOUND: dict[str, Any] = {
    "response_format": {"type": "string", "enum": ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]},
    "language": {"type": "string"},
    "prompt": {"type": "string"},
    "temperature": {"type": "number"},
}
_FORMS = frozenset({"openai_image_edits", "openai_image_variations", "openai_transcriptions", "openai_translations"})
_STREAMED = frozenset(
    {"openai", "openai_completions", "anthropic", "openai_images", "openai_image_edits", "openai_transcriptions"}
)


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": {"model": _MODEL, **properties},
        "additionalProperties": True,
    }


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
    "openai_compact": {
        "type": "object",
        "required": ["model"],
        "properties": {
            "model": {"type": "string", "description": "canonical id, alias, or provider/model"},
            "input": {
                "description": "the conversation to be compacted; needed unless one is continued",
                "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "object"}}],
            },
            "instructions": {"type": "string"},
            "previous_response_id": {"type": "string", "description": "a kept response of this account"},
            "provider": {"type": "string", "description": "use this provider only"},
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
    "openai_embeddings": _object(
        ["model", "input"],
        input={"description": "a text, a list of texts, or token ids"},
        encoding_format={"type": "string", "enum": ["float", "base64"]},
        dimensions={"type": "integer", "minimum": 1},
        input_type={"type": "string", "description": "search_query, search_document, classification, clustering"},
    ),
    "gemini_embeddings": {
        "type": "object",
        "properties": {
            "content": {"type": "object", "description": "the text, of embedContent"},
            "requests": {"type": "array", "items": {"type": "object"}, "description": "texts, of batchEmbedContents"},
            **_OF_THE_GATEWAY,
        },
    },
    "vertex_predict": {
        "type": "object",
        "required": ["instances"],
        "properties": {
            "instances": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "object"},
                "description": "`content` and `task_type` of each text",
            },
            "parameters": {"type": "object", "description": "`outputDimensionality`"},
            **_OF_THE_GATEWAY,
        },
    },
    "openai_moderations": _object(["input"], input={"description": "a text, a list of texts, or text and image parts"}),
    "rerank": _object(
        ["model", "query", "documents"],
        query={"type": "string", "minLength": 1},
        documents={"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
        top_n={"type": "integer", "minimum": 1},
        return_documents={"type": "boolean"},
    ),
    "openai_images": _object(
        ["model", "prompt"],
        prompt={"type": "string", "minLength": 1},
        n={"type": "integer", "minimum": 1, "maximum": 10},
        size={"type": "string"},
        quality={"type": "string"},
        response_format={"type": "string", "enum": ["url", "b64_json"]},
        stream={"type": "boolean"},
    ),
    "openai_image_edits": _object(
        ["model", "image", "prompt"], image=_FILE, prompt={"type": "string"}, size={"type": "string"}
    ),
    "openai_image_variations": _object(["model", "image"], image=_FILE, size={"type": "string"}),
    "openai_transcriptions": _object(["model", "file"], file=_FILE, **_SOUND),
    "openai_translations": _object(["model", "file"], file=_FILE, **_SOUND),
    "transcriptions_base64": _object(
        ["model", "audio"], audio={"type": "string", "description": "base64 of the file, or a data URI"}, **_SOUND
    ),
    "openai_speech": _object(
        ["model", "input", "voice"],
        input={"type": "string", "minLength": 1},
        voice={"description": "the name of a voice"},
        response_format={"type": "string", "enum": ["mp3", "opus", "aac", "flac", "wav", "pcm"]},
        stream_format={"type": "string", "enum": ["audio", "sse"]},
        stream={"type": "boolean", "description": "passed on; answered with events or the file, as the provider does"},
    ),
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
    "/v1/responses": (
        "OpenAI Responses, with any model",
        "A response, or server-sent events ending in response.completed, response.incomplete or response.failed",
    ),
    "/v1/responses/compact": (
        "OpenAI's compaction of a conversation, with models whose provider has it",
        "The shorter conversation; its last item only that provider can read",
    ),
    "/v1/completions": (
        "OpenAI's legacy completions, with any chat model",
        "Text, or server-sent events ending in [DONE]",
    ),
    "/v1/messages": ("Anthropic Messages, with any model", "A message, or server-sent events ending in message_stop"),
    "/v1/embeddings": ("Vectors for texts", "A list of vectors"),
    "/v1/moderations": ("Whether texts or images are harmful", "Categories and scores of each"),
    "/v1/rerank": (
        "Documents in the order of their relevance to a query",
        "Places and scores, in Cohere's and Jina's words",
    ),
    "/v1/images/generations": ("Images from a text", "Images as addresses or base64, or server-sent events"),
    "/v1/images/edits": ("Images changed as a text says", "Images as addresses or base64, or server-sent events"),
    "/v1/images/variations": ("Variations of an image", "Images as addresses or base64"),
    "/v1/audio/transcriptions": ("The text of a sound file", "The text, or server-sent events"),
    "/v1/audio/transcriptions/base64": ("The text of a sound file that is sent as base64", "The text"),
    "/v1/audio/translations": ("The English text of a sound file", "The text"),
    "/v1/audio/speech": ("A text as sound", "The sound file, as it is made"),
    "/v1beta/models/{model}:generateContent": ("Google's generateContent, with any model", "An answer"),
    "/v1beta/models/{model}:streamGenerateContent": (
        "Google's streamGenerateContent, with any model",
        "Server-sent events with alt=sse, else one JSON array",
    ),
    "/v1beta/models/{model}:embedContent": ("The vector of a text, in Google's form", "A vector"),
    "/v1beta/models/{model}:batchEmbedContents": ("Vectors for texts, in Google's form", "A list of vectors"),
    "/v1beta/models/{model}:countTokens": ("How many tokens a request has; free", "The number of tokens"),
    "/v1beta1/publishers/{publisher}/models/{model}:predict": (
        "Vectors for texts, in Vertex AI's form",
        "A prediction for each text",
    ),
    "/v1/estimate": ("What an inference request would cost, and which way it would go; free", "The prediction"),
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
_PUBLISHER: dict[str, Any] = {
    "name": "publisher",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "the organisation of the model; `google` where the model's own name says enough",
}
_REFUSALS = {
    "400": "invalid request", "401": "no or wrong key", "402": "cannot pay", "403": "not allowed", "404": "unknown model",
    "409": "request id in use", "413": "too large", "429": "rate limited", "502": "provider failed",
    "503": "nobody can serve this now", "504": "provider too slow",
}  # fmt: skip


def inference_paths() -> dict[str, Any]:
    """Path items of all inference routes."""
    found = {path: {"post": _operation(path, route)} for path, route in ROUTES.items()}
    for route in (*METHODS.values(), *VERTEX_METHODS.values()):
        operation = _operation(route.endpoint, route)
        parameters = _ON_PATH if ":stream" in route.endpoint else _ON_PATH[:-1]
        if "{publisher}" in route.endpoint:
            parameters = [_PUBLISHER, *parameters]
            operation["summary"] += " (Vertex AI's path; `projects/{project}/locations/{location}/` may stand in it)"
        found[route.endpoint] = {"post": {**operation, "parameters": [*parameters, *operation["parameters"]]}}
    return found


def _operation(path: str, route: Route) -> dict[str, Any]:
    words = _WORDS.get(route.endpoint) or _WORDS["/v1beta/models/{model}:" + route.endpoint.rpartition(":")[2]]
    summary, answer = words
    forms: dict[str, Any] = {"application/json": {}}
    told_whole = route.counts or route.estimates or path.endswith(":generateContent")
    if route.dialect in _STREAMED and not told_whole:
        forms["text/event-stream"] = {}
    if route.dialect == "openai_speech":
        forms = {"audio/*": {}, "text/event-stream": {}}
    responses: dict[str, Any] = {"200": {"description": answer, "content": forms}}
    body = _ANY_BODY if route.estimates else _BODIES[route.dialect.replace("openrouter", "openai", 1)]
    if route.counts:
        body = {**body, "required": [name for name in body["required"] if name != "max_tokens"]}
    responses.update({status: {"description": text} for status, text in _REFUSALS.items()})
    return {
        "tags": ["inference"],
        "summary": summary,
        "operationId": _NOT_IN_NAMES.sub("_", path.strip("/")),
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
        "requestBody": {"required": True, "content": {_body_type(route): {"schema": body}}},
        "responses": responses,
    }


def _body_type(route: Route) -> str:
    return "multipart/form-data" if route.dialect in _FORMS else "application/json"
