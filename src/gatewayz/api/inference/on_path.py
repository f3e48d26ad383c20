"""Google's inference paths, which name the model and the method: `/v1beta/models/{model}:{method}`, and those of Vertex AI.

Google's SDKs write `v1beta`, `v1alpha` or `v1` before them, by the version that they were made with. A model's id may hold
slashes and colons. Vertex's paths begin with a project and a location, unless an API key is used (express mode), and name
the model's publisher: that is its organisation here, except for `google`, which clients write where they know of none.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from gatewayz.api.inference.routes import OnPath, Route
from gatewayz.dialects.base import ClientDialect
from gatewayz.dialects.embeddings.gemini_client import GeminiEmbeddings
from gatewayz.dialects.embeddings.vertex_client import VertexPredict
from gatewayz.dialects.gemini import GeminiGenerateContent
from gatewayz.dialects.gemini.count_tokens import GeminiCounter
from gatewayz.gateway.ports import EVENT_STREAM

VERSIONS = ("/v1beta/", "/v1alpha/", "/v1beta1/")  # under these, everything is Google's
_PATH = re.compile(r"/v1(?:beta|alpha)?/models/(?:models/)?(.+):([A-Za-z]+)", re.DOTALL)
_VERTEX = re.compile(
    r"/v1(?:beta1)?/(?:projects/[^/]+/locations/[^/]+/)?publishers/([^/]+)/models/(.+):([A-Za-z]+)", re.DOTALL
)
_ARRAY = "application/json; charset=utf-8"
_TEMPLATE, _VERTEX_TEMPLATE = "/v1beta/models/{model}:", "/v1beta1/publishers/{publisher}/models/{model}:"
_DIALECTS: Mapping[str, str] = {
    **dict.fromkeys(("generateContent", "streamGenerateContent", "countTokens"), "gemini"),
    **dict.fromkeys(("embedContent", "batchEmbedContents"), "gemini_embeddings"),
}


def _methods(template: str, dialects: Mapping[str, str]) -> dict[str, Route]:
    return {
        method: Route(dialect, template + method, counts=method == "countTokens")
        for method, dialect in dialects.items()
    }


METHODS: Mapping[str, Route] = _methods(_TEMPLATE, _DIALECTS)
VERTEX_METHODS: Mapping[str, Route] = _methods(_VERTEX_TEMPLATE, {**_DIALECTS, "predict": "vertex_predict"})


def is_googles(path: str) -> bool:
    """Whether a caller of this path is told of errors in Google's form."""
    return path.startswith(VERSIONS) or (":" in path and _found(path) is not None)


def route_on_path(path: str, query: bytes) -> Route | None:
    """The route of one request: the model and the method of its path, the form of the stream; None for other paths."""
    found = _found(path)
    if found is None:
        return None
    model, method, route = found
    stream = method == "streamGenerateContent"
    asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    events = stream and any(name in ("alt", "$alt") and value == "sse" for name, value in asked)
    return replace(
        route,
        on_path=OnPath(
            dialect=_dialect(route.dialect, model, method, events),
            counter=GeminiCounter(model) if route.counts else None,
            streams_as=EVENT_STREAM if events else _ARRAY,
            # A repeated request id must not be answered with what another model said, or in another form.
            address=f"{model}:{method}:{'events' if events else ''}\0".encode("utf-8", "surrogatepass"),
            query_keys=keys_of(asked),
        ),
    )


def _found(path: str) -> tuple[str, str, Route] | None:
    """(model, method, its route) of a path; None if it is none of these."""
    found = _PATH.fullmatch(path)
    if found is not None:
        route = METHODS.get(found[2])
        return (found[1], found[2], route) if route is not None else None
    found = _VERTEX.fullmatch(path)
    route = VERTEX_METHODS.get(found[3]) if found is not None else None
    if found is None or route is None:
        return None
    return (found[2] if found[1] == "google" else f"{found[1]}/{found[2]}"), found[3], route


def _dialect(name: str, model: str, method: str, events: bool) -> ClientDialect:
    if name == "vertex_predict":
        return VertexPredict(model)
    if name == "gemini_embeddings":
        return GeminiEmbeddings(model, batch=method == "batchEmbedContents")
    return GeminiGenerateContent(model, stream=method == "streamGenerateContent", events=events)


def keys_of(asked: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The keys in a query."""
    return tuple(value.strip() for name, value in asked if name == "key" and value.strip())


def keys_in_query(query: bytes) -> tuple[str, ...]:
    """The keys in a query as it came. They are secrets: no query may be logged."""
    return keys_of(parse_qsl(query.decode("latin-1"))) if b"key=" in query else ()
