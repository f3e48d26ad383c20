"""The gateway's two sides: the call that comes in, and the responder through which the answer leaves.

Whoever wants an inference (the HTTP routes, later batch, evaluations and the playground) hands in a `Call` and a
`Responder`; nobody goes around the pipeline.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from gatewayz.dialects.base import ClientDialect
from gatewayz.operations.apps import UNKNOWN, App

HeaderPairs = list[tuple[bytes, bytes]]
EVENT_STREAM = "text/event-stream; charset=utf-8"


class Call(msgspec.Struct, frozen=True):
    """One request as it arrived. `claimed_id` is the client's own X-Request-ID or Idempotency-Key, None without one.

    `credentials` are the distinct key values found (Authorization, x-api-key). `headers` holds the last of each name, in
    lower case; those that the request's dialect means for a provider are `passthrough_headers`. `received_s` is monotonic.
    `streams_as` is the content type of a stream of words. `address` is what the path says of the request beside the
    endpoint's name. The caller wants to see what was decided (`explain`, or `router_metadata` in OpenRouter's form), what
    the charge is made of (`itemised`), or only what would be done (`dry`). `app` is the application that is asking, if it
    says so; no provider is told.
    """

    dialect: ClientDialect
    endpoint: str
    body: bytes
    request_id: str
    claimed_id: str | None
    credentials: tuple[str, ...]
    client_ip: str
    headers: Mapping[bytes, bytes]
    received_s: float
    passthrough_headers: Mapping[str, str] = {}
    streams_as: str = EVENT_STREAM
    address: bytes = b""
    itemised: bool = False
    dry: bool = False
    referer: str | None = None
    origin: str | None = None
    explain: bool = False
    router_metadata: bool = False
    app: App = UNKNOWN

    @property
    def content_type(self) -> str:
        """What the client says of the body, "" if nothing."""
        return self.headers.get(b"content-type", b"").decode("latin-1")


class Responder(Protocol):
    """Where the answer goes. All calls come from one task; none raises when the client has gone."""

    @property
    def started(self) -> bool:
        """True once the status line has left."""
        ...

    @property
    def gone(self) -> bool:
        """True once the client has closed the connection."""
        ...

    async def answer(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """Sends a whole plain answer."""
        ...

    async def open(self, headers: HeaderPairs) -> None:
        """Sends status 200 of an event stream, at once; further calls do nothing."""
        ...

    async def send(self, data: bytes, *, last: bool = False) -> None:
        """Sends a part of the stream; waits while the client reads too slowly."""
        ...

    async def cut(self) -> None:
        """Ends a started answer so that the client sees that it is not complete: the connection is closed."""
        ...
