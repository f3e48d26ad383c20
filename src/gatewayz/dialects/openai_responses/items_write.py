"""Canonical messages as items of a Responses conversation, for a provider that speaks it."""

from collections.abc import Sequence
from typing import Any

from gatewayz.core.chat import (
    Audio,
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
from gatewayz.dialects.conversation import with_results_paired
from gatewayz.dialects.data_uri import data_uri
from gatewayz.dialects.openai_responses.reasoning import encrypted_for
from gatewayz.dialects.openai_responses.wire import NAME
from gatewayz.dialects.parameters import unsupported


def write_items(messages: Sequence[Message], provider: str) -> list[dict[str, Any]]:
    """The input items for `provider`. Raises InvalidRequest naming what cannot be said there."""
    items: list[dict[str, Any]] = []
    for index, message in enumerate(with_results_paired(messages)):
        param = f"messages[{index}]"
        if message.role == "assistant":
            items += _assistant(message, provider, param)
            continue
        items += [_result(part, param) for part in message.parts if isinstance(part, ToolResult)]
        content = [_content(part, param) for part in message.parts if not _is_elsewhere(part)]
        if content:
            items.append({"type": "message", "role": message.role, "content": content})
    return items


def _is_elsewhere(part: Part) -> bool:
    """Whether a part of a user's turn is an item of its own, or nothing."""
    empty = isinstance(part, Text) and not part.text
    return empty or isinstance(part, (ToolResult, Thinking, RedactedThinking))


def _assistant(message: Message, provider: str, param: str) -> list[dict[str, Any]]:
    """The items of one turn; texts that follow each other are one message."""
    items: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, (Text, Refusal)):
            if not part.text:
                continue
            if not items or items[-1]["type"] != "message":
                items.append({"type": "message", "role": "assistant", "content": []})
            items[-1]["content"].append(_said(part))
        elif isinstance(part, (Thinking, RedactedThinking)):
            items += _reasoning(part, provider)
        elif isinstance(part, ToolCall):
            arguments = part.arguments or "{}"
            items.append({"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments})
        elif isinstance(part, Opaque) and part.dialect == NAME:
            items.append(part.raw)
        else:
            kind = getattr(part, "kind", type(part).__name__)
            raise unsupported(param, f"holds a part of type '{kind}', which the provider of this model does not know")
    return items


def _said(part: Text | Refusal) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": []}


def _reasoning(part: Thinking | RedactedThinking, provider: str) -> list[dict[str, Any]]:
    """A reasoning item of the provider's own; thoughts of others are not sent."""
    signature = part.signature if isinstance(part, Thinking) else part.data
    if signature is None or part.format not in (None, signatures.OPENAI):
        return []
    encrypted = encrypted_for(signature, provider) if part.format == signatures.OPENAI else None
    if encrypted is None:
        return []
    text = part.text if isinstance(part, Thinking) else ""
    summary = [{"type": "summary_text", "text": text}] if text else []
    return [{"type": "reasoning", "summary": summary, "encrypted_content": encrypted}]


def _result(result: ToolResult, param: str) -> dict[str, Any]:
    """A call's result: a text where that says everything, else parts."""
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    if len(texts) == len(result.parts):
        text = "\n".join(texts)
        if result.is_error and not text.lower().startswith("error"):
            text = f"Error: {text}" if text else "Error"
        return {"type": "function_call_output", "call_id": result.call_id, "output": text}
    output = [_content(part, param) for part in result.parts]
    return {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _content(part: Part, param: str) -> dict[str, Any]:
    """A content part of a message that is not the assistant's."""
    if isinstance(part, (Text, Refusal)):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, Image):
        url = part.url if part.url is not None else data_uri(part.media_type or "image/png", part.data or "")
        return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
    if isinstance(part, Document):
        return _file(part)
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    kind = getattr(part, "kind", type(part).__name__)
    if isinstance(part, Opaque) and part.dialect == NAME:
        raw: dict[str, Any] = part.raw
        return raw
    raise unsupported(param, f"holds a part of type '{kind}', which the provider of this model does not know")


def _file(document: Document) -> dict[str, Any]:
    if document.text is not None:
        head = f"Document: {document.name}\n\n" if document.name else ""
        context = f"{document.context}\n\n" if document.context else ""
        return {"type": "input_text", "text": head + context + document.text}
    if document.file_id is not None:
        return {"type": "input_file", "file_id": document.file_id}
    if document.url is not None:
        return {"type": "input_file", "file_url": document.url}
    data = data_uri(document.media_type or "application/pdf", document.data or "")
    return {"type": "input_file", "filename": document.name or "document.pdf", "file_data": data}
