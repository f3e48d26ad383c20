"""How clients speak: one driver per ingress dialect, which asks a `Talk` and reads the `Reply` out of what came back.

A further ingress is one more driver in `INGRESSES`, and its lines in `notes.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, Usage
from tests.events import Event, events

STREAM = "text/event-stream"


@dataclass(frozen=True)
class Ingress:
    """One way in. `dialect` is its name in the product, `cannot_ask` says why a talk has no form in it, or None.

    `write` gives the body; `message` the answer's members, of a stream joined as official clients do it; `read` what they
    say; `next_body` the client's next request, with that answer as it is in the conversation, None where there is no
    next; `check_failure` how a stream ends that failed.
    """

    name: str
    title: str
    dialect: str
    path: str
    cannot_ask: Callable[[Talk], str | None]
    write: Callable[[Talk, str, bool], dict[str, Any]]
    message: Callable[[httpx.Response], dict[str, Any]]
    read: Callable[[dict[str, Any]], Reply]
    next_body: Callable[[dict[str, Any], dict[str, Any], Turn], dict[str, Any]] | None
    check_failure: Callable[[str], dict[str, Any]]


def streamed(answer: httpx.Response) -> bool:
    """Whether an answer is a stream."""
    return answer.headers["content-type"].startswith(STREAM)


# --- Chat Completions


def _chat_body(talk: Talk, model: str, stream: bool) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    if talk.system:
        mark = [{"type": "text", "text": talk.system, **_mark(talk.system_mark)}]
        messages.append({"role": "system", "content": mark if talk.system_mark else talk.system})
    for turn in talk.turns:
        messages += _chat_turn(turn)
    body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": talk.max_tokens, **_chat_members(talk)}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _chat_members(talk: Talk) -> dict[str, Any]:
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
    return {"type": "function", "function": function, **_mark(tool.mark)}


def _chat_choice(choice: str | None) -> Any:
    if choice in (None, "auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _mark(marked: bool) -> dict[str, Any]:
    return {"cache_control": {"type": "ephemeral"}} if marked else {}


def _chat_turn(turn: Turn) -> list[dict[str, Any]]:
    if turn.role == "system":
        return [{"role": "system", "content": _only_text(turn.parts)}]
    if turn.role == "assistant":
        message: dict[str, Any] = {"role": "assistant", "content": _only_text(turn.parts) or None}
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
    text = _only_text(parts)
    return {
        "role": "tool", "tool_call_id": call_id, "content": text if plain else [_chat_part(inner) for inner in parts],
    }  # fmt: skip


def _chat_part(part: Part) -> dict[str, Any]:
    mark = _mark(part.mark)
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
            return {"type": "file", "file": {"filename": name, "file_data": _uri((media, data))}, **mark}
        case "audio":
            form, data = part.value
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
    raise ValueError(part.kind)


def _uri(image: Any) -> str:
    return image if isinstance(image, str) else f"data:{image[0]};base64,{image[1]}"


def _only_text(parts: tuple[Part, ...]) -> str:
    return "".join(part.value for part in parts if part.kind == "text")


def _chat_cannot(talk: Talk) -> str | None:
    parts = [part for turn in talk.turns for part in turn.parts]
    if any(part.kind == "note" for part in parts):
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
        texts=tuple((each["message"].get("content") or "") + (each["message"].get("refusal") or "") for each in choices),
        thinking=message.get("reasoning_content") or message.get("reasoning") or "",
        signature=signed,
        redacted=encrypted,
        calls=tuple(_chat_call(call) for call in message.get("tool_calls") or ()),
        finish="content_filter" if refusal else first["finish_reason"],
        stop_sequence=first.get("stop_reason"),
        refused=bool(refusal) or first["finish_reason"] == "content_filter",
        citations=tuple((each["url"], each["title"]) for each in cited),
        logprobs="".join(each["token"] for each in logprobs["content"]) if logprobs else None,
        usage=_chat_usage(body["usage"]),
    )


def _chat_call(call: dict[str, Any]) -> tuple[str, str, Any]:
    assert call["type"] == "function" and call["id"]
    return call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])


def _chat_usage(told: dict[str, Any]) -> Usage:
    assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"] and told["cost"] >= 0
    details = told.get("prompt_tokens_details") or {}
    cached, written = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
    return Usage(told["prompt_tokens"], told["completion_tokens"], cached, written)


def _chat_next(body: dict[str, Any], answer: dict[str, Any], turn: Turn) -> dict[str, Any]:
    message = {name: value for name, value in answer["choices"][0]["message"].items() if name != "annotations"}
    return {**body, "messages": [*body["messages"], message, *_chat_turn(turn)]}


def _openai_failure(text: str) -> dict[str, Any]:
    """How a failed stream ends: one error, then the terminator, and no finish reason before them."""
    found = events(text)
    assert found[-1].data == "[DONE]" and text.count("[DONE]") == 1
    finished = [c.get("finish_reason") for e in found[:-1] for c in e.data.get("choices", ())]
    return {"error": found[-2].data["error"], "like success": any(finished)}


# --- Messages


def _messages_body(talk: Talk, model: str, stream: bool) -> dict[str, Any]:
    tools: list[Any] = [_messages_tool(tool) for tool in talk.tools]
    if talk.server_tool:
        tools.append({"type": "web_search_20250305", "name": "web_search", "max_uses": 3})
    choice: dict[str, Any] | None = None
    if talk.choice is not None or talk.one_at_a_time:
        kind = {"required": "any", None: "auto", "auto": "auto", "none": "none"}.get(talk.choice)
        choice = {"type": kind} if kind else {"type": "tool", "name": talk.choice}
        choice |= {"disable_parallel_tool_use": True} if talk.one_at_a_time else {}
    system = [{"type": "text", "text": talk.system, **_mark(True)}] if talk.system_mark else talk.system or None
    schema = {"format": {"type": "json_schema", "schema": talk.form}}
    members = {
        "system": system,
        "tools": tools or None,
        "tool_choice": choice,
        "thinking": {"type": "enabled", "budget_tokens": 2048} if talk.effort else None,
        "output_config": schema if isinstance(talk.form, dict) else None,
        "stop_sequences": list(talk.stop) or None,
        "temperature": talk.temperature,
        "metadata": {"user_id": talk.user} if talk.user else None,
        "stream": stream or None,
        **dict(talk.further),
    }
    return {
        "model": model,
        "max_tokens": talk.max_tokens,
        "messages": [_messages_turn(turn) for turn in talk.turns],
        **{name: value for name, value in members.items() if value is not None},
    }


def _messages_tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "input_schema": tool.schema, **_mark(tool.mark)}


def _messages_turn(turn: Turn) -> dict[str, Any]:
    plain = len(turn.parts) == 1 and turn.parts[0].kind == "text" and not turn.parts[0].mark
    return {"role": turn.role, "content": turn.parts[0].value if plain else [_block(part) for part in turn.parts]}


def _block(part: Part) -> dict[str, Any]:
    mark = _mark(part.mark)
    match part.kind:
        case "text":
            return {"type": "text", "text": part.value, **mark}
        case "image":
            return {"type": "image", "source": _source(part.value), **mark}
        case "document":
            media, data, name = part.value
            return {"type": "document", "source": _source((media, data)), "title": name, **mark}
        case "note":
            text, name = part.value
            source = {"type": "text", "media_type": "text/plain", "data": text}
            return {"type": "document", "source": source, "title": name, **mark}
        case "call":
            call_id, name, given = part.value
            return {"type": "tool_use", "id": call_id, "name": name, "input": given}
        case "result":
            call_id, parts, is_error = part.value
            block = {"type": "tool_result", "tool_use_id": call_id, "content": [_block(inner) for inner in parts]}
            return {**block, **({"is_error": True} if is_error else {}), **mark}
    raise ValueError(part.kind)


def _source(image: Any) -> dict[str, Any]:
    if isinstance(image, str):
        return {"type": "url", "url": image}
    return {"type": "base64", "media_type": image[0], "data": image[1]}


def _messages_cannot(talk: Talk) -> str | None:
    kinds = {part.kind for turn in talk.turns for part in turn.parts}
    if "audio" in kinds:
        return "Messages takes no audio"
    if "detailed" in kinds:
        return "Messages has no such member of images"
    if talk.form == "json":
        return "Messages knows schemas, but no JSON without one"
    if talk.n > 1 or talk.logprobs or "seed" in dict(talk.further):
        return "Messages has no such parameter"
    return None


def _messages_message(answer: httpx.Response) -> dict[str, Any]:
    """The answer's members; of a stream, as the official client joins its events."""
    if not streamed(answer):
        body: dict[str, Any] = answer.json()
        assert body["type"] == "message" and body["role"] == "assistant" and body["id"]
        return body
    found = [each for each in events(answer.text) if each.name != "ping"]
    assert all(each.name == each.data["type"] for each in found)
    assert found[0].name == "message_start" and [each.name for each in found[-2:]] == ["message_delta", "message_stop"]
    whole: dict[str, Any] = {**found[0].data["message"], "content": []}
    assert whole["id"] and whole["role"] == "assistant"
    opened: int | None = None
    for each in found[1:-2]:
        opened = _join_event(whole["content"], each, opened)
    assert opened is None, "every block is closed"
    ending = found[-2].data
    usage = {**whole["usage"], **ending["usage"]}
    return {**whole, **ending["delta"], "usage": usage}


