"""A streamed answer of Converse as canonical events.

Its last event tells usage (`metadata`, after `messageStop`); there is no other terminator. Errors are events of their own
type, with the name of an exception.
"""

from typing import Any

import msgspec

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
from gatewayz.dialects import error_text, json_text
from gatewayz.dialects.anthropic.wire import NAME as ANTHROPIC
from gatewayz.dialects.bedrock import wire
from gatewayz.dialects.bedrock.event_stream import EventStreamParser, Frame
from gatewayz.dialects.unknown import find_text, raw_value


class _Body(msgspec.Struct):
    """An event's payload; each type has some of these members."""

    index: Any = msgspec.field(default=0, name="contentBlockIndex")
    delta: dict[str, Any] | None = None
    start: dict[str, Any] | None = None
    stop_reason: Any = msgspec.field(default=None, name="stopReason")
    further: Any = msgspec.field(default=None, name="additionalModelResponseFields")
    usage: Any = None


_DECODER = msgspec.json.Decoder(_Body)


class BedrockReader:
    """A `StreamReader` for `converse-stream`."""

    def __init__(self) -> None:
        self._parser = EventStreamParser()
        self._open: dict[int, bool] = {}  # blocks that are told of; whether one is a call without arguments so far
        self._foreign: set[int] = set()  # open blocks of kinds that other dialects do not have
        self._finished = False
        self._over = False

    def feed(self, data: bytes) -> list[StreamEvent]:
        """See `StreamReader`."""
        events: list[StreamEvent] = []
        for frame in self._parser.feed(data):
            if not self._over:
                self._frame(frame, events)
        self._note_broken(events)
        return events

    def close(self) -> list[StreamEvent]:
        """See `StreamReader`. A stream that ends within an event is broken, unless everything had been told."""
        events: list[StreamEvent] = []
        document = self._parser.close()
        if document is not None and not self._over:
            self._over = True
            events.append(error_text.read_error(document))
        if not self._over and self._finished and self._parser.broken is None:
            self._over = True
            events.append(Ended())
        self._note_broken(events)
        return events

    def _note_broken(self, events: list[StreamEvent]) -> None:
        if self._parser.broken is not None and not self._over:
            self._over = True
            kind = "stream_overflow" if self._parser.overflowed else "corrupt_stream"
            events.append(StreamError(self._parser.broken, kind=kind))

    def _frame(self, frame: Frame, events: list[StreamEvent]) -> None:
        headers, payload = frame
        kind = headers.get(":message-type", "event")
        if kind != "event":
            self._over = True
            events.append(_error(headers, payload))
            return
        name = headers.get(":event-type")
        body = _read(payload)
        if body is None:
            self._unknown(payload, events)
        elif name == "contentBlockDelta" and body.delta is not None:
            self._delta(body, body.delta, payload, events)
        elif name == "contentBlockStart" and body.start is not None:
            self._start(body, body.start, payload, events)
        elif name == "contentBlockStop":
            self._stop(_index(body), events)
        elif name == "messageStart":
            events.append(Started("", "", 0))
        elif name == "messageStop":
            self._message_stop(body, events)
        elif name == "metadata":
            self._metadata(body, events)
        else:
            self._unknown(payload, events)

    def _delta(self, body: _Body, delta: dict[str, Any], payload: bytes, events: list[StreamEvent]) -> None:
        index = _index(body)
        text, call, thought = delta.get("text"), delta.get("toolUse"), delta.get("reasoningContent")
        if index in self._foreign:
            events.append(Unknown(wire.NAME, payload))
        elif isinstance(text, str):
            if text:
                self._open.setdefault(index, False)
                events.append(TextDelta(text, 0, index))
        elif isinstance(call, dict) and index in self._open:
            fragment = call.get("input")
            if isinstance(fragment, str) and fragment:
                self._open[index] = False
                events.append(ToolCallDelta(fragment, 0, index))
        elif isinstance(thought, dict):
            self._thought(index, thought, payload, events)
        elif isinstance(delta.get("citation"), dict):
            self._open.setdefault(index, False)
            events.append(AnnotationDelta(wire.citation(delta["citation"]), ANTHROPIC, 0, index))
        else:
            events.append(Unknown(wire.NAME, payload))

    def _thought(self, index: int, thought: dict[str, Any], payload: bytes, events: list[StreamEvent]) -> None:
        text, signature, redacted = (thought.get(name) for name in ("text", "signature", "redactedContent"))
        self._open.setdefault(index, False)
        if isinstance(text, str):
            if text:
                events.append(ThinkingDelta(text, 0, index))
        elif isinstance(signature, str):
            if signature:
                events.append(SignatureDelta(signature, 0, index))
        elif isinstance(redacted, str) and redacted:
            events.append(RedactedBlock(wire.open_redacted(redacted), 0, index))
        else:
            events.append(Unknown(wire.NAME, payload))

    def _start(self, body: _Body, start: dict[str, Any], payload: bytes, events: list[StreamEvent]) -> None:
        index, call = _index(body), start.get("toolUse")
        if isinstance(call, dict) and isinstance(call.get("name"), str) and call.get("type") in (None, "tool_use"):
            self._open[index] = True
            call_id = call.get("toolUseId")
            events.append(ToolCallStarted(call_id if isinstance(call_id, str) else "", call["name"], 0, index))
        else:
            self._foreign.add(index)
            events.append(Unknown(wire.NAME, payload))

    def _stop(self, index: int, events: list[StreamEvent]) -> None:
        self._foreign.discard(index)
        if index in self._open:
            if self._open.pop(index):
                events.append(ToolCallDelta("{}", 0, index))
            events.append(BlockClosed(0, index))

    def _message_stop(self, body: _Body, events: list[StreamEvent]) -> None:
        native = body.stop_reason
        if not isinstance(native, str) or self._finished:
            return
        if native in wire.FAULTS:
            self._over = True
            events.append(StreamError(f"the model's answer ended with {native}", kind=native))
            return
        self._finished = True
        for index in sorted(self._open):
            self._stop(index, events)
        events.append(Finished(wire.finish_reason(native), 0, native, wire.stop_sequence(body.further)))

    def _metadata(self, body: _Body, events: list[StreamEvent]) -> None:
        usage = wire.usage_of(body.usage)
        if usage is not None:
            events.append(UsageReport(usage))
        if self._finished:
            self._over = True
            events.append(Ended())

    def _unknown(self, payload: bytes, events: list[StreamEvent]) -> None:
        value = raw_value(payload)
        foreign = not isinstance(value, dict) or "contentBlockIndex" not in value
        events.append(Unknown(wire.NAME, payload, find_text(value) if foreign else None))


def _read(payload: bytes) -> _Body | None:
    """The event in a payload; None if it is none."""
    try:
        json_text.refuse_deep(payload)
        return _DECODER.decode(payload)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        pass
    try:  # the slow way, which also reads half surrogate pairs
        return msgspec.convert(json_text.load(payload), _Body)
    except (ValueError, msgspec.MsgspecError):
        return None


def _error(headers: dict[str, str], payload: bytes) -> StreamError:
    """What an exception says: its name is in a header, its words in the payload (of an `error` in a header, too)."""
    name = headers.get(":exception-type") or headers.get(":error-code")
    told = error_text.read_error(payload)
    message = told.message or headers.get(":error-message", "")
    return StreamError(message, kind=name or told.kind, code=told.code, status=told.status, param=told.param)


def _index(body: _Body) -> int:
    return body.index if type(body.index) is int else 0
