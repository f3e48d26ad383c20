"""How clients of Chat Completions ask, and what they read."""

import json
from typing import Any

import httpx2 as httpx

from tests.conformance.ask import Ingress, cache_mark, only_text, openai_failure, streamed
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, Usage
from tests.events import events


def _chat_body(talk: Talk, model: str, stream: bool) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    if talk.system:
        mark = [{"type": "text", "text": talk.system, **cache_mark(talk.system_mark)}]
        messages.append({"role": "system", "content": mark if talk.system_mark else talk.system})
    for turn in talk.turns:
        messages += _chat_turn(turn)
    body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": talk.max_tokens, **chat_members(talk)}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def chat_members(talk: Talk) -> dict[str, Any]:
    form = talk.form
    if form == "json":
        form = {"type": "json_object"}
    elif form is not None:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": form}}
    members = {
        "tools": [_chat_tool(tool) for tool in talk.tools] or None,
        "tool_choice": _chat_choice(talk.choice),
        "parallel_tool_calls": False if talk.one_at_a_time else None,
        "reasoning_effort": talk.effort,
        "response_format": form,
        "stop": list(talk.stop) or None,
        "n": talk.n if talk.n > 1 else None,
        "logprobs": talk.logprobs or None,
        "temperature": talk.temperature,
        "user": talk.user,
        "web_search_options": {} if talk.server_tool else None,
        **dict(talk.further),
    }
    return {name: value for name, value in members.items() if value is not None}


def _chat_tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    function |= {"strict": True} if tool.strict else {}
    return {"type": "function", "function": function, **cache_mark(tool.mark)}


def _chat_choice(choice: str | None) -> Any:
    if choice in (None, "auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _chat_turn(turn: Turn) -> list[dict[str, Any]]:
    if turn.role == "system":
        return [{"role": "system", "content": only_text(turn.parts)}]
    if turn.role == "assistant":
        message: dict[str, Any] = {"role": "assistant", "content": only_text(turn.parts) or None}
        calls = [part.value for part in turn.parts if part.kind == "call"]
        if calls:
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
                for call_id, name, given in calls
            ]
        return [message]
    written = [_chat_result(part) for part in turn.parts if part.kind == "result"]
    rest = [part for part in turn.parts if part.kind != "result"]
    if rest:
        plain = len(rest) == 1 and rest[0].kind == "text" and not rest[0].mark
        written.append({"role": "user", "content": rest[0].value if plain else [_chat_part(part) for part in rest]})
    return written


def _chat_result(part: Part) -> dict[str, Any]:
    call_id, parts, _ = part.value
    plain = all(inner.kind == "text" for inner in parts)
    text = only_text(parts)
    return {
        "role": "tool", "tool_call_id": call_id, "content": text if plain else [_chat_part(inner) for inner in parts],
    }  # fmt: skip


def _chat_part(part: Part) -> dict[str, Any]:
    mark = cache_mark(part.mark)
    match part.kind:
        case "text":
            return {"type": "text", "text": part.value, **mark}
        case "image":
            return {"type": "image_url", "image_url": {"url": _uri(part.value)}, **mark}
        case "detailed":
            where, detail = part.value
            return {"type": "image_url", "image_url": {"url": _uri(where), "detail": detail}, **mark}
        case "document":
            media, data, name = part.value
            uri = _uri((media, data) if media else data)
            return {"type": "file", "file": {"filename": name, "file_data": uri}, **mark}
        case "audio":
            form, data = part.value
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
    raise ValueError(part.kind)


def _uri(image: Any) -> str:
    return image if isinstance(image, str) else f"data:{image[0]};base64,{image[1]}"


def chat_cannot(talk: Talk) -> str | None:
    parts = [part for turn in talk.turns for part in turn.parts]
    if any(part.kind in ("note", "cited") for part in parts):
        return "Chat Completions takes files, not documents of plain text"
    if any(part.kind == "result" and part.value[2] for part in parts):
        return "Chat Completions has no mark for the result of a failed call"
    if dict(talk.further).get("top_k") is not None:
        return "Chat Completions has no such parameter"
    return None


