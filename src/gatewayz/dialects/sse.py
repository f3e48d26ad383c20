"""Server-sent events from bytes: a state machine without I/O, fast on plain streams and exact on odd ones.

LF, CRLF and CR end a line; comments, `id` and `retry` are skipped; several `data` lines make one event; a missing last
blank line is forgiven at `close`. Two habits of providers are understood beside the standard: a whole body that is no
event stream but one JSON document (an error with status 200) is one event, and so is a bare JSON line between events.
"""

Event = tuple[bytes, bytes]  # (name, data); the name is b"" if none was sent

DEFAULT_LIMIT_BYTES = 32 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_OPENING_BRACE = 0x7B
_COLON = 0x3A


class SseParser:
    """Bytes in any pieces -> the same events. `overflowed` is set when one event passes the limit; then it is deaf."""

    __slots__ = ("_data", "_json", "_limit", "_name", "_pieces", "_size", "_skip_lf", "_start", "overflowed")

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.overflowed = False
        self._limit = limit_bytes
        self._pieces: list[bytes] = []  # an unfinished line; joined only when its end arrives
        self._data: list[bytes] = []  # data lines of the unfinished event
        self._name = b""
        self._size = 0  # bytes held in _pieces and _data
        self._skip_lf = False  # the last byte was CR: a LF at the start of the next piece belongs to it
        self._start = True  # nothing but byte order mark and blanks seen yet
        self._json = False  # the body is one JSON document

    @property
    def is_between_events(self) -> bool:
        """Whether the next byte begins an event, of a stream that has begun."""
        held = self._pieces or self._data or self._name or self._skip_lf
        return not (held or self._start or self._json or self.overflowed)

    def feed(self, data: bytes) -> list[Event]:
        """The events completed by these bytes. Time is linear in all bytes fed, however they are cut."""
        if self._start or self._skip_lf or self._json or self.overflowed:
            data = self._unusual(data)
        if not data:
            return []
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._keep(data)
            return []
        if self._pieces:
            self._pieces.append(data)
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._size = sum(map(len, self._data))
        events: list[Event] = []
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        for block in blocks:
            self._block(block, events)
        if rest:
            complete, _, unfinished = rest.rpartition(b"\n")
            if len(complete) + len(unfinished) < len(rest):
                for line in complete.split(b"\n"):
                    self._line(line, events)
            if unfinished:
                self._keep(unfinished)
        return events

    def close(self) -> list[Event]:
        """The event that the end of the bytes completes, if any."""
        events: list[Event] = []
        if self.overflowed:
            return events
        last = b"".join(self._pieces)
        self._pieces.clear()
        if self._json:
            return [(b"", last)]
        if last:
            self._line(last, events)
        self._dispatch(events)
        return events

    def _block(self, block: bytes, events: list[Event]) -> None:
        """Lines up to a blank line; the two usual shapes are cut without looking at each line."""
        if len(block) > self._limit:
            self._overflow()
        if self.overflowed:
            return
        if not self._data and not self._name:
            if block.startswith(b"data: "):
                if b"\n" not in block:
                    events.append((b"", block[6:]))
                    return
            elif block.startswith(b"event: "):
                name, found, rest = block[7:].partition(b"\ndata: ")
                if found and b"\n" not in rest and b"\n" not in name:
                    events.append((name, rest))
                    return
        for line in block.split(b"\n"):
            self._line(line, events)
        self._dispatch(events)

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._dispatch(events)
            return
        first = line[0]
        if first == _COLON:
            return
        if first == _OPENING_BRACE:
            self._dispatch(events)
            self._hold(line)
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            self._hold(value)
        elif field == b"event":
            self._name = value

    def _dispatch(self, events: list[Event]) -> None:
        if self._data and not self.overflowed:
            events.append((self._name, b"\n".join(self._data)))
        self._data.clear()
        self._name = b""
        self._size = 0

    def _hold(self, value: bytes) -> None:
        self._data.append(value)
        self._grow(len(value) + 1)

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._grow(len(piece))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            self._overflow()

    def _overflow(self) -> None:
        self.overflowed = True
        self._pieces.clear()
        self._data.clear()

    def _unusual(self, data: bytes) -> bytes:
        """What is left to parse after the rare states: the very start, a split CRLF, a JSON body, overflow."""
        if self.overflowed:
            return b""
        if self._skip_lf and data:
            self._skip_lf = False
            if data.startswith(b"\n"):
                data = data[1:]
        if self._start:
            data = self._begin(data)
        if self._json and data:
            self._keep(data)
            return b""
        return data

    def _begin(self, data: bytes) -> bytes:
        if self._pieces:
            data = b"".join(self._pieces) + data
            self._pieces.clear()
            self._size = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            if data:
                self._keep(data)
            return b""
        text = data.removeprefix(_BOM).lstrip(b" \t\r\n")
        if not text:
            if data:
                self._keep(b" ")  # a byte order mark is one at the very start only
            return b""
        self._start = False
        self._json = text[:1] in (b"{", b"[")
        return text
