"""A Messages request in canonical form."""

from typing import Any

from gatewayz.core.chat import ChatRequest, OpaqueTool, Reasoning, ResponseFormat, Tool, ToolChoice
from gatewayz.dialects.anthropic.parts_read import cache_mark, read_messages
from gatewayz.dialects.anthropic.wire import NAME
from gatewayz.dialects.base import Glance
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.parameters import missing, value_of, wrong_type, wrong_value

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_TIERS = {"auto": "auto", "standard_only": "default"}
_KNOWN = GATEWAY_FIELDS | {
    *("model", "messages", "system", "stream", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences"),
    *("tools", "tool_choice", "thinking", "output_config", "output_format", "metadata", "service_tier"),
}


def read_request(glance: Glance) -> ChatRequest:
    """The whole request. Raises InvalidRequest naming the field."""
    fields = {name: value_of(name, raw) for name, raw in glance.fields.items()}
    choice, parallel = _tool_choice(fields.get("tool_choice"))
    metadata = fields.get("metadata")
    further = {name: value for name, value in metadata.items() if name != "user_id"} if metadata else None
    tier = fields.get("service_tier")
    return ChatRequest(
        dialect=NAME,
        model=glance.model,
        messages=read_messages(fields["messages"], fields.get("system")),
        stream=glance.stream,
        include_usage=True,
        max_tokens=glance.max_tokens,
        temperature=fields.get("temperature"),
        top_p=fields.get("top_p"),
        top_k=fields.get("top_k"),
        stop=tuple(fields.get("stop_sequences") or ()),
        tools=_tools(fields.get("tools") or []),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        response_format=_response_format(fields),
        reasoning=_reasoning(fields),
        user=glance.user,
        metadata=further or None,
        service_tier=_TIERS.get(tier) if isinstance(tier, str) else None,
        extra={name: value for name, value in fields.items() if name not in _KNOWN and value is not None},
    )


_TOOL_MEMBERS = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})


def _tools(tools: list[dict[str, Any]]) -> tuple[Tool | OpaqueTool, ...]:
    read: list[Tool | OpaqueTool] = []
    for index, tool in enumerate(tools):
        kind = tool.get("type")
        if kind not in (None, "custom"):
            read.append(OpaqueTool(NAME, str(kind), tool))
            continue
        schema, description, strict = tool.get("input_schema"), tool.get("description"), tool.get("strict")
        if schema is None:
            raise missing(f"tools[{index}].input_schema")
        if not isinstance(schema, dict):
            raise wrong_type(f"tools[{index}].input_schema", "an object")
        read.append(
            Tool(
                name=tool["name"],
                description=description if isinstance(description, str) else None,
                parameters=schema,
                strict=strict if isinstance(strict, bool) else None,
                cache=cache_mark(tool),
                further={
                    name: value for name, value in tool.items() if name not in _TOOL_MEMBERS and value is not None
                },
            )
        )
    return tuple(read)


def _tool_choice(value: dict[str, Any] | None) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether tools may be called in parallel (None: not said)."""
    if value is None:
        return None, None
    kind = value["type"]
    parallel = value.get("disable_parallel_tool_use")
    said = not parallel if isinstance(parallel, bool) else None
    if kind == "tool":
        return ToolChoice("named", value["name"]), said
    return ToolChoice("required" if kind == "any" else kind), said


def _response_format(fields: dict[str, Any]) -> ResponseFormat | None:
    config = fields.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else None
    param = "output_config.format"
    if wanted is None:
        wanted, param = fields.get("output_format"), "output_format"
    if wanted is None:
        return None
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        raise missing(f"{param}.schema")
    return ResponseFormat("json_schema", schema, strict=True)


def _reasoning(fields: dict[str, Any]) -> Reasoning | None:
    config = fields.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    if effort is not None and effort not in _EFFORTS:
        raise wrong_value("output_config.effort", "one of " + ", ".join(_EFFORTS))
    thinking = fields.get("thinking")
    kind = thinking.get("type") if thinking else None
    if thinking and kind == "enabled":
        return Reasoning(effort=effort, budget_tokens=thinking["budget_tokens"])
    if kind in ("adaptive", "between_tools"):
        return Reasoning(effort=effort, adaptive=True)
    if kind == "disabled":
        return Reasoning(off=True)
    return Reasoning(effort=effort) if effort is not None else None
