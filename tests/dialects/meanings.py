"""What an answer or a request says, whatever dialect it came in: for tests of translations there and back."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gatewayz.core.chat import (
    ChatAnswer,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
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
    UsageReport,
)
from gatewayz.core.usage import Usage


@dataclass
class Meaning:
    """One choice of an answer. `thinking` is without white space, because blocks of it may be set apart by blank lines."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    signatures: list[str] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
    calls: list[list[Any]] = field(default_factory=list)  # [id, name, arguments]
    sources: list[str] = field(default_factory=list)  # addresses that were cited
    finish: str | None = None
    stopped_by: str | None = None
    usage: Usage | None = None
    ended: int = 0
    error: StreamError | None = None

    def shown_to_anthropic(self) -> "Meaning":
        """The same as far as Messages can say it: a refusal is text there, and its own reason to stop."""
        if self.refusal:
            self.text, self.refusal = self.text + self.refusal, ""
            self.finish = "content_filter" if self.finish == "stop" else self.finish
        return self

    def shown_to_openai(self) -> "Meaning":
        """The same as far as Chat Completions can say it: no pause, and no word for the sequence that stopped it."""
        self.finish = "stop" if self.finish == "pause" else self.finish
        self.stopped_by = None
        return self


def of_answer(answer: ChatAnswer, index: int = 0) -> Meaning:
    """What one choice of a plain answer says."""
    choice = answer.choices[index]
    found = Meaning(finish=choice.finish, stopped_by=choice.stop_sequence, usage=answer.usage, ended=1)
    for part in choice.parts:
        if isinstance(part, Text):
            found.text += part.text
            found.sources += [address for each in part.annotations if (address := _address(each))]
        elif isinstance(part, Thinking):
            found.thinking += "".join(part.text.split())
            found.signatures += [part.signature] if part.signature else []
        elif isinstance(part, RedactedThinking):
            found.redacted.append(part.data)
        elif isinstance(part, Refusal):
            found.refusal += part.text
        elif isinstance(part, ToolCall):
            found.calls.append([part.id, part.name, arguments(part.arguments)])
    return found


def of_events(events: Iterable[StreamEvent], index: int = 0) -> Meaning:
    """What one choice of a stream says; every event of a block must come after its start and none after the end."""
    found = Meaning()
    calls: dict[int, list[Any]] = {}
    signatures: dict[int, str] = {}
    for event in events:
        assert not found.ended, "nothing follows the end"
        if isinstance(event, UsageReport):
            found.usage = event.usage
        elif isinstance(event, Started):
            found.usage = event.usage or found.usage
        elif isinstance(event, Ended):
            found.ended += 1
        elif isinstance(event, StreamError):
            found.error = event
        elif getattr(event, "index", 0) != index:
            continue
        elif isinstance(event, TextDelta):
            found.text += event.text
        elif isinstance(event, ThinkingDelta):
            found.thinking += "".join(event.text.split())
        elif isinstance(event, RefusalDelta):
            found.refusal += event.text
        elif isinstance(event, SignatureDelta):
            signatures[event.block] = signatures.get(event.block, "") + event.signature
        elif isinstance(event, RedactedBlock):
            found.redacted.append(event.data)
        elif isinstance(event, ToolCallStarted):
            assert event.block not in calls, "a call starts once"
            calls[event.block] = [event.id, event.name, ""]
        elif isinstance(event, ToolCallDelta):
            calls[event.block][2] += event.fragment
        elif isinstance(event, AnnotationDelta):
            found.sources += [address] if (address := _address(event.annotation)) else []
        elif isinstance(event, Finished):
            assert found.finish is None, "a choice finishes once"
            found.finish, found.stopped_by = event.finish, event.stop_sequence
    found.signatures = list(signatures.values())
    found.calls = [[call_id, name, arguments(text)] for call_id, name, text in calls.values()]
    return found


def arguments(text: str) -> Any:
    """The value of tool arguments; the text itself if it is no JSON."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def _address(annotation: Any) -> str | None:
    if not isinstance(annotation, dict):
        return None
    inner = annotation.get("url_citation")
    address = (inner if isinstance(inner, dict) else annotation).get("url")
    return address if isinstance(address, str) else None
