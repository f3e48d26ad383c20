"""One connection: bytes in through llhttp, requests out, one exchange at a time.

Any oddity ends the connection. It is used again only after a message whose end was certain and behind which nothing came.
"""

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Any

import httptools

from gatewayz.infra.http1.coding import Inflater, Refused, decoder_for
from gatewayz.infra.http1.framing import KEEP_ALIVE_S, Oddity, check_coding, is_repeated, keep_alive_s
from gatewayz.infra.http1.wire import Wire
from gatewayz.infra.http_client import Broken, Timeouts, TransportError, TransportTimeout

HIGH_WATER_BYTES = 2**18
MAX_HEAD_BYTES = 65536
# Written in one go with the head; what is larger goes piece by piece, each when the last has left.
_ONE_WRITE_BYTES = 2**16
_PIECE_BYTES = 2**18
_NEVER = float("inf")
_ENDLESS_HEAD = "head of the answer larger than the limit"


class Unanswered(Broken):
    """The connection was lost before one byte of an answer: on a used connection the race that keep-alive brings."""


class Connection(Wire):
    """The protocol of one socket.

    `deadline` is when `expire` must be called, in the loop's time. `whole` is set by a reader who wants all or nothing:
    he is not woken for parts, and the limit for the first byte holds for every pause.
    """

    __slots__ = (
        "_asked", "_error", "_fields", "_got", "_idle_s", "_interim", "_limit_s", "_on_free", "_on_lost", "_parser", "_parts",
        "_read_paused", "_reusable", "_room", "_silent_bytes", "_size", "_unsent", "_until_close", "complete", "deadline",
        "decoder", "fields", "keep_alive_s", "status", "whole",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        """`on_free` is called when another exchange may begin, `on_lost` once when the socket is gone."""
        super().__init__(loop)
        self._on_free = on_free
        self._on_lost = on_lost
        self._read_paused = False
        self._asked = False
        self.deadline = _NEVER
        self._parts: list[bytes] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._parser: Any = httptools.HttpResponseParser(self)
        # Bare line feeds, and blanks behind a chunk's size, come from real servers and can be read in one way only.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self._forget(Timeouts(_NEVER, _NEVER))

    def _forget(self, timeouts: Timeouts) -> None:
        """Everything of one exchange at its beginning."""
        self._idle_s = timeouts.idle_s
        self._limit_s = max(timeouts.first_s, timeouts.idle_s)
        self._error: TransportError | None = None
        self._size = self._silent_bytes = 0
        self._room = MAX_HEAD_BYTES
        self._got = self._interim = self._until_close = self._unsent = self.whole = False
        self._reusable = True
        self.status = 0
        self.fields: dict[bytes, bytes] | None = None
        self.decoder: Inflater | Refused | None = None
        self.complete = False
        self.keep_alive_s = KEEP_ALIVE_S

    # What the pool and a reply ask for

    async def ask(self, head: bytes, body: bytes | None, timeouts: Timeouts, now_s: float) -> None:
        """Sends a request; returns when the head of its answer is there. Raises TransportError."""
        self._forget(timeouts)
        self._asked = True
        self.deadline = now_s + self._limit_s
        transport = self._transport
        if not body:
            transport.write(head)
        elif len(body) <= _ONE_WRITE_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            await self._send(memoryview(body))
        while self.fields is None:
            if self._error is not None:
                raise self._error
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            except BaseException:
                self.drop()
                raise
            finally:
                self._waiter = None

    async def more(self) -> None:
        """Returns when there is something to take (with `whole`: much of it), or the end. Raises TransportError.

        Who is cancelled here drops the connection.
        """
        while not self.complete and not (self._size > HIGH_WATER_BYTES if self.whole else self._parts):
            if self._error is not None:
                raise self._error
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None

    def take(self) -> bytes:
        """What has come of the body since the last time."""
        parts = self._parts
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._size = 0
        if not self.complete and self._limit_s != self._idle_s and not self.whole:
            # From the first bytes on pauses are measured by the shorter limit.
            self._limit_s = self._idle_s
            self._renew()
        if self._read_paused:
            self._read_paused = False
            self._renew()
            if self.is_usable:
                self._transport.resume_reading()
        return data

    def finish(self) -> None:
        """Ends the exchange: the connection is free again if its answer is complete and clean, else dropped."""
        # A socket that was lost or closed is not reusable; one that is lost in this moment leaves the pool by itself.
        if self.complete and self._reusable and not self._unsent and not self._transport.get_write_buffer_size():
            self._asked = False
            self._parts.clear()
            self.fields = self.decoder = None
            self._on_free(self)
        else:
            self.drop()

    def drop(self) -> None:
        """Closes the socket at once, whatever is still to be read or written. May be called twice."""
        self._reusable = False
        self._parts.clear()
        self._abort()

    def expire(self) -> None:
        """The deadline has passed."""
        if self._asked and not self.complete:
            self.fail(TransportTimeout("no bytes within the idle timeout"))
        else:
            self.drop()

    def fail(self, error: TransportError) -> None:
        """Drops the connection; whoever waits for it is told."""
        if self._error is None:
            self._error = error
        self._reusable = False
        self._abort()
        self._wake()

    def _renew(self) -> None:
        if not self.complete:
            self.deadline = self._loop.time() + self._limit_s

    async def _send(self, body: memoryview) -> None:
        """Sends a large body without piling it up. An answer that comes before its end ends the sending."""
        transport = self._transport
        for start in range(0, len(body), _PIECE_BYTES):
            while self._write_paused and self.fields is None and self._error is None:
                await self._news()
            if self.fields is not None or self._error is not None:
                self._unsent = True
                return
            transport.write(body[start : start + _PIECE_BYTES])
            self._renew()

    # What the event loop calls

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if not self._asked or self._error is not None or self._parser is None:
            self.drop()
            return
        if self.complete:
            self._reusable = False
            return
        self._got = True
        self.deadline = self._loop.time() + self._limit_s
        size = self._size
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            if not self.complete:
                self.fail(Broken(_oddity(error)))
                return
        if self.complete:
            self.deadline = _NEVER
        elif self._size == size:
            self._count_silent(len(data))
        elif self._size > HIGH_WATER_BYTES and not self._read_paused:
            self._read_paused = True
            self.deadline = _NEVER
            self._transport.pause_reading()
        if self._waiter is not None and (not self.whole or self.complete or self._size > HIGH_WATER_BYTES):
            self._wake()

    def eof_received(self) -> None:
        """See `asyncio.Protocol`. The other side has said its last; ours has nothing more to say either."""
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.lost = True
        self._ended(exc)
        self._parser = None  # it holds this object's methods: without it no cycle waits for the collector
        self._on_lost(self)

    def _ended(self, exc: Exception | None) -> None:
        self._reusable = False
        if not self._asked or self.complete or self._error is not None:
            return
        if self.fields is not None and self._until_close and exc is None:
            self.complete = True
            self.deadline = _NEVER
        elif self._got:
            self._error = Broken("connection closed in the middle of the answer")
        else:
            self._error = Unanswered("connection closed before the answer")
        self._wake()

    def _count_silent(self, size: int) -> None:
        """Bytes that were neither the end of a head nor content: parts of heads, of chunk sizes, of trailers."""
        self._silent_bytes += size
        if self._silent_bytes > MAX_HEAD_BYTES:
            self.fail(Broken(_ENDLESS_HEAD if self.fields is None else "framing of the answer larger than the limit"))

    # What llhttp calls

    def on_message_begin(self) -> None:
        """A message begins; behind a complete one it is not ours."""
        if self.complete:
            raise Oddity("bytes behind the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer."""
        if self.fields is None:
            self._fields.append((name, value))
        else:
            self._take_room(len(name) + len(value) + 4)

    def _take_room(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise Oddity(_ENDLESS_HEAD)

    def on_headers_complete(self) -> None:
        """The head is whole: decides where the body ends."""
        parser = self._parser
        fields, self._fields = self._fields, []
        self._take_room(sum(map(len, chain.from_iterable(fields))) + 4 * len(fields))
        found = {name.lower(): value for name, value in reversed(fields)}  # of a repeated one the first
        status = parser.get_status_code()
        coding, length = found.get(b"transfer-encoding"), found.get(b"content-length")
        if status < 200:
            if status < 100 or coding is not None or length is not None:
                raise Oddity("an interim answer with a body")
            self._interim = True
            return
        if coding is not None:
            check_coding(coding, fields)
        self._until_close = coding is None and length is None
        self._reusable = self._reusable and parser.should_keep_alive()
        if b"content-encoding" in found:
            codings = b"several" if is_repeated(b"content-encoding", fields) else found[b"content-encoding"]
            self.decoder = decoder_for(codings)
        if b"keep-alive" in found:
            self.keep_alive_s = keep_alive_s(found[b"keep-alive"])
        self.status, self.fields = status, found
        if status in (204, 304):
            # Never a body, whatever is said of its length; llhttp would wait for one.
            self.complete = True
            self._reusable = self._reusable and coding is None and length in (None, b"0")

    def on_body(self, data: bytes) -> None:
        """Bytes of content."""
        if self.complete:
            self._reusable = False
            return
        self._parts.append(data)
        self._size += len(data)
        self._silent_bytes = 0

    def on_message_complete(self) -> None:
        """The last byte of a message was read."""
        if self._interim:
            self._interim = False
        else:
            self.complete = True


def _oddity(error: Exception) -> str:
    """What is wrong with an answer, in llhttp's or our own words: never the answer's bytes."""
    cause = error.__context__
    return f"no readable HTTP: {cause if isinstance(cause, Oddity) else error}"
