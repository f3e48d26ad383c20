"""What answers and events of the Responses API look like on the wire, read leniently."""

from typing import Any, TypeVar

import msgspec

from gatewayz.core.chat import FinishReason
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text

NAME = "openai_responses"
_ABSURD = 2**40  # no answer has so many tokens; such a count is a provider's mistake
_ABSENT = msgspec.Raw()
# What providers tell of their own bill and of who serves; the cost that a client sees is the gateway's.
_OWN_BILL = ("cost", "cost_details", "is_byok", "cost_in_usd_ticks")

COMPLETED, INCOMPLETE, FAILED = "response.completed", "response.incomplete", "response.failed"
ERROR = "error"
LIFECYCLE = frozenset({"response.created", "response.queued", "response.in_progress"})
KEEP_ALIVE = frozenset({"keepalive", "ping", "heartbeat"})
_SEARCH = "web_search_call"
CALLS = frozenset({"function_call", "custom_tool_call"})
# Items that are opened before they carry anything.
SILENT_ITEMS = frozenset({"message", "reasoning"})

_T = TypeVar("_T")


class Seen(msgspec.Struct):
    """An event as the forwarder sees it; members that it does not name are skipped without being built."""

    type: Any = None
    delta: Any = None
    sequence_number: Any = None
    response: msgspec.Raw = _ABSENT
    item: msgspec.Raw = _ABSENT
    error: Any = None
    object: Any = None


class Body(msgspec.Struct):
    """A response object."""

    id: Any = None
    object: Any = None
    status: Any = None
    model: Any = None
    created_at: Any = None
    output: list[Any] | None = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    service_tier: Any = None


SEEN = msgspec.json.Decoder(Seen)
_BODY = msgspec.json.Decoder(Body)


def body(data: bytes | msgspec.Raw) -> Body:
    """The response object in `data`. Raises ValueError if it is none."""
    return _decoded(_BODY, data, Body)


def seen(data: bytes) -> Seen:
    """The event in `data` for the forwarder. Raises ValueError if it is none."""
    return _decoded(SEEN, data, Seen)


def _decoded(decoder: "msgspec.json.Decoder[_T]", data: bytes | msgspec.Raw, kind: type[_T]) -> _T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError("not of the Responses API") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # half surrogate pairs inside
        return decoder.decode(json_text.dump(json_text.load(data)))
    except msgspec.MsgspecError as error:
        raise ValueError("not of the Responses API") from error


def event(name: str, payload: bytes) -> bytes:
    """One server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), payload)


def finish_of(read: Body) -> tuple[FinishReason, str]:
    """(finish reason, the provider's own word for it) of a response that ended regularly."""
    details = read.incomplete_details
    if read.status == "incomplete":
        reason = details.get("reason") if isinstance(details, dict) else None
        reason = reason if isinstance(reason, str) else "incomplete"
        return ("content_filter" if reason == "content_filter" else "length"), reason
    called = any(kind_of(item) in CALLS for item in read.output or ())
    return ("tool_calls" if called else "stop"), "completed"


def kind_of(item: Any) -> str:
    """The type of an item or part; "" if it has none."""
    kind = item.get("type") if isinstance(item, dict) else None
    return kind if isinstance(kind, str) else ""


def usage_of(raw: Any) -> Usage | None:
    """Token counts of a `usage` member; None if there are none. What a total says beyond the two is output."""
    if not isinstance(raw, dict):
        return None
    if not isinstance(raw.get("input_tokens"), int) and not isinstance(raw.get("output_tokens"), int):
        return None
    prompt, completion = _count(raw, "input_tokens"), _count(raw, "output_tokens")
    inside, outside = _details(raw, "input_tokens_details"), _details(raw, "output_tokens_details")
    hidden = _count(raw, "total_tokens") - prompt - completion
    cached = min(_count(inside, "cached_tokens"), prompt)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion + max(0, hidden),
        cached_tokens=cached,
        cache_write_5m_tokens=min(_count(inside, "cache_write_tokens"), prompt - cached),
        reasoning_tokens=_count(outside, "reasoning_tokens"),
    )


def usage_in(read: Body) -> Usage | None:
    """The usage of a response, with the searches of the web that ran for it; None if there are no token counts."""
    usage = usage_of(read.usage)
    if usage is None or not read.output:
        return usage
    searches = _searches(read.usage, read.output)
    return msgspec.structs.replace(usage, web_searches=searches) if searches else usage


def _searches(usage: dict[str, Any], output: list[Any]) -> int:
    """What xAI says of its bill; else the searches among the items: opening a page that was found is none."""
    billed = _details(usage, "server_side_tool_usage_details")
    if billed:
        return _count(billed, "web_search_calls")
    return sum(kind_of(item) == _SEARCH and _is_search(item) for item in output)


def _is_search(item: dict[str, Any]) -> bool:
    action = item.get("action")
    kind = action.get("type") if isinstance(action, dict) else None
    return kind in (None, "search") and item.get("status") != "failed"


def usage_members(usage: Usage, cost_nano_usd: int) -> dict[str, Any]:
    """The `usage` object for a client, with `cost` in USD as an exact number."""
    members: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
        "cost": json_text.usd_raw(cost_nano_usd),
    }
    if usage.web_searches:
        members["server_tool_use_details"] = {"web_search_requests": usage.web_searches}
    if usage.estimated:
        members["usage_estimated"] = True
    return members


def with_cost(raw: Any, usage: Usage, cost_nano_usd: int) -> Any:
    """A provider's `usage` object as it was charged; where it reported nothing of use, the gateway's own counts."""
    if usage.estimated or raw is None or not bytes(raw).startswith(b"{"):
        return usage_members(usage, cost_nano_usd)
    members: dict[str, Any] = {**json_text.members(raw)}
    for name in _OWN_BILL:
        members.pop(name, None)
    counts = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    for name, count in {**counts, "total_tokens": usage.total_tokens}.items():
        if members.get(name) != msgspec.Raw(b"%d" % count):
            members[name] = count
    members["cost"] = json_text.usd_raw(cost_nano_usd)
    return members


def _details(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _count(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and 0 < value < _ABSURD else 0
