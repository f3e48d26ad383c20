"""What does a local server have? Its own model list, asked for while the gateway runs.

Hosted providers are known from the catalog; what somebody loaded into Ollama, vLLM, LM Studio or llama.cpp is known to that
server alone.
"""

import msgspec

from gatewayz.infra.http_client import Timeouts, Transport, TransportError
from gatewayz.providers.profile import CHAT_PATHS, Provider

MAX_MODELS = 500
_WAIT = Timeouts(connect_s=2.0, idle_s=5.0)


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[_Entry]


async def models_of(transport: Transport, provider: Provider) -> tuple[str, ...] | None:
    """The provider's own names of its models, sorted; None if it does not answer with an OpenAI-like list."""
    tail = CHAT_PATHS["openai"]
    if provider.dialect != "openai" or not provider.url.endswith(tail):
        return None
    try:
        reply = await transport.get(provider.url.removesuffix(tail) + "/models", provider.headers, _WAIT)
        try:
            body = await reply.read() if reply.status == 200 else b""
        finally:
            reply.close()
        found = msgspec.json.decode(body, type=_List)
    except (TransportError, msgspec.MsgspecError):
        return None
    names = {entry.id for entry in found.data if entry.id and len(entry.id) <= 200 and entry.id.isprintable()}
    return tuple(sorted(names)[:MAX_MODELS])
