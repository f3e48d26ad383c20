"""Runs of events that differ in their text alone: the usual middle of a stream, taken many at once.

A provider writes all events of one text with the same bytes before and after it. Once such an event has been understood,
others that begin and end alike mean the same: their texts are looked at together, and none of them is parsed by itself.
Whatever is not exactly so is left to the parser.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gatewayz.dialects.sse import Event, SseParser

# The inside of a JSON string whose escapes are one character each; several, with line feeds between them.
_TEXT = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt])*+')
_TEXTS = re.compile(rb'(?:[^"\\\x00-\x09\x0b-\x1f]++|\\["\\/bfnrt])*+')
_ESCAPE = re.compile(rb"\\.")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]++')
# OpenAI fills its events up with letters, so that their size on the wire does not betray the text. Cloudflare does, too.
_PADDINGS = (b',"obfuscation":"', b',"p":"')
# Events of one look at a read, whatever its size.
_AT_ONCE = 64
# Runs of fewer events save little of what it takes to look for them. After some of those, the rest of a read is parsed.
_WORTHWHILE, _SHORT_ONES = 4, 4
# Events in a row outside of runs until none are looked for any more: each has another form, or is known to the parser alone.
_PATIENCE = 16


class Taken(NamedTuple):
    """So many events of a run: what the client is shown for them, their own bytes, and the characters of their texts."""

    shown: bytes
    size: int
    events: int
    chars: int


class Run:
    """What the events of a run have in common."""

    __slots__ = ("_between", "_head", "_padding", "_shown_between", "_shown_head", "_shown_tail", "_tail")

    def __init__(self, heads: tuple[bytes, bytes], padding: bytes, tails: tuple[bytes, bytes]) -> None:
        """Bytes before and after what differs, as they come and as they are shown.

        With `padding`, those bytes stand between the text and letters that mean nothing.
        """
        self._head, self._shown_head = heads
        self._padding = padding
        self._tail, self._shown_tail = tails
        self._between = self._tail + self._head
        self._shown_between = self._shown_tail + self._shown_head

    def take(self, data: bytes) -> Taken | None:
        """The events at the beginning of these bytes that belong to the run; None if there is none.

        The bytes must begin where an event does. Time is linear in them.
        """
        head = self._head
        if not data.startswith(head):
            return None
        # Mostly there is one event.
        if data.endswith(self._tail) and len(data) >= len(self._between):
            text = piece = data[len(head) : -len(self._tail)]
            letters = b"none"
            if self._padding:
                text, _, letters = piece.partition(self._padding)
            if _TEXT.fullmatch(text) and letters.isalnum():
                if text.isascii() and b"\\" not in text:
                    return Taken(self._shown_head + piece + self._shown_tail, len(data), 1, len(text))
                return self._taken([piece], text)
        # Head and tail are whole lines with the blank one between them, so that no event can end inside of a piece.
        pieces = data[len(head) :].split(self._between, _AT_ONCE)
        last, whole, _ = pieces[-1].partition(self._tail)
        if whole:
            pieces[-1] = last
        else:
            pieces.pop()
        texts = self._texts(pieces) if self._padding else pieces
        joined = b"\n".join(texts)
        if not texts or (end := _end_of_texts(joined)) < 0:
            return None
        if end < len(joined):  # one has an escape of another kind, or is followed by another event
            joined = joined[:end]
            texts = texts[: joined.count(b"\n") + 1]
            if b"\n".join(texts) != joined:
                return None
        elif joined.count(b"\n") >= len(texts):
            return None
        return self._taken(pieces[: len(texts)], joined)

    def _texts(self, pieces: list[bytes]) -> list[bytes]:
        """The texts without their padding, up to the first piece that has another form."""
        texts = []
        for piece in pieces:
            text, _, letters = piece.partition(self._padding)
            if not letters.isalnum():
                break
            texts.append(text)
        return texts

    def _taken(self, pieces: list[bytes], joined: bytes) -> Taken | None:
        count = len(pieces)
        try:
            chars = len(joined) if joined.isascii() else len(joined.decode())
        except UnicodeDecodeError:  # characters that were cut in two between events
            return None
        chars -= count - 1
        if b"\\" in joined:
            chars -= len(_ESCAPE.findall(joined))
        shown = self._shown_head + self._shown_between.join(pieces) + self._shown_tail
        size = sum(map(len, pieces)) + count * len(self._between)
        return Taken(shown, size, count, chars)


def _end_of_texts(joined: bytes) -> int:
    """Where the texts end that can be taken as they are; -1 if the first is none."""
    found = _TEXTS.match(joined)
    end = found.end() if found else 0
    return end if end == len(joined) else joined.rfind(b"\n", 0, end)


def learn(event: bytes, shown: bytes, members: tuple[bytes, bytes], text: str) -> Run | None:
    """The run that an event belongs to: its bytes, what the client is shown for it, and the text that it carries.

    `members` are the names of the text's member in both. None if the text cannot be told from what surrounds it.
    """
    raw = text.encode("utf-8", "surrogatepass")
    if not _PLAIN.fullmatch(raw):
        return None
    begins, shown_begins = _place(event, members[0], raw), _place(shown, members[1], raw)
    if begins < 0 or shown_begins < 0:
        return None
    tail, shown_tail = event[begins + len(raw) :], shown[shown_begins + len(raw) :]
    padding = b""
    mark = next((each for each in _PADDINGS if tail.count(each) == 1), None)
    if mark is not None:
        before, _, after = tail.partition(mark)
        padding = before + mark
        letters, quote, rest = after.partition(b'"')
        if not letters.isalnum() or not shown_tail.startswith(padding + letters + quote):
            return None
        tail, shown_tail = quote + rest, shown_tail[len(padding) + len(letters) :]
    heads = event[:begins], shown[:shown_begins]
    return Run(heads, padding, (tail, shown_tail))


def _place(where: bytes, member: bytes, raw: bytes) -> int:
    """Where the value of the only member of this name begins, if that is the text; -1 otherwise."""
    name = b'"%s":' % member
    at = where.find(name)
    if at < 0 or where.count(name) > 1:
        return -1
    at += len(name)
    if where.startswith(b' "', at):
        at += 1
    return at + 1 if where.startswith(b'"%s"' % raw, at) else -1


class RunParser:
    """An `SseParser` that takes runs at once, as soon as it has been taught one."""

    __slots__ = ("_between", "_parser", "_patience", "_run")

    def __init__(self) -> None:
        self._parser = SseParser()
        self._run: Run | None = None
        self._between = False
        self._patience = _PATIENCE

    @property
    def overflowed(self) -> bool:
        """See `SseParser`."""
        return self._parser.overflowed

    @property
    def learns(self) -> bool:
        """Whether there is use in teaching it another run."""
        return self._patience > 0

    def teach(self, run: Run | None) -> None:
        """The run that goes on from here; None: nothing more is taken at once."""
        self._run = run
        if run is None:
            self._patience = 0

    def feed(self, data: bytes) -> Taken | Iterable[Event | Taken]:
        """See `SseParser`; to be gone through before more is fed. An event may teach a run for those after it.

        The usual bytes, which all belong to the run, are told as such at once.
        """
        if self._patience <= 0:
            return self._parser.feed(data)
        taken = self._run.take(data) if self._run is not None and self._between else None
        if taken is not None and taken.size == len(data):
            self._patience = _PATIENCE
            return taken
        return self._fed(data, taken)

    def close(self) -> list[Event]:
        """See `SseParser`."""
        return self._parser.close()

    def _fed(self, data: bytes, taken: Taken | None) -> Iterator[Event | Taken]:
        """Run by run, and between runs event by event, as long as that is worth while."""
        parser, short = self._parser, 0
        while True:
            if taken is not None:
                self._patience = _PATIENCE
                short += taken.events < _WORTHWHILE
                yield taken
                data = data[taken.size :]
            else:
                self._patience -= 1
                end = data.find(b"\n\n") + 2
                if self._patience <= 0 or short >= _SHORT_ONES or end < 2:
                    break
                yield from parser.feed(data[:end])
                self._between = parser.is_between_events
                data = data[end:]
            if not data:
                return
            taken = None
            if self._run is not None and self._between:
                taken = self._run.take(data)
                short += taken is None
        yield from parser.feed(data)
        self._between = parser.is_between_events
