"""Forwarding a Chat Completions request to an OpenAI-like provider: the caller's own bytes, few members changed."""

from typing import Any

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.base import SHOWN_REASONING, Glance, Quirks, Target
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.openai_chat.normal import short_call_id
from gatewayz.dialects.parameters import unsupported

_MESSAGES = msgspec.json.Decoder(list[json_text.Fields])
_NULL = msgspec.Raw(b"null")
_USAGE = msgspec.Raw(b'{"include_usage":true}')
_NO_OTHER_OPTION = frozenset({b"null", b'{"include_usage":true}', b'{"include_usage": true}'})
_SYSTEM = msgspec.Raw(b'"system"')


def forward_request(glance: Glance, target: Target) -> bytes:
    """The body for the provider; members that nothing here concerns keep their bytes.

    Raises InvalidRequest naming a parameter that the provider refuses and that cannot be left out without changing
    what the answer means.
    """
    quirks = target.quirks
    fields: dict[str, Any] = glance.fields.copy()
    if glance.for_gateway:
        for name in GATEWAY_FIELDS & fields.keys():
            del fields[name]
    fields.pop("max_tokens", None)
    fields.pop("max_completion_tokens", None)
    if target.changes_parameters:
        for name in glance.named_in(quirks.drop_params):
            if name in fields:
                refuse_if_meant(name, fields.pop(name))
    fields["model"] = target.native_id
    if glance.max_tokens is not None and target.maximum_as:
        fields[target.maximum_as] = glance.max_tokens
    if glance.stream and quirks.stream_options:
        fields["stream_options"] = _asking_for_usage(fields.get("stream_options"))
    if target.changes_messages or glance.has_developer:
        _messages(fields, quirks, glance.has_developer and not quirks.developer_role)
    if target.changes_parameters:
        _parameters(fields, quirks)
    if target.force_params and not glance.sets_any(target.force_unless):
        fields.update(target.force_params)
    return json_text.dump(fields)


def dropped(glance: Glance, target: Target) -> tuple[str, ...]:
    """The caller's parameters that will not be forwarded."""
    if not target.changes_parameters:
        return ()
    names = glance.named_in(target.quirks.drop_params)
    if not target.quirks.stream_options and "stream_options" in glance.fields and "stream_options" not in names:
        return (*names, "stream_options")
    return names


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


def _asking_for_usage(raw: msgspec.Raw | None) -> Any:
    if raw is None or bytes(raw) in _NO_OTHER_OPTION:
        return _USAGE
    options: dict[str, Any] = {**json_text.members(raw)}
    options["include_usage"] = True
    return options


def _messages(fields: dict[str, Any], quirks: Quirks, no_developer: bool) -> None:
    """Rebuilds the messages only if a quirk concerns one of them; other members keep their bytes even then."""
    if not no_developer and not quirks.short_call_ids and quirks.reasoning_field == SHOWN_REASONING:
        return
    text = bytes(fields["messages"])
    short_ids = quirks.short_call_ids and b"tool_call" in text
    other_reasoning = quirks.reasoning_field != SHOWN_REASONING and b'"reasoning' in text
    if not no_developer and not short_ids and not other_reasoning:
        return
    changed = False
    messages = _MESSAGES.decode(text)
    for message in messages:
        if no_developer and json_text.load(message["role"]) == "developer":
            message["role"] = _SYSTEM
            changed = True
        if short_ids:
            changed = _shorten_ids(message) or changed
        if other_reasoning:
            changed = _rename_reasoning(message, quirks) or changed
    if changed:
        fields["messages"] = messages


def _shorten_ids(message: dict[str, Any]) -> bool:
    """Gives the tool calls and the result in a message ids that the provider accepts; whether there were any."""
    answered = json_text.load(message["tool_call_id"]) if "tool_call_id" in message else None
    if isinstance(answered, str):
        message["tool_call_id"] = short_call_id(answered)
    calls = json_text.load(message["tool_calls"]) if "tool_calls" in message else None
    if isinstance(calls, list):
        for call in calls:
            if isinstance(call, dict) and isinstance(call.get("id"), str):
                call["id"] = short_call_id(call["id"])
        message["tool_calls"] = calls
    return isinstance(answered, str) or isinstance(calls, list)


def _rename_reasoning(message: dict[str, Any], quirks: Quirks) -> bool:
    """Earlier reasoning under the name that the provider reads, or left out if it reads none; whether there was any.

    Clients send it back as they were shown it, whichever provider it came from.
    """
    others = [name for name in (SHOWN_REASONING, "reasoning") if name in message and name != quirks.reasoning_field]
    found = [message.pop(name) for name in others]
    said = [value for value in found if value != _NULL]
    if said and quirks.reasoning_field:
        message.setdefault(quirks.reasoning_field, said[0])
    details = not quirks.reasoning_details and message.pop("reasoning_details", None) is not None
    return bool(found) or details


def _parameters(fields: dict[str, Any], quirks: Quirks) -> None:
    """Adds and changes what the provider wants otherwise; `refuse_if_meant` has judged what is left out."""
    if not quirks.stream_options:
        fields.pop("stream_options", None)
    if quirks.max_temperature is not None:
        _clamp(fields, quirks.max_temperature)
    if not quirks.tool_choice:
        _only_auto(fields)
    for name, value in quirks.add_params.items():
        fields.setdefault(name, value)


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
