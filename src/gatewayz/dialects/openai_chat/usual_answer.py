"""The plain answer that nearly every provider sends, read in one step by its form.

The form is narrow: one choice, texts that are texts, a reason to finish that every client knows. What does not fit it is not
refused but left to `answer_forward`, which takes every answer member by member; where both can read, they read the same.
"""

from typing import Annotated, Literal

import msgspec

from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import AnswerFacts
from gatewayz.dialects.openai_chat import wire


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    audio: None = None
    images: None = None
    function_call: None = None
    reasoning_details: None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
    native_finish_reason: str | None = None
    delta: None = None
    text: None = None


class _Answer(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    choices: tuple[_Choice]
    usage: msgspec.Raw
    error: None = None


class _ToldUsage(wire.UsualUsage):
    cost: msgspec.Raw = msgspec.Raw()


_ANSWER = msgspec.json.Decoder(_Answer)
_USAGE = msgspec.json.Decoder(_ToldUsage)
_ANY = msgspec.json.Decoder()
_NOT_SO = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def usual_facts(body: bytes) -> AnswerFacts | None:
    """What a plain answer of the usual form says; None if it has another one, or is no answer at all.

    Raises ValueError if it nests too deeply.
    """
    try:
        answer = _ANSWER.decode(body)
    except _NOT_SO:
        return None
    json_text.refuse_deep(body)
    usage, is_told = _usage(answer.usage)
    if usage is None:
        return None
    choice = answer.choices[0]
    message, finish = choice.message, choice.finish_reason
    chars = len(message.content or "") + len(message.refusal or "")
    if message.reasoning_content or message.reasoning or message.tool_calls:
        chars += _other_chars(message)
    return AnswerFacts(
        usage,
        wire.FINISH_REASONS[finish],
        choice.native_finish_reason or finish,
        answer.id,
        not chars,
        chars,
        usual=is_told and message.reasoning is None,
    )


def _usage(raw: msgspec.Raw) -> tuple[Usage | None, bool]:
    """The counts of a `usage` member, None if none can be read; and whether it lacks nothing but the cost as charged."""
    try:
        told = _USAGE.decode(raw)
        usage = wire.as_told(told)
        if usage is not None:
            return usage, not told.cost
    except _NOT_SO:
        pass
    try:
        members = _ANY.decode(raw)
    except _NOT_SO:
        return None, False
    usage = wire.usage_of(members)
    return usage, wire.is_told_as_charged(members, usage)


def _other_chars(message: _Message) -> int:
    """Characters of reasoning and tool calls."""
    chars = len(message.reasoning_content or "") + len(message.reasoning or "")
    for call in message.tool_calls or ():
        if call.function is not None:
            chars += len(call.function.name or "") + len(call.function.arguments)
    return chars
