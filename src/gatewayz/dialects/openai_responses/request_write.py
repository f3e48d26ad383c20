"""A canonical request as a Responses body. Nothing is left with the provider: `store` is always false."""

from typing import Any

from gatewayz.core.chat import ChatRequest, Document, Part, Reasoning
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Target
from gatewayz.dialects.conversation import (
    all_parts,
    asks_for_citations,
    foreign_tool_members,
    harmless_extras,
    has_cache_marks,
    refuse_foreign_parts,
)
from gatewayz.dialects.openai_chat.request_write import EFFORT_BY_BUDGET
from gatewayz.dialects.openai_responses.glance import ENCRYPTED, LOGPROBS
from gatewayz.dialects.openai_responses.items_write import write_items
from gatewayz.dialects.openai_responses.models import encrypts_reasoning
from gatewayz.dialects.openai_responses.tools import format_member, tool_members
from gatewayz.dialects.openai_responses.wire import NAME
from gatewayz.dialects.parameters import unsupported

# Fields of the other dialects that ask for another kind of answer; the values that do not are beside them.
_REFUSED_EXTRAS = frozenset(
    {"web_search_options", "audio", "modalities", "container", "context_management", "mcp_servers"}
)
_TEXT_ONLY: list[Any] = [None, ["text"], False, {}, []]
_MEANING = frozenset({"tools", "text", "top_logprobs"})


def write_request(request: ChatRequest, target: Target) -> bytes:
    """The body for a provider of the Responses API. Raises InvalidRequest naming what cannot be said there."""
    return json_text.dump(_compose(request, target)[0])


def dropped(request: ChatRequest, target: Target) -> tuple[str, ...]:
    """The caller's parameters that `write_request` leaves out. Raises as it does."""
    return tuple(_compose(request, target)[1])


def _compose(request: ChatRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and what was left out of it."""
    _refuse(request)
    left_out = _unknown_here(request) + foreign_tool_members(request)
    if has_cache_marks(request):
        left_out.append("cache_control")
    if asks_for_citations(request):
        left_out.append("documents.citations")
    body: dict[str, Any] = {
        "model": target.native_id,
        "input": write_items(request.messages, target.provider),
        "store": False,
        **_numbers(request, target),
        **tool_members(request),
        **format_member(request.response_format),
    }
    effort = _effort(request.reasoning)
    if effort is not None:
        body["reasoning"] = {"effort": effort}
    include = [ENCRYPTED] if encrypts_reasoning(target.native_id) else []
    if request.logprobs:
        include.append(LOGPROBS)
    if include:
        body["include"] = include
    for name in sorted(target.quirks.drop_params & body.keys()):
        if name in _MEANING:
            raise unsupported(name, "is not supported by the provider of this model")
        del body[name]
        left_out.append(name)
    for name, value in target.quirks.add_params.items():
        body.setdefault(name, value)
    if not target.force_unless & body.keys():
        body.update(target.force_params)
    if request.stream:
        body["stream"] = True
    return body, left_out


def _refuse(request: ChatRequest) -> None:
    """Raises InvalidRequest for what would be another kind of answer."""
    refuse_foreign_parts(request, NAME)
    if request.n > 1:
        raise unsupported("n", "above 1 is not supported by the provider of this model")
    if request.extra.get("web_search_options") is not None:  # even without a member it asks for a search
        raise unsupported("web_search_options", "is not supported by the provider of this model")
    for name in sorted(_REFUSED_EXTRAS - harmless_extras(request)):
        if request.extra.get(name) not in _TEXT_ONLY:
            raise unsupported(name, "is not supported by the provider of this model")


def _unknown_here(request: ChatRequest) -> list[str]:
    """Names of parameters that change nothing about the kind of answer and have no place here."""
    named = {
        "stop": bool(request.stop),
        "seed": request.seed is not None,
        "top_k": request.top_k is not None,
        "presence_penalty": request.presence_penalty is not None,
        "frequency_penalty": request.frequency_penalty is not None,
        "logit_bias": request.logit_bias is not None,
        "messages.name": any(message.name is not None for message in request.messages),
        "documents.name": any(_is_nameless_address(part) for part in all_parts(request)),
    }
    refused = _REFUSED_EXTRAS - harmless_extras(request)
    return [name for name, given in named.items() if given] + sorted(request.extra.keys() - refused)


def _is_nameless_address(part: Part) -> bool:
    """Whether a part is a document at an address, which is sent without the name that it has."""
    return isinstance(part, Document) and part.url is not None and part.name is not None


def _numbers(request: ChatRequest, target: Target) -> dict[str, Any]:
    temperature, ceiling = request.temperature, target.quirks.max_temperature
    if temperature is not None and ceiling is not None:
        temperature = min(temperature, ceiling)
    optional: dict[str, Any] = {
        "max_output_tokens": request.max_tokens,
        "temperature": temperature,
        "top_p": request.top_p,
        "top_logprobs": request.top_logprobs if request.logprobs else None,
        "user": request.user,
        "metadata": request.metadata,
        "service_tier": request.service_tier,
    }
    return {name: value for name, value in optional.items() if value is not None}


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
