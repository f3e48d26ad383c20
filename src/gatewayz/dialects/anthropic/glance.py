"""First sight of a Messages request: valid at all, what it needs, how long it is."""

from typing import Annotated, Any, Literal

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic.wire import NAME
from gatewayz.dialects.base import Glance, Need
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
    out_of_range,
    read_model,
    strings,
    wrong_type,
    wrong_value,
)
from gatewayz.dialects.tokens import REQUEST_TOKENS, estimate_tokens

ROLES = frozenset({"user", "assistant", "system"})
SMALLEST_BUDGET = 1_024
_THINKING = frozenset({"enabled", "disabled", "adaptive", "between_tools"})
_CHOICES = frozenset({"auto", "any", "tool", "none"})


def _thinking(param: str, value: Any) -> None:
    obj(param, value)
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _THINKING:
        raise wrong_value(f"{param}.type", "one of " + ", ".join(sorted(_THINKING)))
    if kind == "enabled":
        budget = value.get("budget_tokens")
        if budget is None:
            raise missing(f"{param}.budget_tokens")
        if isinstance(budget, bool) or not isinstance(budget, int):
            raise wrong_type(f"{param}.budget_tokens", "an integer")
        if budget < SMALLEST_BUDGET:
            raise out_of_range(f"{param}.budget_tokens", f"at least {SMALLEST_BUDGET}")


def _tool_choice(param: str, value: Any) -> None:
    obj(param, value)
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _CHOICES:
        raise wrong_value(f"{param}.type", "one of " + ", ".join(sorted(_CHOICES)))
    if kind == "tool" and not isinstance(value.get("name"), str):
        raise missing(f"{param}.name")


def _provider(param: str, value: Any) -> None:
    if not isinstance(value, (str, dict)):
        raise wrong_type(param, "a provider's name or an object")


_CHECKS: dict[str, Check] = {
    "max_tokens": integer(1, 2**31),
    "temperature": number(0, 1),
    "top_p": number(0, 1),
    "top_k": integer(0, 2**31),
    "stream": boolean,
    "stop_sequences": strings(),
    "thinking": _thinking,
    "tool_choice": _tool_choice,
    "metadata": obj,
    "output_config": obj,
    "output_format": obj,
    "provider": _provider,
}


class _Tool(msgspec.Struct):
    name: Any = None
    type: Any = None


_TOOLS = msgspec.json.Decoder(list[_Tool])


class _TurnMessage(Message, gc=False):
    role: Literal["user", "assistant", "system"]


class _Asked(msgspec.Struct):
    """The members of a request that are looked at, of the types and within the ranges of `_CHECKS`."""

    model: str
    messages: Annotated[list[_TurnMessage], msgspec.Meta(min_length=1)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, le=2**31)] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    thinking: dict[str, Any] | None = None
    tool_choice: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None
    provider: str | dict[str, Any] | None = None


_ASKED = msgspec.json.Decoder(_Asked)
# The members that may need an ability, or are part of the prompt.
_DEMANDING = frozenset({"tools", "output_config", "output_format", "thinking"})


def glance(body: bytes, *, with_maximum: bool = True) -> Glance:
    """What a Messages body asks for, with the `max_tokens` that answers need. Raises InvalidRequest naming the field."""
    fields = json_text.request_members(body)
    seen = MessageGlance()
    asked = _read(body, fields)
    if with_maximum and asked.max_tokens is None:
        raise missing("max_tokens")
    if asked.messages:
        seen.take(asked.messages, is_ascii=body.isascii())
    elif "messages" not in fields:
        raise missing("messages")
    else:
        seen.read(fields["messages"], ROLES)
    if "system" in fields:
        seen.content(fields["system"], "system")
    needs, tokens = seen.needs, seen.tokens + REQUEST_TOKENS
    if not _DEMANDING.isdisjoint(fields):
        tokens += _tools(fields, needs) + _format(asked, fields, needs)
        if asked.thinking is not None and asked.thinking["type"] in ("enabled", "adaptive"):
            needs.add("reasoning")
    user = asked.metadata.get("user_id") if asked.metadata is not None else None
    return Glance(
        dialect=NAME,
        body=body,
        fields=fields,
        model=asked.model,
        stream=asked.stream or False,
        max_tokens=asked.max_tokens,
        prompt_tokens=tokens,
        needs=frozenset(needs),
        include_usage=True,
        user=user if isinstance(user, str) else None,
        provider=asked.provider,
    )


def _read(body: bytes, fields: json_text.Fields) -> _Asked:
    """What is asked; without its messages if the decoder does not take it. Raises InvalidRequest naming the field."""
    try:
        asked = _ASKED.decode(body)
    except READ_ERRORS:
        values = check_all(fields, _CHECKS)
        return _Asked(read_model(fields), [], **values)
    if asked.thinking is not None or asked.tool_choice is not None:
        check_all(fields, _CHECKS)
    if not asked.model.strip():
        raise empty_model()
    return asked


def _tools(fields: json_text.Fields, needs: set[Need]) -> int:
    """Estimated tokens of the tool definitions; notes the need for tools."""
    raw = fields.get("tools")
    if raw is None or bytes(raw) in (b"[]", b"null"):
        return 0
    try:
        tools = _TOOLS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise wrong_type("tools", "an array of tool objects") from error
    for index, tool in enumerate(tools):
        if tool.type in (None, "custom") and not (isinstance(tool.name, str) and tool.name):
            raise missing(f"tools[{index}].name")
    if tools:
        needs.add("tools")
    return estimate_tokens(bytes(raw))


def _format(asked: _Asked, fields: json_text.Fields, needs: set[Need]) -> int:
    """Estimated tokens of an output schema; notes the need for one."""
    for name, wanted in (
        ("output_config", asked.output_config.get("format") if asked.output_config is not None else None),
        ("output_format", asked.output_format),
    ):
        if wanted is None:
            continue
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            raise wrong_value(f"{name}.format.type" if name == "output_config" else f"{name}.type", "json_schema")
        needs.add("json_schema")
        return estimate_tokens(bytes(fields[name]))
    return 0
