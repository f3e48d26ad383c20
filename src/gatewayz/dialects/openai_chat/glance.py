"""First sight of a Chat Completions request: valid at all, what it needs, how long it is."""

from typing import Annotated, Any, Literal

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance, Need
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.glance_messages import READ_ERRORS, Message, MessageGlance
from gatewayz.dialects.parameters import (
    Check,
    boolean,
    check_all,
    empty_model,
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


class _ChatMessage(Message, gc=False):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]


class _Asked(msgspec.Struct):
    """The members of a request that are looked at, of the types and within the ranges of `_CHECKS`."""

    model: str
    messages: Annotated[list[_ChatMessage], msgspec.Meta(min_length=1)]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    user: str | None = None
    tool_choice: str | dict[str, msgspec.Raw] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, msgspec.Raw] | None = None
    provider: str | dict[str, Any] | None = None


_ASKED = msgspec.json.Decoder(_Asked)
# The members that may need an ability, are part of the prompt, or are for the gateway.
_SPECIAL = GATEWAY_FIELDS | {
    *("tools", "functions", "n", "logprobs", "top_logprobs", "response_format"),
    *("reasoning_effort", "thinking", "reasoning"),
}


def glance(body: bytes) -> Glance:
    """What a Chat Completions body asks for. Raises InvalidRequest naming the field."""
    fields = json_text.request_members(body)
    seen = MessageGlance()
    try:
        asked = _ASKED.decode(body)
    except READ_ERRORS:
        asked = _checked(fields)
        seen.read(fields["messages"], ROLES)
    else:
        if not asked.model.strip():
            raise empty_model()
        seen.take(asked.messages, is_ascii=body.isascii())
    tokens = seen.tokens + REQUEST_TOKENS
    is_special = not _SPECIAL.isdisjoint(fields)
    if is_special:
        tokens += _demands(fields, asked, seen.needs)
    most, options = asked.max_completion_tokens, asked.stream_options
    if most is None:
        most = asked.max_tokens
    return Glance(
        dialect=NAME,
        body=body,
        fields=fields,
        model=asked.model,
        stream=asked.stream or False,
        # At or below zero it means the model's default, as its absence does.
        max_tokens=int(most) if most is not None and most > 0 else None,
        prompt_tokens=tokens,
        needs=frozenset(seen.needs),
        n=asked.n or 1,
        include_usage=options is not None and options.get("include_usage") is True,
        user=asked.user,
        provider=asked.provider,
        has_developer=seen.has_developer,
        for_gateway=is_special,
    )


def _checked(fields: json_text.Fields) -> _Asked:
    """The same member by member, but for the messages: what the decoder does not take may be right, or gets its name."""
    values = check_all(fields, _CHECKS)
    model = read_model(fields)
    if "messages" not in fields:
        raise missing("messages")
    return _Asked(model, [], **values)


def _demands(fields: json_text.Fields, asked: _Asked, needs: set[Need]) -> int:
    """Estimated tokens of what stands beside the messages; notes what it needs."""
    tokens = _tools(fields, needs)
    if asked.n is not None and asked.n > 1:
        needs.add("n")
    if asked.logprobs or asked.top_logprobs:
        needs.add("logprobs")
    if asked.response_format is not None:
        tokens += _response_format(asked.response_format, fields["response_format"], needs)
    if _reasons(fields, asked.reasoning_effort):
        needs.add("reasoning")
    return tokens


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


def _reasons(fields: json_text.Fields, effort: str | None) -> bool:
    """Whether the caller asks for reasoning, in any of the three spellings in use."""
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
