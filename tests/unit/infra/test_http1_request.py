"""Addresses taken apart, and heads that say what they are told and nothing else."""

import pytest

from gatewayz.infra.http1.headers import Headers
from gatewayz.infra.http1.request import Heads, parse_url


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "head"),
    [
        ("http://h", "http", "h", 80, "GET / HTTP/1.1\r\nHost: h\r\n"),
        ("https://API.Example.com/v1/x?a=b&c=%20d", "https", "api.example.com", 443, "GET /v1/x?a=b&c=%20d HTTP/1.1\r\nHost: api.example.com\r\n"),
        ("http://h:443/", "http", "h", 443, "GET / HTTP/1.1\r\nHost: h:443\r\n"),
        ("https://h:443/", "https", "h", 443, "GET / HTTP/1.1\r\nHost: h\r\n"),
        ("http://[::1]:8080/a", "http", "::1", 8080, "GET /a HTTP/1.1\r\nHost: [::1]:8080\r\n"),
        ("https://[2001:DB8:0::1]", "https", "2001:db8::1", 443, "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n"),
        ("https://bücher.example/ä", "https", "xn--bcher-kva.example", 443, "GET /%C3%A4 HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n"),
        ("http://h?q=1#fragment", "http", "h", 80, "GET /?q=1 HTTP/1.1\r\nHost: h\r\n"),
        ("http://h/models/a:generate", "http", "h", 80, "GET /models/a:generate HTTP/1.1\r\nHost: h\r\n"),
    ],
)  # fmt: skip
def test_addresses(url: str, scheme: str, host: str, port: int, head: str) -> None:
    found = parse_url(url)
    assert (found.scheme, found.host, found.port, found.get) == (scheme, host, port, head)
    assert found.post == "POST" + head.removeprefix("GET")


@pytest.mark.parametrize(
    "url",
    [
        "", "h/a", "ftp://h/", "file:///etc/passwd", "http://", "http:///a", "http://h:0/", "http://h:70000/", "http://h:x/",
        "http://me:secret@h/", "http://secret@h/", "http://h/a b", "http://h/a\r\nX: y", "http://h/\0", "\thttp://h/",
        "http://h\n.example/", "http://[::1/", "http://[fe80::1%25eth0]/", "http://[1.2.3.4]/", "http://h^x/", "http://h\\x/",
        "http://ex%41mple/", "http://" + "ü" * 80 + ".example/",
    ],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def test_a_head() -> None:
    heads = Heads()
    start = heads.address("http://h/a").post
    for value in ("1", "2"):
        assert heads.write(start, {"X-One": value, "Accept": "50% %s"}, b"abc").decode() == (
            "POST /a HTTP/1.1\r\nHost: h\r\nUser-Agent: gatewayz\r\nAccept-Encoding: identity\r\n"
            f"X-One: {value}\r\nAccept: 50% %s\r\nContent-Length: 3\r\n\r\n"
        )
    assert heads.write("GET / HTTP/1.1\r\n", {}, None).endswith(b"identity\r\n\r\n")
    assert b"Content-Length: 0\r\n" in heads.write("POST / HTTP/1.1\r\n", {}, b"")
    own = heads.write(start, {"user-agent": "mine", "ACCEPT-ENCODING": "gzip", "x%s": "1"}, b"")
    twice = heads.write(start, {"accept": "a", "Accept": "b"}, b"")
    assert b"accept: a\r\nAccept: b\r\n" in twice, "an operator's own spelling of a header stands beside ours"
    assert own.count(b"mine") == 1 and b"gatewayz" not in own and b"identity" not in own and b"x%s: 1\r\n" in own


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nY: b"}, {"X": "a\n"}, {"X": "\ra"}, {"X": "a\0"}, {"X\r\nY": "a"}, {"X: Y": "a"}, {"": "a"}, {"X Y": "a"},
        {"Ü": "a"}, {"X\0": "a"}, {"Content-Length": "5"}, {"transfer-encoding": "chunked"}, {"Host": "elsewhere"},
        {"Connection": "upgrade"}, {"X": "\ud800"},
    ],
)  # fmt: skip
def test_headers_that_would_say_something_else(headers: dict[str, str]) -> None:
    heads = Heads()
    for _ in range(2):
        with pytest.raises(ValueError):
            heads.write("POST / HTTP/1.1\r\n", headers, b"")


def test_what_is_remembered_is_bounded() -> None:
    heads = Heads()
    for number in range(5000):
        heads.write(heads.address(f"http://h/{number}").post, {f"X-{number}": "1"}, b"")
    assert len(heads._addresses) <= 1024 and len(heads._shapes) <= 1024


def test_headers_of_replies_show_names_only() -> None:
    headers = Headers({b"set-cookie": b"secret", b"x": b" y\t"})
    assert "secret" not in repr(headers) and "set-cookie" in repr(headers) and headers["X"] == "y" and len(headers) == 2
