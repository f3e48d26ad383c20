"""A streamed answer of an OpenAI-like provider as canonical events."""

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
from gatewayz.dialects import citations, json_text
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.openai_chat import wire
from gatewayz.dialects.openai_chat.answer import made_up_call_id, with_calls
from gatewayz.dialects.openai_chat.forward import KEEP_ALIVE
from gatewayz.dialects.openai_chat.normal import ToolIndexes, arguments_text, split_content
from gatewayz.dialects.openai_chat.parts_read import NAME
from gatewayz.dialects.sse import Event, SseParser
from gatewayz.dialects.unknown import find_text, looks_like_error, raw_value

_TEXT, _THINKING, _REFUSAL, _TOOL = "text", "thinking", "refusal", "tool"


class _Tool:
    """One tool call while it streams: announced with its first argument, for until then its name may come in pieces."""

    __slots__ = ("announced", "block", "call_id", "name", "waiting")

    def __init__(self, block: int) -> None:
        self.block = block
        self.call_id = ""
        self.name = ""
        self.announced = False
        self.waiting = ""  # arguments that came before the name

    def hear_name(self, name: str) -> None:
        """Adds a piece of the name; some providers send the whole name again with each fragment."""
        if not self.announced and name != self.name:
            self.name += name


class _Alternative:
    """The state of one choice: which block is open, and the tool calls so far."""

    __slots__ = (
        "answer_id", "block", "finished", "index", "kind", "named", "next_block", "reasoning_by_details", "tools",
    )  # fmt: skip

    def __init__(self, index: int, answer_id: Any) -> None:
        self.index = index
        self.answer_id = answer_id
        self.kind: str | None = None
        self.block = 0
        self.next_block = 0
        self.tools: dict[int, _Tool] = {}
        self.named: _Tool | None = None  # the call whose name is known and which was not announced
        self.finished = False
        self.reasoning_by_details = False

    def turn_to(self, kind: str, events: list[StreamEvent]) -> int:
        """The block for content of this kind; another open block of text is closed."""
        if self.kind != kind:
            self.close_open(events)
            self.kind = kind
            self.block = self.next_block
            self.next_block += 1
        return self.block

    def close_open(self, events: list[StreamEvent]) -> None:
        self.announce(events)
        if self.kind is not None:
            events.append(BlockClosed(self.index, self.block))
            self.kind = None

    def announce(self, events: list[StreamEvent]) -> None:
        """Tells of the call whose name is complete by now, with the arguments that came before it."""
        tool, self.named = self.named, None
        if tool is None:
            return
        tool.announced = True
        tool.call_id = tool.call_id or made_up_call_id(self.answer_id, tool.block)
        events.append(ToolCallStarted(tool.call_id, tool.name, self.index, tool.block))
        if tool.waiting:
            events.append(ToolCallDelta(tool.waiting, self.index, tool.block))


