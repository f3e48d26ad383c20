"""One cheap pass over the items of an input: what they need and about how many tokens they are."""

from typing import Any

import msgspec

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Need
from gatewayz.dialects.glance_messages import wrong_part
from gatewayz.dialects.parameters import missing, unsupported, wrong_type, wrong_value
from gatewayz.dialects.tokens import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    audio_tokens,
    document_tokens,
    estimate_tokens,
)

ROLES = frozenset({"system", "developer", "user", "assistant"})
_ABSENT = msgspec.Raw()
_QUOTE, _BRACKET = 0x22, 0x5B
_READ_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Item(msgspec.Struct):
    type: str | None = None
    role: str | None = None
    id: Any = None
    content: msgspec.Raw = _ABSENT
    output: msgspec.Raw = _ABSENT
    arguments: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    summary: msgspec.Raw = _ABSENT


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = _ABSENT
    file_data: msgspec.Raw = _ABSENT
    input_audio: msgspec.Raw = _ABSENT


_ITEMS = msgspec.json.Decoder(list[_Item])
_PARTS = msgspec.json.Decoder(list[_Part])


class InputGlance:
    """Collects `needs` and `tokens` of the items it is shown."""

    __slots__ = ("needs", "tokens")

    def __init__(self) -> None:
        self.needs: set[Need] = set()
        self.tokens = 0

    def read(self, raw: msgspec.Raw) -> None:
        """Reads an array of items. Raises InvalidRequest naming the item and field that is wrong."""
        try:
            items = _ITEMS.decode(raw)
        except _READ_ERRORS as error:
            raise _what_is_wrong(raw) from error
        self.tokens += MESSAGE_TOKENS * len(items)
        for index, item in enumerate(items):
            self._item(item, f"input[{index}]")

    def _item(self, item: _Item, param: str) -> None:
        kind = item.type or "message"
        if kind == "message":
            if item.role is None:
                raise missing(f"{param}.role")
            if item.role not in ROLES:
                raise wrong_value(f"{param}.role", "one of " + ", ".join(sorted(ROLES)))
            if not item.content:
                raise missing(f"{param}.content")
        elif kind == "item_reference":
            raise unsupported(param, "refers to an item by its id; send the item itself, or use previous_response_id")
        for content in (item.content, item.output):
            if content:
                self._content(content, f"{param}.{'content' if content is item.content else 'output'}")
        for text in (item.arguments, item.input, item.summary):
            if text:
                self.tokens += estimate_tokens(bytes(text))

    def _content(self, raw: msgspec.Raw, param: str) -> None:
        text = bytes(raw)
        if text[0] == _QUOTE:
            self.tokens += estimate_tokens(text[1:-1])
        elif text[0] == _BRACKET:
            try:
                parts = _PARTS.decode(raw)
            except _READ_ERRORS as error:
                raise wrong_part(raw, param) from error
            for part in parts:
                self._part(part)
        elif text != b"null":
            self.tokens += estimate_tokens(text)

    def _part(self, part: _Part) -> None:
        if part.text:
            self.tokens += estimate_tokens(bytes(part.text)[1:-1])
        if part.type == "input_image":
            self.needs.add("vision")
            self.tokens += IMAGE_TOKENS
        elif part.type == "input_file":
            self.needs.add("documents")
            self.tokens += document_tokens(len(part.file_data))
        elif part.type == "input_audio":
            self.needs.add("audio")
            self.tokens += audio_tokens(len(part.input_audio))


def _what_is_wrong(raw: msgspec.Raw) -> InvalidRequest:
    """The error that names the first item that is none."""
    try:
        items = json_text.load(raw)
    except ValueError:
        return wrong_value("input", "valid JSON text")
    if not isinstance(items, list):
        return wrong_type("input", "a string or an array of items")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            return wrong_type(f"input[{index}]", "an object")
        for name in ("type", "role"):
            if not isinstance(item.get(name), (str, type(None))):
                return wrong_type(f"input[{index}].{name}", "a string")
    return wrong_value("input", "valid JSON text")
