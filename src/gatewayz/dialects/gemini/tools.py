"""Tools and the choice among them, in Gemini's words."""

import re
from typing import Any

from gatewayz.core.chat import ChatRequest, OpaqueTool, Tool, ToolChoice
from gatewayz.dialects.gemini.schema import convert_schema
from gatewayz.dialects.parameters import unsupported

_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}


def tool_members(request: ChatRequest) -> dict[str, Any]:
    """The members `tools` and `toolConfig`. Raises InvalidRequest naming a tool that cannot be said to Gemini."""
    if not request.tools:
        return {}
    declarations = [_declaration(tool, index) for index, tool in enumerate(request.tools)]
    members: dict[str, Any] = {"tools": [{"functionDeclarations": declarations}]}
    if request.tool_choice is not None:
        members["toolConfig"] = {"functionCallingConfig": _calling(request.tool_choice)}
    return members


def _declaration(tool: Tool | OpaqueTool, index: int) -> dict[str, Any]:
    param = f"tools[{index}]"
    if isinstance(tool, OpaqueTool):
        raise unsupported(
            "tools", f"holds a tool of type '{tool.kind}', which the provider of this model does not have"
        )
    if not _FUNCTION_NAME.fullmatch(tool.name):
        raise unsupported(param, f"has the name '{tool.name}', which this provider does not accept for functions")
    declaration: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        declaration["description"] = tool.description
    parameters = convert_schema(tool.parameters, param)
    if parameters.get("properties") or parameters.get("type") != "object":  # of an empty object nothing is said
        declaration["parameters"] = parameters
    return declaration


def _calling(choice: ToolChoice) -> dict[str, Any]:
    config: dict[str, Any] = {"mode": _MODES[choice.mode]}
    if choice.mode == "named":
        config["allowedFunctionNames"] = [choice.name]
    return config
