"""Which path speaks which dialect, and how an HTTP request becomes a call."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import structs

from gatewayz.api.inference.responder import (
    AsgiResponder,
    ClientLeft,
    Receive,
    Scope,
    Send,
    part_of_body,
    refuse_body,
    with_the_rest,
)
from gatewayz.core.errors import GatewayError, InvalidRequest
from gatewayz.core.ids import REQUEST_ID_PATTERN
from gatewayz.dialects import CLIENT_DIALECTS, OPENROUTER_DIALECTS, json_text
from gatewayz.dialects.anthropic.count_tokens import AnthropicCounter
from gatewayz.dialects.base import ClientDialect, TokenCounter
from gatewayz.gateway.pipeline import Gateway
from gatewayz.gateway.ports import EVENT_STREAM, Call, HeaderPairs
from gatewayz.gateway.telling import HARDENING, id_headers
from gatewayz.infra.alarms import Alarms
from gatewayz.operations.apps import app_of


@dataclass(frozen=True, slots=True)
class Route:
    """An inference route: the dialect it speaks and the name it has in records and metrics.

    `counts`: it tells how many tokens a request has, instead of answering it; `estimates`: what it would cost, in whatever
    dialect it is put. `openrouter`: its clients expect what OpenRouter answers. `files` is how many files of the largest size
    its body may hold, and `as_text` whether they come as base64; the body is refused above that. `on_path` is what the path
    of one request says, where there is more to it than a name.
    """

    dialect: str
    endpoint: str
    counts: bool = False
    estimates: bool = False
    openrouter: bool = False
    files: int = 0
    as_text: bool = False
    on_path: "OnPath | None" = None


@dataclass(frozen=True, slots=True)
class OnPath:
    """What the path and the query of one request say: about its model, its answer and its keys. See `Call`."""

    dialect: ClientDialect
    counter: TokenCounter | None
    streams_as: str
    address: bytes
    query_keys: tuple[str, ...]


_CHAT = Route("openai", "/v1/chat/completions")
_MESSAGES = Route("anthropic", "/v1/messages")
_COUNT = Route("anthropic", "/v1/messages/count_tokens", counts=True)
_RESPONSES = Route("openai_responses", "/v1/responses")
_COMPACT = Route("openai_compact", "/v1/responses/compact")
_COMPLETIONS = Route("openai_completions", "/v1/completions")
_RERANK = Route("rerank", "/v1/rerank")

_ESTIMATE = Route("openai", "/v1/estimate", estimates=True)

# The Anthropic SDK appends /v1/messages to its base URL, which may itself end in /v1.
_OWN: dict[str, Route] = {
    "/v1/chat/completions": _CHAT,
    "/chat/completions": _CHAT,
    "/v1/messages": _MESSAGES,
    "/v1/v1/messages": _MESSAGES,
    "/v1/messages/count_tokens": _COUNT,
    "/v1/v1/messages/count_tokens": _COUNT,
    "/v1/responses": _RESPONSES,
    "/responses": _RESPONSES,
    "/v1/responses/compact": _COMPACT,
    "/responses/compact": _COMPACT,
    "/v1/completions": _COMPLETIONS,
    "/completions": _COMPLETIONS,
    "/v1/embeddings": Route("openai_embeddings", "/v1/embeddings"),
    "/v1/moderations": Route("openai_moderations", "/v1/moderations"),
    "/v1/rerank": _RERANK,
    "/v2/rerank": _RERANK,
    "/v1/images/generations": Route("openai_images", "/v1/images/generations"),
    "/v1/images/edits": Route("openai_image_edits", "/v1/images/edits", files=2),
    "/v1/images/variations": Route("openai_image_variations", "/v1/images/variations", files=1),
    "/v1/audio/transcriptions": Route("openai_transcriptions", "/v1/audio/transcriptions", files=1),
    "/v1/audio/transcriptions/base64": Route(
        "transcriptions_base64", "/v1/audio/transcriptions/base64", files=1, as_text=True
    ),
    "/v1/audio/translations": Route("openai_translations", "/v1/audio/translations", files=1),
    "/v1/audio/speech": Route("openai_speech", "/v1/audio/speech"),
    "/v1/estimate": _ESTIMATE,
}
# An application written for OpenRouter changes its base URL, which ends in /api/v1.
_IN_OPENROUTER_WORDS = {"openai": "openrouter", "openai_completions": "openrouter_completions"}
ROUTES: Mapping[str, Route] = _OWN | {
    "/api" + path: replace(route, dialect=_IN_OPENROUTER_WORDS.get(route.dialect, route.dialect), openrouter=True)
    for path, route in _OWN.items()
    if path.startswith("/v1/") and not path.startswith("/v1/v1/")
}
SPOKEN: Mapping[str, ClientDialect] = CLIENT_DIALECTS | OPENROUTER_DIALECTS
_YES = frozenset({b"1", b"true", b"yes", b"on"})
# Where a request comes from, what its caller wants to see, and what applications say of themselves
# (see https://openrouter.ai/docs/app-attribution).
_SELDOM = frozenset({
    b"referer", b"origin", b"x-gatewayz-explain", b"x-openrouter-metadata", b"x-openrouter-experimental-metadata",
    b"http-referer", b"x-openrouter-title", b"x-title",
})  # fmt: skip
# Room beside the files of a form for its other parts.
_FORM_BYTES = 1_000_000
_MESSAGES_COUNTER = AnthropicCounter()
_BETA = b"anthropic-beta"
_NONE: Mapping[str, str] = {}
# What decides the ids of a request, and the headers of its answer.
NAMING = frozenset({b"x-request-id", b"idempotency-key", b"traceparent", b"origin"})
# Every header that an inference request is asked for, but for those of its body and those with keys.
TELLING = NAMING | _SELDOM | {b"x-gatewayz-dry-run", _BETA}


class Visit(msgspec.Struct, frozen=True):
    """What the dispatcher knows of a request before its body: ids, where it comes from, and when (monotonic).

    `headers` holds the last of each name, in lower case. `usual`: none of them is in `TELLING`.
    """

    request_id: str
    claimed_id: str | None
    trace_id: str
    client_ip: str
    extra: HeaderPairs
    headers: Mapping[bytes, bytes]
    received_s: float
    usual: bool = False


class Inference:
    """Serves the inference routes."""

    def __init__(self, gateway: Gateway, body_limit_bytes: int, file_limit_bytes: int, alarms: Alarms) -> None:
        """`file_limit_bytes` is the largest file of a form."""
        self._gateway = gateway
        self._alarms = alarms
        self._body_limit_bytes = body_limit_bytes
        self._file_limit_bytes = file_limit_bytes

    async def serve(self, route: Route, visit: Visit, scope: Scope, receive: Receive, send: Send) -> int:
        """Answers one POST; returns the status that was sent (499 if the client left before it was complete)."""
        out = AsgiResponder(receive, send, visit.extra)
        try:
            if visit.claimed_id is not None and not REQUEST_ID_PATTERN.fullmatch(visit.claimed_id):
                raise bad_request_id()
            # A stranger's files are not taken in: whoever sends some needs a key.
            if route.files and not await self._gateway.knows(_all_credentials(scope)):
                body = b""
            else:
                limit_bytes = self._limit_of_files(route) if route.files else self._body_limit_bytes
                refuse_body(visit.headers, limit_bytes)
                message = await receive()
                body = part_of_body(message, limit_bytes)
                if message.get("more_body"):
                    body = await with_the_rest(body, receive, limit_bytes)
            query: bytes = scope["query_string"]
            dry = route.estimates or (bool(query or not visit.usual) and _is_dry(visit.headers, query))
            if route.estimates:
                route = estimated(route, scope, body, visit.headers)
        except GatewayError as error:
            dialect = SPOKEN[route.dialect]
            await out.answer(
                error.status, _refusal_headers(dialect, visit, error), dialect.render_error(error, visit.request_id)
            )
            return error.status
        except ClientLeft:
            return 499
        call = _call(route, visit, scope, body, dry)
        out.watch(self._alarms)
        try:
            if route.counts:
                counter = route.on_path.counter if route.on_path is not None else None
                await self._gateway.count_tokens(call, counter or _MESSAGES_COUNTER, out)
            elif dry:
                await self._gateway.estimate(call, out)
            else:
                await self._gateway.serve(call, out)
        finally:
            out.rest()
        return out.status or 499

    def _limit_of_files(self, route: Route) -> int:
        files = route.files * self._file_limit_bytes
        return _FORM_BYTES + (files * 4 // 3 if route.as_text else files)


def bad_request_id() -> InvalidRequest:
    """The refusal of a request id that could not be kept."""
    return InvalidRequest(
        "X-Request-ID (or Idempotency-Key) may hold up to 128 letters, digits and ._:+/=@~- .", param="X-Request-ID"
    )


def estimated(route: Route, scope: Scope, body: bytes, headers: Mapping[bytes, bytes]) -> Route:
    """The route whose request is estimated: by the query's `dialect` or `path`, else by what the body looks like.

    Raises InvalidRequest for a dialect or path that is none.
    """
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    by_path, by_name = query.get("path"), query.get("dialect")
    if by_path is not None:
        found = ROUTES.get(by_path)
        if found is None or found.counts or found.estimates:
            raise InvalidRequest("'path' must be the path of an inference route.", param="path")
        return found
    name = by_name or detected(body, headers)
    if route.openrouter:
        name = _IN_OPENROUTER_WORDS.get(name, name)
    routes: dict[str, Route] = {}
    for each in ROUTES.values():
        if not each.counts and not each.estimates:
            routes.setdefault(each.dialect, each)
    if name not in routes:
        raise InvalidRequest(f"'dialect' must be one of {', '.join(sorted(routes))}.", param="dialect")
    return routes[name]


def detected(body: bytes, headers: Mapping[bytes, bytes]) -> str:
    """The name of the dialect that a body is probably written in; a body that is none of them is taken for OpenAI's."""
    try:
        fields = json_text.request_members(body)
    except InvalidRequest:
        return "openai"
    if b"anthropic-version" in headers or "system" in fields or "stop_sequences" in fields:
        return "anthropic"
    if "prompt" in fields and "messages" not in fields:
        return "openai_completions"
    if "input" in fields and "messages" not in fields:
        return "openai_responses"
    return "openai"


