"""What does a provider have? Its own model list; that of local servers is asked for while the gateway runs.

Hosted providers are known from the catalog; what somebody loaded into Ollama, vLLM, LM Studio or llama.cpp is known to that
server alone.
"""

from urllib.parse import urlsplit, urlunsplit

import msgspec

from gatewayz.infra.http_client import Timeouts, Transport, TransportError
from gatewayz.providers.profile import CHAT_PATHS, Provider

MAX_MODELS = 500
_WAIT = Timeouts(connect_s=2.0, idle_s=5.0)


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
