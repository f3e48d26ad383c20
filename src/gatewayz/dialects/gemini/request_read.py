"""A generateContent request in canonical form."""

from typing import Any

from gatewayz.core.chat import ChatRequest, Effort, Message, Reasoning, ResponseFormat
from gatewayz.dialects.base import Glance
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.gemini.glance import JSON_TYPE, config_of, field
from gatewayz.dialects.gemini.names import camel, camel_members, member
from gatewayz.dialects.gemini.parts_read import ContentsReader, read_system
from gatewayz.dialects.gemini.tools_read import json_schema, read_choice, read_tools
from gatewayz.dialects.gemini.wire import NAME
from gatewayz.dialects.parameters import string, value_of, wrong_type, wrong_value

# The gateway's own, also what it notes among the members (`cap_output`); never sent upstream.
OURS = GATEWAY_FIELDS | {"model", "max_tokens"}
_KNOWN = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
_KNOWN_CONFIG = frozenset(
    {
        *("temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed"),
        *("presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs", "thinkingConfig"),
        *("responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema", "responseModalities"),
    }
)
# Without these it would be another conversation, or another kind of answer.
_ONLY_HERE = frozenset({"cachedContent"})
_CONFIG_ONLY_HERE = frozenset({"speechConfig", "imageConfig", "responseFormat", "translationConfig"})
_LEVELS: dict[str, Effort] = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}


def read_request(glance: Glance) -> ChatRequest:
    """The whole request. Raises InvalidRequest naming the field."""
    fields = glance.fields
    reader = ContentsReader()
    messages: list[Message] = []
    system = field(fields, "systemInstruction")
    if system is not None:
        message = read_system(value_of("systemInstruction", system))
        messages += [message] if message.parts else []
    messages += reader.read(value_of("contents", fields["contents"]))
    tools = read_tools(_value(glance, "tools") or [])
    choice, left_out = None, dict(reader.left_out)
    calling = _value(glance, "toolConfig")
    if calling is not None:
        choice, tools, unsaid = read_choice(calling, tools)
        left_out |= dict.fromkeys(unsaid, True)
    config = config_of(fields)
    further, only_here = _further(glance)
    return ChatRequest(
        dialect=NAME,
        model=glance.model,
        messages=tuple(messages),
        stream=glance.stream,
        include_usage=True,
        max_tokens=glance.max_tokens,
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        top_k=int(config["topK"]) if "topK" in config else None,
        stop=_strings(config.get("stopSequences")),
        n=glance.n,
        seed=config.get("seed"),
        presence_penalty=config.get("presencePenalty"),
        frequency_penalty=config.get("frequencyPenalty"),
        logprobs=bool(config.get("responseLogprobs")),
        top_logprobs=config.get("logprobs") if config.get("responseLogprobs") else None,
        tools=tools,
        tool_choice=choice,
        response_format=_response_format(config, _whole_config(glance)),
        reasoning=_reasoning(config.get("thinkingConfig")),
        extra={**left_out, **further},
        only_here=only_here,
    )


def _value(glance: Glance, name: str) -> Any:
    raw = field(glance.fields, name)
    return value_of(name, raw) if raw is not None else None


def _whole_config(glance: Glance) -> dict[str, Any]:
    """All members of `generationConfig`, in the usual spelling."""
    config = _value(glance, "generationConfig")
    return camel_members(config) if isinstance(config, dict) else {}


def _further(glance: Glance) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(what other providers are not told, what they cannot be asked without) of the members that have no place here."""
    others = {name: raw for name, raw in glance.fields.items() if name not in OURS and camel(name) not in _KNOWN}
    top = {camel(name): value_of(name, raw) for name, raw in others.items()}
    config = {name: value for name, value in _whole_config(glance).items() if name not in _KNOWN_CONFIG}
    for name in (name for name in top if name in _ONLY_HERE and top[name] is not None):
        string(name, top[name])
    only = [name for name in top if name in _ONLY_HERE and top[name]]
    only += [f"generationConfig.{name}" for name in config if name in _CONFIG_ONLY_HERE]
    modalities = _strings(_whole_config(glance).get("responseModalities"))
    if any(modality.upper() != "TEXT" for modality in modalities):
        only.append("generationConfig.responseModalities")
    named = {name: value for name, value in top.items() if name not in _ONLY_HERE and value is not None}
    named |= {f"generationConfig.{name}": value for name, value in config.items() if name not in _CONFIG_ONLY_HERE}
    return named, tuple(only)


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(value or ())


def _response_format(config: dict[str, Any], whole: dict[str, Any]) -> ResponseFormat | None:
    media = config.get("responseMimeType")
    if media in (None, "", "text/plain"):
        return None
    if media != JSON_TYPE:
        raise wrong_value("generationConfig.responseMimeType", f"text/plain or {JSON_TYPE} for this model")
    schema = whole.get("responseJsonSchema", whole.get("_responseJsonSchema"))
    if schema is None and "responseSchema" in config:
        schema = json_schema(config["responseSchema"])
    if schema is None:
        return ResponseFormat("json_object")
    if not isinstance(schema, dict):
        raise wrong_type("generationConfig.responseJsonSchema", "an object")
    return ResponseFormat("json_schema", schema)


def _reasoning(config: dict[str, Any] | None) -> Reasoning | None:
    if config is None:
        return None
    budget, level = member(config, "thinkingBudget"), member(config, "thinkingLevel")
    if budget is not None:
        if budget == 0:
            return Reasoning(off=True)
        return Reasoning(adaptive=True) if budget < 0 else Reasoning(budget_tokens=budget)
    if isinstance(level, str) and level.upper() != "THINKING_LEVEL_UNSPECIFIED":
        if level.upper() not in _LEVELS:
            raise wrong_value("generationConfig.thinkingConfig.thinkingLevel", "one of " + ", ".join(_LEVELS))
        return Reasoning(effort=_LEVELS[level.upper()])
    return Reasoning(adaptive=True) if member(config, "includeThoughts") is True else None
