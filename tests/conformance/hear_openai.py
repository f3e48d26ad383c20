"""How OpenAI-like providers hear and answer; OpenRouter stands for those that sign and mark."""

import json
from dataclasses import replace
from itertools import takewhile
from typing import Any

from tests.conformance.hear import Upstream, marked, scripted
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, merged


def _openai_script(reply: Reply) -> dict[str, Any]:
    script = scripted(replace(reply, stop_sequence=None), {"length": "length", "content_filter": "content_filter"})
    if reply.refused and reply.finish == "stop":
        script |= {"refusal": script.pop("text")}
    return script


def _openai_says(reply: Reply) -> Reply:
    usage = replace(reply.usage, written=0)
    reply = replace(reply, finish="content_filter") if reply.refused else reply
    return replace(reply, signature=None, redacted=None, stop_sequence=None, usage=usage, raw=())


def _openrouter_says(reply: Reply) -> Reply:
    return replace(_openai_says(reply), signature=reply.signature, redacted=reply.redacted)


def _openrouter_script(reply: Reply) -> dict[str, Any]:
    return {**_openai_script(reply), "details": bool(reply.thinking or reply.redacted)}


def _openai_hear(body: dict[str, Any]) -> Talk:
    system = list(takewhile(lambda message: message["role"] == "system", body["messages"]))
    parts = [part for message in system for part in _openai_content(message["content"])]
    turns = [_openai_turn(message) for message in body["messages"][len(system) :]]
    form = body.get("response_format")
    if form is not None:
        form = "json" if form["type"] == "json_object" else form["json_schema"]["schema"]
    choice = body.get("tool_choice")
    further = ("top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "top_k")
    return Talk(
        turns=merged(turns),
        system="\n".join(part.value for part in parts),
        system_mark=any(part.mark for part in parts),
        tools=tuple(_openai_tool(tool) for tool in body.get("tools") or ()),
        choice=choice["function"]["name"] if isinstance(choice, dict) else None if choice == "auto" else choice,
        one_at_a_time=body.get("parallel_tool_calls") is False,
        effort=body.get("reasoning_effort"),
        form=form,
        stop=tuple(body.get("stop") or ()),
        n=body.get("n", 1),
        logprobs=body.get("logprobs", False),
        temperature=body.get("temperature"),
        max_tokens=body.get("max_tokens", body.get("max_completion_tokens")),
        user=body.get("user"),
        server_tool="web_search_options" in body,
        further=tuple((name, body[name]) for name in further if name in body),
    )


def _openai_tool(tool: dict[str, Any]) -> Tool:
    function = tool["function"]
    assert tool["type"] == "function"
    strict = function.get("strict", False)
    return Tool(function["name"], function["parameters"], function["description"], marked(tool), strict)


def _openai_turn(message: dict[str, Any]) -> Turn:
    parts = _openai_content(message.get("content"))
    if message["role"] == "tool":
        is_error = any(str(part.value).startswith("Error: ") for part in parts)
        if is_error:
            parts = [Part("text", parts[0].value.removeprefix("Error: "))]
        return Turn("user", (Part("result", (message["tool_call_id"], tuple(parts), is_error)),))
    details = message.get("reasoning_details") or []
    thought: list[Part] = []
    text = message.get("reasoning_content") or message.get("reasoning")
    if text:
        signature = "".join(each.get("signature") or "" for each in details) or None
        thought.append(Part("thinking", (text, signature)))
    thought += [Part("redacted", each["data"]) for each in details if each["type"] == "reasoning.encrypted"]
    calls = [
        Part("call", (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
        for call in message.get("tool_calls") or ()
    ]
    return Turn(message["role"], (*thought, *parts, *calls))


def _openai_content(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [Part("text", content)] if content else []
    return [_openai_part(part) for part in content or ()]


def _openai_part(part: dict[str, Any]) -> Part:
    mark = marked(part)
    match part["type"]:
        case "text":
            return Part("text", part["text"], mark)
        case "image_url":
            where = _split(part["image_url"]["url"])
            detail = part["image_url"].get("detail")
            return Part("image", where, mark) if detail is None else Part("detailed", (where, detail), mark)
        case "file":
            split, name = _split(part["file"]["file_data"]), part["file"].get("filename")
            media, data = split if isinstance(split, tuple) else (None, split)
            return Part("document", (media, data, name), mark)
        case "input_audio":
            return Part("audio", (part["input_audio"]["format"], part["input_audio"]["data"]))
    raise AssertionError(f"unknown part {part}")


def _split(url: str) -> Any:
    if not url.startswith("data:"):
        return url
    media, _, data = url.removeprefix("data:").partition(";base64,")
    return media, data


_OPENAI_ERROR = {"error": {"message": "The engine is on fire.", "type": "server_error", "param": None, "code": 500}}
_PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
_OPENAI_NEVER = {
    "cache marks, told": "Chat Completions tells what was read from the cache, not what was written",
}
_PLAIN_NEVER = {
    "encrypted thinking": "only models of other makers encrypt what they think",
    "signed thinking": "Chat Completions signs nothing",
}

OPENAI = Upstream(
    "openai", "OpenAI-like", "openai", "likeopenai", "native-openai",
    _openai_hear, _openai_says, _openai_says, _openai_script, _OPENAI_ERROR, _PICTURE, {**_OPENAI_NEVER, **_PLAIN_NEVER},
)  # fmt: skip


OPENROUTER = Upstream(
    "openrouter", "OpenRouter", "openai", "openrouter", "native-openrouter",
    _openai_hear, _openrouter_says, _openrouter_says, _openrouter_script, _OPENAI_ERROR, _PICTURE, _OPENAI_NEVER,
    frozenset({"responses"}),
)  # fmt: skip
