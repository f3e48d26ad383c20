"""How clients of the Responses API ask, and what they read."""

import json
from typing import Any

import httpx2 as httpx

from tests.conformance.ask import Ingress, only_text, streamed
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, Usage
from tests.events import Event, events

_NOWHERE = ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "top_k")
_CARRIED = "gatewayz-v1:"  # how signatures of other families stand in `encrypted_content`


def _responses_body(talk: Talk, model: str, stream: bool) -> dict[str, Any]:
    form = talk.form
    if form == "json":
        form = {"type": "json_object"}
    elif form is not None:
        form = {"type": "json_schema", "name": "answer", "strict": True, "schema": form}
    tools: list[Any] = [_responses_tool(tool) for tool in talk.tools]
    if talk.server_tool:
        tools.append({"type": "web_search"})
    named = talk.choice not in (None, "auto", "none", "required")
    first = talk.turns[0]
    plain = len(talk.turns) == 1 and [part.kind for part in first.parts] == ["text"]
    members = {
        "instructions": talk.system or None,
        "tools": tools or None,
        "tool_choice": {"type": "function", "name": talk.choice} if named else talk.choice,
        "parallel_tool_calls": False if talk.one_at_a_time else None,
        "reasoning": {"effort": talk.effort, "summary": "auto"} if talk.effort else None,
        "text": {"format": form} if form else None,
        "include": ["message.output_text.logprobs"] if talk.logprobs else None,
        "temperature": talk.temperature,
        "user": talk.user,
        "stream": stream or None,
        **dict(talk.further),
    }
    return {
        "model": model,
        "input": first.parts[0].value if plain else [item for turn in talk.turns for item in _items(turn)],
        "max_output_tokens": talk.max_tokens,
        **{name: value for name, value in members.items() if value is not None},
    }


