"""Which application made a request? What it says of itself in headers, made fit to be kept and shown."""

import hashlib
import re
import unicodedata
from urllib.parse import urlsplit

import msgspec

LONGEST_ORIGIN, LONGEST_TITLE = 200, 100
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")


class App(msgspec.Struct, frozen=True):
    """An application: the origin of its address, and the name that it gives itself; without both it is not known."""

    origin: str | None = None
    title: str | None = None


UNKNOWN = App()


def app_of(address: bytes | None, title: bytes | None) -> App:
    """The application of two header values; `UNKNOWN` if neither holds anything of use."""
    origin, name = origin_of(address or b""), title_of(title or b"")
    return App(origin, name) if origin is not None or name is not None else UNKNOWN


def origin_of(address: bytes) -> str | None:
    """`scheme://host[:port]` of a web address, in lower case; None for anything else. Path, query and names are dropped."""
    try:
        parts = urlsplit(address.decode("ascii").strip())
        host, port = parts.netloc.rpartition("@")[2].lower(), parts.port
    except ValueError:  # not ASCII, or no address
        return None
    name = host if port is None else host.removesuffix(f":{port}")
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(name):
        return None
    usual = port is None or port == {"http": 80, "https": 443}[parts.scheme]
    origin = f"{parts.scheme}://{name}" + ("" if usual else f":{port}")
    return origin if len(origin) <= LONGEST_ORIGIN else None


def title_of(title: bytes) -> str | None:
    """A name on one line without control characters, cut to its longest; None if nothing is left."""
    try:
        text = title[: 8 * LONGEST_TITLE].decode()
    except UnicodeDecodeError:
        text = title.decode("latin-1")
    shown = "".join(" " if letter.isspace() else letter for letter in text if _is_shown(letter))
    return " ".join(shown.split())[:LONGEST_TITLE].rstrip() or None


def app_id(origin: str | None, title: str | None) -> int | None:
    """A number that is always the same for an application: it is known by its origin, else by its name."""
    known_by = origin or title
    if known_by is None:
        return None
    return int.from_bytes(hashlib.sha256(known_by.encode()).digest()[:4], "big") >> 1


def _is_shown(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter)[0] != "C"
