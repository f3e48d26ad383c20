"""One cheap pass over the messages of a request: what they need and about how many tokens they are.

Message and part members stay undecoded bytes, except types, roles and what decides a need. Both dialects share this,
because their messages have the same frame: `role` and `content`, content being a string or an array of typed parts.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Need
from gatewayz.dialects.parameters import missing, wrong_type, wrong_value
from gatewayz.dialects.tokens import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    audio_tokens,
    document_tokens,
    estimate_tokens,
    string_tokens,
)

_ABSENT = msgspec.Raw()
_QUOTE = 0x22
_BRACKET = 0x5B
_BRACE = 0x7B


class Message(msgspec.Struct, gc=False):
    """One message, as far as it must be known at first sight. A dialect that names its roles has them checked on the way."""

    role: str
    content: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT
    reasoning_content: msgspec.Raw = _ABSENT


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: msgspec.Raw = _ABSENT
    thinking: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    content: msgspec.Raw = _ABSENT
    source: msgspec.Raw = _ABSENT
    file: msgspec.Raw = _ABSENT
    input_audio: msgspec.Raw = _ABSENT


class _Source(msgspec.Struct):
    type: Any = None
    data: Any = None


_MESSAGES = msgspec.json.Decoder(list[Message])
_PARTS = msgspec.json.Decoder(list[_Part])
_SOURCE = msgspec.json.Decoder(_Source)
_IMAGES = frozenset({"image_url", "image", "input_image"})
_DOCUMENTS = frozenset({"file", "document", "input_file"})
READ_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class MessageGlance(msgspec.Struct):
    """Collects `needs` and `tokens` of the messages it is shown, and whether a developer speaks among them."""

    needs: set[Need] = set()
    tokens: int = 0
    has_developer: bool = False

    def read(self, raw: msgspec.Raw, roles: frozenset[str]) -> None:
        """Reads the `messages` member. Raises InvalidRequest naming the message and field that is wrong."""
        try:
            messages = _MESSAGES.decode(raw)
        except READ_ERRORS as error:
            raise _what_is_wrong(raw) from error
        for index, message in enumerate(messages):
            if message.role not in roles:
                self.take(messages[:index])  # what is wrong before it is told first
                raise wrong_value(f"messages[{index}].role", "one of " + ", ".join(sorted(roles)))
        if not messages:
            raise missing("messages", " At least one message must be sent.")
        self.take(messages)

    def take(self, messages: Sequence[Message], *, is_ascii: bool = False) -> None:
        """Takes messages whose roles are known; `is_ascii`: they are known to hold nothing else.

        Raises InvalidRequest naming the message and field that is wrong.
        """
        tokens = MESSAGE_TOKENS * len(messages)
        for index, message in enumerate(messages):
            text = bytes(message.content)
            if text and text[0] == _QUOTE:
                tokens += (len(text) + 1) // 4 if is_ascii else string_tokens(text)  # of ASCII that is the same
            elif text:
                self.content(message.content, f"messages[{index}].content")
            if message.role == "developer":
                self.has_developer = True
            if message.tool_calls or message.function_call or message.reasoning_content:
                for other in (message.tool_calls, message.function_call, message.reasoning_content):
                    tokens += estimate_tokens(bytes(other))
        self.tokens += tokens

    def content(self, raw: msgspec.Raw, param: str) -> None:
        """Reads a `content` (or `system`): a string, an array of parts, or null."""
        text = bytes(raw)
        first = text[0]
        if first == _QUOTE:
            self.tokens += string_tokens(text)
        elif first == _BRACKET:
            self._parts(raw, param)
        elif text != b"null":
            raise wrong_type(param, "a string or an array of parts")

    def _parts(self, raw: msgspec.Raw, param: str) -> None:
        try:
            parts = _PARTS.decode(raw)
        except READ_ERRORS as error:
            raise wrong_part(raw, param) from error
        for index, part in enumerate(parts):
            if part.text:
                self.tokens += string_tokens(bytes(part.text))
            kind = part.type
            if kind == "text":
                continue
            if kind in _IMAGES:
                self.needs.add("vision")
                self.tokens += IMAGE_TOKENS
            elif kind in _DOCUMENTS:
                self.needs.add("documents")
                self.tokens += _document(part)
            elif kind == "input_audio":
                self.needs.add("audio")
                self.tokens += audio_tokens(len(part.input_audio))
            else:
                self._other(part, f"{param}[{index}]")

    def _other(self, part: _Part, param: str) -> None:
        for member in (part.thinking, part.input):
            if member:
                self.tokens += estimate_tokens(bytes(member))
        if part.content:
            if part.type == "tool_result":
                self.content(part.content, f"{param}.content")
            else:
                self.tokens += estimate_tokens(bytes(part.content))


def _what_is_wrong(raw: msgspec.Raw) -> InvalidRequest:
    """The error that names the first message that is none."""
    messages = _load(raw, "messages")
    if not isinstance(messages, list):
        return wrong_type("messages", "an array of messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            return wrong_type(f"messages[{index}]", "an object")
        if "role" not in message:
            return missing(f"messages[{index}].role")
        if not isinstance(message["role"], str):
            return wrong_type(f"messages[{index}].role", "a string")
    return wrong_value("messages", "valid JSON text")


def wrong_part(raw: msgspec.Raw, param: str) -> InvalidRequest:
    """The error that names the first part that is none."""
    for index, part in enumerate(_load(raw, param)):
        if not isinstance(part, dict):
            return wrong_type(f"{param}[{index}]", "an object")
        if not isinstance(part.get("type", ""), str):
            return wrong_type(f"{param}[{index}].type", "a string")
    return wrong_value(param, "valid JSON text")


def _load(raw: msgspec.Raw, param: str) -> Any:
    try:
        return json_text.load(raw)
    except ValueError as error:
        raise wrong_value(param, "valid JSON text") from error


def _document(part: _Part) -> int:
    """Tokens of a file or document part: its text if it is plain text, else by the size of its data."""
    if part.source:
        try:
            source = _SOURCE.decode(part.source)
        except READ_ERRORS:
            return document_tokens(0)
        if isinstance(source.data, str):
            return estimate_tokens(source.data) if source.type == "text" else document_tokens(len(source.data))
        return document_tokens(0)
    return document_tokens(len(part.file))
