"""An ASGI connection as the pipeline sees it: a body to read, an answer to send, and a client that may leave."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException

from gatewayz.core.errors import InvalidRequest, TooLarge, UnsupportedFormat
from gatewayz.gateway.ports import HeaderPairs
from gatewayz.infra.alarms import Alarms

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_AS_IT_IS = (b"", b"identity")


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


def refuse_body(headers: Mapping[bytes, bytes], limit_bytes: int) -> None:
    """Raises TooLarge, UnsupportedFormat (compressed bodies) or InvalidRequest for a body that the headers give away.

    They are those of the request, names in lower case.
    """
    length = headers.get(b"content-length")
    if length is not None:
        if not length.isdigit():
            raise InvalidRequest("Content-Length is not a number.", param="Content-Length")
        if int(length) > limit_bytes:
            raise _too_large(limit_bytes)
    if b"content-encoding" in headers and headers[b"content-encoding"].lower() not in _AS_IT_IS:
        raise UnsupportedFormat("Compressed bodies are not accepted; send the JSON as it is.")


def part_of_body(message: Message, limit_bytes: int) -> bytes:
    """What a message brings of the body, usually all of it. Raises TooLarge if that alone is too much, ClientLeft."""
    if message["type"] != "http.request":
        raise ClientLeft
    part: bytes = message.get("body", b"")
    if len(part) > limit_bytes:
        raise _too_large(limit_bytes)
    return part


async def with_the_rest(first: bytes, receive: Receive, limit_bytes: int) -> bytes:
    """The whole of a body that comes in several messages. Raises TooLarge, ClientLeft."""
    parts, size, more = [first], len(first), True
    while more:
        message = await receive()
        parts.append(part_of_body(message, limit_bytes))
        size += len(parts[-1])
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        more = message.get("more_body", False)
    return b"".join(parts)


def refuse_long_body(scope: Scope, limit_bytes: int) -> None:
    """Raises TooLarge if the request says that its body is longer than the limit."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit_bytes:
            raise _too_large(limit_bytes)


def limited(receive: Receive, limit_bytes: int) -> Receive:
    """`receive` that raises an HTTPException 413 once more than `limit_bytes` of body have come.

    For bodies that do not say how long they are. FastAPI lets an HTTPException pass and makes a 400 of anything else.
    """
    left = limit_bytes

    async def counted() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, _too_large(limit_bytes).message, {"Connection": "close"})
        return message

    return counted


class AsgiResponder(msgspec.Struct, eq=False):
    """See `gateway.ports.Responder`. `_extra` headers are put on whatever answer leaves."""

    _receive: Receive
    _send: Send
    _extra: HeaderPairs
    _task: "asyncio.Task[Any] | None" = None
    _waiting: set[Callable[[], None]] | None = None
    _watch: "asyncio.Task[None] | None" = None
    _ended: bool = False
    started: bool = False
    gone: bool = False
    status: int = 0

    def watch(self, alarms: Alarms) -> None:
        """Cancels the current task once the client leaves; call `rest` when the answer is over.

        Most answers are over before two ticks of the alarms; watching costs a task, so it starts only then.
        """
        self._task = asyncio.current_task()
        self._waiting = alarms.soon(self._start_watching)

    def rest(self) -> None:
        """Ends watching. May be called twice."""
        if self._waiting is not None:
            self._waiting.discard(self._start_watching)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def answer(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """See `Responder.answer`."""
        if self.started:
            return
        self.started = self._ended = True
        self.status = status
        pairs = [*headers, (b"content-length", b"%d" % len(body)), *self._extra]
        if self.gone:
            return
        try:
            await self._send({"type": "http.response.start", "status": status, "headers": pairs})
            await self._send({"type": "http.response.body", "body": body})
        except OSError:
            self.gone = True

    async def open(self, headers: HeaderPairs) -> None:
        """See `Responder.open`."""
        if self.started:
            return
        self.started = True
        self.status = 200
        if self.gone:
            return
        try:
            await self._send({"type": "http.response.start", "status": 200, "headers": [*headers, *self._extra]})
            # Servers send the status line with the first body bytes; an empty part makes it leave now.
            await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        except OSError:
            self.gone = True

    async def send(self, data: bytes, *, last: bool = False) -> None:
        """See `Responder.send`."""
        if self._ended:
            return
        self._ended = last
        if self.gone:
            return
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})
        except OSError:
            self.gone = True

    async def cut(self) -> None:
        """See `Responder.cut`. The server closes the connection of an answer that was left without its end."""
        self._ended = True

    def _start_watching(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._ended:
            self.gone = True
            if self._task is not None:
                self._task.cancel()


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {limit_bytes / 1_000_000:g} MB, the limit here.", details={"limit_bytes": limit_bytes}
    )
