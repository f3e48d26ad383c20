"""Plain answers of OpenAI-like providers for OpenAI clients: glanced at for the meter, forwarded almost untouched."""

from typing import Any

import msgspec

from gatewayz.core.money import usd_text
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts, Quirks, Voice
from gatewayz.dialects.openai_chat import wire
from gatewayz.dialects.openai_chat.chunks import stable_id
from gatewayz.dialects.openai_chat.forward import with_cost
from gatewayz.dialects.openai_chat.normal import CLIENT_FINISH, normal_message
from gatewayz.dialects.openai_chat.usual_answer import usual_facts

_CONTENT = ("content", "reasoning_content", "reasoning", "refusal")
_OTHER_CONTENT = ("audio", "images", "function_call", "reasoning_details")


def glance_answer(body: bytes) -> AnswerFacts:
    """What a plain answer says. Raises ValueError if these bytes are no answer (an error with status 200, say)."""
    return usual_facts(body) or facts_of(read_body(body))


def read_body(body: bytes) -> wire.Body:
    """The answer on the wire. Raises ValueError if it is none."""
    read = wire.body(body)
    if read.error or read.choices is None:
        raise ValueError("not a chat completion")
    if any(
        choice.finish_reason in wire.ERROR_FINISH for choice in read.choices if isinstance(choice.finish_reason, str)
    ):
        raise ValueError("the provider ended the answer with an error")
    return read


def facts_of(body: wire.Body) -> AnswerFacts:
    """What an answer on the wire says, for metering and records."""
    chars = 0
    empty = True
    finish = native = None
    for choice in body.choices or ():
        message = choice.message or {}
        size = content_chars(message) + (len(choice.text) if isinstance(choice.text, str) else 0)
        chars += size
        if size or any(_holds(message.get(name)) for name in _OTHER_CONTENT):
            empty = False
        reason = choice.finish_reason
        if finish is None and isinstance(reason, str) and reason:
            finish = wire.finish_reason(reason)
            own = choice.native_finish_reason
            native = own if isinstance(own, str) and own else reason
    upstream_id = body.id if isinstance(body.id, str) and body.id else None
    usage = wire.usage_of(body.usage, body.x_groq)
    usual = (
        upstream_id is not None
        and wire.is_told_as_charged(body.usage, usage)
        and not any(map(_unusual, body.choices or ()))
    )
    return AnswerFacts(usage, finish, native, upstream_id, empty, chars, usual=usual)


def _holds(value: Any) -> bool:
    """Whether a member says anything; some providers always send it, with empty members of its own."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def content_chars(message: dict[str, Any]) -> int:
    """Characters of text, reasoning, refusal and tool calls in a message."""
    chars = 0
    for name in _CONTENT:
        value = message.get(name)
        if value:
            chars += len(value) if isinstance(value, str) else len(json_text.dump(value))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            chars += len(str(function.get("name") or "")) + len(str(function.get("arguments") or ""))
    return chars


def forward_answer(
    body: bytes,
    voice: Voice,
    usage: Usage,
    cost_nano_usd: int,
    quirks: Quirks,
    provider: str = "",
    *,
    usual: bool = False,
) -> bytes:
    """The provider's answer with the client's model name and `usage.cost`; other members keep their bytes.

    All providers of this dialect are answered for alike, whatever `provider` is. Raises ValueError if these bytes are no
    JSON object.
    """
    fields: dict[str, Any] = json_text.members(body, may_be_deep=not usual)  # the glance looked
    for name in quirks.strip_answer_fields:
        fields.pop(name, None)
    if usual and voice.itemised is None and not usage.estimated and "usage" in fields and "object" in fields:
        fields["model"] = voice.model
        fields["usage"] = _and_cost(fields["usage"], cost_nano_usd)
        if "created" not in fields:
            fields["created"] = voice.created
        return json_text.dump(fields)
    native_id = json_text.load(fields["id"]) if "id" in fields else None
    if not isinstance(native_id, str) or not native_id:
        fields["id"] = stable_id(voice)
    fields.setdefault("object", "chat.completion")
    fields.setdefault("created", voice.created)
    fields["model"] = voice.model
    if "choices" in fields:
        fields["choices"] = _normal_choices(fields["choices"])
    reported = fields.get("usage")
    if reported is not None and bytes(reported).startswith(b"{"):
        fields["usage"] = with_cost(reported, usage, cost_nano_usd, voice.more(usage))
    else:
        fields["usage"] = wire.usage_members(usage, cost_nano_usd, voice.more(usage))
    return json_text.dump(fields)


def _and_cost(usage: msgspec.Raw, cost_nano_usd: int) -> msgspec.Raw:
    """A usage object that holds something, with its cost at the end."""
    return msgspec.Raw(b'%b,"cost":%b}' % (bytes(usage)[:-1].rstrip(), usd_text(cost_nano_usd).encode()))


def _normal_choices(raw: msgspec.Raw) -> Any:
    """The choices as sent, or edited if they hold what an OpenAI client would not understand."""
    choices = json_text.load(raw)
    if not isinstance(choices, list) or not any(isinstance(choice, dict) and _is_odd(choice) for choice in choices):
        return raw
    for choice in choices:
        if isinstance(choice, dict):
            normal_message(choice)
    return choices


def _unusual(choice: wire.Choice) -> bool:
    return _is_odd({"finish_reason": choice.finish_reason, "message": choice.message})


def _is_odd(choice: dict[str, Any]) -> bool:
    """Whether an OpenAI client would not understand this choice as it is."""
    reason = choice.get("finish_reason")
    message = choice.get("message")
    if not isinstance(reason, str) or reason not in CLIENT_FINISH or not isinstance(message, dict):
        return True
    if isinstance(message.get("reasoning"), str) or isinstance(message.get("content"), list):
        return True
    calls = message.get("tool_calls")
    return isinstance(calls, list) and any(
        isinstance(call, dict)
        and isinstance(call.get("function"), dict)
        and not isinstance(call["function"].get("arguments", ""), str)
        for call in calls
    )
