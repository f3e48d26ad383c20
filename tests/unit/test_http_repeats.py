"""When is a request sent a second time? Only if a kept-alive connection ended at once, before any byte of a reply."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gatewayz.infra.aiohttp_client import AiohttpTransport
from gatewayz.infra.http_client import Broken, Timeouts

TIMEOUTS = Timeouts(connect_s=5.0, idle_s=20.0)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Server:
    """Answers as `acts` say, one word per request: answer, close, reset, late (closes after a pause), part (of an answer)."""

    acts: list[str]
    port: int = 0
    seen: list[tuple[int, bytes]] = field(default_factory=list)  # connection number and body of each request
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).lower():
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                self.seen.append((number, await reader.readexactly(length)))
                act = self.acts.pop(0)
                if act == "answer":
                    writer.write(ANSWER)
                    continue
                if act == "late":
                    await asyncio.sleep(0.6)
                elif act == "part":
                    writer.write(ANSWER[:-1])
                    await writer.drain()
                if act == "reset":
                    socket_of_it = writer.get_extra_info("socket")
                    socket_of_it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*acts: str) -> AsyncIterator[tuple[Server, AiohttpTransport]]:
    made = Server(list(acts))
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    transport = AiohttpTransport()
    try:
        yield made, transport
    finally:
        await transport.close()
        listener.close()
        await listener.wait_closed()


async def post(server: Server, transport: AiohttpTransport, body: bytes = b"{}") -> bytes:
    reply = await transport.post(f"http://127.0.0.1:{server.port}/", {}, body, TIMEOUTS)
    try:
        return await reply.read()
    finally:
        reply.close()


@pytest.mark.parametrize("act", ["close", "reset"])
async def test_a_kept_connection_that_ends_at_once_is_replaced_and_the_request_sent_again(act: str) -> None:
    async with serving("answer", act, "answer") as (server, transport):
        assert await post(server, transport, b"1") == b"ok"
        assert await post(server, transport, b"2") == b"ok"
    assert server.seen == [(1, b"1"), (1, b"2"), (2, b"2")]


async def test_a_large_body_is_sent_again_whole() -> None:
    large = b"x" * (3 * 2**20)
    async with serving("answer", "close", "answer") as (server, transport):
        await post(server, transport)
        assert await post(server, transport, large) == b"ok"
    assert [len(body) for _, body in server.seen] == [2, len(large), len(large)]


@pytest.mark.parametrize("act", ["close", "reset"])
async def test_a_fresh_connection_was_not_idle_so_nothing_is_repeated(act: str) -> None:
    async with serving(act, "answer") as (server, transport):
        with pytest.raises(Broken):
            await post(server, transport)
    assert len(server.seen) == 1, "the server has read it, and may have acted on it"


@pytest.mark.parametrize("act", ["late", "part"])
async def test_a_server_that_took_its_time_or_began_to_answer_has_read_the_request(act: str) -> None:
    async with serving("answer", act, "answer") as (server, transport):
        await post(server, transport)
        with pytest.raises(Broken):
            await post(server, transport)
    assert len(server.seen) == 2


async def test_nothing_is_sent_three_times() -> None:
    async with serving("answer", "answer", "close", "close", "answer") as (server, transport):
        await asyncio.gather(post(server, transport), post(server, transport))
        assert server.connections == 2
        with pytest.raises(Broken):
            await post(server, transport, b"last")
    assert [body for _, body in server.seen].count(b"last") == 2
