"""A streamed answer of an Anthropic-like provider as canonical events."""

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
from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic import wire
from gatewayz.dialects.anthropic.wire import NAME
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.sse import Event, SseParser
from gatewayz.dialects.unknown import find_text, looks_like_error, raw_value


class _Tool:
    """A tool call while it streams; `whole` is an input that came with its start, used if no fragments follow."""

    __slots__ = ("any_fragment", "whole")

    def __init__(self, whole: str) -> None:
        self.whole = whole
        self.any_fragment = False


class AnthropicReader:
    """A `StreamReader` for Messages streams."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self._usage = wire.UsageSoFar()
        self._tools: dict[int, _Tool] = {}
        self._known: set[int] = set()  # open blocks of kinds that every dialect has
        self._finished = False
        self._over = False

    def feed(self, data: bytes) -> list[StreamEvent]:
        """See `StreamReader`."""
        events: list[StreamEvent] = []
        for event in self._parser.feed(data):
            self._event(event, events)
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
            self._event((name, payload), events)
        if self._finished and not self._over:
            self._over = True
            events.append(Ended())
        return events

    def _event(self, event: Event, events: list[StreamEvent]) -> None:
        name, payload = event
        if self._over or not payload.strip():
            return
        try:
            body = wire.event_body(payload)
        except ValueError:
            self._unknown(name, payload, events)
            return
        kind = body.type
        if kind == "content_block_delta" and body.delta is not None:
            self._delta(body, body.delta, payload, events)
        elif kind == "content_block_start" and body.content_block is not None:
            self._start(body, body.content_block, payload, events)
        elif kind == "content_block_stop":
            self._stop(_index(body), events)
        elif kind == "message_start" and body.message is not None:
            self._message(body.message, events)
        elif kind == "message_delta":
            self._message_delta(body, events)
        elif kind == "message_stop":
            self._over = True
            events.append(Ended())
        elif kind != "ping":
            self._unknown(name, payload, events)

    def _message(self, message: dict[str, Any], events: list[StreamEvent]) -> None:
        native_id, model = message.get("id"), message.get("model")
        usage = self._usage.add(message.get("usage"))
        events.append(
            Started(native_id if isinstance(native_id, str) else "", model if isinstance(model, str) else "", 0, usage)
        )

    def _message_delta(self, body: wire.EventBody, events: list[StreamEvent]) -> None:
        usage = self._usage.add(body.usage)
        if usage is not None and isinstance(body.usage, dict):
            events.append(UsageReport(usage))
        delta = body.delta or {}
        reason, stopped_by = delta.get("stop_reason"), delta.get("stop_sequence")
        if isinstance(reason, str) and not self._finished:
            self._finished = True
            finish = wire.finish_reason(reason)
            events.append(Finished(finish, 0, reason, stopped_by if isinstance(stopped_by, str) else None))

    def _start(self, body: wire.EventBody, block: dict[str, Any], payload: bytes, events: list[StreamEvent]) -> None:
        index, kind = _index(body), block.get("type")
        self._known.add(index)
        if kind == "text":
            _add(events, TextDelta, block.get("text"), index)
            cited = block.get("citations")
            for citation in cited if isinstance(cited, list) else ():
                events.append(AnnotationDelta(citation, NAME, 0, index))
        elif kind == "thinking":
            _add(events, ThinkingDelta, block.get("thinking"), index)
            _add(events, SignatureDelta, block.get("signature"), index)
        elif kind == "redacted_thinking":
            _add(events, RedactedBlock, block.get("data"), index)
        elif kind == "tool_use" and isinstance(block.get("name"), str):
            whole = block.get("input")
            self._tools[index] = _Tool(json_text.dump(whole).decode() if whole else "{}")
            call_id = block.get("id")
            events.append(ToolCallStarted(call_id if isinstance(call_id, str) else "", block["name"], 0, index))
        else:
            self._known.discard(index)
            events.append(Unknown(NAME, payload))

    def _delta(self, body: wire.EventBody, delta: dict[str, Any], payload: bytes, events: list[StreamEvent]) -> None:
        index, kind = _index(body), delta.get("type")
        if index not in self._known and kind not in ("text_delta", "thinking_delta"):
            events.append(Unknown(NAME, payload))
        elif kind == "text_delta":
            _add(events, TextDelta, delta.get("text"), index)
        elif kind == "input_json_delta":
            tool = self._tools.get(index)
            fragment = delta.get("partial_json")
            if tool is not None and isinstance(fragment, str) and fragment:
                tool.any_fragment = True
                events.append(ToolCallDelta(fragment, 0, index))
        elif kind == "thinking_delta":
            _add(events, ThinkingDelta, delta.get("thinking"), index)
        elif kind == "signature_delta":
            _add(events, SignatureDelta, delta.get("signature"), index)
        elif kind == "citations_delta":
            events.append(AnnotationDelta(delta.get("citation"), NAME, 0, index))
        else:
            events.append(Unknown(NAME, payload))

    def _stop(self, index: int, events: list[StreamEvent]) -> None:
        tool = self._tools.pop(index, None)
        if tool is not None and not tool.any_fragment:
            events.append(ToolCallDelta(tool.whole, 0, index))
        if index in self._known:
            self._known.discard(index)
            events.append(BlockClosed(0, index))

    def _unknown(self, name: bytes, payload: bytes, events: list[StreamEvent]) -> None:
        """Text is shown only from bytes that are no event of this dialect at all; else it might not be the answer's."""
        value = raw_value(payload)
        if name == b"error" or looks_like_error(value):
            self._over = True
            events.append(error_from(value))
        else:
            foreign = not isinstance(value, dict) or "type" not in value
            events.append(Unknown(NAME, payload, find_text(value) if foreign else None))


def _index(body: wire.EventBody) -> int:
    return body.index if type(body.index) is int else 0


def _add(events: list[StreamEvent], kind: Any, text: Any, index: int) -> None:
    if isinstance(text, str) and text:
        events.append(kind(text, 0, index))
