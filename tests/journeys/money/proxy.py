"""A way to PostgreSQL that breaks at the worst moment: just before a COMMIT is passed on, or just after."""

import asyncio
import random
import re
from urllib.parse import urlsplit, urlunsplit

from tests.journeys.money.aside import Aside

# A simple query message: its length and text.
_COMMIT = re.compile(rb"Q\x00\x00\x00.COMMIT;?\x00", re.DOTALL)


class CuttingProxy(Aside):
    """Passes bytes on; while `share` is above zero it cuts that share of the connections that commit.

    A commit is withheld (`before`) or passed on without its answer ever coming back (`after`), at random; both are counted.
    """

    def __init__(self, dsn: str, seed: int = 0) -> None:
        super().__init__()
        self.share = 0.0
        self.before = 0
        self.after = 0
        self._parts = urlsplit(dsn)
        self._dice = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()

    async def begin(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.dsn = urlunsplit(self._parts._replace(netloc=f"{self._parts.username}@127.0.0.1:{port}"))

    async def finish(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, server}
        back = asyncio.create_task(_pass_on(answers, writer))
        try:
            while data := await reader.read(65536):
                if self.share > self._dice.random() and _COMMIT.search(data):
                    await self._cut(data, server, back)
                    return
                server.write(data)
                await server.drain()
        except OSError:
            pass
        finally:
            back.cancel()
            writer.transport.abort()
            server.transport.abort()
            self._writers -= {writer, server}

    async def _cut(self, data: bytes, server: asyncio.StreamWriter, back: asyncio.Task[None]) -> None:
        if self._dice.random() < 0.5:
            self.before += 1
            return
        self.after += 1
        back.cancel()
        server.write(data)
        await server.drain()
        # An abrupt end could reach the server before the commit does; this one comes after it.
        server.write_eof()
        await asyncio.sleep(0.05)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()
