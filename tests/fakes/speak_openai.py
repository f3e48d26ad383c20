"""The fake's OpenAI Chat Completions: plain answers, streams, model lists, errors."""

import json
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

from behaviour import Behaviour

CREATED = 1_700_000_000
DONE = "data: [DONE]\n\n"


def default_error(status: int) -> dict[str, Any]:
    """An error body as OpenAI would word this status."""
    words = {
        401: ("Incorrect API key provided: sk-fake****1234.", "invalid_request_error", "invalid_api_key"),
        403: ("You are not allowed to do this.", "permission_error", None),
        404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
        429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    }
    kind = "invalid_request_error" if status < 500 else "server_error"
    message, kind, code = words.get(status, (f"Scripted trouble with status {status}.", kind, None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def plain(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> dict[str, Any]:
    """A plain answer."""
    message: dict[str, Any] = {"role": "assistant", "content": _text(behaviour, persona)}
    if behaviour.refusal is not None:
        message["refusal"] = behaviour.refusal
    if behaviour.thinking is not None:
        message["reasoning" if behaviour.details else "reasoning_content"] = behaviour.thinking
    if behaviour.details:
        message["reasoning_details"] = list(_details(behaviour))
    if behaviour.blocks:
        message["images"] = behaviour.blocks
    if behaviour.citations:
        message["annotations"] = [_citation(each) for each in behaviour.citations]
    if behaviour.tool_calls:
        message["content"] = behaviour.text
        message["tool_calls"] = [_call(call, place) for place, call in enumerate(behaviour.tool_calls)]
    choice: dict[str, Any] = {"message": message, "logprobs": None, "finish_reason": _finish(behaviour)}
    if behaviour.logprobs:
        choice["logprobs"] = {"content": [_logprob(each) for each in behaviour.text_pieces(message["content"])]}
    if behaviour.stop_sequence is not None:
        choice["stop_reason"] = behaviour.stop_sequence
    choices = [{"index": index, **choice} for index in range(request.get("n") or 1)]
    answer = {**_head(request, behaviour, number), "object": "chat.completion", "choices": choices}
    if behaviour.empty:
        answer["choices"] = []
    if behaviour.usage is not None:
        answer["usage"] = usage(behaviour.usage)
    return answer


def frames(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> Iterator[tuple[str, bool]]:
    """The events of a stream, each with whether it is content."""
    head = {**_head(request, behaviour, number), "object": "chat.completion.chunk"}
    options = request.get("stream_options") or {}
    every = {"usage": usage(behaviour.usage)} if behaviour.usage and behaviour.usage_when == "every" else {}

    def event(index: int, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        if behaviour.logprobs and delta.get("content"):
            choice["logprobs"] = {"content": [_logprob(delta["content"])]}
        if finish is not None and behaviour.stop_sequence is not None:
            choice["stop_reason"] = behaviour.stop_sequence
        return data({**head, "choices": [choice], **every})

    if not behaviour.empty:
        for index in range(request.get("n") or 1):
            yield event(index, {"role": "assistant", "content": ""}), False
        for index in range(request.get("n") or 1):
            for delta in _deltas(behaviour, persona):
                yield event(index, delta), True
            yield event(index, {}, _finish(behaviour)), False
    asked = options.get("include_usage") is True
    if behaviour.usage is not None and behaviour.usage_when != "every" and (asked or behaviour.usage_when == "own"):
        yield data({**head, "choices": [], "usage": usage(behaviour.usage)}), False
    if not behaviour.no_done:
        yield DONE, False


def error_frame(error: Any) -> str:
    """An error inside a stream."""
    return data(error if error is not None else default_error(500))


def models(persona: str) -> dict[str, Any]:
    """The model list."""
    return {
        "object": "list",
        "data": [{"id": f"{persona}-model", "object": "model", "created": CREATED, "owned_by": persona}],
    }


def usage(counts: dict[str, int]) -> dict[str, Any]:
    """Usage in OpenAI's words."""
    told: dict[str, Any] = {
        "prompt_tokens": counts.get("prompt", 0),
        "completion_tokens": counts.get("completion", 0),
        "total_tokens": counts.get("total", counts.get("prompt", 0) + counts.get("completion", 0)),
    }
    if "cached" in counts:
        told["prompt_tokens_details"] = {"cached_tokens": counts["cached"]}
    if "reasoning" in counts:
        told["completion_tokens_details"] = {"reasoning_tokens": counts["reasoning"]}
    if "searches" in counts:
        told["server_tool_use_details"] = {"web_search_requests": counts["searches"]}
    return told


def data(value: Any) -> str:
    """One event."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"


def arguments_of(call: dict[str, Any]) -> str:
    """The arguments of a scripted call as JSON text."""
    arguments = call.get("arguments", {})
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _head(request: dict[str, Any], behaviour: Behaviour, number: int) -> dict[str, Any]:
    return {
        "id": behaviour.id or f"chatcmpl-fake-{number}",
        "created": CREATED,
        "model": behaviour.model or request.get("model", "fake"),
        **behaviour.members,
    }


def _details(behaviour: Behaviour) -> Iterator[dict[str, Any]]:
    """The reasoning as OpenRouter tells it: readable and signed, then encrypted."""
    family = {"format": "anthropic-claude-v1"}
    if behaviour.thinking is not None:
        signed = {"signature": behaviour.signature} if behaviour.signature is not None else {}
        yield {"type": "reasoning.text", "text": behaviour.thinking, **signed, **family, "index": 0}
    if behaviour.redacted is not None:
        yield {"type": "reasoning.encrypted", "data": behaviour.redacted, **family, "index": 1}


def _citation(source: dict[str, str]) -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 4, **source}}


def _logprob(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.25, "bytes": list(token.encode()), "top_logprobs": []}


def _text(behaviour: Behaviour, persona: str) -> str | None:
    if behaviour.refusal is not None:
        return None
    return f"Hello from {persona}" if behaviour.text is None else behaviour.text


def _finish(behaviour: Behaviour) -> str:
    return behaviour.finish or ("tool_calls" if behaviour.tool_calls else "stop")


def _call(call: dict[str, Any], place: int) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": arguments_of(call)}
    return {"id": call.get("id", f"call_{place}"), "type": "function", "function": function}


def _deltas(behaviour: Behaviour, persona: str) -> Iterator[dict[str, Any]]:
    if behaviour.details:
        for detail in _details(behaviour):
            yield {"reasoning": detail.get("text", ""), "reasoning_details": [detail]}
    elif behaviour.thinking is not None:
        for piece in behaviour.text_pieces(behaviour.thinking) if behaviour.pieces is None else [behaviour.thinking]:
            yield {"reasoning_content": piece}
    if behaviour.refusal is not None:
        yield {"refusal": behaviour.refusal}
    text = _text(behaviour, persona) if not behaviour.tool_calls else behaviour.text
    for piece in behaviour.text_pieces(text) if text else []:
        yield {"content": piece}
    if behaviour.blocks:
        yield {"images": behaviour.blocks}
    if behaviour.citations:
        yield {"annotations": [_citation(each) for each in behaviour.citations]}
    yield from _call_deltas(behaviour)


def _call_deltas(behaviour: Behaviour) -> Iterator[dict[str, Any]]:
    runs: list[list[dict[str, Any]]] = []
    for place, call in enumerate(behaviour.tool_calls):
        opened = {**_call(call, place), "index": place}
        opened["function"] = {"name": call["name"], "arguments": ""}
        fragments = behaviour.fragments(arguments_of(call))
        runs.append([opened, *({"index": place, "function": {"arguments": each}} for each in fragments)])
    ordered = [step for steps in zip_longest(*runs) for step in steps] if behaviour.interleave else list(chain(*runs))
    for step in ordered:
        if step is not None:
            yield {"tool_calls": [step]}
