"""Where what the gateway says of its decision stands in an answer: a place that no official client stumbles over.

A plain answer has it as its last members. In a stream of OpenAI's dialects they are in a chunk without choices before the
terminator; in one of Anthropic's the gateway's own is an event with a name of its own before `message_stop`, which clients pass
over, and OpenRouter's stands in `message_stop`, where OpenRouter puts it.
"""

from collections.abc import Mapping
from typing import Any

from gatewayz.dialects import json_text
from gatewayz.dialects.anthropic.forward import MESSAGE_STOP
from gatewayz.dialects.anthropic.wire import sse as named_event
from gatewayz.dialects.base import Voice
from gatewayz.dialects.openai_chat.chunks import DONE, sse, stable_id

MEMBER = "gatewayz"
_OBJECTS = {"openai": "chat.completion.chunk", "openai_completions": "text_completion"}


def in_answer(body: bytes, told: Mapping[str, Any]) -> bytes:
    """The answer, or error, with these members; as it is, if it is no JSON object."""
    whole = body.rstrip()
    if not told or not (whole.startswith(b"{") and whole.endswith(b"}")) or len(whole) < 3:
        return body
    return whole[:-1] + b"," + json_text.dump(dict(told))[1:]


def in_stream(dialect: str, tail: bytes, voice: Voice, native_id: str | None, told: Mapping[str, Any]) -> bytes:
    """The end of a stream with these members; as it is, in a dialect that has no place for them.

    `native_id` is the provider's id of the answer.
    """
    if dialect in _OBJECTS and tail.endswith(DONE):
        members: dict[str, Any] = {
            "id": stable_id(voice, native_id),
            "object": _OBJECTS[dialect],
            "created": voice.created,
            "model": voice.model,
            "choices": [],
            **told,
        }
        return tail.removesuffix(DONE) + sse(json_text.dump(members)) + DONE
    if dialect != "anthropic" or not tail.endswith(MESSAGE_STOP):
        return tail
    own = {name: value for name, value in told.items() if name != MEMBER}
    event = named_event(b"gatewayz", json_text.dump({"type": MEMBER, **told[MEMBER]})) if MEMBER in told else b""
    stop = named_event(b"message_stop", json_text.dump({"type": "message_stop", **own}))
    return tail.removesuffix(MESSAGE_STOP) + event + stop
