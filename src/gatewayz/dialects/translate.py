"""Between two dialects: any reader joined to any writer, with the meter in the middle."""

from collections.abc import Iterable

from gatewayz.core.errors import GatewayError
from gatewayz.core.stream import (
    AnnotationDelta,
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
from gatewayz.core.usage import Usage
from gatewayz.dialects.base import StreamFacts, StreamReader, StreamWriter


class TranslatingBridge:
    """A `Bridge` that decodes one dialect and encodes another."""

    __slots__ = ("_before", "_reader", "_writer", "facts")

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.facts = StreamFacts()
        self._reader = reader
        self._writer = writer
        self._before: list[bytes] = []  # what an unknown chunk left before the first content

    def feed(self, data: bytes) -> bytes:
        """See `Bridge`."""
        return self._relay(self._reader.feed(data))

    def close(self) -> bytes:
        """See `Bridge`."""
        return self._relay(self._reader.close())

    def finish(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """See `Bridge`."""
        return b"".join(self._before) + self._writer.finish(usage, cost_nano_usd)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """See `Bridge`."""
        return self._writer.fail(error, request_id)

    def _relay(self, events: Iterable[StreamEvent]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self.facts.error is not None:
                break
            self._note(event)
            if type(event) is not StreamError:
                out.append(self._writer.write(event))
        if self.facts.started:
            out[:0] = self._before
            self._before.clear()
            return b"".join(out)
        self._before += out
        return b""

    def _note(self, event: StreamEvent) -> None:
        facts = self.facts
        facts.events += 1
        if isinstance(event, (TextDelta, ThinkingDelta, RefusalDelta)):
            if event.text:
                facts.started = True
                facts.output_chars += len(event.text)
        elif isinstance(event, ToolCallDelta):
            facts.started = True
            facts.output_chars += len(event.fragment)
        elif isinstance(event, ToolCallStarted):
            facts.started = True
            facts.output_chars += len(event.name)
        elif isinstance(event, (SignatureDelta, RedactedBlock, AnnotationDelta)):
            facts.started = True
        else:
            self._note_rare(event)

    def _note_rare(self, event: StreamEvent) -> None:
        facts = self.facts
        if isinstance(event, UsageReport):
            facts.usage = event.usage
        elif isinstance(event, Started):
            facts.upstream_id = event.id or facts.upstream_id
            facts.usage = event.usage or facts.usage
        elif isinstance(event, Finished):
            if facts.finish is None or event.index == 0:
                facts.finish, facts.native_finish = event.finish, event.native_finish
        elif isinstance(event, StreamError):
            facts.error = event
        elif isinstance(event, Ended):
            facts.ended = True
        elif isinstance(event, Unknown):
            facts.note_unknown(event.raw)
            if event.text:
                facts.started = True
                facts.output_chars += len(event.text)
