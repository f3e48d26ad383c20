"""Gemini's inference paths, which name the model and the method: `/v1beta/models/{model}:{method}`.

Google's SDKs write `v1beta`, `v1alpha` or `v1` before them, by the version that they were made with. A model's id may hold
slashes and colons.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from gatewayz.api.inference.routes import OnPath, Route
from gatewayz.dialects.base import ClientDialect
from gatewayz.dialects.embeddings.gemini_client import GeminiEmbeddings
from gatewayz.dialects.gemini import GeminiGenerateContent
from gatewayz.dialects.gemini.count_tokens import GeminiCounter
from gatewayz.gateway.ports import EVENT_STREAM

VERSIONS = ("/v1beta/", "/v1alpha/")  # under these, everything is Google's
_PATH = re.compile(r"/v1(?:beta|alpha)?/models/(?:models/)?(.+):([A-Za-z]+)", re.DOTALL)
_ARRAY = "application/json; charset=utf-8"
_TEMPLATE = "/v1beta/models/{model}:"
METHODS: Mapping[str, Route] = {
    method: Route("gemini", _TEMPLATE + method, counts=method == "countTokens")
    for method in ("generateContent", "streamGenerateContent", "countTokens")
} | {method: Route("gemini_embeddings", _TEMPLATE + method) for method in ("embedContent", "batchEmbedContents")}


def is_googles(path: str) -> bool:
    """Whether a caller of this path is told of errors in Google's form."""
    if path.startswith(VERSIONS):
        return True
    found = _PATH.fullmatch(path) if ":" in path else None
    return found is not None and found[2] in METHODS


def route_on_path(path: str, query: bytes) -> Route | None:
    """The route of one request: the model and the method of its path, the form of the stream; None for other paths."""
    found = _PATH.fullmatch(path)
    route = METHODS.get(found[2]) if found is not None else None
    if found is None or route is None:
        return None
    model, stream = found[1], found[2] == "streamGenerateContent"
    asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    events = stream and any(name in ("alt", "$alt") and value == "sse" for name, value in asked)
    return replace(
        route,
        on_path=OnPath(
            dialect=_dialect(model, found[2], stream, events),
            counter=GeminiCounter(model) if route.counts else None,
            streams_as=EVENT_STREAM if events else _ARRAY,
            # A repeated request id must not be answered with what another model said, or in another form.
            address=f"{model}:{found[2]}:{'events' if events else ''}\0".encode("utf-8", "surrogatepass"),
            query_keys=keys_of(asked),
        ),
    )


def _dialect(model: str, method: str, stream: bool, events: bool) -> ClientDialect:
    if METHODS[method].dialect == "gemini_embeddings":
        return GeminiEmbeddings(model, batch=method == "batchEmbedContents")
    return GeminiGenerateContent(model, stream=stream, events=events)


def keys_of(asked: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The keys in a query."""
    return tuple(value.strip() for name, value in asked if name == "key" and value.strip())


def keys_in_query(query: bytes) -> tuple[str, ...]:
    """The keys in a query as it came. They are secrets: no query may be logged."""
    return keys_of(parse_qsl(query.decode("latin-1"))) if b"key=" in query else ()
