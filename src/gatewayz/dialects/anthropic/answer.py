"""Plain answers: Messages on the wire <-> canonical form, and forwarded."""

from typing import Any

from gatewayz.core.chat import (
    ChatAnswer,
    Choice,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic import wire
from gatewayz.dialects.anthropic.parts_read import read_block
from gatewayz.dialects.anthropic.parts_write import answer_block
from gatewayz.dialects.base import AnswerFacts, Quirks, Voice
from gatewayz.dialects.unknown import noting_opaque


def glance_answer(body: bytes) -> AnswerFacts:
    """What a plain answer says. Raises ValueError if these bytes are no answer (an error with status 200, say)."""
    return _facts(wire.answer(body))


def read_answer(body: bytes) -> tuple[ChatAnswer, AnswerFacts]:
    """An answer in canonical form, and what it says. Raises ValueError if these bytes are no answer."""
    read = wire.answer(body)
    facts = _facts(read)
    stopped_by = read.stop_sequence
    choice = Choice(
        parts=tuple(_part(block) for block in read.content or ()),
        finish=wire.finish_reason(facts.native_finish or "end_turn"),
        native_finish=facts.native_finish,
        stop_sequence=stopped_by if isinstance(stopped_by, str) else None,
    )
    model = read.model if isinstance(read.model, str) else ""
    return ChatAnswer(facts.upstream_id or "", model, 0, (choice,), facts.usage), noting_opaque(facts, (choice,))


def write_answer(answer: ChatAnswer, voice: Voice, usage: Usage, cost_nano_usd: int) -> bytes:
    """A Messages answer with `usage.cost`. Of several alternatives the first is given."""
    choice = answer.choices[0] if answer.choices else Choice((), "stop")
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    return json_text.dump(
        {
            "id": message_id(voice, answer.id),
            "type": "message",
            "role": "assistant",
            "model": voice.model,
            "content": [block for part in choice.parts if (block := answer_block(part)) is not None],
            "stop_reason": wire.stop_reason(choice.finish, choice.stop_sequence, refused),
            "stop_sequence": choice.stop_sequence,
            "usage": wire.with_cost(None, usage, cost_nano_usd),
        }
    )


def forward_answer(body: bytes, voice: Voice, usage: Usage, cost_nano_usd: int, quirks: Quirks) -> bytes:
    """The provider's answer with the client's model name and `usage.cost`; other members keep their bytes.

    Raises ValueError if these bytes are no JSON object.
    """
    fields: dict[str, Any] = {**json_text.members(body)}
    for name in quirks.strip_answer_fields:
        fields.pop(name, None)
    fields["model"] = voice.model
    fields["usage"] = wire.with_cost(fields.get("usage"), usage, cost_nano_usd)
    return json_text.dump(fields)


def message_id(voice: Voice, native: str) -> str:
    """The provider's id of the answer, or one made of the request's own."""
    return native or f"msg_{voice.request_id}"


def _part(block: dict[str, Any]) -> Part:
    try:
        return read_block(block, "content")
    except InvalidRequest:  # a known type with members that are not: nothing for a caller to mend
        return Opaque(wire.NAME, str(block.get("type")), block)


def _facts(read: wire.Answer) -> AnswerFacts:
    parts = [_part(block) for block in read.content or ()]
    native = read.stop_reason if isinstance(read.stop_reason, str) else None
    return AnswerFacts(
        usage=wire.UsageSoFar().add(read.usage),
        finish=wire.finish_reason(native) if native is not None else None,
        native_finish=native,
        upstream_id=read.id if isinstance(read.id, str) and read.id else None,
        empty=not any(_says_something(part) for part in parts),
        output_chars=sum(_chars(part) for part in parts),
    )


def _says_something(part: Part) -> bool:
    return bool(part.text) if isinstance(part, Text) else True


def _chars(part: Part) -> int:
    if isinstance(part, (Text, Thinking, Refusal)):
        return len(part.text)
    if isinstance(part, ToolCall):
        return len(part.name) + len(part.arguments)
    return len(part.data) if isinstance(part, RedactedThinking) else 0
