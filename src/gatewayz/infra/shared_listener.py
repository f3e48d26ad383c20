"""One listening socket for several workers: connections are divided evenly, and only workers with a seat take any.

Left to the system, a new connection goes to whichever worker wakes first. Where they come one by one that is mostly the same
one: of forty that came 50 ms apart one worker of two got 38, on a core of its own each. Connections to a gateway are kept
for long, so it stays so when they get busy, and the other core has nothing to do.
"""

import asyncio
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
import uvloop

from gatewayz.infra.seats import Seats

log = structlog.get_logger(__name__)

# Set by the process that starts the workers: number of seats, colon, path of their file.
SEATS_VARIABLE = "GATEWAYZ_SEATS"
# Steps between looking at the others' connections; a worker in the middle of its work takes a few of them.
_STEP_S = 0.001
# A worker that has fewer connections and does not come for more is stuck or gone.
_PATIENCE_S = 0.01
_AT_ONCE = 16
_NO_FILES_PAUSE_S = 1.0

Factory = Callable[[], Any]


class SharedListener:
    """Accepts connections for one worker. Has what a server needs of `asyncio.Server`: close, wait_closed, sockets."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket, factory: Factory, seats: Seats
    ) -> None:
        """`factory` makes the protocol of a connection, which has an attribute `on_lost` for a callback without arguments."""
        self.sockets = (listener,)
        self._loop = loop
        self._listener = listener
        self._factory = factory
        self._seats = seats
        self._closed = False
        self._watching = False
        self._stands_back_since: float | None = None
        self._step: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._queue = select.poll()
        self._queue.register(listener, select.POLLIN)

    def start(self) -> None:
        """Begins to accept, now or when a seat is free."""
        self._listener.setblocking(False)
        if self._seats.take():
            self._watch()
        else:
            self._seats.wait(self._wake)

    def close(self) -> None:
        """Accepts nothing more and gives the seat up. May be called twice."""
        self._closed = True
        self._look_away()
        self._seats.leave()

    async def wait_closed(self) -> None:
        """Returns when connections that were being opened are."""
        while self._opening:
            await asyncio.wait(self._opening)

    def _wake(self) -> None:
        """In the thread that waited for the seat."""
        try:
            self._loop.call_soon_threadsafe(self._seated)
        except RuntimeError:  # the loop has ended meanwhile, and with it this worker
            self._seats.leave()

    def _seated(self) -> None:
        if self._closed:
            self._seats.leave()
        else:
            self._watch()

    def _watch(self) -> None:
        if not self._closed and not self._watching:
            self._loop.add_reader(self._listener.fileno(), self._accept)
            self._watching = True

    def _look_away(self) -> None:
        if self._watching:
            self._loop.remove_reader(self._listener.fileno())
            self._watching = False

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._may_take():
                self._look_away()
                self._step = self._loop.call_later(_STEP_S, self._look_again)
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                # Usually no more files may be opened. Those who wait are kept in the queue.
                log.error("connection_not_accepted", error=str(error))
                self._look_away()
                self._loop.call_later(_NO_FILES_PAUSE_S, self._watch)
                return
            self._seats.add(1)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        self._watch()

    def _may_take(self) -> bool:
        if self._seats.has_room:
            self._stands_back_since = None
            return True
        now_s = self._loop.time()
        if self._stands_back_since is None:
            self._stands_back_since = now_s
        if now_s - self._stands_back_since < _PATIENCE_S:
            return False
        self._stands_back_since = None
        return True

    def _look_again(self) -> None:
        """After a step back: either another worker has taken what waited, or it is still there."""
        self._step = None
        if self._closed:
            return
        if self._queue.poll(0):
            self._accept()
        else:
            self._stands_back_since = None
            self._watch()

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError as error:  # the client has left already
            self._seats.add(-1)
            connection.close()
            log.debug("connection_lost_at_once", error=str(error))

    def _protocol(self) -> Any:
        protocol = self._factory()
        protocol.on_lost = self._lost
        return protocol

    def _lost(self) -> None:
        self._seats.add(-1)
        if self._step is not None:
            # There is room now: connections of one request each would otherwise wait for steps to end.
            self._step.cancel()
            self._look_again()


class SharingLoop(uvloop.Loop):
    """uvloop's event loop; the server that it makes of a socket shares it with other workers."""

    async def create_server(self, protocol_factory: Any, *places: Any, **options: Any) -> Any:
        """See `asyncio`. A server on a socket that is given is a SharedListener."""
        listener, seats = options.get("sock"), os.environ.get(SEATS_VARIABLE)
        if listener is None or seats is None:
            return await super().create_server(protocol_factory, *places, **options)
        count, _, path = seats.partition(":")
        listener.listen(options.get("backlog", socket.SOMAXCONN))
        server = SharedListener(self, listener, protocol_factory, Seats(Path(path), int(count)))
        server.start()
        return server


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop of a worker among several; uvicorn finds it by this name."""
    return SharingLoop()
