"""A canonical request as a body for `generateContent`. The model and whether to stream stand in the address."""

from typing import Any

from gatewayz.core.chat import ChatRequest, Document, ResponseFormat, Tool
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Target
from gatewayz.dialects.conversation import (
    asks_for_citations,
    asks_for_detail,
    foreign_tool_members,
    harmless_extras,
    has_cache_marks,
    refuse_foreign_parts,
)
from gatewayz.dialects.gemini.generation import thinker, thinking_config
from gatewayz.dialects.gemini.parts_write import write_contents
from gatewayz.dialects.gemini.tools import tool_members
from gatewayz.dialects.gemini.wire import NAME
from gatewayz.dialects.parameters import unsupported

MOST_STOPS = 5
MOST_CANDIDATES = 8
_LARGEST_SEED = 2**31 - 1
# Fields of the other dialects that ask for another kind of answer; the values that do not are beside them.
_REFUSED_EXTRAS = frozenset({"audio", "modalities", "container", "context_management", "mcp_servers"})
_TEXT_ONLY: list[Any] = [None, ["text"], False, {}, []]
_SEARCH = "web_search_options"  # asks for a search even where it is empty
_MEANING = frozenset({"tools", "candidateCount", "responseLogprobs", "responseMimeType", "responseJsonSchema"})


def write_request(request: ChatRequest, target: Target) -> bytes:
    """The body for a Gemini-like provider. Raises InvalidRequest naming what cannot be said there."""
    return json_text.dump(_compose(request, target)[0])


def dropped(request: ChatRequest, target: Target) -> tuple[str, ...]:
    """The caller's parameters that `write_request` leaves out. Raises as it does."""
    return tuple(_compose(request, target)[1])


def _compose(request: ChatRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and what was left out of it."""
    refuse_foreign_parts(request, NAME)
    _refuse(request)
    left_out = _unknown_here(request) + foreign_tool_members(request)
    system, contents = write_contents(request.messages, target.native_id)
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    body.update(tool_members(request))
    config = _sampling(request, target, left_out)
    if request.response_format is not None:
        config.update(_response_format(request.response_format))
    reasoning, model = request.reasoning, thinker(target.native_id)
    if reasoning is not None and model is not None:
        config["thinkingConfig"] = thinking_config(reasoning, model)
    elif reasoning is not None and not (reasoning.off or reasoning.effort == "none"):
        left_out.append("reasoning_effort")
    for name in sorted(target.quirks.drop_params):
        for table in (body, config):
            if name in table:
                if name in _MEANING:
                    raise unsupported(name, "is not supported by the provider of this model")
                del table[name]
                left_out.append(name)
    if config:
        body["generationConfig"] = config
    for name, value in target.quirks.add_params.items():
        body.setdefault(name, value)
    if not any(name in body for name in target.force_unless):
        body.update(target.force_params)
    return body, left_out


def _refuse(request: ChatRequest) -> None:
    """Raises InvalidRequest for what would be another kind of answer."""
    if request.n > MOST_CANDIDATES:
        raise unsupported("n", f"above {MOST_CANDIDATES} is not supported by the provider of this model")
    if len(request.stop) > MOST_STOPS:
        raise unsupported("stop", f"may hold {MOST_STOPS} texts at the provider of this model")
    for name in (_SEARCH, *sorted(_REFUSED_EXTRAS - harmless_extras(request))):
        given = request.extra.get(name)
        if given is not None and (name == _SEARCH or given not in _TEXT_ONLY):
            raise unsupported(name, "is not supported by the provider of this model")


def _unknown_here(request: ChatRequest) -> list[str]:
    """Names of parameters that change nothing about the kind of answer and have no place here."""
    parts = [part for message in request.messages for part in message.parts]
    documents = [part for part in parts if isinstance(part, Document)]
    named = {
        "logit_bias": request.logit_bias is not None,
        "user": request.user is not None,
        "metadata": request.metadata is not None,
        "service_tier": request.service_tier not in (None, "auto"),
        "parallel_tool_calls": request.parallel_tool_calls is False and bool(request.tools),
        "tools.strict": any(isinstance(tool, Tool) and bool(tool.strict) for tool in request.tools),
        "messages.name": any(message.name is not None for message in request.messages),
        "documents.name": any(document.name is not None and document.text is None for document in documents),
        "documents.citations": asks_for_citations(request),
        "image_url.detail": asks_for_detail(request),
        "cache_control": has_cache_marks(request),
    }
    refused = _REFUSED_EXTRAS - harmless_extras(request) | {_SEARCH}
    return [name for name, given in named.items() if given] + sorted(request.extra.keys() - refused)


def _sampling(request: ChatRequest, target: Target, left_out: list[str]) -> dict[str, Any]:
    """Members of `generationConfig` that steer the choice of words."""
    temperature, ceiling = request.temperature, target.quirks.max_temperature
    if temperature is not None and ceiling is not None:
        temperature = min(temperature, ceiling)
    seed = request.seed
    if seed is not None and not -_LARGEST_SEED <= seed <= _LARGEST_SEED:
        seed = None
        left_out.append("seed")
    optional: dict[str, Any] = {
        "maxOutputTokens": request.max_tokens,
        "temperature": temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "seed": seed,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "stopSequences": list(request.stop) or None,
        "candidateCount": request.n if request.n > 1 else None,
        "responseLogprobs": True if request.logprobs else None,
        "logprobs": (request.top_logprobs or None) if request.logprobs else None,
    }
    return {name: value for name, value in optional.items() if value is not None}


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind == "text":
        return {}
    members: dict[str, Any] = {"responseMimeType": "application/json"}
    if wanted.kind == "json_schema" and wanted.schema is not None:
        members["responseJsonSchema"] = {name: value for name, value in wanted.schema.items() if name != "$schema"}
    return members
