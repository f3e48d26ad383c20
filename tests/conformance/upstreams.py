"""How providers are spoken to: one driver per column, which hears a `Talk` in what reached the fake and scripts a `Reply`.

A further upstream is one more driver in `UPSTREAMS`, a speaker in `tests/fakes`, and its lines in `notes.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, merged


@dataclass(frozen=True)
class Upstream:
    """One column. `slug` is the provider's name in the configuration and its persona at the fake.

    `hear` reads what reached the provider; `says` gives of a wanted reply what this dialect has words for, which is what
    a client must get; `remembers` is what the provider must hear of it when the client sends it back; `script` is that reply
    for the fake. `never` gives for rows of the matrix the reason why no provider
    of this dialect could take part. `broken` is an error object as it sends one with status 200.
    """

    name: str
    title: str
    dialect: str
    slug: str
    native_id: str
    hear: Callable[[dict[str, Any]], Talk]
    says: Callable[[Reply], Reply]
    remembers: Callable[[Reply], Reply]
    script: Callable[[Reply], dict[str, Any]]
    broken: dict[str, Any]
    never: dict[str, str]


def _usage(reply: Reply) -> dict[str, int]:
    used = reply.usage
    told = {"prompt": used.prompt, "completion": used.completion}
    if used.cached or used.written:
        told |= {"cached": used.cached, "cache_write": used.written}
    return told


def _script(reply: Reply, finishes: dict[str, str]) -> dict[str, Any]:
    """The members of a script that all dialects share."""
    script: dict[str, Any] = {
        "text": reply.texts[0],
        "usage": _usage(reply),
        "tool_calls": [{"id": call_id, "name": name, "arguments": given} for call_id, name, given in reply.calls],
        "citations": [{"url": url, "title": title} for url, title in reply.citations],
        "logprobs": reply.logprobs is not None,
        "blocks": [json.loads(each) for each in reply.raw],
    }
    if reply.finish in finishes:
        script["finish"] = finishes[reply.finish]
    for name, value in (
        ("thinking", reply.thinking),
        ("signature", reply.signature),
        ("redacted", reply.redacted),
        ("stop_sequence", reply.stop_sequence),
    ):
        if value:
            script[name] = value
    return script


# --- OpenAI-like


def _openai_script(reply: Reply) -> dict[str, Any]:
    script = _script(replace(reply, stop_sequence=None), {"length": "length", "content_filter": "content_filter"})
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


def _marked(value: dict[str, Any]) -> bool:
    return value.get("cache_control") == {"type": "ephemeral"}


def _openai_tool(tool: dict[str, Any]) -> Tool:
    function = tool["function"]
    assert tool["type"] == "function"
    return Tool(function["name"], function["parameters"], function["description"], _marked(tool))


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
    mark = _marked(part)
    match part["type"]:
        case "text":
            return Part("text", part["text"], mark)
        case "image_url":
            where = _split(part["image_url"]["url"])
            detail = part["image_url"].get("detail")
            return Part("image", where, mark) if detail is None else Part("detailed", (where, detail), mark)
        case "file":
            media, data = _split(part["file"]["file_data"])
            return Part("document", (media, data, part["file"].get("filename")), mark)
        case "input_audio":
            return Part("audio", (part["input_audio"]["format"], part["input_audio"]["data"]))
    raise AssertionError(f"unknown part {part}")


def _split(url: str) -> Any:
    if not url.startswith("data:"):
        return url
    media, _, data = url.removeprefix("data:").partition(";base64,")
    return media, data


# --- Anthropic-like


def _anthropic_script(reply: Reply) -> dict[str, Any]:
    script = _script(reply, {"length": "max_tokens"})
    if reply.refused:
        script |= {"refusal": script.pop("text")}
    return script


def _anthropic_says(reply: Reply) -> Reply:
    signature = reply.signature or ("c2ln" if reply.thinking else None)  # the fake signs every thought
    finish = "content_filter" if reply.refused else reply.finish
    return replace(reply, logprobs=None, finish=finish, signature=signature)


def _anthropic_hear(body: dict[str, Any]) -> Talk:
    system = body.get("system") or []
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    choice = body.get("tool_choice") or {}
    kind = {"any": "required", "tool": choice.get("name"), None: None}.get(choice.get("type"), choice.get("type"))
    thinking = body.get("thinking") or {}
    budget = thinking.get("budget_tokens")
    form = (body.get("output_config") or {}).get("format")
    tools = body.get("tools") or []
    assert thinking.get("type", "enabled") == "enabled" and (budget is None or budget < body["max_tokens"])
    return Talk(
        turns=merged([_anthropic_turn(message) for message in body["messages"]]),
        system="\n".join(block["text"] for block in blocks),
        system_mark=any(_marked(block) for block in blocks),
        tools=tuple(
            Tool(tool["name"], tool["input_schema"], tool["description"], _marked(tool))
            for tool in tools
            if "type" not in tool
        ),
        choice=None if kind == "auto" else kind,
        one_at_a_time=choice.get("disable_parallel_tool_use", False),
        effort=None if budget is None else "low" if budget == 2048 else f"{budget} tokens",
        form=form["schema"] if form else None,
        stop=tuple(body.get("stop_sequences") or ()),
        temperature=body.get("temperature"),
        max_tokens=body["max_tokens"],
        user=(body.get("metadata") or {}).get("user_id"),
        server_tool=any(tool.get("type") == "web_search_20250305" for tool in tools),
        further=tuple((name, body[name]) for name in ("top_p", "top_k") if name in body),
    )


def _anthropic_turn(message: dict[str, Any]) -> Turn:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return Turn(message["role"], tuple(_anthropic_part(block) for block in blocks))


def _anthropic_part(block: dict[str, Any]) -> Part:
    mark = _marked(block)
    match block["type"]:
        case "text":
            return Part("text", block["text"], mark)
        case "image":
            source = block["source"]
            where = source["url"] if source["type"] == "url" else (source["media_type"], source["data"])
            return Part("image", where, mark)
        case "document" if block["source"]["type"] == "text":
            return Part("note", (block["source"]["data"], block.get("title")), mark)
        case "document":
            source = block["source"]
            return Part("document", (source["media_type"], source["data"], block.get("title")), mark)
        case "tool_use":
            return Part("call", (block["id"], block["name"], block["input"]))
        case "tool_result":
            content = block["content"]
            inner = [{"type": "text", "text": content}] if isinstance(content, str) else content
            parts = tuple(_anthropic_part(each) for each in inner)
            return Part("result", (block["tool_use_id"], parts, block.get("is_error", False)), mark)
        case "thinking":
            return Part("thinking", (block["thinking"], block["signature"] or None))
        case "redacted_thinking":
            return Part("redacted", block["data"])
    return Part("raw", json.dumps(block, sort_keys=True))


# --- Gemini


def _gemini_script(reply: Reply) -> dict[str, Any]:
    return _script(_gemini_remembers(reply), {"length": "MAX_TOKENS", "content_filter": "SAFETY"})


def _gemini_says(reply: Reply) -> Reply:
    """A signature stands on the call, and travels sealed together with that place (docs/adr/0014)."""
    said = _gemini_remembers(reply)
    return replace(said, signature=None, redacted=f"google-gemini-v1:call0:{said.signature}") if said.signature else said


def _gemini_remembers(reply: Reply) -> Reply:
    said = replace(reply, stop_sequence=None, redacted=None, usage=replace(reply.usage, written=0), raw=())
    # It has no words of refusal: it stops.
    return replace(said, texts=("",), finish="content_filter") if said.refused and said.finish == "stop" else said


def _gemini_hear(body: dict[str, Any]) -> Talk:
    config = body.get("generationConfig") or {}
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = {"ANY": "required", "NONE": "none", "AUTO": None, None: None}[calling.get("mode")]
    declared = [each for tool in body.get("tools") or () for each in tool["functionDeclarations"]]
    thinking = config.get("thinkingConfig")
    assert thinking is None or thinking["includeThoughts"] is True
    form = config.get("responseJsonSchema", "json") if config.get("responseMimeType") == "application/json" else None
    names = {"top_p": "topP", "seed": "seed", "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty"}
    names["top_k"] = "topK"
    return Talk(
        turns=merged([_gemini_turn(content) for content in body["contents"]]),
        system="\n".join(part["text"] for part in (body.get("systemInstruction") or {"parts": []})["parts"]),
        tools=tuple(Tool(each["name"], each["parameters"], each["description"]) for each in declared),
        choice=calling.get("allowedFunctionNames", [mode])[0],
        effort=thinking["thinkingLevel"] if thinking else None,
        form=form,
        stop=tuple(config.get("stopSequences") or ()),
        n=config.get("candidateCount", 1),
        logprobs=config.get("responseLogprobs", False),
        temperature=config.get("temperature"),
        max_tokens=config["maxOutputTokens"],
        further=tuple((name, config[native]) for name, native in names.items() if native in config),
    )


def _gemini_turn(content: dict[str, Any]) -> Turn:
    parts: list[Part] = []
    thought = "".join(part["text"] for part in content["parts"] if part.get("thought"))
    signed = [part for part in content["parts"] if "thoughtSignature" in part]
    calls = [part for part in content["parts"] if "functionCall" in part]
    excused = [part for part in signed if part["thoughtSignature"] == "skip_thought_signature_validator"]
    signed = [part for part in signed if part not in excused]
    if thought or signed:
        assert not calls or signed == calls[:1], "the signature of a turn with calls stands on its first call"
        parts.append(Part("thinking", (thought, signed[0]["thoughtSignature"] if signed else None)))
    parts += [_gemini_part(part) for part in content["parts"] if not part.get("thought")]
    return Turn({"model": "assistant"}.get(content["role"], content["role"]), tuple(parts))


def _gemini_part(part: dict[str, Any]) -> Part:
    if "functionCall" in part:
        call = part["functionCall"]
        return Part("call", (call["id"], call["name"], call["args"]))
    if "functionResponse" in part:
        answer = part["functionResponse"]
        (kind, text), *more = answer["response"].items()
        assert not more and kind in ("output", "error")
        return Part("result", (answer["id"], (Part("text", text),), kind == "error"))
    if "fileData" in part:
        return Part("image", part["fileData"]["fileUri"])
    if "inlineData" in part:
        media, data = part["inlineData"]["mimeType"], part["inlineData"]["data"]
        kind, _, form = media.partition("/")
        if kind == "image":
            return Part("image", (media, data))
        return Part("audio", (form, data)) if kind == "audio" else Part("document", (media, data, None))
    return Part("text", part["text"])


_OPENAI_ERROR = {"error": {"message": "The engine is on fire.", "type": "server_error", "param": None, "code": 500}}
_OPENAI_NEVER = {
    "cache marks, told": "Chat Completions tells what was read from the cache, not what was written",
}
_PLAIN_NEVER = {
    "encrypted thinking": "only models of other makers encrypt what they think",
    "signed thinking": "Chat Completions signs nothing",
}

UPSTREAMS: dict[str, Upstream] = {
    each.name: each
    for each in (
        Upstream(
            "openai", "OpenAI-like", "openai", "likeopenai", "native-openai",
            _openai_hear, _openai_says, _openai_says, _openai_script, _OPENAI_ERROR, {**_OPENAI_NEVER, **_PLAIN_NEVER},
        ),
        Upstream(
            "openrouter", "OpenRouter", "openai", "openrouter", "native-openrouter",
            _openai_hear, _openrouter_says, _openrouter_says, _openrouter_script, _OPENAI_ERROR, _OPENAI_NEVER,
        ),
        Upstream(
            "anthropic", "Anthropic-like", "anthropic", "likeanthropic", "native-anthropic",
            _anthropic_hear, _anthropic_says, _anthropic_says, _anthropic_script,
            {"type": "error", "error": {"type": "api_error", "message": "The engine is on fire."}},
            {"calls in turns": "Messages sends one block after the other"},
        ),
        Upstream(
            "gemini", "Gemini", "gemini", "likegemini", "gemini-3.1-pro-preview",
            _gemini_hear, _gemini_says, _gemini_remembers, _gemini_script,
            {"error": {"code": 500, "message": "The engine is on fire.", "status": "INTERNAL"}},
            {
                "calls in turns": "Gemini sends each call whole",
                "encrypted thinking": "Gemini shows what it thinks, or nothing",
                "cache marks, told": "Gemini tells what was read from the cache, not what was written",
            },
        ),
    )
}  # fmt: skip
