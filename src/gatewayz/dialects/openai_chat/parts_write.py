"""Canonical messages as Chat Completions messages."""

from collections.abc import Iterable
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
from gatewayz.dialects.base import Quirks
from gatewayz.dialects.conversation import with_results_paired
from gatewayz.dialects.data_uri import data_uri
from gatewayz.dialects.openai_chat.normal import short_call_id
from gatewayz.dialects.openai_chat.parts_read import NAME
from gatewayz.dialects.parameters import unsupported

SEE_BELOW = "(The result is in the next message.)"


def write_messages(messages: Iterable[Message], quirks: Quirks) -> list[dict[str, Any]]:
    """The messages for an OpenAI-like provider. Raises InvalidRequest naming what cannot be said there."""
    written: list[dict[str, Any]] = []
    for index, message in enumerate(with_results_paired(tuple(messages))):
        param = f"messages[{index}]"
        if message.role == "assistant":
            written += _assistant(message, quirks, param)
        elif message.role == "user":
            written += _user(message, quirks, param)
        else:
            role = message.role if message.role == "system" or quirks.developer_role else "system"
            content = _content(message.parts, quirks, param)
            if content:
                written.append(_named({"role": role, "content": content}, message))
    return written


def cache_member(mark: CacheMark | None, quirks: Quirks) -> dict[str, Any]:
    """The `cache_control` member for providers that understand it; a hint, so that others do without."""
    if mark is None or not quirks.cache_control:
        return {}
    return {"cache_control": {"type": "ephemeral", **({"ttl": mark.ttl} if mark.ttl else {})}}


def reasoning_details(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Thinking blocks as `reasoning_details`, signatures and encrypted blocks included."""
    details: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Thinking):
            detail: dict[str, Any] = {"type": "reasoning.text", "text": part.text, "index": len(details)}
            if part.signature is not None:
                detail["signature"] = part.signature
        elif isinstance(part, RedactedThinking):
            detail = {"type": "reasoning.encrypted", "data": part.data, "index": len(details)}
        else:
            continue
        if part.format is not None:
            detail["format"] = part.format
        details.append(detail)
    return details


def tool_call(call: ToolCall, call_id: str | None = None) -> dict[str, Any]:
    """A tool call as it stands in a message, under another id if one is given."""
    return {
        "id": call_id or call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }


def _named(written: dict[str, Any], message: Message) -> dict[str, Any]:
    if message.name is not None:
        written["name"] = message.name
    return written


def _assistant(message: Message, quirks: Quirks, param: str) -> list[dict[str, Any]]:
    written: dict[str, Any] = {"role": "assistant"}
    shown = [part for part in message.parts if isinstance(part, (Text, Image, Document, Audio))]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    opaque = [_opaque(part, param) for part in message.parts if isinstance(part, Opaque)]
    refusals = [part.text for part in message.parts if isinstance(part, Refusal)]
    content = _content(shown, quirks, param)
    if content or not (calls or opaque):
        written["content"] = content or ""
    else:
        written["content"] = None
    if refusals:
        written["refusal"] = "".join(refusals)
    thoughts = [part.text for part in message.parts if isinstance(part, Thinking) and part.text]
    if thoughts and quirks.reasoning_field:
        written[quirks.reasoning_field] = "\n\n".join(thoughts)
    details = reasoning_details(_unsealed(message.parts))
    if details and quirks.reasoning_details:
        written["reasoning_details"] = details
    if calls or opaque:
        written["tool_calls"] = [tool_call(call, _call_id(call.id, quirks)) for call in calls] + opaque
    empty = not content and not calls and not opaque and not refusals
    return [] if empty else [_named(written, message)]


def _unsealed(parts: Iterable[Part]) -> list[Part]:
    """The parts as other gateways know them: their providers want Gemini's signatures bare."""
    calls = [part for part in parts if isinstance(part, ToolCall)]
    found: list[Part] = []
    for part in parts:
        if isinstance(part, (Thinking, RedactedThinking)) and part.format == signatures.GEMINI:
            signed = signatures.gemini_signature(part, calls)
            if isinstance(part, Thinking) and part.text:
                found.append(Thinking(part.text, format=part.format))
            if signed is not None:
                found.append(RedactedThinking(signed[1], part.format))
        else:
            found.append(part)
    return found


def _opaque(part: Opaque, param: str) -> Any:
    if part.dialect != NAME:
        raise unsupported(param, f"holds a part of type '{part.kind}', which the provider of this model does not know")
    return part.raw


def _user(message: Message, quirks: Quirks, param: str) -> list[dict[str, Any]]:
    """Tool messages first, as providers want them right after the calls; what they cannot carry follows."""
    written: list[dict[str, Any]] = []
    rest: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            written.append(_tool_message(part, quirks, rest))
    rest += [part for part in message.parts if not isinstance(part, ToolResult)]
    content = _content(rest, quirks, param)
    if content:
        written.append(_named({"role": "user", "content": content}, message))
    return written


def _call_id(given: str, quirks: Quirks) -> str:
    return short_call_id(given) if quirks.short_call_ids else given


def _tool_message(result: ToolResult, quirks: Quirks, rest: list[Part]) -> dict[str, Any]:
    """A tool message; tool messages take text only, so that other parts are handed on in `rest`."""
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    others = [part for part in result.parts if not isinstance(part, Text)]
    if others:
        rest += [Text(f"Result of tool call {result.call_id}:"), *others]
    text = "\n".join(texts) or (SEE_BELOW if others else "")
    if result.is_error and not text.lower().startswith("error"):
        text = f"Error: {text}" if text else "Error"
    return {"role": "tool", "tool_call_id": _call_id(result.call_id, quirks), "content": text}


def _content(parts: Iterable[Part], quirks: Quirks, param: str) -> str | list[dict[str, Any]]:
    """A string where that says everything, else an array of parts; empty texts are left out."""
    kept = [part for part in parts if not (isinstance(part, Text) and not part.text)]
    if len(kept) == 1 and isinstance(kept[0], Text) and not cache_member(kept[0].cache, quirks):
        return kept[0].text
    return [_part(part, quirks, param) for part in kept if not isinstance(part, (Thinking, RedactedThinking))]


def _part(part: Part, quirks: Quirks, param: str) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text, **cache_member(part.cache, quirks)}
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": _image_url(part), **cache_member(part.cache, quirks)}
    if isinstance(part, Document):
        return _document(part, quirks)
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Opaque):
        opaque: dict[str, Any] = _opaque(part, param)
        return opaque
    raise unsupported(param, "holds a part that cannot stand here")


def _image_url(image: Image) -> dict[str, Any]:
    url = image.url if image.url is not None else data_uri(image.media_type or "image/png", image.data or "")
    return {"url": url, **({"detail": image.detail} if image.detail else {})}


def _document(document: Document, quirks: Quirks) -> dict[str, Any]:
    mark = cache_member(document.cache, quirks)
    if document.text is not None:
        head = f"Document: {document.name}\n\n" if document.name else ""
        context = f"{document.context}\n\n" if document.context else ""
        return {"type": "text", "text": head + context + document.text, **mark}
    file: dict[str, Any] = {}
    if document.name is not None:
        file["filename"] = document.name
    if document.data is not None:
        file.setdefault("filename", "document.pdf")
        file["file_data"] = data_uri(document.media_type or "application/pdf", document.data)
    elif document.url is not None:
        file["file_data"] = document.url
    else:
        file["file_id"] = document.file_id
    return {"type": "file", "file": file, **mark}
