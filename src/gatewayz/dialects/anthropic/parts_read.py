"""Content blocks of a Messages request or answer in canonical form."""

from typing import Any

from gatewayz.core.chat import (
    CacheMark,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.anthropic.wire import NAME
from gatewayz.dialects.parameters import missing, wrong_type


def read_messages(messages: list[Any], system: Any) -> tuple[Message, ...]:
    """The conversation, with the top-level `system` as its first message. Raises InvalidRequest naming the field."""
    read: list[Message] = []
    if system:
        read.append(Message("system", tuple(read_content(system, "system"))))
    for index, message in enumerate(messages):
        role: Role = message["role"]
        read.append(Message(role, tuple(read_content(message.get("content"), f"messages[{index}].content"))))
    return tuple(read)


def cache_mark(block: dict[str, Any]) -> CacheMark | None:
    """The cache breakpoint of a block or tool."""
    mark = block.get("cache_control")
    if not isinstance(mark, dict):
        return None
    ttl = mark.get("ttl")
    return CacheMark(ttl if isinstance(ttl, str) else None)


def read_content(content: Any, param: str) -> list[Part]:
    """The parts of a `content`. Raises InvalidRequest."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise wrong_type(param, "a string or an array of blocks")
    parts: list[Part] = []
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise wrong_type(f"{param}[{index}]", "an object")
        parts.append(read_block(block, f"{param}[{index}]"))
    return parts


def read_block(block: dict[str, Any], param: str) -> Part:
    """One block; a kind that only this dialect has stays opaque. Raises InvalidRequest."""
    kind = block.get("type")
    if kind == "text":
        citations = block.get("citations")
        annotations = tuple(citations) if isinstance(citations, list) else ()
        return Text(_string(block, "text", param), cache_mark(block), annotations)
    if kind == "image":
        return _image(block, param)
    if kind == "document":
        return _document(block, param)
    if kind == "thinking":
        signature = block.get("signature")
        text = block.get("thinking")
        signature = signature if isinstance(signature, str) and signature else None
        return Thinking(text if isinstance(text, str) else "", signature, signatures.family(signature))
    if kind == "redacted_thinking":
        data = _string(block, "data", param)
        return RedactedThinking(data, signatures.family(data))
    if kind == "tool_use":
        arguments = json_text.dump(block.get("input") or {}).decode()
        return ToolCall(_string(block, "id", param), _string(block, "name", param), arguments, cache_mark(block))
    if kind == "tool_result":
        return ToolResult(
            _string(block, "tool_use_id", param),
            tuple(read_content(block.get("content"), f"{param}.content")),
            block.get("is_error") is True,
            cache_mark(block),
        )
    if kind == "search_result":
        return _search_result(block, param)
    return Opaque(NAME, str(kind), block)


def _string(block: dict[str, Any], name: str, param: str) -> str:
    value = block.get(name)
    if value is None:
        raise missing(f"{param}.{name}")
    if not isinstance(value, str):
        raise wrong_type(f"{param}.{name}", "a string")
    return value


def _source(block: dict[str, Any], param: str) -> dict[str, Any]:
    source = block.get("source")
    if not isinstance(source, dict):
        raise missing(f"{param}.source")
    return source


def _image(block: dict[str, Any], param: str) -> Part:
    source = _source(block, param)
    kind = source.get("type")
    if kind == "base64":
        data, media_type = _string(source, "data", f"{param}.source"), source.get("media_type")
        return Image(data=data, media_type=media_type if isinstance(media_type, str) else None, cache=cache_mark(block))
    if kind == "url":
        return Image(url=_string(source, "url", f"{param}.source"), cache=cache_mark(block))
    return Opaque(NAME, f"image by {kind}", block)


def _document(block: dict[str, Any], param: str) -> Part:
    source = _source(block, param)
    kind = source.get("type")
    title, context, citations = block.get("title"), block.get("context"), block.get("citations")
    media_type = source.get("media_type")
    fields: dict[str, Any] = {
        "media_type": media_type if isinstance(media_type, str) else None,
        "name": title if isinstance(title, str) else None,
        "context": context if isinstance(context, str) else None,
        "citations": isinstance(citations, dict) and citations.get("enabled") is True,
        "cache": cache_mark(block),
    }
    if kind == "base64":
        return Document(data=_string(source, "data", f"{param}.source"), **fields)
    if kind == "text":
        return Document(text=_string(source, "data", f"{param}.source"), **fields)
    if kind == "url":
        return Document(url=_string(source, "url", f"{param}.source"), **fields)
    if kind == "file":
        return Document(file_id=_string(source, "file_id", f"{param}.source"), **fields)
    if kind == "content":
        text = _plain_text(source.get("content"))
        if text is not None:
            return Document(text=text, **fields)
    return Opaque(NAME, f"document by {kind}", block)


def _search_result(block: dict[str, Any], param: str) -> Part:
    text = _plain_text(block.get("content"))
    if text is None:
        return Opaque(NAME, "search_result", block)
    source = _string(block, "source", param)
    return Document(text=text, name=_string(block, "title", param), context=source, cache=cache_mark(block))


def _plain_text(content: Any) -> str | None:
    """The text of a content that is nothing but text; else None."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text"]
    if len(texts) != len(content) or not all(isinstance(text, str) for text in texts):
        return None
    return "\n".join(str(text) for text in texts)
