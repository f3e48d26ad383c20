"""Canonical events as a Messages stream.

Anthropic's blocks come one after the other. Where a provider mixes fragments of several tool calls, the later ones wait
until the open one is complete, which is known by its arguments being whole JSON.
"""

from typing import Any

from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import (
    AnnotationDelta,
    BlockClosed,
    Finished,
    RedactedBlock,
    RefusalDelta,
    SignatureDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
    Unknown,
    UsageReport,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import citations, json_text
from gatewayz.dialects.anthropic import wire
from gatewayz.dialects.anthropic.answer import message_id
from gatewayz.dialects.anthropic.errors import render_error
from gatewayz.dialects.anthropic.forward import MESSAGE_STOP, block_stop
from gatewayz.dialects.anthropic.wire import sse
from gatewayz.dialects.base import Voice

_Block = (
    TextDelta
    | RefusalDelta
    | ThinkingDelta
    | SignatureDelta
    | RedactedBlock
    | ToolCallStarted
    | ToolCallDelta
    | AnnotationDelta
    | BlockClosed
)
_BLOCK_EVENTS = frozenset(
    {
        TextDelta,
        RefusalDelta,
        ThinkingDelta,
        SignatureDelta,
        RedactedBlock,
        ToolCallStarted,
        ToolCallDelta,
        AnnotationDelta,
        BlockClosed,
    }
)
_TEXT, _THINKING, _TOOL, _WHOLE = "text", "thinking", "tool", "whole"


class AnthropicWriter:
    """A `StreamWriter` for Anthropic clients."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._id = ""
        self._usage: Usage | None = None
        self._begun = False
        self._index = -1  # of the last block opened towards the client
        self._block: int | None = None  # the open block, by the number that it has in the events
        self._kind = ""
        self._head = b""  # of a delta of the open block
        self._arguments: list[str] = []  # of the open tool call
        self._closed: set[int] = set()
        self._waiting: dict[int, list[_Block]] = {}  # events of blocks that must wait for the open one
        self._finished: Finished | None = None
        self._refused = False

    def write(self, event: StreamEvent) -> bytes:
        """See `StreamWriter`. Of several alternatives the first is shown; unknown events without text are not."""
        if type(event) in _BLOCK_EVENTS:
            out: list[bytes] = []
            self._take(event, out)  # type: ignore[arg-type]
            return b"".join(out)
        if isinstance(event, Unknown):
            return self._unknown(event)
        if isinstance(event, Started):
            self._id = event.id
            self._usage = event.usage
        elif isinstance(event, UsageReport):
            self._usage = event.usage
        elif isinstance(event, Finished) and event.index == 0:
            self._finished = event
        return b""

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `StreamWriter`."""
        out: list[bytes] = []
        self._begin(out)
        self._close(out)
        while self._waiting:
            self._next(out)
            self._close(out)
        finished = self._finished or Finished("stop")
        reason = wire.stop_reason(finished.finish, finished.stop_sequence, self._refused)
        body = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": finished.stop_sequence},
            "usage": wire.with_cost(None, usage, cost_nano_usd),
        }
        out += [sse(b"message_delta", json_text.dump(body)), MESSAGE_STOP]
        return b"".join(out)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `StreamWriter`. No `message_stop` follows: it would tell the client that the answer is whole."""
        out: list[bytes] = []
        self._close(out)
        out.append(sse(b"error", render_error(error, request_id)))
        return b"".join(out)

    def _unknown(self, event: Unknown) -> bytes:
        if event.text is None:
            return b""
        block = self._block if self._block is not None and self._kind == _TEXT else -1
        self._closed.discard(-1)
        out: list[bytes] = []
        self._take(TextDelta(event.text, 0, block), out)
        return b"".join(out)

    def _take(self, event: _Block, out: list[bytes]) -> None:
        """Writes an event of the open block, opens the next one, or lets the event wait."""
        block = event.block
        if event.index != 0 or block in self._closed:
            return
        if self._block is not None and block != self._block:
            if self._waiting or not self._may_close():
                self._waiting.setdefault(block, []).append(event)
                return
            self._close(out)
        if type(event) is BlockClosed:
            if self._block is not None:
                self._close(out)
                while self._waiting and self._block is None:
                    self._next(out)
            else:
                self._closed.add(block)
            return
        self._show(event, out)

    def _may_close(self) -> bool:
        """Whether nothing more can come for the open block although nobody said that it ended."""
        if self._kind != _TOOL:
            return True
        try:
            json_text.load("".join(self._arguments).encode("utf-8", "surrogatepass"))
        except ValueError:
            return False
        return True

    def _next(self, out: list[bytes]) -> None:
        """Replays the first waiting block; it stays open unless it is known to be complete."""
        block = next(iter(self._waiting))
        closed = False
        for event in self._waiting.pop(block):
            if type(event) is BlockClosed:
                closed = True
            else:
                self._show(event, out)
        if self._block is not None and (closed or (self._waiting and self._may_close())):
            self._close(out)
        elif closed:
            self._closed.add(block)

    def _show(self, event: _Block, out: list[bytes]) -> None:
        if type(event) is TextDelta:
            if event.text:
                self._open(event.block, _TEXT, {"type": "text", "text": ""}, out)
                out.append(self._delta(b'{"type":"text_delta","text":', event.text))
        elif type(event) is ToolCallDelta:
            if self._block == event.block:
                self._arguments.append(event.fragment)
                out.append(self._delta(b'{"type":"input_json_delta","partial_json":', event.fragment))
        elif type(event) is ThinkingDelta:
            self._open(event.block, _THINKING, {"type": "thinking", "thinking": "", "signature": ""}, out)
            out.append(self._delta(b'{"type":"thinking_delta","thinking":', event.text))
        elif type(event) is SignatureDelta:
            self._open(event.block, _THINKING, {"type": "thinking", "thinking": "", "signature": ""}, out)
            out.append(self._delta(b'{"type":"signature_delta","signature":', event.signature))
        elif type(event) is ToolCallStarted:
            self._open(event.block, _TOOL, {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}, out)
        else:
            self._show_rare(event, out)

    def _show_rare(self, event: _Block, out: list[bytes]) -> None:
        if isinstance(event, RefusalDelta):
            self._refused = True
            self._open(event.block, _TEXT, {"type": "text", "text": ""}, out)
            out.append(self._delta(b'{"type":"text_delta","text":', event.text))
        elif isinstance(event, RedactedBlock):
            self._open(event.block, _WHOLE, {"type": "redacted_thinking", "data": event.data}, out)
            self._close(out)
        elif isinstance(event, AnnotationDelta):
            citation = citations.to_anthropic(event.annotation)
            if citation is not None:
                self._open(event.block, _TEXT, {"type": "text", "text": ""}, out)
                out.append(self._delta(b'{"type":"citations_delta","citation":', citation))

    def _open(self, block: int, kind: str, content_block: dict[str, Any], out: list[bytes]) -> None:
        if self._block == block:
            return
        self._begin(out)
        self._index += 1
        self._block = block
        self._kind = kind
        self._arguments = []
        body = {"type": "content_block_start", "index": self._index, "content_block": content_block}
        out.append(sse(b"content_block_start", json_text.dump(body)))
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % self._index
        )

    def _delta(self, start: bytes, value: Any) -> bytes:
        return b"%s%s%s}}\n\n" % (self._head, start, json_text.dump(value))

    def _close(self, out: list[bytes]) -> None:
        if self._block is None:
            return
        out.append(block_stop(self._index))
        self._closed.add(self._block)
        self._block = None

    def _begin(self, out: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        usage = wire.usage_members(self._usage or Usage())
        message: dict[str, Any] = {
            "id": message_id(self._voice, self._id),
            "type": "message",
            "role": "assistant",
            "model": self._voice.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        out.append(sse(b"message_start", json_text.dump({"type": "message_start", "message": message})))
