"""Relaying a stream of an Anthropic-like provider to an Anthropic client: bytes pass, a meter listens.

Each event keeps its bytes except for the model name in `message_start` and the cost in the usage of `message_delta`.
`message_delta` and what follows are held until `finish`, that is until the charge is committed.
"""

from itertools import compress
from operator import attrgetter
from typing import Any

import msgspec

from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic import wire
from gatewayz.dialects.anthropic.errors import render_error
from gatewayz.dialects.anthropic.wire import sse
from gatewayz.dialects.base import StreamFacts, Target, Voice
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.runs import RunParser, Taken, learn
from gatewayz.dialects.unknown import looks_like_error, raw_value

MESSAGE_STOP = sse(b"message_stop", b'{"type":"message_stop"}')
_LIFECYCLE_BLOCKS = frozenset({"text", "thinking"})  # opened before they carry anything
_TEXTS = frozenset({"text", "partial_json", "thinking"})
_decode = wire.SEEN.decode
_members_of = attrgetter(*wire.SeenDelta.__struct_fields__)


class AnthropicForwarder:
    """A `Bridge` between two ends of the same dialect."""

    __slots__ = ("_before", "_held", "_open", "_parser", "_strip", "_usage", "_voice", "facts")

    def __init__(self, voice: Voice, target: Target) -> None:
        self.facts = StreamFacts()
        self._voice = voice
        self._strip = target.quirks.strip_answer_fields
        self._parser = RunParser()
        self._usage = wire.UsageSoFar()
        self._before: list[bytes] = []  # events until the first content
        self._held: list[json_text.Fields] = []  # members of `message_delta` events, until the charge
        self._open: list[int] = []  # blocks that were opened and not closed

    def feed(self, data: bytes) -> bytes:
        """See `Bridge`."""
        facts = self.facts
        heard = self._parser.feed(data)
        if isinstance(heard, Taken):
            return facts.take(heard)
        out: list[bytes] = []
        for item in heard:
            if isinstance(item, Taken):
                out.append(facts.take(item))
            else:
                self._event(*item, out)
        if self._parser.overflowed and facts.error is None:
            facts.error = StreamError("one event of the stream is too large", kind="stream_overflow")
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
        if facts.native_finish is not None and not self._open and facts.error is None:
            facts.ended = True
        return b"".join(out)

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `Bridge`."""
        out = self._before
        self._before = []
        out += [block_stop(index) for index in self._open]  # if the provider forgot to
        for position, members in enumerate(self._held, 1 - len(self._held)):
            fields: dict[str, Any] = {**members}
            if position == 0 or "usage" in fields:
                fields["usage"] = wire.with_cost(fields.get("usage"), usage, cost_nano_usd)
            out.append(sse(b"message_delta", json_text.dump(fields)))
        if not self._held:
            delta = {"stop_reason": "end_turn", "stop_sequence": None}
            body = {"type": "message_delta", "delta": delta, "usage": wire.with_cost(None, usage, cost_nano_usd)}
            out.append(sse(b"message_delta", json_text.dump(body)))
        out.append(MESSAGE_STOP)
        return b"".join(out)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `Bridge`. No `message_stop` follows: it would tell the client that the answer is whole."""
        closing = b""
        if self.facts.started:
            closing = b"".join(block_stop(index) for index in self._open)
        return closing + sse(b"error", render_error(error, request_id))

    def _event(self, name: bytes, payload: bytes, out: list[bytes]) -> None:
        facts = self.facts
        if facts.ended or facts.error is not None:
            return
        if not payload.isascii():
            payload = json_text.whole_characters(payload)
        try:
            seen = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if not payload.strip():
                return
            try:
                seen = wire.seen(payload)
                payload = json_text.strict(payload)
            except ValueError:
                self._unknown(name, payload)
                return
        facts.events += 1
        kind = seen.type
        if kind == "content_block_delta":
            if seen.delta is not None:
                self._content(seen.delta)
            self._send(b"content_block_delta", payload, out)
            if facts.started and self._parser.learns and name == b"content_block_delta":
                self._learn(seen.delta, out[-1])
        elif not isinstance(kind, str) or kind == "error" or seen.error:
            facts.events -= 1
            self._unknown(name, payload)
        else:
            self._other(kind, seen, payload, out)

    def _other(self, kind: str, seen: wire.Seen, payload: bytes, out: list[bytes]) -> None:
        """Every event but deltas and errors."""
        index = seen.index if type(seen.index) is int else 0
        if kind == "content_block_start":
            self._open.append(index)
            self._opened(seen.content_block)
        elif kind == "content_block_stop":
            if index in self._open:
                self._open.remove(index)
        elif kind == "message_start":
            payload = self._message_start(seen, payload)
        elif kind == "message_delta":
            try:
                self._held.append(json_text.members(payload))
            except ValueError:
                self.facts.note_unknown(payload)
            self._message_delta(seen)
            return
        elif kind == "message_stop":
            self.facts.ended = True
            return
        elif kind == "ping":
            if not self.facts.started or self._held:
                return
        else:
            self.facts.note_unknown(payload)
            if not (kind.isascii() and kind.isidentifier()):
                return
            # A newer kind of event: clients skip what they do not know.
        self._send(kind.encode(), payload, out)

    def _send(self, kind: bytes, payload: bytes, out: list[bytes]) -> None:
        event = sse(kind, payload)
        if not self.facts.started:
            self._before.append(event)
            return
        if self._before:
            out.extend(self._before)
            self._before.clear()
        out.append(event)

    def _content(self, delta: wire.SeenDelta) -> None:
        facts = self.facts
        for text in (delta.text, delta.partial_json, delta.thinking):
            if text and isinstance(text, str):
                facts.started = True
                facts.output_chars += len(text)
        if delta.signature or delta.content or delta.citation:
            facts.started = True

    def _learn(self, delta: wire.SeenDelta | None, event: bytes) -> None:
        """Teaches the parser the run of an event that was passed on as it came, if it carries one text and nothing else."""
        members = list(compress(delta.__struct_fields__, _members_of(delta))) if delta is not None else ()
        if len(members) == 1 and members[0] in _TEXTS and isinstance(text := getattr(delta, members[0]), str):
            member = members[0].encode()
            run = learn(event, event, (member, member), text)
            if run is not None:
                self._parser.teach(run)

    def _opened(self, block: Any) -> None:
        if not isinstance(block, dict):
            return
        kind = block.get("type")
        text = block.get("text") or block.get("thinking")
        if isinstance(text, str):
            self.facts.output_chars += len(text)
        if text or not isinstance(kind, str) or kind not in _LIFECYCLE_BLOCKS:
            self.facts.started = True
        if kind == "tool_use":
            self.facts.output_chars += len(str(block.get("name") or ""))

    def _message_start(self, seen: wire.Seen, payload: bytes) -> bytes:
        message = seen.message
        if not isinstance(message, dict):
            return payload
        upstream_id = message.get("id")
        if isinstance(upstream_id, str) and upstream_id:
            self.facts.upstream_id = upstream_id
        self.facts.usage = self._usage.add(message.get("usage"))
        try:
            fields: dict[str, Any] = {**json_text.members(payload)}
            inner: dict[str, Any] = {**json_text.members(fields["message"])}
        except ValueError:
            return payload
        for name in self._strip:
            inner.pop(name, None)
        inner["model"] = self._voice.model
        if not isinstance(message.get("usage"), dict):
            inner["usage"] = wire.usage_members(Usage())  # official clients write the final counts into this object
        fields["message"] = inner
        return json_text.dump(fields)

    def _message_delta(self, seen: wire.Seen) -> None:
        facts = self.facts
        facts.usage = self._usage.add(seen.usage)
        reason = seen.delta.stop_reason if seen.delta is not None else None
        if isinstance(reason, str):
            facts.native_finish = reason
            facts.finish = wire.finish_reason(reason)

    def _unknown(self, name: bytes, payload: bytes) -> None:
        """An error, or something that is no event of this dialect: counted, and not shown."""
        facts = self.facts
        facts.events += 1
        value = raw_value(payload)
        if name == b"error" or looks_like_error(value):
            facts.error = error_from(value)
        else:
            facts.note_unknown(payload)


def block_stop(index: int) -> bytes:
    """The event that closes a block."""
    return sse(b"content_block_stop", b'{"type":"content_block_stop","index":%d}' % index)
