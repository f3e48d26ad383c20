"""Where an explanation of the gateway stands in an answer: a place that no official client stumbles over.

A plain answer has it as its last member, `gatewayz`. In a stream of OpenAI's dialects it is a chunk without choices before
the terminator; in one of Anthropic's an event of a name of its own before `message_stop`, which clients pass over.
"""

from typing import Any

from gatewayz.dialects import json_text
from gatewayz.dialects.base import Voice
from gatewayz.dialects.openai_chat.chunks import DONE, sse, stable_id

MEMBER = "gatewayz"
_STOP = b"event: message_stop"
_OBJECTS = {"openai": "chat.completion.chunk", "openai_completions": "text_completion"}


def in_answer(body: bytes, told: dict[str, Any]) -> bytes:
    """The answer, or error, with the explanation; as it is, if it is no JSON object."""
    whole = body.rstrip()
    if not (whole.startswith(b"{") and whole.endswith(b"}")) or len(whole) < 3:
        return body
    return b'%s,"%s":%s}' % (whole[:-1], MEMBER.encode(), json_text.dump(told))


def in_stream(dialect: str, tail: bytes, voice: Voice, native_id: str | None, told: dict[str, Any]) -> bytes:
    """The end of a stream with the explanation; as it is, in a dialect that has no place for it.

    `native_id` is the provider's id of the answer.
    """
    if dialect in _OBJECTS and tail.endswith(DONE):
        members: dict[str, Any] = {
            "id": stable_id(voice, native_id),
            "object": _OBJECTS[dialect],
            "created": voice.created,
            "model": voice.model,
            "choices": [],
            MEMBER: told,
        }
        return tail.removesuffix(DONE) + sse(json_text.dump(members)) + DONE
    place = tail.rfind(_STOP) if dialect == "anthropic" else -1
    if place < 0:
        return tail
    event = b"event: gatewayz\ndata: %s\n\n" % json_text.dump({"type": MEMBER, **told})
    return tail[:place] + event + tail[place:]
