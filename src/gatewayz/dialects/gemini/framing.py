"""How the chunks of a stream are joined: as events with `alt=sse`, else as the items of one JSON array."""

from typing import Protocol


class Framing(Protocol):
    """Puts chunks, each one JSON object, into a stream. One for each stream."""

    def chunk(self, payload: bytes) -> bytes:
        """The bytes of one more chunk."""
        ...

    def end(self) -> bytes:
        """The bytes behind the last chunk."""
        ...


class Events:
    """Server-sent events without names and without a terminator."""

    def chunk(self, payload: bytes) -> bytes:
        """See `Framing`."""
        if b"\n" in payload or b"\r" in payload:
            payload = payload.replace(b"\n", b" ").replace(b"\r", b" ")  # between tokens, as texts hold none
        return b"data: " + payload + b"\r\n\r\n"

    def end(self) -> bytes:
        """See `Framing`."""
        return b""


class Array:
    """One JSON array."""

    def __init__(self) -> None:
        self._begun = False

    def chunk(self, payload: bytes) -> bytes:
        """See `Framing`."""
        start = b",\r\n" if self._begun else b"["
        self._begun = True
        return start + payload

    def end(self) -> bytes:
        """See `Framing`."""
        return b"]" if self._begun else b"[]"
