"""Canonical messages as Cohere's: like those of Chat Completions, with documents beside them.

- Text before calls goes back where Cohere had it, as `tool_plan`; thinking that nobody signed goes back to models that think.
- Results of tools are text; images in them follow in the user's next message, under the id of the call.
- A document that is to be cited stands among the request's `documents`, under its number; any other plain text stays where it
  is, under its name. Other files are refused: Cohere reads none.
"""

from collections.abc import Iterable
from typing import Any

from gatewayz.core.chat import (
    Audio,
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
from gatewayz.dialects.conversation import with_results_paired
from gatewayz.dialects.data_uri import data_uri
from gatewayz.dialects.openai_chat.parts_write import SEE_BELOW
from gatewayz.dialects.parameters import unsupported


class MessageWriter:
    """Writes the messages of one request; `documents` are those to be cited."""

    def __init__(self, *, thinks: bool) -> None:
        self._thinks = thinks
        self.documents: list[dict[str, Any]] = []

    def write(self, messages: Iterable[Message]) -> list[dict[str, Any]]:
        """The messages. Raises InvalidRequest naming what cannot be said to Cohere."""
        written: list[dict[str, Any]] = []
        for index, message in enumerate(with_results_paired(tuple(messages))):
            param = f"messages[{index}]"
            if message.role == "assistant":
                written += self._assistant(message, param)
            elif message.role == "user":
                written += self._user(message, param)
            else:
                content = self._content(message.parts, param)
                if content:
                    written.append({"role": "system", "content": content})
        return written

    def _assistant(self, message: Message, param: str) -> list[dict[str, Any]]:
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        thoughts = [part.text for part in message.parts if isinstance(part, Thinking) and self._goes_back(part)]
        for part in message.parts:
            if not isinstance(part, (Text, Refusal, Thinking, RedactedThinking, ToolCall)):
                raise unsupported(param, "holds a part in the assistant's turn that this provider does not take there")
        texts = [part.text for part in message.parts if isinstance(part, (Text, Refusal)) and part.text]
        content: list[dict[str, Any]] = [{"type": "thinking", "thinking": thought} for thought in thoughts]
        written: dict[str, Any] = {"role": "assistant"}
        if calls and texts:
            written["tool_plan"] = "".join(texts)
        elif texts:
            content += [{"type": "text", "text": text} for text in texts]
        if content:
            plain = len(content) == 1 and content[0]["type"] == "text"
            written["content"] = content[0]["text"] if plain else content
        if calls:
            written["tool_calls"] = [_call(call) for call in calls]
        return [written] if len(written) > 1 else []

    def _goes_back(self, part: Thinking) -> bool:
        return self._thinks and bool(part.text) and not part.signature and part.format is None

    def _user(self, message: Message, param: str) -> list[dict[str, Any]]:
        rest: list[Part] = []
        written = [_result(part, rest) for part in message.parts if isinstance(part, ToolResult)]
        rest += [part for part in message.parts if not isinstance(part, ToolResult)]
        content = self._content(rest, param)
        if content:
            written.append({"role": "user", "content": content})
        return written

    def _content(self, parts: Iterable[Part], param: str) -> str | list[dict[str, Any]]:
        """A string where that says everything, else an array of parts; empty texts are left out."""
        blocks = [block for part in parts for block in self._part(part, param)]
        if len(blocks) == 1 and blocks[0]["type"] == "text":
            text: str = blocks[0]["text"]
            return text
        return blocks

    def _part(self, part: Part, param: str) -> list[dict[str, Any]]:
        if isinstance(part, (Text, Refusal)):
            return [{"type": "text", "text": part.text}] if part.text else []
        if isinstance(part, Image):
            url = part.url if part.url is not None else data_uri(part.media_type or "image/png", part.data or "")
            detail = {"detail": part.detail} if part.detail else {}
            return [{"type": "image_url", "image_url": {"url": url, **detail}}]
        if isinstance(part, Document) and part.text is not None:
            return self._document(part, part.text)
        if isinstance(part, (Thinking, RedactedThinking)):
            return []
        what = "audio" if isinstance(part, Audio) else "a file" if isinstance(part, Document) else "a part"
        raise unsupported(param, f"holds {what} of a kind that the provider of this model does not take")

    def _document(self, document: Document, text: str) -> list[dict[str, Any]]:
        if document.citations:
            data = {"title": document.name, "context": document.context, "text": text}
            told = {name: value for name, value in data.items() if value is not None}
            self.documents.append({"id": str(len(self.documents)), "data": told})
            return []
        head = f"Document: {document.name}\n\n" if document.name else ""
        context = f"{document.context}\n\n" if document.context else ""
        return [{"type": "text", "text": head + context + text}]


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}


def _result(result: ToolResult, rest: list[Part]) -> dict[str, Any]:
    """A tool message; what is no text is handed on in `rest`."""
    texts = [part.text for part in result.parts if isinstance(part, (Text, Refusal))]
    others = [part for part in result.parts if not isinstance(part, (Text, Refusal))]
    if others:
        rest += [Text(f"Result of tool call {result.call_id}:"), *others]
    text = "\n".join(texts) or (SEE_BELOW if others else "")
    if result.is_error and not text.lower().startswith("error"):
        text = f"Error: {text}" if text else "Error"
    return {"role": "tool", "tool_call_id": result.call_id, "content": text}
