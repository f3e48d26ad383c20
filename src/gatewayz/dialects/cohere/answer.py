"""A plain answer of Cohere in canonical form."""

from typing import Any

from gatewayz.core.chat import ChatAnswer, Choice, Opaque, Part, Text, Thinking, ToolCall
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts
from gatewayz.dialects.cohere import wire
from gatewayz.dialects.unknown import noting_opaque


def read_answer(body: bytes) -> tuple[ChatAnswer, AnswerFacts]:
    """An answer in canonical form, and what it says.

    Raises ValueError if these bytes are no answer, or if the generation failed.
    """
    read, message = wire.answer(body)
    native = read.finish_reason if isinstance(read.finish_reason, str) else None
    if native in wire.FAULTS or read.error:
        raise ValueError(f"the model's answer ended with {native}")
    parts = tuple(_parts(message))
    finish = wire.finish_reason(native or "COMPLETE")
    choice = Choice(parts, finish, native, logprobs=wire.logprobs(read.logprobs))
    facts = AnswerFacts(
        usage=wire.usage_of(read.usage),
        finish=finish if native is not None else None,
        native_finish=native,
        upstream_id=read.id if isinstance(read.id, str) and read.id else None,
        empty=not parts,
        output_chars=sum(_chars(part) for part in parts),
    )
    return ChatAnswer(facts.upstream_id or "", "", 0, (choice,), facts.usage), noting_opaque(facts, (choice,))


def _parts(message: wire.Message) -> list[Part]:
    """Thinking and texts in their order, each text with its citations; the plan for the calls; the calls."""
    cited: dict[int, list[Any]] = {}
    of_plan: list[Any] = []
    for raw in message.citations if isinstance(message.citations, list) else ():
        index = raw.get("content_index") if isinstance(raw, dict) else None
        planned = isinstance(raw, dict) and raw.get("type") == "PLAN"
        (of_plan if planned else cited.setdefault(index if type(index) is int else -1, [])).extend(
            wire.annotations(raw)
        )
    parts: list[Part] = []
    blocks = message.content
    if not isinstance(blocks, list):
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else []
    texts = [place for place, block in enumerate(blocks) if isinstance(block, dict) and block.get("type") == "text"]
    # Older models number no content: theirs is the first text.
    cited.setdefault(texts[0] if texts else 0, []).extend(cited.pop(-1, []))
    for place, block in enumerate(blocks):
        parts += _block(block, tuple(cited.get(place, ())))
    if isinstance(message.tool_plan, str) and message.tool_plan:
        parts.append(Text(message.tool_plan, annotations=tuple(of_plan)))
    for call in message.tool_calls if isinstance(message.tool_calls, list) else ():
        parts += _call(call)
    return parts


def _block(block: Any, annotations: tuple[Any, ...]) -> list[Part]:
    if not isinstance(block, dict):
        return [Opaque(wire.NAME, "content", block)]
    text, thought = block.get("text"), block.get("thinking")
    if block.get("type") == "text" and isinstance(text, str):
        return [Text(text, annotations=annotations)] if text else []
    if block.get("type") == "thinking" and isinstance(thought, str):
        return [Thinking(thought)] if thought else []
    return [Opaque(wire.NAME, str(block.get("type")), block)]


def _call(call: Any) -> list[Part]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return [Opaque(wire.NAME, "tool_call", call)]
    given = function.get("arguments")
    arguments = given if isinstance(given, str) else json_text.dump(given or {}).decode()
    call_id = call.get("id")
    return [ToolCall(call_id if isinstance(call_id, str) else "", function["name"], arguments)]


def _chars(part: Part) -> int:
    if isinstance(part, (Text, Thinking)):
        return len(part.text)
    return len(part.name) + len(part.arguments) if isinstance(part, ToolCall) else 0
