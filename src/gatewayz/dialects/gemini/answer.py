"""A plain answer of Gemini in canonical form."""

from dataclasses import replace

import msgspec

from gatewayz.core.chat import ChatAnswer, Choice, Opaque, Part, RedactedThinking, Text, Thinking, ToolCall
from gatewayz.dialects import signatures
from gatewayz.dialects.base import AnswerFacts
from gatewayz.dialects.gemini import wire
from gatewayz.dialects.gemini.grounding import annotations
from gatewayz.dialects.gemini.logprobs import openai_logprobs
from gatewayz.dialects.gemini.signed import joined, say, sign
from gatewayz.dialects.unknown import noting_opaque


def glance_answer(body: bytes) -> AnswerFacts:
    """What a plain answer says to a client that knows all of its parts. Raises ValueError as `read_answer`."""
    return msgspec.structs.replace(read_answer(body)[1], unknown_events=0, unknown_excerpt=None)


def read_answer(body: bytes) -> tuple[ChatAnswer, AnswerFacts]:
    """An answer in canonical form, and what it says.

    Raises ValueError if these bytes are no answer, or if the model failed to call a function in a way that can be read.
    """
    read = wire.body(body)
    reader = _Reader(read, body)
    choices = tuple(reader.choice(candidate, place) for place, candidate in enumerate(read.candidates or ()))
    blocked = wire.block_reason(read.prompt_feedback)
    if not choices and blocked is not None:
        choices = (Choice((), "content_filter", blocked),)
    if not choices:
        raise ValueError("an answer without candidates")
    upstream_id = read.response_id if isinstance(read.response_id, str) and read.response_id else None
    facts = AnswerFacts(
        usage=wire.with_searches(
            wire.usage_of(read.usage_metadata), (each.grounding_metadata for each in read.candidates or ())
        ),
        finish=choices[0].finish,
        native_finish=choices[0].native_finish,
        upstream_id=upstream_id,
        empty=not any(not isinstance(part, RedactedThinking) for choice in choices for part in choice.parts),
        output_chars=sum(_chars(part) for choice in choices for part in choice.parts),
    )
    model = read.model_version if isinstance(read.model_version, str) else ""
    return ChatAnswer(upstream_id or "", model, 0, choices, facts.usage), noting_opaque(facts, choices)


class _Reader:
    """Reads the candidates of one answer; counts its calls, for the ids of those that have none."""

    def __init__(self, read: wire.Body, body: bytes) -> None:
        self._read = read
        self._body = body
        self._calls = 0

    def choice(self, candidate: wire.Candidate, place: int) -> Choice:
        parts: list[Part] = []
        calls = 0
        for number, part in enumerate((candidate.content.parts if candidate.content else None) or ()):
            if part.function_call is not None and isinstance(part.function_call.name, str):
                sign(parts, signatures.call_place(calls), part.thought_signature)
                parts.append(self._call(part.function_call))
                calls += 1
            elif (other := wire.other_kind(part, self._body, place, number)) is not None:
                parts.append(Opaque(wire.NAME, *other))
            else:
                say(parts, part.text, part.thought, part.thought_signature)
        native = wire.native_finish(candidate.finish_reason)
        if native is not None and wire.is_fault(native, calls > 0):
            raise ValueError(f"the model's answer ended with {native}")
        return Choice(
            parts=tuple(_annotated(joined(parts), candidate)),
            finish=wire.finish_reason(native or "STOP", calls > 0),
            native_finish=native,
            logprobs=openai_logprobs(candidate.logprobs_result),
        )

    def _call(self, call: wire.Call) -> ToolCall:
        number, self._calls = self._calls, self._calls + 1
        call_id = call.id if isinstance(call.id, str) and call.id else None
        return ToolCall(
            call_id or wire.made_up_call_id(self._read.response_id, number), call.name, wire.arguments_of(call)
        )


def _annotated(parts: list[Part], candidate: wire.Candidate) -> list[Part]:
    """The parts with the sources of the answer at its last text, where a stream tells them, too."""
    texts = [place for place, part in enumerate(parts) if isinstance(part, Text)]
    text = "".join(part.text for part in parts if isinstance(part, Text))
    found = annotations(text, candidate.grounding_metadata, candidate.citation_metadata)
    if found and texts:
        last = parts[texts[-1]]
        if isinstance(last, Text):
            parts[texts[-1]] = replace(last, annotations=found)
    return parts


def _chars(part: Part) -> int:
    if isinstance(part, (Text, Thinking)):
        return len(part.text)
    return len(part.name) + len(part.arguments) if isinstance(part, ToolCall) else 0
