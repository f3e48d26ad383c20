"""What the own client is stricter about than aiohttp, which passes some of this over: no message can be read in two ways."""

import asyncio
import gzip
import tracemalloc

import pytest

from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http_client import Broken, Timeouts, TransportTimeout
from tests.transport.conftest import USUAL, ask, chunks_of, within_the_window
from tests.transport.raw_server import Peer, RawServer, answering, chunked, length, serving

OK = b"HTTP/1.1 200 OK\r\n"
# name: bytes that are refused, though the server keeps the connection open
REFUSED = {
    "a folded header": OK + b"X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc",
    "a blank before the colon": OK + b"Content-Length : 3\r\n\r\nabc",
    "length and chunks": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "another transfer coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked is not last": OK + b"Transfer-Encoding: chunked, identity\r\n\r\nabc",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "an interim answer with a body": b"HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\nabc" + length(b"x"),
    "endlessly interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 4000
    + b"HTTP/1.1 103 Early\r\nX: "
    + b"x" * 70_000
    + b"\r\n\r\n",
    "a status below all": b"HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n",
    "endless trailers": chunked(b"abc", trailers=b"X: y\r\n" * 40_000),
    "a coding nobody asked for": length(b"abc", "Content-Encoding: br"),
    "two codings": length(b"abc", "Content-Encoding: gzip, br"),
    "two lines of codings": length(gzip.compress(b"abc"), "Content-Encoding: gzip", "Content-Encoding: br"),
    "very many headers": OK + b"a:\r\n" * 16_000 + b"Content-Length: 0\r\n\r\n",
    "gzip that ends early": length(gzip.compress(b"abc" * 1000)[:-9], "Content-Encoding: gzip"),
    "bytes behind gzip": length(gzip.compress(b"abc") + b"xyz", "Content-Encoding: gzip"),
    "corrupt gzip": length(b"\x1f\x8b" + b"\x00" * 40, "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_and_never_used_again(http1: Http1Transport, name: str) -> None:
    async with serving(answering(REFUSED[name])) as server:
        for number in range(2):
            with pytest.raises(Broken):
                await chunks_of(await ask(http1, server.url))
            assert await server.peers[number].left()
        assert len(server.peers) == 2


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (OK, b"X: y\r\n"),
        (OK + b"X: ", b"y"),
        (OK, b"a"),
        (b"HTTP/1.1 200 ", b"O"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (chunked(b"abc")[:-2] + b"X: ", b"y"),
        (chunked(b"abc")[:-5] + b"3;", b"x"),
    ],
    ids=["head", "value", "name", "reason", "interim", "trailer", "chunk extension"],
)
async def test_framing_without_an_end_is_given_up_soon(http1: Http1Transport, first: bytes, again: bytes) -> None:
    said = 0

    async def script(peer: Peer) -> None:
        nonlocal said
        await peer.request()
        peer.say(first)
        while True:
            peer.say(again * (4096 // len(again)))
            said += 4096
            await peer.drained()

    async with serving(script) as server:
        with pytest.raises(Broken):
            async with asyncio.timeout(20):
                await chunks_of(await ask(http1, server.url))
        assert await server.peers[0].left() and said < 12 * 2**20, "what the system holds for both sides, and 64 KiB"


@pytest.mark.parametrize("behind", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", b"x", length(b"")])
@pytest.mark.parametrize("when", ["same read", "later", "idle"])
async def test_bytes_behind_an_answer_end_the_connection(http1: Http1Transport, behind: bytes, when: str) -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if len(server.peers) > 1 or when == "same read":
            peer.say(length(b"true") + (behind if len(server.peers) == 1 else b""))
            return
        peer.say(length(b"true"))
        await go.wait()
        peer.say(behind)

    async with serving(script) as server:
        reply = await ask(http1, server.url)
        if when == "later":
            go.set()
            await asyncio.sleep(0.1)
        assert await reply.read() == b"true"
        go.set()
        assert await server.peers[0].left()
        assert await (await ask(http1, server.url)).read() == b"true" and len(server.peers) == 2


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_a_body_where_none_may_be_is_not_read(http1: Http1Transport, status: str) -> None:
    async with serving(answering(length(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", status=status))) as server:
        for number in range(2):
            assert await (await ask(http1, server.url)).read() == b""
            assert await server.peers[number].left()


async def test_a_server_that_speaks_first_is_not_spoken_to(http1: Http1Transport) -> None:
    async def script(peer: Peer) -> None:
        peer.say(b"220 mail.example ESMTP\r\n")

    async with serving(script) as server:
        with pytest.raises(Broken):
            await ask(http1, server.url)
        assert await server.peers[0].left()


async def test_a_small_bomb_takes_no_memory(http1: Http1Transport) -> None:
    bomb = gzip.compress(bytes(48 * 2**20))
    async with serving(answering(length(bomb, "Content-Encoding: gzip"))) as server:
        reply = await ask(http1, server.url)
        tracemalloc.start()
        try:
            got = 0
            while part := await reply.next_chunk():
                got += len(part)
                assert len(part) <= 2**18
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert got == 48 * 2**20 and peak < 4 * 2**20


async def test_content_in_several_gzip_members(http1: Http1Transport) -> None:
    answer = length(gzip.compress(b"one ") + gzip.compress(b"two"), "Content-Encoding: gzip")
    async with serving(answering(answer)) as server:
        assert await (await ask(http1, server.url)).read() == b"one two"
        assert await chunks_of(await ask(http1, server.url)) == b"one two" and len(server.peers) == 1


async def test_compressed_pieces_are_given_on_at_once(http1: Http1Transport) -> None:
    import zlib

    machine = zlib.compressobj(wbits=31)
    first = machine.compress(b"data: 1\n\n") + machine.flush(zlib.Z_SYNC_FLUSH)
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(chunked(first, headers="Content-Encoding: gzip\r\n")[:-5])
        await go.wait()
        rest = machine.compress(b"data: 2\n\n") + machine.flush()
        peer.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))

    async with serving(script) as server:
        async with asyncio.timeout(20):
            reply = await ask(http1, server.url)
            assert await reply.next_chunk() == b"data: 1\n\n"
            go.set()
            assert await reply.next_chunk() == b"data: 2\n\n" and await reply.next_chunk() == b""


async def test_a_fresh_connection_that_fails_is_not_tried_again(http1: Http1Transport) -> None:
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        await peer.request()
        asked += 1
        peer.end()

    async with serving(script) as server:
        with pytest.raises(Broken):
            await ask(http1, server.url)
        assert asked == 1 and len(server.peers) == 1


async def test_the_race_is_lost_only_once(http1: Http1Transport) -> None:
    """Two free connections, both about to be closed: the second try takes neither of them."""
    server: RawServer

    async def script(peer: Peer) -> None:
        await peer.request()
        while len(server.peers) < 2:
            await asyncio.sleep(0.005)
        peer.say(length(b"ok"))
        if len(server.peers) > 2:
            return
        await peer.request()
        peer.end()

    async def turn() -> None:
        nonlocal server
        async with serving(script) as server:
            replies = await asyncio.gather(ask(http1, server.url), ask(http1, server.url))
            assert [await reply.read() for reply in replies] == [b"ok", b"ok"] and len(server.peers) == 2
            assert await (await ask(http1, server.url)).read() == b"ok" and len(server.peers) == 3
            assert sum(peer.gone.is_set() for peer in server.peers) == 1

    await within_the_window(turn)


async def test_a_get_is_tried_again_as_well(http1: Http1Transport) -> None:
    server: RawServer

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(length(b"ok"))
        if len(server.peers) == 1:
            await peer.request()
            peer.end()

    async def turn() -> None:
        nonlocal server
        async with serving(script) as server:
            for _ in range(2):
                assert await (await http1.get(server.url, {}, USUAL)).read() == b"ok"
            assert len(server.peers) == 2

    await within_the_window(turn)


async def test_closed_replies_say_so_and_read_ones_are_at_their_end(http1: Http1Transport) -> None:
    async with serving(answering(length(b"ok"))) as server:
        reply = await ask(http1, server.url)
        reply.close()
        for read in (reply.read, reply.next_chunk):
            with pytest.raises(Broken):
                await read()
        reply = await ask(http1, server.url)
        assert (await reply.read(), await reply.read(), await reply.next_chunk()) == (b"ok", b"", b"")


async def test_an_idle_limit_is_late_by_a_tick_at_most(http1: Http1Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    loop = asyncio.get_running_loop()
    async with serving(script) as server:
        started_s = loop.time()
        with pytest.raises(Exception, match="idle timeout"):
            await ask(http1, server.url, timeouts=Timeouts(5.0, 0.3))
        assert 0.3 <= loop.time() - started_s < 5


async def test_a_loss_after_the_first_byte_is_not_tried_again(http1: Http1Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(length(b"ok"))
        await peer.request()
        peer.say(b"H")
        peer.end()

    async with serving(script) as server:
        await (await ask(http1, server.url)).read()
        with pytest.raises(Broken):
            await ask(http1, server.url, timeouts=USUAL)
        assert len(server.peers) == 1


async def test_a_large_body_does_not_pile_up(http1: Http1Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.wire.pause_reading()

    async with serving(script) as server:
        task = asyncio.create_task(ask(http1, server.url, bytes(40_000_000)))
        await (await server.peer(0)).head()
        await asyncio.sleep(0.3)
        (connection,) = http1._opened.pool._all  # type: ignore[union-attr]
        assert connection._write_paused and connection._transport.get_write_buffer_size() < 2**20
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.peers[0].wire.resume_reading()
        assert await server.peers[0].left()


async def test_a_server_that_stops_reading_is_silent_too(http1: Http1Transport) -> None:
    async def script(peer: Peer) -> None:
        peer.wire.pause_reading()

    async with serving(script) as server:
        with pytest.raises(TransportTimeout):
            await ask(http1, server.url, bytes(40_000_000), Timeouts(5.0, 0.5))
        server.peers[0].wire.resume_reading()
        assert await server.peers[0].left()


async def test_what_must_not_be_done_twice_is_sent_on_a_fresh_connection_once(http1: Http1Transport) -> None:
    lines: list[bytes] = []

    async def script(peer: Peer) -> None:
        lines.append((await peer.request()).split(b"\r\n")[0])
        if len(lines) == 2:
            peer.end()
            return
        peer.say(length(b"ok"))
        await peer.request()
        lines.append(b"again")
        peer.end()

    async with serving(script) as server:
        assert await (await http1.get(server.url, {}, USUAL)).read() == b"ok"  # a connection that might be used again
        with pytest.raises(Broken):
            await http1.send("PUT", server.url, {"A": "b"}, b"{}", USUAL)
        assert [line.split()[0] for line in lines] == [b"GET", b"PUT"] and len(server.peers) == 2
