"""The protocol of the server over real sockets: one application, asked in every way a client may, well or badly."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn

from gatewayz.infra.http_server import MAX_HEAD_BYTES, Names, Protocol
from gatewayz.worker import bind

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_clients: list[asyncio.StreamWriter] = []


@asynccontextmanager
async def serving(app: App, **options: Any) -> AsyncIterator[int]:
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        app, loop="asyncio", http=Protocol, ws="none", lifespan="off", access_log=False, server_header=False,
        log_level="critical", timeout_graceful_shutdown=2, **options,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        while _clients:
            writer = _clients.pop()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message["body"]
        if not message["more_body"]:
            return body


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answers with what it understood, in the way that the path asks for."""
    body = await whole(receive)
    told = (
        f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {scope['http_version']}|".encode() + body
    )
    headers = [(b"Content-Type", b"text/plain"), (b"x-request-id", b"abc")]
    way = scope["path"]
    if way == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, len(told), 7):
            await send({"type": "http.response.body", "body": told[at : at + 7], "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif way == "/empty-first":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": told})
    elif way == "/unframed":
        await send({"type": "http.response.start", "status": 203, "headers": headers})
        await send({"type": "http.response.body", "body": told})
    elif way == "/nothing":
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
    elif way == "/parts":
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*headers, (b"content-length", b"%d" % len(told))],
            }
        )
        await send({"type": "http.response.body", "body": told[:5], "more_body": True})
        await send({"type": "http.response.body", "body": told[5:]})
    else:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(told)), *headers],
            }
        )
        await send({"type": "http.response.body", "body": told})


