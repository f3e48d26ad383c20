"""The fake's Anthropic Messages: plain answers, streams, token counts, errors."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from behaviour import Behaviour
from speak_openai import arguments_of

# Claude at a cloud: the address holds the model and says whether a stream is wanted.
_AT_CLOUD = re.compile(r".*/publishers/anthropic/models/([^/:]+):(?:stream)?[rR]awPredict")
COUNTER = "count-tokens"


def model_in(path: str) -> str | None:
    """The model that an address of a cloud names (`count-tokens` for the counter); None for other addresses."""
    found = _AT_CLOUD.fullmatch(path)
    return unquote(found[1]) if found else None


def streams(path: str) -> bool:
    """Whether an address asks for a stream."""
    return path.endswith(":streamRawPredict")


_CITED = {"type": "web_search_result_location", "cited_text": "as it is said there", "encrypted_index": "aW5kZXg="}


def default_error(status: int) -> dict[str, Any]:
    """An error body as Anthropic would word this status."""
    kinds = {
        400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
        404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
        529: "overloaded_error",
    }  # fmt: skip
    kind = kinds.get(status, "api_error" if status >= 500 else "invalid_request_error")
    error = {"type": kind, "message": f"Scripted trouble with status {status}."}
    return {"type": "error", "error": error, "request_id": "req_fake"}


def plain(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> dict[str, Any]:
    """A plain answer."""
    answer = {**_head(request, behaviour, number), "content": _blocks(behaviour, persona)}
    answer["stop_reason"] = _stop_reason(behaviour)
    answer["usage"] = usage(behaviour.usage or {})
    if behaviour.usage is None:
        del answer["usage"]
    return answer


def frames(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> Iterator[tuple[str, bool]]:
    """The events of a stream, each with whether it is content."""
    counts = behaviour.usage
    start = {**_head(request, behaviour, number), "content": [], "stop_reason": None, "stop_sequence": None}
    if counts is not None:
        start["usage"] = usage({**counts, "completion": 1})
    yield event("message_start", {"message": start}), False
    if behaviour.comments:
        yield event("ping", {}), False
    runs = (
        []
        if behaviour.empty
        else [_block_events(behaviour, block, at) for at, block in enumerate(_blocks(behaviour, persona))]
    )
    for run in runs:
        yield from run
    stopped = {"stop_reason": _stop_reason(behaviour), "stop_sequence": behaviour.stop_sequence}
    ended: dict[str, Any] = {"delta": stopped}
    if counts is not None:
        ended["usage"] = {"output_tokens": counts.get("completion", 0), **_searched(counts)}
    yield event("message_delta", ended), False
    if not behaviour.no_done:
        yield event("message_stop", {}), False


def error_frame(error: Any) -> str:
    """An error inside a stream."""
    told = (
        error
        if error is not None
        else {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    )
    return f"event: error\ndata: {json.dumps(told)}\n\n"


def count_tokens(request: dict[str, Any]) -> dict[str, Any]:
    """A token count: a quarter of the characters of the body."""
    return {"input_tokens": len(json.dumps(request)) // 4}


def usage(counts: dict[str, int]) -> dict[str, Any]:
    """Usage in Anthropic's words: cached tokens stand beside the input, not in it."""
    cached, written = counts.get("cached", 0), counts.get("cache_write", 0)
    told: dict[str, Any] = {
        "input_tokens": counts.get("prompt", 0) - cached - written,
        "output_tokens": counts.get("completion", 0),
    }
    if "cached" in counts or "cache_write" in counts:
        told["cache_read_input_tokens"] = cached
        told["cache_creation_input_tokens"] = written
    return {**told, **_searched(counts)}


def _searched(counts: dict[str, int]) -> dict[str, Any]:
    return {"server_tool_use": {"web_search_requests": counts["searches"]}} if "searches" in counts else {}


def event(name: str, members: dict[str, Any]) -> str:
    """One named event."""
    body = json.dumps({"type": name, **members}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {body}\n\n"


def _head(request: dict[str, Any], behaviour: Behaviour, number: int) -> dict[str, Any]:
    return {
        "id": behaviour.id or f"msg_fake_{number}",
        "type": "message",
        "role": "assistant",
        "model": behaviour.model or request.get("model", "fake"),
        "stop_sequence": behaviour.stop_sequence,
        **behaviour.members,
    }


def _stop_reason(behaviour: Behaviour) -> str:
    if behaviour.stop_sequence is not None:
        return "stop_sequence"
    if behaviour.refusal is not None:
        return "refusal"
    return behaviour.finish or ("tool_use" if behaviour.tool_calls else "end_turn")


def _blocks(behaviour: Behaviour, persona: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if behaviour.empty:
        return blocks
    if behaviour.thinking is not None:
        blocks.append({"type": "thinking", "thinking": behaviour.thinking, "signature": behaviour.signature or "c2ln"})
    if behaviour.redacted is not None:
        blocks.append({"type": "redacted_thinking", "data": behaviour.redacted})
    text = behaviour.text
    if text is None and not behaviour.tool_calls:
        text = f"Hello from {persona}" if behaviour.refusal is None else behaviour.refusal
    blocks += behaviour.blocks
    if text:
        cited = [{**_CITED, **each} for each in behaviour.citations]
        blocks.append({"type": "text", "text": text, **({"citations": cited} if cited else {})})
    for place, call in enumerate(behaviour.tool_calls):
        blocks.append({"type": "tool_use", "id": _id(call, place), "name": call["name"], "input": _input(call)})
    return blocks


def _id(call: dict[str, Any], place: int) -> str:
    return str(call.get("id", f"toolu_{place}"))


def _input(call: dict[str, Any]) -> Any:
    text = arguments_of(call)
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return {"_broken": text}


def _block_events(behaviour: Behaviour, block: dict[str, Any], at: int) -> Iterator[tuple[str, bool]]:
    deltas: list[dict[str, Any]] = []
    opened = dict(block)
    match block["type"]:
        case "text":
            opened["text"] = ""
            cited = opened.pop("citations", [])
            deltas = [{"type": "text_delta", "text": each} for each in behaviour.text_pieces(block["text"])]
            deltas += [{"type": "citations_delta", "citation": each} for each in cited]
        case "thinking":
            opened["thinking"], opened["signature"] = "", ""
            deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "tool_use":
            opened["input"] = {}
            place = next(at for at, call in enumerate(behaviour.tool_calls) if _id(call, at) == block["id"])
            fragments = behaviour.fragments(arguments_of(behaviour.tool_calls[place]))
            deltas = [{"type": "input_json_delta", "partial_json": each} for each in fragments]
    yield event("content_block_start", {"index": at, "content_block": opened}), False
    for delta in deltas:
        yield event("content_block_delta", {"index": at, "delta": delta}), True
    yield event("content_block_stop", {"index": at}), False
