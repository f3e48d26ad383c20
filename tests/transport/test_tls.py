"""Encrypted connections: who is believed, what is told when nobody is, and how they end."""

import asyncio

import pytest

from gatewayz.infra.http_client import ConnectFailed, Timeouts, Transport
from tests.transport.conftest import Authority, ask, chunks_of
from tests.transport.raw_server import Peer, answering, chunked, length, serving


async def test_a_believed_certificate(transport: Transport, trusted: Authority) -> None:
    async with serving(answering(length(b"one"), chunked(b"t", b"wo")), tls=trusted.server("127.0.0.1")) as server:
        assert await (await ask(transport, server.url)).read() == b"one"
        assert await chunks_of(await ask(transport, server.url)) == b"two"
        assert len(server.peers) == 1
        assert server.peers[0].wire.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_the_name_is_told_and_checked(transport: Transport, trusted: Authority) -> None:
    told: list[str | None] = []
    context = trusted.server("localhost")
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    async with serving(answering(length(b"ok")), tls=context) as server:
        with pytest.raises(ConnectFailed, match="certificate"):
            await ask(transport, server.url)
        server.host = "localhost"
        assert await (await ask(transport, server.url)).read() == b"ok"
        assert told[-1] == "localhost"


async def test_an_unknown_authority_is_refused(transport: Transport, authority: Authority) -> None:
    async with serving(answering(length(b"ok")), tls=authority.server("127.0.0.1")) as server:
        with pytest.raises(ConnectFailed, match="certificate"):
            await ask(transport, server.url)
        assert not any(peer.received for peer in server.peers)


async def test_a_server_that_speaks_no_tls(transport: Transport, trusted: Authority) -> None:
    async def script(peer: Peer) -> None:
        peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(script) as server:
        server.scheme = "https"
        with pytest.raises(ConnectFailed):
            await ask(transport, server.url)
        assert await server.peers[0].left()


async def test_a_handshake_that_never_ends(transport: Transport, trusted: Authority) -> None:
    async def script(peer: Peer) -> None:
        pass

    async with serving(script) as server:
        server.scheme = "https"
        with pytest.raises(ConnectFailed, match="timeout"):
            await ask(transport, server.url, timeouts=Timeouts(0.5, 20.0))
        assert await server.peers[0].left()


async def test_who_is_cancelled_in_the_handshake_closes_the_connection(
    transport: Transport, trusted: Authority
) -> None:
    async def script(peer: Peer) -> None:
        pass

    async with serving(script) as server:
        server.scheme = "https"
        task = asyncio.create_task(ask(transport, server.url))
        peer = await server.peer(0)
        while not peer.received:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await peer.left()


async def test_an_answer_that_ends_with_the_connection(transport: Transport, trusted: Authority) -> None:
    body = bytes(range(256)) * 4000
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + body
    async with serving(answering(answer, end=True), tls=trusted.server("127.0.0.1")) as server:
        assert await (await ask(transport, server.url)).read() == body
        assert await chunks_of(await ask(transport, server.url)) == body


async def test_large_bodies_and_early_leaving(transport: Transport, trusted: Authority) -> None:
    body = bytes(range(256)) * 20_000

    async def script(peer: Peer) -> None:
        request = await peer.request()
        assert request.endswith(body)
        peer.say(chunked(b"a")[:-5])

    async with serving(script, tls=trusted.server("127.0.0.1")) as server:
        reply = await ask(transport, server.url, body)
        assert await reply.next_chunk() == b"a"
        reply.close()
        assert await server.peers[0].left()
