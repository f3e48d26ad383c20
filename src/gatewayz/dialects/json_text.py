"""JSON text for all dialects: read leniently, write compactly, edit single members without touching the others.

Numbers, key order and spelling of members that nobody edits stay exactly as sent, because they travel as
`msgspec.Raw`. Half surrogate pairs (some providers cut an emoji between two chunks) are read and written as escapes.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gatewayz.core.errors import InvalidRequest
from gatewayz.core.money import usd_text

MAX_DEPTH = 100  # deeper bodies are refused: no client needs them, and decoders recurse
MAX_ANSWER_DEPTH = 200  # of what providers send: it can be decoded and written well within the recursion limit

Fields = dict[str, msgspec.Raw]

_FIELDS = msgspec.json.Decoder(Fields)
_ANY = msgspec.json.Decoder()
_NOTHING = msgspec.json.Decoder(msgspec.Raw)
_BOM = b"\xef\xbb\xbf"
_ENCODER = msgspec.json.Encoder()
_OPENERS_AND_CLOSERS = bytes.maketrans(b"[{]}", b"(())")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
# An escape in JSON; group 1 is half a surrogate pair, which a text cut in the middle of an emoji leaves behind.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_POSITION = re.compile(r"\(byte (\d+)\)")


def load(data: bytes | msgspec.Raw, *, may_be_deep: bool = True) -> Any:
    """The JSON value in `data`, leniently: NaN and infinities are read as null, torn UTF-8 as the replacement character.

    Raises ValueError for anything else that is not JSON, and for what nests deeper than `MAX_ANSWER_DEPTH`
    (`may_be_deep` False: that was checked before).
    """
    if may_be_deep:
        refuse_deep(data)
    try:
        return _ANY.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # the standard library accepts half surrogate pairs
        return json.loads(bytes(data).removeprefix(_BOM).decode("utf-8", "replace"), parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("JSON nests too deeply") from error


def refuse_deep(data: bytes | msgspec.Raw) -> None:
    """Raises ValueError if JSON nests deeper than `MAX_ANSWER_DEPTH`: it could be decoded, and then not be written."""
    if len(data) > 2 * MAX_ANSWER_DEPTH and _deeper_than(bytes(data), MAX_ANSWER_DEPTH):
        raise ValueError("JSON nests too deeply")


def strict(data: bytes) -> bytes:
    """The same JSON as every client reads it: NaN and infinities are null, torn UTF-8 is the replacement character.

    Some providers write the former where a probability is too small, and cut characters between two tokens. What is in
    order keeps its bytes. Raises ValueError if `data` is no JSON.
    """
    data = whole_characters(data)
    if b"NaN" not in data and b"Infinity" not in data:
        return data
    try:
        _NOTHING.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return dump(load(data))
    return data


def whole_characters(data: bytes) -> bytes:
    """The same bytes; torn UTF-8, at which a client would give up, as the replacement character."""
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return data.decode("utf-8", "replace").encode()
    return data


def _no_number(_name: str) -> None:
    return None


def dump(value: Any) -> bytes:
    """Compact JSON of `value`; half surrogate pairs are written as escapes."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return json.dumps(_unraw(value), separators=(",", ":")).encode()


def _unraw(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return load(value)
    if isinstance(value, Mapping):
        return {key: _unraw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_unraw(item) for item in value]
    return value


def members(data: bytes | msgspec.Raw, *, may_be_deep: bool = True) -> Fields:
    """The members of a JSON object, each value as untouched bytes, but for torn UTF-8, which `strict` mends, too.

    Raises ValueError if `data` is no JSON object; `may_be_deep` as in `load`.
    """
    data = bytes(data)
    if not data.isascii():
        data = whole_characters(data)
    if may_be_deep:
        refuse_deep(data)
    try:
        return _FIELDS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    value = load(data)  # half surrogate pairs inside
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return {name: msgspec.Raw(dump(member)) for name, member in value.items()}


def usd_raw(nano_usd: int) -> msgspec.Raw:
    """An amount as an exact JSON number in USD."""
    return msgspec.Raw(usd_text(nano_usd).encode())


def request_members(body: bytes) -> Fields:
    """The top-level members of a request body as untouched bytes.

    Half surrogate pairs, which no provider can read, become the replacement character.
    Raises InvalidRequest (`invalid_json`) for what is not a JSON object in UTF-8, and for nesting beyond `MAX_DEPTH`.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise _invalid("The body is not valid UTF-8", error.start) from error
    try:
        fields = _FIELDS.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json") from error
    except msgspec.DecodeError as error:
        mended = _ESCAPE.sub(_no_half_pair, body)
        if mended != body:
            return request_members(mended)
        found = _POSITION.search(str(error))
        raise _invalid("The body is not valid JSON", int(found[1]) if found else len(body)) from error
    except RecursionError as error:
        raise _too_deep() from error
    if _deeper_than(body, MAX_DEPTH):
        raise _too_deep()
    return fields


def _no_half_pair(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape[1] else escape[0]


def _invalid(what: str, position: int) -> InvalidRequest:
    return InvalidRequest(f"{what} (byte {position}).", code="invalid_json", details={"byte": position})


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The body nests deeper than {MAX_DEPTH} levels.", code="invalid_json")


def _deeper_than(body: bytes, limit: int) -> bool:
    """Whether valid JSON nests deeper than `limit`; peels one level of brackets a pass, so no pass is made in vain."""
    if len(body) <= 2 * limit:
        return False
    # Brackets that open are counted no further than just above the limit. `replace` leaps from one to the next, where
    # `count` looks at every byte and takes longer than the decoder.
    rest = len(body.replace(b"[", b"", limit + 1)) + len(body.replace(b"{", b"", limit + 1))
    if 2 * len(body) - rest <= limit:
        return False
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(body.split(b'"')[::2])
    brackets = outside_strings.translate(_OPENERS_AND_CLOSERS, _NO_BRACKETS)
    if b"(" * (limit + 1) in brackets:
        return True
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"()", b"")
    return bool(brackets)
