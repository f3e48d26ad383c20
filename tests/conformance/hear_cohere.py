"""How Cohere hears and answers, with one of its models that think."""

import json
from dataclasses import replace
from typing import Any

from tests.conformance.hear import Upstream, scripted
from tests.conformance.talk import Part, Reply, Talk, Tool, Turn, merged

_LOW = 2048  # tokens of a low effort


def _cohere_script(reply: Reply) -> dict[str, Any]:
    return scripted(_cohere_says(reply), {"length": "MAX_TOKENS"})


def _cohere_says(reply: Reply) -> Reply:
    """It signs nothing, and bills cached tokens like others."""
    usage = replace(reply.usage, cached=0, written=0)
    return replace(reply, signature=None, redacted=None, stop_sequence=None, refused=False, raw=(), usage=usage)


def _cohere_hear(body: dict[str, Any]) -> Talk:
    messages = body["messages"]
    leading = 0
    while leading < len(messages) and messages[leading]["role"] == "system":
        leading += 1
    turns = [_turn(message) for message in messages[leading:]]
    if "documents" in body:
        cited = [Part("cited", (each["data"]["text"], each["data"]["title"])) for each in body["documents"]]
        turns[-1] = Turn(turns[-1].role, (*turns[-1].parts, *cited))
    form = body.get("response_format")
    assert form is None or form["type"] == "json_object"
    names = (
        ("seed", "seed"), ("presence_penalty", "presence_penalty"), ("frequency_penalty", "frequency_penalty"),
        ("top_p", "p"), ("top_k", "k"),
    )  # fmt: skip
    functions = [tool["function"] for tool in body.get("tools") or ()]
    strict = body.get("strict_tools", False)
    return Talk(
        turns=merged(turns),
        system="\n".join(message["content"] for message in messages[:leading]),
        tools=tuple(Tool(each["name"], each["parameters"], each["description"], strict=strict) for each in functions),
        choice={"REQUIRED": "required", "NONE": "none", None: None}[body.get("tool_choice")],
        effort=_effort(body) if "thinking" in body else None,
        form=form.get("json_schema", "json") if form else None,
        stop=tuple(body.get("stop_sequences") or ()),
        logprobs=body.get("logprobs", False),
        temperature=body.get("temperature"),
        max_tokens=body["max_tokens"],
        further=tuple((name, body[native]) for name, native in names if native in body),
    )


def _effort(body: dict[str, Any]) -> str:
    """A client that named a budget has it told; one that follows from an effort leaves half of the maximum."""
    budgets = (_LOW, min(_LOW, body["max_tokens"] // 2))
    assert body["thinking"]["type"] == "enabled" and body["thinking"]["token_budget"] in budgets
    return "low"


def _turn(message: dict[str, Any]) -> Turn:
    if message["role"] == "tool":
        text = message["content"]
        failed, said = text.startswith("Error: "), text.removeprefix("Error: ")
        return Turn("user", (Part("result", (message["tool_call_id"], (Part("text", said),), failed)),))
    content = message.get("content") or []
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts = [_part(block) for block in blocks]
    if "tool_plan" in message:
        parts.append(Part("text", message["tool_plan"]))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        parts.append(Part("call", (call["id"], function["name"], json.loads(function["arguments"]))))
    return Turn(message["role"], tuple(parts))


def _part(block: dict[str, Any]) -> Part:
    if block["type"] == "thinking":
        return Part("thinking", (block["thinking"], None))
    if block["type"] == "text":
        return Part("text", block["text"])
    image = block["image_url"]
    url = image["url"]
    value: Any = (url[5:].partition(";")[0], url.partition("base64,")[2]) if url.startswith("data:") else url
    return Part("detailed", (value, image["detail"])) if "detail" in image else Part("image", value)


COHERE = Upstream(
    "cohere", "Cohere", "cohere", "likecohere", "command-a-reasoning-08-2025",
    _cohere_hear, _cohere_says, _cohere_says, _cohere_script,
    {"error": {"type": "internal", "message": "The engine is on fire."}},
    {"type": "image", "image": {"data": "iVBORw0KGgo="}},
    {
        "calls in turns": "Cohere sends one call after the other",
        "filtered": "Cohere has no such reason",
        "encrypted thinking": "Cohere shows what it thinks, or nothing",
        "signed thinking": "Cohere signs nothing",
        "cache reads, told": "Cohere bills cached tokens like others",
        "cache marks, told": "Cohere bills cached tokens like others",
    },
)  # fmt: skip
