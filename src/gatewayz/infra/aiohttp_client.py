"""aiohttp as a `Transport`: for calls through a proxy, and for operators who choose it."""

import asyncio
import errno
import io
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp

from gatewayz.infra.http_client import (
    MAX_ANSWER_BYTES,
    STALE_WINDOW_S,
    Broken,
    ConnectFailed,
    Reply,
    Timeouts,
    TransportError,
    TransportTimeout,
    trust_store,
)

# aiohttp writes bytes in one go and warns above 1 MiB; from a file object it writes piece by piece.
_ONE_WRITE_BYTES = 2**20
_ENDED = (None, errno.ECONNRESET, errno.EPIPE)  # without a number: aiohttp itself saw the connection closing
_is_fresh: ContextVar[bool] = ContextVar("_is_fresh", default=False)
# UnicodeError is what the resolver says of a host name with an impossible label.
_FAULTS = (TimeoutError, aiohttp.ClientError, OSError, UnicodeError)


class AiohttpTransport:
    """One session for all providers: connections are pooled per host, without limits of their own."""

    def __init__(self, *, use_proxy_variables: bool = False) -> None:
        """`use_proxy_variables` honours HTTP(S)_PROXY; looking them up costs time per request, so only when they are set."""
        self._use_proxy_variables = use_proxy_variables
        self._session: aiohttp.ClientSession | None = None
        self._timeouts: dict[Timeouts, aiohttp.ClientTimeout] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Reply:
        """See `Transport.post`.

        A request on a kept-alive connection that ends at once, before any byte of a reply, is sent once more: a server that
        closes an idle connection crosses our bytes on the way and has not read them. It cannot be known that it has not, so
        nothing else is repeated: not on a fresh connection, not after a pause, not twice.
        """
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        _is_fresh.set(False)
        try:
            return await self._send("POST", url, headers, body, timeouts)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as error:
            ended = isinstance(error, aiohttp.ServerDisconnectedError) or error.errno in _ENDED
            if not ended or _is_fresh.get() or loop.time() - started_s > STALE_WINDOW_S:
                raise _named(error) from error
        except _FAULTS as error:
            raise _named(error) from error
        try:
            return await self._send("POST", url, headers, body, timeouts)
        except _FAULTS as error:
            raise _named(error) from error

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        """See `Transport.get`."""
        try:
            return await self._send("GET", url, headers, None, timeouts)
        except _FAULTS as error:
            raise _named(error) from error

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Reply:
        """See `Transport.send`."""
        try:
            return await self._send(method, url, headers, body, timeouts)
        except _FAULTS as error:
            raise _named(error) from error

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Reply:
        session = self._session or self._open()
        timeout = self._timeouts.get(timeouts)
        if timeout is None:
            longest_s = max(timeouts.first_s, timeouts.idle_s)
            timeout = aiohttp.ClientTimeout(
                total=None, connect=None, sock_connect=timeouts.connect_s, sock_read=longest_s
            )
            self._timeouts[timeouts] = timeout
        data = None if body is None else _payload(body)
        return AiohttpReply(
            await session.request(method, url, headers=headers, data=data, timeout=timeout, allow_redirects=False),
            timeouts,
        )

    async def close(self) -> None:
        """Closes all connections. May be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = _Connector(
            limit=0, ttl_dns_cache=60, keepalive_timeout=30, ssl=trust_store(), happy_eyeballs_delay=0.25
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            # Compressed event streams are held back by some servers until a block is full.
            headers={"Accept-Encoding": "identity", "User-Agent": "gatewayz"},
            read_bufsize=2**18,
            max_line_size=65536,
            max_field_size=65536,
            trust_env=self._use_proxy_variables,
        )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """Notes in the context of a request that its connection was made for it."""

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 (the signature is aiohttp's)
    ) -> Any:
        _is_fresh.set(True)
        return await super()._create_connection(req, traces, timeout)


class AiohttpReply:
    """See `Reply`."""

    __slots__ = ("_idle_s", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, timeouts: Timeouts) -> None:
        self._response = response
        self._idle_s = timeouts.idle_s if timeouts.first_s > timeouts.idle_s else None
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """See `Reply.read`."""
        content = self._response.content
        try:
            first = await content.readany()
            # A connection that was cut looks like an end, too; the next read tells.
            if content.at_eof() and content.exception() is None:
                return first
            parts = [first]
            size = len(first)
            while part := await content.readany():
                parts.append(part)
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise Broken("answer larger than the limit")
        except _FAULTS as error:
            raise _named(error) from error
        return b"".join(parts)

    async def next_chunk(self) -> bytes:
        """See `Reply.next_chunk`."""
        try:
            chunk = await self._response.content.readany()
        except _FAULTS as error:
            raise _named(error) from error
        if self._idle_s is not None:
            self._begin_idle_limit(self._idle_s)
        return chunk

    def close(self) -> None:
        """See `Reply.close`."""
        self._response.close()

    def _begin_idle_limit(self, idle_s: float) -> None:
        """From the first bytes on pauses are measured by the shorter limit."""
        self._idle_s = None
        connection = self._response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = idle_s
            connection.protocol.start_timeout()


def _payload(body: bytes) -> bytes | io.BytesIO:
    return body if len(body) <= _ONE_WRITE_BYTES else io.BytesIO(body)


def _named(error: Exception) -> TransportError:
    if isinstance(error, aiohttp.ServerTimeoutError):
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return ConnectFailed("connect timeout")
        return TransportTimeout("no bytes within the idle timeout")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        refused = error.certificate_error
        return ConnectFailed(f"certificate refused: {getattr(refused, 'verify_message', type(refused).__name__)}")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectFailed(type(error.os_error).__name__ if error.os_error else "connect failed")
    if isinstance(error, UnicodeError):
        return ConnectFailed("impossible host name")
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return TransportTimeout("timed out")
    return Broken(f"{type(error).__name__}")
