"""The outermost function: every request gets its ids, its client address and its hardening headers here, then goes its way.

Inference goes straight to the pipeline; everything else to the FastAPI application beside it, after the limit for
strangers. Plain ASGI on purpose: a middleware stack would cost more than the whole pipeline.
"""

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Protocol

import structlog

from gatewayz.accounts.authenticate import Authenticator
from gatewayz.api.errors import dialect_for, wrong_method
from gatewayz.api.inference.on_path import is_googles, keys_in_query, route_on_path
from gatewayz.api.inference.responder import AsgiResponder, Receive, Scope, Send, limited, refuse_long_body
from gatewayz.api.inference.routes import NAMING, ROUTES, TELLING, Inference, Visit, bad_request_id, goog_keys
from gatewayz.core.errors import Forbidden, GatewayError, Unauthenticated, Unavailable
from gatewayz.core.ids import REQUEST_ID_PATTERN, new_request_id, new_trace_id
from gatewayz.gateway.ports import HeaderPairs
from gatewayz.gateway.telling import HARDENING, id_headers
from gatewayz.infra.tally import Count
from gatewayz.infra.telemetry import Metrics
from gatewayz.policy.access import client_address
from gatewayz.policy.limits import Limiter, fingerprint_of
from gatewayz.settings import Settings

log = structlog.get_logger(__name__)

# Probes of load balancers and scrapers come from one address, without a key, all the time.
_UNLIMITED_PATHS = ("/health", "/ping", "/metrics")
App = Callable[[Scope, Receive, Send], Any]
Observe = Callable[[float], None]


class House(Protocol):
    """What the dispatcher works with."""

    settings: Settings
    limiter: Limiter
    authenticator: Authenticator
    metrics: Metrics


