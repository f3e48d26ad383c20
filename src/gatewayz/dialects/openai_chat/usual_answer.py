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


class _ToldUsage(wire.UsualUsage):
    cost: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(min_length=1)]
    choices: tuple[_Choice]
    usage: _ToldUsage
    error: None = None


class _OddlyMetered(msgspec.Struct):
    """The same with a usage of any form."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    choices: tuple[_Choice]
    usage: msgspec.Raw
    error: None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_ODDLY_METERED = msgspec.json.Decoder(_OddlyMetered)
_ANY = msgspec.json.Decoder()
_NOT_SO = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def usual_facts(body: bytes) -> AnswerFacts | None:
    """What a plain answer of the usual form says; None if it has another one, or is no answer at all.

    Raises ValueError if it nests too deeply.
    """
    answer: _Answer | _OddlyMetered
    try:
        answer = _ANSWER.decode(body)
        usage, is_told = wire.as_told(answer.usage), not answer.usage.cost
    except _NOT_SO:
        usage = None
    if usage is None:
        found = _oddly_metered(body)
        if found is None:
            return None
        answer, usage, is_told = found
    json_text.refuse_deep(body)
    choice = answer.choices[0]
    message, finish = choice.message, choice.finish_reason
    chars = len(message.content or "")
    if message.refusal or message.reasoning_content or message.reasoning or message.tool_calls:
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


def _oddly_metered(body: bytes) -> tuple[_OddlyMetered, Usage, bool] | None:
    """An answer of the usual form but for its usage, its counts, and whether they lack nothing but the cost as charged.

    None if the form or the counts cannot be read.
    """
    try:
        answer = _ODDLY_METERED.decode(body)
        members = _ANY.decode(answer.usage)
    except _NOT_SO:
        return None
    usage = wire.usage_of(members)
    return (answer, usage, wire.is_told_as_charged(members, usage)) if usage is not None else None


def _other_chars(message: _Message) -> int:
    """Characters of a refusal, of reasoning and of tool calls."""
    chars = len(message.refusal or "") + len(message.reasoning_content or "") + len(message.reasoning or "")
    for call in message.tool_calls or ():
        if call.function is not None:
            chars += len(call.function.name or "") + len(call.function.arguments)
    return chars
