"""Any split of an answer's bytes gives the same reply, and no bytes at all give anything but a reply or a named fault."""

import asyncio
import gzip
import itertools
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayz.infra.http1.connection import Connection
from gatewayz.infra.http1.reply import Http1Reply
from gatewayz.infra.http_client import Timeouts, TransportError

SSE = b'data: {"a":1}\n\ndata: [DONE]\n\n'
ZIPPED = gzip.compress(SSE * 20)
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nF\r\n" + SSE[:15]
    + b"\r\n%x;x=y\r\n" % len(SSE[15:]) + SSE[15:] + b"\r\n0\r\nX-Trailer: a\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 429 Slow Down\r\nRetry-After: 3\r\nContent-Length: 11\r\n\r\n{\"error\":1}",
    b"HTTP/1.1 200 OK\r\nX-Empty:\r\nDate: now\r\n\r\n" + SSE,
    b"HTTP/1.0 500 No\nContent-Length: 3\n\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED,
    b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
]  # fmt: skip


@dataclass
class Wire:
    """The transport below a connection."""

    written: bytes = b""
    closed: bool = False
    paused: bool = False
    owner: Connection | None = field(default=None, repr=False)

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        if not self.closed and self.owner is not None:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.owner.connection_lost, None)

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


Outcome = tuple[int, dict[str, str], bytes, bool] | type[TransportError]


async def heard(pieces: list[bytes], *, chunks: bool) -> Outcome:
    """What a caller gets if these pieces come and then the end of the connection."""
    freed: list[Connection] = []
    connection = Connection(asyncio.get_running_loop(), freed.append, lambda _: None)
    wire = Wire(owner=connection)
    connection.connection_made(wire)  # type: ignore[arg-type]

    async def server() -> None:
        for piece in pieces:
            await asyncio.sleep(0)
            while wire.paused:
                await asyncio.sleep(0)
            if not wire.closed:
                connection.data_received(piece)
        await asyncio.sleep(0)
        if not wire.closed:
            connection.eof_received()
            wire.abort()

    task = asyncio.create_task(server())
    try:
        async with asyncio.timeout(20):
            await connection.ask(b"GET", None, Timeouts(1.0, 10.0), 0.0)
            reply = Http1Reply(connection)
            parts = []
            while part := await (reply.next_chunk() if chunks else reply.read()):
                parts.append(part)
            return reply.status, dict(reply.headers), b"".join(parts), bool(freed)
    except TransportError as error:
        return type(error)
    finally:
        connection.drop()
        await task


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 2000), max_size=12), st.booleans())
def test_any_split_gives_the_same_reply(answer: bytes, cuts: list[int], chunks: bool) -> None:
    whole = asyncio.run(heard([answer], chunks=False))
    assert isinstance(whole, tuple)
    found = asyncio.run(heard(split(answer, cuts), chunks=chunks))
    assert isinstance(found, tuple) and found[:3] == whole[:3]


def test_byte_by_byte() -> None:
    for answer in ANSWERS:
        whole = asyncio.run(heard([answer], chunks=False))
        assert whole[:3] == asyncio.run(heard([bytes([each]) for each in answer], chunks=True))[:3]  # type: ignore[index]
    assert asyncio.run(heard([ANSWERS[0]], chunks=True))[2:] == (SSE, True)  # type: ignore[index]
    assert asyncio.run(heard([ANSWERS[4]], chunks=False))[2:] == (SSE * 20, True)  # type: ignore[index]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4), st.booleans())
def test_any_bytes_give_a_reply_or_a_named_fault(data: bytes, cuts: list[int], chunks: bool) -> None:
    outcome = asyncio.run(heard(split(data, cuts) or [b""], chunks=chunks))
    assert isinstance(outcome, tuple) or issubclass(outcome, TransportError)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ANSWERS), st.data())
def test_so_do_answers_with_a_flaw(answer: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(answer) - 1))
    flaw = data.draw(st.binary(max_size=6))
    gone = data.draw(st.integers(0, 6))
    pieces = split(
        answer[:place] + flaw + answer[place + gone :], data.draw(st.lists(st.integers(0, 2000), max_size=3))
    )
    outcome = asyncio.run(heard(pieces, chunks=data.draw(st.booleans())))
    assert isinstance(outcome, tuple) or issubclass(outcome, TransportError)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([ANSWERS[0], ANSWERS[1], ANSWERS[4]]), st.integers(1, 2000))
def test_an_answer_that_is_cut_is_never_taken_for_whole(answer: bytes, cut: int) -> None:
    outcome = asyncio.run(heard([answer[: cut % len(answer)]], chunks=True))
    assert not isinstance(outcome, tuple)
