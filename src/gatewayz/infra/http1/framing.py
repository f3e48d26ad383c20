"""What the headers of an answer say of its body and of the time after it. Where two readings are possible, neither is taken."""

KEEP_ALIVE_S = 30.0
Fields = list[tuple[bytes, bytes]]


class Oddity(Exception):
    """The answer is no HTTP/1.x that can be read in one way only."""


def is_repeated(name: bytes, fields: Fields) -> bool:
    """Whether a header, named in lower case, stands there more than once."""
    return sum(each.lower() == name for each, _ in fields) > 1


def check_coding(coding: bytes, fields: Fields) -> None:
    """Raises Oddity unless the body of an answer with this Transfer-Encoding ends where its chunks end, and only there."""
    is_plain = coding.strip(b" \t").lower() == b"chunked" and not is_repeated(b"transfer-encoding", fields)
    if not is_plain or any(name.lower() == b"content-length" for name, _ in fields):
        raise Oddity("the length of the answer is said in two ways")


def keep_alive_s(value: bytes) -> float:
    """How long a connection may idle after `Keep-Alive: timeout=…`: a second less, so that the server is never first."""
    for word in value.lower().split(b","):
        name, _, number = word.strip().partition(b"=")
        if name == b"timeout" and number.isdigit() and len(number) < 10:
            return min(KEEP_ALIVE_S, int(number) - 1.0)
    return KEEP_ALIVE_S
