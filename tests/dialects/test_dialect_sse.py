"""The event parser: every line ending, every split, every oddity that a provider has shown."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.dialects.sse import Event, SseParser


def parse(pieces: list[bytes], limit: int = 1_000_000) -> tuple[list[Event], bool]:
    parser = SseParser(limit)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.close(), parser.overflowed


CASES: list[tuple[str, bytes, list[Event]]] = [
    ("plain", b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    ("crlf", b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
    ("cr", b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    ("mixed", b"event: x\r\ndata: a\n\r\ndata: b\r\n\n", [(b"x", b"a"), (b"", b"b")]),
    ("named", b"event: x\ndata: a\n\n", [(b"x", b"a")]),
    ("name after data", b"data: a\nevent: x\n\n", [(b"x", b"a")]),
    ("no space", b"data:a\n\nevent:y\ndata:b\n\n", [(b"", b"a"), (b"y", b"b")]),
    ("one space only is cut", b"data:  a\n\n", [(b"", b" a")]),
    ("several data lines", b"data: a\ndata:\ndata: b\n\n", [(b"", b"a\n\nb")]),
    ("comments", b": hi\n\n: ho\ndata: a\n: he\n\n", [(b"", b"a")]),
    ("id and retry", b"id: 7\nretry: 10\ndata: a\n\n", [(b"", b"a")]),
    ("field without colon", b"data\n\n", [(b"", b"")]),
    ("name without data is dropped", b"event: x\n\ndata: a\n\n", [(b"", b"a")]),
    ("many blank lines", b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    ("no last blank line", b"data: a\n\ndata: b\n", [(b"", b"a"), (b"", b"b")]),
    ("no last line end", b"data: a\n\ndata: b", [(b"", b"a"), (b"", b"b")]),
    ("byte order mark", b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    ("leading blanks", b"\r\n\n data: a\n\n", [(b"", b"a")]),
    ("non-ascii", "data: ü💡\n\n".encode(), [(b"", "ü💡".encode())]),
    ("a body that is one document", b'{"error":\n {"a":1}}\n', [(b"", b'{"error":\n {"a":1}}\n')]),
    ("an array document", b"\n[1,\n\n2]", [(b"", b"[1,\n\n2]")]),
    ("a bare line between events", b'data: a\n\n{"error":1}\n\n', [(b"", b"a"), (b"", b'{"error":1}')]),
    ("html is nothing", b"<html>\n<body>\n\nx</body></html>", []),
    ("nothing", b"", []),
    ("only blanks", b" \r\n\r\n", []),
]


@pytest.mark.parametrize(("stream", "events"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_events_are_the_same_however_the_bytes_are_cut(stream: bytes, events: list[Event]) -> None:
    assert parse([stream]) == (events, False)
    assert parse([stream[i : i + 1] for i in range(len(stream))]) == (events, False)
    for cut in range(len(stream) + 1):
        assert parse([stream[:cut], b"", stream[cut:]]) == (events, False), cut


def test_an_event_is_given_out_as_soon_as_its_blank_line_is_there() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\n") == [(b"", b"a")]
    assert parser.feed(b"data: b\r\n\r") == [(b"", b"b")]
    assert parser.feed(b"\ndata: c\n\n") == [(b"", b"c")]


@given(
    st.lists(st.sampled_from([b"data: x", b"data:", b"event: n", b": c", b"\n", b"\r\n", b"\r", b"{", b"\xff", b" "]))
)
def test_any_lines_in_any_split_give_equal_events(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    assert parse(parts) == parse([stream]) == parse([stream[i : i + 1] for i in range(len(stream))])


@given(st.lists(st.binary(max_size=40)))
def test_arbitrary_bytes_never_raise_and_split_does_not_matter(pieces: list[bytes]) -> None:
    assert parse(pieces) == parse([b"".join(pieces)])


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_an_event_above_the_limit_is_reported_and_ends_the_hearing(size: int) -> None:
    stream = b"data: ok\n\ndata: " + b"x" * 5_000 + b"\n\ndata: more\n\n"
    events, overflowed = parse([stream[i : i + size] for i in range(0, len(stream), size)], limit=2_000)
    assert (events, overflowed) == ([(b"", b"ok")], True)


def test_many_data_lines_count_towards_the_limit() -> None:
    assert parse([b"data: xxxxxxxx\n"] * 1_000, limit=2_000) == ([], True)


def test_a_large_event_in_small_pieces_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        piece = b"x" * 100
        parser = SseParser()
        started = time.process_time()
        parser.feed(b"data: ")
        for _ in range(size // len(piece)):
            parser.feed(piece)
        (event,) = parser.feed(b"\n\n")
        assert len(event[1]) == size
        return time.process_time() - started

    small = min(seconds(200_000) for _ in range(3))
    large = min(seconds(3_200_000) for _ in range(2))
    assert large < 16 * small * 6 + 0.05, "sixteen times the bytes, not two hundred times the time"