def _is_dry(headers: Mapping[bytes, bytes], query: bytes) -> bool:
    """Whether the request is only to be planned, by header or by query."""
    if headers.get(b"x-gatewayz-dry-run", b"").lower() in _YES:
        return True
    return b"dry_run=" in query and dict(parse_qsl(query)).get(b"dry_run", b"").lower() in _YES


def _call(route: Route, visit: Visit, scope: Scope, body: bytes, dry: bool) -> Call:
    headers, more = visit.headers, route.on_path
    credentials = _credentials(headers) if len(headers) == len(scope["headers"]) else _all_credentials(scope)
    if more is None:
        dialect, streams_as, address = SPOKEN[route.dialect], EVENT_STREAM, b""
    else:
        dialect, streams_as, address = more.dialect, more.streams_as, more.address
        credentials = tuple(dict.fromkeys((*credentials, *goog_keys(scope["headers"]), *more.query_keys)))
    if visit.usual or _BETA not in headers:
        passed_on = _NONE
    else:
        passed_on = {"anthropic-beta": headers[_BETA].decode("latin-1")}
    call = Call(
        dialect,
        route.endpoint,
        body,
        visit.request_id,
        visit.claimed_id,
        credentials,
        visit.client_ip,
        headers,
        visit.received_s,
        passed_on,
        streams_as,
        address,
        route.openrouter,
        dry,
    )
    return call if visit.usual or _SELDOM.isdisjoint(headers) else structs.replace(call, **_seldom(headers.get))


