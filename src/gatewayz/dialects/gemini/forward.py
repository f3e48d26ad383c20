"""Relaying an answer of a Gemini-like provider to a Gemini client: bytes pass, a meter listens.

Each chunk keeps its bytes except for the model's name, and for the cost in the last usage. The chunk that tells why the
answer ended is held until `finish`, that is until the charge is committed. Where a provider tells the reason with every
chunk, it is taken from those that were not the last.
"""

from typing import Any

from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Quirks, StreamFacts, Target, Voice
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.gemini import wire
from gatewayz.dialects.gemini.answer_write import usage_metadata
from gatewayz.dialects.gemini.errors import render_error
from gatewayz.dialects.gemini.framing import Framing
from gatewayz.dialects.gemini.stream_read import items
from gatewayz.dialects.sse import SseParser
from gatewayz.dialects.unknown import looks_like_error, raw_value

_USAGE = "usageMetadata"


def forward_answer(body: bytes, voice: Voice, usage: Usage, cost_nano_usd: int, quirks: Quirks) -> bytes:
    """The provider's answer with the client's model name and `usageMetadata.cost`; other members keep their bytes.

    Raises ValueError if these bytes are no JSON object.
    """
    return _last(json_text.members(body), voice, usage, cost_nano_usd, quirks.strip_answer_fields)


def _last(members: json_text.Fields, voice: Voice, usage: Usage, cost_nano_usd: int, strip: frozenset[str]) -> bytes:
    fields: dict[str, Any] = {name: raw for name, raw in members.items() if name not in strip}
    told: dict[str, Any] = {}
    if _USAGE in fields and not usage.estimated:
        try:
            told = {**json_text.members(fields[_USAGE])}
        except ValueError:
            told = {}
    fields["modelVersion"] = voice.model
    fields[_USAGE] = {**(told or usage_metadata(usage, None)), "cost": json_text.usd_raw(cost_nano_usd)}
    return json_text.dump(fields)


