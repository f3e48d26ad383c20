"""Connections: shared, kept, given up, and closed at once when nobody wants their answer any more."""

import asyncio

import pytest

from gatewayz.infra.http_client import Broken, Timeouts, Transport, TransportError
from tests.transport.conftest import ask, within_the_window
from tests.transport.raw_server import LONG_S, Peer, RawServer, answering, chunked, length, serving

STREAM = chunked(b"data: 1\n\n")[:-5]


async def _silent(peer: Peer) -> None:
    await peer.head()


async def _begun(peer: Peer) -> None:
    await peer.request()
    peer.say(STREAM)


async def test_a_connection_is_used_again_after_a_whole_answer(transport: Transport) -> None:
    async with serving(answering(length(b"one"), chunked(b"two"))) as server:
        for _ in range(5):
            reply = await ask(transport, server.url)
            await reply.read()
            reply.close()
            reply.close()
        assert len(server.peers) == 1


@pytest.mark.parametrize(
    "answer",
    [
        length(b"x", "Connection: close"),
        length(b"x", "Connection: keep-alive, Close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ],
)
async def test_and_not_after_one_that_says_close(transport: Transport, answer: bytes) -> None:
    async with serving(answering(answer)) as server:
        for number in range(2):
            assert await (await ask(transport, server.url)).read() == b"x"
            assert await (await server.peer(number)).left()
        assert len(server.peers) == 2


async def test_1_0_with_keep_alive(transport: Transport) -> None:
    answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx"
    async with serving(answering(answer)) as server:
        for _ in range(2):
            await (await ask(transport, server.url)).read()
        assert len(server.peers) == 1


async def test_a_reply_that_is_closed_unread_closes_its_connection(transport: Transport) -> None:
    async with serving(_begun) as server:
        for _ in range(2):
            reply = await ask(transport, server.url)
            reply.close()
            reply.close()
            assert await server.peers[-1].left()
        reply = await ask(transport, server.url)
        assert await reply.next_chunk() == b"data: 1\n\n"
        reply.close()
        assert await server.peers[-1].left() and len(server.peers) == 3


@pytest.mark.parametrize("where", ["head", "read", "next"])
async def test_who_is_cancelled_closes_the_connection(transport: Transport, where: str) -> None:
    async def caller(url: str) -> None:
        reply = await ask(transport, url)
        try:
            while True:
                await (reply.read() if where == "read" else reply.next_chunk())
        finally:
            reply.close()

    async with serving(_silent if where == "head" else _begun) as server:
        task = asyncio.create_task(caller(server.url))
        peer = await server.peer(0)
        await peer.head() if where == "head" else None
        for _ in range(20):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await peer.left()


async def test_who_is_cancelled_while_sending_closes_the_connection(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        peer.wire.pause_reading()

    async with serving(script) as server:
        task = asyncio.create_task(ask(transport, server.url, bytes(30_000_000)))
        peer = await server.peer(0)
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        peer.wire.resume_reading()
        assert await peer.left() and len(peer.received) < 30_000_000


async def test_an_early_answer_is_heard_and_ends_the_sending(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        if len(server.peers) > 1:
            await peer.request()
            peer.say(length(b"ok"))
            return
        await peer.head()
        peer.wire.pause_reading()
        peer.say(length(b"too large", status="413 Content Too Large"))
        await asyncio.sleep(1)
        peer.wire.resume_reading()

    async with serving(script) as server:
        reply = await ask(transport, server.url, bytes(50_000_000))
        assert (reply.status, await reply.read()) == (413, b"too large")
        reply.close()
        assert await server.peers[0].left() and len(server.peers[0].received) < 50_000_000
        assert await (await ask(transport, server.url)).read() == b"ok" and len(server.peers) == 2


async def test_an_answer_before_the_end_that_also_says_its_last(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.say(length(b"no", "Connection: close", status="400 Bad Request"))
        if peer.wire.can_write_eof():
            peer.wire.write_eof()

    async with serving(script) as server:
        reply = await ask(transport, server.url, bytes(5_000_000))
        assert (reply.status, await reply.read()) == (400, b"no")
        reply.close()
        assert await server.peers[0].left()


async def test_the_first_byte_is_there_at_once(transport: Transport) -> None:
    more = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        head, end, body = chunked(b"a", b"b").partition(b"\r\n\r\n")
        peer.say(head + end)
        await more.wait()
        peer.say(body[:6])
        more.clear()
        await more.wait()
        peer.say(body[6:])

    async with serving(script) as server:
        async with asyncio.timeout(LONG_S):
            reply = await ask(transport, server.url)
            assert reply.status == 200
            more.set()
            assert await reply.next_chunk() == b"a"
            more.set()
            assert await reply.next_chunk() == b"b" and await reply.next_chunk() == b""


async def test_a_slow_reader_holds_the_server_back(transport: Transport) -> None:
    piece = bytes(2**16)
    total = 64 * 2**20
    said = 0

    async def script(peer: Peer) -> None:
        nonlocal said
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while said < total:
            peer.say(piece)
            said += len(piece)
            await peer.drained()

    async with serving(script) as server:
        reply = await ask(transport, server.url)
        before = -1
        async with asyncio.timeout(LONG_S):
            while said != before:
                before = said
                await asyncio.sleep(0.3)
        assert said < 24 * 2**20, "what the system holds for both sides, and a quarter of a megabyte"
        got = largest = 0
        while part := await reply.next_chunk():
            got += len(part)
            largest = max(largest, len(part))
        assert got == total and largest <= 2**20


async def test_a_pause_by_the_reader_is_no_silence_of_the_server(transport: Transport) -> None:
    async with serving(answering(length(bytes(8 * 2**20)))) as server:
        reply = await ask(transport, server.url, timeouts=Timeouts(5.0, 1.0))
        await asyncio.sleep(2.5)
        got = 0
        while part := await reply.next_chunk():
            got += len(part)
        assert got == 8 * 2**20


async def test_closed_twice_and_opened_again(transport: Transport) -> None:
    await transport.close()
    async with serving(answering(length(b"ok"))) as server:
        await (await ask(transport, server.url)).read()
        await transport.close()
        await transport.close()
        assert await server.peers[0].left()
        assert await (await ask(transport, server.url)).read() == b"ok" and len(server.peers) == 2


async def test_closing_breaks_what_runs(transport: Transport) -> None:
    async with serving(_silent) as server:
        task = asyncio.create_task(ask(transport, server.url, timeouts=Timeouts(5.0, 1.0)))
        peer = await server.peer(0)
        await peer.head()
        await transport.close()
        with pytest.raises(TransportError):
            await task
        assert await peer.left()


async def test_a_kept_connection_that_closes_is_not_used(transport: Transport) -> None:
    async with serving(answering(length(b"ok"), end=True)) as server:
        for number in range(3):
            assert await (await ask(transport, server.url)).read() == b"ok"
            assert await server.peers[number].left()
        assert len(server.peers) == 3


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_the_race_of_keep_alive_is_tried_once_more(transport: Transport, how: str) -> None:
    server: RawServer

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(length(b"ok"))
        if len(server.peers) == 1:
            await peer.request()
            peer.end() if how == "end" else peer.wire.abort()

    async def turn() -> None:
        nonlocal server
        async with serving(script) as server:
            await (await ask(transport, server.url)).read()
            assert await (await ask(transport, server.url)).read() == b"ok" and len(server.peers) == 2

    await within_the_window(turn)


async def test_a_late_loss_is_not_tried_again(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(length(b"ok"))
        await peer.request()
        await asyncio.sleep(0.5)
        peer.end()

    async with serving(script) as server:
        await (await ask(transport, server.url)).read()
        with pytest.raises(Broken):
            await ask(transport, server.url)
        assert len(server.peers) == 1
