"""The socket of a connection, and the one task that waits at it."""

import asyncio
from typing import Any


class Wire(asyncio.Protocol):
    """Below a connection: what it is written to, whether more may be written, and who is told of news."""

    __slots__ = ("_loop", "_transport", "_waiter", "_write_paused", "lost")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: Any = None  # an asyncio.Transport once there is one
        self._waiter: asyncio.Future[None] | None = None
        self._write_paused = False
        self.lost = False

    @property
    def is_usable(self) -> bool:
        """Whether the socket is open."""
        return not self.lost and self._transport is not None and not self._transport.is_closing()

    def drop(self) -> None:
        """Closes the socket at once, whatever is still to be read or written. May be called twice."""
        self._abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._write_paused = False
        self._wake()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _news(self) -> None:
        """Waits until something has happened. Cancelled, it closes the connection."""
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        except BaseException:
            self.drop()
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
