"""Errors outside inference: one shape everywhere, also for unknown paths, wrong methods and bad fields."""

import difflib
from collections.abc import Iterable
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from gatewayz.api.inference.on_path import METHODS, VERTEX_METHODS, is_googles
from gatewayz.core.errors import (
    Conflict,
    Forbidden,
    GatewayError,
    InternalError,
    InvalidFields,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedFormat,
)
from gatewayz.dialects import DIALECTS, OPENROUTER_DIALECTS
from gatewayz.dialects.base import ClientDialect

log = structlog.get_logger(__name__)

_BY_STATUS: dict[int, type[GatewayError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedFormat,
    422: InvalidFields,
    429: RateLimited,
    503: Unavailable,
}


def dialect_for(path: str, headers: Iterable[tuple[bytes, bytes]]) -> ClientDialect:
    """The dialect in which a caller of this path wants to be told of an error."""
    if is_googles(path) or (path.startswith("/v1/models") and any(name == b"x-goog-api-key" for name, _ in headers)):
        return DIALECTS["gemini"]
    openai = OPENROUTER_DIALECTS["openrouter"] if path.startswith("/api/v1/") else DIALECTS["openai"]
    if path.endswith("/responses") or "/responses/" in path:
        return DIALECTS["openai"]
    if path.endswith("/completions"):
        return openai
    if "/messages" in path or any(name == b"anthropic-version" for name, _ in headers):
        return DIALECTS["anthropic"]
    return openai


def unknown_path(path: str, known: Iterable[str]) -> NotFound:
    """The answer to a path that does not exist, with close ones."""
    shown = path[:200]
    near = difflib.get_close_matches(shown, list(known), n=3, cutoff=0.75)
    return NotFound(f"There is no route {shown} here. /openapi.json lists all routes.", suggestions=near)


def _unknown_google_method(path: str) -> NotFound:
    """The answer to a method behind the colon that models do not have here."""
    known = ", ".join(VERTEX_METHODS if "/publishers/" in path else METHODS)
    return NotFound(f"There is no method {path.rpartition(':')[2][:100]} of models here; there are {known}.")


def wrong_method(method: str, path: str, allowed: str) -> MethodNotAllowed:
    """The answer to a method that the path does not have."""
    return MethodNotAllowed(
        f"{path[:200]} does not take {method[:20]}; it takes {allowed}.", headers={"Allow": allowed}
    )


def install(app: FastAPI) -> None:
    """Makes every error of the app a rendered GatewayError."""

    async def on_gateway_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        return rendered(request, error)

    async def on_invalid_fields(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if _is_other_than_json(request, error):
            words = "The body must be JSON, sent with the header `Content-Type: application/json`."
            return rendered(request, UnsupportedFormat(words, param="Content-Type"))
        return rendered(request, _fields_error(error, request.url.path))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return rendered(request, _http_error(request, error))

    async def on_unexpected(request: Request, error: Exception) -> Response:
        log.error("unexpected_failure", request_id=request.state.request_id, path=request.url.path, exc_info=error)
        return rendered(
            request, InternalError("Something went wrong here. Try again; tell us the request id if it stays.")
        )

    app.add_exception_handler(GatewayError, on_gateway_error)
    app.add_exception_handler(RequestValidationError, on_invalid_fields)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_unexpected)


def rendered(request: Request, error: GatewayError) -> Response:
    """The response for an error, in the dialect that its path speaks, with the limit headers known so far."""
    dialect = dialect_for(request.url.path, request.scope["headers"])
    headers = {**getattr(request.state, "limit_headers", {}), **error.headers}
    body = dialect.render_error(error, request.state.request_id)
    return Response(body, error.status, headers, "application/json")


def _is_other_than_json(request: Request, error: RequestValidationError) -> bool:
    """Whether a body was not read since it is said to be something else, as curl says by itself."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return False
    return any(item["loc"] == ("body",) and item["type"] != "missing" for item in error.errors())


def _fields_error(error: RequestValidationError, path: str) -> GatewayError:
    problems = []
    for item in error.errors():
        place = [str(part) for part in item["loc"] if part not in ("body", "query", "path", "header")]
        problems.append({"field": ".".join(place) or "body", "problem": _plain(item)})
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return InvalidRequest("The body is not valid JSON.", code="invalid_json")
    first = problems[0]
    missing = error.errors()[0]["type"] == "missing"
    words, details = f"{first['field']}: {first['problem']}", {"errors": problems[:50]}
    if is_googles(path) or "/responses/" in path:
        # Pages of other people's APIs, whose clients know a wrong value as 400 only.
        return InvalidRequest(
            words, code="missing_field" if missing else "invalid_value", param=first["field"], details=details
        )
    return InvalidFields(words, code="missing_field" if missing else None, param=first["field"], details=details)


def _plain(item: Any) -> str:
    message = str(item.get("msg", "is invalid"))
    return message.removeprefix("Value error, ")


def _methods_of(request: Request) -> str:
    """All methods that this path has: each stands in a route of its own, of which the first alone is heard otherwise."""
    found: set[str] = set()
    for route in request.app.state.leaves:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return ", ".join(sorted(found - {"HEAD"}))


def _http_error(request: Request, error: HTTPException) -> GatewayError:
    if error.status_code == 404:
        return unknown_path(request.url.path, request.app.state.paths)
    if error.status_code == 405 and request.method == "POST" and is_googles(request.url.path):
        return _unknown_google_method(request.url.path)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return wrong_method(request.method, request.url.path, _methods_of(request) or allowed)
    kind = _BY_STATUS.get(error.status_code, InternalError)
    return kind(str(error.detail)[:300])
