"""Tools and the choice among them, as a Gemini client says them, in canonical form."""

import re
from typing import Any

from gatewayz.core.chat import OpaqueTool, Tool, ToolChoice
from gatewayz.dialects.gemini.names import camel, camel_members, listed, member
from gatewayz.dialects.gemini.wire import NAME
from gatewayz.dialects.parameters import missing, optional_text, wrong_type, wrong_value

_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto"}
_DECLARED = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_COUNT = re.compile("[0-9]{1,19}")  # Google's 64 bits travel as texts
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def read_tools(given: Any) -> tuple[Tool | OpaqueTool, ...]:
    """The functions, and the provider's own tools as they are. Raises InvalidRequest naming the field."""
    read: list[Tool | OpaqueTool] = []
    for index, tool in enumerate(listed(given)):
        param = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise wrong_type(param, "an object")
        for name, value in tool.items():
            if value is None:
                continue
            if camel(name) == "functionDeclarations":
                read += _functions(value, f"{param}.functionDeclarations")
            else:
                read.append(OpaqueTool(NAME, camel(name), {name: value}))
    return tuple(read)


def _functions(given: Any, param: str) -> list[Tool]:
    declared = listed(given)
    if not isinstance(declared, list):
        raise wrong_type(param, "an array of functions")
    return [_function(each, f"{param}[{index}]") for index, each in enumerate(declared)]


def _function(declared: Any, param: str) -> Tool:
    if not isinstance(declared, dict):
        raise wrong_type(param, "an object")
    members = camel_members(declared)
    name, description = members.get("name"), optional_text(members, "description", param)
    if not isinstance(name, str) or not name:
        raise missing(f"{param}.name")
    parameters = members.get("parametersJsonSchema")
    if parameters is None and "parameters" in members:
        parameters = json_schema(members["parameters"])
    if parameters is None:
        parameters = _NO_PARAMETERS
    if not isinstance(parameters, dict):
        raise wrong_type(f"{param}.parameters", "an object")
    further = {name: value for name, value in members.items() if name not in _DECLARED}
    return Tool(name, description, parameters, further=further)


def read_choice(
    config: Any, tools: tuple[Tool | OpaqueTool, ...]
) -> tuple[ToolChoice | None, tuple[Tool | OpaqueTool, ...], list[str]]:
    """(choice, the tools among which it chooses, names of what other providers are not told) of a `toolConfig`.

    Where several functions are allowed, only these are left. Raises InvalidRequest.
    """
    if not isinstance(config, dict):
        raise wrong_type("toolConfig", "an object")
    members = camel_members(config)
    left_out = [f"toolConfig.{name}" for name in sorted(members) if name != "functionCallingConfig"]
    calling = members.get("functionCallingConfig")
    if calling is None:
        return None, tools, left_out
    if not isinstance(calling, dict):
        raise wrong_type("toolConfig.functionCallingConfig", "an object")
    param = "toolConfig.functionCallingConfig"
    mode = calling.get("mode")
    mode = "AUTO" if mode is None or mode == "" else mode
    if not isinstance(mode, str) or mode.upper() not in _MODES:
        raise wrong_value(f"{param}.mode", "one of " + ", ".join(_MODES))
    if mode.upper() == "VALIDATED":
        left_out.append(f"{param}.mode")
    if member(calling, "streamFunctionCallArguments") is not None:
        left_out.append(f"{param}.streamFunctionCallArguments")
    allowed = member(calling, "allowedFunctionNames")
    allowed = [] if allowed is None else allowed
    if not isinstance(allowed, list) or not all(isinstance(name, str) for name in allowed):
        raise wrong_type(f"{param}.allowedFunctionNames", "an array of strings")
    if mode.upper() == "ANY" and len(allowed) == 1:
        return ToolChoice("named", allowed[0]), tools, left_out
    if allowed:
        tools = tuple(tool for tool in tools if isinstance(tool, OpaqueTool) or tool.name in allowed)
    normal = _MODES[mode.upper()]
    return ToolChoice("required" if normal == "required" else "none" if normal == "none" else "auto"), tools, left_out


def json_schema(schema: Any) -> Any:
    """A schema in Gemini's form (an excerpt of OpenAPI) as JSON schema."""
    if not isinstance(schema, dict):
        return schema
    members = camel_members(schema)
    written: dict[str, Any] = {}
    for name, value in members.items():
        if name in ("properties", "defs", "$defs") and isinstance(value, dict):
            written["properties" if name == "properties" else "$defs"] = {
                key: json_schema(inner) for key, inner in value.items()
            }
        elif name in ("items", "additionalProperties"):
            written[name] = json_schema(value)
        elif name in ("anyOf", "prefixItems") and isinstance(value, list):
            written[name] = [json_schema(inner) for inner in value]
        elif name == "type":
            if isinstance(value, str) and value != "TYPE_UNSPECIFIED":
                written["type"] = value.lower()
        elif name in _COUNTS:
            written[name] = int(value) if isinstance(value, str) and _COUNT.fullmatch(value) else value
        elif name == "ref":
            written["$ref"] = value
        elif name == "example":
            written["examples"] = [value]
        elif name not in ("nullable", "propertyOrdering"):
            written[name] = value
    return _nullable(written) if members.get("nullable") is True else written


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str):
        schema = {**schema, "type": [schema["type"], "null"]}
    elif isinstance(schema.get("anyOf"), list):
        schema = {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if isinstance(schema.get("enum"), list):
        schema = {**schema, "enum": [*schema["enum"], None]}
    return schema
