"""What do the bytes mean? One package per dialect, each an object with the methods of `base.py`."""

from gatewayz.dialects.anthropic import ANTHROPIC
from gatewayz.dialects.base import Bridge, ClientDialect, Dialect, Price, ProviderDialect, Target, Voice
from gatewayz.dialects.gemini import GEMINI, GeminiGenerateContent
from gatewayz.dialects.openai_chat import OPENAI_CHAT
from gatewayz.dialects.openai_completions import OPENAI_COMPLETIONS
from gatewayz.dialects.translate import TranslatingBridge

# Spoken on both sides: between equal ones bytes are forwarded.
DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (OPENAI_CHAT, ANTHROPIC, GEMINI)}
CLIENT_DIALECTS: dict[str, ClientDialect] = {**DIALECTS, OPENAI_COMPLETIONS.name: OPENAI_COMPLETIONS}
PROVIDER_DIALECTS: dict[str, ProviderDialect] = {**DIALECTS}


def shared(client: ClientDialect, provider: ProviderDialect) -> Dialect | None:
    """The dialect that both sides speak, as the client speaks it; None if one must be translated into the other."""
    same = DIALECTS.get(client.name) if client.name == provider.name else None
    if same is not None and isinstance(client, GeminiGenerateContent):
        return client  # which alone knows the form of stream that its path asked for
    return same


def bridge(client: ClientDialect, provider: ProviderDialect, voice: Voice, target: Target, price: Price) -> Bridge:
    """The way of one streamed answer from `provider`'s bytes to `client`'s: forwarded if the dialects are the same."""
    same = shared(client, provider)
    if same is not None:
        return same.forwarder(voice, target, price)
    return TranslatingBridge(provider.reader(), client.writer(voice, price))
