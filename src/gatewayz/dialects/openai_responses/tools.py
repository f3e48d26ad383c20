"""Tools, the choice among them and the form of the answer, between the Responses API and canonical form.

Custom tools and the tools of a namespace are put as functions (`names.py`). A grammar cannot be put so: nobody would keep
to it.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from gatewayz.core.chat import ChatRequest, OpaqueTool, ResponseFormat, Tool, ToolChoice
from gatewayz.dialects.openai_responses.items_read import CUSTOM_INPUT
from gatewayz.dialects.openai_responses.names import described, function_name
from gatewayz.dialects.openai_responses.wire import NAME
from gatewayz.dialects.parameters import (
    missing,
    optional_flag,
    optional_object,
    optional_text,
    unsupported,
    wrong_value,
)

_MODES = frozenset({"auto", "none", "required"})
_OPEN = {"type": "object", "properties": {}}


def read_tools(tools: Iterable[dict[str, Any]]) -> tuple[Tool | OpaqueTool, ...]:
    """The tools of a request; those of the API's own stay opaque. Raises InvalidRequest naming the tool."""
    found: list[Tool | OpaqueTool] = []
    for index, tool in enumerate(tools):
        param = f"tools[{index}]"
        if tool["type"] == "namespace":
            found += _of_namespace(tool, param)
        else:
            found.append(_tool(tool, param))
    return tuple(found)


def _of_namespace(group: dict[str, Any], param: str) -> list[Tool | OpaqueTool]:
    """The tools of a namespace, each with a word about it."""
    name, about, tools = group.get("name"), group.get("description"), group.get("tools")
    if not isinstance(name, str) or not name:
        raise missing(f"{param}.name")
    if not isinstance(tools, list):
        raise missing(f"{param}.tools")
    found: list[Tool | OpaqueTool] = []
    for index, tool in enumerate(tools):
        place = f"{param}.tools[{index}]"
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise missing(f"{place}.type")
        read = _tool(tool, place)
        if isinstance(read, Tool):
            words = described(read.description, name, about)
            read = replace(read, name=function_name(read.name, name), description=words)
        found.append(read)
    return found


def _tool(tool: dict[str, Any], param: str) -> Tool | OpaqueTool:
    kind = tool["type"]
    if kind not in ("function", "custom"):
        return OpaqueTool(NAME, str(kind), tool)
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise missing(f"{param}.name")
    description = optional_text(tool, "description", param)
    if kind == "custom":
        wanted = tool.get("format")
        if isinstance(wanted, dict) and wanted.get("type", "text") != "text":
            return OpaqueTool(NAME, "custom with a grammar", tool)
        text = {"type": "string", "description": "The input of the tool, as free text."}
        parameters = {"type": "object", "properties": {CUSTOM_INPUT: text}, "required": [CUSTOM_INPUT]}
        return Tool(name, description, {**parameters, "additionalProperties": False})
    schema = optional_object(tool, "parameters", param)
    return Tool(name, description, schema or dict(_OPEN), optional_flag(tool, "strict", param))


def read_tool_choice(value: Any) -> tuple[ToolChoice | None, set[str] | None]:
    """The choice, and the names that `allowed_tools` leaves (None: all). Raises InvalidRequest."""
    if value is None:
        return None, None
    if isinstance(value, str):
        if value not in _MODES:
            raise wrong_value("tool_choice", "one of auto, none, required, or an object that names a tool")
        return ToolChoice(cast(Any, value)), None
    kind = value.get("type")
    if kind == "allowed_tools":
        tools = value.get("tools")
        if not isinstance(tools, list):
            raise missing("tool_choice.tools")
        named = [tool for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
        names = {function_name(tool["name"], tool.get("namespace")) for tool in named}
        if len(named) < len(tools):
            raise unsupported("tool_choice", "allows a tool that the provider of this model does not have")
        return ToolChoice("required" if value.get("mode") == "required" else "auto"), names
    if kind in ("function", "custom"):
        if not isinstance(value.get("name"), str):
            raise missing("tool_choice.name")
        return ToolChoice("named", function_name(value["name"], value.get("namespace"))), None
    raise unsupported("tool_choice", f"names a tool of type '{kind}', which the provider of this model does not have")


def read_format(text: dict[str, Any] | None) -> ResponseFormat | None:
    """The form of the answer that `text` asks for; None: none in particular."""
    wanted = (text or {}).get("format")
    if not isinstance(wanted, dict) or wanted.get("type") == "text":
        return None
    if wanted["type"] == "json_object":
        return ResponseFormat("json_object")
    return ResponseFormat(
        "json_schema",
        wanted["schema"],
        optional_text(wanted, "name", "text.format"),
        optional_flag(wanted, "strict", "text.format"),
        optional_text(wanted, "description", "text.format"),
    )


def tool_members(request: ChatRequest) -> dict[str, Any]:
    """`tools`, `tool_choice` and `parallel_tool_calls` of a canonical request. Raises InvalidRequest."""
    if not request.tools:
        return {}
    members: dict[str, Any] = {"tools": [_written(tool) for tool in request.tools]}
    choice = request.tool_choice
    if choice is not None:
        named = choice.mode == "named"
        members["tool_choice"] = {"type": "function", "name": choice.name} if named else choice.mode
    if request.parallel_tool_calls is not None:
        members["parallel_tool_calls"] = request.parallel_tool_calls
    return members


def _written(tool: Tool | OpaqueTool) -> Any:
    if isinstance(tool, OpaqueTool):
        if tool.dialect != NAME:
            raise unsupported("tools", f"holds a tool of type '{tool.kind}', which this provider does not have")
        return tool.raw
    written: dict[str, Any] = {"type": "function", "name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        written["description"] = tool.description
    # Silence means strict here, and a schema that was not made for it would be refused.
    return {**written, "strict": bool(tool.strict)}


def format_member(wanted: ResponseFormat | None) -> dict[str, Any]:
    """The `text` member for a form of the answer; nothing for plain text."""
    if wanted is None or wanted.kind == "text":
        return {}
    if wanted.kind == "json_object":
        return {"text": {"format": {"type": "json_object"}}}
    written: dict[str, Any] = {
        "type": "json_schema",
        "name": wanted.name or "answer",
        "schema": wanted.schema or {"type": "object"},
        "strict": bool(wanted.strict),
    }
    if wanted.description is not None:
        written["description"] = wanted.description
    return {"text": {"format": written}}
