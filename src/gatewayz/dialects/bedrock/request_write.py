"""A canonical request as a body for Converse. The model and whether to stream stand in the address.

What a model takes depends on its family (`family.py`). Members of a maker's own form travel in
`additionalModelRequestFields`: thinking, `top_k`.
"""

import re
from typing import Any

from gatewayz.core.chat import ChatRequest, OpaqueTool, ResponseFormat, Tool, ToolCall, ToolResult
from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic.request_write import JSON_INSTRUCTION, tool_loop_without_thinking
from gatewayz.dialects.anthropic.thinking import plan_thinking
from gatewayz.dialects.base import Target
from gatewayz.dialects.bedrock.family import Family, family_of
from gatewayz.dialects.bedrock.parts_write import MessageWriter
from gatewayz.dialects.bedrock.wire import NAME
from gatewayz.dialects.conversation import (
    asks_for_detail,
    foreign_tool_members,
    harmless_extras,
    refuse_foreign_parts,
)
from gatewayz.dialects.parameters import unsupported

NO_CALLS_INSTRUCTION = "Do not call any tool in this answer."
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# Fields of the other dialects that ask for another kind of answer; the values that do not are beside them.
_REFUSED_EXTRAS = frozenset({"audio", "modalities", "container", "context_management", "mcp_servers"})
_TEXT_ONLY: list[Any] = [None, ["text"], False, {}, []]
_SEARCH = "web_search_options"  # asks for a search even where it is empty
_FORCED = ("required", "named")
_LEAST_TOP_P = 0.95  # with thinking, Claude takes no smaller value
_MEANING = frozenset({"toolConfig", "outputConfig", "system"})
_OPEN_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_FURTHER = "additionalModelRequestFields"


def write_request(request: ChatRequest, target: Target) -> bytes:
    """The body for Bedrock. Raises InvalidRequest naming what cannot be said there."""
    return json_text.dump(_compose(request, target)[0])


def dropped(request: ChatRequest, target: Target) -> tuple[str, ...]:
    """The caller's parameters that `write_request` leaves out. Raises as it does."""
    return tuple(_compose(request, target)[1])


