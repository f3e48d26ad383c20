"""From a host name to an open, verified connection: names, addresses tried in a race, TLS."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohappyeyeballs

from gatewayz.infra.http1.connection import Connection
from gatewayz.infra.http1.pool import Origin
from gatewayz.infra.http_client import ConnectFailed, trust_store

HEAD_START_S = 0.25  # of one address before the next is tried as well
NAMES_KEPT_S = 60.0
_NAMES_KEPT = 1024
# family, type, protocol, canonical name, address
Info = tuple[int, int, int, str, tuple[Any, ...]]
LookUp = Callable[..., Awaitable[Sequence[Any]]]
# Raises TransportError if the host must not be connected to at one of these addresses.
Admit = Callable[[str, Sequence[Info]], None]


class Names:
    """What host names mean, remembered for a minute; askers at the same time share one look-up."""

    def __init__(self, look_up: LookUp) -> None:
        """`look_up` as the event loop's `getaddrinfo`."""
        self._loop = asyncio.get_running_loop()
        self._look_up = look_up
        self._known: dict[tuple[str, int], tuple[float, list[Info]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[Info]]] = {}

    async def find(self, host: str, port: int) -> Sequence[Info]:
        """The addresses of a host, another one first each time. Raises OSError."""
        literal = _literal(host, port)
        if literal is not None:
            return literal
        key = (host, port)
        until_s, infos = self._known.get(key, (0.0, []))
        if self._loop.time() >= until_s:
            task = self._asked.get(key)
            if task is None:
                task = self._asked[key] = asyncio.create_task(self._ask(key))
                task.add_done_callback(lambda done: self._answered(key, done))
            # Who waits may leave; the others, and the thread that asks, go on.
            try:
                infos = await asyncio.shield(task)
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if task.cancelled() and current is not None and not current.cancelling():
                    raise OSError("the look-up was ended") from None
                raise
        found = list(infos)
        if infos:
            infos.append(infos.pop(0))
        return found

    def forget(self, host: str, port: int) -> None:
        """The next asker looks the host up anew: none of its addresses answered."""
        self._known.pop((host, port), None)

    async def close(self) -> None:
        """Ends look-ups."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, key: tuple[str, int]) -> list[Info]:
        host, port = key
        infos: Any = await self._look_up(host, port, type=socket.SOCK_STREAM)
        if not infos:
            raise OSError("no address")
        return list(infos)

    def _answered(self, key: tuple[str, int], task: asyncio.Task[list[Info]]) -> None:
        self._asked.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        if len(self._known) >= _NAMES_KEPT:
            self._known.clear()
        self._known[key] = (self._loop.time() + NAMES_KEPT_S, task.result())


class Dialer:
    """Opens connections."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, look_up: LookUp | None = None, admit: Admit | None = None
    ) -> None:
        """`look_up` stands for the event loop's own. `admit` sees the very addresses that are about to be connected to."""
        self._loop = loop
        self._admit = admit
        self._names = Names(look_up or loop.getaddrinfo)
        self._trust: ssl.SSLContext | None = None

    async def connect(self, origin: Origin, protocol: Callable[[], Connection], within_s: float) -> None:
        """Connects `protocol` with the origin; look-up, TCP and TLS together `within_s`. Raises ConnectFailed."""
        try:
            async with asyncio.timeout(within_s) as limit:
                await self._connect(origin, protocol)
        except TimeoutError as error:
            raise ConnectFailed("connect timeout" if limit.expired() else "TimeoutError") from error
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(f"certificate refused: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise ConnectFailed(f"TLS failed: {error.reason or type(error).__name__}") from error
        except socket.gaierror as error:
            raise ConnectFailed(f"unknown host: {error.strerror}") from error
        except (OSError, UnicodeError, RuntimeError) as error:
            # The resolver says UnicodeError of labels that are too long, uvloop RuntimeError of some failed connects.
            raise ConnectFailed(type(error).__name__) from error

    async def close(self) -> None:
        """Ends look-ups that still run."""
        await self._names.close()

    async def _connect(self, origin: Origin, protocol: Callable[[], Connection]) -> None:
        infos = await self._names.find(origin.host, origin.port)
        if self._admit is not None:
            self._admit(origin.host, infos)
        try:
            opened = await aiohappyeyeballs.start_connection(
                infos, happy_eyeballs_delay=HEAD_START_S, interleave=1, loop=self._loop
            )
        except OSError:
            self._names.forget(origin.host, origin.port)
            raise
        with contextlib.ExitStack() as until_taken:
            until_taken.callback(opened.close)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            secure: dict[str, Any] = {}
            if origin.scheme == "https":
                secure = {"ssl": self._trusted(), "server_hostname": origin.host}
            until_taken.pop_all()
            await self._loop.create_connection(protocol, sock=opened, **secure)

    def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = trust_store()
        return self._trust


def _literal(host: str, port: int) -> list[Info] | None:
    """The address of a host that is one already; asks nobody and does not wait."""
    if not (":" in host or host[-1:].isdigit()):
        return None
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        infos: Any = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror:
        return None
    return list(infos)
