"""Headers of inference answers: what every one carries, and what each kind adds."""

from collections.abc import Mapping

from gatewayz.core.errors import GatewayError
from gatewayz.core.money import credits_number, usd_text
from gatewayz.dialects.base import ClientDialect
from gatewayz.gateway.ports import HeaderPairs
from gatewayz.gateway.trip import Trip

HARDENING: HeaderPairs = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"referrer-policy", b"no-referrer"),
]
_JSON = (b"content-type", b"application/json")
_FRESH = (b"cache-control", b"no-store")
# Proxies such as nginx buffer answers unless told not to; a buffered stream is no stream.
_UNBUFFERED = (b"x-accel-buffering", b"no")


def plain_headers(trip: Trip, balance: int | None, content_type: str = "application/json") -> HeaderPairs:
    """Headers of a complete plain answer; `balance` (nano-USD) only if it is low."""
    kind = _JSON if content_type == "application/json" else (b"content-type", content_type.encode("latin-1"))
    return _common(trip, [kind, _FRESH, (b"x-gatewayz-cost-usd", usd_text(trip.cost).encode())], balance)


def stream_headers(trip: Trip, balance: int | None, content_type: str) -> HeaderPairs:
    """Headers of a stream, sent before anything is known of its cost."""
    kind = (b"content-type", content_type.encode("latin-1"))
    return _common(trip, [kind, _FRESH, _UNBUFFERED], balance)


def replay_headers(trip: Trip, content_type: str) -> HeaderPairs:
    """Headers of a stored answer that is given again."""
    headers = [
        (b"content-type", content_type.encode()),
        _FRESH,
        (b"x-idempotent-replay", b"true"),
        (b"x-gatewayz-cost-usd", b"0"),
    ]
    return _common(trip, headers, None)


def error_headers(trip: Trip, error: GatewayError) -> HeaderPairs:
    """Headers of an error answer: its own, and the limits unless it brings them itself."""
    own = _pairs(error.headers)
    if any(name == b"x-ratelimit-limit" for name, _ in own):
        trip.limit_headers = []
    return _common(trip, [_JSON, _FRESH, *own], None)


def id_headers(dialect: ClientDialect, request_id: str) -> HeaderPairs:
    """The request id under the names by which clients of this dialect look for it."""
    value = request_id.encode()
    if dialect.name == "anthropic":
        return [(b"x-request-id", value), (b"request-id", value)]
    return [(b"x-request-id", value)]


def _common(trip: Trip, headers: HeaderPairs, balance: int | None) -> HeaderPairs:
    headers += id_headers(trip.call.dialect, trip.call.request_id)
    headers += trip.limit_headers
    if trip.identified_s:
        headers.append((b"server-timing", trip.server_timing()))
    if balance is not None:
        headers.append((b"x-credits-remaining", f"{credits_number(balance):.4f}".encode()))
    headers += HARDENING
    return headers


def _pairs(headers: Mapping[str, str]) -> HeaderPairs:
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