def _compose(request: ChatRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and what was left out of it."""
    refuse_foreign_parts(request, NAME)
    _refuse(request)
    family = family_of(target.native_id)
    writer = MessageWriter(family, target.quirks)
    system, messages = writer.write(request.messages)
    left_out = _unknown_here(request) + foreign_tool_members(request)
    body: dict[str, Any] = {"messages": messages}
    _tools(body, request, family, writer, system)
    further: dict[str, Any] = {}
    _thinking(body, further, request, target, family, left_out)
    _sampling(body, further, request, target, family, left_out)
    if request.response_format is not None:
        named = "output_config" if request.dialect == "anthropic" else "response_format"
        _response_format(body, request.response_format, family, system, named)
    if system:
        body["system"] = system
    if further:
        body[_FURTHER] = further
    if family.is_claude and request.stop:
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    left_out += writer.left_out
    _quirks(body, target, left_out)
    return body, left_out


def _quirks(body: dict[str, Any], target: Target, left_out: list[str]) -> None:
    """What the provider refuses is left out, what it wants is added."""
    for name in sorted(target.quirks.drop_params):
        for table in (body, body.get("inferenceConfig", {}), body.get(_FURTHER, {})):
            if name in table:
                if name in _MEANING:
                    raise unsupported(name, "is not supported by the provider of this model")
                del table[name]
                left_out.append(name)
    for name, value in target.quirks.add_params.items():
        body.setdefault(name, value)
    if not any(name in body for name in target.force_unless):
        body.update(target.force_params)


def _refuse(request: ChatRequest) -> None:
    """Raises InvalidRequest for what would be another kind of answer."""
    if request.n > 1:
        raise unsupported("n", "above 1 is not supported by the provider of this model")
    if request.logprobs or request.top_logprobs:
        raise unsupported("logprobs" if request.logprobs else "top_logprobs", "are not given by this provider")
    for name in (_SEARCH, *sorted(_REFUSED_EXTRAS - harmless_extras(request))):
        given = request.extra.get(name)
        if given is not None and (name == _SEARCH or given not in _TEXT_ONLY):
            raise unsupported(name, "is not supported by the provider of this model")


def _unknown_here(request: ChatRequest) -> list[str]:
    """Names of parameters that change nothing about the kind of answer and have no place here."""
    named = {
        "seed": request.seed is not None,
        "presence_penalty": request.presence_penalty is not None,
        "frequency_penalty": request.frequency_penalty is not None,
        "logit_bias": request.logit_bias is not None,
        "user": request.user is not None,
        "metadata": request.metadata is not None,
        "service_tier": request.service_tier not in (None, "auto", "default", "standard_only"),
        "parallel_tool_calls": request.parallel_tool_calls is False and bool(request.tools),
        "messages.name": any(message.name is not None for message in request.messages),
        "image_url.detail": asks_for_detail(request),
    }
    refused = _REFUSED_EXTRAS - harmless_extras(request) | {_SEARCH}
    return [name for name, given in named.items() if given] + sorted(request.extra.keys() - refused)


def _tools(
    body: dict[str, Any], request: ChatRequest, family: Family, writer: MessageWriter, system: list[dict[str, Any]]
) -> None:
    """The member `toolConfig`. Converse has no word for "call none": without calls in the history nothing is offered then."""
    used = _tools_of_history(request)
    choice = request.tool_choice
    none = choice is not None and choice.mode == "none"
    if none and not used:
        return
    tools = [block for index, tool in enumerate(request.tools) for block in _tool(tool, index, family, writer)]
    tools = tools or used
    if not tools:
        return
    if none or not request.tools:
        system.append({"text": NO_CALLS_INSTRUCTION})
    config: dict[str, Any] = {"tools": tools}
    # "auto" is what holds without a word, and some models take no such word at all.
    if choice is not None and request.tools and choice.mode in _FORCED:
        config["toolChoice"] = {"tool": {"name": choice.name}} if choice.mode == "named" else {"any": {}}
    body["toolConfig"] = config


def _tool(tool: Tool | OpaqueTool, index: int, family: Family, writer: MessageWriter) -> list[dict[str, Any]]:
    if isinstance(tool, OpaqueTool):
        raise unsupported(
            "tools", f"holds a tool of type '{tool.kind}', which the provider of this model does not have"
        )
    if not _TOOL_NAME.fullmatch(tool.name):
        raise unsupported(f"tools[{index}]", f"has the name '{tool.name}', which this provider does not accept")
    spec: dict[str, Any] = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": {"type": "object", **tool.parameters}}
    if tool.strict and family.structured:
        spec["strict"] = True
    elif tool.strict and "tools.strict" not in writer.left_out:
        writer.left_out.append("tools.strict")
    return [{"toolSpec": spec}, *writer.marks(tool.cache, tools=True)]


def _tools_of_history(request: ChatRequest) -> list[dict[str, Any]]:
    """Definitions of tools that were called earlier: Bedrock wants them although they are not offered any more."""
    parts = [part for message in request.messages for part in message.parts]
    names = list(dict.fromkeys(part.name for part in parts if isinstance(part, ToolCall)))
    if not names and not any(isinstance(part, ToolResult) for part in parts):
        return []
    return [{"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}} for name in names]


def _thinking(
    body: dict[str, Any],
    further: dict[str, Any],
    request: ChatRequest,
    target: Target,
    family: Family,
    left_out: list[str],
) -> None:
    """Asks for thinking in the words of the model's maker, and sets the maximum of tokens that goes with it."""
    reasoning, config = request.reasoning, body.setdefault("inferenceConfig", {})
    wants = reasoning is not None and not (reasoning.off or reasoning.effort == "none")
    if not family.is_claude:
        if request.max_tokens is not None:
            config["maxTokens"] = request.max_tokens
        effort = _OPEN_EFFORTS[(reasoning.effort if reasoning else None) or "medium"] if wants else None
        if effort is not None and family.name.startswith("openai."):
            further["reasoning_effort"] = effort
        elif effort is not None and family.name.startswith("amazon.nova-2"):
            # With "high" Nova takes no maximum of tokens, and there must be one.
            effort = "medium" if effort == "high" else effort
            further["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
        elif wants:
            left_out.append("reasoning_effort")
        return
    forced = request.tool_choice is not None and request.tool_choice.mode in _FORCED and bool(request.tools)
    adaptive = target.quirks.adaptive_thinking or family.adaptive
    adaptive = adaptive or (request.dialect == "anthropic" and reasoning is not None and reasoning.adaptive)
    if wants and (family.claude < (3, 7) or forced or (not adaptive and tool_loop_without_thinking(request.messages))):
        reasoning = None
        left_out.append("reasoning_effort")
    caller_set_max = request.max_tokens is not None
    max_tokens = request.max_tokens if request.max_tokens is not None else target.default_max_tokens
    planned = plan_thinking(reasoning, max_tokens, caller_set_max, adaptive)
    config["maxTokens"] = planned.pop("max_tokens")
    further.update(planned)


def _sampling(
    body: dict[str, Any],
    further: dict[str, Any],
    request: ChatRequest,
    target: Target,
    family: Family,
    left_out: list[str],
) -> None:
    """Temperature and its kin. The scale ends at 1; Claude takes one of temperature and top_p, and little with thinking."""
    config, thinks = body["inferenceConfig"], family.is_claude and "thinking" in further
    if request.temperature is not None:
        ceiling = target.quirks.max_temperature
        value = min(request.temperature, 1.0 if ceiling is None else ceiling)
        if thinks and value != 1:
            left_out.append("temperature")
        elif not thinks:
            config["temperature"] = value
    if request.top_p is not None:
        if family.is_claude and ("temperature" in config or (thinks and request.top_p < _LEAST_TOP_P)):
            left_out.append("top_p")
        else:
            config["topP"] = request.top_p
    if request.top_k is not None:
        if family.is_claude and not thinks:
            further["top_k"] = request.top_k
        elif family.is_nova:
            further["inferenceConfig"] = {"topK": request.top_k}
        else:
            left_out.append("top_k")
    stops = [stop for stop in request.stop if stop.strip() or not family.is_claude]
    if stops:
        config["stopSequences"] = stops
    if len(stops) < len(request.stop):
        left_out.append("stop")
    if not config:
        del body["inferenceConfig"]


def _response_format(
    body: dict[str, Any], wanted: ResponseFormat, family: Family, system: list[dict[str, Any]], named: str
) -> None:
    if wanted.kind == "json_object":
        system.append({"text": JSON_INSTRUCTION})
    if wanted.kind != "json_schema":
        return
    if not family.structured:
        raise unsupported(named, "asks for a schema, which this model does not keep to at this provider")
    schema: dict[str, Any] = {"schema": json_text.dump(wanted.schema or {"type": "object"}).decode()}
    if wanted.name:
        schema["name"] = wanted.name
    if wanted.description:
        schema["description"] = wanted.description
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