class Dispatcher:
    """The ASGI application."""

    def __init__(self, house: House, inference: Inference, pages: App, routes: Iterable[str]) -> None:
        self._house = house
        self._inference = inference
        self._pages = pages
        self._known_routes = frozenset(routes)
        self._proxies = house.settings.trusted_proxies
        self._body_limit_bytes = round(house.settings.body_limit_mb * 1_000_000)
        self._origins = frozenset(house.settings.cors_allow_origins)
        self._held: dict[tuple[str, str, int], tuple[Count, Observe]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one ASGI connection (http only; lifespan is the process's own business)."""
        if scope["type"] != "http":
            raise RuntimeError(f"not served: {scope['type']}")
        visit = self._visit(scope, monotonic())
        path: str = scope["path"]
        route = ROUTES.get(path)
        if route is None and ":" in path:
            route = route_on_path(path, scope["query_string"])
        method: str = scope["method"]
        if route is not None and method == "POST":
            status, endpoint = await self._inference.serve(route, visit, scope, receive, send), route.endpoint
        elif method == "OPTIONS" and b"origin" in visit.headers:
            status, endpoint = await self._preflight(visit, receive, send), "preflight"
        elif route is not None:
            error = wrong_method(method, path, "POST")
            status, endpoint = await self._refuse(error, visit, scope, receive, send), route.endpoint
        else:
            status, endpoint = await self._page(visit, scope, receive, send)
        counted, timed = self._held.get((endpoint, method, status)) or self._hold(endpoint, method, status)
        counted.value += 1
        timed(monotonic() - visit.received_s)

    def _hold(self, endpoint: str, method: str, status: int) -> tuple[Count, Observe]:
        """Where requests of this kind are counted and timed."""
        metrics = self._house.metrics
        known = method if method in _METHODS else "OTHER"
        counted = metrics.tally.count(metrics.http_requests, endpoint, known, str(status))
        held = (counted, metrics.tally.bins(metrics.http_duration, endpoint).add)
        if known == method:  # other methods are made up by clients, and would be remembered without end
            self._held[(endpoint, method, status)] = held
        return held

    def _visit(self, scope: Scope, received_s: float) -> Visit:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        client = scope.get("client")
        address = client_address(client[0] if client else None, scope["headers"], self._proxies)
        if (usual := TELLING.isdisjoint(headers)) or NAMING.isdisjoint(headers):
            trace_id = new_trace_id()
            extra: HeaderPairs = [(b"x-trace-id", trace_id.encode())]
            return Visit(new_request_id(), None, trace_id, address, extra, headers, received_s, usual)
        said = headers.get
        own_id = said(b"x-request-id") or said(b"idempotency-key")
        claimed = own_id.decode("latin-1").strip() or None if own_id else None
        request_id = claimed if claimed and REQUEST_ID_PATTERN.fullmatch(claimed) else new_request_id()
        parent = said(b"traceparent")
        trace_id = (_trace_id(parent) if parent else None) or new_trace_id()
        extra = [(b"x-trace-id", trace_id.encode())]
        if b"origin" in headers:
            extra += self._cors(headers[b"origin"])
        return Visit(request_id, claimed, trace_id, address, extra, headers, received_s)

    async def _page(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> tuple[int, str]:
        """A page outside inference: the strangers' limit first, then the application."""
        state = scope.setdefault("state", {})
        state["request_id"], state["client_ip"], state["trace_id"] = visit.request_id, visit.client_ip, visit.trace_id
        path: str = scope["path"]
        limit: HeaderPairs = []
        if not path.startswith(_UNLIMITED_PATHS):
            try:
                if visit.claimed_id is not None and visit.claimed_id != visit.request_id:
                    raise bad_request_id()
                limit = await self._strangers_limit(visit, scope)
                refuse_long_body(scope, self._body_limit_bytes)
            except GatewayError as error:
                return await self._refuse(error, visit, scope, receive, send), "refused"
        status = 500
        # Monitors, load balancers and caches ask for the head of whatever can be read.
        bare = scope["method"] == "HEAD"
        if bare:
            scope = {**scope, "method": "GET"}

        async def send_with_headers(message: Any) -> None:
            nonlocal status
            if bare and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                named = {name for name, _ in headers}
                if b"x-ratelimit-limit" not in named:
                    headers += limit
                headers += [(b"x-request-id", visit.request_id.encode()), *visit.extra]
                headers += [pair for pair in HARDENING if pair[0] not in named]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._pages(scope, limited(receive, self._body_limit_bytes), send_with_headers)
        except Exception:  # noqa: BLE001 (answered by the application's own handler, which re-raises for servers)
            log.debug("page_failed", path=path)
        template = getattr(scope.get("route"), "path", None)
        return status, template if template in self._known_routes else "unknown"

    async def _strangers_limit(self, visit: Visit, scope: Scope) -> HeaderPairs:
        """Counts visits without a valid key. A key that opens something is exempt; one that does not counts.

        What the check found is left in the scope's state, so that the page need not ask again.
        """
        keys = {
            (value[7:] if name == b"authorization" else value).strip().decode("latin-1")
            for name, value in scope["headers"]
            if name == b"x-api-key" or (name == b"authorization" and value[:7].lower() == b"bearer ")
        } - {""}
        if is_googles(path := scope["path"]) or path.startswith("/v1/models"):
            keys.update(goog_keys(scope["headers"]), keys_in_query(scope["query_string"]))
        if len(keys) == 1:
            state = scope["state"]
            try:
                state["caller"] = await self._house.authenticator.authenticate(keys.pop(), visit.client_ip)
            except (Unauthenticated, Forbidden) as error:
                state["refusal"] = error
            except Unavailable:
                return []
            else:
                return []
        return (await self._house.limiter.admit_ip(visit.client_ip, fingerprint_of(visit.headers))).header_pairs()

    async def _refuse(self, error: GatewayError, visit: Visit, scope: Scope, receive: Receive, send: Send) -> int:
        dialect = dialect_for(scope["path"], scope["headers"])
        headers: HeaderPairs = [
            (b"content-type", b"application/json"),
            *id_headers(dialect, visit.request_id),
            *[(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in error.headers.items()],
            *HARDENING,
        ]
        out = AsgiResponder(receive, send, visit.extra)
        await out.answer(error.status, headers, dialect.render_error(error, visit.request_id))
        return error.status

    async def _preflight(self, visit: Visit, receive: Receive, send: Send) -> int:
        headers: HeaderPairs = [(b"x-request-id", visit.request_id.encode()), *HARDENING]
        await AsgiResponder(receive, send, visit.extra).answer(204, headers, b"")
        return 204

    def _cors(self, origin: bytes) -> HeaderPairs:
        """Lets the configured sites read answers; never with credentials, keys travel in headers."""
        if "*" in self._origins:
            allowed = b"*"
        elif origin.decode("latin-1") in self._origins:
            allowed = origin
        else:
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
            (b"access-control-allow-headers", b"*, Authorization, Content-Type, X-Api-Key, X-Request-ID"),
            (b"access-control-expose-headers", b"*"),
            (b"access-control-max-age", b"600"),
            (b"vary", b"Origin"),
        ]


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _trace_id(traceparent: bytes) -> str | None:
    """The trace id of a W3C traceparent header, None if it is not one."""
    parts = traceparent.decode("latin-1").strip().split("-")
    if len(parts) >= 4 and len(parts[1]) == 32 and parts[1] != "0" * 32:
        try:
            int(parts[1], 16)
        except ValueError:
            return None
        return parts[1].lower()
    return None
