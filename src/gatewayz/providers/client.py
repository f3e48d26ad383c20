"""One call to a provider: its address, its headers, the dialect's own headers, and a reply."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from gatewayz.infra.http_client import Reply, Timeouts, Transport
from gatewayz.providers.profile import Provider

# Headers of a client that its own dialect means for the model's maker. Nothing else of a client travels upstream.
PASSED_HEADERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {"anthropic": frozenset({"anthropic-beta"}), "openai": frozenset()}
)
_NONE: Mapping[str, str] = MappingProxyType({})
# Errors of a stream come as JSON, and some servers insist that both are named.
_ACCEPT_STREAM = "text/event-stream, application/json"


class InProcess(Protocol):
    """A provider that lives in this process."""

    def answer(self, body: bytes, *, stream: bool, request_id: str) -> Reply:
        """The reply to a chat request in the OpenAI dialect; errors are replies too."""
        ...


class Upstreams:
    """Sends chat requests to providers."""

    def __init__(self, transport: Transport, simulated: InProcess | None, timeouts: Timeouts) -> None:
        """`simulated` answers for providers that are marked so; None where there is none."""
        self._transport = transport
        self._simulated = simulated
        self._timeouts = timeouts

    async def open(
        self,
        provider: Provider,
        body: bytes,
        *,
        stream: bool,
        request_id: str,
        extra_headers: Mapping[str, str] = _NONE,
    ) -> Reply:
        """The provider's reply as soon as its headers are there; the caller closes it. Raises TransportError.

        `extra_headers` are the client's, to be given only if it speaks the provider's dialect; those are passed on that
        this dialect means for providers (`PASSED_HEADERS`).
        """
        if provider.simulated and self._simulated is not None:
            return self._simulated.answer(body, stream=stream, request_id=request_id)
        headers = {
            **provider.headers,
            "Accept": _ACCEPT_STREAM if stream else "application/json",
            "X-Request-ID": request_id,
        }
        if extra_headers:
            passed = PASSED_HEADERS[provider.dialect]
            for name, value in extra_headers.items():
                if name.lower() in passed:
                    headers[name.lower()] = value
        return await self._transport.post(provider.url, headers, body, self._timeouts)
