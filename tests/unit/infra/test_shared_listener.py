"""A listening socket among several workers; the workers are listeners on one loop here, so that every step can be seen."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from gatewayz.infra import shared_listener
from gatewayz.infra.shared_listener import SharedListener
from gatewayz.worker import bind


class Table:
    """The numbers that all workers see."""

    def __init__(self) -> None:
        self.connections: dict[str, int] = {}


class Chair:
    """What `Seats` is to one worker, without processes and files."""

    def __init__(self, table: Table, name: str, *, free: bool = True) -> None:
        self._table, self._name, self._free = table, name, free
        self.got: Callable[[], None] | None = None
        self.left = 0

    def take(self) -> bool:
        if self._free:
            self._table.connections[self._name] = 0
        return self._free

    def wait(self, got: Callable[[], None]) -> None:
        self.got = got

    def sit(self) -> None:
        assert self.got is not None
        self._free = True
        self.take()
        self.got()

    def leave(self) -> None:
        self.left += 1
        self._table.connections.pop(self._name, None)

    def add(self, connections: int) -> None:
        if self._name in self._table.connections:
            self._table.connections[self._name] += connections

    @property
    def has_room(self) -> bool:
        mine = self._table.connections.get(self._name)
        return mine is not None and mine <= min(self._table.connections.values())


class Greeter(asyncio.Protocol):
    """Says the name of its worker."""

    on_lost: Callable[[], None] | None = None

    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: Any) -> None:
        transport.write(self._name.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.on_lost is not None
        self.on_lost()


class Stage:
    def __init__(self) -> None:
        self.socket = bind("127.0.0.1", 0)
        self.socket.listen(256)
        self.table = Table()
        self.workers: list[SharedListener] = []
        self.clients: list[asyncio.StreamWriter] = []

    def worker(self, name: str, *, free: bool = True) -> tuple[SharedListener, Chair]:
        chair = Chair(self.table, name, free=free)
        # Each process has a descriptor of its own.
        listener = SharedListener(asyncio.get_running_loop(), self.socket.dup(), lambda: Greeter(name), chair)  # type: ignore[arg-type]
        self.workers.append(listener)
        listener.start()
        return listener, chair

    async def connect(self) -> str:
        """The name of the worker that took the connection."""
        reader, writer = await asyncio.open_connection(*self.socket.getsockname())
        self.clients.append(writer)
        return (await reader.readexactly(1)).decode()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.close()
            await worker.wait_closed()
            worker.sockets[0].close()
        for client in made.clients:
            client.close()
            with suppress(ConnectionError):
                await client.wait_closed()
        made.socket.close()


async def test_connections_are_divided_evenly() -> None:
    async with stage() as on:
        for name in "abcd":
            on.worker(name)
        took = Counter(await asyncio.gather(*(on.connect() for _ in range(64))))
        assert took == dict.fromkeys("abcd", 16)
        assert on.table.connections == took


async def test_what_leaves_makes_room() -> None:
    async with stage() as on:
        on.worker("a")
        on.worker("b")
        assert sorted([await on.connect() for _ in range(8)]) == [*"aaaabbbb"]
        for client in on.clients:
            client.close()
        async with asyncio.timeout(5):
            while any(on.table.connections.values()):
                await asyncio.sleep(0.005)
        assert sorted([await on.connect() for _ in range(4)]) == [*"aabb"]


async def test_a_worker_that_does_not_come_is_waited_for_only_shortly() -> None:
    async with stage() as on:
        on.worker("a")
        on.table.connections["gone"] = 0  # it has a seat and fewest connections, and takes none
        began = asyncio.get_running_loop().time()
        assert [await on.connect() for _ in range(4)] == [*"aaaa"]
        took_s = asyncio.get_running_loop().time() - began
        assert took_s >= 3 * shared_listener._PATIENCE_S  # the first found both with none
        assert took_s < 2.0


async def test_who_gets_room_while_standing_back_takes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as on:
        on.worker("a")
        assert await on.connect() == "a"
        on.table.connections["slow"] = 0
        monkeypatch.setattr(shared_listener, "_STEP_S", 60.0)
        waiting = asyncio.create_task(on.connect())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        on.clients[0].close()
        assert await asyncio.wait_for(waiting, 5) == "a"


async def test_what_another_has_taken_meanwhile_does_not_wear_patience_out() -> None:
    async with stage() as on:
        on.worker("a")
        on.worker("b")
        took = []
        for _ in range(40):
            took.append(await on.connect())
            await asyncio.sleep(1.5 * shared_listener._PATIENCE_S)
        assert Counter(took) == {"a": 20, "b": 20}


async def test_a_worker_without_a_seat_takes_nothing_until_it_has_one() -> None:
    async with stage() as on:
        first, _ = on.worker("a")
        _, chair = on.worker("b", free=False)
        assert {await on.connect() for _ in range(5)} == {"a"}
        first.close()
        waiting = asyncio.create_task(on.connect())
        await asyncio.sleep(0.05)
        assert not waiting.done()  # it waits in the system's queue, and is not refused
        await asyncio.to_thread(chair.sit)
        assert await asyncio.wait_for(waiting, 5) == "b"


async def test_a_seat_got_after_the_end_is_given_back() -> None:
    async with stage() as on:
        worker, chair = on.worker("a", free=False)
        worker.close()
        worker.close()
        left = chair.left
        await asyncio.to_thread(chair.sit)
        await asyncio.sleep(0.01)
        assert chair.left == left + 1
        assert on.table.connections == {}


async def test_too_many_files_are_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_listener, "_NO_FILES_PAUSE_S", 0.05)
    failures = [OSError(errno.EMFILE, "Too many open files"), ConnectionAbortedError(), BlockingIOError()]
    accept = socket.socket.accept

    def failing(listener: socket.socket) -> Any:
        if failures:
            raise failures.pop(0)
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    async with stage() as on:
        on.worker("a")
        assert await asyncio.wait_for(on.connect(), 5) == "a"
        assert not failures


async def test_a_connection_that_fails_while_it_is_opened_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    open_it, tried = loop.connect_accepted_socket, []

    async def failing(factory: Any, connection: socket.socket, **options: Any) -> Any:
        if not tried:
            tried.append(connection)
            raise OSError(errno.ENOTCONN, "not connected")
        return await open_it(factory, connection, **options)

    monkeypatch.setattr(loop, "connect_accepted_socket", failing)
    async with stage() as on:
        on.worker("a")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await on.connect()
        assert on.table.connections == {"a": 0}
        assert tried[0].fileno() == -1
        assert await on.connect() == "a"