def request(path: str, body: bytes = b"", method: str = "POST", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


async def answer(reader: asyncio.StreamReader, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head[:-4].split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines), "a header was sent twice"
    status = int(first.split()[1])
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    elif method == "HEAD" or status == 204:
        body = b""
    else:
        body = await reader.readexactly(int(headers["content-length"]))
    return status, headers, body


async def on(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _clients.append(writer)
    writer.write(data)
    return reader, writer


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the server closes."""
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("path", ["/", "/stream", "/empty-first", "/unframed", "/parts"])
async def test_every_way_of_answering_keeps_the_connection(path: str) -> None:
    async with serving(echo) as port:
        reader, writer = await on(port, request(path + "?a=1", b"hello"))
        for _ in range(3):
            status, headers, body = await answer(reader)
            assert (status, body) == (203 if path == "/unframed" else 200, f"POST {path} a=1 1.1|hello".encode())
            assert headers["content-type"] == "text/plain" and headers["x-request-id"] == "abc" and "date" in headers
            assert ("content-length" in headers) != ("transfer-encoding" in headers)
            writer.write(request(path + "?a=1", b"hello"))


async def test_an_answer_leaves_in_one_piece() -> None:
    async with serving(echo) as port:
        reader, _ = await on(port, request("/", b"x" * 300))
        first = await reader.read(65_536)
        assert first.endswith(b"x" * 300) and first.count(b"\r\n\r\n") == 1


async def test_methods_without_a_body_of_the_answer() -> None:
    async with serving(echo) as port:
        reader, _ = await on(port, request("/", method="HEAD") + request("/nothing") + request("/", b"z"))
        status, headers, _ = await answer(reader, "HEAD")
        assert status == 200 and int(headers["content-length"]) == len("HEAD /  1.1|")
        assert (await answer(reader))[0] == 204
        assert (await answer(reader))[2] == b"POST /  1.1|z"


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with serving(echo) as port:
        reader, _ = await on(port, b"".join(request("/stream" if n % 2 else "/", b"%d" % n) for n in range(20)))
        for n in range(20):
            assert (await answer(reader))[2].endswith(b"|%d" % n)


async def test_any_split_of_the_bytes_is_the_same_request() -> None:
    chunked = (
        b"POST /a%20b?q=%20 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    )
    data = request("http://somewhere/p?q", b"first") + chunked
    rng = random.Random(5)
    async with serving(echo) as port:
        for _ in range(30):
            reader, writer = await on(port, b"")
            at = 0
            while at < len(data):
                step = rng.choice((1, 2, 9, 50))
                writer.write(data[at : at + step])
                await writer.drain()
                await asyncio.sleep(0)
                at += step
            assert (await answer(reader))[2] == b"POST /p q 1.1|first"
            assert (await answer(reader))[2] == b"POST /a b q=%20 1.1|abcdefg"


@pytest.mark.parametrize("version, more", [("1.0", ""), ("1.1", "Connection: close\r\n")])
async def test_a_client_that_wants_no_more_is_let_go(version: str, more: str) -> None:
    async with serving(echo) as port:
        reader, _ = await on(port, request("/", b"bye", more=more).replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        _, headers, body = await answer(reader)
        assert headers["connection"] == "close" and body.endswith(b"|bye")
        assert await closed(reader) == b""


async def test_a_client_that_waits_to_be_told_to_go_on_is_told() -> None:
    async with serving(echo) as port:
        data = request("/", b"later", more="Expect: 100-continue\r\n")
        reader, writer = await on(port, data[:-5])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"later")
        assert (await answer(reader))[2].endswith(b"|later")


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-a", b"one\r\nset-cookie: mine")],
        [(b"x-a", b"one\nset-cookie: mine")],
        [(b"x-a", b"one"), (b"x-b", b"two\r"), (b"x-c", b"three")],
        [(b"x-a", b"nul\0")],
        [(b"x-a: b\r\nx-c", b"one")],
        [(b"x a", b"one")],
    ],
)
async def test_no_header_of_an_answer_smuggles_another(headers: list[tuple[bytes, bytes]]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, (b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as port:
        reader, _ = await on(port, request("/"))
        sent = await closed(reader)
        assert b"200 OK" not in sent and b"set-cookie" not in sent and b"x-c: one" not in sent


@pytest.mark.parametrize("length, parts", [(3, [b"four"]), (5, [b"four"]), (5, [b"fo", b"ur"]), (3, [b"fo", b"ur"])])
async def test_a_body_that_is_not_as_long_as_promised_ends_the_connection(length: int, parts: list[bytes]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % length)]})
        for at, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": at + 1 < len(parts)})

    async with serving(app) as port:
        reader, _ = await on(port, request("/") + request("/"))
        assert (await closed(reader)).count(b"HTTP/1.1 200") <= 1


async def test_an_application_that_fails_is_told_apart_from_one_that_answers() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/begun":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        raise ValueError

    async with serving(app) as port:
        for path, expected in (("/", b"HTTP/1.1 500"), ("/begun", b"")):
            reader, _ = await on(port, request(path))
            sent = await closed(reader)
            assert sent.startswith(expected) and b" 200 " not in sent


async def test_the_application_hears_that_its_client_left() -> None:
    left = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await whole(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"nobody"})
        left.set()

    async with serving(app) as port:
        reader, writer = await on(port, request("/"))
        await reader.readuntil(b"first")
        writer.close()
        await asyncio.wait_for(left.wait(), 5)


async def test_a_slow_reader_holds_its_stream_back() -> None:
    written = 0

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(400):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            written += 1
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as port:
        reader, _ = await on(port, request("/"))
        await asyncio.sleep(0.3)
        assert 0 < written < 400
        _, _, body = await answer(reader)
        assert len(body) == 40_000_000


async def test_a_head_without_end_is_refused() -> None:
    async with serving(echo) as port:
        reader, writer = await on(port, b"POST / HTTP/1.1\r\n")
        sent = 0
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"x-more: " + b"y" * 1_000 + b"\r\n")
                sent += 1_010
                await writer.drain()
                await asyncio.sleep(0.002)
        assert sent < 30 * MAX_HEAD_BYTES

    async with serving(echo) as port:
        reader, writer = await on(port, b"POST /" + b"a" * (MAX_HEAD_BYTES + 100))
        status, headers, body = await answer(reader)
        assert status == 431 and b'"headers_too_large"' in body and headers["connection"] == "close"
        assert await closed(reader) == b""


async def test_a_large_head_within_the_bound_and_bodies_beyond_it_are_taken() -> None:
    async with serving(echo) as port:
        more = "".join(f"x-{n}: {'v' * 1_000}\r\n" for n in range(50))
        reader, writer = await on(port, request("/", b"b" * 500_000, more=more))
        for _ in range(2):
            assert len((await answer(reader))[2]) == len("POST /  1.1|") + 500_000
            writer.write(request("/", b"b" * 500_000, more=more))


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome", request("/", b"whole")],
    ids=["nothing", "half a head", "half a body", "a whole request"],
)
async def test_a_client_that_falls_silent_is_let_go(begun: bytes) -> None:
    async with serving(echo, timeout_keep_alive=0.2) as port:
        reader, _ = await on(port, begun)
        sent = await closed(reader)
        assert (b"|whole" in sent) == begun.endswith(b"whole")


async def test_a_head_that_drips_does_not_hold_a_connection() -> None:
    async with serving(echo, timeout_keep_alive=0.3) as port:
        reader, writer = await on(port, b"POST / HTTP/1.1\r\n")
        gone = asyncio.create_task(closed(reader))
        for _ in range(60):
            writer.write(b"a: b\r\n")
            await asyncio.sleep(0.05)
            if gone.done():
                break
        assert gone.done()
        await gone


async def test_silence_while_an_answer_is_worked_on_is_no_offence() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await whole(receive)
        await asyncio.sleep(0.7)
        await echo(scope, receive_nothing, send)

    async def receive_nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async with serving(app, timeout_keep_alive=0.2) as port:
        reader, writer = await on(port, request("/"))
        assert (await answer(reader))[0] == 200
        # The time begins with the end of the answer.
        await asyncio.sleep(0.1)
        writer.write(request("/"))
        assert (await answer(reader))[0] == 200


async def test_a_body_that_drips_is_waited_for() -> None:
    async with serving(echo, timeout_keep_alive=0.4) as port:
        reader, writer = await on(port, request("/", b"12345678")[:-8])
        for byte in b"12345678":
            await asyncio.sleep(0.1)
            writer.write(bytes([byte]))
        assert (await answer(reader))[2].endswith(b"|12345678")


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)
async def test_garbage_is_refused(garbage: bytes) -> None:
    async with serving(echo) as port:
        reader, _ = await on(port, garbage)
        assert re.match(rb"HTTP/1.1 400 ", await closed(reader))


async def test_what_is_under_way_is_finished_at_the_end() -> None:
    begun = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await whole(receive)
        begun.set()
        await asyncio.sleep(0.3)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    async with serving(app) as port:
        reader, writer = await on(port, request("/"))
        idle, _ = await on(port, b"")
        await begun.wait()
    _, _, body = await answer(reader)
    assert body == b"done"
    assert await closed(reader) == b"" and await closed(idle) == b""
    writer.close()


def test_names_are_kept_up_to_a_bound() -> None:
    names = Names()
    assert names.lines([(b"X-One", b"1"), (b"x-two", b"a\tb")]) == b"x-one: 1\r\nx-two: a\tb"
    assert all(names.lines([(b"n-%d" % n, b"v")]) for n in range(1_000))
    assert not all(names.lines([(b"m-%d" % n, b"v")]) for n in range(100))
    assert names.lines([(b"x-two", b"still")]) == b"x-two: still"
    for own in (b"Connection", b"transfer-encoding"):
        assert Names().lines([(own, b"close")]) is None