def _join_event(blocks: list[dict[str, Any]], event: Event, opened: int | None) -> int | None:
    index = event.data["index"]
    if event.name == "content_block_start":
        assert opened is None and index == len(blocks), "blocks come one after the other"
        blocks.append(dict(event.data["content_block"]))
        return int(index)
    assert opened == index
    block = blocks[index]
    if event.name == "content_block_stop":
        if "_json" in block:
            block["input"] = json.loads(block.pop("_json") or "{}")
        return None
    delta = event.data["delta"]
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "input_json_delta":
            block["_json"] = block.get("_json", "") + delta["partial_json"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        case other:
            raise AssertionError(f"unknown delta {other}")
    return opened


_FINISHES = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter",
}  # fmt: skip


def _messages_reply(body: dict[str, Any]) -> Reply:
    def of(kind: str) -> list[dict[str, Any]]:
        return [block for block in body["content"] if block["type"] == kind]

    usual = ("text", "thinking", "redacted_thinking", "tool_use")
    assert (body["stop_reason"] == "stop_sequence") is (body["stop_sequence"] is not None)
    told = body["usage"]
    cached, written = told.get("cache_read_input_tokens", 0), told.get("cache_creation_input_tokens", 0)
    assert told["cost"] >= 0
    cited = [each for block in of("text") for each in block.get("citations") or ()]
    return Reply(
        texts=("".join(block["text"] for block in of("text")),),
        thinking="".join(block["thinking"] for block in of("thinking")),
        signature="".join(block["signature"] for block in of("thinking")) or None,
        redacted="".join(block["data"] for block in of("redacted_thinking")) or None,
        calls=tuple((block["id"], block["name"], block["input"]) for block in of("tool_use")),
        finish=_FINISHES[body["stop_reason"]],
        stop_sequence=body["stop_sequence"],
        refused=body["stop_reason"] == "refusal",
        citations=tuple((each["url"], each["title"]) for each in cited),
        raw=tuple(json.dumps(block, sort_keys=True) for block in body["content"] if block["type"] not in usual),
        usage=Usage(told["input_tokens"] + cached + written, told["output_tokens"], cached, written),
    )


