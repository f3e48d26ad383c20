"""One call to a provider: its address, its headers, the dialect's own headers, and a reply."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from gatewayz.dialects import JOB_DIALECTS
from gatewayz.dialects.base import Encoded
from gatewayz.dialects.jobs import JobDialect
from gatewayz.infra.http_client import ConnectFailed, Reply, Timeouts, Transport
from gatewayz.providers.access_tokens import AccessTokens, TokenRefused
from gatewayz.providers.addresses import NAMES_MODEL, count_url, request_url
from gatewayz.providers.aws_signing import AwsKeys, signed_headers
from gatewayz.providers.inference_profiles import name_in
from gatewayz.providers.jobs import Jobs
from gatewayz.providers.pictures import Fetcher, fetched
from gatewayz.providers.profile import Provider
from gatewayz.providers.service_accounts import ServiceAccount
from gatewayz.providers.ways import Way

# Headers of a client that its own dialect means for the model's maker. Nothing else of a client travels upstream.
PASSED_HEADERS: Mapping[str, frozenset[str]] = MappingProxyType({"anthropic": frozenset({"anthropic-beta"})})
_NONE: Mapping[str, str] = MappingProxyType({})
_NO_NAMES: frozenset[str] = frozenset()
_ACCEPT_JSON = "application/json"
# Errors of a stream come as JSON, and some servers insist that both are named.
_ACCEPT_STREAM = "text/event-stream, application/json"
_ACCEPT_BINARY = "application/vnd.amazon.eventstream, application/json"
_BEDROCK = "bedrock"
_LARGE_BYTES = 256 * 1024  # from here on a digest takes so long that others would wait for it


class InProcess(Protocol):
    """A provider that lives in this process."""

    def answer(self, body: bytes | Encoded, *, stream: bool, request_id: str, service: str = "chat") -> Reply:
        """The reply to a request for this service in OpenAI's dialect of it; errors are replies too."""
        ...


class Unsigned:
    """The `Reply` in the place of a provider's when nobody would sign the request for it: a 401 without a call."""

    status = 401
    headers: Mapping[str, str] = _NONE

    async def read(self) -> bytes:
        """See `Reply.read`."""
        return b'{"error":{"code":401,"status":"UNAUTHENTICATED","message":"no access token was issued"}}'

    async def next_chunk(self) -> bytes:
        """See `Reply.next_chunk`."""
        return b""

    def close(self) -> None:
        """See `Reply.close`."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a model is asked at one provider. `headers` hold the credential: never logged, never rendered.

    `job` is the dialect of the jobs that it answers with, None if it answers at once; `in_process`: it lives in this
    process; `direct`: nothing is to be done about a request but to send it.
    """

    provider: Provider
    dialect: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    stream: bool
    job: JobDialect | None
    in_process: bool
    direct: bool


