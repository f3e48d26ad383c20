"""Relaying a stream of the Responses API to a client of it: bytes pass, a meter listens.

Each event keeps its bytes, except for response objects and for items that must be shown otherwise (`shown.py`). The response
object that ends the stream is held until `finish`, that is until the charge is committed.
"""

from typing import Any

import msgspec

from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Quirks, StreamFacts, Target, Voice
from gatewayz.dialects.error_text import error_from
from gatewayz.dialects.openai_responses import frame, wire
from gatewayz.dialects.openai_responses.errors import error_event
from gatewayz.dialects.openai_responses.shown import Shown
from gatewayz.dialects.openai_responses.stream_read import failure_of
from gatewayz.dialects.sse import SseParser
from gatewayz.dialects.unknown import looks_like_error, raw_value

_decode = wire.SEEN.decode


class ResponsesForwarder:
    """A `Bridge` between two ends of the same dialect."""

    __slots__ = ("_before", "_held", "_parser", "_response", "_sequence", "_shown", "_voice", "facts")

    def __init__(self, voice: Voice, target: Target) -> None:
        self.facts = StreamFacts()
        self._voice = voice
        self._shown = Shown(voice, target.provider, target.quirks)
        self._parser = SseParser()
        self._before: list[bytes] = []  # events until the first content
        self._held: tuple[str, bytes] | None = None  # the event that ends the stream, until the charge
        self._response: msgspec.Raw | None = None  # the response object as it was last told
        self._sequence = -1  # number of the last event

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
        return b"".join(out)

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `Bridge`."""
        out, self._before = self._before, []
        if self._held is None:  # there is no response to tell of an end
            return b"".join(out)
        kind, payload = self._held
        fields: dict[str, Any] = {**json_text.members(payload)}
        response = json_text.members(fields["response"])
        fields["response"] = self._shown.response(response)
        fields["response"]["usage"] = wire.with_cost(response.get("usage"), usage, cost_nano_usd)
        out.append(wire.event(kind, json_text.dump(fields)))
        return b"".join(out)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `Bridge`. What is half said stays so: the beginning of a call must not be taken for the whole."""
        out, self._before = self._before, []
        response: dict[str, Any] = frame.response(self._voice, "failed", [])
        if self._response is not None:
            told = json_text.members(self._response)
            response = self._shown.response(told)
            response["status"] = "failed"
        response["error"] = frame.failure(error)
        number = self._sequence + 1
        told_error = {"type": wire.ERROR, "sequence_number": number, **error_event(error, request_id)}
        failed = {"type": wire.FAILED, "sequence_number": number + 1, "response": response}
        out.append(wire.event(wire.ERROR, json_text.dump(told_error)))
        out.append(wire.event(wire.FAILED, json_text.dump(failed)))
        return b"".join(out)

    def _event(self, name: bytes, payload: bytes, out: list[bytes]) -> None:
        facts = self.facts
        if facts.ended or facts.error is not None:
            return
        if not payload.isascii():
            payload = json_text.whole_characters(payload)
        try:
            seen = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            text = payload.strip()
            if not text or text == b"[DONE]":
                return
            try:
                payload = json_text.strict(payload)
                seen = wire.seen(payload)
            except ValueError:
                self._unknown(name, payload)
                return
        facts.events += 1
        kind = seen.type
        if not isinstance(kind, str) or kind == wire.ERROR or seen.error:
            self._unknown(name, payload)
        elif kind in (wire.COMPLETED, wire.INCOMPLETE):
            self._terminal(kind, seen, payload)
        elif kind == wire.FAILED:
            facts.error = failure_of(raw_value(bytes(seen.response)) if seen.response else None)
        elif kind not in wire.KEEP_ALIVE:
            if type(seen.sequence_number) is int:
                self._sequence = seen.sequence_number
            self._content(kind, seen)
            self._send(kind, self._edited(kind, seen, payload), out)

    def _content(self, kind: str, seen: wire.Seen) -> None:
        """Notes whether the event carries content, and how much."""
        facts = self.facts
        if isinstance(seen.delta, str):
            if seen.delta:
                facts.started = True
                facts.output_chars += len(seen.delta)
        elif not kind.startswith("response.") or not kind.isascii():
            facts.note_unknown(kind.encode("utf-8", "replace"))
        elif seen.item and not facts.started:
            item = raw_value(bytes(seen.item))
            told = wire.kind_of(item)
            if told not in wire.SILENT_ITEMS or (kind.endswith(".done") and item.get("encrypted_content")):
                facts.started = True

    def _edited(self, kind: str, seen: wire.Seen, payload: bytes) -> bytes:
        if not (kind in wire.LIFECYCLE and seen.response) and not (seen.item and self._shown.concerns(payload)):
            return payload
        try:
            fields: dict[str, Any] = {**json_text.members(payload)}
            if seen.item:
                fields["item"] = self._shown.item(fields["item"])
            else:
                response = json_text.members(fields["response"])
                self._response = seen.response
                if self.facts.upstream_id is None and isinstance(native := raw_value(bytes(response["id"])), str):
                    self.facts.upstream_id = native
                fields["response"] = self._shown.response(response)
        except (ValueError, KeyError):
            return payload
        return json_text.dump(fields)

    def _send(self, kind: str, payload: bytes, out: list[bytes]) -> None:
        if not (kind.isascii() and kind.replace(".", "_").isidentifier()):
            return
        event = wire.event(kind, payload)
        if not self.facts.started:
            self._before.append(event)
            return
        if self._before:
            out.extend(self._before)
            self._before.clear()
        out.append(event)

    def _terminal(self, kind: str, seen: wire.Seen, payload: bytes) -> None:
        facts = self.facts
        try:
            read = wire.body(seen.response)
            json_text.members(seen.response)
        except ValueError:
            facts.error = StreamError("the end of the stream cannot be read", kind="malformed")
            return
        read.status = kind.removeprefix("response.")
        if type(seen.sequence_number) is int:
            self._sequence = seen.sequence_number
        facts.finish, facts.native_finish = wire.finish_of(read)
        facts.usage = wire.usage_in(read)
        if isinstance(read.id, str) and read.id:
            facts.upstream_id = facts.upstream_id or read.id
        self._held = kind, payload
        facts.ended = True

    def _unknown(self, name: bytes, payload: bytes) -> None:
        """An error, a plain answer, or something that is no event of this dialect: counted, and not shown."""
        facts = self.facts
        value = raw_value(payload)
        kind = value.get("type") if isinstance(value, dict) else None
        if name == b"error" or kind == wire.ERROR or looks_like_error(value):
            facts.error = error_from(value)
        elif isinstance(value, dict) and value.get("object") == "response":
            facts.error = StreamError("a plain answer came where a stream was asked for", kind="not_a_stream")
        else:
            facts.note_unknown(payload)


def forward_answer(
    body: bytes, voice: Voice, usage: Usage, cost_nano_usd: int, quirks: Quirks, provider: str = ""
) -> bytes:
    """The provider's answer as the client knows it, with `usage.cost`; other members keep their bytes.

    Raises ValueError if these bytes are no JSON object.
    """
    fields = json_text.members(body)
    response = Shown(voice, provider, quirks).response(fields)
    response["usage"] = wire.with_cost(fields.get("usage"), usage, cost_nano_usd)
    return json_text.dump(response)
