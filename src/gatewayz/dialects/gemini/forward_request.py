"""Forwarding a generateContent request to a Gemini-like provider: the caller's own bytes, few members changed."""

import re
from typing import Any

import msgspec

from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.base import Glance, Target
from gatewayz.dialects.gemini.generation import wants_marked_calls
from gatewayz.dialects.gemini.glance import field
from gatewayz.dialects.gemini.names import camel, listed, member, snake
from gatewayz.dialects.gemini.request_read import OURS
from gatewayz.dialects.gemini.signed import EXCUSED
from gatewayz.dialects.parameters import unsupported, value_of

_MEANING = frozenset({"tools", "systemInstruction", "cachedContent", "candidateCount", "responseLogprobs"})
_MEANING_TOO = frozenset({"responseMimeType", "responseSchema", "responseJsonSchema", "responseModalities"})
_CONFIG = "generationConfig"
# Calls, and signatures of other families.
_TO_MEND = re.compile(rb'"function_?[cC]all"|' + signatures.WRAPPED.encode())


def forward_request(glance: Glance, target: Target) -> bytes:
    """The body for the provider; members that nothing here concerns keep their bytes.

    Raises InvalidRequest naming a parameter that the provider refuses and that cannot be left out without changing
    what the answer means.
    """
    quirks = target.quirks
    fields: dict[str, Any] = {}
    for name, raw in glance.fields.items():
        if name in OURS:
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
    if contents is not None and _TO_MEND.search(bytes(contents)) is not None:
        given_contents = listed(value_of("contents", contents))
        mended = mended_contents(given_contents, target.native_id)
        if mended != given_contents:
            fields["contents"] = mended
    for name, value in quirks.add_params.items():
        fields.setdefault(name, value)
    if not any(field(glance.fields, name) is not None for name in target.force_unless):
        fields.update(target.force_params)
    return json_text.dump(fields)


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


def mended_contents(contents: list[Any], native_id: str) -> list[Any]:
    """The contents as this model takes them, if models of other families or generations have taken part.

    From the third generation on the first call of a turn carries a signature, or an excuse for its absence; before it,
    calls have no ids. Thoughts that another family signed would be refused. A turn of the model may be spread over
    several contents, as chats over streams leave it behind.
    """
    written: list[Any] = []
    turn: list[dict[str, Any]] = []
    marked = wants_marked_calls(native_id)
    for content in contents:
        if isinstance(content, dict) and content.get("role") == "model":
            turn.append(content)
            continue
        written += _turn(turn, marked)
        turn = []
        written.append(content if marked or not isinstance(content, dict) else _without_ids(content))
    return written + _turn(turn, marked)


def _turn(turn: list[dict[str, Any]], marked: bool) -> list[dict[str, Any]]:
    """The contents of a turn of the model."""
    foreign = any(_is_foreign(part) for content in turn for part in _parts(content))
    excuse = marked
    written: list[dict[str, Any]] = []
    for content in turn:
        kept = []
        for part in _parts(content):
            if not isinstance(part, dict):
                kept.append(part)
                continue
            if foreign and part.get("thought") is True:
                continue
            if _is_foreign(part):
                part = {name: value for name, value in part.items() if camel(name) != "thoughtSignature"}
            if excuse and member(part, "functionCall") is not None:
                excuse = False
                if member(part, "thoughtSignature") is None:
                    part = {**part, "thoughtSignature": EXCUSED}
            kept.append(part)
        if kept != _parts(content):
            content = {**content, "parts": kept}
        if kept or not foreign:
            written.append(content if marked else _without_ids(content))
    return written


def _without_ids(content: dict[str, Any]) -> dict[str, Any]:
    """A content whose calls and results have no ids."""
    parts = _parts(content)
    bare = [_without_id(part) if isinstance(part, dict) else part for part in parts]
    return {**content, "parts": bare} if bare != parts else content


def _without_id(part: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: inner for key, inner in value.items() if key != "id"}
        if camel(name) in ("functionCall", "functionResponse") and isinstance(value, dict)
        else value
        for name, value in part.items()
    }


def _parts(content: dict[str, Any]) -> list[Any]:
    parts = listed(content.get("parts"))
    return parts if isinstance(parts, list) else []


def _is_foreign(part: Any) -> bool:
    signature = member(part, "thoughtSignature") if isinstance(part, dict) else None
    return isinstance(signature, str) and signatures.unwrap(signature) is not None
