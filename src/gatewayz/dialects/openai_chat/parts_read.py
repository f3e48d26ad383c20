"""Content parts and messages of a Chat Completions request in canonical form."""

from typing import Any

from gatewayz.core.chat import (
    Audio,
    CacheMark,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gatewayz.dialects import signatures
from gatewayz.dialects.data_uri import split_data_uri
from gatewayz.dialects.openai_chat.normal import arguments_text
from gatewayz.dialects.parameters import missing, optional_text, unsupported, wrong_type

NAME = "openai"


def read_messages(messages: list[Any]) -> tuple[Message, ...]:
    """The conversation. Raises InvalidRequest naming the message and field."""
    reader = _Messages()
    return tuple(reader.read(message, f"messages[{index}]") for index, message in enumerate(messages))


def cache_mark(value: dict[str, Any]) -> CacheMark | None:
    """The cache mark that OpenRouter's and other clients put on parts and tools (`cache_control`)."""
    mark = value.get("cache_control")
    if not isinstance(mark, dict):
        return None
    ttl = mark.get("ttl")
    return CacheMark(ttl if isinstance(ttl, str) else None)


class _Messages:
    """Reads one message after the other; remembers legacy function calls, which have no ids."""

    __slots__ = ("_functions",)

    def __init__(self) -> None:
        self._functions: list[tuple[str, str]] = []  # (name, made-up id) of legacy calls

    def read(self, message: dict[str, Any], param: str) -> Message:
        role = message["role"]
        if role == "tool":
            call_id = message.get("tool_call_id")
            if not isinstance(call_id, str):
                raise missing(f"{param}.tool_call_id")
            return Message("user", (self._result(call_id, message, param),))
        if role == "function":
            return Message("user", (self._result(self._legacy_id(message.get("name")), message, param),))
        name = message.get("name")
        name = name if isinstance(name, str) else None
        if role == "assistant":
            return Message("assistant", self._assistant(message, param), name)
        return Message(role, tuple(read_content(message.get("content"), f"{param}.content")), name)

    def _result(self, call_id: str, message: dict[str, Any], param: str) -> ToolResult:
        parts = tuple(read_content(message.get("content"), f"{param}.content"))
        return ToolResult(call_id, parts, cache=cache_mark(message))

    def _legacy_id(self, name: Any) -> str:
        for position, (called, call_id) in enumerate(self._functions):
            if called == name:
                del self._functions[position]
                return call_id
        return f"call_{name}"

    def _assistant(self, message: dict[str, Any], param: str) -> tuple[Part, ...]:
        if message.get("audio"):
            raise unsupported(f"{param}.audio", "refers to audio that only its own provider holds")
        parts = read_reasoning(message)
        refusal = message.get("refusal")
        parts += read_content(message.get("content"), f"{param}.content")
        if isinstance(refusal, str) and refusal:
            parts.append(Refusal(refusal))
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, list):
            raise wrong_type(f"{param}.tool_calls", "an array")
        for index, call in enumerate(calls or ()):
            parts.append(read_tool_call(call, f"{param}.tool_calls[{index}]"))
        function = message.get("function_call")
        if isinstance(function, dict) and function.get("name"):
            made_up = f"call_{function['name']}_{len(self._functions)}"
            self._functions.append((function["name"], made_up))
            parts.append(ToolCall(made_up, function["name"], arguments_text(function.get("arguments"))))
        return tuple(parts)


def read_reasoning(message: dict[str, Any]) -> list[Part]:
    """Thinking of an assistant message: `reasoning_details` (with signatures), else its plain text."""
    parts: list[Part] = []
    details = message.get("reasoning_details")
    last_index: Any = None
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        kind, index = detail.get("type"), detail.get("index")
        family = detail.get("format")
        family = family if isinstance(family, str) else None
        if kind == "reasoning.encrypted" and isinstance(detail.get("data"), str):
            parts.append(RedactedThinking(detail["data"], family or signatures.family(detail["data"])))
        elif kind in ("reasoning.text", "reasoning.summary"):
            text, signature = detail.get("text") or detail.get("summary"), detail.get("signature")
            signature = signature if isinstance(signature, str) and signature else None
            family = family or signatures.family(signature)
            piece = Thinking(text if isinstance(text, str) else "", signature, family)
            _add_thinking(parts, piece, same_block=index is not None and index == last_index)
        last_index = index
    if any(isinstance(part, Thinking) for part in parts):
        return parts
    for name in ("reasoning_content", "reasoning"):
        text = message.get(name)
        if isinstance(text, str) and text:
            return [Thinking(text), *parts]
    return parts


