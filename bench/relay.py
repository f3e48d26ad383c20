"""The floor: what uvicorn and aiohttp cost when nothing is done between them. `relay.py PORT UPSTREAM_PORT`."""

import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import uvicorn

Message = dict[str, Any]


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
            # Client and collector are tuned as in the gateway, so that neither is a difference between the two.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                read_bufsize=2**18,
            )
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._base + scope["path"], data=body, headers=headers) as answer:
            kind = answer.headers["Content-Type"].encode()
            started = {"type": "http.response.start", "status": answer.status}
            if kind.startswith(b"text/event-stream"):
                await send({**started, "headers": [(b"content-type", kind)]})
                async for piece in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            else:
                whole = await answer.read()
                length = str(len(whole)).encode()
                await send({**started, "headers": [(b"content-type", kind), (b"content-length", length)]})
                await send({"type": "http.response.body", "body": whole})


if __name__ == "__main__":
    uvicorn.run(
        Relay(int(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        backlog=4096,
    )
