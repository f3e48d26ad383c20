"""Canonical messages as Anthropic's: a system prompt, and turns that alternate between user and assistant.

Rules, where the two ways of speaking differ:
- System and developer messages before the first turn become `system`. Later ones keep their place: as system messages
  for models that take them there, else inside the user's turn, between `<system>` tags.
- Neighbouring messages of one role are one turn; empty texts are left out; tool results open their turn.
- Thinking goes back only with a signature of Anthropic's: without one it is refused.
- A conversation that would start with the assistant is opened by a short user turn.
"""

import base64
import re
from collections.abc import Sequence
from typing import Any

from gatewayz.core.chat import (
    Audio,
    CacheMark,
    Document,
    Image,
    Message,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gatewayz.dialects import citations
from gatewayz.dialects.anthropic.wire import NAME
from gatewayz.dialects.base import Quirks
from gatewayz.dialects.call_input import call_input
from gatewayz.dialects.conversation import OPENING, system_tagged, with_results_paired
from gatewayz.dialects.parameters import unsupported

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_PDF = "application/pdf"

Turn = tuple[str, list[dict[str, Any]]]


def write_messages(messages: Sequence[Message], quirks: Quirks) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(system blocks, messages). Raises InvalidRequest naming what cannot be said to Anthropic."""
    first_turn = next(
        (index for index, message in enumerate(messages) if message.role not in ("system", "developer")), len(messages)
    )
    system: list[dict[str, Any]] = []
    for message in messages[:first_turn]:
        system += _texts(message)
    turns: list[Turn] = []
    for index, message in enumerate(with_results_paired(messages[first_turn:]), first_turn):
        role = "assistant" if message.role == "assistant" else "user"
        if message.role in ("system", "developer"):
            if quirks.system_messages:
                _add(turns, "system", _texts(message))
            else:
                _add(turns, "user", [_tagged(block) for block in _texts(message)])
            continue
        _add(turns, role, _blocks(message, f"messages[{index}]"))
    if not turns or turns[0][0] == "assistant":
        turns.insert(0, ("user", [{"type": "text", "text": OPENING}]))
    _trim_prefill(turns)
    return system, [{"role": role, "content": _content(blocks)} for role, blocks in turns]


def cache_member(mark: CacheMark | None) -> dict[str, Any]:
    """The `cache_control` member."""
    if mark is None:
        return {}
    return {"cache_control": {"type": "ephemeral", **({"ttl": mark.ttl} if mark.ttl else {})}}


def write_call(call: ToolCall) -> dict[str, Any]:
    """A tool call as block; arguments keep their bytes where they are a JSON object."""
    return {
        "type": "tool_use",
        "id": call_id(call.id),
        "name": call.name,
        "input": call_input(call.arguments),
        **cache_member(call.cache),
    }


def is_signed_here(part: Part) -> bool:
    """Whether this is thinking that Anthropic accepts back: signed or encrypted, and not by another family."""
    if isinstance(part, Thinking):
        ours = part.format is None or part.format.startswith(NAME)
        return ours and part.signature is not None
    return isinstance(part, RedactedThinking) and (part.format is None or part.format.startswith(NAME))


def call_id(given: str) -> str:
    """A tool call id in the alphabet that Anthropic accepts."""
    return _NOT_IN_IDS.sub("_", given) or "call"


def _add(turns: list[Turn], role: str, blocks: list[dict[str, Any]]) -> None:
    if not blocks:
        return
    if turns and turns[-1][0] == role:
        turns[-1][1].extend(blocks)
    else:
        turns.append((role, blocks))


def _content(blocks: list[dict[str, Any]]) -> Any:
    """A string where that says everything."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def _trim_prefill(turns: list[Turn]) -> None:
    """The last words put into the model's mouth must not end in white space."""
    role, blocks = turns[-1]
    if role == "assistant" and blocks[-1]["type"] == "text":
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()


def _texts(message: Message) -> list[dict[str, Any]]:
    return [_text(part) for part in message.parts if isinstance(part, Text) and part.text.strip()]


def _text(part: Text) -> dict[str, Any]:
    return {"type": "text", "text": part.text, **cache_member(part.cache)}


def _tagged(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, "text": system_tagged(block["text"])}


def _blocks(message: Message, param: str) -> list[dict[str, Any]]:
    parts = message.parts
    results = [part for part in parts if isinstance(part, ToolResult)]
    rest = [part for part in parts if not isinstance(part, ToolResult)]
    blocks = [_result(part, param) for part in results]
    for part in rest:
        block = _block(part, message.role, param)
        if block is not None:
            blocks.append(block)
    return blocks


def _block(part: Part, role: str, param: str) -> dict[str, Any] | None:
    """A block, or None for what is left out by the rules of this module."""
    if isinstance(part, (Text, Refusal)):
        if not part.text.strip():
            return None
        return _text(part) if isinstance(part, Text) else {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        return write_call(part)
    if isinstance(part, Thinking):
        if not is_signed_here(part):
            return None
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, RedactedThinking):
        return {"type": "redacted_thinking", "data": part.data} if is_signed_here(part) else None
    if isinstance(part, ToolResult):
        return _result(part, param)
    if isinstance(part, Audio):
        raise unsupported(param, "holds audio, which the provider of this model does not take")
    if role == "assistant" and isinstance(part, (Image, Document)):
        raise unsupported(param, "holds an image or file in the assistant's turn, which this provider does not take")
    if isinstance(part, Image):
        return _image(part)
    if isinstance(part, Document):
        return _document(part, param)
    if part.dialect != NAME:
        raise unsupported(param, f"holds a part of type '{part.kind}', which this provider does not know")
    raw: dict[str, Any] = part.raw
    return raw


def _result(result: ToolResult, param: str) -> dict[str, Any]:
    blocks = [block for part in result.parts if (block := _block(part, "user", param)) is not None]
    written: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id(result.call_id)}
    if blocks:
        written["content"] = _content(blocks)
    if result.is_error:
        written["is_error"] = True
    return {**written, **cache_member(result.cache)}


