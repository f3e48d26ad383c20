"""Canonical events as a Chat Completions stream."""

from collections.abc import Callable
from typing import Any

from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import (
    AnnotationDelta,
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
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import citations, json_text
from gatewayz.dialects.base import Voice
from gatewayz.dialects.openai_chat.answer import shown_finish
from gatewayz.dialects.openai_chat.chunks import DONE, chunk, sse, stable_id, usage_chunk
from gatewayz.dialects.openai_chat.errors import render_error
from gatewayz.dialects.unknown import raw_value


class OpenAIWriter:
    """A `StreamWriter` for OpenAI clients: one id, the role in the first delta of each choice, the end at `finish`."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._id = ""
        self._head = b""
        self._tail = b',"usage":null}\n\n' if voice.include_usage else b"}\n\n"
        self._begun: set[int] = set()  # choices whose role was sent
        self._finished: dict[int, Finished] = {}
        self._tools: dict[tuple[int, int], int] = {}  # (choice, block) -> tool call index
        self._tool_count: dict[int, int] = {}
        self._thoughts: dict[tuple[int, int], int] = {}  # (choice, block) -> reasoning detail index
        self._chars: dict[int, int] = {}  # characters of content of each choice, for annotations
        self._write: dict[type, Callable[[Any], bytes]] = {
            Started: self._started,
            TextDelta: self._text,
            RefusalDelta: lambda event: self._delta(event.index, {"refusal": event.text}),
            ThinkingDelta: self._thinking,
            SignatureDelta: self._signature,
            RedactedBlock: self._redacted,
            ToolCallStarted: self._tool,
            ToolCallDelta: self._arguments,
            AnnotationDelta: self._annotation,
            Finished: self._finish,
            Unknown: self._unknown,
        }

    def write(self, event: StreamEvent) -> bytes:
        """See `StreamWriter`. What must wait for the charge is kept for `finish`."""
        write = self._write.get(type(event))
        return write(event) if write is not None else b""

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `StreamWriter`."""
        out = b"".join(self._ending(self._finished[index]) for index in sorted(self._finished))
        if self._voice.include_usage:
            out += usage_chunk(self._voice, self._id or stable_id(self._voice), usage, cost_nano_usd)
        return out + DONE

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `StreamWriter`."""
        return sse(render_error(error, request_id)) + DONE

    def _started(self, event: Started) -> bytes:
        self._begin(event.id)
        return b""

    def _begin(self, native_id: str) -> None:
        if self._id:
            return
        self._id = stable_id(self._voice, native_id)
        members = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._voice.created,
            "model": self._voice.model,
        }
        self._head = b"data: " + json_text.dump(members)[:-1] + b',"choices":[{"index":'

    def _delta(self, index: int, delta: dict[str, Any], logprobs: Any = None) -> bytes:
        if not self._id:
            self._begin("")
        if index not in self._begun:
            self._begun.add(index)
            delta = {"role": "assistant", **delta}
        extra = b',"logprobs":' + json_text.dump(logprobs) if logprobs is not None else b""
        return b'%s%d,"delta":%s%s,"finish_reason":null}]%s' % (
            self._head,
            index,
            json_text.dump(delta),
            extra,
            self._tail,
        )

    def _text(self, event: TextDelta) -> bytes:
        self._chars[event.index] = self._chars.get(event.index, 0) + len(event.text)
        return self._delta(event.index, {"content": event.text}, event.logprobs)

    def _thinking(self, event: ThinkingDelta) -> bytes:
        detail = {"type": "reasoning.text", "text": event.text, "index": self._detail(event.index, event.block)}
        return self._delta(event.index, {"reasoning_content": event.text, "reasoning_details": [detail]})

    def _signature(self, event: SignatureDelta) -> bytes:
        index = self._detail(event.index, event.block)
        detail = {"type": "reasoning.text", "text": "", "signature": event.signature, "index": index}
        return self._delta(event.index, {"reasoning_details": [detail]})

    def _redacted(self, event: RedactedBlock) -> bytes:
        index = self._detail(event.index, event.block)
        return self._delta(
            event.index, {"reasoning_details": [{"type": "reasoning.encrypted", "data": event.data, "index": index}]}
        )

    def _detail(self, choice: int, block: int) -> int:
        known = sum(1 for other, _ in self._thoughts if other == choice)
        return self._thoughts.setdefault((choice, block), known)

    def _tool(self, event: ToolCallStarted) -> bytes:
        number = self._tool_count.get(event.index, 0)
        self._tool_count[event.index] = number + 1
        self._tools[event.index, event.block] = number
        function = {"name": event.name, "arguments": ""}
        call = {"index": number, "id": event.id, "type": "function", "function": function}
        return self._delta(event.index, {"tool_calls": [call]})

    def _arguments(self, event: ToolCallDelta) -> bytes:
        number = self._tools.get((event.index, event.block))
        if number is None:
            return b""
        return self._delta(event.index, {"tool_calls": [{"index": number, "function": {"arguments": event.fragment}}]})

    def _annotation(self, event: AnnotationDelta) -> bytes:
        end = self._chars.get(event.index, 0)
        return self._delta(event.index, {"annotations": [citations.to_openai(event.annotation, end, end)]})

    def _finish(self, event: Finished) -> bytes:
        self._finished[event.index] = event
        return b""

    def _ending(self, event: Finished) -> bytes:
        if not self._id:
            self._begin("")
        reason = shown_finish(event.finish)
        delta: dict[str, Any] = {} if event.index in self._begun else {"role": "assistant", "content": ""}
        choice: dict[str, Any] = {"index": event.index, "delta": delta, "finish_reason": reason}
        if event.native_finish is not None and event.native_finish != reason:
            choice["native_finish_reason"] = event.native_finish
        return sse(json_text.dump(chunk(self._voice, self._id, [choice])))

    def _unknown(self, event: Unknown) -> bytes:
        if event.text is not None:
            return self._text(TextDelta(event.text))
        if not self._id:
            self._begin("")
        return sse(json_text.dump(chunk(self._voice, self._id, [], gateway_raw=raw_value(event.raw))))