def _add_thinking(parts: list[Part], piece: Thinking, same_block: bool) -> None:
    """Joins the streamed pieces of one block, should a client send them back one by one."""
    last = parts[-1] if parts else None
    if isinstance(last, Thinking) and same_block:
        signature = (last.signature or "") + (piece.signature or "")
        parts[-1] = Thinking(last.text + piece.text, signature or None, last.format or piece.format)
    elif isinstance(last, Thinking) and last.signature is None and not piece.text:
        parts[-1] = Thinking(last.text, piece.signature, last.format or piece.format)
    elif piece.text or piece.signature:
        parts.append(piece)


def read_tool_call(call: Any, param: str) -> Part:
    """One tool call; a kind that other dialects do not know stays opaque. Raises InvalidRequest."""
    if not isinstance(call, dict):
        raise wrong_type(param, "an object")
    function = call.get("function")
    if not isinstance(function, dict):
        kind = call.get("type")
        if kind in (None, "function"):
            raise missing(f"{param}.function")
        return Opaque(NAME, str(kind), call)
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise missing(f"{param}.function.name")
    call_id = call.get("id")
    return ToolCall(
        call_id if isinstance(call_id, str) else "", name, arguments_text(function.get("arguments")), cache_mark(call)
    )


def read_content(content: Any, param: str) -> list[Part]:
    """The parts of a `content`. Raises InvalidRequest."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise wrong_type(param, "a string or an array of parts")
    return [_part(part, f"{param}[{index}]") for index, part in enumerate(content)]


def _part(part: Any, param: str) -> Part:
    if not isinstance(part, dict):
        raise wrong_type(param, "an object")
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text"):
        text = part.get("text")
        if not isinstance(text, str):
            raise wrong_type(f"{param}.text", "a string")
        return Text(text, cache_mark(part))
    if kind == "image_url":
        return _image(part, param)
    if kind == "input_audio":
        audio = part.get("input_audio")
        if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
            raise missing(f"{param}.input_audio.data")
        return Audio(audio["data"], str(audio.get("format") or "wav"))
    if kind == "file":
        return _file(part, param)
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return Refusal(part["refusal"])
    return Opaque(NAME, str(kind), part)


def _image(part: dict[str, Any], param: str) -> Image:
    image = part.get("image_url")
    detail = optional_text(image, "detail", f"{param}.image_url") if isinstance(image, dict) else None
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise missing(f"{param}.image_url.url")
    embedded = split_data_uri(url)
    if embedded:
        return Image(data=embedded[1], media_type=embedded[0], detail=detail, cache=cache_mark(part))
    return Image(url=url, detail=detail, cache=cache_mark(part))


def _file(part: dict[str, Any], param: str) -> Document:
    file = part.get("file")
    if not isinstance(file, dict):
        raise missing(f"{param}.file")
    name, data, file_id = file.get("filename"), file.get("file_data"), file.get("file_id")
    name = name if isinstance(name, str) else None
    mark = cache_mark(part)
    if isinstance(file_id, str):
        return Document(file_id=file_id, name=name, cache=mark)
    if not isinstance(data, str):
        raise missing(f"{param}.file.file_data")
    embedded = split_data_uri(data)
    if embedded:
        return Document(data=embedded[1], media_type=embedded[0], name=name, cache=mark)
    if data.startswith(("https://", "http://")):
        return Document(url=data, name=name, cache=mark)
    return Document(data=data, media_type="application/pdf", name=name, cache=mark)
