"""Forwarding a Responses request to a provider that speaks it: the caller's own bytes, few members changed.

Nothing is left with the provider: `store` is false, a previous answer has been put in front of the input by the gateway,
and items are sent without the ids that they had where they were made.
"""

from typing import Any

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance, Target
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.openai_responses.glance import ENCRYPTED
from gatewayz.dialects.openai_responses.models import encrypts_reasoning
from gatewayz.dialects.openai_responses.names import flattened, function_name
from gatewayz.dialects.openai_responses.reasoning import encrypted_for
from gatewayz.dialects.parameters import unsupported

# The gateway's own, and what it does in the provider's place.
_OURS = GATEWAY_FIELDS | {
    *("previous_response_id", "store", "background", "conversation", "prompt", "max_tokens"),
}
_MEANING = frozenset({"tools", "text", "top_logprobs"})
_ITEMS = msgspec.json.Decoder(list[json_text.Fields])
_NULL = msgspec.Raw(b"null")
_FALSE = msgspec.Raw(b"false")
# Items that say everything themselves; the ids of others (calls of built-in tools, approvals) are referred to.
_NAMELESS = frozenset(
    {"message", "reasoning", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)


def forward_request(glance: Glance, target: Target) -> bytes:
    """The body for the provider; members that nothing here concerns keep their bytes.

    Raises InvalidRequest naming what the provider refuses and what cannot be left out.
    """
    quirks = target.quirks
    fields: dict[str, Any] = glance.fields.copy()
    for name in _OURS & fields.keys():
        del fields[name]
    for name in glance.named_in(quirks.drop_params):
        if name in fields and fields.pop(name) != _NULL and name in _MEANING:
            raise unsupported(name, "is not supported by the provider of this model")
    fields["model"] = target.native_id
    fields["store"] = _FALSE
    if glance.max_tokens is not None and "max_output_tokens" not in quirks.drop_params:
        fields["max_output_tokens"] = glance.max_tokens
    temperature = fields.get("temperature", _NULL)
    if quirks.max_temperature is not None and temperature != _NULL:
        fields["temperature"] = min(json_text.load(temperature), quirks.max_temperature)
    encrypts = encrypts_reasoning(target.native_id)
    if encrypts and "include" not in quirks.drop_params:
        include = json_text.load(fields["include"]) if fields.get("include", _NULL) != _NULL else []
        if ENCRYPTED not in include:
            fields["include"] = [*include, ENCRYPTED]
    if not quirks.namespaces:
        _without_namespaces(fields)
    _input(fields, target.provider, encrypts)
    for name, value in quirks.add_params.items():
        fields.setdefault(name, value)
    if target.force_params and not glance.sets_any(target.force_unless):
        fields.update(target.force_params)
    return json_text.dump(fields)


def dropped(glance: Glance, target: Target) -> tuple[str, ...]:
    """The caller's parameters that will not be forwarded."""
    return glance.named_in(target.quirks.drop_params)


def _without_namespaces(fields: dict[str, Any]) -> None:
    """Puts the tools of namespaces beside the others, and calls them so wherever they are called."""
    if b'"namespace"' in bytes(fields.get("tools", b"")):
        fields["tools"] = flattened(json_text.load(fields["tools"]))
    if b'"namespace"' in bytes(fields.get("tool_choice", b"")):
        choice = json_text.load(fields["tool_choice"])
        named = [choice, *choice.get("tools", ())] if isinstance(choice, dict) else []
        for tool in named:
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                tool["name"] = function_name(tool["name"], tool.pop("namespace", None))
        fields["tool_choice"] = choice
    if b'"namespace"' in bytes(fields["input"]):
        items = _items(fields["input"])
        for item in items:
            if "namespace" in item and "name" in item:
                name = function_name(json_text.load(item["name"]), json_text.load(item.pop("namespace")))
                item["name"] = msgspec.Raw(json_text.dump(name))
        fields["input"] = msgspec.Raw(json_text.dump(items))


def _input(fields: dict[str, Any], provider: str, encrypts: bool) -> None:
    """Rebuilds the input if one of its items has an id, or reasoning that may have been made elsewhere."""
    raw = fields["input"]
    text = bytes(raw)
    if not text.startswith(b"[") or (b'"id"' not in text and b'"reasoning"' not in text and b"encrypted" not in text):
        return
    kept: list[json_text.Fields] = []
    for item in _items(raw):
        kind = json_text.load(item["type"]) if "type" in item else "message"
        if kind in _NAMELESS:
            item.pop("id", None)
        encrypted = json_text.load(item["encrypted_content"]) if "encrypted_content" in item else None
        if isinstance(encrypted, str):
            own = encrypted_for(encrypted, provider)
            if own is None and kind != "reasoning":
                raise unsupported("input", f"holds an item of type '{kind}' that another provider has encrypted")
            if own is None:
                continue
            item["encrypted_content"] = msgspec.Raw(json_text.dump(own))
        elif kind == "reasoning" and (encrypts or not json_text.load(item.get("content", _NULL))):
            continue  # it only names, or sums up, what was thought: the provider keeps nothing to find it by
        kept.append(item)
    fields["input"] = kept


def _items(raw: msgspec.Raw) -> list[json_text.Fields]:
    try:
        return _ITEMS.decode(raw)
    except msgspec.DecodeError:  # half surrogate pairs inside
        return [json_text.members(json_text.dump(item)) for item in json_text.load(raw)]
