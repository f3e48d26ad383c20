"""What a request says, in a form that is equal for two dialects that say the same, and what a translation may change.

`said` reads a canonical request; `downgraded` applies to it the changes that docs/rooms/dialects.md lists under
"What a translation changes". Whatever else differs after the way there and back is a fault.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from gatewayz.core.chat import (
    Audio,
    CacheMark,
    ChatRequest,
    Document,
    Image,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)

Said = dict[str, Any]
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def said(request: ChatRequest) -> Said:
    """System texts, turns and parameters. Neighbouring messages of one role are one turn, blank texts are nothing."""
    system: list[Any] = []
    turns: list[list[Any]] = []
    for message in request.messages:
        parts = [item for part in message.parts for item in _item(part)]
        if message.role in ("system", "developer") and not turns:
            system += parts
        elif parts:
            role = "assistant" if message.role == "assistant" else "user"
            if turns and turns[-1][0] == role:
                turns[-1][1] += parts
            else:
                turns.append([role, parts])
    return {
        "system": system,
        "turns": turns,
        "tools": [_tool(tool) for tool in request.tools],
        "choice": (request.tool_choice.mode, request.tool_choice.name) if request.tool_choice else None,
        "parallel": request.parallel_tool_calls,
        "format": (request.response_format.kind, request.response_format.schema) if request.response_format else None,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop),
        "user": request.user,
        "stream": request.stream,
    }


def _item(part: Part) -> Iterable[list[Any]]:
    if isinstance(part, (Text, Refusal)):
        if part.text.strip():
            yield ["text", part.text, _mark(getattr(part, "cache", None))]
    elif isinstance(part, Image):
        yield ["image", part.url or f"{part.media_type};{part.data}", _mark(part.cache)]
    elif isinstance(part, Document):
        if part.text is not None:
            yield ["written", part.text, part.name, part.context, _mark(part.cache)]
        else:
            yield ["document", part.url or part.data or part.file_id, part.name, _mark(part.cache)]
    elif isinstance(part, Audio):
        yield ["audio", part.data, part.format]
    elif isinstance(part, Thinking):
        yield ["thinking", part.text, part.signature]
    elif isinstance(part, RedactedThinking):
        yield ["redacted", part.data]
    elif isinstance(part, ToolCall):
        yield ["call", part.id, part.name, json.loads(part.arguments or "{}")]
    elif isinstance(part, ToolResult):
        inner = [item for each in part.parts for item in _item(each)]
        yield ["result", part.call_id, inner, part.is_error]
    else:
        yield ["opaque", part.kind, part.raw]


def _mark(mark: CacheMark | None) -> Any:
    return None if mark is None else ("cache", mark.ttl)


def _tool(tool: Any) -> Any:
    if not isinstance(tool, Tool):
        return (tool.kind, tool.raw)
    schema = {"type": "object", "properties": {}, **tool.parameters}
    return (tool.name, tool.description, schema, bool(tool.strict), _mark(tool.cache))


def downgraded(meaning: Said, target: str, *, caller_set_max: bool = True) -> Said:
    """The meaning as a provider of the dialect `target` can be told it."""
    changed = json.loads(json.dumps(meaning))
    for turn in changed["turns"]:
        turn[1] = _items(turn[1], target)
    changed["turns"] = [turn for turn in changed["turns"] if turn[1]]
    if changed["format"] and changed["format"][0] == "json_schema":
        changed["format"][1] = changed["format"][1] or {"type": "object"}
    if target == "anthropic":
        if changed["temperature"] is not None:
            changed["temperature"] = min(1.0, changed["temperature"])
            changed["top_p"] = None
        changed["stop"] = [stop for stop in changed["stop"] if stop.strip()]
        if not changed["turns"] or changed["turns"][0][0] == "assistant":
            changed["turns"].insert(0, ["user", [["text", "(The conversation starts here.)", None]]])
        last = changed["turns"][-1]
        if last[0] == "assistant" and last[1][-1][0] == "text":
            last[1][-1][1] = last[1][-1][1].rstrip()
        if not caller_set_max:
            changed["max_tokens"] = None
    else:
        for tool in changed["tools"]:
            tool[3] = bool(tool[3])
    return _as_json(changed)


def _items(items: list[Any], target: str) -> list[Any]:
    """Results first; what a tool message cannot hold comes after them; in OpenAI's turns calls come last."""
    results = [item for item in items if item[0] == "result"]
    rest = [item for item in items if item[0] != "result"]
    moved: list[Any] = []
    for result in results:
        result[1] = _id(result[1], target)
        if target == "openai":
            texts = [item[1] for item in result[2] if item[0] == "text"]
            others = [item for item in result[2] if item[0] != "text"]
            text = "\n".join(texts)
            if others:
                text = text or "(The result is in the next message.)"
                moved += [["text", f"Result of tool call {result[1]}:", None], *others]
            if result[3] and not text.lower().startswith("error"):
                text = f"Error: {text}" if text else "Error"
            result[2], result[3] = ([["text", text, None]] if text else []), False
    for item in rest:
        if item[0] == "call":
            item[1] = _id(item[1], target)
    if target == "anthropic":
        rest = [item for item in rest if item[0] != "thinking" or item[2]]
    if target == "openai":
        rest = [_as_text(item) if item[0] == "written" else item for item in rest]
        thoughts = [item for item in rest if item[0] in ("thinking", "redacted")]
        calls = [item for item in rest if item[0] == "call"]
        rest = thoughts + [item for item in rest if item not in thoughts and item not in calls] + calls
    return results + moved + rest


def _as_text(document: list[Any]) -> list[Any]:
    _, text, name, context, mark = document
    return ["text", (f"Document: {name}\n\n" if name else "") + (f"{context}\n\n" if context else "") + text, mark]


def _id(given: str, target: str) -> str:
    return _NOT_IN_IDS.sub("_", given) if target == "anthropic" else given


def _as_json(value: Any) -> Said:
    plain: Said = json.loads(json.dumps(value))
    return plain


def comparable(meaning: Said) -> Said:
    """The meaning with tuples as lists, to compare it with a downgraded one."""
    return _as_json(meaning)
