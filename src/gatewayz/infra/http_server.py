"""What a server that faces strangers adds to uvicorn's HTTP protocol: bounds on heads and on silence, and answers in one go.

uvicorn (on httptools) reads requests, keeps connections and runs the application. Of itself it takes heads of any length,
waits for ever for the rest of a request, sets a timer for each answer, and looks at each header twice with a regular
expression: with the twenty headers of an answer here a tenth of what server and client cost.
"""

import asyncio
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 65_536
_HEAD_TOO_LONG = (
    b'{"error":{"message":"The address and headers of this request are longer than 64 KB. Send less in them.",'
    b'"type":"invalid_request_error","code":"headers_too_large","param":null}}'
)
# What has to do with the connection, or with how a body is framed, is left to uvicorn.
_ITS_OWN = frozenset({b"connection", b"transfer-encoding", b"upgrade", b"trailer", b"te", b"keep-alive"})
_BODILESS = frozenset({*range(100, 200), 204, 304})
_LENGTH = b"\r\ncontent-length: "
# All control characters but the tab: RFC 9110, section 5.5.
_CONTROLS = bytes([*range(9), *range(10, 32), 127])
_MAX_NAMES = 1_024
_COPIED_BYTES = 65_536

Pairs = Sequence[tuple[bytes, bytes]]
Message = MutableMapping[str, Any]


class Names:
    """Header names that were found to be in order, each with the beginning of its line. At most a thousand are kept."""

    def __init__(self) -> None:
        self._kept: dict[bytes, bytes] = {}

    def lines(self, pairs: Pairs) -> bytes | None:
        """The lines of a head with these headers, or None if uvicorn must see to them: one is wrong, or its own to set."""
        kept = self._kept
        try:
            text = b"\r\n".join([kept[name] + value for name, value in pairs])
        except KeyError:
            return self.lines(pairs) if self._met(pairs) else None
        # Only the breaks between lines may go when control characters are left out.
        return text if len(text.translate(None, _CONTROLS)) == len(text) - 2 * (len(pairs) - 1) else None

    def _met(self, pairs: Pairs) -> bool:
        for name, _ in pairs:
            if name not in self._kept:
                small = name.lower()
                if HEADER_RE.search(name) or small in _ITS_OWN or len(self._kept) >= _MAX_NAMES:
                    return False
                self._kept[name] = small + b": "
        return True


_names = Names()


class Exchange(RequestResponseCycle):
    """One request and its answer. The head of an answer waits for the first of its body, and leaves with it."""

    _head: bytes | None = None

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """ASGI's `send`. What is out of the ordinary goes uvicorn's way."""
        head = self._head
        if head is not None:
            self._head = None
            if message["type"] == "http.response.body" and not self.disconnected:
                self._begin(head, message.get("body", b""), message.get("more_body", False))
                return
        elif not self.response_started and self._keeps_head(message):
            return
        await super().send(message)  # type: ignore[arg-type]

    def _keeps_head(self, message: Message) -> bool:
        if message["type"] != "http.response.start" or self.scope["method"] == "HEAD" or not self.keep_alive:
            return False
        status = message["status"]
        pairs = [*self.default_headers, *message.get("headers", ())]
        if status in _BODILESS or not pairs or (lines := _names.lines(pairs)) is None:
            return False
        head = STATUS_LINE[status] + lines
        at = head.find(_LENGTH)
        if at < 0:
            self.chunked_encoding = True
            self._head = head + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        else:
            at += len(_LENGTH)
            end = head.find(b"\r\n", at)
            self.expected_content_length = int(head[at:end] if end > 0 else head[at:])
            self.chunked_encoding = False
            self._head = head + b"\r\n\r\n"
        self.response_started = True
        self.waiting_for_100_continue = False
        return True

    def _begin(self, head: bytes, body: bytes, more: bool) -> None:
        """Writes the head with the first of the body. Raises RuntimeError if the body is not as long as its head says."""
        if not self.chunked_encoding:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more):
                raise RuntimeError("The body of the answer is not as long as its Content-Length says.")
            if len(body) > _COPIED_BYTES:
                self.transport.write(head)
                self.transport.write(body)
            else:
                self.transport.write(head + body)
        else:
            part = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(head + part + (b"" if more else b"0\r\n\r\n"))
        if not more:
            self.response_complete = True
            self.message_event.set()
            self.on_response()


class Protocol(HttpToolsProtocol):
    """A connection. The client has `timeout_keep_alive` seconds to ask, to send a whole head, and for each part of a body.

    After them the connection is closed. One timer looks after it for as long as it lives, whatever is asked on it.
    """

    _reading_head = False
    _head_bytes = 0
    _heard_at = 0.0
    _look: asyncio.TimerHandle | None = None
    _now: Callable[[], float]
    # Called when the connection is gone, if somebody counts them.
    on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The client is there; the watch over its silence begins."""
        super().connection_made(transport)
        self._now = self.loop.time
        self._heard_at = self._now()
        self._look = self.loop.call_later(self.timeout_keep_alive, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self.on_lost is not None:
            self.on_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request, or of several. Closes the connection over a head that is too long."""
        if not self._reading_head:
            self._heard_at = self._now()
        super().data_received(data)
        if self._reading_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reading_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there: the application is run, or waits for the answers before its own on this connection."""
        self._reading_head = False
        parser, scope, before = self.parser, self.scope, self.cycle
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = _target(self.url)
        self.cycle = exchange = Exchange(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            version != "1.0" and parser.should_keep_alive(),
            self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def on_response_complete(self) -> None:
        """An answer has left whole; the next request that came meanwhile begins."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._heard_at = self._now()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def _look_after(self) -> None:
        exchange = self.cycle
        waits_for_client = exchange is None or exchange.response_complete or exchange.more_body
        quiet_s = self._now() - self._heard_at if waits_for_client and not self.flow.read_paused else 0.0
        if quiet_s >= self.timeout_keep_alive:
            self._look = None
            self.transport.close()
            return
        self._look = self.loop.call_later(self.timeout_keep_alive - quiet_s, self._look_after)

    def _refuse_head(self) -> None:
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_HEAD_TOO_LONG), _HEAD_TOO_LONG)
        )
        self.transport.close()


def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path as text, path as sent, and query of a request's target. Raises what httptools raises over a wrong one."""
    if url.startswith(b"/"):
        raw_path, _, query = url.partition(b"?")
    else:
        # A proxy is asked with the whole address.
        parsed = httptools.parse_url(url)
        raw_path, query = parsed.path or b"/", parsed.query or b""
    path = raw_path.decode("ascii")
    return unquote(path) if "%" in path else path, raw_path, query
