"""AWS's binary event stream from bytes: a state machine without I/O. Every checksum is looked at; a frame is bounded.

A frame is: its length, the length of its headers, a checksum of both; headers; payload; a checksum of everything before.
Whatever does not fit makes the stream broken, and from then on nothing more is read: a frame in the wrong place could be
shown as an answer. A body that is one JSON document instead (an error of something in between) is given as it is at `close`.
"""

import struct
from zlib import crc32

Frame = tuple[dict[str, str], bytes]  # headers, of which only texts are kept, and payload

MOST_HEADER_BYTES = 128 * 1024  # both as AWS limits them
MOST_PAYLOAD_BYTES = 24 * 1024 * 1024
_AROUND = 16  # prelude and last checksum
_MOST_FRAME_BYTES = _AROUND + MOST_HEADER_BYTES + MOST_PAYLOAD_BYTES
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_SHORT = struct.Struct(">H")
# Bytes of header values by type; 6 and 7 (bytes and text) tell their length themselves.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _TEXT = 6, 7


class EventStreamParser:
    """Bytes in any pieces -> the same frames. `broken` says what is wrong; `overflowed`: it is the size of a frame."""

    __slots__ = ("_held", "_json", "_start", "broken", "overflowed")

    def __init__(self) -> None:
        self.broken: str | None = None
        self.overflowed = False
        self._held = bytearray()
        self._start = True
        self._json = False  # the body is one JSON document

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by these bytes. Time is linear in all bytes fed, however they are cut."""
        frames: list[Frame] = []
        if self.broken is not None or not data:
            return frames
        held = self._held
        held += data
        if self._start:
            self._start = False
            self._json = held[0] in b"{["  # as a length it would be above every limit
        if self._json:
            if len(held) > _MOST_FRAME_BYTES:
                self._overflow()
            return frames
        place = 0
        while len(held) - place >= _PRELUDE.size:
            size, header_size, checksum = _PRELUDE.unpack_from(held, place)
            if not self._fits(size, header_size, checksum, held, place) or len(held) - place < size:
                break
            frame = bytes(held[place : place + size])
            place += size
            if _CRC.unpack_from(frame, size - 4)[0] != crc32(memoryview(frame)[:-4]):
                self.broken = "the checksum of an event is wrong"
                break
            headers = _headers(frame[_PRELUDE.size : _PRELUDE.size + header_size])
            if headers is None:
                self.broken = "the headers of an event cannot be read"
                break
            frames.append((headers, frame[_PRELUDE.size + header_size : -4]))
        del held[:place]
        return frames

    def close(self) -> bytes | None:
        """The JSON document that the body was, None if it was none; says that it is broken if it ends within a frame."""
        if self._json and self.broken is None:
            return bytes(self._held)
        if self._held and self.broken is None:
            self.broken = "the stream ends within an event"
        return None

    def _fits(self, size: int, header_size: int, checksum: int, held: bytearray, place: int) -> bool:
        if crc32(held[place : place + 8]) != checksum:
            self.broken = "the checksum of an event's beginning is wrong"
        elif size < header_size + _AROUND:
            self.broken = "an event is shorter than its parts"
        elif header_size > MOST_HEADER_BYTES or size > _MOST_FRAME_BYTES:
            self._overflow()
        return self.broken is None

    def _overflow(self) -> None:
        self.overflowed = True
        self.broken = "one event of the stream is too large"
        self._held.clear()


def _headers(data: bytes) -> dict[str, str] | None:
    """The headers that are texts; None if these bytes are no headers."""
    found: dict[str, str] = {}
    place = 0
    try:
        while place < len(data):
            name_end = place + 1 + data[place]
            name, kind = data[place + 1 : name_end], data[name_end]
            place = name_end + 1
            if kind in (_BYTES, _TEXT):
                size = _SHORT.unpack_from(data, place)[0]
                place += 2
            else:
                size = _SIZES[kind]
            value = data[place : place + size]
            place += size
            if place > len(data):
                return None
            if kind == _TEXT:
                found[name.decode()] = value.decode()
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        return None
    return found