class Upstreams:
    """Sends requests to providers."""

    def __init__(
        self,
        transport: Transport,
        simulated: InProcess | None,
        timeouts: Timeouts,
        now_s: Callable[[], float] = time.time,
        pictures: Fetcher | None = None,
    ) -> None:
        """`simulated` answers for providers that are marked so; None where there is none.

        `now_s` is seconds since the epoch, for access tokens and signatures. `pictures` fetches what providers' answers give
        addresses of; None: nothing is fetched.
        """
        self._pictures = pictures
        self._jobs = Jobs(transport, timeouts)
        self._transport = transport
        self._simulated = simulated
        self._timeouts = timeouts
        self._now_s = now_s
        self._tokens = AccessTokens(transport, timeouts, now_s)

    def access(
        self, provider: Provider, way: Way, native_id: str = "", *, stream: bool, any_answer: bool = False
    ) -> Access:
        """How a model is asked there, the same for all requests for it; to be kept while the provider is.

        `way` is one of the provider's own (`Provider.way`). `native_id` is the provider's name of the model, for those who
        want it in the address. `any_answer`: the answer need not be JSON or events.
        """
        accept = "*/*" if any_answer else _ACCEPT_JSON
        if stream and not any_answer:
            accept = _ACCEPT_STREAM if way.dialect != _BEDROCK else _ACCEPT_BINARY
        url = way.url
        if NAMES_MODEL in url:
            url = request_url(url, name_at(provider, native_id), stream=stream)
        job = JOB_DIALECTS.get(way.dialect) if any_answer else None
        in_process = provider.simulated and self._simulated is not None
        direct = not in_process and job is None and provider.account is None and provider.aws is None
        headers = {**provider.headers, "Accept": accept}
        return Access(provider, way.dialect, url, headers, stream, job, in_process=in_process, direct=direct)

    def ask(
        self, access: Access, body: bytes | Encoded, request_id: str, extra_headers: Mapping[str, str] = _NONE
    ) -> Awaitable[Reply]:
        """The provider's reply as soon as its headers are there; the caller closes it. Raises TransportError.

        Where the provider answers with a job, its reply is there when the job has ended; cancelled before, the job is, too.

        `extra_headers` are the client's, to be given only if it speaks the provider's dialect; those are passed on that this
        dialect means for providers (`PASSED_HEADERS`).
        """
        headers = {**access.headers, "X-Request-ID": request_id}
        if extra_headers:
            headers.update(_passed(access.dialect, extra_headers))
        if access.direct and not isinstance(body, Encoded):
            return self._transport.post(access.url, headers, body, self._timeouts)
        return self._ask_otherwise(access, headers, body, request_id)

    async def _ask_otherwise(
        self, access: Access, headers: dict[str, str], body: bytes | Encoded, request_id: str
    ) -> Reply:
        provider, url = access.provider, access.url
        if access.in_process and self._simulated is not None:
            service = url.partition(":")[2] or "chat"
            return self._simulated.answer(body, stream=access.stream, request_id=request_id, service=service)
        if isinstance(body, Encoded):
            headers["content-type"] = body.content_type
            headers.update(body.headers)
            url = url.replace("{endpoint}", body.endpoint)
            body = body.data
        if access.job is not None:
            return await self._jobs.finished(access.job, url, headers, body, request_id)
        if provider.account is not None:
            return await self._signed(provider.account, url, headers, body)
        if provider.aws is not None:
            headers = await self._signed_by_keys(provider.aws, url, headers, body)
        return await self._transport.post(url, headers, body, self._timeouts)

    async def open(
        self,
        provider: Provider,
        way: Way,
        body: bytes | Encoded,
        *,
        stream: bool,
        request_id: str,
        native_id: str = "",
        extra_headers: Mapping[str, str] = _NONE,
        any_answer: bool = False,
    ) -> Reply:
        """`ask` by what is worked out for this one request; see `access`."""
        access = self.access(provider, way, native_id, stream=stream, any_answer=any_answer)
        return await self.ask(access, body, request_id, extra_headers)

    async def count_tokens(
        self,
        provider: Provider,
        body: bytes,
        *,
        request_id: str,
        native_id: str = "",
        extra_headers: Mapping[str, str] = _NONE,
    ) -> Reply | None:
        """The reply of the provider's own counter of tokens; None if it has none. Raises TransportError.

        `native_id` as in `open`.
        """
        url = count_url(provider, native_id)
        if url is None or provider.simulated:
            return None
        headers = {**provider.headers, "Accept": _ACCEPT_JSON, "X-Request-ID": request_id}
        headers.update(_passed(provider.dialect, extra_headers))
        if provider.account is not None:
            return await self._signed(provider.account, url, headers, body)
        return await self._transport.post(url, headers, body, self._timeouts)

    async def picture(self, url: str) -> tuple[bytes, str]:
        """The image at an address that an answer gave, and its media type ("" if nobody says). Raises TransportError."""
        if self._pictures is None:
            raise ConnectFailed("nothing is fetched here")
        return await fetched(self._pictures, url)

    async def close(self) -> None:
        """Waits a moment for jobs that are still to be cancelled. May be called twice; the transport is closed by its owner."""
        await self._jobs.close()
        if self._pictures is not None:
            await self._pictures.close()

    async def _signed_by_keys(self, keys: AwsKeys, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        sign = (keys, "POST", url, headers, body, self._now_s())
        return await asyncio.to_thread(signed_headers, *sign) if len(body) > _LARGE_BYTES else signed_headers(*sign)

    async def _signed(self, account: ServiceAccount, url: str, headers: dict[str, str], body: bytes) -> Reply:
        try:
            token = await self._tokens.token(account)
        except TokenRefused:
            return Unsigned()
        headers["authorization"] = f"Bearer {token}"
        reply = await self._transport.post(url, headers, body, self._timeouts)
        if reply.status == 401:
            self._tokens.forget(account, token)
        return reply


def name_at(provider: Provider, native_id: str) -> str:
    """The name by which this provider is asked for a model where it is: at Bedrock the region's area may stand before it."""
    if provider.dialect == _BEDROCK and provider.location is not None:
        return name_in(native_id, provider.location)
    return native_id


def _passed(dialect: str, sent: Mapping[str, str]) -> dict[str, str]:
    """Those of a client's headers that its dialect means for a provider."""
    passed = PASSED_HEADERS.get(dialect, _NO_NAMES)
    return {name.lower(): value for name, value in sent.items() if name.lower() in passed}
