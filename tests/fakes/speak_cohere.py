"""The fake's Cohere chat: plain answers, streams, errors."""

import json
from collections.abc import Iterator
from typing import Any

from behaviour import Behaviour
from speak_openai import arguments_of


def default_error(status: int) -> dict[str, Any]:
    """An error body as Cohere words every status."""
    return {"id": "fake", "message": f"Scripted trouble with status {status}."}


def plain(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> dict[str, Any]:
    """A plain answer."""
    message: dict[str, Any] = {"role": "assistant"}
    content = _content(behaviour, persona)
    if content:
        message["content"] = content
    if behaviour.tool_calls:
        message["tool_calls"] = [_call(call, place) for place, call in enumerate(behaviour.tool_calls)]
    if behaviour.citations:
        message["citations"] = [_citation(behaviour, each, content) for each in behaviour.citations]
    body: dict[str, Any] = {
        "id": behaviour.id or f"cohere-fake-{number}",
        "message": message,
        "finish_reason": _reason(behaviour),
    }
    if behaviour.logprobs:
        body["logprobs"] = [_probability(piece) for piece in behaviour.text_pieces(behaviour.text or "")]
    if behaviour.usage is not None:
        body["usage"] = usage(behaviour.usage)
    return {**body, **behaviour.members}


def frames(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> Iterator[tuple[str, bool]]:
    """The events of a stream, each with whether it is content."""
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield event("message-start", {"id": behaviour.id or f"cohere-fake-{number}", "delta": {"message": start}}), False
    content = _content(behaviour, persona)
    for index, block in enumerate(content):
        kind = block["type"]
        if kind not in ("text", "thinking"):
            yield event("content-start", {"index": index, "delta": {"message": {"content": block}}}), True
            yield event("content-end", {"index": index}), False
            continue
        opened = {"type": kind, kind: ""}
        yield event("content-start", {"index": index, "delta": {"message": {"content": opened}}}), False
        for piece in behaviour.text_pieces(block[kind]) if kind == "text" else [block[kind]]:
            told = {"logprobs": _probability(piece)} if behaviour.logprobs and kind == "text" else {}
            yield (
                event("content-delta", {"index": index, "delta": {"message": {"content": {kind: piece}}}, **told}),
                True,
            )
        for place, each in enumerate(behaviour.citations if kind == "text" else []):
            citation = _citation(behaviour, each, content)
            yield event("citation-start", {"index": place, "delta": {"message": {"citations": citation}}}), True
            yield event("citation-end", {"index": place}), False
        yield event("content-end", {"index": index}), False
    for place, call in enumerate(behaviour.tool_calls):
        whole = _call(call, place)
        opened = {**whole, "function": {**whole["function"], "arguments": ""}}
        yield event("tool-call-start", {"index": place, "delta": {"message": {"tool_calls": opened}}}), True
        for piece in behaviour.fragments(whole["function"]["arguments"]):
            inner = {"tool_calls": {"function": {"arguments": piece}}}
            yield event("tool-call-delta", {"index": place, "delta": {"message": inner}}), True
        yield event("tool-call-end", {"index": place}), False
    if not behaviour.no_done:
        told = {} if behaviour.usage is None else {"usage": usage(behaviour.usage)}
        yield event("message-end", {"delta": {"finish_reason": _reason(behaviour), **told}}), False
        yield "data: [DONE]\n\n", False


def error_frame(error: Any) -> str:
    """An error inside a stream."""
    return f"data: {json.dumps(error if error is not None else default_error(503))}\n\n"


def event(name: str, members: dict[str, Any]) -> str:
    """One named event."""
    body = json.dumps({"type": name, **members}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {body}\n\n"


def usage(counts: dict[str, int]) -> dict[str, Any]:
    """Usage in Cohere's words: what is billed, and all tokens, with the preamble that nobody pays."""
    told = {"input_tokens": counts.get("prompt", 0), "output_tokens": counts.get("completion", 0)}
    every = {"input_tokens": told["input_tokens"] + 500, "output_tokens": told["output_tokens"] + 7}
    if "reasoning" in counts:
        every["reasoning_tokens"] = counts["reasoning"]
    return {"billed_units": told, "tokens": every, "cached_tokens": counts.get("cached", 0)}


def _reason(behaviour: Behaviour) -> str:
    return behaviour.finish or ("TOOL_CALL" if behaviour.tool_calls else "COMPLETE")


def _content(behaviour: Behaviour, persona: str) -> list[dict[str, Any]]:
    if behaviour.empty:
        return []
    text = behaviour.text
    if text is None and not behaviour.tool_calls:
        text = f"Hello from {persona}"
    content: list[dict[str, Any]] = []
    if behaviour.thinking is not None:
        content.append({"type": "thinking", "thinking": behaviour.thinking})
    content += behaviour.blocks
    return [*content, {"type": "text", "text": text}] if text else content


def _call(call: dict[str, Any], place: int) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": arguments_of(call) or "{}"}
    return {"id": call.get("id", f"call_{place}"), "type": "function", "function": function}


def _citation(behaviour: Behaviour, source: dict[str, str], content: list[dict[str, Any]]) -> dict[str, Any]:
    data = {"url": source["url"], "title": source["title"], "text": "as it is said there"}
    held = {"type": "document", "id": "0", "document": data}
    place = next(place for place, block in enumerate(content) if block["type"] == "text")
    text = str(behaviour.text)[:4]
    return {"start": 0, "end": 4, "text": text, "sources": [held], "content_index": place, "type": "TEXT_CONTENT"}


def _probability(piece: str) -> dict[str, Any]:
    return {"text": piece, "token_ids": [1], "logprobs": [-0.25]}
