"""A Responses request in canonical form."""

from typing import Any, get_args

from gatewayz.core.chat import ChatRequest, Effort, Message, Reasoning, Text, Tool
from gatewayz.dialects.base import Glance
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.openai_responses.glance import LOGPROBS
from gatewayz.dialects.openai_responses.items_read import read_items
from gatewayz.dialects.openai_responses.tools import read_format, read_tool_choice, read_tools
from gatewayz.dialects.openai_responses.wire import NAME
from gatewayz.dialects.parameters import optional_text, value_of, wrong_value

EFFORTS = frozenset(get_args(Effort))
_KNOWN = frozenset(
    {
        *(
            "model",
            "input",
            "instructions",
            "stream",
            "max_output_tokens",
            "max_tokens",
            "temperature",
            "top_p",
            "tools",
        ),
        *("tool_choice", "parallel_tool_calls", "text", "reasoning", "top_logprobs", "user", "safety_identifier"),
        *GATEWAY_FIELDS,
        *("service_tier", "include", "store", "previous_response_id", "background", "conversation"),
        # What is told again in the answer, and asks nothing of the model.
        *("prompt", "metadata", "stream_options"),
    }
)
_NOTHING_ASKED: dict[str, Any] = {"truncation": "disabled"}  # values that say what is so anyway


def read_request(glance: Glance) -> ChatRequest:
    """The whole request. Raises InvalidRequest naming the field."""
    fields = {name: value_of(name, raw) for name, raw in glance.fields.items()}
    items = fields["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    messages = read_items(items)
    if fields.get("instructions"):
        messages = (Message("system", (Text(fields["instructions"]),)), *messages)
    tools = read_tools(fields.get("tools") or ())
    choice, only = read_tool_choice(fields.get("tool_choice"))
    if only is not None:
        tools = tuple(tool for tool in tools if isinstance(tool, Tool) and tool.name in only)
    tier, top = fields.get("service_tier"), fields.get("top_logprobs")
    return ChatRequest(
        dialect=NAME,
        model=glance.model,
        messages=messages,
        stream=glance.stream,
        max_tokens=glance.max_tokens,
        temperature=fields.get("temperature"),
        top_p=fields.get("top_p"),
        logprobs=bool(top) or LOGPROBS in (fields.get("include") or ()),
        top_logprobs=top or None,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=fields.get("parallel_tool_calls"),
        response_format=read_format(fields.get("text")),
        reasoning=_reasoning(fields.get("reasoning")),
        user=glance.user,
        service_tier=None if tier == "auto" else tier,
        extra=_extra(fields),
    )


def _extra(fields: dict[str, Any]) -> dict[str, Any]:
    found = {
        name: value
        for name, value in fields.items()
        if name not in _KNOWN and value is not None and _NOTHING_ASKED.get(name) != value
    }
    verbosity = optional_text(fields.get("text") or {}, "verbosity", "text")
    return {**found, "verbosity": verbosity} if verbosity is not None else found


def _reasoning(wanted: dict[str, Any] | None) -> Reasoning | None:
    wanted = wanted or {}
    for name in ("summary", "generate_summary"):
        optional_text(wanted, name, "reasoning")
    effort = optional_text(wanted, "effort", "reasoning")
    if effort is None:
        return None
    if effort not in EFFORTS:
        raise wrong_value("reasoning.effort", "one of " + ", ".join(get_args(Effort)))
    return Reasoning(effort=effort, off=effort == "none")  # type: ignore[arg-type]  # one of EFFORTS
