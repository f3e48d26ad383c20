"""A canonical request as a Messages body."""

from typing import Any

from gatewayz.core.chat import (
    ChatRequest,
    Message,
    OpaqueTool,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic.forward_request import changes_meaning
from gatewayz.dialects.anthropic.parts_write import cache_member, is_signed_here, write_messages
from gatewayz.dialects.anthropic.thinking import plan_thinking
from gatewayz.dialects.anthropic.wire import NAME
from gatewayz.dialects.base import Target
from gatewayz.dialects.conversation import asks_for_detail, foreign_tool_members, refuse_foreign_parts
from gatewayz.dialects.parameters import unsupported

JSON_INSTRUCTION = "Answer with one valid JSON object and nothing else: no explanation, no code fence."
_TIERS = {"auto": "auto", "default": "standard_only"}
_REFUSED_EXTRAS = ("audio", "modalities")  # of Chat Completions: another kind of answer
_TEXT_ONLY: list[Any] = [None, ["text"], False, {}]
_SEARCH = "web_search_options"  # asks for a search even where it is empty
_FORCED = ("required", "named")
_LEAST_TOP_P = 0.95  # with thinking, Anthropic takes no smaller value


def write_request(request: ChatRequest, target: Target) -> bytes:
    """The body for an Anthropic-like provider. Raises InvalidRequest naming what cannot be said there."""
    return json_text.dump(_compose(request, target)[0])


def dropped(request: ChatRequest, target: Target) -> tuple[str, ...]:
    """The caller's parameters that `write_request` leaves out. Raises as it does."""
    return tuple(_compose(request, target)[1])


def _compose(request: ChatRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and what was left out of it."""
    _refuse(request)
    refuse_foreign_parts(request, NAME)
    left_out = _unknown_here(request)
    if request.dialect != NAME:
        left_out += foreign_tool_members(request)
    system, messages = write_messages(request.messages, target.quirks)
    if request.response_format is not None and request.response_format.kind == "json_object":
        system.append({"type": "text", "text": JSON_INSTRUCTION})
    named = {"model": target.native_id} if target.quirks.model_in_body else {}
    body: dict[str, Any] = {**named, "messages": messages}
    if system:
        plain = len(system) == 1 and "cache_control" not in system[0]
        body["system"] = system[0]["text"] if plain else system
    _tools(body, request)
    _thinking(body, request, target, left_out)
    _sampling(body, request, target, left_out)
    if request.response_format is not None and request.response_format.kind == "json_schema":
        schema = request.response_format.schema or {"type": "object"}
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if request.service_tier in _TIERS:
        body["service_tier"] = _TIERS[request.service_tier]
    elif request.service_tier is not None:
        left_out.append("service_tier")
    if request.dialect == NAME:
        for name, value in request.extra.items():
            body.setdefault(name, value)
    for name in sorted(target.quirks.drop_params & body.keys()):
        if changes_meaning(name, body[name]):
            raise unsupported(name, "is not supported by the provider of this model")
        del body[name]
        left_out.append(name)
    if request.stream:
        body["stream"] = True
    for name, value in target.quirks.add_params.items():
        body.setdefault(name, value)
    reasoned = request.reasoning is not None and target.force_unless & {"reasoning", "reasoning_effort", "thinking"}
    if not reasoned and not any(name in body for name in target.force_unless):
        body.update(target.force_params)
    return body, left_out


def _refuse(request: ChatRequest) -> None:
    """Raises InvalidRequest for what would be another kind of answer."""
    if request.n > 1:
        raise unsupported("n", "above 1 is not supported by the provider of this model")
    if request.logprobs or request.top_logprobs:
        raise unsupported("logprobs" if request.logprobs else "top_logprobs", "are not given by this provider")
    if request.dialect == NAME:
        return
    for name in (_SEARCH, *_REFUSED_EXTRAS):
        given = request.extra.get(name)
        if given is not None and (name == _SEARCH or given not in _TEXT_ONLY):
            raise unsupported(name, "is not supported by the provider of this model")


def _unknown_here(request: ChatRequest) -> list[str]:
    """Names of parameters that change nothing about the kind of answer and have no place here."""
    names = [
        name
        for name, value in (
            ("seed", request.seed),
            ("presence_penalty", request.presence_penalty),
            ("frequency_penalty", request.frequency_penalty),
            ("logit_bias", request.logit_bias),
            ("metadata", request.metadata),
        )
        if value is not None
    ]
    if any(message.name is not None for message in request.messages):
        names.append("messages.name")
    if asks_for_detail(request):
        names.append("image_url.detail")
    return names if request.dialect == NAME else names + sorted(request.extra)


def _tools(body: dict[str, Any], request: ChatRequest) -> None:
    tools = [_tool(tool, native=request.dialect == NAME) for tool in request.tools]
    choice = request.tool_choice
    if not tools:
        tools = _tools_of_history(request.messages)
        choice = ToolChoice("none") if tools else None
    if not tools:
        return
    body["tools"] = tools
    written: dict[str, Any] = {}
    if choice is not None:
        kind = {"required": "any", "named": "tool"}.get(choice.mode, choice.mode)
        written = {"type": kind, **({"name": choice.name} if choice.mode == "named" else {})}
    if request.parallel_tool_calls is not None and written.get("type") != "none":
        written = written or {"type": "auto"}
        written["disable_parallel_tool_use"] = not request.parallel_tool_calls
    if written:
        body["tool_choice"] = written


def _tool(tool: Tool | OpaqueTool, *, native: bool) -> Any:
    if isinstance(tool, OpaqueTool):
        if tool.dialect != NAME:
            raise unsupported("tools", f"holds a tool of type '{tool.kind}', which this provider does not have")
        return tool.raw
    written: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    written["input_schema"] = {"type": "object", **tool.parameters}
    if tool.strict:
        written["strict"] = True
    if native:
        written.update(tool.further)
    return {**written, **cache_member(tool.cache)}


def _tools_of_history(messages: tuple[Message, ...]) -> list[Any]:
    """Definitions of tools that were called earlier: Anthropic wants them although they are not offered any more."""
    parts = [part for message in messages for part in message.parts]
    names = list(dict.fromkeys(part.name for part in parts if isinstance(part, ToolCall)))
    return [{"name": name, "input_schema": {"type": "object"}} for name in names]


def _thinking(body: dict[str, Any], request: ChatRequest, target: Target, left_out: list[str]) -> None:
    """Asks for thinking, unless that collides with a forced tool or with a tool loop begun without thinking."""
    reasoning = request.reasoning
    forced = request.tool_choice is not None and request.tool_choice.mode in _FORCED and bool(request.tools)
    adaptive = target.quirks.adaptive_thinking or (
        request.dialect == NAME and reasoning is not None and reasoning.adaptive
    )
    if reasoning is not None and (forced or (not adaptive and tool_loop_without_thinking(request.messages))):
        reasoning = None
        left_out.append("reasoning_effort")
    caller_set_max = request.max_tokens is not None
    max_tokens = request.max_tokens if request.max_tokens is not None else target.default_max_tokens
    body.update(plan_thinking(reasoning, max_tokens, caller_set_max, adaptive))


def tool_loop_without_thinking(messages: tuple[Message, ...]) -> bool:
    """Whether results are sent back for calls whose turn has no signed thinking, which Anthropic then refuses."""
    answered = False
    for message in reversed(messages):
        if message.role == "assistant":
            called = any(isinstance(part, ToolCall) for part in message.parts)
            thought = any(is_signed_here(part) for part in message.parts)
            return answered and called and not thought
        answered = answered or any(isinstance(part, ToolResult) for part in message.parts)
        if message.role == "user" and not any(isinstance(part, ToolResult) for part in message.parts):
            return False
    return False


def _sampling(body: dict[str, Any], request: ChatRequest, target: Target, left_out: list[str]) -> None:
    """Temperature and its kin. Anthropic's scale ends at 1, and it takes one of temperature and top_p at a time."""
    thinks = "thinking" in body
    if request.temperature is not None:
        ceiling = target.quirks.max_temperature
        value = min(request.temperature, 1.0 if ceiling is None else ceiling)
        if thinks and value != 1:
            left_out.append("temperature")
        elif not thinks:
            body["temperature"] = value
    if request.top_p is not None:
        if "temperature" in body or (thinks and request.top_p < _LEAST_TOP_P):
            left_out.append("top_p")
        else:
            body["top_p"] = request.top_p
    if request.top_k is not None:
        if thinks:
            left_out.append("top_k")
        else:
            body["top_k"] = request.top_k
    stops = [stop for stop in request.stop if stop.strip()]
    if stops:
        body["stop_sequences"] = stops
    if len(stops) < len(request.stop):
        left_out.append("stop")