def _image(image: Image) -> dict[str, Any]:
    if image.url is not None:
        source = {"type": "url", "url": image.url}
    else:
        source = {"type": "base64", "media_type": image.media_type or "image/png", "data": image.data or ""}
    return {"type": "image", "source": source, **cache_member(image.cache)}


def _document(document: Document, param: str) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "document", "source": _document_source(document, param)}
    if document.name is not None:
        written["title"] = document.name
    if document.context is not None:
        written["context"] = document.context
    if document.citations:
        written["citations"] = {"enabled": True}
    return {**written, **cache_member(document.cache)}


def _document_source(document: Document, param: str) -> dict[str, Any]:
    if document.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": document.text}
    if document.url is not None:
        return {"type": "url", "url": document.url}
    if document.data is None:
        return {"type": "file", "file_id": document.file_id}
    media_type = document.media_type or _PDF
    if media_type == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": document.data}
    if media_type.startswith("text/") or media_type == "application/json":
        try:
            text = base64.b64decode(document.data, validate=True).decode()
        except ValueError as error:  # no base64, or no UTF-8
            raise unsupported(param, f"holds a file of type {media_type} that is no text") from error
        return {"type": "text", "media_type": "text/plain", "data": text}
    raise unsupported(param, f"holds a file of type {media_type}, which the provider of this model does not take")


def answer_block(part: Part) -> dict[str, Any] | None:
    """A part of an answer as block for a client; None for what another dialect left over."""
    if isinstance(part, Text):
        found = [cited for annotation in part.annotations if (cited := citations.to_anthropic(annotation)) is not None]
        return {"type": "text", "text": part.text, **({"citations": found} if found else {})}
    if isinstance(part, Refusal):
        return {"type": "text", "text": part.text}
    if isinstance(part, Thinking):
        return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
    if isinstance(part, RedactedThinking):
        return {"type": "redacted_thinking", "data": part.data}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": call_input(part.arguments)}
    return None
