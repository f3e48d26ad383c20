"""The floor: what a server and a client cost when nothing is done between them. `relay.py PORT UPSTREAM_PORT [own [WORKERS]]`.

uvicorn and aiohttp are the mature stack; with `own` the client is the gateway's own, so that its share can be told. Several
workers accept from one socket, as the gateway's do.
"""

import gc
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import uvicorn

from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http_client import Timeouts

Message = dict[str, Any]
_HEADERS = {"Content-Type": "application/json"}
_TIMEOUTS = Timeouts(5.0, 60.0, 300.0)


def tune_gc() -> None:
    """As the gateway does, so that the collector is no difference between the two."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def whole_body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    """The body of a request."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer_whole(send: Callable[[Message], Awaitable[None]], started: Message, kind: bytes, whole: bytes) -> None:
    """Sends a plain answer."""
    length = str(len(whole)).encode()
    await send({**started, "headers": [(b"content-type", kind), (b"content-length", length)]})
    await send({"type": "http.response.body", "body": whole})


class Relay:
    """Sends every body on to the same path of the upstream, and what comes back to the client as it comes."""

    def __init__(self, upstream: int) -> None:
        self._base = f"http://127.0.0.1:{upstream}"
        self._session: aiohttp.ClientSession | None = None

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """An ASGI application."""
        if self._session is None:
            # Tuned as in the gateway, so that this is no difference between the two.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                read_bufsize=2**18,
            )
            tune_gc()
        body = await whole_body(receive)
        async with self._session.post(self._base + scope["path"], data=body, headers=_HEADERS) as answer:
            kind = answer.headers["Content-Type"].encode()
            started = {"type": "http.response.start", "status": answer.status}
            if kind.startswith(b"text/event-stream"):
                await send({**started, "headers": [(b"content-type", kind)]})
                async for piece in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            else:
                await answer_whole(send, started, kind, await answer.read())


class OwnRelay:
    """The same with the gateway's own client."""

    def __init__(self, upstream: int) -> None:
        self._base = f"http://127.0.0.1:{upstream}"
        self._transport: Http1Transport | None = None

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """An ASGI application."""
        if self._transport is None:
            self._transport = Http1Transport()
            tune_gc()
        body = await whole_body(receive)
        reply = await self._transport.post(self._base + scope["path"], _HEADERS, body, _TIMEOUTS)
        try:
            kind = reply.headers["content-type"].encode()
            started = {"type": "http.response.start", "status": reply.status}
            if kind.startswith(b"text/event-stream"):
                await send({**started, "headers": [(b"content-type", kind)]})
                while piece := await reply.next_chunk():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            else:
                await answer_whole(send, started, kind, await reply.read())
        finally:
            reply.close()


def main(port: int, upstream: int, kind: str = "", workers: str = "1") -> None:
    """Serves until it is ended, in as many processes."""
    config = uvicorn.Config(
        (OwnRelay if kind == "own" else Relay)(upstream),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        backlog=4096,
    )
    socket = config.bind_socket()
    for _ in range(int(workers) - 1):
        if os.fork() == 0:
            break
    uvicorn.Server(config).run(sockets=[socket])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
