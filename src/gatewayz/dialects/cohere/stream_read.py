"""A streamed answer of Cohere as canonical events.

Content blocks and tool calls are numbered apart there; here each gets the number in which it was opened.
"""

from typing import Any

import msgspec

from gatewayz.core.stream import (
    AnnotationDelta,
    BlockClosed,
    Ended,
    Finished,
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
from gatewayz.dialects.cohere import wire
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.sse import Event, SseParser
from gatewayz.dialects.unknown import find_text, looks_like_error, raw_value

_PLAN = ("plan", 0)
_SILENT = frozenset({"citation-end", "debug"})  # they say nothing that was not said

Key = tuple[str, int]


class _Body(msgspec.Struct):
    """An event."""

    type: Any = None
    id: Any = None
    index: Any = 0
    delta: Any = None
    logprobs: Any = None


_DECODER = msgspec.json.Decoder(_Body)


class CohereReader:
    """A `StreamReader` for chats."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self._blocks: dict[Key, int] = {}  # all that were opened
        self._open: set[Key] = set()
        self._bare_calls: set[Key] = set()  # calls without arguments so far
        self._foreign: set[Key] = set()  # open blocks of kinds that other dialects do not have
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
        return events

    def _event(self, event: Event, events: list[StreamEvent]) -> None:
        name, payload = event
        text = payload.strip()
        if self._over or not text or text == b"[DONE]":
            return
        body = _read(payload)
        if body is None or not isinstance(body.type, str):
            self._unknown(name, payload, events)
            return
        message = body.delta.get("message") if isinstance(body.delta, dict) else None
        inner: dict[str, Any] = message if isinstance(message, dict) else {}
        kind = body.type
        if kind in ("content-delta", "content-start"):
            self._content(body, inner, payload, events, starts=kind == "content-start")
        elif kind == "tool-call-delta":
            self._arguments(body, inner, payload, events)
        elif kind == "tool-call-start":
            self._call(body, inner, payload, events)
        elif kind == "tool-plan-delta":
            self._plan(inner, events)
        elif kind in ("content-end", "tool-call-end"):
            self._close((kind.removesuffix("-end"), _index(body)), events)
        elif kind == "citation-start":
            self._citation(body, inner, events)
        elif kind == "message-start":
            events.append(Started(body.id if isinstance(body.id, str) else "", "", 0))
        elif kind == "message-end":
            self._end(body.delta if isinstance(body.delta, dict) else {}, events)
        elif kind not in _SILENT:
            self._unknown(name, payload, events)

    def _block(self, key: Key, events: list[StreamEvent]) -> int:
        """The number of a block. The plan is closed by whatever comes after it, because nothing else says so."""
        if key != _PLAN and _PLAN in self._open:
            self._close(_PLAN, events)
        if key not in self._blocks:
            self._blocks[key] = len(self._blocks)
            self._open.add(key)
        return self._blocks[key]

    def _content(
        self, body: _Body, message: dict[str, Any], payload: bytes, events: list[StreamEvent], *, starts: bool
    ) -> None:
        key, content = ("content", _index(body)), message.get("content")
        inner: dict[str, Any] = content if isinstance(content, dict) else {}
        text, thought = inner.get("text"), inner.get("thinking")
        if starts and inner.get("type") not in ("text", "thinking"):
            self._foreign.add(key)
        if key in self._foreign or not (isinstance(text, str) or isinstance(thought, str)):
            events.append(Unknown(wire.NAME, payload))
        elif isinstance(thought, str) and thought:
            events.append(ThinkingDelta(thought, 0, self._block(key, events)))
        elif isinstance(text, str) and text:
            events.append(TextDelta(text, 0, self._block(key, events), wire.logprobs(body.logprobs)))

    def _plan(self, message: dict[str, Any], events: list[StreamEvent]) -> None:
        text = message.get("tool_plan")
        if isinstance(text, str) and text:
            events.append(TextDelta(text, 0, self._block(_PLAN, events)))

    def _call(self, body: _Body, message: dict[str, Any], payload: bytes, events: list[StreamEvent]) -> None:
        key, call = ("tool-call", _index(body)), message.get("tool_calls")
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
            events.append(Unknown(wire.NAME, payload))
            return
        block, call_id = self._block(key, events), call.get("id")
        events.append(ToolCallStarted(call_id if isinstance(call_id, str) else "", function["name"], 0, block))
        self._bare_calls.add(key)
        self._fragment(key, function.get("arguments"), events)

    def _arguments(self, body: _Body, message: dict[str, Any], payload: bytes, events: list[StreamEvent]) -> None:
        key, call = ("tool-call", _index(body)), message.get("tool_calls")
        function = call.get("function") if isinstance(call, dict) else None
        if key not in self._open or not isinstance(function, dict):
            events.append(Unknown(wire.NAME, payload))
        else:
            self._fragment(key, function.get("arguments"), events)

    def _fragment(self, key: Key, fragment: Any, events: list[StreamEvent]) -> None:
        if isinstance(fragment, str) and fragment:
            self._bare_calls.discard(key)
            events.append(ToolCallDelta(fragment, 0, self._blocks[key]))

    def _citation(self, body: _Body, message: dict[str, Any], events: list[StreamEvent]) -> None:
        raw = message.get("citations")
        index = raw.get("content_index") if isinstance(raw, dict) else None
        plan = isinstance(raw, dict) and raw.get("type") == "PLAN"
        key = _PLAN if plan else ("content", index if type(index) is int else 0)
        for annotation in wire.annotations(raw):
            events.append(AnnotationDelta(annotation, wire.NAME, 0, self._block(key, events)))

    def _close(self, key: Key, events: list[StreamEvent]) -> None:
        self._foreign.discard(key)
        if key in self._open:
            self._open.discard(key)
            if key in self._bare_calls:
                self._bare_calls.discard(key)
                events.append(ToolCallDelta("{}", 0, self._blocks[key]))
            events.append(BlockClosed(0, self._blocks[key]))

    def _end(self, delta: dict[str, Any], events: list[StreamEvent]) -> None:
        stated = delta.get("finish_reason")
        native = stated if isinstance(stated, str) else None
        told = delta.get("error")
        self._over = True
        if told or native in wire.FAULTS:
            kind = (native or "error").lower()
            message = told if isinstance(told, str) else f"the model's answer ended with {native}"
            events.append(StreamError(message, kind=f"generation_{kind}"))
            return
        for key in sorted(self._open, key=self._blocks.__getitem__):
            self._close(key, events)
        if native is not None:
            events.append(Finished(wire.finish_reason(native), 0, native))
        usage = wire.usage_of(delta.get("usage"))
        if usage is not None:
            events.append(UsageReport(usage))
        if native is not None:
            events.append(Ended())

    def _unknown(self, name: bytes, payload: bytes, events: list[StreamEvent]) -> None:
        value = raw_value(payload)
        bare = isinstance(value, dict) and isinstance(value.get("message"), str) and "type" not in value
        if name == b"error" or bare or looks_like_error(value):
            self._over = True
            events.append(error_from(value))
        else:
            foreign = not isinstance(value, dict) or "type" not in value
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


def _index(body: _Body) -> int:
    return body.index if type(body.index) is int else 0
