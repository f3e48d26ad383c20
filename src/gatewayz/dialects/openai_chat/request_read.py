"""A Chat Completions request in canonical form."""

from collections.abc import Mapping
from typing import Any, cast, get_args

from gatewayz.core.chat import (
    ChatRequest,
    Effort,
    OpaqueTool,
    Reasoning,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from gatewayz.dialects.base import Glance
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.openai_chat.parts_read import NAME, cache_mark, read_messages
from gatewayz.dialects.parameters import (
    boolean,
    missing,
    obj,
    optional_flag,
    optional_object,
    optional_text,
    string,
    value_of,
    wrong_type,
    wrong_value,
)

EFFORTS = frozenset(get_args(Effort))
_KNOWN = GATEWAY_FIELDS | {
    *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p"),
    *("top_k", "stop", "n", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
    *("tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "response_format"),
    *("reasoning_effort", "reasoning", "thinking", "user", "metadata", "service_tier"),
}


def read_request(glance: Glance) -> ChatRequest:
    """The whole request. Raises InvalidRequest naming the field."""
    fields = {name: value_of(name, raw) for name, raw in glance.fields.items()}
    tools = _tools(fields)
    choice, only = _tool_choice(fields)
    if only is not None:
        tools = tuple(tool for tool in tools if not isinstance(tool, Tool) or tool.name in only)
    stop = fields.get("stop") or ()
    user, metadata, tier = fields.get("user"), fields.get("metadata"), fields.get("service_tier")
    return ChatRequest(
        dialect=NAME,
        model=glance.model,
        messages=read_messages(fields["messages"]),
        stream=glance.stream,
        include_usage=glance.include_usage,
        max_tokens=glance.max_tokens,
        temperature=fields.get("temperature"),
        top_p=fields.get("top_p"),
        top_k=fields.get("top_k"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        n=glance.n,
        seed=fields.get("seed"),
        presence_penalty=fields.get("presence_penalty"),
        frequency_penalty=fields.get("frequency_penalty"),
        logit_bias=fields.get("logit_bias"),
        logprobs=bool(fields.get("logprobs")),
        top_logprobs=fields.get("top_logprobs"),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=fields.get("parallel_tool_calls"),
        response_format=_response_format(fields.get("response_format")),
        reasoning=_reasoning(fields),
        user=user,
        metadata=metadata if isinstance(metadata, dict) else None,
        service_tier=tier if isinstance(tier, str) else None,
        extra={name: value for name, value in fields.items() if name not in _KNOWN and value is not None},
    )


def _tools(fields: dict[str, Any]) -> tuple[Tool | OpaqueTool, ...]:
    found: list[Tool | OpaqueTool] = []
    for index, tool in enumerate(fields.get("tools") or ()):
        kind = tool.get("type", "function")
        if kind == "function":
            found.append(_function(tool.get("function"), f"tools[{index}].function", tool))
        else:
            found.append(OpaqueTool(NAME, str(kind), tool))
    for index, function in enumerate(fields.get("functions") or ()):
        found.append(_function(function, f"functions[{index}]", function))
    return tuple(found)


_TOOL_MEMBERS = frozenset({"name", "description", "parameters", "strict", "cache_control"})


def _function(function: Any, param: str, tool: dict[str, Any]) -> Tool:
    if not isinstance(function, dict):
        raise missing(param)
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise missing(f"{param}.name")
    return Tool(
        name=name,
        description=optional_text(function, "description", param),
        parameters=optional_object(function, "parameters", param) or {"type": "object", "properties": {}},
        strict=optional_flag(function, "strict", param),
        cache=cache_mark(tool) or cache_mark(function),
        further={name: value for name, value in function.items() if name not in _TOOL_MEMBERS and value is not None},
    )


def _tool_choice(fields: dict[str, Any]) -> tuple[ToolChoice | None, set[str] | None]:
    """The choice, and the names that `allowed_tools` leaves (None: all)."""
    value = fields.get("tool_choice")
    param = "tool_choice"
    if value is None and fields.get("function_call") is not None:
        value, param = fields["function_call"], "function_call"
    if value is None:
        return None, None
    if isinstance(value, str):
        if value not in ("auto", "none", "required", "any"):
            raise wrong_value(param, "one of auto, none, required, or an object that names a function")
        return ToolChoice("required" if value == "any" else cast(Any, value)), None
    if not isinstance(value, dict):
        raise wrong_type(param, "a string or an object")
    if value.get("type") == "allowed_tools":
        allowed = value.get("allowed_tools")
        if not isinstance(allowed, dict) or not isinstance(allowed.get("tools"), list):
            raise missing(f"{param}.allowed_tools.tools")
        names = {_chosen_name(tool) for tool in allowed["tools"]}
        mode = "required" if allowed.get("mode") == "required" else "auto"
        return ToolChoice(cast(Any, mode)), {name for name in names if name}
    name = _chosen_name(value)
    if not name:
        raise missing(f"{param}.function.name")
    return ToolChoice("named", name), None


def _chosen_name(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    inner = value.get("function") or value.get("custom") or value
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else None


def _response_format(value: dict[str, Any] | None) -> ResponseFormat | None:
    if value is None:
        return None
    kind = value["type"]
    if kind != "json_schema":
        return ResponseFormat(kind)
    inner, place = value["json_schema"], "response_format.json_schema"
    return ResponseFormat(
        kind,
        optional_object(inner, "schema", place),
        optional_text(inner, "name", place),
        optional_flag(inner, "strict", place),
        optional_text(inner, "description", place),
    )


_WISHES = frozenset({"reasoning", "thinking", "include_reasoning", "verbosity"})


def check_reasoning(fields: Mapping[str, Any]) -> None:
    """Raises InvalidRequest naming what is asked of reasoning and would be left out for its wrong type."""
    if _WISHES.isdisjoint(fields):
        return
    for name in ("reasoning", "thinking"):
        if fields.get(name) is not None:
            obj(name, fields[name])
    for name in ("include_reasoning", "verbosity"):
        if fields.get(name) is not None:
            (boolean if name == "include_reasoning" else string)(name, fields[name])
    value, thinking = fields.get("reasoning") or {}, fields.get("thinking") or {}
    for name in ("enabled", "exclude"):
        optional_flag(value, name, "reasoning")
    optional_text(value, "effort", "reasoning")
    optional_text(value, "summary", "reasoning")
    optional_text(thinking, "type", "thinking")


def _reasoning(fields: dict[str, Any]) -> Reasoning | None:
    """What is asked of reasoning, in OpenAI's, OpenRouter's or Anthropic's spelling."""
    check_reasoning(fields)
    effort = fields.get("reasoning_effort")
    value = fields.get("reasoning")
    budget: Any = None
    if effort is None and isinstance(value, dict):
        effort, budget = value.get("effort"), value.get("max_tokens")
        if value.get("enabled") is False:
            return Reasoning(off=True)
        if value.get("enabled") is True and effort is None and budget is None:
            effort = "medium"
    thinking = fields.get("thinking")
    if effort is None and budget is None and isinstance(thinking, dict):
        kind = thinking.get("type")
        if kind == "disabled":
            return Reasoning(off=True)
        budget = thinking.get("budget_tokens")
        if kind == "adaptive":
            return Reasoning(adaptive=True)
        if budget is None and kind == "enabled":
            effort = "medium"
    if effort is None and budget is None:
        return None
    if effort is not None and (not isinstance(effort, str) or effort not in EFFORTS):
        raise wrong_value("reasoning_effort", "one of " + ", ".join(get_args(Effort)))
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int)):
        raise wrong_type("reasoning.max_tokens", "an integer")
    return Reasoning(effort=cast(Any, effort), budget_tokens=budget, off=effort == "none")
