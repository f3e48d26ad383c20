"""Items of a Responses conversation in canonical form.

Reasoning, messages and calls of the model that follow each other are one turn of the assistant: that is how every other
dialect says it.
"""

from collections.abc import Sequence
from typing import Any, cast

from gatewayz.core.chat import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gatewayz.dialects import json_text
from gatewayz.dialects.data_uri import split_data_uri
from gatewayz.dialects.openai_responses.names import function_name
from gatewayz.dialects.openai_responses.reasoning import check_reasoning, reasoned, reasoning_text
from gatewayz.dialects.openai_responses.wire import NAME, kind_of
from gatewayz.dialects.parameters import missing, optional_text, wrong_type

CUSTOM_INPUT = "input"  # the one parameter of a custom tool where it is put as a function
_TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})
_OF_ASSISTANT = frozenset({"reasoning", "function_call", "custom_tool_call"})


def read_items(items: Sequence[Any]) -> tuple[Message, ...]:
    """The conversation. Raises InvalidRequest naming the item and field."""
    turns: list[tuple[Role, list[Part]]] = []
    for index, item in enumerate(items):
        param = f"input[{index}]"
        role, parts = _item(item, param)
        joins = role == "assistant" or all(isinstance(part, ToolResult) for part in parts)
        if joins and turns and turns[-1][0] == role and (role == "assistant" or _is_results(turns[-1][1])):
            _join(turns[-1][1], parts)
        else:
            turns.append((role, list(parts)))
    return tuple(Message(role, tuple(parts)) for role, parts in turns)


def read_output(items: Sequence[Any], provider: str = "") -> tuple[Part, ...]:
    """The parts of an answer's output items, made by `provider`. Never raises: an item of unknown form stays opaque."""
    parts: list[Part] = []
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = kind_of(item)
        if kind == "message":
            content = item.get("content")
            for part in content if isinstance(content, list) else ():
                parts.append(_answered(part))
        elif kind in _OF_ASSISTANT:
            _join(parts, _of_assistant(item, provider))
        else:
            parts.append(Opaque(NAME, kind or "untold", item))
    return tuple(parts)


def custom_arguments(text: str) -> str:
    """The arguments of a custom tool's function for a free text."""
    return json_text.dump({CUSTOM_INPUT: text}).decode("utf-8", "surrogatepass")


def _is_results(parts: list[Part]) -> bool:
    return bool(parts) and all(isinstance(part, ToolResult) for part in parts)


def _join(parts: list[Part], more: Sequence[Part]) -> None:
    """Adds parts to a turn; a signature without text belongs to the unsigned thought right before it."""
    for part in more:
        last = parts[-1] if parts else None
        if (
            isinstance(part, Thinking)
            and not part.text
            and isinstance(last, Thinking)
            and last.text
            and last.signature is None
        ):
            parts[-1] = Thinking(last.text, part.signature, part.format)
        else:
            parts.append(part)


def _item(item: dict[str, Any], param: str) -> tuple[Role, list[Part]]:
    kind = item.get("type") or "message"
    if kind == "message":
        role: Role = item["role"]
        return role, _content(item.get("content"), f"{param}.content")
    if kind in _RESULTS:
        call_id = item.get("call_id")
        if not isinstance(call_id, str):
            raise missing(f"{param}.call_id")
        return "user", [ToolResult(call_id, tuple(_content(item.get("output"), f"{param}.output")))]
    if kind in _OF_ASSISTANT:
        for name in () if kind == "reasoning" else ("name", "call_id"):
            if not isinstance(item.get(name), str) or not item[name]:
                raise missing(f"{param}.{name}")
        if kind == "reasoning":
            check_reasoning(item, param)
        return "assistant", list(_of_assistant(item))
    return "assistant", [Opaque(NAME, str(kind), item)]


def _of_assistant(item: dict[str, Any], maker: str | None = None) -> list[Part]:
    """The parts of an item of the assistant; `maker` is the provider whose answer it is in, None in a conversation."""
    kind = item.get("type")
    if kind == "reasoning":
        encrypted = item.get("encrypted_content")
        part = reasoned(reasoning_text(item), encrypted if isinstance(encrypted, str) else None, maker)
        return [part] if part is not None else []
    call_id, name = item.get("call_id"), item.get("name")
    if not isinstance(name, str):
        return []
    call_id = call_id if isinstance(call_id, str) else str(item.get("id") or "")
    name = function_name(name, item.get("namespace"))
    if kind == "custom_tool_call":
        text = item.get("input")
        return [ToolCall(call_id, name, custom_arguments(text if isinstance(text, str) else ""))]
    arguments = item.get("arguments")
    if not isinstance(arguments, str):
        arguments = "" if arguments is None else json_text.dump(arguments).decode()
    return [ToolCall(call_id, name, arguments)]


def _content(content: Any, param: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        raise wrong_type(param, "a string or an array of parts")
    return [_part(part, f"{param}[{index}]") for index, part in enumerate(content)]


def _part(part: Any, param: str) -> Part:
    if not isinstance(part, dict):
        raise wrong_type(param, "an object")
    kind = kind_of(part)
    if kind in _TEXTS:
        text = part.get("text")
        if not isinstance(text, str):
            raise wrong_type(f"{param}.text", "a string")
        return Text(text)
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return Refusal(part["refusal"])
    if kind == "input_image":
        return _image(part, param)
    if kind == "input_file":
        return _file(part, param)
    if kind == "input_audio":
        audio = part.get("input_audio")
        if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
            raise missing(f"{param}.input_audio.data")
        return Audio(audio["data"], str(audio.get("format") or "wav"))
    return Opaque(NAME, str(kind), part)


def _answered(part: Any) -> Part:
    """A content part of an answer."""
    if isinstance(part, dict):
        if part.get("type") == "refusal" and isinstance(part.get("refusal"), str):
            return Refusal(part["refusal"])
        if isinstance(part.get("text"), str):
            annotations = part.get("annotations")
            told = tuple(map(nested, annotations)) if isinstance(annotations, list) else ()
            return Text(part["text"], annotations=told)
    return Opaque(NAME, "content", part)


def nested(annotation: Any) -> Any:
    """A flat annotation as Chat Completions has it."""
    if isinstance(annotation, dict) and annotation.get("type") == "url_citation" and "url" in annotation:
        return {
            "type": "url_citation",
            "url_citation": {name: value for name, value in annotation.items() if name != "type"},
        }
    return annotation


def _image(part: dict[str, Any], param: str) -> Part:
    url, file_id, detail = part.get("image_url"), part.get("file_id"), optional_text(part, "detail", param)
    if not isinstance(url, str):
        if isinstance(file_id, str):
            return Opaque(NAME, "image by file_id", part)
        raise missing(f"{param}.image_url")
    embedded = split_data_uri(url)
    if embedded:
        return Image(data=embedded[1], media_type=embedded[0], detail=detail)
    return Image(url=url, detail=detail)


def _file(part: dict[str, Any], param: str) -> Part:
    name = cast("str | None", part["filename"] if isinstance(part.get("filename"), str) else None)
    if isinstance(part.get("file_id"), str):
        return Document(file_id=part["file_id"], name=name)
    if isinstance(part.get("file_url"), str):
        return Document(url=part["file_url"], name=name)
    data = part.get("file_data")
    if not isinstance(data, str):
        raise missing(f"{param}.file_data")
    embedded = split_data_uri(data)
    if embedded:
        return Document(data=embedded[1], media_type=embedded[0], name=name)
    return Document(data=data, media_type="application/pdf", name=name)
