"""Counting the tokens of a Messages request without answering it."""

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic import glance
from gatewayz.dialects.base import Glance, Target

# What an answer would need and a count must not have.
_OF_ANSWERS = frozenset(
    {"max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier", "provider"}
)
_VERSION = "anthropic_version"  # in the body where the provider has no header for it


class _Count(msgspec.Struct):
    input_tokens: int


class AnthropicCounter:
    """The `TokenCounter` of Messages."""

    def glance(self, body: bytes) -> Glance:
        """See `TokenCounter`; `max_tokens` need not be there."""
        return glance.glance(body, with_maximum=False)

    def write_request(self, seen: Glance, target: Target, url: str) -> bytes:
        """See `TokenCounter`: the caller's bytes, without what only an answer needs."""
        left_out = _OF_ANSWERS | target.quirks.drop_params
        fields: dict[str, object] = {name: raw for name, raw in seen.fields.items() if name not in left_out}
        added = target.quirks.add_params
        version = {_VERSION: added[_VERSION]} if _VERSION in added else {}
        # Counters want the model in the body, also where chats have it in their address.
        return json_text.dump({**version, **fields, "model": target.native_id})

    def read(self, body: bytes) -> int:
        """See `TokenCounter`."""
        try:
            return msgspec.json.decode(body, type=_Count).input_tokens
        except msgspec.MsgspecError as error:
            raise ValueError("not a count of tokens") from error

    def write(self, tokens: int, *, estimated: bool) -> bytes:
        """See `TokenCounter`."""
        return json_text.dump({"input_tokens": tokens, **({"estimated": True} if estimated else {})})
