"""What do the bytes mean? One package per dialect, each a `Dialect` (see `base.py`)."""

from gatewayz.dialects.anthropic import ANTHROPIC
from gatewayz.dialects.base import Bridge, Dialect, Price, Target, Voice
from gatewayz.dialects.openai_chat import OPENAI_CHAT
from gatewayz.dialects.translate import TranslatingBridge

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (OPENAI_CHAT, ANTHROPIC)}


def bridge(client: Dialect, provider: Dialect, voice: Voice, target: Target, price: Price) -> Bridge:
    """The way of one streamed answer from `provider`'s bytes to `client`'s: forwarded if the dialects are the same."""
    if client.name == provider.name:
        return client.forwarder(voice, target, price)
    return TranslatingBridge(provider.reader(), client.writer(voice, price))
