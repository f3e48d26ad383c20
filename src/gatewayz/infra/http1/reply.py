"""A reply being read: a thin handle that lets go of its connection as soon as the last byte was taken."""

from collections.abc import Mapping

from gatewayz.infra.http1.connection import HIGH_WATER_BYTES, Connection
from gatewayz.infra.http1.headers import Headers
from gatewayz.infra.http_client import MAX_ANSWER_BYTES, Broken


class Http1Reply:
    """See `Reply`."""

    __slots__ = ("_connection", "_is_read", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self._is_read = False
        self.status = connection.status
        self.headers: Mapping[str, str] = Headers(connection.fields or {})

    async def read(self) -> bytes:
        """See `Reply.read`."""
        connection = self._connection or self._open()
        if connection is None:
            return b""
        try:
            if connection.complete and connection.decoder is None:
                data = connection.take()
                self._is_read = True
                self._connection = None
                connection.finish()
                return data
            return await self._gather(connection)
        except BaseException:
            self._connection = None
            connection.drop()
            raise

    async def next_chunk(self) -> bytes:
        """See `Reply.next_chunk`."""
        connection = self._connection or self._open()
        if connection is None:
            return b""
        try:
            while True:
                data = connection.take() if connection.decoder is None else self._take(connection)
                if connection.complete and (not data or connection.decoder is None):
                    self._end(connection)
                    return data
                if data:
                    return data
                await connection.more()
        except BaseException:
            self._connection = None
            connection.drop()
            raise

    def close(self) -> None:
        """See `Reply.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finish()

    async def _gather(self, connection: Connection) -> bytes:
        """The body in parts as they come, within the limit."""
        connection.whole = True
        parts = []
        size = 0
        while True:
            while data := self._take(connection):
                parts.append(data)
                size += len(data)
                if size > MAX_ANSWER_BYTES:
                    raise Broken("answer larger than the limit")
            if connection.complete:
                break
            await connection.more()
        self._end(connection)
        return b"".join(parts)

    def _take(self, connection: Connection) -> bytes:
        decoder = connection.decoder
        if decoder is None:
            return connection.take()
        data = decoder.take(HIGH_WATER_BYTES)
        while not data and (coded := connection.take()):
            decoder.feed(coded)
            data = decoder.take(HIGH_WATER_BYTES)
        return data

    def _open(self) -> Connection | None:
        """The connection, None after the end was read. Raises Broken if the reply was closed before."""
        if self._connection is None and not self._is_read:
            raise Broken("the reply is closed")
        return self._connection

    def _end(self, connection: Connection) -> None:
        if connection.decoder is not None:
            connection.decoder.check_end()
        self._is_read = True
        self.close()
