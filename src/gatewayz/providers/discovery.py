"""What does a provider have? Its own model list, asked for while the gateway runs.

What somebody loaded into Ollama, vLLM, LM Studio or llama.cpp is known to that local server alone (`models_of`); hosted
providers list models, limits and often prices (`fetch_feed`), each in a form and a unit of its own.
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import msgspec

from gatewayz.infra.http_client import Timeouts, Transport, TransportError
from gatewayz.providers.feed_places import with_query
from gatewayz.providers.feed_shapes import read_feed
from gatewayz.providers.model_feeds import FeedModel, FeedUnreadable
from gatewayz.providers.profile import CHAT_PATHS, Provider

MAX_MODELS = 500
MAX_FEED_MODELS = 20_000
MAX_PAGES = 20
_WAIT = Timeouts(connect_s=2.0, idle_s=5.0)
_FEED_WAIT = Timeouts(connect_s=5.0, idle_s=20.0)
_LONGEST_FETCH_S = 60.0


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[_Entry]


class _Named(msgspec.Struct):
    name: str


class _GeminiList(msgspec.Struct):
    models: list[_Named]


def list_url(provider: Provider) -> str | None:
    """Where the provider lists its models; None if it has no such address."""
    parts = urlsplit(provider.url)
    tail = CHAT_PATHS[provider.dialect]
    if not parts.path.endswith(tail) or provider.account is not None or provider.simulated:
        return None
    return urlunsplit(parts._replace(path=parts.path.removesuffix(tail) + "/models"))


def listed_names(provider: Provider, body: bytes) -> frozenset[str]:
    """The provider's own names in its list. Raises ValueError if these bytes are no list of its dialect."""
    try:
        if provider.dialect == "gemini":
            found = msgspec.json.decode(body, type=_GeminiList).models
            return frozenset(entry.name.removeprefix("models/") for entry in found)
        return frozenset(entry.id for entry in msgspec.json.decode(body, type=_List).data)
    except msgspec.MsgspecError as error:
        raise ValueError("not a list of models") from error


async def models_of(transport: Transport, provider: Provider) -> tuple[str, ...] | None:
    """The provider's own names of its models, sorted; None if it does not answer with an OpenAI-like list."""
    url = list_url(provider)
    if provider.dialect != "openai" or url is None:
        return None
    try:
        reply = await transport.get(url, provider.headers, _WAIT)
        try:
            body = await reply.read() if reply.status == 200 else b""
        finally:
            reply.close()
        found = listed_names(provider, body)
    except (TransportError, ValueError):
        return None
    names = {name for name in found if name and len(name) <= 200 and name.isprintable()}
    return tuple(sorted(names)[:MAX_MODELS])


async def fetch_feed(transport: Transport, provider: Provider) -> tuple[tuple[FeedModel, ...], int]:
    """All readable entries of a hosted provider's model list, and how many entries were unreadable.

    Raises FeedUnreadable for an answer that is no list, an error status or a list without entries; TransportError, and
    TimeoutError if it takes too long as a whole.
    """
    feed = provider.feed
    if feed is None:
        raise FeedUnreadable("the provider has no model list that is known")
    headers = {**provider.headers} if feed.with_key else {}
    headers["accept"] = "application/json"
    models: list[FeedModel] = []
    unread = 0
    url = feed.url
    async with asyncio.timeout(_LONGEST_FETCH_S):
        for _ in range(MAX_PAGES):
            body = await _body(transport, url, headers)
            # Hundreds of kilobytes of JSON would hold up every request on the loop.
            page = await asyncio.to_thread(read_feed, feed.shape, body, feed.unit)
            models += page.models
            unread += page.unread
            if page.further is None or len(models) > MAX_FEED_MODELS:
                break
            url = with_query(feed.url, page.further)
        else:
            raise FeedUnreadable(f"the list has more than {MAX_PAGES} pages")
    if not models:
        raise FeedUnreadable("the list is empty")
    return tuple(models[:MAX_FEED_MODELS]), unread


async def _body(transport: Transport, url: str, headers: Mapping[str, str]) -> bytes:
    reply = await transport.get(url, headers, _FEED_WAIT)
    try:
        if reply.status != 200:
            raise FeedUnreadable(f"HTTP status {reply.status}")
        return await reply.read()
    finally:
        reply.close()
