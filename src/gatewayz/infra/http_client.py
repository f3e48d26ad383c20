"""Calls to providers: a small transport interface. Behind it are `http1` and, for proxies, `aiohttp_client`.

Everything that can go wrong on the wire is one of three exceptions, whatever the library calls it. A reply that is not read
to its end is closed, which closes the connection, so the provider stops generating.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import certifi

MAX_ANSWER_BYTES = 64 * 1024 * 1024
# A kept-alive connection that the provider closed meanwhile fails at once; a slower failure is the provider's own.
STALE_WINDOW_S = 0.25


class TransportError(Exception):
    """The provider could not be reached or broke off; the text is for logs, never for clients."""


class ConnectFailed(TransportError):
    """No connection: refused, unknown host, TLS trouble, connect timeout."""


class TransportTimeout(TransportError):
    """Connected, but silent for longer than allowed."""


class Broken(TransportError):
    """The connection ended in the middle of an answer, or the answer is no HTTP."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Longest waits in seconds: for the connection, between two reads, and for the first byte where that is longer."""

    connect_s: float
    idle_s: float
    first_s: float = 0.0


class Reply(Protocol):
    """A provider's reply. Exactly one of `read` or a run of `next_chunk` to its end, then `close` (always, may repeat)."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The whole body. Raises TransportError."""
        ...

    async def next_chunk(self) -> bytes:
        """The next bytes as they come, b"" at the end. Raises TransportError."""
        ...

    def close(self) -> None:
        """Drops the connection unless the body was read to its end."""
        ...


class Transport(Protocol):
    """Sends requests to providers."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Reply:
        """The reply once its headers are there. Raises TransportError."""
        ...

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        """The reply once its headers are there. Raises TransportError."""
        ...

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Reply:
        """The reply to a request that is sent once, whatever happens: some must not be done twice. Raises TransportError."""
        ...

    async def close(self) -> None: ...


def trust_store() -> ssl.SSLContext:
    """TLS context for outgoing calls: SSL_CERT_FILE or the system's roots, else certifi's on machines without any."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    has_roots = any(path and Path(path).exists() for path in (paths.cafile, paths.capath))
    if not has_roots:
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
