"""Servers that say exact bytes: one script per connection, and everything that the client does is noted."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Script = Callable[["Peer"], Awaitable[None]]
LONG_S = 20.0


class Peer(asyncio.Protocol):
    """The server's side of one connection."""

    def __init__(self, server: "RawServer") -> None:
        self._server = server
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self.wire: Any = None
        self.received = bytearray()
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire = transport
        self._server.peers.append(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._news.set()
        self._room.set()

    async def _run(self) -> None:
        try:
            await self._server.script(self)
        except ConnectionResetError:
            pass
        except Exception as error:
            self._server.mistakes.append(error)
            self.wire.abort()

    async def request(self) -> bytes:
        """The next whole request, taken out of what was received. Raises ConnectionResetError if the client left."""
        while True:
            head, end, rest = bytes(self.received).partition(b"\r\n\r\n")
            if end:
                found = re.search(rb"(?i)content-length: (\d+)", head)
                size = int(found[1]) if found else 0
                if len(rest) >= size:
                    del self.received[: len(head) + 4 + size]
                    return head + end + rest[:size]
            await self._wait()

    async def head(self) -> bytes:
        """The next head alone, left where it is."""
        while b"\r\n\r\n" not in self.received:
            await self._wait()
        return bytes(self.received).partition(b"\r\n\r\n")[0]

    async def _wait(self) -> None:
        if self.gone.is_set():
            raise ConnectionResetError
        self._news.clear()
        await self._news.wait()

    def say(self, data: bytes) -> None:
        self.wire.write(data)

    async def drained(self) -> None:
        await self._room.wait()
        await asyncio.sleep(0)
        if self.gone.is_set():
            raise ConnectionResetError

    def end(self) -> None:
        """Closes in order, after what was said."""
        self.wire.close()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self.wire.abort()

    async def left(self) -> bool:
        """Waits until the client is gone."""
        await asyncio.wait_for(self.gone.wait(), LONG_S)
        return True


class RawServer:
    """A listening socket whose connections follow `script`."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.peers: list[Peer] = []
        self.mistakes: list[Exception] = []
        self.port = 0
        self.scheme = "http"
        self.host = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/v1/x?key=a%20b"

    async def peer(self, number: int) -> Peer:
        """The connection of that number, counted from 0, once it is there."""
        async with asyncio.timeout(LONG_S):
            while len(self.peers) <= number:
                await asyncio.sleep(0.005)
        return self.peers[number]


@asynccontextmanager
async def serving(
    script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """A server, and at its end proof that its script made no mistake."""
    server = RawServer(script)
    listener = await asyncio.get_running_loop().create_server(lambda: Peer(server), host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    server.scheme = "https" if tls else "http"
    try:
        yield server
    finally:
        for peer in server.peers:
            peer.stop()
        listener.close()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not server.mistakes, server.mistakes


def answering(*answers: bytes, end: bool = False) -> Script:
    """A script that gives these answers in turn on each connection; the last again and again, or `end` after it."""

    async def script(peer: Peer) -> None:
        number = 0
        while True:
            await peer.request()
            peer.say(answers[min(number, len(answers) - 1)])
            number += 1
            if end and number >= len(answers):
                peer.end()
                return

    return script


def length(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer with its length."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(*chunks: bytes, headers: str = "", trailers: bytes = b"") -> bytes:
    """An answer in chunks."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return (
        f"HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n".encode()
        + framed
        + b"0\r\n"
        + trailers
        + b"\r\n"
    )
