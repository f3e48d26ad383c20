"""A canonical request as a body for Cohere's chat."""

import re
from typing import Any

from gatewayz.core.chat import ChatRequest, OpaqueTool, Reasoning, ResponseFormat, Tool
from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic.thinking import BUDGETS
from gatewayz.dialects.base import Target
from gatewayz.dialects.cohere.parts_write import MessageWriter
from gatewayz.dialects.cohere.wire import NAME
from gatewayz.dialects.conversation import (
    foreign_tool_members,
    harmless_extras,
    has_cache_marks,
    refuse_foreign_parts,
)
from gatewayz.dialects.parameters import unsupported, wrong_type

MOST_STOPS = 5
_LEAST_P, _MOST_P, _MOST_K = 0.01, 0.99, 500
# Models that think, as Cohere's list of models names them; others refuse to be asked.
_THINKERS = re.compile(r"command-a-(?:reasoning|plus)|north-")
# Fields of the other dialects that ask for another kind of answer; the values that do not are beside them.
_REFUSED_EXTRAS = frozenset({"audio", "modalities", "container", "context_management", "mcp_servers"})
_TEXT_ONLY: list[Any] = [None, ["text"], False, {}, []]
_SEARCH = "web_search_options"  # asks for a search even where it is empty
_MEANING = frozenset({"tools", "tool_choice", "response_format", "documents", "logprobs"})


def write_request(request: ChatRequest, target: Target) -> bytes:
    """The body for Cohere. Raises InvalidRequest naming what cannot be said there."""
    return json_text.dump(_compose(request, target)[0])


def dropped(request: ChatRequest, target: Target) -> tuple[str, ...]:
    """The caller's parameters that `write_request` leaves out. Raises as it does."""
    return tuple(_compose(request, target)[1])


