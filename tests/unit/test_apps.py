"""What applications say of themselves is kept in a form that can be shown: an origin, a name on one line, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.operations.apps import LONGEST_ORIGIN, LONGEST_TITLE, UNKNOWN, App, app_id, app_of, origin_of, title_of


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        (b"https://app.example", "https://app.example"),
        (b"https://app.example/chat?user=1#top", "https://app.example"),
        (b" HTTPS://App.Example:443/ ", "https://app.example"),
        (b"http://localhost:3000/", "http://localhost:3000"),
        (b"http://[::1]:8080/x", "http://[::1]:8080"),
        (b"https://name:secret@app.example/", "https://app.example"),
        (b"app.example", None),
        (b"javascript:alert(1)", None),
        (b"file:///etc/passwd", None),
        (b"https://", None),
        (b"https://app.example:99999/", None),
        (b"https://app example/", None),
        (b"https://<script>/", None),
        ("https://äpp.example".encode(), None),
        (b"https://" + b"a" * 300, None),
        (b"", None),
    ],
)
def test_an_address_becomes_its_origin_or_nothing(address: bytes, origin: str | None) -> None:
    assert origin_of(address) == origin


@pytest.mark.parametrize(
    ("title", "name"),
    [
        (b"My App", "My App"),
        ("Mäh 🐑".encode(), "Mäh 🐑"),
        ("Mäh".encode("latin-1"), "Mäh"),
        (b"  two\t words\x00\x07\x1b[31m ", "two words[31m"),
        ("a\u202eb\u200bc".encode(), "abc"),
        (b"x" * 500, "x" * LONGEST_TITLE),
        (b" \x00 ", None),
        (b"", None),
    ],
)
def test_a_title_is_one_clean_line(title: bytes, name: str | None) -> None:
    assert title_of(title) == name


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_whatever_is_sent_what_is_kept_can_be_stored(address: bytes, title: bytes) -> None:
    app = app_of(address, title)
    assert len(app.origin or "") <= LONGEST_ORIGIN and len(app.title or "") <= LONGEST_TITLE
    text = (app.origin or "") + (app.title or "")
    assert "\0" not in text and text.encode().decode() == text


def test_without_anything_of_use_there_is_no_app() -> None:
    assert app_of(None, None) is UNKNOWN and app_of(b"nonsense", b"\x00") is UNKNOWN
    assert app_of(None, b"Named") == App(None, "Named")


def test_an_app_is_known_by_its_origin() -> None:
    one, other = app_id("https://a.example", "One"), app_id("https://a.example", "Other")
    assert one == other and one is not None and 0 <= one < 2**31
    assert app_id("https://b.example", "One") != one
    assert app_id(None, None) is None
