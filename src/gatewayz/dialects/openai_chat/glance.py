"""First sight of a Chat Completions request: valid at all, what it needs, how long it is."""

from typing import Any

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance, Need
from gatewayz.dialects.glance_messages import MessageGlance
from gatewayz.dialects.parameters import (
    Check,
    boolean,
    check_all,
    integer,
    missing,
    number,
    obj,
    read_model,
    string,
    strings,
    wrong_type,
    wrong_value,
)
from gatewayz.dialects.tokens import REQUEST_TOKENS, estimate_tokens

NAME = "openai"
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_NO_TOOLS = frozenset({b"[]", b"null"})


def _integer(param: str, value: Any) -> None:
    """Any integer: at or below zero a maximum means the model's default."""
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        raise wrong_type(param, "an integer")


def _provider(param: str, value: Any) -> None:
    if not isinstance(value, (str, dict)):
        raise wrong_type(param, "a provider's name or an object")


def _tool_choice(param: str, value: Any) -> None:
    if not isinstance(value, (str, dict)):
        raise wrong_type(param, "a string or an object")


_CHECKS: dict[str, Check] = {
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "n": integer(1, 128),
    "max_tokens": _integer,
    "max_completion_tokens": _integer,
    "stream": boolean,
    "stop": strings(or_one=True),
    "top_logprobs": integer(0, 20),
    "logprobs": boolean,
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "logit_bias": obj,
    "seed": integer(-(2**63), 2**64 - 1),
    "user": string,
    "stream_options": obj,
    "response_format": obj,
    "reasoning_effort": string,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": boolean,
    "provider": _provider,
}


class _Tool(msgspec.Struct):
    type: Any = "function"


_TOOLS = msgspec.json.Decoder(list[_Tool])


def glance(body: bytes) -> Glance:
    """What a Chat Completions body asks for. Raises InvalidRequest naming the field."""
    fields = json_text.request_members(body)
    values = check_all(fields, _CHECKS)
    model = read_model(fields)
    if "messages" not in fields:
        raise missing("messages")
    seen = MessageGlance(ROLES)
    seen.read(fields["messages"])
    needs = seen.needs
    tokens = seen.tokens + REQUEST_TOKENS + _tools(fields, needs)
    n = values.get("n", 1)
    if n > 1:
        needs.add("n")
    if values.get("logprobs") or values.get("top_logprobs"):
        needs.add("logprobs")
    if "response_format" in values:
        tokens += _response_format(values["response_format"], fields["response_format"], needs)
    if _reasons(fields, values):
        needs.add("reasoning")
    options = values.get("stream_options", {})
    return Glance(
        dialect=NAME,
        body=body,
        fields=fields,
        model=model,
        stream=values.get("stream", False),
        max_tokens=_max_tokens(values),
        prompt_tokens=tokens,
        needs=frozenset(needs),
        n=n,
        include_usage=options.get("include_usage") is True,
        user=values.get("user"),
        provider=values.get("provider"),
    )


def _max_tokens(values: dict[str, Any]) -> int | None:
    """The caller's maximum; None (the model's default) if absent or not above zero."""
    value = values.get("max_completion_tokens", values.get("max_tokens"))
    return int(value) if value is not None and value > 0 else None


def _tools(fields: json_text.Fields, needs: set[Need]) -> int:
    """Estimated tokens of the tool definitions; notes the need for tools."""
    tokens = 0
    for name in ("tools", "functions"):
        raw = fields.get(name)
        if raw is None or bytes(raw) in _NO_TOOLS:
            continue
        try:
            tools = _TOOLS.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise wrong_type(name, "an array of tool objects") from error
        if tools:
            needs.add("tools")
            tokens += estimate_tokens(bytes(raw))
    return tokens


def _response_format(value: dict[str, Any], raw: msgspec.Raw, needs: set[Need]) -> int:
    kind = value.get("type")
    if kind == "json_schema":
        if not isinstance(value.get("json_schema"), dict):
            raise missing("response_format.json_schema")
        needs.add("json_schema")
        return estimate_tokens(bytes(raw))
    if kind == "json_object":
        needs.add("json_object")
    elif not isinstance(kind, str):
        raise missing("response_format.type")
    elif kind != "text":
        raise wrong_value("response_format.type", "one of text, json_object, json_schema")
    return 0


def _reasons(fields: json_text.Fields, values: dict[str, Any]) -> bool:
    """Whether the caller asks for reasoning, in any of the three spellings in use."""
    effort = values.get("reasoning_effort")
    if effort is not None:
        return bool(effort != "none")
    for name in ("thinking", "reasoning"):
        raw = fields.get(name)
        if raw is None:
            continue
        try:
            value = json_text.load(raw)
        except ValueError as error:
            raise wrong_type(name, "an object") from error
        if isinstance(value, dict) and value:
            off = value.get("type") == "disabled" or value.get("enabled") is False or value.get("effort") == "none"
            return not off
    return False