def _compose(request: ChatRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and what was left out of it."""
    refuse_foreign_parts(request, NAME)
    _refuse(request)
    thinks = _THINKERS.match(target.native_id) is not None
    writer = MessageWriter(thinks=thinks)
    body: dict[str, Any] = {"model": target.native_id, "messages": writer.write(request.messages)}
    left_out = _unknown_here(request) + foreign_tool_members(request)
    if writer.documents:
        body["documents"] = writer.documents
    _tools(body, request, left_out)
    _sampling(body, request, target, left_out)
    if request.reasoning is not None:
        _thinking(body, request.reasoning, request.max_tokens, thinks, left_out)
    if request.response_format is not None:
        _response_format(body, request.response_format)
    for name in sorted(target.quirks.drop_params & body.keys()):
        if name in _MEANING:
            raise unsupported(name, "is not supported by the provider of this model")
        del body[name]
        left_out.append(name)
    if request.stream:
        body["stream"] = True
    for name, value in target.quirks.add_params.items():
        body.setdefault(name, value)
    if not any(name in body for name in target.force_unless):
        body.update(target.force_params)
    return body, left_out


def _refuse(request: ChatRequest) -> None:
    """Raises InvalidRequest for what would be another kind of answer."""
    if request.n > 1:
        raise unsupported("n", "above 1 is not supported by the provider of this model")
    if request.top_logprobs:
        raise unsupported("top_logprobs", "are not given by this provider")
    if len(request.stop) > MOST_STOPS:
        raise unsupported("stop", f"may hold {MOST_STOPS} texts at the provider of this model")
    for name in (_SEARCH, *sorted(_REFUSED_EXTRAS - harmless_extras(request))):
        given = request.extra.get(name)
        if given is not None and (name == _SEARCH or given not in _TEXT_ONLY):
            raise unsupported(name, "is not supported by the provider of this model")


def _unknown_here(request: ChatRequest) -> list[str]:
    """Names of parameters that change nothing about the kind of answer and have no place here."""
    named = {
        "logit_bias": request.logit_bias is not None,
        "user": request.user is not None,
        "metadata": request.metadata is not None,
        "service_tier": request.service_tier not in (None, "auto", "default", "standard_only"),
        "parallel_tool_calls": request.parallel_tool_calls is False and bool(request.tools),
        "messages.name": any(message.name is not None for message in request.messages),
        "cache_control": has_cache_marks(request),
    }
    refused = _REFUSED_EXTRAS - harmless_extras(request) | {_SEARCH}
    return [name for name, given in named.items() if given] + sorted(request.extra.keys() - refused)


def _tools(body: dict[str, Any], request: ChatRequest, left_out: list[str]) -> None:
    """Tools and the choice among them. One that must be called is offered alone: Cohere can name none."""
    choice = request.tool_choice
    chosen = choice.name if choice is not None and choice.mode == "named" else None
    offered = [tool for tool in request.tools if chosen is None or getattr(tool, "name", None) == chosen]
    if not offered:
        return
    body["tools"] = [_tool(tool) for tool in offered]
    if choice is not None and choice.mode != "auto":
        body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"
    strict = [bool(tool.strict) for tool in offered if isinstance(tool, Tool)]
    if all(strict):
        body["strict_tools"] = True
    elif any(strict):
        left_out.append("tools.strict")


def _tool(tool: Tool | OpaqueTool) -> dict[str, Any]:
    if isinstance(tool, OpaqueTool):
        raise unsupported(
            "tools", f"holds a tool of type '{tool.kind}', which the provider of this model does not have"
        )
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = {"type": "object", **tool.parameters}
    return {"type": "function", "function": function}


def _sampling(body: dict[str, Any], request: ChatRequest, target: Target, left_out: list[str]) -> None:
    """Parameters that steer the choice of words, within Cohere's limits; what is below zero has no place there."""
    ceiling = target.quirks.max_temperature
    numbers: tuple[tuple[str, str, Any, float, float | None], ...] = (
        ("temperature", "temperature", request.temperature, 0, ceiling),
        ("p", "top_p", None if request.top_p is None else max(_number("top_p", request.top_p), _LEAST_P), 0, _MOST_P),
        ("k", "top_k", request.top_k, 0, _MOST_K),
        ("seed", "seed", request.seed, 0, None),
        ("presence_penalty", "presence_penalty", request.presence_penalty, 0, 1),
        ("frequency_penalty", "frequency_penalty", request.frequency_penalty, 0, 1),
    )
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    for name, asked, value, least, most in numbers:
        if value is None:
            continue
        if _number(asked, value) < least:
            left_out.append(asked)
        else:
            body[name] = value if most is None else min(value, most)
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.logprobs:
        body["logprobs"] = True


def _number(param: str, value: Any) -> float:
    """The value. Raises InvalidRequest naming `param` if it is none: legacy completions leave that to the provider."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(param, "a number")
    return value


def _thinking(
    body: dict[str, Any], reasoning: Reasoning, max_tokens: int | None, thinks: bool, left_out: list[str]
) -> None:
    """The member `thinking`. A budget that follows from an effort leaves half of the caller's maximum to the answer."""
    off = reasoning.off or reasoning.effort == "none"
    if not thinks:
        if not off:
            left_out.append("reasoning_effort")
        return
    if off:
        body["thinking"] = {"type": "disabled"}
        return
    budget = reasoning.budget_tokens
    if budget is None and reasoning.effort is not None:
        budget = BUDGETS[reasoning.effort]
        budget = budget if max_tokens is None else max(1, min(budget, max_tokens // 2))
    body["thinking"] = {"type": "enabled", **({"token_budget": budget} if budget is not None else {})}


def _response_format(body: dict[str, Any], wanted: ResponseFormat) -> None:
    if wanted.kind == "json_object":
        body["response_format"] = {"type": "json_object"}
    elif wanted.kind == "json_schema":
        body["response_format"] = {"type": "json_object", "json_schema": wanted.schema or {"type": "object"}}
