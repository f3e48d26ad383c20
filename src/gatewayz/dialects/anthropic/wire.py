"""What Anthropic answers and events look like on the wire, and how their counts and reasons are read."""

from typing import Any, TypeVar

import msgspec

from gatewayz.core.chat import FinishReason
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text

NAME = "anthropic"
_T = TypeVar("_T")
_ABSURD = 2**40  # no answer has so many tokens; such a count is a provider's mistake

FINISH_BY_STOP: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "pause",
}
STOP_BY_FINISH: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
}


def finish_reason(native: str) -> FinishReason:
    """The normal form of a stop reason; an unknown one counts as a regular stop."""
    return FINISH_BY_STOP.get(native, "stop")


def stop_reason(finish: FinishReason, stop_sequence: str | None, refused: bool) -> str:
    """The stop reason for an Anthropic client; a model's own words of refusal count as a refusal."""
    if finish == "stop":
        return "stop_sequence" if stop_sequence is not None else "refusal" if refused else "end_turn"
    return STOP_BY_FINISH[finish]


class SeenDelta(msgspec.Struct):
    """A delta as the forwarder sees it."""

    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    signature: Any = None
    content: Any = None
    citation: Any = None
    stop_reason: Any = None


class Seen(msgspec.Struct):
    """An event as the forwarder sees it."""

    type: Any = None
    index: Any = 0
    delta: SeenDelta | None = None
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


class EventBody(msgspec.Struct):
    """An event, complete."""

    type: Any = None
    index: Any = 0
    delta: dict[str, Any] | None = None
    content_block: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    usage: Any = None
    error: Any = None


class Answer(msgspec.Struct):
    """A plain answer, complete."""

    type: Any = None
    id: Any = None
    model: Any = None
    content: list[dict[str, Any]] | None = None
    stop_reason: Any = None
    stop_sequence: Any = None
    usage: Any = None
    error: Any = None


SEEN = msgspec.json.Decoder(Seen)
_EVENT = msgspec.json.Decoder(EventBody)
_ANSWER = msgspec.json.Decoder(Answer)


def seen(data: bytes) -> Seen:
    """The event in `data` for the forwarder. Raises ValueError if it is none."""
    return _read(data, SEEN, Seen)


def event_body(data: bytes) -> EventBody:
    """The event in `data`. Raises ValueError if it is none."""
    json_text.refuse_deep(data)
    return _read(data, _EVENT, EventBody)


def answer(data: bytes) -> Answer:
    """The plain answer in `data`. Raises ValueError if it is none (an error, say)."""
    json_text.refuse_deep(data)
    read = _read(data, _ANSWER, Answer)
    if read.error or read.type == "error" or read.content is None:
        raise ValueError("not a message")
    return read


def _read(data: bytes, decoder: "msgspec.json.Decoder[_T]", kind: type[_T]) -> _T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError("not of this shape") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # the slow way, which also reads half surrogate pairs
        return msgspec.convert(json_text.load(data), kind)
    except msgspec.ValidationError as error:
        raise ValueError("not of this shape") from error


class UsageSoFar:
    """Usage of one answer, put together from its reports: a later report replaces what it names and nothing else.

    Input counts exclude cached tokens on the wire and include them here. Work that is reported apart in `iterations`
    (a compaction, an adviser's turn) is paid like the rest and therefore added.
    """

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[str, Any] = {}

    def add(self, raw: Any) -> Usage | None:
        """The usage with this report; None while there is none."""
        if isinstance(raw, dict):
            self._members.update({name: value for name, value in raw.items() if value is not None})
        return self.usage()

    def usage(self) -> Usage | None:
        """The usage so far; None while there is none."""
        members = self._members
        if type(members.get("input_tokens")) is not int and type(members.get("output_tokens")) is not int:
            return None
        total = _counts(members)
        iterations = members.get("iterations")
        for iteration in iterations if isinstance(iterations, list) else ():
            if isinstance(iteration, dict) and iteration.get("type") not in (None, "message"):
                total = [one + more for one, more in zip(total, _counts(iteration), strict=True)]
        fresh, read, written, written_1h, output = total
        details = members.get("output_tokens_details")
        return Usage(
            prompt_tokens=fresh + read + written,
            completion_tokens=output,
            cached_tokens=read,
            cache_write_5m_tokens=written - written_1h,
            cache_write_1h_tokens=written_1h,
            reasoning_tokens=min(output, _count(details, "thinking_tokens")) if isinstance(details, dict) else 0,
            web_searches=_searches(members["server_tool_use"]) if "server_tool_use" in members else 0,
        )


def _searches(ran: Any) -> int:
    return _count(ran, "web_search_requests") if isinstance(ran, dict) else 0


def _counts(members: dict[str, Any]) -> list[int]:
    """[fresh input, cache read, cache written, of which for an hour, output]."""
    split = members.get("cache_creation")
    hour = _count(split, "ephemeral_1h_input_tokens") if isinstance(split, dict) else 0
    five = _count(split, "ephemeral_5m_input_tokens") if isinstance(split, dict) else 0
    written = max(_count(members, "cache_creation_input_tokens"), hour + five)
    return [
        _count(members, "input_tokens"),
        _count(members, "cache_read_input_tokens"),
        written,
        hour,
        _count(members, "output_tokens"),
    ]


def _count(members: dict[str, Any], name: str) -> int:
    value = members.get(name)
    return value if type(value) is int and 0 < value < _ABSURD else 0


def usage_members(usage: Usage) -> dict[str, Any]:
    """The token counts of a `usage` object for a client."""
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    members: dict[str, Any] = {
        "input_tokens": max(0, fresh),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens:
        members["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.web_searches:
        members["server_tool_use"] = {"web_search_requests": usage.web_searches}
    if usage.estimated:
        members["usage_estimated"] = True
    return members


def with_cost(raw: msgspec.Raw | None, usage: Usage, cost_nano_usd: int) -> dict[str, Any]:
    """A provider's `usage` object with the cost as the gateway charges it; made from `usage` if there is none."""
    try:
        members: dict[str, Any] = {**json_text.members(raw)} if raw is not None and not usage.estimated else {}
    except ValueError:
        members = {}
    if not members:
        members = usage_members(usage)
    members["cost"] = json_text.usd_raw(cost_nano_usd)
    return members


def sse(name: bytes, payload: bytes) -> bytes:
    """One event of an Anthropic stream."""
    if b"\n" in payload:
        payload = payload.replace(b"\n", b" ")  # between tokens, as texts hold none; not all clients join lines
    return b"event: " + name + b"\ndata: " + payload + b"\n\n"
