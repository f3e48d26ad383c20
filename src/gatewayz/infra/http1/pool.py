"""Connections that wait for their next exchange, and the one coarse clock that ends those that waited too long.

Deadlines are attributes of the connections, looked at every `TICK_S`: a limit strikes at most that much late, and never
early. So a request costs no timer.
"""

import asyncio
from dataclasses import dataclass, field

from gatewayz.infra.http1.connection import Connection
from gatewayz.infra.http_client import Broken

TICK_S = 0.25
MAX_IDLE_PER_ORIGIN = 256
_ORIGINS_KEPT = 1024
# `close` waits this many turns of the loop for sockets to be closed; TLS needs two or three.
_TURNS = 50


@dataclass(slots=True, eq=False)
class Origin:
    """Whom connections lead to, and those of them that are free, the freshest last."""

    scheme: str
    host: str
    port: int
    idle: list[Connection] = field(default_factory=list)


class Pool:
    """All connections of one transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._origins: dict[tuple[str, str, int], Origin] = {}
        self._all: dict[Connection, Origin] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.is_closed = False

    def origin(self, scheme: str, host: str, port: int) -> Origin:
        """The one Origin of these three."""
        key = (scheme, host, port)
        found = self._origins.get(key)
        if found is None:
            if len(self._origins) >= _ORIGINS_KEPT:
                used = set(map(id, self._all.values()))
                self._origins = {key: origin for key, origin in self._origins.items() if id(origin) in used}
            found = self._origins[key] = Origin(scheme, host, port)
        return found

    def take(self, origin: Origin, now_s: float) -> Connection | None:
        """A free connection, or None. It is the caller's until it calls `finish` or `drop` on it."""
        idle = origin.idle
        while idle:
            connection = idle.pop()
            if connection.deadline > now_s and connection.is_usable:
                return connection
            connection.drop()
        return None

    def new(self, origin: Origin) -> Connection:
        """A connection for a socket that is about to exist; known here from now on."""
        connection = Connection(self._loop, self._freed, self._lost)
        self._all[connection] = origin
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)
        return connection

    def forget(self, connection: Connection) -> None:
        """For a connection whose socket never came to be."""
        self._lost(connection)

    async def close(self) -> None:
        """Ends all connections, with whatever runs on them. May be called twice."""
        self.is_closed = True
        for connection in list(self._all):
            connection.fail(Broken("the transport was closed"))
        for _ in range(_TURNS):
            if not self._all:
                break
            await asyncio.sleep(0)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _freed(self, connection: Connection) -> None:
        idle = self._all[connection].idle
        if connection.keep_alive_s <= 0:
            connection.drop()
            return
        connection.deadline = self._loop.time() + connection.keep_alive_s
        if len(idle) >= MAX_IDLE_PER_ORIGIN:
            idle.pop(0).drop()
        idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        origin = self._all.pop(connection, None)
        if origin is not None and connection in origin.idle:
            origin.idle.remove(connection)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick) if self._all else None
        now_s = self._loop.time()
        for connection in [connection for connection in self._all if connection.deadline < now_s]:
            connection.expire()
