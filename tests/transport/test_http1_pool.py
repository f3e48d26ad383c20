"""Free connections: how many, how long, in which order; names and addresses; what is let go of at the end."""

import asyncio
import socket
from typing import Any

import pytest

from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http1.dial import Names
from gatewayz.infra.http1.pool import MAX_IDLE_PER_ORIGIN, Pool
from gatewayz.infra.http_client import ConnectFailed
from tests.transport.conftest import ask
from tests.transport.raw_server import Peer, answering, length, serving


async def until(what: Any) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.01)


async def held(peer: Peer) -> None:
    """Answers only when as many ask at the same time as the server is told."""
    while True:
        await peer.request()
        await until(lambda: len(peer._server.peers) >= peer._server.wanted)  # type: ignore[attr-defined]
        peer.say(length(b"ok"))


async def asked(http1: Http1Transport, url: str) -> None:
    reply = await ask(http1, url)
    assert await reply.read() == b"ok"


@pytest.mark.parametrize(
    ("header", "limit_s"),
    [
        ("timeout=2", 1.0),
        ("timeout=5, max=100", 4.0),
        ("max=3, Timeout=600", 30.0),
        ("timeout=x", 30.0),
        ("timeout=0", 0.0),
    ],
)
async def test_a_server_may_ask_for_less(http1: Http1Transport, header: str, limit_s: float) -> None:
    async with serving(answering(length(b"ok", f"Keep-Alive: {header}"))) as server:
        await asked(http1, server.url)
        now_s = asyncio.get_running_loop().time()
        if limit_s == 0:
            assert await server.peers[0].left()
            return
        ((connection, _),) = http1._opened.pool._all.items()  # type: ignore[union-attr]
        assert limit_s - 2 < connection.deadline - now_s <= limit_s
        await asked(http1, server.url)
        assert len(server.peers) == 1
        if limit_s == 1.0:
            assert await server.peers[0].left()
            await asked(http1, server.url)
            assert len(server.peers) == 2


async def test_free_connections_are_bounded_and_the_freshest_goes_first(http1: Http1Transport) -> None:
    async with serving(held) as server:
        server.wanted = MAX_IDLE_PER_ORIGIN + 20  # type: ignore[attr-defined]
        await asyncio.gather(*(asked(http1, server.url) for _ in range(server.wanted)))  # type: ignore[attr-defined]
        await until(lambda: sum(peer.gone.is_set() for peer in server.peers) == 20)
        pool = http1._opened.pool  # type: ignore[union-attr]
        (origin,) = pool._origins.values()
        assert len(origin.idle) == MAX_IDLE_PER_ORIGIN == len(pool._all)
        last = origin.idle[-1]
        await asked(http1, server.url)
        assert origin.idle[-1] is last and len(server.peers) == server.wanted  # type: ignore[attr-defined]


async def test_a_free_connection_that_dies_is_forgotten_at_once(http1: Http1Transport) -> None:
    async with serving(answering(length(b"ok"))) as server:
        await asked(http1, server.url)
        server.peers[0].wire.abort()
        pool = http1._opened.pool  # type: ignore[union-attr]
        await until(lambda: not pool._all)
        assert not next(iter(pool._origins.values())).idle


async def test_nothing_is_left_behind() -> None:
    http1 = Http1Transport()
    async with serving(answering(length(b"ok"))) as server:
        await asked(http1, server.url)
        pool = http1._opened.pool  # type: ignore[union-attr]
        (connection,) = pool._all
        await http1.close()
        assert not pool._all and pool._timer is None
        assert connection.lost and connection._parser is None, (
            "a parser holds its connection: a cycle for the collector"
        )
        assert await server.peers[0].left()


async def test_origins_are_bounded() -> None:
    pool = Pool(asyncio.get_running_loop())
    for number in range(5000):
        pool.origin("http", "h", number)
    assert len(pool._origins) <= 1024


async def test_closing_while_connecting(http1: Http1Transport) -> None:
    async with serving(answering(length(b"ok"))) as server:
        task = asyncio.create_task(ask(http1, server.url))
        await asyncio.sleep(0)
        await http1.close()
        with pytest.raises(Exception, match="closed"):
            await task


async def test_every_address_of_a_name_is_tried() -> None:
    async with serving(answering(length(b"ok"))) as server:
        with socket.socket() as refusing:
            refusing.bind(("127.0.0.2", 0))
            asked_names = 0

            async def look_up(host: str, port: int, **_: Any) -> list[Any]:
                nonlocal asked_names
                asked_names += 1
                await asyncio.sleep(0.01)
                infos: list[Any] = []
                for address in ("127.0.0.2", "127.0.0.1"):
                    infos += socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
                return infos

            http1 = Http1Transport(look_up=look_up)
            server.host = "api.example"
            await asyncio.gather(*(asked(http1, server.url) for _ in range(5)))
            assert asked_names == 1, "askers at the same time share one look-up, and its answer is kept"
            await http1.close()


async def test_names_that_lead_nowhere_are_asked_anew() -> None:
    asked_names = 0

    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        nonlocal asked_names
        asked_names += 1
        if asked_names == 1:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return socket.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_STREAM)

    http1 = Http1Transport(look_up=look_up)
    for expected in ("unknown host", "Refused", "Refused"):
        with pytest.raises(ConnectFailed, match=expected):
            await ask(http1, "http://api.example:1/")
    assert asked_names == 3
    await http1.close()


async def test_who_waits_for_a_name_may_leave() -> None:
    go = asyncio.Event()

    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        await go.wait()
        return socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)

    names = Names(look_up)
    first, second = (asyncio.create_task(names.find("api.example", 80)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert [info[4] for info in await second] == [("127.0.0.1", 80)]
    third = asyncio.create_task(names.find("other.example", 80))
    go.clear()
    await asyncio.sleep(0.01)
    await names.close()
    with pytest.raises(OSError, match="ended"):
        await third


async def test_names_are_bounded_and_literals_are_not_looked_up() -> None:
    async def look_up(host: str, port: int, **_: Any) -> list[Any]:
        return socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)

    names = Names(look_up)
    for number in range(2000):
        await names.find(f"h{number}.example", 80)
    assert len(names._known) <= 1024
    known = len(names._known)
    for literal in ("127.0.0.1", "::1"):
        assert (await names.find(literal, 80))[0][4][0] == literal and len(names._known) == known
