"""A stream of the Responses API as canonical events."""

from collections.abc import Callable
from typing import Any

from gatewayz.core.stream import (
    AnnotationDelta,
    BlockClosed,
    Ended,
    Finished,
    RedactedBlock,
    RefusalDelta,
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
from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.openai_responses import wire
from gatewayz.dialects.openai_responses.items_read import custom_arguments, nested
from gatewayz.dialects.sse import SseParser
from gatewayz.dialects.unknown import find_text, looks_like_error, raw_value

_MESSAGE_PART = "message"


class _Call:
    """A call while it streams."""

    __slots__ = ("block", "custom", "said")

    def __init__(self, block: int, custom: bool) -> None:
        self.block = block
        self.custom = custom
        self.said = 0  # characters of its arguments that were told


class ResponsesReader:
    """A `StreamReader` for streams of the Responses API."""

    def __init__(self, provider: str = "") -> None:
        self._provider = provider
        self._parser = SseParser()
        self._blocks: dict[tuple[Any, ...], int] = {}  # output index, kind, part -> block
        self._next = 0
        self._open: set[int] = set()
        self._calls: dict[int, _Call] = {}  # by output index
        self._summaries: dict[int, int] = {}  # output index -> part of its summary
        self._thoughts: set[int] = set()  # blocks with reasoning text
        self._refused = False
        self._over = False
        self._known: dict[str, Callable[[dict[str, Any], list[StreamEvent]], None]] = {
            "response.output_item.added": self._added,
            "response.output_item.done": self._done,
            "response.output_text.delta": self._text,
            "response.refusal.delta": self._refusal,
            "response.reasoning_text.delta": self._thinking,
            "response.reasoning_summary_text.delta": self._thinking,
            "response.function_call_arguments.delta": self._arguments,
            "response.custom_tool_call_input.delta": self._silent,
            "response.output_text.annotation.added": self._annotation,
            "response.created": self._created,
            wire.COMPLETED: self._terminal,
            wire.INCOMPLETE: self._terminal,
            wire.FAILED: self._failed,
        }

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
        return events

    def _event(self, name: bytes, payload: bytes, events: list[StreamEvent]) -> None:
        text = payload.strip()
        if self._over or not text or text == b"[DONE]":
            return
        value = raw_value(payload)
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind == wire.ERROR or value.get("error"):
            self._unknown(name, payload, value, events)
            return
        read = self._known.get(kind)
        if read is not None:
            read(value, events)
        elif not kind.startswith("response.") and kind not in wire.KEEP_ALIVE:
            self._unknown(name, payload, value, events)

    def _silent(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        """Told again, whole, when the item is done."""

    def _created(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        response = value.get("response")
        if isinstance(response, dict):
            native, model, created = response.get("id"), response.get("model"), response.get("created_at")
            events.append(
                Started(
                    native if isinstance(native, str) else "",
                    model if isinstance(model, str) else "",
                    int(created) if isinstance(created, (int, float)) else 0,
                )
            )

    def _block(self, *key: Any) -> int:
        block = self._blocks.get(key)
        if block is None:
            block = self._blocks[key] = self._next
            self._next += 1
            self._open.add(block)
        return block

    def _added(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        item, place = value.get("item"), _number(value, "output_index")
        if isinstance(item, dict) and wire.kind_of(item) in wire.CALLS and isinstance(item.get("name"), str):
            self._begin_call(item, place, events)

    def _begin_call(self, item: dict[str, Any], place: Any, events: list[StreamEvent]) -> _Call:
        block = self._block(place, "call")
        call = self._calls[place] = _Call(block, item["type"] == "custom_tool_call")
        call_id = item.get("call_id")
        call_id = call_id if isinstance(call_id, str) and call_id else str(item.get("id") or f"call_{block}")
        events.append(ToolCallStarted(call_id, item["name"], 0, block))
        return call

    def _text(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        text, logprobs = value.get("delta"), value.get("logprobs")
        if isinstance(text, str) and text:
            block = self._block(_number(value, "output_index"), _MESSAGE_PART, _number(value, "content_index"))
            told = {"content": logprobs} if isinstance(logprobs, list) and logprobs else None
            events.append(TextDelta(text, 0, block, told))

    def _refusal(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        text = value.get("delta")
        if isinstance(text, str) and text:
            self._refused = True
            block = self._block(_number(value, "output_index"), _MESSAGE_PART, _number(value, "content_index"))
            events.append(RefusalDelta(text, 0, block))

    def _thinking(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        text, place = value.get("delta"), _number(value, "output_index")
        if not isinstance(text, str) or not text:
            return
        block = self._block(place, "reasoning")
        part = _number(value, "summary_index" if "summary_index" in value else "content_index")
        if self._summaries.setdefault(place, part) != part:
            self._summaries[place] = part
            text = "\n\n" + text
        self._thoughts.add(block)
        events.append(ThinkingDelta(text, 0, block))

    def _arguments(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        call, fragment = self._calls.get(_number(value, "output_index")), value.get("delta")
        if call is not None and isinstance(fragment, str) and fragment:
            call.said += len(fragment)
            events.append(ToolCallDelta(fragment, 0, call.block))

    def _annotation(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        block = self._block(_number(value, "output_index"), _MESSAGE_PART, _number(value, "content_index"))
        events.append(AnnotationDelta(nested(value.get("annotation")), wire.NAME, 0, block))

    def _done(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        item, place = value.get("item"), _number(value, "output_index")
        if not isinstance(item, dict):
            return
        kind = wire.kind_of(item)
        if kind in wire.CALLS and isinstance(item.get("name"), str):
            self._call_done(item, place, events)
        elif kind == "reasoning":
            self._reasoning_done(item, place, events)
        elif kind == "message":
            for key in [key for key in self._blocks if key[:2] == (place, _MESSAGE_PART)]:
                self._close(self._blocks[key], events)
        else:
            events.append(Unknown(wire.NAME, json_text.dump(item)))

    def _call_done(self, item: dict[str, Any], place: Any, events: list[StreamEvent]) -> None:
        call = self._calls.get(place) or self._begin_call(item, place, events)
        said = item.get("input" if call.custom else "arguments")
        if isinstance(said, str) and not call.said and call.block in self._open:
            arguments = custom_arguments(said) if call.custom else said
            if arguments:
                events.append(ToolCallDelta(arguments, 0, call.block))
        self._close(call.block, events)

    def _reasoning_done(self, item: dict[str, Any], place: Any, events: list[StreamEvent]) -> None:
        encrypted = item.get("encrypted_content")
        block = self._block(place, "reasoning")
        if isinstance(encrypted, str) and encrypted and block in self._open:
            sealed = signatures.seal_openai(self._provider, encrypted)
            if block in self._thoughts:
                events.append(SignatureDelta(sealed, 0, block, signatures.OPENAI))
            else:
                events.append(RedactedBlock(sealed, 0, block, signatures.OPENAI))
                self._open.discard(block)
        self._close(block, events, said=block in self._thoughts)

    def _close(self, block: int, events: list[StreamEvent], *, said: bool = True) -> None:
        if block in self._open:
            self._open.discard(block)
            if said:
                events.append(BlockClosed(0, block))

    def _terminal(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        try:
            read = wire.body(json_text.dump(value.get("response")))
        except ValueError:
            read = wire.Body()
        if read.status is None:
            read.status = str(value["type"]).removeprefix("response.")
        finish, native = wire.finish_of(read)
        if finish == "stop" and self._calls:
            finish = "tool_calls"
        for block in sorted(self._open):
            self._close(block, events)
        events.append(Finished(finish, 0, native))
        usage = wire.usage_in(read)
        if usage is not None:
            events.append(UsageReport(usage))
        self._over = True
        events.append(Ended())

    def _failed(self, value: dict[str, Any], events: list[StreamEvent]) -> None:
        self._over = True
        events.append(failure_of(value.get("response")))

    def _unknown(self, name: bytes, payload: bytes, value: Any, events: list[StreamEvent]) -> None:
        if name == b"error" or (isinstance(value, dict) and value.get("type") == wire.ERROR) or looks_like_error(value):
            self._over = True
            events.append(error_from(value))
        elif isinstance(value, dict) and value.get("object") == "response":
            self._over = True
            events.append(StreamError("a plain answer came where a stream was asked for", kind="not_a_stream"))
        else:
            events.append(Unknown(wire.NAME, payload, find_text(value)))


def _number(value: dict[str, Any], name: str) -> int:
    """An index of an event; 0 where it is none."""
    found = value.get(name)
    return found if type(found) is int else 0


def failure_of(response: Any) -> StreamError:
    """What a failed response says of its failure."""
    error = response.get("error") if isinstance(response, dict) else None
    if isinstance(error, dict) and error:
        return error_from({"error": error})
    return StreamError("the response failed", kind="server_error")
