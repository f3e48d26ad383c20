"""Which conversation is this? A short digest that is the same for every turn. Pure.

Turns of a conversation share their beginning, and providers cache prompts by their beginning; so the digest is taken over
it: the system text and the messages (or instructions and input) up to the first of the user. A client that names its
conversation (`prompt_cache_key`, `session_id`) is believed instead.
"""

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

# Bounds the work for prompts of any length: longer beginnings are told apart by this much of them.
LOOKED_AT_BYTES = 32 * 1024
_NAMED_BY = ("prompt_cache_key", "session_id")
_NOTHING = frozenset({b"", b"null", b'""'})
# Clients move their cache marks to the newest message at every turn, so the same message comes with and without one.
_MARKED = b'"cache_control"'
_MARK = re.compile(rb'"cache_control"\s*:\s*(?:\{[^{}]*\}|null)')
_COMMA = re.compile(rb"\s*,\s*")
_MARKS_BYTES = 4096
_BETWEEN = re.compile(r"[\s,]*")
_READER = json.JSONDecoder(strict=False)


def conversation_key(account_id: int, model_id: str, fields: Mapping[str, Any], user: str | None) -> bytes:
    """The digest of the conversation to which a request belongs (16 bytes).

    `fields` are the top-level members of the body as bytes, `user` is the end user that the client names. Two accounts,
    two models or two end users never share a conversation.
    """
    digest = blake2b(f"{account_id} {model_id} ".encode(), digest_size=16)
    for name in _NAMED_BY:
        value = bytes(fields.get(name, b""))
        if value not in _NOTHING:
            digest.update(name.encode() + value)
            return digest.digest()
    if user is not None:
        digest.update(f"user {len(user)} {user}".encode("utf-8", "surrogatepass"))
    system = _unmarked(fields.get("system") or fields.get("systemInstruction") or fields.get("instructions", b""))
    digest.update(b"%d " % len(system) + system)
    digest.update(
        _until_first_user(_unmarked(fields.get("messages") or fields.get("contents") or fields.get("input", b"")))
    )
    return digest.digest()


def _unmarked(raw: Any) -> bytes:
    """The beginning of a JSON text without cache marks, each with the comma that joined it to its neighbours."""
    text = bytes(memoryview(raw)[: LOOKED_AT_BYTES + _MARKS_BYTES])
    if _MARKED not in text:
        return text[:LOOKED_AT_BYTES]
    parts: list[bytes] = []
    done = 0
    for mark in _MARK.finditer(text):
        before, done = text[done : mark.start()].rstrip(), mark.end()
        if before.endswith(b","):
            before = before[:-1].rstrip()
        elif (comma := _COMMA.match(text, done)) is not None:
            done = comma.end()
        parts.append(before)
    return b"".join((*parts, text[done:]))[:LOOKED_AT_BYTES]


def _until_first_user(messages: bytes) -> bytes:
    """The messages up to the first of the user; all of it if that one does not end within what is looked at."""
    text = messages.decode("latin-1")  # keeps every byte in its place, also of a character that was cut
    at = 1
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # matches everywhere
        try:
            message, at = _READER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return messages
        if isinstance(message, dict) and message.get("role") == "user":
            return messages[:at]
