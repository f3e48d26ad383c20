"""Forms with files (multipart/form-data): cut into parts without copying files, and joined again.

The parts of a client travel on with the headers that they came with; only the model's name is another one.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from email.message import Message

import msgspec

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.base import Encoded

MAX_PARTS = 200
_MAX_HEAD_BYTES = 8_192
_MAX_TEXT_BYTES = 1_000_000
_QUOTED = re.compile(r'[\r\n"]')


class Part(msgspec.Struct, frozen=True):
    """One part. `filename` is None for a plain field. `data` is a piece of the body, or bytes."""

    name: str
    data: bytes | memoryview
    filename: str | None = None
    content_type: str | None = None

    def text(self) -> str:
        """The value of a plain field. Raises InvalidRequest if it is no UTF-8 or too long."""
        if len(self.data) > _MAX_TEXT_BYTES:
            raise InvalidRequest(f"'{self.name}' is too long.", code="invalid_value", param=self.name)
        try:
            return bytes(self.data).decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"'{self.name}' is not valid UTF-8.", code="invalid_value", param=self.name) from error


def read_form(body: bytes, content_type: str) -> tuple[Part, ...]:
    """The parts of a form, in order. Raises InvalidRequest for what is none."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise InvalidRequest(
            "This endpoint takes a form with a file (multipart/form-data with a boundary).",
            code="unsupported_content_type",
            param="Content-Type",
        )
    line = b"--" + boundary.encode("latin-1", "replace")
    start = 0 if body.startswith(line) else _delimiter(body, line, 0)
    parts: list[Part] = []
    view = memoryview(body)
    while start >= 0:
        start += len(line)
        if body.startswith(b"--", start):
            return tuple(parts)
        head_start = body.find(b"\r\n", start)
        head_end = body.find(b"\r\n\r\n", max(head_start, 0))
        end = _delimiter(body, line, head_end) if head_start >= 0 and head_end >= 0 else -1
        if end < 0 or head_end - head_start > _MAX_HEAD_BYTES or len(parts) == MAX_PARTS:
            break
        head = body[head_start + 2 : head_end + 2]
        parts.append(_part(head, view[min(head_end + 4, end - 2) : end - 2]))
        start = end
    raise InvalidRequest("The form is cut off or has too many parts.", code="invalid_form")


def _delimiter(body: bytes, line: bytes, start: int) -> int:
    """Where the next boundary begins that has a line to itself; -1 if there is none."""
    while (at := body.find(b"\r\n" + line, start)) >= 0:
        start = at + 2 + len(line)
        if body.startswith((b"\r\n", b"--", b" ", b"\t"), start):
            return at + 2
    return -1


def _part(head: bytes, data: memoryview) -> Part:
    message = Message()
    for each in head.split(b"\r\n"):
        name, _, value = each.decode("utf-8", "replace").partition(":")
        if name.strip().lower() in ("content-disposition", "content-type"):
            message[name.strip()] = value.strip()
    field = message.get_param("name", header="content-disposition")
    filename = message.get_filename()
    if not isinstance(field, str) or not field:
        raise InvalidRequest("A part of the form has no name.", code="invalid_form")
    return Part(field, data, filename, message.get("content-type"))


def write_form(parts: Iterable[Part]) -> Encoded:
    """A form of these parts, with a boundary of its own."""
    boundary = f"gatewayz-{secrets.token_hex(16)}"
    pieces: list[bytes | memoryview] = []
    for part in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_safe(part.name)}"'
        if part.filename is not None:
            head += f'; filename="{_safe(part.filename)}"'
        if part.content_type is not None:
            head += f"\r\nContent-Type: {_QUOTED.sub('', part.content_type)}"
        pieces += [f"{head}\r\n\r\n".encode(), part.data, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return Encoded(b"".join(pieces), f"multipart/form-data; boundary={boundary}")


def values_of(parts: Sequence[Part]) -> dict[str, str]:
    """The plain fields by name; of a repeated one the last."""
    return {part.name: part.text() for part in parts if part.filename is None}


def replaced(parts: Iterable[Part], model: str, without: frozenset[str]) -> list[Part]:
    """The parts with another name of the model, without the named ones."""
    kept = [part for part in parts if part.name != "model" and part.name not in without]
    return [Part("model", model.encode()), *kept]


def _safe(text: str) -> str:
    return _QUOTED.sub("_", text)
