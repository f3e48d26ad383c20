"""How providers of the Responses API hear and answer."""

import json
from dataclasses import replace
from itertools import takewhile
from typing import Any

from tests.conformance.hear import Upstream, scripted
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, merged

SLUG = "likeresponses"
_SEARCHED = {
    "id": "ws_1", "type": "web_search_call", "status": "completed",
    "action": {"type": "search", "query": "weather", "sources": None},
}  # fmt: skip
_SEALED = f"openai-responses-v1:{SLUG}:"
_SECRET = f"secret-of-{SLUG}"  # the fake encrypts every thought


def _responses_script(reply: Reply) -> dict[str, Any]:
    script = scripted(replace(reply, stop_sequence=None), {"length": "length", "content_filter": "content_filter"})
    script["blocks"] = [_SEARCHED] if reply.raw else []
    if reply.refused and reply.finish == "stop":
        script |= {"refusal": script.pop("text")}
    return script


def _responses_says(reply: Reply) -> Reply:
    """What is encrypted travels sealed together with its maker."""
    said = _responses_remembers(reply)
    sealed = {
        name: _SEALED + value
        for name, value in (("signature", said.signature), ("redacted", said.redacted))
        if value is not None
    }
    return replace(said, **sealed)


def _responses_remembers(reply: Reply) -> Reply:
    raw = (json.dumps(_SEARCHED, sort_keys=True),) if reply.raw else ()
    signature = reply.signature or (_SECRET if reply.thinking else None)
    finish = "content_filter" if reply.refused else reply.finish
    return replace(reply, signature=signature, stop_sequence=None, finish=finish, raw=raw)


def _responses_hear(body: dict[str, Any]) -> Talk:
    assert body["store"] is False and "previous_response_id" not in body, "nothing is left with the provider"
    items = body["input"]
    items = [{"role": "user", "content": items}] if isinstance(items, str) else items
    first = list(takewhile(lambda item: item.get("role") in ("system", "developer"), items))
    system = [part.value for item in first for part in _responses_content(item["content"])]
    form = (body.get("text") or {}).get("format")
    if form is not None:
        form = "json" if form["type"] == "json_object" else form["schema"]
    choice = body.get("tool_choice")
    tools = body.get("tools") or []
    return Talk(
        turns=merged([_responses_turn(item) for item in items[len(first) :]]),
        system="\n".join([*([body["instructions"]] if body.get("instructions") else []), *system]),
        tools=tuple(
            Tool(tool["name"], tool["parameters"], tool["description"], strict=tool["strict"])
            for tool in tools
            if tool["type"] == "function"
        ),
        choice=choice["name"] if isinstance(choice, dict) else None if choice == "auto" else choice,
        one_at_a_time=body.get("parallel_tool_calls") is False,
        effort=(body.get("reasoning") or {}).get("effort"),
        form=form,
        logprobs="message.output_text.logprobs" in body.get("include", ()),
        temperature=body.get("temperature"),
        max_tokens=body["max_output_tokens"],
        user=body.get("user"),
        server_tool=any(tool["type"] == "web_search" for tool in tools),
        further=tuple((name, body[name]) for name in ("top_p",) if name in body),
    )


def _responses_turn(item: dict[str, Any]) -> Turn:
    match item.get("type", "message"):
        case "message":
            return Turn(item["role"], tuple(_responses_content(item["content"])))
        case "reasoning":
            text = "".join(part["text"] for part in item["summary"])
            secret = item["encrypted_content"]
            return Turn("assistant", (Part("thinking", (text, secret)) if text else Part("redacted", secret),))
        case "function_call":
            return Turn("assistant", (Part("call", (item["call_id"], item["name"], json.loads(item["arguments"]))),))
        case "function_call_output":
            parts = _responses_content(item["output"])
            is_error = str(parts[0].value).startswith("Error: ")
            if is_error:
                parts = [Part("text", parts[0].value.removeprefix("Error: "))]
            return Turn("user", (Part("result", (item["call_id"], tuple(parts), is_error)),))
    return Turn("assistant", (Part("raw", json.dumps(item, sort_keys=True)),))


def _responses_content(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [Part("text", content)] if content else []
    return [_responses_part(part) for part in content]


def _responses_part(part: dict[str, Any]) -> Part:
    match part["type"]:
        case "input_text" | "output_text":
            return Part("text", part["text"])
        case "input_image":
            where, detail = _split(part["image_url"]), part.get("detail", "auto")
            return Part("image", where) if detail == "auto" else Part("detailed", (where, detail))
        case "input_file":
            where = _split(part["file_data"]) if "file_data" in part else (None, part["file_url"])
            return Part("document", (*where, part.get("filename")))
        case "input_audio":
            return Part("audio", (part["input_audio"]["format"], part["input_audio"]["data"]))
    raise AssertionError(f"unknown part {part}")


def _split(url: str) -> Any:
    if not url.startswith("data:"):
        return url
    media, _, data = url.removeprefix("data:").partition(";base64,")
    return media, data


RESPONSES = Upstream(
    "responses", "Responses-only", "openai_responses", SLUG, "native-responses",
    _responses_hear, _responses_says, _responses_remembers, _responses_script,
    {"error": {"message": "The engine is on fire.", "type": "server_error", "param": None, "code": "server_error"}},
    {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "iVBORw0KGgo="},
    {"calls in turns": "the Responses API sends one item after the other"},
)  # fmt: skip
