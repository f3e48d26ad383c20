"""How Bedrock hears and answers, with a Claude behind it."""

import base64
import json
from dataclasses import replace
from typing import Any

from tests.conformance.hear import Upstream, scripted
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, merged

_EFFORTS = {2048: "low", 8192: "medium", 16384: "high"}
_MARK = {"cachePoint": {"type": "default"}}


def _bedrock_script(reply: Reply) -> dict[str, Any]:
    said = _bedrock_says(reply)
    redacted = base64.b64encode(said.redacted.encode()).decode() if said.redacted else None
    return scripted(replace(said, redacted=redacted), {"length": "max_tokens", "content_filter": "content_filtered"})


def _bedrock_says(reply: Reply) -> Reply:
    said = replace(reply, raw=())
    # It has no words of refusal: it stops.
    return replace(said, texts=("",), finish="content_filter") if said.refused and said.finish == "stop" else said


def _bedrock_hear(body: dict[str, Any]) -> Talk:
    config, further = body.get("inferenceConfig") or {}, body.get("additionalModelRequestFields") or {}
    system, system_mark = _texts(body.get("system") or [])
    tools, choice = _tools(body.get("toolConfig"))
    thinking = further.get("thinking")
    budget = thinking["budget_tokens"] if thinking else None
    form = (body.get("outputConfig") or {}).get("textFormat")
    assert form is None or form["type"] == "json_schema"
    names = (("top_p", config, "topP"), ("top_k", further, "top_k"))
    return Talk(
        turns=merged([_turn(message) for message in body["messages"]]),
        system=system,
        system_mark=system_mark,
        tools=tools,
        choice=choice,
        effort=_EFFORTS.get(budget, "low") if budget else None,
        form=json.loads(form["structure"]["jsonSchema"]["schema"]) if form else None,
        stop=tuple(config.get("stopSequences") or ()),
        temperature=config.get("temperature"),
        max_tokens=config["maxTokens"],
        further=tuple((name, where[native]) for name, where, native in names if native in where),
    )


def _texts(blocks: list[dict[str, Any]]) -> tuple[str, bool]:
    return "\n".join(block["text"] for block in blocks if "text" in block), _MARK in blocks


def _tools(config: dict[str, Any] | None) -> tuple[tuple[Tool, ...], str | None]:
    if config is None:
        return (), None
    tools: list[Tool] = []
    for block in config["tools"]:
        if block == _MARK:
            tools[-1] = replace(tools[-1], mark=True)
            continue
        spec = block["toolSpec"]
        told = spec.get("strict", False)
        tools.append(Tool(spec["name"], spec["inputSchema"]["json"], spec["description"], strict=told))
    ((kind, named),) = (config.get("toolChoice") or {"auto": {}}).items()
    return tuple(tools), named["name"] if kind == "tool" else {"any": "required", "auto": None}[kind]


def _turn(message: dict[str, Any]) -> Turn:
    parts: list[Part] = []
    for block in message["content"]:
        if block == _MARK:
            parts[-1] = replace(parts[-1], mark=True)
        else:
            parts.append(_part(block))
    return Turn(message["role"], tuple(parts))


def _part(block: dict[str, Any]) -> Part:
    ((kind, value),) = block.items()
    if kind == "text":
        return Part("text", value)
    if kind == "image":
        return Part("image", (f"image/{value['format']}", value["source"]["bytes"]))
    if kind == "audio":
        return Part("audio", (value["format"], value["source"]["bytes"]))
    if kind == "document":
        return _document(value)
    if kind == "toolUse":
        return Part("call", (value["toolUseId"], value["name"], value["input"]))
    if kind == "toolResult":
        parts = tuple(_part(each) for each in value["content"])
        return Part("result", (value["toolUseId"], parts, value.get("status") == "error"))
    assert kind == "reasoningContent"
    if "redactedContent" in value:
        return Part("redacted", base64.b64decode(value["redactedContent"]).decode())
    return Part("thinking", (value["reasoningText"]["text"], value["reasoningText"].get("signature")))


def _document(value: dict[str, Any]) -> Part:
    if "text" in value["source"]:
        kind = "cited" if value.get("citations") == {"enabled": True} else "note"
        return Part(kind, (value["source"]["text"], value["name"]))
    return Part("document", (f"application/{value['format']}", value["source"]["bytes"], value["name"]))


BEDROCK = Upstream(
    "bedrock", "Bedrock", "bedrock", "likebedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0",
    _bedrock_hear, _bedrock_says, _bedrock_says, _bedrock_script,
    {"error": {"type": "internalServerException", "message": "The engine is on fire."}},
    {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
    {"calls in turns": "Bedrock sends one block after the other"},
)  # fmt: skip
