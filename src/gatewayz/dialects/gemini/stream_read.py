"""A streamed answer of Gemini as canonical events.

Its streams have no terminator: an answer is whole if every candidate has told why it ended. They may come as server-sent
events or as one JSON array. Reasons and sources are told at the end of the bytes, because Gemini repeats the reason with
further text in some versions.
"""

from typing import Any

from gatewayz.core.stream import (
    AnnotationDelta,
    BlockClosed,
    Ended,
    Finished,
    RedactedBlock,
    SignatureDelta,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    Unknown,
    UsageReport,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.gemini import wire
from gatewayz.dialects.gemini.grounding import annotations
from gatewayz.dialects.gemini.logprobs import openai_logprobs
from gatewayz.dialects.sse import SseParser
from gatewayz.dialects.unknown import find_text, looks_like_error, raw_value

_TEXT, _THINKING = "text", "thinking"


def items(payload: bytes) -> list[bytes]:
    """The chunks in the data of an event: usually one, those of a JSON array, none in a terminator that others send."""
    text = payload.strip()
    if not text or text == b"[DONE]":
        return []
    if not text.startswith(b"["):
        return [payload]
    try:
        return [json_text.dump(item) for item in json_text.load(text) if isinstance(item, dict)]
    except ValueError:
        return [b'{"unreadable":true}']


class _Candidate:
    """The state of one alternative: which block is open, and what is told at the end."""

    __slots__ = (
        "block", "calls", "citations", "end_signature", "grounding", "index", "kind", "native", "next_block", "text",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self.index = index
        self.kind: str | None = None
        self.block = 0
        self.next_block = 0
        self.calls = 0
        self.text: list[str] = []
        self.native: str | None = None
        self.grounding: Any = None
        self.citations: Any = None
        self.end_signature: str | None = None

    def turn_to(self, kind: str, events: list[StreamEvent]) -> int:
        """The block for content of this kind; another open block is closed."""
        if self.kind != kind:
            self.close_open(events)
            self.kind = kind
            self.block = self.take_block()
        return self.block

    def take_block(self) -> int:
        """The number of a new block."""
        block, self.next_block = self.next_block, self.next_block + 1
        return block

    def close_open(self, events: list[StreamEvent]) -> None:
        if self.kind is not None:
            events.append(BlockClosed(self.index, self.block))
            self.kind = None

    def sign(self, place: str, signature: Any, events: list[StreamEvent]) -> None:
        """Tells a signature: at the thought that is open, else as a block of its own."""
        if not isinstance(signature, str) or not signature:
            return
        sealed = signatures.seal(place, signature)
        if self.kind == _THINKING:
            events.append(SignatureDelta(sealed, self.index, self.block))
            self.close_open(events)
        else:
            self.close_open(events)
            events.append(RedactedBlock(sealed, self.index, self.take_block()))


class GeminiReader:
    """A `StreamReader` for `streamGenerateContent`."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self._candidates: dict[int, _Candidate] = {}
        self._id: Any = None
        self._calls = 0
        self._counts: Usage | None = None
        self._usage: Usage | None = None
        self._started = False
        self._over = False
        self._blocked: str | None = None

    def feed(self, data: bytes) -> list[StreamEvent]:
        """See `StreamReader`."""
        events: list[StreamEvent] = []
        for name, payload in self._parser.feed(data):
            self._event(name, payload, events)
        if self._parser.overflowed and not self._over:
            self._over = True
            events.append(StreamError("one event of the stream is too large", kind="stream_overflow"))
        return events

    def close(self) -> list[StreamEvent]:
        """See `StreamReader`. An event that was cut off in the middle is left out."""
        events: list[StreamEvent] = []
        for name, payload in self._parser.close():
            try:
                json_text.load(payload)
            except ValueError:
                continue
            self._event(name, payload, events)
        if not self._over:
            self._end(events)
        return events

    def _event(self, name: bytes, payload: bytes, events: list[StreamEvent]) -> None:
        for item in items(payload):
            if self._over:
                return
            try:
                body = wire.body(item)
            except ValueError:
                self._unknown(name, item, events)
            else:
                self._body(body, item, events)

    def _body(self, body: wire.Body, payload: bytes, events: list[StreamEvent]) -> None:
        if not self._started:
            self._started = True
            self._id = body.response_id
            model = body.model_version
            events.append(
                Started(self._id if isinstance(self._id, str) else "", model if isinstance(model, str) else "", 0)
            )
        for place, candidate in enumerate(body.candidates or ()):
            self._candidate(candidate, place, payload, events)
            if self._over:
                return
        self._blocked = wire.block_reason(body.prompt_feedback) or self._blocked
        self._counts = wire.usage_of(body.usage_metadata) or self._counts
        usage = wire.with_searches(self._counts, (state.grounding for state in self._candidates.values()))
        if usage is not None and usage != self._usage:
            self._usage = usage
            events.append(UsageReport(usage))

    def _candidate(self, candidate: wire.Candidate, place: int, payload: bytes, events: list[StreamEvent]) -> None:
        index = candidate.index if type(candidate.index) is int else 0
        state = self._candidates.get(index)
        if state is None:
            state = self._candidates[index] = _Candidate(index)
        logprobs = openai_logprobs(candidate.logprobs_result)
        for number, part in enumerate((candidate.content.parts if candidate.content else None) or ()):
            other = wire.other_kind(part, payload, place, number)
            if other is not None:
                events.append(Unknown(wire.NAME, json_text.dump(other[1])))
            elif self._part(part, state, logprobs, events):
                logprobs = None  # told once, with the first text of the chunk
        state.grounding = candidate.grounding_metadata or state.grounding
        state.citations = candidate.citation_metadata or state.citations
        native = wire.native_finish(candidate.finish_reason)
        if native is not None:
            state.native = native
            if wire.is_fault(native, state.calls > 0):
                self._over = True
                events.append(StreamError(f"the model's answer ended with {native}", kind=native.lower()))

    def _part(self, part: wire.Part, state: _Candidate, logprobs: Any, events: list[StreamEvent]) -> bool:
        """Tells a part; returns whether it was text of the answer."""
        text = part.text if isinstance(part.text, str) else ""
        if part.function_call is not None:
            self._call(part.function_call, part.thought_signature, state, events)
        elif part.thought is True:
            if text:
                events.append(ThinkingDelta(text, state.index, state.turn_to(_THINKING, events)))
            state.sign(signatures.THOUGHT, part.thought_signature, events)
        elif text:
            state.text.append(text)
            events.append(TextDelta(text, state.index, state.turn_to(_TEXT, events), logprobs))
            state.sign(signatures.TEXT, part.thought_signature, events)
            return True
        elif isinstance(part.thought_signature, str):
            # Alone it is no content, so it waits: an answer of nothing else is an empty one.
            state.end_signature = part.thought_signature
        return False

    def _call(self, call: wire.Call, signature: Any, state: _Candidate, events: list[StreamEvent]) -> None:
        if not isinstance(call.name, str) or not call.name:
            return
        state.sign(signatures.call_place(state.calls), signature, events)
        state.close_open(events)
        call_id = call.id if isinstance(call.id, str) and call.id else wire.made_up_call_id(self._id, self._calls)
        self._calls += 1
        state.calls += 1
        block = state.take_block()
        events += [
            ToolCallStarted(call_id, call.name, state.index, block),
            ToolCallDelta(wire.arguments_of(call), state.index, block),
            BlockClosed(state.index, block),
        ]

    def _end(self, events: list[StreamEvent]) -> None:
        """The regular end, if every candidate told why it ended; otherwise the bytes just stopped."""
        if not self._candidates and self._blocked is not None:
            events += [Finished("content_filter", 0, self._blocked), Ended()]
        elif self._candidates and all(state.native is not None for state in self._candidates.values()):
            for state in self._candidates.values():
                self._finish(state, events)
            events.append(Ended())

    def _finish(self, state: _Candidate, events: list[StreamEvent]) -> None:
        native = state.native or "STOP"
        if state.text:
            for annotation in annotations("".join(state.text), state.grounding, state.citations):
                events.append(AnnotationDelta(annotation, wire.NAME, state.index, state.turn_to(_TEXT, events)))
        if state.end_signature and state.next_block:
            state.sign(signatures.END, state.end_signature, events)
        state.close_open(events)
        events.append(Finished(wire.finish_reason(native, state.calls > 0), state.index, state.native))

    def _unknown(self, name: bytes, payload: bytes, events: list[StreamEvent]) -> None:
        value = raw_value(payload)
        if name == b"error" or looks_like_error(value):
            self._over = True
            events.append(error_from(value))
        else:
            events.append(Unknown(wire.NAME, payload, find_text(value)))
