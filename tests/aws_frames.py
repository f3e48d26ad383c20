"""Frames of AWS's binary event stream, made by hand."""

import json
import struct
import zlib
from typing import Any


def frame(headers: bytes, payload: bytes) -> bytes:
    """One frame around headers that are bytes already."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    data = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return data + struct.pack(">I", zlib.crc32(data))


def text_header(name: str, value: str) -> bytes:
    """One header that is a text."""
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()


def event(name: str, payload: Any, *, kind: str = "event") -> bytes:
    """One event (or exception) as AWS frames it; `payload` is JSON or the bytes themselves."""
    named = text_header(f":{kind}-type", name) + text_header(":content-type", "application/json")
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return frame(named + text_header(":message-type", kind), data)


def events(*pieces: tuple[str, Any]) -> bytes:
    """A stream of these events."""
    return b"".join(event(name, payload) for name, payload in pieces)


def delta(value: dict[str, Any], place: int = 0) -> tuple[str, Any]:
    """A delta of a block."""
    return "contentBlockDelta", {"contentBlockIndex": place, "delta": value}
