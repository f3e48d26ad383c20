"""Gemini's `contents` in canonical form.

Turns of the model that follow each other, as chats over streams leave them behind, are one message: its texts and thoughts
are joined, so that a signature stands behind the whole thought. Calls without an id get one, by which their results are
known again.
"""

from typing import Any

from gatewayz.core.chat import Message, Opaque, Part, Text, ToolCall, ToolResult
from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.gemini.media_read import file_part, inline_part
from gatewayz.dialects.gemini.names import listed, member
from gatewayz.dialects.gemini.signed import joined, say, sign
from gatewayz.dialects.gemini.wire import NAME
from gatewayz.dialects.parameters import missing, optional_flag, optional_object, optional_text, string, wrong_type

_SPOKEN = ("text", "thought", "thoughtSignature", "thought_signature")
_FURTHER = ("videoMetadata", "mediaResolution", "partMetadata", "mediaProcessing")


class ContentsReader:
    """Reads the conversation of one request; `left_out` names what other providers are not told."""

    def __init__(self) -> None:
        self.left_out: dict[str, Any] = {}
        self._open: list[tuple[str, str]] = []  # (id, name) of calls without a result
        self._calls = 0

    def read(self, contents: Any) -> list[Message]:
        """The messages. Raises InvalidRequest naming the field."""
        messages: list[Message] = []
        of_model: list[tuple[dict[str, Any], str]] = []
        for index, content in enumerate(listed(contents)):
            parts = _parts_of(content, f"contents[{index}]")
            if content.get("role") == "model":
                of_model += parts
                continue
            if of_model:
                messages.append(self._model(of_model))
                of_model = []
            messages.append(self._user(parts))
        return [*messages, self._model(of_model)] if of_model else messages

    def _model(self, given: list[tuple[dict[str, Any], str]]) -> Message:
        parts: list[Part] = []
        calls = 0
        for part, param in given:
            call, signature = member(part, "functionCall"), member(part, "thoughtSignature")
            if signature is not None:
                string(f"{param}.thoughtSignature", signature)
            if call is not None:
                sign(parts, signatures.call_place(calls), signature)
                parts.append(self._call(call, f"{param}.functionCall"))
                calls += 1
            elif (other := self._other(part, param)) is not None:
                parts.append(other)
            else:
                say(parts, _text_of(part, param), optional_flag(part, "thought", param), signature)
        return Message("assistant", tuple(joined(parts)))

    def _user(self, given: list[tuple[dict[str, Any], str]]) -> Message:
        parts: list[Part] = []
        for part, param in given:
            result = member(part, "functionResponse")
            if result is not None:
                parts.append(self._result(result, f"{param}.functionResponse"))
            elif (other := self._other(part, param)) is not None:
                parts.append(other)
            elif text := _text_of(part, param):
                parts.append(Text(text))
        return Message("user", tuple(parts))

    def _other(self, part: dict[str, Any], param: str) -> Part | None:
        """A part that is neither text nor thought nor call nor result; None if it is one of them."""
        for name in _FURTHER:
            if member(part, name) is not None:
                self.left_out[f"parts.{name}"] = True
        inline, file = member(part, "inlineData"), member(part, "fileData")
        if inline is not None:
            return inline_part(inline, part, param)
        if file is not None:
            return file_part(file, part, param)
        if isinstance(part.get("text"), str):
            return None
        kinds = [name for name, value in part.items() if name not in (*_SPOKEN, *_FURTHER) and value is not None]
        return Opaque(NAME, kinds[0], part) if kinds else None

    def _call(self, call: Any, param: str) -> ToolCall:
        name = _name_of(call, param)
        call_id = optional_text(call, "id", param) or f"call_{self._calls}"
        self._calls += 1
        self._open.append((call_id, name))
        args = optional_object(call, "args", param)
        return ToolCall(call_id, name, json_text.dump(args if args is not None else {}).decode())

    def _result(self, result: Any, param: str) -> ToolResult:
        name = _name_of(result, param)
        for further in ("willContinue", "scheduling"):
            if member(result, further) is not None:
                self.left_out[f"functionResponse.{further}"] = True
        text, is_error = _response(optional_object(result, "response", param))
        parts: list[Part] = [Text(text)]
        further_parts = listed(result.get("parts"))
        if further_parts is not None and not isinstance(further_parts, list):
            raise wrong_type(f"{param}.parts", "an array of parts")
        for number, part in enumerate(further_parts or ()):
            if not isinstance(part, dict):
                raise wrong_type(f"{param}.parts[{number}]", "an object")
            other = self._other(part, f"{param}.parts[{number}]")
            if other is not None:
                parts.append(other)
        return ToolResult(self._answered(optional_text(result, "id", param), name), tuple(parts), is_error)

    def _answered(self, given: str | None, name: str) -> str:
        """The id of the call that is answered: the one given, else of the first open call of this function."""
        for known, called in self._open:
            if known == given or (not given and called == name):
                self._open.remove((known, called))
                return known
        return given or f"unknown_{name}"


def read_system(content: Any) -> Message:
    """The system instruction. Raises InvalidRequest if it holds anything but text."""
    if isinstance(content, str):
        return Message("system", (Text(content),))
    parts = _parts_of(content, "systemInstruction")
    return Message("system", tuple(Text(text) for part, param in parts if (text := _text_of(part, param))))


def _parts_of(content: Any, param: str) -> list[tuple[dict[str, Any], str]]:
    """The parts of a content, each with the name that an error gives it."""
    if not isinstance(content, dict):
        raise wrong_type(param, "an object")
    parts = listed(content.get("parts"))
    if parts is None:
        return []
    if not isinstance(parts, list):
        raise wrong_type(f"{param}.parts", "an array of parts")
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            raise wrong_type(f"{param}.parts[{index}]", "an object")
    return [(part, f"{param}.parts[{index}]") for index, part in enumerate(parts)]


def _text_of(part: dict[str, Any], param: str) -> str:
    return optional_text(part, "text", param) or ""


def _name_of(call: Any, param: str) -> str:
    if not isinstance(call, dict):
        raise wrong_type(param, "an object")
    name = call.get("name")
    if name is None:
        raise missing(f"{param}.name")
    if not isinstance(name, str):
        raise wrong_type(f"{param}.name", "a string")
    return name


def _response(response: Any) -> tuple[str, bool]:
    """(text, whether it tells of a failure) of a function's response: of `output` or `error` alone, else of all."""
    if isinstance(response, dict) and len(response) == 1:
        ((name, value),) = response.items()
        if name in ("output", "error"):
            return (value if isinstance(value, str) else json_text.dump(value).decode()), name == "error"
    return json_text.dump(response if response is not None else {}).decode(), False
