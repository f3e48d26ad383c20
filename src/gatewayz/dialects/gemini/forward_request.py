"""Forwarding a generateContent request to a Gemini-like provider: the caller's own bytes, few members changed."""

from typing import Any

import msgspec

from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.base import Glance, Target
from gatewayz.dialects.gemini.generation import wants_marked_calls
from gatewayz.dialects.gemini.glance import field
from gatewayz.dialects.gemini.names import camel, listed, member, snake
from gatewayz.dialects.gemini.request_read import GATEWAY_FIELDS
from gatewayz.dialects.gemini.signed import EXCUSED
from gatewayz.dialects.parameters import unsupported, value_of

_MEANING = frozenset({"tools", "systemInstruction", "cachedContent", "candidateCount", "responseLogprobs"})
_MEANING_TOO = frozenset({"responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities"})
_CONFIG = "generationConfig"
_WRAPPED = signatures.WRAPPED.encode()


def forward_request(glance: Glance, target: Target) -> bytes:
    """The body for the provider; members that nothing here concerns keep their bytes.

    Raises InvalidRequest naming a parameter that the provider refuses and that cannot be left out without changing
    what the answer means.
    """
    quirks = target.quirks
    fields: dict[str, Any] = {}
    for name, raw in glance.fields.items():
        if name in GATEWAY_FIELDS or (name == "max_tokens" and name not in glance_body(glance)):
            continue
        if camel(name) in quirks.drop_params:
            _refuse_meaning(camel(name), value_of(name, raw))
            continue
        fields[name] = raw
    given = field(glance.fields, _CONFIG)
    config = _config(glance, given, target)
    if config is not None:
        fields.pop(snake(_CONFIG), None)
        fields[_CONFIG] = config
    contents = field(glance.fields, "contents")
    if contents is not None and _WRAPPED in bytes(contents):
        fields["contents"] = without_foreign(value_of("contents", contents), target.native_id)
    for name, value in quirks.add_params.items():
        fields.setdefault(name, value)
    if not any(field(glance.fields, name) is not None for name in target.force_unless):
        fields.update(target.force_params)
    return json_text.dump(fields)


def glance_body(glance: Glance) -> json_text.Fields:
    """The members of the body as it was sent, without what the gateway noted among `fields` since."""
    return json_text.members(glance.body) if "max_tokens" in glance.fields else glance.fields


def dropped(glance: Glance, target: Target) -> tuple[str, ...]:
    """The caller's parameters that will not be forwarded."""
    drop = target.quirks.drop_params
    if not drop:
        return ()
    given = field(glance.fields, _CONFIG)
    config = value_of(_CONFIG, given) if given is not None else {}
    names = [camel(name) for name in (*glance.fields, *(config if isinstance(config, dict) else ()))]
    return tuple(name for name in names if name in drop)


def _config(glance: Glance, given: msgspec.Raw | None, target: Target) -> dict[str, Any] | None:
    """`generationConfig` as the provider gets it; None if it stays as it is."""
    quirks = target.quirks
    members = value_of(_CONFIG, given) if given is not None else {}
    changed: dict[str, Any] = {}
    asked = member(members, "maxOutputTokens")
    if glance.max_tokens is not None and asked != glance.max_tokens:
        changed["maxOutputTokens"] = glance.max_tokens
    temperature = member(members, "temperature")
    if quirks.max_temperature is not None and temperature is not None and temperature > quirks.max_temperature:
        changed["temperature"] = quirks.max_temperature
    left = {name: value for name, value in members.items() if camel(name) not in quirks.drop_params}
    for name in members.keys() - left.keys():
        _refuse_meaning(camel(name), members[name])
    if not changed and len(left) == len(members):
        return None
    return {**{name: value for name, value in left.items() if camel(name) not in changed}, **changed}


def _refuse_meaning(name: str, value: Any) -> None:
    if name in _MEANING | _MEANING_TOO and value not in (None, False, [], "", 1):
        raise unsupported(name, "is not supported by the provider of this model")


def without_foreign(contents: Any, native_id: str) -> Any:
    """The contents without thoughts of other families, which Gemini would refuse; calls keep an excuse in their place.

    A turn of the model may be spread over several contents, as chats over streams leave it behind.
    """
    written: list[Any] = []
    turn: list[Any] = []
    for content in listed(contents):
        if isinstance(content, dict) and content.get("role") == "model":
            turn.append(content)
            continue
        written += _own_turn(turn, native_id)
        turn = []
        written.append(content)
    return written + _own_turn(turn, native_id)


def _own_turn(turn: list[dict[str, Any]], native_id: str) -> list[Any]:
    """The contents of a turn; without its thoughts and signatures if another family signed it."""
    if not any(_is_foreign(part) for content in turn for part in _parts(content)):
        return turn
    excuse = wants_marked_calls(native_id)
    written: list[Any] = []
    for content in turn:
        kept = []
        for part in _parts(content):
            if isinstance(part, dict) and part.get("thought") is True:
                continue
            if _is_foreign(part):
                part = {name: value for name, value in part.items() if camel(name) != "thoughtSignature"}
            if excuse and isinstance(part, dict) and member(part, "functionCall") is not None:
                excuse = False
                part = {"thoughtSignature": EXCUSED, **part}
            kept.append(part)
        if kept:
            written.append({**content, "parts": kept})
    return written


def _parts(content: dict[str, Any]) -> list[Any]:
    parts = listed(content.get("parts"))
    return parts if isinstance(parts, list) else []


def _is_foreign(part: Any) -> bool:
    signature = member(part, "thoughtSignature") if isinstance(part, dict) else None
    return isinstance(signature, str) and signatures.unwrap(signature) is not None
