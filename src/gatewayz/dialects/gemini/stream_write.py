"""Canonical events as the chunks of a Gemini stream.

A function call is told whole, never in fragments. Each chunk stands alone; the last one holds the reasons and the usage.
"""

from typing import Any

from gatewayz.core.chat import RedactedThinking, Thinking
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
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text, signatures
from gatewayz.dialects.base import Voice
from gatewayz.dialects.gemini.answer_write import call_part, ending, sources, usage_metadata
from gatewayz.dialects.gemini.errors import render_error
from gatewayz.dialects.gemini.framing import Framing
from gatewayz.dialects.gemini.grounding import grounding_metadata
from gatewayz.dialects.gemini.logprobs import logprobs_result


class _Call:
    """A call whose arguments are still coming."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, event: ToolCallStarted) -> None:
        self.id = event.id
        self.name = event.name
        self.arguments: list[str] = []


class _Candidate:
    """What must be kept of one alternative until it can be told."""

    __slots__ = ("annotations", "calls", "finished", "refused", "signature", "text")

    def __init__(self) -> None:
        self.calls: dict[int, _Call] = {}  # by block, in the order in which they were opened
        self.signature: list[str] = []
        self.text: list[str] = []
        self.annotations: list[Any] = []
        self.refused = False
        self.finished: Finished | None = None


class GeminiWriter:
    """A `StreamWriter` for Gemini clients."""

    def __init__(self, voice: Voice, framing: Framing) -> None:
        self._voice = voice
        self._framing = framing
        self._id = voice.request_id
        self._candidates: dict[int, _Candidate] = {}
        self._tail = b""

    def write(self, event: StreamEvent) -> bytes:
        """See `StreamWriter`. Chunks of unknown form without text are not shown."""
        if isinstance(event, Started):
            self._id = event.id or self._id
            return b""
        if isinstance(event, Unknown):
            return self.write(TextDelta(event.text)) if event.text is not None else b""
        index: int | None = getattr(event, "index", None)
        if index is None:
            return b""
        candidate = self._candidates.setdefault(index, _Candidate())
        if isinstance(event, SignatureDelta):
            candidate.signature.append(event.signature)
            return b""
        return self._signed(candidate, index) + self._said(event, candidate, index)

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `StreamWriter`."""
        out = [self._signed(each, index) + self._calls(each, index) for index, each in sorted(self._candidates.items())]
        found = sorted(self._candidates.items()) or [(0, _Candidate())]
        body = {
            "candidates": [_last(candidate, index) for index, candidate in found],
            "usageMetadata": usage_metadata(usage, cost_nano_usd),
            "modelVersion": self._voice.model,
            "responseId": self._id,
        }
        return b"".join(out) + self._framing.chunk(json_text.dump(body)) + self._framing.end()

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `StreamWriter`. No reason to finish is told: the answer is not whole."""
        return self._framing.chunk(render_error(error, request_id)) + self._framing.end()

    def _said(self, event: StreamEvent, candidate: _Candidate, index: int) -> bytes:
        if isinstance(event, (TextDelta, RefusalDelta)):
            candidate.text.append(event.text)
            candidate.refused = candidate.refused or isinstance(event, RefusalDelta)
            logprobs = logprobs_result(event.logprobs) if isinstance(event, TextDelta) else None
            return self._part(index, {"text": event.text}, logprobs) if event.text else b""
        if isinstance(event, ThinkingDelta):
            return self._part(index, {"text": event.text, "thought": True}) if event.text else b""
        if isinstance(event, RedactedBlock):
            return self._thought(index, RedactedThinking(event.data))
        if isinstance(event, ToolCallStarted):
            candidate.calls[event.block] = _Call(event)
        elif isinstance(event, ToolCallDelta):
            if event.block in candidate.calls:
                candidate.calls[event.block].arguments.append(event.fragment)
        elif isinstance(event, BlockClosed):
            if next(iter(candidate.calls), None) == event.block:  # earlier ones, still open, go first
                return self._call(index, candidate.calls.pop(event.block))
        elif isinstance(event, AnnotationDelta):
            candidate.annotations.append(event.annotation)
        elif isinstance(event, Finished):
            candidate.finished = event
            return self._calls(candidate, index)
        return b""

    def _signed(self, candidate: _Candidate, index: int) -> bytes:
        """The signature whose pieces are complete, behind the thought that it is of."""
        if not candidate.signature:
            return b""
        signature = "".join(candidate.signature)
        candidate.signature.clear()
        return self._thought(index, Thinking("", signature))

    def _thought(self, index: int, part: Thinking | RedactedThinking) -> bytes:
        signature = signatures.wrap(part)
        if signature is None:
            return b""
        return self._part(index, {"text": "", "thought": True, "thoughtSignature": signature})

    def _calls(self, candidate: _Candidate, index: int) -> bytes:
        """All calls that are left."""
        out = [self._call(index, call) for call in candidate.calls.values()]
        candidate.calls.clear()
        return b"".join(out)

    def _call(self, index: int, call: _Call) -> bytes:
        return self._part(index, call_part(call.id, call.name, "".join(call.arguments)))

    def _part(self, index: int, part: dict[str, Any], logprobs: dict[str, Any] | None = None) -> bytes:
        if not self._tail:
            named = {"modelVersion": self._voice.model, "responseId": self._id}
            self._tail = b"}]," + json_text.dump(named)[1:]
        told = b',"logprobsResult":' + json_text.dump(logprobs) if logprobs is not None else b""
        return self._framing.chunk(
            b'{"candidates":[{"content":{"parts":[%s],"role":"model"},"index":%d%s%s'
            % (json_text.dump(part), index, told, self._tail)
        )


def _last(candidate: _Candidate, index: int) -> dict[str, Any]:
    """A candidate of the last chunk. Its empty text is for SDKs, which leave a turn without parts out of a chat."""
    finished = candidate.finished or Finished("stop")
    members: dict[str, Any] = {
        "content": {"parts": [{"text": ""}], "role": "model"},
        "index": index,
        **ending(finished.finish, finished.native_finish, candidate.refused),
    }
    text = "".join(candidate.text)
    grounding = grounding_metadata(text, sources(candidate.annotations, 0, len(text)))
    return {**members, "groundingMetadata": grounding} if grounding is not None else members
