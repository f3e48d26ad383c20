"""How the fake sends: HTTP framing by hand, so that pauses, splits, cuts and endless silence can be placed anywhere."""

import asyncio
import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from behaviour import Behaviour

_TICK_S = 0.005


class Gone(Exception):
    """The client has closed the connection."""


class Cut(Exception):
    """The script says that the connection breaks here."""


class Sender:
    """Writes one reply on a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behaviour: Behaviour) -> None:
        self._reader = reader
        self._writer = writer
        self._behaviour = behaviour
        self._sent = 0

    def gone(self) -> bool:
        """Whether the client has closed its side."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def pause(self, seconds: float) -> None:
        """Waits, watching the client. Raises Gone as soon as it leaves."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            if self.gone():
                raise Gone
            left = until - loop.time()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _TICK_S))

    async def hang(self) -> None:
        """Waits until the client leaves. Raises Gone."""
        await self.pause(float("inf"))

    async def plain(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """A whole reply with its length."""
        self._head(status, {"Content-Type": content_type, "Content-Length": str(len(body))})
        if self._behaviour.hang == "first":
            await self.hang()
        await self._raw(body)
        await self._writer.drain()

    async def stream(
        self, frames: Iterable[tuple[str | bytes, bool]], content_type: str = "text/event-stream; charset=utf-8"
    ) -> None:
        """An event stream in HTTP chunks; each frame comes with whether it is content."""
        script = self._behaviour
        self._head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"})
        await self._writer.drain()
        if script.hang == "first":
            await self.hang()
        await self.pause(script.first_delay_s)
        for frame in self._special_frames():
            await self._frame(frame)
        content = 0
        for frame, is_content in frames:
            await self._frame(frame)
            if not is_content:
                continue
            content += 1
            if script.comments:
                await self._frame(": keep-alive\n\n")
            if script.cut_after_chunks == content:
                await self._writer.drain()
                await asyncio.sleep(_TICK_S)  # lets what was written reach the client before the reset does
                raise Cut
            if script.close_after_chunks == content:
                break
            if script.hang == "middle":
                await self.hang()
            await self.pause(script.chunk_delay_s)
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def _special_frames(self) -> list[str]:
        frames = list(self._behaviour.extra)
        if self._behaviour.huge:
            frames.append(f": {'x' * self._behaviour.huge}\n\n")
        if self._behaviour.malformed:
            frames.append('data: {"id":"broken","choices":[{"del\n\n')
        return frames

    async def _frame(self, frame: str | bytes) -> None:
        if self._behaviour.crlf and isinstance(frame, str):
            frame = frame.replace("\n", "\r\n")
        data = frame.encode() if isinstance(frame, str) else frame
        step = self._behaviour.split or len(data) or 1
        for start in range(0, len(data), step):
            part = data[start : start + step]
            room = self._room(len(part))
            part = part[:room]
            if part:
                self._writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await self._writer.drain()
            await self._counted(len(part))
            if self._behaviour.split:
                await asyncio.sleep(0)
        if self.gone():
            raise Gone

    async def _raw(self, data: bytes) -> None:
        step = self._behaviour.split or len(data) or 1
        for start in range(0, len(data), step):
            part = data[start : start + step][: self._room(step)]
            self._writer.write(part)
            await self._counted(len(part))
            if self._behaviour.split:
                await self._writer.drain()
                await asyncio.sleep(0)

    def _room(self, size: int) -> int:
        limit = self._behaviour.cut_after_bytes
        return size if limit is None else max(0, min(size, limit - self._sent))

    async def _counted(self, size: int) -> None:
        self._sent += size
        limit = self._behaviour.cut_after_bytes
        if limit is not None and self._sent >= limit:
            await self._writer.drain()
            await asyncio.sleep(_TICK_S)
            raise Cut

    def _head(self, status: int, headers: dict[str, str]) -> None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Scripted"
        headers = {**headers, **self._behaviour.headers}
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def as_body(value: Any) -> bytes:
    """A scripted body: text as it is, anything else as JSON."""
    return value.encode() if isinstance(value, str) else json.dumps(value, ensure_ascii=False).encode()
