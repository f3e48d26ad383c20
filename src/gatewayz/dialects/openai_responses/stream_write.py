"""Canonical events as a Responses stream.

Every item is opened, filled and closed under one `output_index` and one id; every event has the next `sequence_number`.
The response object that ends the stream waits for the charge. A stream that fails closes nothing that is half said: a
client must not take the beginning of a tool call for the whole.
"""

from dataclasses import dataclass, field
from typing import Any

from gatewayz.core.chat import ToolCall
from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import (
    AnnotationDelta,
    BlockClosed,
    Finished,
    RedactedBlock,
    RefusalDelta,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    Unknown,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Voice
from gatewayz.dialects.openai_responses import answer, frame, wire
from gatewayz.dialects.openai_responses.errors import error_event
from gatewayz.dialects.openai_responses.names import Called
from gatewayz.dialects.openai_responses.reasoning import carried

_TEXT, _REFUSAL = "output_text", "refusal"


@dataclass(slots=True)
class _Part:
    """An open part of a message."""

    block: int
    kind: str
    index: int
    pieces: list[str] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    chars: int = 0


@dataclass(slots=True)
class _Item:
    """An open item. `content` are the parts of a message that are closed."""

    kind: str
    index: int
    name: str
    block: int
    content: list[Any] = field(default_factory=list)
    part: _Part | None = None
    pieces: list[str] = field(default_factory=list)
    signature: str = ""
    family: str | None = None
    call: tuple[str, str] = ("", "")
    called: Called = field(default_factory=lambda: Called(""))


class ResponsesWriter:
    """A `StreamWriter` for clients of the Responses API."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._tools, self._summed_up = answer.asked(voice)
        self._sequence = 0
        self._begun = False
        self._output: dict[int, dict[str, Any]] = {}  # closed items by their output index
        self._next = 0
        self._current: _Item | None = None  # the open message or reasoning
        self._calls: dict[int, _Item] = {}  # open calls by block
        self._finished: Finished | None = None
        self._refused = False

    def write(self, event: StreamEvent) -> bytes:
        """See `StreamWriter`. Of several alternatives the first is shown; unknown events without text are not."""
        out: list[bytes] = []
        if isinstance(event, TextDelta):
            if event.index == 0 and (event.text or event.logprobs):
                self._text(event, out)
        elif isinstance(event, ToolCallDelta):
            self._arguments(event, out)
        elif isinstance(event, ThinkingDelta):
            if event.index == 0 and event.text:
                self._thinking(event, out)
        elif isinstance(event, ToolCallStarted):
            if event.index == 0:
                self._call(event, out)
        else:
            self._rare(event, out)
        return b"".join(out)

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `StreamWriter`."""
        out: list[bytes] = []
        self._begin(out)
        finished = self._finished or Finished("stop")
        self._close_all(out, "incomplete" if finished.finish == "length" else "completed")
        status, why = frame.ended(finished.finish, self._refused)
        output = [self._output[index] for index in sorted(self._output)]
        members = wire.usage_members(usage, cost_nano_usd)
        whole = frame.response(self._voice, status, output, **why, usage=members)
        out.append(self._event(f"response.{status}", response=whole))
        return b"".join(out)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `StreamWriter`."""
        out: list[bytes] = []
        self._begin(out)
        output = [self._output[index] for index in sorted(self._output)]
        out.append(self._event(wire.ERROR, **error_event(error, request_id)))
        failed = frame.response(self._voice, "failed", output, error=frame.failure(error))
        out.append(self._event(wire.FAILED, response=failed))
        return b"".join(out)

    def _rare(self, event: StreamEvent, out: list[bytes]) -> None:
        if isinstance(event, Finished):
            if event.index == 0:
                self._finished = event
                self._close_all(out, "incomplete" if event.finish == "length" else "completed")
        elif isinstance(event, Unknown):
            if event.text:
                self._text(TextDelta(event.text, 0, -1), out)
        elif getattr(event, "index", 0) != 0:
            return
        elif isinstance(event, BlockClosed):
            self._block_closed(event.block, out)
        elif isinstance(event, RefusalDelta):
            self._refused = True
            part = self._part_for(event.block, _REFUSAL, out)
            part.pieces.append(event.text)
            out.append(self._part_event("response.refusal.delta", part, delta=event.text))
        elif isinstance(event, (SignatureDelta, RedactedBlock)):
            self._signed(event, out)
        elif isinstance(event, AnnotationDelta):
            part = self._part_for(event.block, _TEXT, out)
            found = frame.annotation(event.annotation, part.chars, part.chars)
            place = {"annotation_index": len(part.annotations), "annotation": found}
            part.annotations.append(found)
            out.append(self._part_event("response.output_text.annotation.added", part, **place))

    def _text(self, event: TextDelta, out: list[bytes]) -> None:
        part = self._part_for(event.block, _TEXT, out)
        logprobs = frame.logprobs(event.logprobs)
        part.pieces.append(event.text)
        part.chars += len(event.text)
        part.logprobs += logprobs
        out.append(self._part_event("response.output_text.delta", part, delta=event.text, logprobs=logprobs))

    def _thinking(self, event: ThinkingDelta, out: list[bytes]) -> None:
        item = self._reasoning_for(event.block, out)
        if not item.pieces:
            self._open_thought(item, out)
        item.pieces.append(event.text)
        kind = "response.reasoning_summary_text.delta" if self._summed_up else "response.reasoning_text.delta"
        out.append(self._event(kind, **self._place(item), **self._at(), delta=event.text))

    def _signed(self, event: SignatureDelta | RedactedBlock, out: list[bytes]) -> None:
        if isinstance(event, RedactedBlock):
            item = self._reasoning_for(event.block, out, fresh=True)
            item.signature, item.family = carried(event.data, event.format, hidden=True), None
            self._close_current(out)
            return
        item = self._reasoning_for(event.block, out)
        item.signature += event.signature
        item.family = event.format or item.family

    def _call(self, event: ToolCallStarted, out: list[bytes]) -> None:
        self._close_current(out)
        called = self._tools.get(event.name) or Called(event.name)
        item = self._open("ctc" if called.custom else "fc", event.block)
        item.call, item.called = (event.id, event.name), called
        self._calls[event.block] = item
        shown = answer.call_item(item.name, ToolCall(event.id, event.name, ""), "in_progress", called)
        self._added(item, shown, out)

    def _arguments(self, event: ToolCallDelta, out: list[bytes]) -> None:
        item = self._calls.get(event.block) if event.index == 0 else None
        if item is None or not event.fragment:
            return
        item.pieces.append(event.fragment)
        if item.kind == "fc":
            kind = "response.function_call_arguments.delta"
            out.append(self._event(kind, **self._place(item), delta=event.fragment))

    def _close_call(self, item: _Item, out: list[bytes]) -> None:
        call = ToolCall(*item.call, "".join(item.pieces))
        shown = answer.call_item(item.name, call, "completed", item.called)
        if item.called.custom:
            said = shown["input"]
            out.append(self._event("response.custom_tool_call_input.delta", **self._place(item), delta=said))
            out.append(self._event("response.custom_tool_call_input.done", **self._place(item), input=said))
        else:
            told = {"name": item.called.name, "arguments": call.arguments}
            out.append(self._event("response.function_call_arguments.done", **self._place(item), **told))
        self._done(item, shown, out)

    def _part_for(self, block: int, kind: str, out: list[bytes]) -> _Part:
        """The open part for content of this kind and block, in the open message or a new one."""
        item = self._current
        if item is None or item.kind != "msg":
            self._close_current(out)
            item = self._current = self._open("msg", block)
            self._added(item, answer.message_item(item.name, [], "in_progress"), out)
        part = item.part
        if part is not None and part.kind == kind and (part.block == block or block == -1):
            return part
        self._close_part(item, out)
        part = item.part = _Part(block, kind, len(item.content))
        empty = answer.text_part("", [], []) if kind == _TEXT else {"type": kind, "refusal": ""}
        out.append(self._part_event("response.content_part.added", part, part=empty))
        return part

    def _close_part(self, item: _Item, out: list[bytes]) -> None:
        part = item.part
        if part is None:
            return
        text = "".join(part.pieces)
        if part.kind == _TEXT:
            whole = answer.text_part(text, part.annotations, part.logprobs)
            out.append(self._part_event("response.output_text.done", part, text=text, logprobs=part.logprobs))
        else:
            whole = {"type": part.kind, "refusal": text}
            out.append(self._part_event("response.refusal.done", part, refusal=text))
        out.append(self._part_event("response.content_part.done", part, part=whole))
        item.content.append(whole)
        item.part = None

    def _reasoning_for(self, block: int, out: list[bytes], *, fresh: bool = False) -> _Item:
        item = self._current
        if not fresh and item is not None and item.kind == "rs" and item.block == block:
            return item
        self._close_current(out)
        item = self._current = self._open("rs", block)
        self._added(item, {"id": item.name, "type": "reasoning", "status": "in_progress", "summary": []}, out)
        return item

    def _open_thought(self, item: _Item, out: list[bytes]) -> None:
        kind, part = self._thought("added", "")
        out.append(self._event(kind, **self._place(item), **self._at(), part=part))

    def _close_thought(self, item: _Item, text: str, out: list[bytes]) -> None:
        told = "response.reasoning_summary_text.done" if self._summed_up else "response.reasoning_text.done"
        out.append(self._event(told, **self._place(item), **self._at(), text=text))
        kind, part = self._thought("done", text)
        out.append(self._event(kind, **self._place(item), **self._at(), part=part))

    def _thought(self, state: str, text: str) -> tuple[str, dict[str, Any]]:
        if self._summed_up:
            return f"response.reasoning_summary_part.{state}", {"type": "summary_text", "text": text}
        return f"response.content_part.{state}", {"type": "reasoning_text", "text": text}

    def _at(self) -> dict[str, int]:
        return {"summary_index" if self._summed_up else "content_index": 0}

    def _block_closed(self, block: int, out: list[bytes]) -> None:
        call = self._calls.pop(block, None)
        if call is not None:
            self._close_call(call, out)
            return
        item = self._current
        if item is None:
            return
        if item.kind == "msg" and item.part is not None and item.part.block == block:
            self._close_part(item, out)  # the message stays open for a further part
        elif item.kind == "rs" and item.block == block:
            self._close_current(out)

    def _close_current(self, out: list[bytes], status: str = "completed") -> None:
        item = self._current
        if item is None:
            return
        if item.kind == "msg":
            self._close_part(item, out)
        self._current = None
        if item.kind == "msg":
            self._done(item, answer.message_item(item.name, item.content, status), out)
            return
        text = "".join(item.pieces)
        if text:
            self._close_thought(item, text, out)
        signature = item.signature
        if signature and not signature.startswith("gatewayz-"):
            signature = carried(signature, item.family, hidden=False)
        self._done(item, answer.reasoning_item(item.name, text, signature or None, self._summed_up), out)

    def _close_all(self, out: list[bytes], status: str) -> None:
        self._close_current(out, status)
        for block in sorted(self._calls):
            self._close_call(self._calls.pop(block), out)

    def _open(self, kind: str, block: int) -> _Item:
        index = self._next
        self._next += 1
        return _Item(kind, index, frame.item_id(kind, self._voice, index), block)

    def _added(self, item: _Item, shown: dict[str, Any], out: list[bytes]) -> None:
        self._begin(out)
        out.append(self._event("response.output_item.added", output_index=item.index, item=shown))

    def _done(self, item: _Item, shown: dict[str, Any], out: list[bytes]) -> None:
        self._output[item.index] = shown
        out.append(self._event("response.output_item.done", output_index=item.index, item=shown))

    def _begin(self, out: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        for kind in ("response.created", "response.in_progress"):
            out.append(self._event(kind, response=frame.response(self._voice, "in_progress", [])))

    @staticmethod
    def _place(item: _Item) -> dict[str, Any]:
        return {"item_id": item.name, "output_index": item.index}

    def _part_event(self, kind: str, at: _Part, /, **members: Any) -> bytes:
        assert self._current is not None
        return self._event(kind, **self._place(self._current), content_index=at.index, **members)

    def _event(self, kind: str, **members: Any) -> bytes:
        number = self._sequence
        self._sequence += 1
        return wire.event(kind, json_text.dump({"type": kind, "sequence_number": number, **members}))
