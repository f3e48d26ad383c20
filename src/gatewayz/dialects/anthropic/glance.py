"""First sight of a Messages request: valid at all, what it needs, how long it is."""

from typing import Any

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic.wire import NAME
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


def glance(body: bytes, *, with_maximum: bool = True) -> Glance:
    """What a Messages body asks for, with the `max_tokens` that answers need. Raises InvalidRequest naming the field."""
    fields = json_text.request_members(body)
    values = check_all(fields, _CHECKS)
    model = read_model(fields)
    if with_maximum and "max_tokens" not in values:
        raise missing("max_tokens")
    if "messages" not in fields:
        raise missing("messages")
    seen = MessageGlance(ROLES)
    seen.read(fields["messages"])
    if "system" in fields:
        seen.content(fields["system"], "system")
    needs = seen.needs
    tokens = seen.tokens + REQUEST_TOKENS + _tools(fields, needs) + _format(values, fields, needs)
    if values.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        needs.add("reasoning")
    user = values.get("metadata", {}).get("user_id")
    return Glance(
        dialect=NAME,
        body=body,
        fields=fields,
        model=model,
        stream=values.get("stream", False),
        max_tokens=values.get("max_tokens"),
        prompt_tokens=tokens,
        needs=frozenset(needs),
        include_usage=True,
        user=user if isinstance(user, str) else None,
        provider=values.get("provider"),
    )


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


def _format(values: dict[str, Any], fields: json_text.Fields, needs: set[Need]) -> int:
    """Estimated tokens of an output schema; notes the need for one."""
    for name, wanted in (
        ("output_config", values.get("output_config", {}).get("format")),
        ("output_format", values.get("output_format")),
    ):
        if wanted is None:
            continue
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            raise wrong_value(f"{name}.format.type" if name == "output_config" else f"{name}.type", "json_schema")
        needs.add("json_schema")
        return estimate_tokens(bytes(fields[name]))
    return 0
