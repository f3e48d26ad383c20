"""How clients of Messages ask, and what they read."""

import json
from typing import Any

import httpx2 as httpx

from tests.conformance.ask import Ingress, cache_mark, streamed
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, Usage
from tests.events import Event, events


def _messages_body(talk: Talk, model: str, stream: bool) -> dict[str, Any]:
    tools: list[Any] = [_messages_tool(tool) for tool in talk.tools]
    if talk.server_tool:
        tools.append({"type": "web_search_20250305", "name": "web_search", "max_uses": 3})
    choice: dict[str, Any] | None = None
    if talk.choice is not None or talk.one_at_a_time:
        kind = {"required": "any", None: "auto", "auto": "auto", "none": "none"}.get(talk.choice)
        choice = {"type": kind} if kind else {"type": "tool", "name": talk.choice}
        choice |= {"disable_parallel_tool_use": True} if talk.one_at_a_time else {}
    system = [{"type": "text", "text": talk.system, **cache_mark(True)}] if talk.system_mark else talk.system or None
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
    strict = {"strict": True} if tool.strict else {}
    written = {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
    return {**written, **strict, **cache_mark(tool.mark)}


def _messages_turn(turn: Turn) -> dict[str, Any]:
    plain = len(turn.parts) == 1 and turn.parts[0].kind == "text" and not turn.parts[0].mark
    return {"role": turn.role, "content": turn.parts[0].value if plain else [_block(part) for part in turn.parts]}


def _block(part: Part) -> dict[str, Any]:
    mark = cache_mark(part.mark)
    match part.kind:
        case "text":
            return {"type": "text", "text": part.value, **mark}
        case "image":
            return {"type": "image", "source": _source(part.value), **mark}
        case "document":
            media, data, name = part.value
            source = _source((media, data) if media else data)
            return {"type": "document", "source": source, "title": name, **mark}
        case "note" | "cited":
            text, name = part.value
            source = {"type": "text", "media_type": "text/plain", "data": text}
            cited = {"citations": {"enabled": True}} if part.kind == "cited" else {}
            return {"type": "document", "source": source, "title": name, **cited, **mark}
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


ANTHROPIC = Ingress(
    "anthropic", "Anthropic Messages", "anthropic", "/v1/messages",
    _messages_cannot, _messages_body, _messages_message, _messages_reply, _messages_next, _anthropic_failure,
)  # fmt: skip