def _responses_tool(tool: Tool) -> dict[str, Any]:
    written = {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {**written, "strict": tool.strict}


def _items(turn: Turn) -> list[dict[str, Any]]:
    """The items of one turn: results and calls stand beside its message."""
    items: list[dict[str, Any]] = []
    results = [part.value for part in turn.parts if part.kind == "result"]
    for call_id, parts, _ in results:
        plain = all(inner.kind == "text" for inner in parts)
        output = only_text(parts) if plain else [_responses_part(inner, "user") for inner in parts]
        items.append({"type": "function_call_output", "call_id": call_id, "output": output})
    content = [_responses_part(part, turn.role) for part in turn.parts if part.kind not in ("result", "call")]
    if content:
        items.append({"type": "message", "role": turn.role, "content": content})
    for call_id, name, given in (part.value for part in turn.parts if part.kind == "call"):
        items.append({"type": "function_call", "call_id": call_id, "name": name, "arguments": json.dumps(given)})
    return items


def _responses_part(part: Part, role: str) -> dict[str, Any]:
    match part.kind:
        case "text":
            return {"type": "output_text" if role == "assistant" else "input_text", "text": part.value}
        case "image":
            return {"type": "input_image", "image_url": _uri(part.value)}
        case "detailed":
            where, detail = part.value
            return {"type": "input_image", "image_url": _uri(where), "detail": detail}
        case "document":
            media, data, name = part.value
            where = {"file_data": _uri((media, data))} if media else {"file_url": data}
            return {"type": "input_file", "filename": name, **where}
        case "audio":
            form, data = part.value
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
    raise ValueError(part.kind)


def _uri(image: Any) -> str:
    return image if isinstance(image, str) else f"data:{image[0]};base64,{image[1]}"


def _responses_cannot(talk: Talk) -> str | None:
    parts = [part for turn in talk.turns for part in turn.parts]
    if any(part.kind in ("note", "cited") for part in parts):
        return "the Responses API takes files, not documents of plain text"
    if any(part.kind == "result" and part.value[2] for part in parts):
        return "the Responses API has no mark for the result of a failed call"
    if any(part.mark for part in parts):
        return "the Responses API has no marks"
    if talk.n > 1 or talk.stop or any(name in dict(talk.further) for name in _NOWHERE):
        return "the Responses API has no such parameter"
    return None


def _responses_message(answer: httpx.Response) -> dict[str, Any]:
    """The response object; that of a stream must say what its events have said."""
    if not streamed(answer):
        body: dict[str, Any] = answer.json()
    else:
        found = events(answer.text)
        assert all(each.name == each.data["type"] for each in found)
        assert [each.data["sequence_number"] for each in found] == list(range(len(found)))
        assert [each.name for each in found[:2]] == ["response.created", "response.in_progress"]
        body = found[-1].data["response"]
        assert found[-1].name == f"response.{body['status']}" and {found[0].data["response"]["id"]} == {body["id"]}
        assert _joined(found[2:-1]) == body["output"], "the end says again what was said"
    assert body["object"] == "response" and body["id"].startswith("resp_") and body["created_at"]
    assert body["status"] in ("completed", "incomplete") and body["error"] is None
    return body


def _joined(found: list[Event]) -> list[dict[str, Any]]:
    """The items of a stream. Every item is opened and closed, and its deltas add up to it."""
    items: dict[int, dict[str, Any]] = {}
    deltas: dict[tuple[int, str, int], str] = {}
    sources: dict[tuple[int, int], list[Any]] = {}
    for each in found:
        data, place = each.data, each.data["output_index"]
        part = data.get("content_index", data.get("summary_index", 0))
        if each.name == "response.output_item.added":
            assert place not in items
            items[place] = data["item"]
            continue
        assert items[place]["id"] == data.get("item_id", items[place]["id"]), "an event names the item it is of"
        if each.name == "response.output_item.done":
            assert items[place]["id"] == data["item"]["id"]
            items[place] = data["item"]
        elif each.name.endswith(".delta"):
            key = (place, each.name.removesuffix(".delta"), part)
            deltas[key] = deltas.get(key, "") + data["delta"]
        elif each.name == "response.output_text.annotation.added":
            sources.setdefault((place, part), []).append(data["annotation"])
    for (place, kind, part), text in deltas.items():
        whole = _whole(items[place], kind, part)
        assert text == whole, "the deltas of an item are the item"
    for (place, part), told in sources.items():
        assert items[place]["content"][part]["annotations"] == told
    return [items[place] for place in sorted(items)]


def _whole(item: dict[str, Any], kind: str, part: int) -> Any:
    """The text in a closed item of which a delta of this kind is a piece."""
    if kind == "response.function_call_arguments":
        return item["arguments"]
    if kind == "response.reasoning_summary_text":
        return item["summary"][part]["text"]
    return item["content"][part]["refusal" if kind == "response.refusal" else "text"]


def _responses_reply(body: dict[str, Any]) -> Reply:
    def of(kind: str) -> list[dict[str, Any]]:
        return [item for item in body["output"] if item["type"] == kind]

    parts = [part for item in of("message") for part in item["content"]]
    refusal = "".join(part["refusal"] for part in parts if part["type"] == "refusal")
    texts = [part for part in parts if part["type"] == "output_text"]
    calls = tuple((item["call_id"], item["name"], json.loads(item["arguments"])) for item in of("function_call"))
    thinking, signature, redacted = _thought(of("reasoning"))
    reason = (body["incomplete_details"] or {}).get("reason")
    assert (body["status"] == "incomplete") is (reason is not None)
    finish = {"max_output_tokens": "length", "content_filter": "content_filter"}[reason] if reason else "stop"
    if finish == "stop" and (refusal or calls):
        finish = "content_filter" if refusal else "tool_calls"
    cited = [each for part in texts for each in part["annotations"]]
    assert all(0 <= each["start_index"] <= each["end_index"] for each in cited)
    logprobs = "".join(each["token"] for part in texts for each in part["logprobs"])
    usual = ("message", "reasoning", "function_call")
    return Reply(
        texts=("".join(part["text"] for part in texts) + refusal,),
        thinking=thinking,
        signature=signature,
        redacted=redacted,
        calls=calls,
        finish=finish,
        refused=finish == "content_filter",
        citations=tuple((each["url"], each["title"]) for each in cited),
        logprobs=logprobs or None,
        raw=tuple(json.dumps(item, sort_keys=True) for item in body["output"] if item["type"] not in usual),
        usage=_responses_usage(body["usage"]),
    )


def _thought(items: list[dict[str, Any]]) -> tuple[str, str | None, str | None]:
    """(text, its signature, what is encrypted without a text)."""
    text, signed, hidden = "", "", ""
    for item in items:
        said = "".join(part["text"] for part in (*item.get("summary", ()), *item.get("content", ())))
        encrypted = item.get("encrypted_content") or ""
        kind = "signed" if said else "hidden"
        if encrypted.startswith(_CARRIED):
            kind, _, encrypted = encrypted.removeprefix(_CARRIED).partition(":")
            encrypted = encrypted.partition(":")[2]
        text += said
        signed, hidden = (signed + encrypted, hidden) if kind == "signed" else (signed, hidden + encrypted)
    return text, signed or None, hidden or None


def _responses_usage(told: dict[str, Any]) -> Usage:
    assert told["total_tokens"] == told["input_tokens"] + told["output_tokens"] and told["cost"] >= 0
    details = told["input_tokens_details"]
    cached, written = details["cached_tokens"], details.get("cache_write_tokens", 0)
    return Usage(told["input_tokens"], told["output_tokens"], cached, written)


def _responses_next(body: dict[str, Any], answer: dict[str, Any], turn: Turn) -> dict[str, Any]:
    """Half of the clients keep the conversation themselves (here: those without streams), the others name the answer."""
    if body.get("stream"):
        return {**body, "previous_response_id": answer["id"], "input": _items(turn)}
    said = body["input"]
    before = [{"role": "user", "content": said}] if isinstance(said, str) else said
    return {**body, "input": [*before, *answer["output"], *_items(turn)]}


def _responses_failure(text: str) -> dict[str, Any]:
    """How a failed stream ends: the error, then a response that failed, and nothing that tells of a whole answer."""
    found = events(text)
    names = [each.name for each in found]
    assert names[-2:] == ["error", "response.failed"] and names.count("error") == 1
    error, failed = found[-2].data, found[-1].data["response"]
    assert failed["status"] == "failed" and failed["error"]["message"] == error["message"] == error["error"]["message"]
    like_success = "response.completed" in names or "response.incomplete" in names
    return {"error": error["error"], "like success": like_success}


RESPONSES = Ingress(
    "responses", "OpenAI Responses", "openai_responses", "/v1/responses",
    _responses_cannot, _responses_body, _responses_message, _responses_reply, _responses_next, _responses_failure,
)  # fmt: skip
