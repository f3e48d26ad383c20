"""What is asked and what is answered: every kind of body and every kind of breakage, for both clients alike."""

import asyncio
import gzip
import zlib

import pytest

from gatewayz.infra.http_client import Broken, ConnectFailed, Timeouts, Transport, TransportError, TransportTimeout
from tests.transport.conftest import SECRET, USUAL, ask, chunks_of
from tests.transport.raw_server import Peer, answering, chunked, length, serving

TEXT = b"Gr\xc3\xbc\xc3\x9fe, " * 400
RAW = zlib.compressobj(wbits=-15)
BARE_DEFLATE = RAW.compress(TEXT) + RAW.flush()
CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"

# name: (bytes, status, body, whether the server closes after them)
ANSWERS = {
    "length": (length(TEXT), 200, TEXT, False),
    "nothing": (length(b""), 200, b"", False),
    "chunked": (chunked(TEXT[:7], TEXT[7:]), 200, TEXT, False),
    "no chunks": (chunked(), 200, b"", False),
    "trailers": (chunked(TEXT, trailers=b"X-Sum: 1\r\nX-Other: 2\r\n"), 200, TEXT, False),
    "chunk extensions": (
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c="d"\r\nabc\r\n0\r\n\r\n', 200, b"abc", False,
    ),
    "padded chunk size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3  \r\nabc\r\n0\r\n\r\n", 200, b"abc", False),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", 200, b"abc", False),
    "until close": (CLOSE + TEXT, 200, TEXT, True),
    "empty until close": (CLOSE, 200, b"", True),
    "1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + TEXT, 200, TEXT, True),
    "1.0 with length": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    "no reason": (b"HTTP/1.1 429 \r\nContent-Length: 2\r\n\r\nno", 429, b"no", False),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", False),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", 304, b"", False),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + length(TEXT), 200, TEXT, False),
    "102 and 103 first": (
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + chunked(TEXT), 200, TEXT, False,
    ),
    "gzip": (length(gzip.compress(TEXT), "Content-Encoding: gzip"), 200, TEXT, False),
    "gzip in chunks": (
        chunked(gzip.compress(TEXT)[:9], gzip.compress(TEXT)[9:], headers="Content-Encoding: GZip\r\n"), 200, TEXT, False,
    ),
    "gzip until close": (CLOSE[:-2] + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(TEXT), 200, TEXT, True),
    "gzip of nothing": (length(gzip.compress(b""), "Content-Encoding: gzip"), 200, b"", False),
    "no gzip at all": (length(b"", "Content-Encoding: gzip"), 200, b"", False),
    "deflate": (length(zlib.compress(TEXT), "Content-Encoding: deflate"), 200, TEXT, False),
    "bare deflate": (length(BARE_DEFLATE, "Content-Encoding: deflate"), 200, TEXT, False),
    "identity": (length(TEXT, "Content-Encoding: identity"), 200, TEXT, False),
}  # fmt: skip