class GeminiForwarder:
    """A `Bridge` between two ends of the same dialect."""

    __slots__ = (
        "_before",
        "_blocked",
        "_calls",
        "_counts",
        "_framing",
        "_groundings",
        "_held",
        "_natives",
        "_parser",
        "_strip",
        "_voice",
        "facts",
    )  # fmt: skip

    def __init__(self, voice: Voice, target: Target, framing: Framing) -> None:
        self.facts = StreamFacts()
        self._voice = voice
        self._framing = framing
        self._strip = target.quirks.strip_answer_fields
        self._parser = SseParser()
        self._before: list[bytes] = []  # chunks until the first content
        self._held: list[json_text.Fields] = []  # from the one that tells why the answer ended
        self._natives: dict[int, str | None] = {}
        self._calls: set[int] = set()  # candidates that called a function
        self._blocked: str | None = None
        self._counts: Usage | None = None
        self._groundings: dict[int, Any] = {}

    def feed(self, data: bytes) -> bytes:
        """See `Bridge`."""
        out: list[bytes] = []
        for name, payload in self._parser.feed(data):
            self._event(name, payload, out)
        if self._parser.overflowed and self.facts.error is None:
            self.facts.error = StreamError("one event of the stream is too large", kind="stream_overflow")
        return b"".join(out)

    def close(self) -> bytes:
        """See `Bridge`. A last event that was cut off in the middle is not shown."""
        out: list[bytes] = []
        for name, payload in self._parser.close():
            try:
                json_text.load(payload)
            except ValueError:
                continue
            self._event(name, payload, out)
        facts = self.facts
        if facts.error is None:
            if not self._natives and self._blocked is not None:
                facts.finish, facts.native_finish, facts.ended = "content_filter", self._blocked, True
            elif self._natives and None not in self._natives.values():
                self._tell_finish()
                facts.ended = True
        return b"".join(out)

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `Bridge`."""
        out = [self._framing.chunk(payload) for payload in self._before]
        self._before = []
        out += [self._framing.chunk(self._named(members)) for members in self._held[:-1]]
        last = self._held[-1] if self._held else {}
        out.append(self._framing.chunk(_last(last, self._voice, usage, cost_nano_usd, self._strip)))
        return b"".join(out) + self._framing.end()

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `Bridge`. What was held is not shown: it would tell the client that the answer is whole."""
        return self._framing.chunk(render_error(error, request_id)) + self._framing.end()

    def _tell_finish(self) -> None:
        index = min(self._natives)
        native = self._natives[index] or "STOP"
        self.facts.finish, self.facts.native_finish = wire.finish_reason(native, index in self._calls), native

    def _event(self, name: bytes, payload: bytes, out: list[bytes]) -> None:
        for item in items(payload):
            if self.facts.error is not None:
                return
            payload = json_text.whole_characters(item)
            try:
                body = wire.body(payload)
                members = json_text.members(payload)
            except ValueError:
                self._unknown(name, payload, out)
            else:
                self._body(body, payload, members, out)

    def _body(self, body: wire.Body, payload: bytes, members: json_text.Fields, out: list[bytes]) -> None:
        facts = self.facts
        facts.events += 1
        if isinstance(body.response_id, str) and body.response_id:
            facts.upstream_id = facts.upstream_id or body.response_id
        ending = resumed = False
        for place, candidate in enumerate(body.candidates or ()):
            index = candidate.index if type(candidate.index) is int else 0
            had_ended = self._natives.get(index) is not None
            spoke, ended = self._candidate(candidate, index, (payload, place))
            facts.started = facts.started or spoke
            resumed, ending = resumed or (spoke and had_ended), ending or ended
        if facts.error is not None:
            return
        self._blocked = wire.block_reason(body.prompt_feedback) or self._blocked
        ending = ending or self._blocked is not None
        self._counts = wire.usage_of(body.usage_metadata) or self._counts
        facts.usage = wire.with_searches(self._counts, self._groundings.values()) if self._groundings else self._counts
        if resumed:
            for held in self._held:
                self._pass(self._named(_without_reason(held)), out)
            self._held.clear()
        if ending and self._natives and None not in self._natives.values():
            self._tell_finish()
        if ending or self._held:
            self._held.append(members)
        else:
            self._pass(self._named(members), out)

    def _candidate(self, candidate: wire.Candidate, index: int, where: tuple[bytes, int]) -> tuple[bool, bool]:
        """(whether it says something, whether it tells why it ended); `where` is its chunk, and its place there."""
        facts = self.facts
        self._natives.setdefault(index, None)
        if candidate.grounding_metadata is not None:
            self._groundings[index] = candidate.grounding_metadata
        spoke = False
        for number, part in enumerate((candidate.content.parts if candidate.content else None) or ()):
            call = part.function_call
            if call is not None:
                self._calls.add(index)
                facts.output_chars += len(str(call.name or "")) + len(wire.arguments_of(call))
                spoke = True
            elif isinstance(part.text, str):
                facts.output_chars += len(part.text)
                spoke = spoke or bool(part.text)
            else:
                spoke = spoke or wire.other_kind(part, *where, number) is not None
        native = wire.native_finish(candidate.finish_reason)
        if native is None:
            return spoke, False
        self._natives[index] = native
        if wire.is_fault(native, index in self._calls):
            facts.error = StreamError(f"the model's answer ended with {native}", kind=native.lower())
        return spoke, True

    def _named(self, members: json_text.Fields) -> bytes:
        fields: dict[str, Any] = {name: raw for name, raw in members.items() if name not in self._strip}
        if "modelVersion" in fields:
            fields["modelVersion"] = self._voice.model
        return json_text.dump(fields)

    def _pass(self, payload: bytes, out: list[bytes]) -> None:
        """Sends a chunk, or keeps it until there is content."""
        if not self.facts.started:
            self._before.append(payload)
            return
        out += [self._framing.chunk(each) for each in self._before]
        self._before.clear()
        out.append(self._framing.chunk(payload))

    def _unknown(self, name: bytes, payload: bytes, out: list[bytes]) -> None:
        value = raw_value(payload)
        if name == b"error" or looks_like_error(value):
            self.facts.error = error_from(value)
            return
        self.facts.note_unknown(payload)
        if not isinstance(value, dict):
            return  # SDKs take objects only; the log tells of it
        members = json_text.members(json_text.dump(value))
        if self._held:
            self._held.append(members)
        else:
            self._pass(self._named(members), out)


def _without_reason(members: json_text.Fields) -> json_text.Fields:
    """A chunk that turned out not to be the last."""
    fields: dict[str, Any] = dict(members)
    candidates = json_text.load(members["candidates"]) if "candidates" in members else []
    fields["candidates"] = [
        {name: value for name, value in candidate.items() if name != "finishReason"} for candidate in candidates
    ]
    return json_text.members(json_text.dump(fields))
