"""What do the bytes mean? One package per dialect, each an object with the methods of `base.py`."""

from gatewayz.dialects.anthropic import ANTHROPIC
from gatewayz.dialects.base import Bridge, ClientDialect, Dialect, Price, ProviderDialect, Target, Voice
from gatewayz.dialects.bedrock import BEDROCK
from gatewayz.dialects.cohere import COHERE
from gatewayz.dialects.gemini import GEMINI
from gatewayz.dialects.openai_chat import OPENAI_CHAT
from gatewayz.dialects.openai_completions import OPENAI_COMPLETIONS
from gatewayz.dialects.translate import TranslatingBridge

# Spoken on both sides: between equal ones bytes are forwarded.
DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (OPENAI_CHAT, ANTHROPIC)}
CLIENT_DIALECTS: dict[str, ClientDialect] = {**DIALECTS, OPENAI_COMPLETIONS.name: OPENAI_COMPLETIONS}
PROVIDER_DIALECTS: dict[str, ProviderDialect] = {**DIALECTS, **{each.name: each for each in (GEMINI, BEDROCK, COHERE)}}


def shared(client: ClientDialect, provider: ProviderDialect) -> Dialect | None:
    """The dialect that both sides speak; None if one must be translated into the other."""
    return DIALECTS.get(client.name) if client.name == provider.name else None


def bridge(client: ClientDialect, provider: ProviderDialect, voice: Voice, target: Target, price: Price) -> Bridge:
    """The way of one streamed answer from `provider`'s bytes to `client`'s: forwarded if the dialects are the same."""
    same = shared(client, provider)
    if same is not None:
        return same.forwarder(voice, target, price)
    return TranslatingBridge(provider.reader(), client.writer(voice, price))
