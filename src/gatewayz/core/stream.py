"""The events of a streamed answer in one normal form.

Order: `Started`, then for each choice any number of deltas, then `Finished` for each choice, `UsageReport` whenever
the provider tells (the last one is the truth), at last `Ended`. `index` is the choice (0 unless `n > 1`); `block` numbers
the parts of one choice in the order in which they were opened, so that interleaved tool calls stay apart.
"""

from dataclasses import dataclass
from typing import Any

from gatewayz.core.chat import FinishReason
from gatewayz.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Started:
    """The provider has begun; nothing of the answer is known yet."""

    id: str
    model: str
    created: int
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of block `block`."""

    text: str
    index: int = 0
    block: int = 0
    logprobs: Any = None


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """More of the model's refusal."""

    text: str
    index: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More reasoning text."""

    text: str
    index: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class SignatureDelta:
    """Signature of the reasoning block `block` (may come in pieces); `format` as of `core.chat.Thinking`."""

    signature: str
    index: int = 0
    block: int = 0
    format: str | None = None


@dataclass(frozen=True, slots=True)
class RedactedBlock:
    """A whole block of encrypted reasoning; `format` as of `core.chat.RedactedThinking`."""

    data: str
    index: int = 0
    block: int = 0
    format: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """The model calls a tool; its arguments follow in fragments."""

    id: str
    name: str
    index: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A fragment of the JSON arguments of the call opened as `block`."""

    fragment: str
    index: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class AnnotationDelta:
    """A citation or annotation in the sender's own form."""

    annotation: Any
    dialect: str
    index: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class BlockClosed:
    """Block `block` is complete (dialects that do not say so leave it out)."""

    index: int = 0
    block: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """Choice `index` ended for this reason."""

    finish: FinishReason
    index: int = 0
    native_finish: str | None = None
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage so far; a later report replaces an earlier one."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class StreamError:
    """The provider reports an error; all members in its own words, `message` for the classifier only."""

    message: str
    kind: str | None = None
    code: str | None = None
    status: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A chunk or event that the dialect does not know: logged, counted and passed on, never lost in silence.

    `text` is text found in it, to be shown as a normal delta.
    """

    dialect: str
    raw: bytes
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream's regular terminator was seen; without it the answer was cut off."""


StreamEvent = (
    Started
    | TextDelta
    | RefusalDelta
    | ThinkingDelta
    | SignatureDelta
    | RedactedBlock
    | ToolCallStarted
    | ToolCallDelta
    | AnnotationDelta
    | BlockClosed
    | Finished
    | UsageReport
    | StreamError
    | Unknown
    | Ended
)
