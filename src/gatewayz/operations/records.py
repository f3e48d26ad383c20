"""The record of one request: written once, in the transaction of its settlement."""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter

import msgspec
from msgspec.structs import astuple


class RequestRecord(msgspec.Struct, frozen=True, gc=False):
    """One row of `activity_log`. Times in microseconds, money in nano-USD.

    `request_id` is the id as the client knows it. `attempts` tells the way through the providers
    (`openai:502,openrouter:200`); it is shown to the account's owner only. `app_origin` and `app_title` are those of an
    `apps.App`.
    """

    created_at_us: int
    user_id: int | None
    api_key_id: int | None
    request_id: str
    endpoint: str
    requested_model: str
    model: str | None = None
    provider: str | None = None
    native_model: str | None = None
    upstream_id: str | None = None
    attempts: str | None = None
    stream: bool = False
    status: int = 200
    error_code: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    usage_estimated: bool = False
    cost_nano_usd: int = 0
    latency_us: int = 0
    first_token_us: int | None = None
    environment: str | None = None
    user_tag: str | None = None
    app_origin: str | None = None
    app_title: str | None = None


RECORD_COLUMNS: tuple[str, ...] = RequestRecord.__struct_fields__
_texts_of = itemgetter(
    *(
        place
        for place, name in enumerate(RECORD_COLUMNS)
        if name in RequestRecord.__annotations__ and "str" in str(RequestRecord.__annotations__[name])
    )
)


def rows(records: Sequence[RequestRecord]) -> list[tuple[object, ...]]:
    """Values of records in the order of `RECORD_COLUMNS`, fit for every database."""
    found = list(map(astuple, records))
    return found if _are_plain(found) else list(map(row, records))


def row(record: RequestRecord) -> tuple[object, ...]:
    """The same of one record."""
    values = astuple(record)
    return values if _are_plain((values,)) else tuple(map(_storable, values))


def _are_plain(rows: Sequence[tuple[object, ...]]) -> bool:
    """Whether every text in them is one that every database stores as it is; most are, and are looked at together."""
    texts = "".join(filter(None, chain.from_iterable(map(_texts_of, rows))))
    return texts.isascii() and "\0" not in texts


def _storable(value: object) -> object:
    """The value; in texts, which clients and providers choose freely, what PostgreSQL does not store is replaced."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
