"""Streams of the services beside chats: server-sent events or the bytes of a file, forwarded with a meter listening.

What ends a stream (the event with the usage, the last bytes of a file) is held until the charge is committed.
"""

from collections.abc import Callable
from typing import Any

from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import StreamError, StreamEvent
from gatewayz.core.usage import Usage
from gatewayz.dialects import error_text, json_text
from gatewayz.dialects.base import StreamFacts
from gatewayz.dialects.openai_chat.errors import render_error
from gatewayz.dialects.sse import SseParser

# (type of the event, its members, what was counted until now) -> what is counted now; None leaves it.
Count = Callable[[str, dict[str, Any], Usage | None], Usage | None]
_DONE = b"[DONE]"
_EVENT_STARTS = (b"event:", b"data:", b"id:", b"retry:", b": ")


class EventsForwarder:
    """The `Bridge` of server-sent events whose type stands in each of them.

    `endings` are the types that end the stream, `count` reads usage, `text_of` names the member with text to count.
    """

    def __init__(self, endings: frozenset[str], count: Count, text_of: str = "") -> None:
        self.facts = StreamFacts()
        self._endings = endings
        self._count = count
        self._text_of = text_of
        self._parser = SseParser()
        self._held: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """See `Bridge.feed`."""
        return self._taken(self._parser.feed(data))

    def close(self) -> bytes:
        """See `Bridge.close`."""
        return self._taken(self._parser.close())

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `Bridge.finish`."""
        held, self._held = self._held, []
        return b"".join(held)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `Bridge.fail`."""
        return failed_event(error, request_id)

    def _taken(self, events: list[tuple[bytes, bytes]]) -> bytes:
        out = [self._one(name, data) for name, data in events]
        if self._parser.overflowed and self.facts.error is None:
            self.facts.error = StreamError("an event larger than the limit")
        return b"".join(out)

    def _one(self, name: bytes, data: bytes) -> bytes:
        facts = self.facts
        facts.events += 1
        frame = (b"event: %b\n" % name if name else b"") + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
        if data == _DONE:
            self._held.append(frame)
            facts.ended = True
            return b""
        try:
            members = json_text.load(data)
        except ValueError:
            members = None
        if not isinstance(members, dict):
            facts.note_unknown(data)
            return frame
        kind = str(members.get("type") or name.decode("latin-1"))
        if kind == "error" or members.get("error"):
            facts.error = error_text.error_from(members)
            return b""
        facts.started = True
        facts.usage = self._count(kind, members, facts.usage) or facts.usage
        text = members.get(self._text_of) if self._text_of else None
        if kind in self._endings:
            facts.ended = True
            facts.finish = "stop"
            self._held.append(frame)
            return b""
        if isinstance(text, str):
            facts.output_chars += len(text)
        return frame


class FileForwarder:
    """The `Bridge` of a file: its bytes as they come, the last ones held. `length_ms` measures sound.

    It is given the first bytes, the size and the last bytes, and gives milliseconds or None.
    """

    def __init__(self, length_ms: Callable[[bytes, int, bytes], int | None], keep_bytes: int = 65_536) -> None:
        self.facts = StreamFacts()
        self._length_ms = length_ms
        self._keep_bytes = keep_bytes
        self._head = bytearray()
        self._held = b""
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """See `Bridge.feed`."""
        facts = self.facts
        facts.started = True
        facts.events += 1
        self._size += len(data)
        room = self._keep_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
        out, self._held = self._held, data
        return out

    def close(self) -> bytes:
        """See `Bridge.close`. Whoever cuts a file off breaks the connection, which is seen elsewhere."""
        if self._size:
            self.facts.ended = True
            self.facts.finish = "stop"
        length = self._length_ms(bytes(self._head), self._size, self._held)
        if length is not None:
            self.facts.usage = Usage(audio_output_ms=length)
        return b""

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `Bridge.finish`."""
        held, self._held = self._held, b""
        return held

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `Bridge.fail`: nothing can be said inside a file; the connection has to break."""
        return b""


class EitherForwarder:
    """The `Bridge` of a provider that decides itself between events and a file: its first bytes tell."""

    def __init__(self, events: Callable[[], EventsForwarder], file: Callable[[], FileForwarder]) -> None:
        self.facts = StreamFacts()
        self._events = events
        self._file = file
        self._head = b""
        self._chosen: EventsForwarder | FileForwarder | None = None

    def feed(self, data: bytes) -> bytes:
        """See `Bridge.feed`."""
        if self._chosen is None:
            data = self._head = self._head + data
            if any(start.startswith(data) for start in _EVENT_STARTS):
                return b""
        return self._taken().feed(data)

    def close(self) -> bytes:
        """See `Bridge.close`."""
        chosen = self._chosen
        if chosen is not None:
            return chosen.close()
        chosen = self._taken()
        return (chosen.feed(self._head) if self._head else b"") + chosen.close()

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `Bridge.finish`."""
        return self._taken().finish(usage, cost_nano_usd)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `Bridge.fail`."""
        return self._taken().fail(error, request_id)

    def _taken(self) -> EventsForwarder | FileForwarder:
        if self._chosen is None:
            self._chosen = self._events() if self._head.startswith(_EVENT_STARTS) else self._file()
            self._chosen.facts = self.facts
        return self._chosen


class NoWriter:
    """The `StreamWriter` of dialects that are forwarded only: it can say that something failed."""

    def write(self, event: StreamEvent) -> bytes:
        """See `StreamWriter`."""
        return b""

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `StreamWriter`."""
        return b""

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `StreamWriter`."""
        return failed_event(error, request_id)


def failed_event(error: GatewayError, request_id: str) -> bytes:
    """The event that tells of a failure, as OpenAI's clients look for it."""
    return b"event: error\ndata: " + render_error(error, request_id) + b"\n\n"
