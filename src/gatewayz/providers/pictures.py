"""Fetching an image from the address that a provider gave for it: without its key, and never from a network of our own."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from gatewayz.infra.http_client import Broken, Reply, Timeouts, TransportError

MAX_BYTES = 32 * 1024 * 1024
LONGEST_S = 60.0
_WAIT = Timeouts(connect_s=5.0, idle_s=20.0)
_TRIES = 2
# Storage services send what they were given without its type.
_UNTYPED = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_HEADERS: Mapping[str, str] = MappingProxyType({"Accept": "image/*"})


class Fetcher(Protocol):
    """What is fetched through: see `infra.guard.GuardedTransport`."""

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply: ...

    async def close(self) -> None: ...


async def fetched(fetcher: Fetcher, url: str) -> tuple[bytes, str]:
    """The bytes of an image and its media type ("" if nobody says). Raises TransportError for whatever is none."""
    for again in reversed(range(_TRIES)):
        try:
            async with asyncio.timeout(LONGEST_S):
                return await _once(fetcher, url)
        except TransportError:
            if not again:
                raise
        except TimeoutError as error:
            raise Broken("the image did not come in time") from error
    raise AssertionError("unreachable")


async def _once(fetcher: Fetcher, url: str) -> tuple[bytes, str]:
    reply = await fetcher.get(url, _HEADERS, _WAIT)
    try:
        if reply.status != 200:
            raise Broken(f"status {reply.status} in the place of an image")
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind.startswith("image/") and kind not in _UNTYPED:
            raise Broken("no image at its address")
        parts: list[bytes] = []
        size = 0
        while chunk := await reply.next_chunk():
            size += len(chunk)
            if size > MAX_BYTES:
                raise Broken("the image is larger than the limit")
            parts.append(chunk)
    finally:
        reply.close()
    if not size:
        raise Broken("an image of no bytes")
    return b"".join(parts), kind if kind.startswith("image/") else ""
