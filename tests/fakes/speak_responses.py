"""The fake's Responses API: plain answers and streams, with reasoning that it encrypts."""

from collections.abc import Iterator
from typing import Any

from behaviour import Behaviour
from speak_openai import CREATED, arguments_of
from speak_openai import data as bare
from speak_openai import default_error as default_error


def plain(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> dict[str, Any]:
    """A plain answer."""
    output = [] if behaviour.empty else _items(behaviour, persona, number)
    return _response(request, behaviour, number, _status(behaviour), output)


def frames(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> Iterator[tuple[str, bool]]:
    """The events of a stream, each with whether it is content."""
    count = iter(range(1_000_000))

    def event(kind: str, **members: Any) -> str:
        return f"event: {kind}\n" + bare({"type": kind, "sequence_number": next(count), **members})

    for kind in ("response.created", "response.in_progress"):
        yield event(kind, response=_response(request, behaviour, number, "in_progress", [])), False
    items = [] if behaviour.empty else _items(behaviour, persona, number)
    for index, item in enumerate(items):
        opened = {**item, "status": "in_progress"}
        for name, empty in (("content", []), ("summary", []), ("arguments", ""), ("input", "")):
            if name in opened:
                opened[name] = empty
        yield event("response.output_item.added", output_index=index, item=opened), False
        place = {"item_id": item["id"], "output_index": index}
        for kind, members in _deltas(behaviour, item):
            yield event(kind, **place, **members), kind.endswith(".delta")
        yield event("response.output_item.done", output_index=index, item=item), False
    status = _status(behaviour)
    if not behaviour.no_done:
        yield event(f"response.{status}", response=_response(request, behaviour, number, status, items)), False


def error_frame(error: Any) -> str:
    """An error inside a stream: a failed response."""
    told = (error if error is not None else default_error(500))["error"]
    failed = {"id": "resp_fake", "object": "response", "status": "failed", "output": [], "error": told}
    kind = "response.failed"
    return f"event: {kind}\n" + bare({"type": kind, "sequence_number": 99, "response": failed})


def usage_of(behaviour: Behaviour) -> dict[str, Any] | None:
    """Usage in the words of this API; None if the script says nothing of it."""
    counts = behaviour.usage
    if counts is None:
        return None
    return {
        "input_tokens": counts.get("prompt", 0),
        "input_tokens_details": {
            "cached_tokens": counts.get("cached", 0),
            "cache_write_tokens": counts.get("cache_write", 0),
        },
        "output_tokens": counts.get("completion", 0),
        "output_tokens_details": {"reasoning_tokens": counts.get("reasoning", 0)},
        "total_tokens": counts.get("prompt", 0) + counts.get("completion", 0),
    }


_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def _status(behaviour: Behaviour) -> str:
    return "incomplete" if behaviour.finish in _REASONS else "completed"


def _response(
    request: dict[str, Any], behaviour: Behaviour, number: int, status: str, output: list[Any]
) -> dict[str, Any]:
    usage = None if status == "in_progress" else usage_of(behaviour)
    reason = {"reason": _REASONS[behaviour.finish or ""]} if status == "incomplete" else None
    return {
        "id": behaviour.id or f"resp_fake_{number}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": behaviour.model or request.get("model", "fake"),
        "output": output,
        "error": None,
        "incomplete_details": reason,
        "instructions": request.get("instructions"),
        "metadata": request.get("metadata") or {},
        "parallel_tool_calls": True,
        "previous_response_id": request.get("previous_response_id"),
        "store": request.get("store", True),
        "temperature": 1.0,
        "top_p": 1.0,
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": request.get("tools") or [],
        "truncation": "disabled",
        "usage": usage,
        **behaviour.members,
    }


def _items(behaviour: Behaviour, persona: str, number: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if behaviour.thinking is not None or behaviour.signature is not None:
        summary = [{"type": "summary_text", "text": behaviour.thinking}] if behaviour.thinking else []
        item = {"id": f"rs_{number}", "type": "reasoning", "status": "completed", "summary": summary}
        items.append({**item, "encrypted_content": behaviour.signature or f"secret-of-{persona}"})
    if behaviour.redacted is not None:
        item = {"id": f"rs_{number}_r", "type": "reasoning", "status": "completed", "summary": []}
        items.append({**item, "encrypted_content": behaviour.redacted})
    items += behaviour.blocks
    for place in range((behaviour.usage or {}).get("searches", 0)):
        action = {"type": "search", "query": f"query {place}"}
        items.append({"id": f"ws_{number}_{place}", "type": "web_search_call", "status": "completed", "action": action})
    text = behaviour.text if behaviour.text is not None or behaviour.tool_calls else f"Hello from {persona}"
    content: list[dict[str, Any]] = []
    if behaviour.refusal is not None:
        content = [{"type": "refusal", "refusal": behaviour.refusal}]
    elif text is not None:
        logprobs = [_logprob(each) for each in behaviour.text_pieces(text)] if behaviour.logprobs else []
        sources = [_citation(each) for each in behaviour.citations]
        content = [{"type": "output_text", "text": text, "annotations": sources, "logprobs": logprobs}]
    if content:
        message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": content}
        items.append({**message, "status": _status(behaviour)})
    for place, call in enumerate(behaviour.tool_calls):
        custom = "input" in call
        said = {"input": call["input"]} if custom else {"arguments": arguments_of(call)}
        kind = "custom_tool_call" if custom else "function_call"
        item = {"id": f"fc_{number}_{place}", "type": kind, "status": "completed", "name": call["name"], **said}
        items.append({**item, "call_id": call.get("id", f"call_{place}")})
    return items


def _citation(source: dict[str, str]) -> dict[str, Any]:
    return {"type": "url_citation", "start_index": 0, "end_index": 4, **source}


def _logprob(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.25, "bytes": list(token.encode()), "top_logprobs": []}


def _deltas(behaviour: Behaviour, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if item["type"] == "reasoning":
        for index, part in enumerate(item["summary"]):
            at = {"summary_index": index}
            yield "response.reasoning_summary_part.added", {**at, "part": {**part, "text": ""}}
            for piece in behaviour.text_pieces(part["text"]):
                yield "response.reasoning_summary_text.delta", {**at, "delta": piece}
            yield "response.reasoning_summary_text.done", {**at, "text": part["text"]}
            yield "response.reasoning_summary_part.done", {**at, "part": part}
    elif item["type"] == "message":
        part, at = item["content"][0], {"content_index": 0}
        name = "text" if part["type"] == "output_text" else "refusal"
        kind = "response.output_text" if name == "text" else "response.refusal"
        empty = {**part, name: "", **({"annotations": [], "logprobs": []} if name == "text" else {})}
        yield "response.content_part.added", {**at, "part": empty}
        for piece in behaviour.text_pieces(part[name]):
            told = [_logprob(piece)] if behaviour.logprobs else []
            yield f"{kind}.delta", {**at, "delta": piece, **({"logprobs": told} if name == "text" else {})}
        for place, source in enumerate(part.get("annotations") or ()):
            yield "response.output_text.annotation.added", {**at, "annotation_index": place, "annotation": source}
        yield f"{kind}.done", {**at, name: part[name], **({"logprobs": part["logprobs"]} if name == "text" else {})}
        yield "response.content_part.done", {**at, "part": part}
    elif item["type"] in ("function_call", "custom_tool_call"):
        custom = item["type"] == "custom_tool_call"
        kind = "response.custom_tool_call_input" if custom else "response.function_call_arguments"
        said = "input" if custom else "arguments"
        for piece in behaviour.fragments(item[said]):
            yield f"{kind}.delta", {"delta": piece}
        yield f"{kind}.done", {said: item[said]}
