"""Canonical messages as Converse's: a system text, and turns that alternate between user and assistant.

Rules, where the two ways of speaking differ, are those of `anthropic/parts_write.py`. Beside them:
- A cache mark is a block of its own, after the part that carried it; only for models that take it.
- Images and documents stand inside the request; one by address is refused.
- Thoughts go back to Claude only, with Anthropic's signatures: these are the same at Anthropic and here.
- A turn that holds documents holds a text, too.
- Ids of tool calls have 64 letters at most; a longer one is cut and told apart by a digest of the whole.
- A result that is an error is marked so for Claude and Nova; for others it begins with "Error". To Mistral's models results are
  JSON objects: one that is none stands under `output`.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

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
from gatewayz.dialects.anthropic.parts_write import is_signed_here
from gatewayz.dialects.base import Quirks
from gatewayz.dialects.bedrock import wire
from gatewayz.dialects.bedrock.family import Family
from gatewayz.dialects.bedrock.media import Documents, audio_block, image_block
from gatewayz.dialects.call_input import call_input, json_object
from gatewayz.dialects.conversation import OPENING, system_tagged, with_results_paired
from gatewayz.dialects.parameters import unsupported

DOCUMENT_ONLY = "(The documents are above.)"
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_.:-]")
_LONGEST_ID = 64
_DIGEST = 16

Block = dict[str, Any]
Turn = tuple[str, list[Block]]


class MessageWriter:
    """Writes the messages of one request to a model of this family.

    `left_out` collects the names of what does not arrive as it was sent.
    """

    def __init__(self, family: Family, quirks: Quirks) -> None:
        self._family = family
        self._quirks = quirks
        self._documents = Documents()
        self.left_out: list[str] = []

    def write(self, messages: Sequence[Message]) -> tuple[list[Block], list[Block]]:
        """(system blocks, messages). Raises InvalidRequest naming what cannot be said to Bedrock."""
        first_turn = next(
            (index for index, message in enumerate(messages) if message.role not in ("system", "developer")),
            len(messages),
        )
        system = [block for message in messages[:first_turn] for block in self._texts(message)]
        turns: list[Turn] = []
        for index, message in enumerate(with_results_paired(messages[first_turn:]), first_turn):
            if message.role in ("system", "developer"):
                if self._quirks.system_messages:
                    _add(turns, "system", self._texts(message))
                else:
                    _add(turns, "user", [_tagged(block) for block in self._texts(message)])
                continue
            role = "assistant" if message.role == "assistant" else "user"
            _add(turns, role, self._blocks(message, f"messages[{index}]"))
        if not turns or turns[0][0] == "assistant":
            turns.insert(0, ("user", [{"text": OPENING}]))
        _finish(turns)
        if self._documents.renamed:
            self.left_out.append("documents.name")
        return system, [{"role": role, "content": blocks} for role, blocks in turns]

    def marks(self, mark: CacheMark | None, *, tools: bool = False) -> list[Block]:
        """The cache point after a part (or a tool) that carries this mark, as far as this model takes one."""
        if mark is None:
            return []
        if not self._family.caches or (tools and not self._family.is_claude):
            self._leave_out("cache_control")
            return []
        point = {"type": "default"}
        if mark.ttl is not None and self._family.caches_long:
            point["ttl"] = mark.ttl
        elif mark.ttl not in (None, "5m"):
            self._leave_out("cache_control.ttl")
        return [{"cachePoint": point}]

    def _leave_out(self, name: str) -> None:
        if name not in self.left_out:
            self.left_out.append(name)

    def _texts(self, message: Message) -> list[Block]:
        blocks: list[Block] = []
        for part in message.parts:
            if isinstance(part, Text) and part.text.strip():
                blocks += [{"text": part.text}, *self.marks(part.cache)]
        return blocks

    def _blocks(self, message: Message, param: str) -> list[Block]:
        blocks: list[Block] = []
        for part in message.parts:
            if isinstance(part, ToolResult):
                blocks += [self._result(part, param), *self.marks(part.cache)]
        for part in message.parts:
            if not isinstance(part, ToolResult):
                blocks += self._part(part, message.role, param)
        return blocks

    def _part(self, part: Part, role: str, param: str) -> list[Block]:
        """The blocks of a part; none for what is left out by the rules of this module."""
        if isinstance(part, (Text, Refusal)):
            if not part.text.strip():
                return []
            return [{"text": part.text}, *(self.marks(part.cache) if isinstance(part, Text) else ())]
        if isinstance(part, ToolCall):
            call = {"toolUseId": call_id(part.id), "name": part.name, "input": call_input(part.arguments)}
            return [{"toolUse": call}, *self.marks(part.cache)]
        if isinstance(part, (Thinking, RedactedThinking)):
            return self._thought(part)
        if role == "assistant" and isinstance(part, (Image, Document, Audio)):
            raise unsupported(
                param, "holds an image or file in the assistant's turn, which this provider does not take"
            )
        return self._media(part, param)

    def _media(self, part: Part, param: str) -> list[Block]:
        if isinstance(part, Image):
            return [image_block(part, param), *self.marks(part.cache)]
        if isinstance(part, Document):
            return [self._documents.block(part, param), *self.marks(part.cache)]
        if isinstance(part, Audio):
            return [audio_block(part, param)]
        kind = getattr(part, "kind", type(part).__name__)
        raise unsupported(param, f"holds a part of type '{kind}', which the provider of this model does not know")

    def _thought(self, part: Thinking | RedactedThinking) -> list[Block]:
        if isinstance(part, RedactedThinking) and wire.is_sealed(part.data):
            return [{"reasoningContent": {"redactedContent": wire.close_redacted(part.data)}}]
        if not self._family.is_claude or not is_signed_here(part):
            return []
        if isinstance(part, RedactedThinking):
            return [{"reasoningContent": {"redactedContent": wire.close_redacted(part.data)}}]
        return [{"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}]

    def _result(self, result: ToolResult, param: str) -> Block:
        marked = self._family.tells_failed_results
        content: list[Block] = []
        for part in result.parts:
            if getattr(part, "cache", None) is not None:
                self._leave_out("cache_control")
            if isinstance(part, (Text, Refusal)):
                if part.text:
                    content.append({"text": part.text})
            else:
                content += [block for block in self._media(part, param) if "cachePoint" not in block]
        if result.is_error and not marked:
            _call_it_error(content)
        if self._family.wants_json_results:
            content = [_as_json(block) for block in content]
        written: Block = {"toolUseId": call_id(result.call_id), "content": content or [{"text": "(empty)"}]}
        if result.is_error and marked:
            written["status"] = "error"
        return {"toolResult": written}


def call_id(given: str) -> str:
    """A tool call id in the alphabet and length that Bedrock accepts; the same for the same id."""
    plain = _NOT_IN_IDS.sub("_", given) or "call"
    if len(plain) <= _LONGEST_ID:
        return plain
    digest = hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{plain[: _LONGEST_ID - _DIGEST - 1]}_{digest}"


def _as_json(block: Block) -> Block:
    if "text" not in block:
        return block
    data = json_object(block["text"])
    return {"json": msgspec.Raw(data) if data is not None else {"output": block["text"]}}


def _call_it_error(content: list[Block]) -> None:
    """Makes the words of a failed result say so, unless they do."""
    first = next((block for block in content if "text" in block), None)
    if first is None:
        content.insert(0, {"text": "Error"})
    elif not first["text"].lower().startswith("error") and json_object(first["text"]) is None:
        first["text"] = f"Error: {first['text']}"


def _add(turns: list[Turn], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if turns and turns[-1][0] == role:
        turns[-1][1].extend(blocks)
    else:
        turns.append((role, blocks))


def _tagged(block: Block) -> Block:
    return {"text": system_tagged(block["text"])} if "text" in block else block


def _finish(turns: list[Turn]) -> None:
    """Texts beside documents, and no white space at the end of words that are put into the model's mouth."""
    for _, blocks in turns:
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            blocks.append({"text": DOCUMENT_ONLY})
    role, blocks = turns[-1]
    if role == "assistant" and "text" in blocks[-1]:
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()