class OpenAIReader:
    """A `StreamReader` for Chat Completions streams."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self._indexes = ToolIndexes()
        self._alternatives: dict[int, _Alternative] = {}
        self._id: Any = None
        self._started = False
        self._over = False
        self._citations: Any = None

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
            if payload.strip() != b"[DONE]":
                try:
                    json_text.load(payload)
                except ValueError:
                    continue
            self._event((name, payload), events)
        if not self._over and self._complete():
            self._end(events)
        return events

    def _event(self, event: Event, events: list[StreamEvent]) -> None:
        name, payload = event
        if self._over or name in KEEP_ALIVE:
            return
        text = payload.strip()
        if text == b"[DONE]":
            self._end(events)
        elif text:
            try:
                body = wire.body(payload)
            except ValueError:
                self._unknown(name, payload, events)
                return
            if body.error and self._complete():  # a provider's afterthought: the answer is whole
                self._usage(body, events)
            elif body.error or (body.choices is None and body.usage is None):
                self._usage(body, events)
                self._unknown(name, payload, events)
            else:
                self._body(body, events)

    def _body(self, body: wire.Body, events: list[StreamEvent]) -> None:
        if not self._started:
            self._started = True
            self._id = body.id
            events.append(
                Started(
                    body.id if isinstance(body.id, str) else "",
                    body.model if isinstance(body.model, str) else "",
                    body.created if isinstance(body.created, int) else 0,
                )
            )
        if body.citations:
            self._citations = body.citations
        stopped = wire.groq_error(body.x_groq) if body.x_groq and not self._complete() else None
        for choice in body.choices or () if stopped is None else ():
            self._choice(choice, events)
            if self._over:
                return
        self._usage(body, events)
        if stopped is not None:
            self._over = True
            events.append(StreamError(stopped))

    def _usage(self, body: wire.Body, events: list[StreamEvent]) -> None:
        if body.usage is not None or body.x_groq is not None:
            usage = wire.usage_of(body.usage, body.x_groq)
            if usage is not None:
                events.append(UsageReport(usage))

    def _complete(self) -> bool:
        return bool(self._alternatives) and all(state.finished for state in self._alternatives.values())

    def _choice(self, choice: wire.Choice, events: list[StreamEvent]) -> None:
        index = choice.index if type(choice.index) is int else 0
        state = self._alternatives.get(index)
        if state is None:
            state = self._alternatives[index] = _Alternative(index, self._id)
        delta = choice.delta
        if delta is None and not state.next_block:  # a plain answer where a stream was asked for
            delta = choice.message or {"content": choice.text}
        if delta:
            self._delta(delta, choice.logprobs, state, events)
        reason = choice.finish_reason
        if reason and isinstance(reason, str):
            if reason in wire.ERROR_FINISH:
                self._over = True
                events.append(StreamError(f"the provider ended the answer with {reason}", kind=reason))
                return
            own = choice.native_finish_reason
            native = own if isinstance(own, str) and own else reason
            stopped_by = choice.stop_reason if isinstance(choice.stop_reason, str) else None
            self._finish(state, wire.finish_reason(reason), native, stopped_by, events)

    def _delta(self, delta: dict[str, Any], logprobs: Any, state: _Alternative, events: list[StreamEvent]) -> None:
        if len(delta) > 1 or "content" not in delta:
            self._reasoning(delta, state, events)
        content = delta.get("content")
        if isinstance(content, list):
            content, thought = split_content(content)
            if thought:
                events.append(ThinkingDelta(thought, state.index, state.turn_to(_THINKING, events)))
        if (isinstance(content, str) and content) or logprobs:
            text = content if isinstance(content, str) else ""
            events.append(TextDelta(text, state.index, state.turn_to(_TEXT, events), logprobs))
        if len(delta) == 1 and content is not None:
            return
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            events.append(RefusalDelta(refusal, state.index, state.turn_to(_REFUSAL, events)))
        audio = delta.get("audio")
        if isinstance(audio, dict) and isinstance(audio.get("transcript"), str) and audio["transcript"]:
            events.append(TextDelta(audio["transcript"], state.index, state.turn_to(_TEXT, events)))
        images = delta.get("images")
        if isinstance(images, list) and images:
            events.append(Unknown(NAME, json_text.dump({"images": images})))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._call(call, state, events)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            self._call({"index": 0, "function": legacy}, state, events)
        annotations = delta.get("annotations")
        for annotation in annotations if isinstance(annotations, list) else ():
            events.append(AnnotationDelta(annotation, NAME, state.index, state.turn_to(_TEXT, events)))

    def _reasoning(self, delta: dict[str, Any], state: _Alternative, events: list[StreamEvent]) -> None:
        """Thinking by details where a provider sends both, for these carry the signatures."""
        details = delta.get("reasoning_details")
        for detail in details if isinstance(details, list) else ():
            if not isinstance(detail, dict):
                continue
            data, made_by = detail.get("data"), detail.get("format")
            made_by = made_by if isinstance(made_by, str) else None
            if detail.get("type") == "reasoning.encrypted" and isinstance(data, str):
                state.close_open(events)
                events.append(RedactedBlock(data, state.index, state.next_block, made_by))
                state.next_block += 1
                continue
            text, signature = detail.get("text") or detail.get("summary"), detail.get("signature")
            if isinstance(text, str) and text:
                state.reasoning_by_details = True
                events.append(ThinkingDelta(text, state.index, state.turn_to(_THINKING, events)))
            if isinstance(signature, str) and signature:
                events.append(SignatureDelta(signature, state.index, state.turn_to(_THINKING, events), made_by))
        if state.reasoning_by_details:
            return
        text = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(text, str) and text:
            events.append(ThinkingDelta(text, state.index, state.turn_to(_THINKING, events)))

    def _call(self, call: dict[str, Any], state: _Alternative, events: list[StreamEvent]) -> None:
        index = self._indexes.of(state.index, call)
        tool = state.tools.get(index)
        if tool is None:
            state.close_open(events)
            tool = state.tools[index] = _Tool(state.next_block)
            state.next_block += 1
        call_id, function = call.get("id"), call.get("function")
        if isinstance(call_id, str) and call_id and not tool.call_id:
            tool.call_id = call_id
        function = function if isinstance(function, dict) else {}
        name = function.get("name")
        fragment = arguments_text(function.get("arguments"))
        if tool.announced:
            if fragment:
                events.append(ToolCallDelta(fragment, state.index, tool.block))
            return
        if state.named is not tool:
            state.announce(events)
        if isinstance(name, str) and name:
            tool.hear_name(name)
        tool.waiting += fragment
        if tool.name:
            state.named = tool
            if tool.waiting:
                state.announce(events)

    def _finish(
        self, state: _Alternative, finish: Any, native: str | None, stopped_by: str | None, events: list[StreamEvent]
    ) -> None:
        if state.finished:
            return
        state.finished = True
        for annotation in citations.from_urls(self._citations) if state.index == 0 else ():
            events.append(AnnotationDelta(annotation, NAME, state.index, state.turn_to(_TEXT, events)))
        state.close_open(events)
        for tool in state.tools.values():
            if tool.announced:
                events.append(BlockClosed(state.index, tool.block))
        called = any(tool.announced for tool in state.tools.values())
        events.append(Finished(with_calls(finish, called), state.index, native, stopped_by))

    def _end(self, events: list[StreamEvent]) -> None:
        """The regular end; a choice that was never finished in so many words ended by stopping."""
        for state in self._alternatives.values():
            self._finish(state, "stop", None, None, events)
        self._over = True
        events.append(Ended())

    def _unknown(self, name: bytes, payload: bytes, events: list[StreamEvent]) -> None:
        value = raw_value(payload)
        if name == b"error" or looks_like_error(value):
            self._over = True
            events.append(error_from(value))
        else:
            events.append(Unknown(NAME, payload, find_text(value)))
