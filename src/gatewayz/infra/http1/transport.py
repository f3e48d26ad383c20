"""The client as a `Transport`: a free connection or a new one, one exchange, and the one retry that keep-alive needs."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from gatewayz.infra.http1.connection import Connection, Unanswered
from gatewayz.infra.http1.dial import Admit, Dialer, LookUp
from gatewayz.infra.http1.pool import Origin, Pool
from gatewayz.infra.http1.reply import Http1Reply
from gatewayz.infra.http1.request import Address, Heads
from gatewayz.infra.http_client import STALE_WINDOW_S, Broken, Reply, Timeouts


class Http1Transport:
    """HTTP/1.1 to any number of hosts: pooled connections, no limit on how many are busy. No proxies, no HTTP/2."""

    def __init__(self, *, look_up: LookUp | None = None, admit: Admit | None = None) -> None:
        """`look_up` stands for the event loop's `getaddrinfo`; `admit` may refuse addresses, see `Dialer`."""
        self._look_up = look_up
        self._admit = admit
        self._heads = Heads()
        self._opened: _Opened | None = None

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Coroutine[Any, Any, Reply]:
        """See `Transport.post`. Raises ValueError for an address or a header that cannot be sent."""
        address = self._heads.address(url)
        return self._exchange(address, self._heads.write(address.post, headers, body), body, timeouts)

    def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Coroutine[Any, Any, Reply]:
        """See `Transport.get`. Raises ValueError for an address or a header that cannot be sent."""
        address = self._heads.address(url)
        return self._exchange(address, self._heads.write(address.get, headers, None), None, timeouts)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Reply:
        """See `Transport.send`: on a fresh connection, since on a used one it could not be known whether it has arrived.

        Raises ValueError as `post`.
        """
        address = self._heads.address(url)
        head = self._heads.write(method + address.post.removeprefix("POST"), headers, body)
        opened = self._open()
        origin = opened.pool.origin(address.scheme, address.host, address.port)
        connection = await opened.connect(origin, timeouts.connect_s)
        await connection.ask(head, body, timeouts, opened.loop.time())
        return Http1Reply(connection)

    async def close(self) -> None:
        """Closes all connections; what runs on them is Broken. May be called twice; a later request opens anew."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.pool.close()
            await opened.dialer.close()

    async def _exchange(self, address: Address, head: bytes, body: bytes | None, timeouts: Timeouts) -> Reply:
        opened = self._opened or self._open()
        origin = opened.pool.origin(address.scheme, address.host, address.port)
        now_s = opened.loop.time()
        connection = opened.pool.take(origin, now_s)
        if connection is not None:
            try:
                await connection.ask(head, body, timeouts, now_s)
                return Http1Reply(connection)
            except Unanswered:
                # The server hung up while the request was on its way. It did so before it saw the request, so the news
                # is here within one round trip; a loss after a longer time is of a request that was being worked on,
                # and to repeat that could cost twice.
                if opened.loop.time() - now_s > STALE_WINDOW_S:
                    raise
        connection = await opened.connect(origin, timeouts.connect_s)
        await connection.ask(head, body, timeouts, opened.loop.time())
        return Http1Reply(connection)

    def _open(self) -> "_Opened":
        if self._opened is None:
            self._opened = _Opened(self._look_up, self._admit)
        return self._opened


class _Opened:
    """What belongs to one event loop, from the first request to `close`."""

    def __init__(self, look_up: LookUp | None, admit: Admit | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.pool = Pool(self.loop)
        self.dialer = Dialer(self.loop, look_up, admit)

    async def connect(self, origin: Origin, within_s: float) -> Connection:
        """A fresh connection, busy from the start. Raises ConnectFailed, Broken."""
        connection = self.pool.new(origin)
        try:
            await self.dialer.connect(origin, lambda: connection, within_s)
        except BaseException:
            connection.drop()
            self.pool.forget(connection)
            raise
        if self.pool.is_closed or not connection.is_usable:
            connection.drop()
            raise Broken("the transport was closed" if self.pool.is_closed else "connection closed before the request")
        return connection