def _chat_message(answer: httpx.Response) -> dict[str, Any]:
    """The answer's `choices` and `usage`; of a stream, as the official client joins its chunks."""
    if not streamed(answer):
        body = answer.json()
        assert body["object"] == "chat.completion" and body["id"] and body["created"]
        return {"choices": body["choices"], "usage": body["usage"]}
    chunks = events(answer.text)
    assert all(not each.name for each in chunks) and chunks[-1].data == "[DONE]" and answer.text.count("[DONE]") == 1
    bodies = [each.data for each in chunks[:-1]]
    assert len({body["id"] for body in bodies}) == 1 and {body["object"] for body in bodies} == {
        "chat.completion.chunk"
    }
    choices: dict[int, dict[str, Any]] = {}
    for body in bodies:
        for choice in body["choices"]:
            _join_delta(choices, choice)
    usages = [body["usage"] for body in bodies if body.get("usage")]
    assert len(usages) == 1 and bodies[-1]["choices"] == [], "usage comes once, in a chunk of its own, at the end"
    return {"choices": [choices[index] for index in sorted(choices)], "usage": usages[0]}


def _join_delta(choices: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    delta = choice["delta"]
    first = choice["index"] not in choices
    whole = choices.setdefault(choice["index"], {"message": {"role": "assistant", "content": None}})
    assert ("role" in delta) is first, "the role stands in the first delta of a choice"
    assert not whole.get("finish_reason"), "nothing of a choice comes after its finish reason"
    message = whole["message"]
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        if delta.get(name):
            message[name] = (message.get(name) or "") + delta[name]
    for name in ("annotations", "reasoning_details"):
        message.setdefault(name, []).extend(delta.get(name) or [])
    for call in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        if call["index"] == len(calls):
            calls.append({"id": call["id"], "type": call["type"], "function": {**call["function"]}})
        else:
            calls[call["index"]]["function"]["arguments"] += call["function"].get("arguments") or ""
    if choice.get("logprobs"):
        whole.setdefault("logprobs", {"content": []})["content"] += choice["logprobs"]["content"]
    for name in ("finish_reason", "stop_reason", "native_finish_reason"):
        if choice.get(name) is not None:
            whole[name] = choice[name]


def _chat_reply(body: dict[str, Any]) -> Reply:
    choices = body["choices"]
    first = choices[0]
    message = first["message"]
    details = message.get("reasoning_details") or []
    signed = "".join(each.get("signature") or "" for each in details) or None
    encrypted = "".join(each["data"] for each in details if each["type"] == "reasoning.encrypted") or None
    refusal = message.get("refusal")
    cited = [each["url_citation"] for each in message.get("annotations") or ()]
    assert all(0 <= each["start_index"] <= each["end_index"] for each in cited)
    logprobs = first.get("logprobs")
    return Reply(
        texts=tuple(
            (each["message"].get("content") or "") + (each["message"].get("refusal") or "") for each in choices
        ),
        thinking=message.get("reasoning_content") or message.get("reasoning") or "",
        signature=signed,
        redacted=encrypted,
        calls=tuple(_chat_call(call) for call in message.get("tool_calls") or ()),
        finish="content_filter" if refusal else first["finish_reason"],
        stop_sequence=first.get("stop_reason"),
        refused=bool(refusal) or first["finish_reason"] == "content_filter",
        citations=tuple((each["url"], each["title"]) for each in cited),
        logprobs="".join(each["token"] for each in logprobs["content"]) if logprobs else None,
        usage=chat_usage(body["usage"]),
    )


def _chat_call(call: dict[str, Any]) -> tuple[str, str, Any]:
    assert call["type"] == "function" and call["id"]
    return call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])


def chat_usage(told: dict[str, Any]) -> Usage:
    assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"] and told["cost"] >= 0
    details = told.get("prompt_tokens_details") or {}
    cached, written = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
    return Usage(told["prompt_tokens"], told["completion_tokens"], cached, written)


def _chat_next(body: dict[str, Any], answer: dict[str, Any], turn: Turn) -> dict[str, Any]:
    message = {name: value for name, value in answer["choices"][0]["message"].items() if name != "annotations"}
    return {**body, "messages": [*body["messages"], message, *_chat_turn(turn)]}


OPENAI = Ingress(
    "openai", "OpenAI Chat Completions", "openai", "/v1/chat/completions",
    chat_cannot, _chat_body, _chat_message, _chat_reply, _chat_next, openai_failure,
)  # fmt: skip
