"""Forwarding a Messages request to an Anthropic-like provider: the caller's own bytes, few members changed."""

import re
from typing import Any

import msgspec

from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.base import Glance, Target
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.parameters import unsupported

_NULL = msgspec.Raw(b"null")
_SEALED = tuple(
    seal.encode() for seal in (signatures.SEALED_BY_GEMINI, signatures.SEALED_BY_OPENAI, signatures.SEALED_BY_BEDROCK)
)
_END_OF_SEALS = b"-v1:"  # of each of them, so that one search of a long conversation is enough
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')


def forward_request(glance: Glance, target: Target) -> bytes:
    """The body for the provider; members that nothing here concerns keep their bytes.

    Raises InvalidRequest naming a parameter that the provider refuses and that cannot be left out without changing
    what the answer means.
    """
    quirks = target.quirks
    fields: dict[str, Any] = glance.fields.copy()
    for name in GATEWAY_FIELDS & fields.keys():
        del fields[name]
    for name in glance.named_in(quirks.drop_params):
        if name in fields and changes_meaning(name, json_text.load(fields.pop(name))):
            raise unsupported(name, "is not supported by the provider of this model")
    if quirks.model_in_body:
        fields["model"] = target.native_id
    else:
        del fields["model"]
    fields["max_tokens"] = glance.max_tokens
    temperature = fields.get("temperature", _NULL)
    if quirks.max_temperature is not None and temperature != _NULL:
        fields["temperature"] = min(json_text.load(temperature), quirks.max_temperature)
    for name, value in quirks.add_params.items():
        fields.setdefault(name, value)
    if target.force_params and not glance.sets_any(target.force_unless):
        fields.update(target.force_params)
    return json_text.dump(fields)


def has_foreign_thinking(glance: Glance) -> bool:
    """Whether another family has taken part in the conversation: its thinking is unsigned, or signed by itself.

    Anthropic refuses such blocks, so these conversations are written anew instead of forwarded.
    """
    text = bytes(glance.fields["messages"])
    if _END_OF_SEALS in text and any(seal in text for seal in _SEALED):
        return True
    return b'"signature"' in text and _UNSIGNED.search(text) is not None


def dropped(glance: Glance, target: Target) -> tuple[str, ...]:
    """The caller's parameters that will not be forwarded."""
    return glance.named_in(target.quirks.drop_params)


def changes_meaning(name: str, value: Any) -> bool:
    """Whether leaving out this parameter would give another kind of answer than the caller asked for."""
    if name in ("tools", "system", "output_format"):
        return bool(value)
    if name == "output_config":
        return isinstance(value, dict) and bool(value.get("format"))
    if name == "tool_choice":
        return isinstance(value, dict) and value.get("type") not in (None, "auto")
    return False
