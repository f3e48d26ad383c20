"""Building single chunks of a streamed answer for an OpenAI client."""

from typing import Any

from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Voice
from gatewayz.dialects.openai_chat.wire import usage_members

DONE = b"data: [DONE]\n\n"


def stable_id(voice: Voice, native: Any = None) -> str:
    """The provider's id of the answer, or one made of the request's own."""
    return native if isinstance(native, str) and native else f"chatcmpl-{voice.request_id}"


def sse(payload: bytes) -> bytes:
    """One event of an OpenAI stream."""
    if b"\n" in payload:
        payload = payload.replace(b"\n", b" ")  # between tokens, as texts hold none; not all clients join lines
    return b"data: " + payload + b"\n\n"


def chunk(voice: Voice, chunk_id: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A chunk as JSON value; `usage` is null where the client asked for usage and this chunk carries none."""
    members: dict[str, Any] = {
        "id": chunk_id,
        "object": "chat.completion.chunk",
        "created": voice.created,
        "model": voice.model,
        "choices": choices,
    }
    if voice.include_usage:
        members["usage"] = None
    members.update(more)
    return members


def usage_chunk(voice: Voice, chunk_id: str, usage: Usage, cost_nano_usd: int) -> bytes:
    """The event that reports usage, without choices."""
    return sse(json_text.dump(chunk(voice, chunk_id, [], usage=usage_members(usage, cost_nano_usd, voice.more(usage)))))
