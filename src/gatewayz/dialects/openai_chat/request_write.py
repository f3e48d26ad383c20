"""A canonical request as a Chat Completions body."""

from typing import Any

from gatewayz.core.chat import ChatRequest, OpaqueTool, Reasoning, ResponseFormat, Tool, ToolChoice
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Target
from gatewayz.dialects.conversation import (
    asks_for_citations,
    foreign_tool_members,
    harmless_extras,
    has_cache_marks,
    refuse_foreign_parts,
)
from gatewayz.dialects.openai_chat.forward_request import changes_meaning
from gatewayz.dialects.openai_chat.parts_read import NAME
from gatewayz.dialects.openai_chat.parts_write import cache_member, write_messages
from gatewayz.dialects.parameters import unsupported

# What another dialect can ask for and Chat Completions cannot do without giving another kind of answer.
_MEANING_ELSEWHERE = frozenset({"container", "context_management", "mcp_servers"})
EFFORT_BY_BUDGET = ((2_048, "low"), (8_192, "medium"))  # up to so many thinking tokens; above: high


def write_request(request: ChatRequest, target: Target) -> bytes:
    """The body for an OpenAI-like provider. Raises InvalidRequest naming what cannot be said there."""
    return json_text.dump(_compose(request, target)[0])


def dropped(request: ChatRequest, target: Target) -> tuple[str, ...]:
    """The caller's parameters that `write_request` leaves out. Raises as it does."""
    return tuple(_compose(request, target)[1])


def _compose(request: ChatRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and what was left out of it."""
    refuse_foreign_parts(request, NAME)
    quirks = target.quirks
    body: dict[str, Any] = {
        "model": target.native_id,
        "messages": write_messages(request.messages, quirks),
    }
    _numbers(body, request, target)
    _tools(body, request, target)
    if request.response_format is not None:
        body["response_format"] = _response_format(request.response_format)
    effort = _effort(request.reasoning)
    if effort is not None:
        body["reasoning_effort"] = effort
    left_out = _extras(body, request)
    if request.dialect != NAME:
        left_out += foreign_tool_members(request)
    if not quirks.cache_control and has_cache_marks(request):
        left_out.append("cache_control")
    if asks_for_citations(request):
        left_out.append("documents.citations")
    for name in sorted(quirks.drop_params & body.keys()):
        if changes_meaning(name, body[name]):
            raise unsupported(name, "is not supported by the provider of this model")
        del body[name]
        left_out.append(name)
    if request.stream:
        body["stream"] = True
        if quirks.stream_options:
            body["stream_options"] = {"include_usage": True}
    for name, value in quirks.add_params.items():
        body.setdefault(name, value)
    if not _caller_set(body, request, target.force_unless):
        body.update(target.force_params)
    return body, left_out


def _extras(body: dict[str, Any], request: ChatRequest) -> list[str]:
    """Adds the sender's further fields if they are of this dialect; returns the names of those that are not."""
    if request.dialect == NAME:
        for name, value in request.extra.items():
            body.setdefault(name, value)
        return []
    refused = _MEANING_ELSEWHERE - harmless_extras(request)
    for name in refused & request.extra.keys():
        if request.extra[name]:
            raise unsupported(name, "cannot be expressed for the provider of this model")
    left_out = sorted(request.extra.keys() - refused)
    if request.top_k is not None:
        left_out.append("top_k")
    return left_out


def _numbers(body: dict[str, Any], request: ChatRequest, target: Target) -> None:
    quirks = target.quirks
    if request.max_tokens is not None:
        body[quirks.max_tokens_field] = request.max_tokens
    temperature = request.temperature
    if temperature is not None:
        ceiling = quirks.max_temperature
        body["temperature"] = temperature if ceiling is None else min(temperature, ceiling)
    optional: dict[str, Any] = {
        "top_p": request.top_p,
        "top_k": request.top_k if request.dialect == NAME else None,
        "seed": request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "logit_bias": request.logit_bias,
        "top_logprobs": request.top_logprobs,
        "user": request.user,
        "metadata": request.metadata,
        "service_tier": request.service_tier,
    }
    body.update({name: value for name, value in optional.items() if value is not None})
    if request.stop:
        body["stop"] = list(request.stop)
    if request.n > 1:
        body["n"] = request.n
    if request.logprobs:
        body["logprobs"] = True


def _tools(body: dict[str, Any], request: ChatRequest, target: Target) -> None:
    if not request.tools:
        return
    choice = request.tool_choice
    if not target.quirks.tool_choice and choice is not None:
        if choice.mode == "none":
            return
        if choice.mode != "auto":
            raise unsupported("tool_choice", "is not supported by the provider of this model, except auto and none")
        choice = None
    body["tools"] = [_tool(tool, target, native=request.dialect == NAME) for tool in request.tools]
    if choice is not None:
        body["tool_choice"] = _tool_choice(choice)
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _tool(tool: Tool | OpaqueTool, target: Target, *, native: bool) -> Any:
    if isinstance(tool, OpaqueTool):
        if tool.dialect != NAME:
            raise unsupported("tools", f"holds a tool of type '{tool.kind}', which this provider does not have")
        return tool.raw
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    if native:
        function.update(tool.further)
    return {"type": "function", "function": function, **cache_member(tool.cache, target.quirks)}


def _tool_choice(choice: ToolChoice) -> Any:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    inner: dict[str, Any] = {"name": wanted.name or "answer"}
    if wanted.description is not None:
        inner["description"] = wanted.description
    if wanted.schema is not None:
        inner["schema"] = wanted.schema
    if wanted.strict is not None:
        inner["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": inner}


def _effort(reasoning: Reasoning | None) -> str | None:
    """The effort; a thinking budget by table. Plain "off" stays unsaid: few models know it, and most do not need it."""
    if reasoning is None or reasoning.effort is not None:
        return reasoning.effort if reasoning else None
    if reasoning.off or reasoning.budget_tokens is None:
        return None
    for most, effort in EFFORT_BY_BUDGET:
        if reasoning.budget_tokens <= most:
            return effort
    return "high"


def _caller_set(body: dict[str, Any], request: ChatRequest, names: frozenset[str]) -> bool:
    if request.reasoning is not None and names & {"reasoning", "reasoning_effort", "thinking"}:
        return True
    return any(name in body or request.extra.get(name) is not None for name in names)
