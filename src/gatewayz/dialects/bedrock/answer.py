"""A plain answer of Converse in canonical form."""

from typing import Any

from gatewayz.core.chat import ChatAnswer, Choice, Opaque, Part, RedactedThinking, Text, Thinking, ToolCall
from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.base import AnswerFacts
from gatewayz.dialects.bedrock import wire
from gatewayz.dialects.unknown import noting_opaque


def read_answer(body: bytes) -> tuple[ChatAnswer, AnswerFacts]:
    """An answer in canonical form, and what it says.

    Raises ValueError if these bytes are no answer, or if the model failed to say something that can be read.
    """
    read = wire.answer(body)
    native = read.stop_reason if isinstance(read.stop_reason, str) else None
    if native in wire.FAULTS:
        raise ValueError(f"the model's answer ended with {native}")
    blocks = (read.output.message.content if read.output and read.output.message else None) or ()
    parts = tuple(part for block in blocks for part in _parts(block))
    finish = wire.finish_reason(native or "end_turn")
    choice = Choice(parts, finish, native, wire.stop_sequence(read.further))
    facts = AnswerFacts(
        usage=wire.usage_of(read.usage),
        finish=finish if native is not None else None,
        native_finish=native,
        upstream_id=None,
        empty=not parts,
        output_chars=sum(_chars(part) for part in parts),
    )
    return ChatAnswer("", "", 0, (choice,), facts.usage), noting_opaque(facts, (choice,))


def _parts(block: dict[str, Any]) -> list[Part]:
    """The parts of a block: none of an empty text, one of most."""
    text = block.get("text")
    if isinstance(text, str):
        return [Text(text)] if text else []
    thought = block.get("reasoningContent")
    if isinstance(thought, dict):
        return _thoughts(thought, block)
    call = block.get("toolUse")
    if isinstance(call, dict) and isinstance(call.get("name"), str) and call.get("type") in (None, "tool_use"):
        call_id = call.get("toolUseId")
        arguments = json_text.dump(call.get("input") or {}).decode()
        return [ToolCall(call_id if isinstance(call_id, str) else "", call["name"], arguments)]
    cited = block.get("citationsContent")
    if isinstance(cited, dict):
        return _cited(cited)
    kind = next(iter(block), "block")
    inner = block.get(kind)
    named = inner.get("type") if isinstance(inner, dict) else None
    return [Opaque(wire.NAME, named if isinstance(named, str) else kind, block)]


def _thoughts(thought: dict[str, Any], block: dict[str, Any]) -> list[Part]:
    redacted = thought.get("redactedContent")
    if isinstance(redacted, str) and redacted:
        data = wire.open_redacted(redacted)
        return [RedactedThinking(data, signatures.family(data))]
    told = thought.get("reasoningText")
    if not isinstance(told, dict):
        return [Opaque(wire.NAME, "reasoningContent", block)]
    text, signature = told.get("text"), told.get("signature")
    text = text if isinstance(text, str) else ""
    signature = signature if isinstance(signature, str) and signature else None
    return [Thinking(text, signature)] if text or signature else []


def _cited(cited: dict[str, Any]) -> list[Part]:
    pieces, sources = cited.get("content"), cited.get("citations")
    texts = [
        each["text"]
        for each in (pieces if isinstance(pieces, list) else ())
        if isinstance(each, dict) and isinstance(each.get("text"), str)
    ]
    found = tuple(wire.citation(each) for each in (sources if isinstance(sources, list) else ()))
    return [Text("".join(texts), annotations=found)] if texts or found else []


def _chars(part: Part) -> int:
    if isinstance(part, (Text, Thinking)):
        return len(part.text)
    if isinstance(part, ToolCall):
        return len(part.name) + len(part.arguments)
    return len(part.data) if isinstance(part, RedactedThinking) else 0