def _messages_next(body: dict[str, Any], answer: dict[str, Any], turn: Turn) -> dict[str, Any]:
    said = {"role": "assistant", "content": answer["content"]}
    return {**body, "messages": [*body["messages"], said, _messages_turn(turn)]}


def _anthropic_failure(text: str) -> dict[str, Any]:
    """How a failed stream ends: every block closed, then an error, and nothing that tells of a whole answer."""
    found = events(text)
    names = [each.name for each in found]
    assert names[-1] == "error" and found[-1].data["type"] == "error"
    assert names.count("content_block_start") == names.count("content_block_stop")
    return {"error": found[-1].data["error"], "like success": "message_stop" in names or "message_delta" in names}


# --- legacy completions


def _completions_body(talk: Talk, model: str, stream: bool) -> dict[str, Any]:
    body = {"model": model, "prompt": _only_text(talk.turns[0].parts), "max_tokens": talk.max_tokens}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return {**body, **_chat_members(talk)}


def _completions_cannot(talk: Talk) -> str | None:
    if len(talk.turns) > 1 or talk.system or any(part.kind != "text" for turn in talk.turns for part in turn.parts):
        return "a completion has one prompt of plain text"
    if any(part.mark for turn in talk.turns for part in turn.parts):
        return "a prompt carries no marks"
    return _chat_cannot(talk)


def _completions_message(answer: httpx.Response) -> dict[str, Any]:
    if not streamed(answer):
        body = answer.json()
        assert body["object"] == "text_completion"
        return {"choices": body["choices"], "usage": body["usage"]}
    found = events(answer.text)
    assert found[-1].data == "[DONE]" and {each.data["object"] for each in found[:-1]} == {"text_completion"}
    choices: dict[int, dict[str, Any]] = {}
    for choice in (choice for each in found[:-1] for choice in each.data["choices"]):
        whole = choices.setdefault(choice["index"], {"text": "", "finish_reason": None})
        assert whole["finish_reason"] is None
        whole["text"] += choice["text"]
        whole["finish_reason"] = choice["finish_reason"]
    usages = [each.data["usage"] for each in found[:-1] if each.data.get("usage")]
    assert len(usages) == 1
    return {"choices": [choices[index] for index in sorted(choices)], "usage": usages[0]}


def _completions_reply(body: dict[str, Any]) -> Reply:
    finish = body["choices"][0]["finish_reason"]
    return Reply(
        texts=tuple(choice["text"] for choice in body["choices"]),
        finish=finish,
        refused=finish == "content_filter",
        usage=_chat_usage(body["usage"]),
    )


INGRESSES: dict[str, Ingress] = {
    each.name: each
    for each in (
        Ingress(
            "openai", "OpenAI Chat Completions", "openai", "/v1/chat/completions",
            _chat_cannot, _chat_body, _chat_message, _chat_reply, _chat_next, _openai_failure,
        ),
        Ingress(
            "anthropic", "Anthropic Messages", "anthropic", "/v1/messages",
            _messages_cannot, _messages_body, _messages_message, _messages_reply, _messages_next, _anthropic_failure,
        ),
        Ingress(
            "completions", "OpenAI Completions (legacy)", "openai_completions", "/v1/completions",
            _completions_cannot, _completions_body, _completions_message, _completions_reply, None, _openai_failure,
        ),
    )
}  # fmt: skip
