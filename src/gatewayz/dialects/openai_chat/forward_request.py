"""Forwarding a Chat Completions request to an OpenAI-like provider: the caller's own bytes, few members changed."""

from typing import Any

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance, Target
from gatewayz.dialects.parameters import unsupported

GATEWAY_FIELDS = frozenset({"provider"})  # the gateway's own; never sent upstream
_MAX_TOKENS = ("max_tokens", "max_completion_tokens")
_MESSAGES = msgspec.json.Decoder(list[json_text.Fields])
_NULL = msgspec.Raw(b"null")
_SYSTEM = msgspec.Raw(b'"system"')


def forward_request(glance: Glance, target: Target) -> bytes:
    """The body for the provider; members that nothing here concerns keep their bytes.

    Raises InvalidRequest naming a parameter that the provider refuses and that cannot be left out without changing
    what the answer means.
    """
    quirks = target.quirks
    fields: dict[str, Any] = {}
    for name, raw in glance.fields.items():
        if name in GATEWAY_FIELDS or name in _MAX_TOKENS:
            continue
        if name in quirks.drop_params:
            refuse_if_meant(name, raw)
            continue
        fields[name] = raw
    fields["model"] = target.native_id
    if glance.max_tokens is not None and quirks.max_tokens_field not in quirks.drop_params:
        fields[quirks.max_tokens_field] = glance.max_tokens
    if glance.stream and quirks.stream_options:
        fields["stream_options"] = _asking_for_usage(fields.get("stream_options"))
    elif not quirks.stream_options:
        fields.pop("stream_options", None)
    if not quirks.developer_role:
        _developers_to_system(fields)
    if quirks.max_temperature is not None:
        _clamp(fields, quirks.max_temperature)
    if not quirks.tool_choice:
        _only_auto(fields)
    for name, value in quirks.add_params.items():
        fields.setdefault(name, value)
    if not any(glance.fields.get(name, _NULL) != _NULL for name in target.force_unless):
        fields.update(target.force_params)
    return json_text.dump(fields)


def dropped(glance: Glance, target: Target) -> tuple[str, ...]:
    """The caller's parameters that will not be forwarded."""
    names = [name for name in glance.fields if name in target.quirks.drop_params]
    if not target.quirks.stream_options and "stream_options" in glance.fields and "stream_options" not in names:
        names.append("stream_options")
    return tuple(names)


def changes_meaning(name: str, value: Any) -> bool:
    """Whether leaving out this parameter would give another kind of answer than the caller asked for."""
    if name in ("tools", "functions", "logprobs"):
        return bool(value)
    if name == "n":
        return isinstance(value, int) and value > 1
    if name == "response_format":
        return isinstance(value, dict) and value.get("type") not in (None, "text")
    if name == "tool_choice":
        return value not in (None, "auto")
    return False


def refuse_if_meant(name: str, raw: msgspec.Raw) -> None:
    """Raises InvalidRequest if the provider refuses a parameter that must not be left out."""
    if changes_meaning(name, json_text.load(raw)):
        raise unsupported(name, "is not supported by the provider of this model")


def _asking_for_usage(raw: Any) -> dict[str, Any]:
    options: dict[str, Any] = {} if raw is None or raw == _NULL else {**json_text.members(raw)}
    options["include_usage"] = True
    return options


def _developers_to_system(fields: dict[str, Any]) -> None:
    raw = fields["messages"]
    if b"developer" not in bytes(raw):
        return
    messages = _MESSAGES.decode(raw)
    changed = False
    for message in messages:
        if json_text.load(message["role"]) == "developer":
            message["role"] = _SYSTEM
            changed = True
    if changed:
        fields["messages"] = messages


def _clamp(fields: dict[str, Any], ceiling: float) -> None:
    raw = fields.get("temperature")
    if raw is not None and raw != _NULL and json_text.load(raw) > ceiling:
        fields["temperature"] = ceiling


def _only_auto(fields: dict[str, Any]) -> None:
    """For providers that choose tools on their own: auto is the same as silence, none the same as no tools."""
    raw = fields.pop("tool_choice", None)
    if raw is None:
        return
    choice = json_text.load(raw)
    if choice == "none":
        fields.pop("tools", None)
    elif choice not in (None, "auto"):
        raise unsupported("tool_choice", "is not supported by the provider of this model, except auto and none")