def _seldom(said: Callable[[bytes], bytes | None]) -> dict[str, Any]:
    """Members of a call by headers that most requests come without."""
    referer, origin, explain = said(b"referer"), said(b"origin"), said(b"x-gatewayz-explain")
    metadata = said(b"x-openrouter-metadata") or said(b"x-openrouter-experimental-metadata")
    return {
        "referer": referer.decode("latin-1") if referer is not None else None,
        "origin": origin.decode("latin-1") if origin is not None else None,
        "explain": explain is not None and explain.lower() in _YES,
        "router_metadata": metadata is not None and metadata.lower() == b"enabled",
        "app": app_of(said(b"http-referer"), said(b"x-openrouter-title") or said(b"x-title")),
    }


def goog_keys(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The keys that were sent as Google's clients send them."""
    return [key for name, value in headers if name == b"x-goog-api-key" and (key := value.strip().decode("latin-1"))]


def _credentials(headers: Mapping[bytes, bytes]) -> tuple[str, ...]:
    """The distinct keys that were sent, where no header stands twice."""
    bearer = headers.get(b"authorization", b"")
    key = bearer[7:].strip().decode("latin-1") if bearer[:7].lower() == b"bearer " else ""
    if b"x-api-key" not in headers:
        return (key,) if key else ()
    own = headers[b"x-api-key"].strip().decode("latin-1")
    if not own or own == key:
        return (key,) if key else ()
    return (key, own) if key else (own,)


def _all_credentials(scope: Scope) -> tuple[str, ...]:
    """The distinct keys that were sent, under whatever name and however often."""
    keys: dict[str, None] = {}
    for name, value in scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                keys[value[7:].strip().decode("latin-1")] = None
        elif name == b"x-api-key":
            keys[value.strip().decode("latin-1")] = None
    keys.pop("", None)
    return tuple(keys)


def _refusal_headers(dialect: ClientDialect, visit: Visit, error: GatewayError) -> HeaderPairs:
    own = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in error.headers.items()
    ]
    return [
        (b"content-type", b"application/json"),
        *id_headers(dialect, visit.request_id),
        (b"connection", b"close"),
        *own,
        *HARDENING,
    ]
