"""How Anthropic-like providers hear and answer."""

import json
from dataclasses import replace
from typing import Any

from tests.conformance.hear import Upstream, marked, scripted
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, merged


def _anthropic_script(reply: Reply) -> dict[str, Any]:
    script = scripted(reply, {"length": "max_tokens"})
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
        system_mark=any(marked(block) for block in blocks),
        tools=tuple(
            Tool(tool["name"], tool["input_schema"], tool["description"], marked(tool), tool.get("strict", False))
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
    mark = marked(block)
    match block["type"]:
        case "text":
            return Part("text", block["text"], mark)
        case "image":
            source = block["source"]
            where = source["url"] if source["type"] == "url" else (source["media_type"], source["data"])
            return Part("image", where, mark)
        case "document" if block["source"]["type"] == "text":
            kind = "cited" if block.get("citations") == {"enabled": True} else "note"
            return Part(kind, (block["source"]["data"], block.get("title")), mark)
        case "document":
            source = block["source"]
            where = (None, source["url"]) if source["type"] == "url" else (source["media_type"], source["data"])
            return Part("document", (*where, block.get("title")), mark)
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


ANTHROPIC = Upstream(
    "anthropic", "Anthropic-like", "anthropic", "likeanthropic", "native-anthropic",
    _anthropic_hear, _anthropic_says, _anthropic_says, _anthropic_script,
    {"type": "error", "error": {"type": "api_error", "message": "The engine is on fire."}},
    {},
    {
        "calls in turns": "Messages sends one block after the other",
        "picture in the answer": "answers of Messages hold no pictures",
    },
)  # fmt: skip