BROKEN = {
    "garbage": (b"\x16\x03\x01 this is no HTTP\r\n\r\n", False),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", False),
    "a cut head": (b"HTTP/1.1 200 OK\r\nContent-Le", True),
    "a cut length": (length(b"abc")[:-1], True),
    "a cut chunk": (chunked(b"abc")[:-8], True),
    "no last chunk": (chunked(b"abc")[:-5], True),
    "a chunk without a size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n", False),
    "a chunk longer than said": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", False),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", False),
    "a length that is none": (b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", False),
    "a length below nothing": (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", False),
    "an endless header": (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n", False),
    "corrupt gzip": (length(b"\x1f\x8b" + b"\x00" * 40, "Content-Encoding: gzip"), False),
    "NUL in a value": (b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 3\r\n\r\nabc", False),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_are_read_whole_and_as_they_come(transport: Transport, name: str) -> None:
    data, status, body, closes = ANSWERS[name]
    async with serving(answering(data, end=closes)) as server:
        reply = await ask(transport, server.url)
        assert (reply.status, await reply.read()) == (status, body)
        reply.close()
        reply = await ask(transport, server.url)
        assert (reply.status, await chunks_of(reply)) == (status, body)
        reply.close()


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_that_come_in_small_pieces(transport: Transport, name: str) -> None:
    data, status, body, closes = ANSWERS[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        for start in range(0, len(data), 97):
            peer.say(data[start : start + 97])
            await asyncio.sleep(0)
        if closes:
            peer.end()

    async with serving(script) as server:
        reply = await ask(transport, server.url)
        assert (reply.status, await reply.read()) == (status, body)


@pytest.mark.parametrize("how", ["read", "chunks"])
@pytest.mark.parametrize("name", BROKEN)
async def test_broken_answers_are_named_so(transport: Transport, name: str, how: str) -> None:
    data, closes = BROKEN[name]
    async with serving(answering(data, end=closes)) as server:
        with pytest.raises(Broken) as caught:
            reply = await ask(transport, server.url)
            try:
                await (reply.read() if how == "read" else chunks_of(reply))
            finally:
                reply.close()
        assert SECRET not in str(caught.value)
        if "gzip" not in name:
            assert await server.peers[0].left()


async def test_the_bytes_of_a_request(transport: Transport) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            peer.say(length(b"ok"))

    async with serving(script) as server:
        headers = {
            "Authorization": "Bearer k",
            "X-Request-ID": "r-1",
            "Content-Type": "application/json",
            "X-Name": "Ünal",
        }
        await (await transport.post(server.url, headers, b'{"a":1}', USUAL)).read()
        await (await transport.get(f"http://127.0.0.1:{server.port}", {"Accept": "text/plain"}, USUAL)).read()
        post, get = seen
        head, _, body = post.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert first == "POST /v1/x?key=a%20b HTTP/1.1" and body == b'{"a":1}' and len(fields) == len(lines)
        assert fields["host"] == f"127.0.0.1:{server.port}" and fields["content-length"] == "7"
        assert fields["authorization"] == "Bearer k" and fields["x-request-id"] == "r-1"
        assert fields["user-agent"] == "gatewayz" and fields["accept-encoding"] == "identity"
        assert fields["content-type"] == "application/json" and fields["x-name"] == "Ünal"
        assert get.startswith(b"GET / HTTP/1.1\r\n") and b"\r\nAccept: text/plain\r\n" in get
        assert b"content-length" not in get.lower() and b"transfer-encoding" not in get.lower()
        assert len(server.peers) == 1


async def test_any_method_is_sent(transport: Transport) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        peer.say(length(b"ok"))

    async with serving(script) as server:
        reply = await transport.send("PUT", server.url, {"A": "b"}, b"{}", USUAL)
        assert (reply.status, await reply.read()) == (200, b"ok")
        assert seen[0].startswith(b"PUT /v1/x?key=a%20b HTTP/1.1\r\n") and seen[0].endswith(b"\r\n\r\n{}")


async def test_headers_of_a_reply_in_any_case(transport: Transport) -> None:
    answer = length(
        b"",
        "Retry-After: 3",
        "x-Name:  Gr\xc3\xbc\xc3\x9fe ".encode("latin-1").decode("utf-8"),
        "Set-Cookie: a",
        "Set-Cookie: b",
    )
    async with serving(answering(answer)) as server:
        headers = (await ask(transport, server.url)).headers
        assert headers["retry-AFTER"] == headers.get("Retry-After") == "3" and headers.get("X-Name") == "Grüße"
        assert headers.get("absent") is None and "RETRY-after" in headers and "absent" not in headers
        assert headers["set-cookie"] == "a"
        assert {name.lower() for name, _ in headers.items()} == {
            "retry-after",
            "x-name",
            "set-cookie",
            "content-length",
        }
        with pytest.raises(KeyError):
            headers["absent"]
        with pytest.raises((TypeError, AttributeError)):
            headers["retry-after"] = "4"  # type: ignore[index]


async def test_nobody_listens(transport: Transport) -> None:
    async with serving(answering(b"")) as server:
        url = server.url
    with pytest.raises(ConnectFailed):
        await ask(transport, url)
    with pytest.raises(ConnectFailed):
        await ask(transport, "http://" + "a" * 64 + ".test/")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/a\r\nX: y",
        "http://127.0.0.1:1 /",
        "ftp://127.0.0.1/",
        "127.0.0.1/",
        "http:///x",
        "http://h:99999/",
    ],
)
async def test_addresses_that_are_none(transport: Transport, url: str) -> None:
    with pytest.raises((ValueError, TransportError)):
        await ask(transport, url)


@pytest.mark.parametrize("header", [("X", "a\r\nY: b"), ("X", "a\nb"), ("X", "a\0b"), ("X\r\nY", "a")])
async def test_headers_cannot_break_out(transport: Transport, header: tuple[str, str]) -> None:
    async with serving(answering(length(b""))) as server:
        with pytest.raises(ValueError):
            await transport.post(server.url, dict([header]), b"", USUAL)
        assert all(not peer.received for peer in server.peers)


async def test_many_at_once_get_each_their_own(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await asyncio.sleep(0)
            peer.say(length(request.partition(b"\r\n\r\n")[2]))

    async def one(url: str, number: int) -> bool:
        reply = await ask(transport, url, b"%d" % number)
        return await reply.read() == b"%d" % number

    async with serving(script) as server:
        for _ in range(3):
            assert all(await asyncio.gather(*(one(server.url, number) for number in range(100))))
        assert len(server.peers) <= 100


@pytest.mark.parametrize("size", [70_000, 900_000, 12_000_000])
async def test_large_bodies_arrive_whole(transport: Transport, size: int) -> None:
    body = bytes(range(256)) * (size // 256)
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        peer.say(length(b"ok"))
        await peer.request()
        peer.say(length(b"again"))

    async with serving(script) as server:
        assert await (await ask(transport, server.url, body)).read() == b"ok"
        assert seen[0].partition(b"\r\n\r\n")[2] == body
        assert await (await ask(transport, server.url)).read() == b"again" and len(server.peers) == 1


async def test_silence_before_and_inside_an_answer(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        if b"/silent" in await peer.head():
            return
        peer.say(chunked(b"abc")[:-5])

    async with serving(script) as server:
        for path in ("/silent", "/later"):
            with pytest.raises(TransportTimeout):
                reply = await ask(transport, server.url.replace("/v1/x", path), timeouts=Timeouts(5.0, 0.4))
                assert await reply.next_chunk() == b"abc"
                await reply.next_chunk()
            if path == "/later":
                reply.close()
        assert all([await peer.left() for peer in server.peers])


async def test_the_first_byte_may_take_longer_than_pauses(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(1.2)
        peer.say(chunked(b"abc")[:-5])

    async with serving(script) as server:
        reply = await ask(transport, server.url, timeouts=Timeouts(5.0, 0.3, 20.0))
        assert await reply.next_chunk() == b"abc"
        with pytest.raises(TransportTimeout):
            async with asyncio.timeout(10):
                await reply.next_chunk()
        reply.close()


async def test_an_answer_read_whole_has_the_longer_limit_throughout(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        data = length(b"abcdef")
        peer.say(data[:-3])
        await asyncio.sleep(1.2)
        peer.say(data[-3:])

    async with serving(script) as server:
        reply = await ask(transport, server.url, timeouts=Timeouts(5.0, 0.3, 20.0))
        assert await reply.read() == b"abcdef"


async def test_an_answer_above_the_limit_is_refused(transport: Transport) -> None:
    body = b"x" * 2**20

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.say(body)
            await peer.drained()

    async with serving(script) as server:
        reply = await ask(transport, server.url)
        with pytest.raises(Broken):
            await reply.read()
        reply.close()
        assert await server.peers[0].left()


async def test_a_small_bomb_is_refused(transport: Transport) -> None:
    bomb = gzip.compress(bytes(80 * 2**20))
    async with serving(answering(length(bomb, "Content-Encoding: gzip"))) as server:
        reply = await ask(transport, server.url)
        with pytest.raises(Broken):
            await reply.read()
        reply.close()
