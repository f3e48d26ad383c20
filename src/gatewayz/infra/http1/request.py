"""What is said first on a connection: an address taken apart, and the head of a request as bytes."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

USER_AGENT = "gatewayz"
_REMEMBERED = 1024
_PORTS = {"http": 80, "https": 443}
_UNFIT_IN_URL = re.compile(r"[\x00-\x20\x7f]")
_HOST = re.compile(r"[a-z0-9._-]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Everything that may stand in a path or query as it is; what is not ASCII is written as UTF-8 in percent form.
_SAFE = "!#$%&'()*+,/:;=?@[]~-._\"<>\\^`{|}"
# Where a message ends is decided here alone: two opinions about it are how requests are smuggled.
_OWN = frozenset({"content-length", "transfer-encoding", "connection", "host", "te", "trailer", "upgrade", "expect"})
# Compressed event streams are held back by some servers until a block is full.
_DEFAULTS = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Address:
    """A URL taken apart: whom to connect to, and the lines with which a POST and a GET begin."""

    scheme: str
    host: str  # as for a resolver: lower case, ASCII, without brackets
    port: int
    post: str
    get: str


def parse_url(url: str) -> Address:
    """The address of an absolute http(s) URL. Raises ValueError; the text never repeats the URL, which may hold a key."""
    if _UNFIT_IN_URL.search(url):
        raise ValueError("a URL must not contain blanks or control characters")
    parts = urlsplit(url)
    scheme = parts.scheme
    if scheme not in _PORTS:
        raise ValueError("a URL must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("a URL must not contain a user or password")
    host, named = _host(parts.hostname or "")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port of a URL must be a number up to 65535") from None
    if port == 0:
        raise ValueError("the port of a URL must not be 0")
    port = port or _PORTS[scheme]
    target = parts.path or "/"
    if parts.query:
        target += "?" + parts.query
    target = quote(target, safe=_SAFE).replace("#", "%23")
    if port != _PORTS[scheme]:
        named += f":{port}"
    tail = f" {target} HTTP/1.1\r\nHost: {named}\r\n"
    return Address(scheme, host, port, "POST" + tail, "GET" + tail)


def _host(host: str) -> tuple[str, str]:
    """The host for a resolver, and as the Host header says it."""
    if not host:
        raise ValueError("a URL must name a host")
    if ":" in host:
        if "%" in host:
            raise ValueError("an IPv6 address in a URL must not name a zone")
        return (literal := str(ipaddress.IPv6Address(host))), f"[{literal}]"
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    host = host.lower()
    if not _HOST.fullmatch(host):
        raise ValueError("the host of a URL contains characters that no host name has")
    return host, host


class Heads:
    """Writes heads of requests. Addresses and sets of header names repeat, so what follows from them is remembered."""

    __slots__ = ("_addresses", "_shapes")

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._shapes: dict[tuple[str, ...], str] = {}

    def address(self, url: str) -> Address:
        """See `parse_url`."""
        found = self._addresses.get(url)
        if found is None:
            found = parse_url(url)
            if len(self._addresses) >= _REMEMBERED:
                self._addresses.clear()
            self._addresses[url] = found
        return found

    def write(self, start: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """The head up to and including its empty line. Raises ValueError for a name or value that would break out of it."""
        names, values = tuple(headers), tuple(headers.values())
        said = "".join(values)
        if "\n" in said or "\r" in said or "\0" in said:
            raise ValueError("a header value must not contain CR, LF or NUL")
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        return f"{start}{(self._shapes.get(names) or self._shape(names)) % values}{length}\r\n".encode()

    def _shape(self, names: tuple[str, ...]) -> str:
        lowered = {name.lower() for name in names}
        if refused := lowered & _OWN:
            raise ValueError(f"the header {min(refused)} is the transport's own")
        for name in names:
            if not _TOKEN.fullmatch(name):
                raise ValueError("a header name must be a token of HTTP")
        lines = [f"{name}: {value}\r\n" for name, value in _DEFAULTS.items() if name.lower() not in lowered]
        lines += [name.replace("%", "%%") + ": %s\r\n" for name in names]
        if len(self._shapes) >= _REMEMBERED:
            self._shapes.clear()
        return self._shapes.setdefault(names, "".join(lines))
