"""First sight of a Responses request: valid at all, what it needs, how long it is."""

from typing import Any

import msgspec

from gatewayz.dialects import json_text
from gatewayz.dialects.base import Framing, Glance, Need
from gatewayz.dialects.openai_responses.input_glance import InputGlance
from gatewayz.dialects.openai_responses.wire import NAME
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
    unsupported,
    wrong_type,
    wrong_value,
)
from gatewayz.dialects.tokens import REQUEST_TOKENS, estimate_tokens

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"
_MOST_TOKENS = 2**31 - 1
_NULL = msgspec.Raw(b"null")
_EMPTY = msgspec.Raw(b"[]")
# What an answer repeats of its request, with what it says where the request said nothing.
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "auto",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def _one_of(*kinds: type, named: str) -> Check:
    def check(param: str, value: Any) -> None:
        if not isinstance(value, kinds):
            raise wrong_type(param, named)

    return check


def _not_here(why: str) -> Check:
    """A check for parameters that ask for what is not done here; false and empty ask for nothing."""

    def check(param: str, value: Any) -> None:
        if value:
            raise unsupported(param, why)

    return check


_CHECKS: dict[str, Check] = {
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "max_output_tokens": integer(1, _MOST_TOKENS),
    "max_tool_calls": integer(1, _MOST_TOKENS),
    "top_logprobs": integer(0, 20),
    "stream": boolean,
    "store": boolean,
    "parallel_tool_calls": boolean,
    "instructions": string,
    "previous_response_id": string,
    "prompt_cache_key": string,
    "safety_identifier": string,
    "service_tier": string,
    "truncation": string,
    "user": string,
    "include": strings(),
    "metadata": obj,
    "reasoning": obj,
    "stream_options": obj,
    "text": obj,
    "tool_choice": _one_of(str, dict, named="a string or an object"),
    "provider": _one_of(str, dict, named="a provider's name or an object"),
    "background": _not_here("asks for an answer in the background, which is not done here; ask for a stream instead"),
    "conversation": _not_here("names a conversation, and none are kept here; use previous_response_id"),
    "prompt": _not_here("names a stored prompt, and none are kept here; send instructions and input"),
}


class _Tool(msgspec.Struct):
    type: Any = None


_TOOLS = msgspec.json.Decoder(list[_Tool])


def glance(body: bytes) -> Glance:
    """What a Responses body asks for. Raises InvalidRequest naming the field."""
    fields = json_text.request_members(body)
    values = check_all(fields, _CHECKS)
    model = read_model(fields)
    previous = values.get("previous_response_id")
    own = _own_input(fields, previous is not None)
    seen = InputGlance()
    seen.read(msgspec.Raw(own))
    needs: set[Need] = set(seen.needs)
    tokens = seen.tokens + REQUEST_TOKENS + estimate_tokens(values.get("instructions", ""))
    tokens += _tools(fields, needs) + _format(values.get("text", {}), fields, needs)
    if LOGPROBS in values.get("include", ()) or values.get("top_logprobs"):
        needs.add("logprobs")
    effort = values.get("reasoning", {}).get("effort")
    if effort is not None and effort != "none":
        needs.add("reasoning")
    stated = {name: raw for name, raw in fields.items() if name in _ECHOED and raw != _NULL}
    return Glance(
        dialect=NAME,
        body=body,
        fields=fields,
        model=model,
        stream=values.get("stream", False),
        max_tokens=values.get("max_output_tokens"),
        prompt_tokens=tokens,
        needs=frozenset(needs),
        user=values.get("safety_identifier", values.get("user")),
        provider=values.get("provider"),
        framing=Framing({**_ECHOED, **stated}, values.get("store", True), previous, own),
    )


def continued(glance: Glance, earlier: list[bytes]) -> None:
    """Puts earlier turns (JSON arrays of items) in front of the input, in place, and looks at the whole again.

    Raises InvalidRequest naming an item that is none.
    """
    framing = glance.framing
    assert framing is not None
    parts = [array.strip()[1:-1].strip() for array in (*earlier, framing.own_input)]
    whole = msgspec.Raw(b"[" + b",".join(part for part in parts if part) + b"]")
    own, seen = InputGlance(), InputGlance()
    own.read(msgspec.Raw(framing.own_input))
    seen.read(whole)
    glance.fields["input"] = whole
    glance.needs |= seen.needs
    glance.prompt_tokens += seen.tokens - own.tokens


def _own_input(fields: json_text.Fields, continues: bool) -> bytes:
    """The request's input as a JSON array of items, whatever form it came in."""
    raw = fields.get("input", _NULL)
    text = bytes(raw)
    if raw == _NULL or text == b'""' or (text.replace(b" ", b"") == b"[]"):
        if continues:
            return bytes(_EMPTY)
        raise missing("input", " It is empty.")
    if text.startswith(b'"'):
        return b'[{"type":"message","role":"user","content":' + text + b"}]"
    if not text.startswith(b"["):
        raise wrong_type("input", "a string or an array of items")
    return text


def _tools(fields: json_text.Fields, needs: set[Need]) -> int:
    """Estimated tokens of the tool definitions; notes the need for tools that the caller runs."""
    raw = fields.get("tools", _NULL)
    if raw in (_NULL, _EMPTY):
        return 0
    try:
        tools = _TOOLS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise wrong_type("tools", "an array of tool objects") from error
    for index, tool in enumerate(tools):
        if not isinstance(tool.type, str):
            raise missing(f"tools[{index}].type")
        if tool.type in ("function", "custom", "namespace"):
            needs.add("tools")
    return estimate_tokens(bytes(raw)) if tools else 0


def _format(text: dict[str, Any], fields: json_text.Fields, needs: set[Need]) -> int:
    wanted = text.get("format")
    if wanted is None:
        return 0
    if not isinstance(wanted, dict):
        raise wrong_type("text.format", "an object")
    kind = wanted.get("type")
    if kind == "json_schema":
        if not isinstance(wanted.get("schema"), dict):
            raise missing("text.format.schema")
        needs.add("json_schema")
        return estimate_tokens(bytes(fields["text"]))
    if kind == "json_object":
        needs.add("json_object")
    elif kind != "text":
        raise wrong_value("text.format.type", "one of text, json_object, json_schema")
    return 0
