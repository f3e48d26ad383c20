"""What does a provider's own model list say? The values that every form of list is read into, whoever sent it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from gatewayz.core.money import price_per_mtok

# What one unit of a stated number is worth, in USD per million tokens.
PRICE_UNITS: Mapping[str, Decimal] = MappingProxyType(
    {
        "usd_per_token": Decimal(1_000_000),
        "usd_per_ktok": Decimal(1_000),
        "usd_per_mtok": Decimal(1),
        "cents_per_token": Decimal(10_000),
        "tenthousandth_usd_per_mtok": Decimal("0.0001"),
    }
)
NO_PRICES = "none"  # the list states no prices, or in a unit that nobody could confirm
LONGEST_TEXT = 200
_NO_UNITS: Mapping[str, int] = MappingProxyType({})


class FeedUnreadable(Exception):
    """The answer is no model list of the expected form; the text is for operators."""


@dataclass(frozen=True, slots=True)
class FeedRules:
    """Where a provider's list is and how it reads: `path` below the base URL or a whole address, `shape` a name of
    `feed_shapes.SHAPES`, `unit` of `PRICE_UNITS` or `NO_PRICES`."""

    path: str
    shape: str
    unit: str = NO_PRICES


@dataclass(frozen=True, slots=True)
class ModelFeed:
    """The rules at an address. `with_key`: the provider's own host, so that its credential may be sent along."""

    url: str
    shape: str
    unit: str
    with_key: bool


class FeedTier(msgspec.Struct, frozen=True):
    """Prices of prompts longer than `above_prompt_tokens`; nano-USD per million tokens."""

    above_prompt_tokens: int
    prompt: int
    completion: int
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None


class FeedPrice(msgspec.Struct, frozen=True):
    """A stated price: nano-USD per million tokens, `request_nano_usd` per request, `units` nano-USD per piece."""

    prompt: int
    completion: int
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    request_nano_usd: int = 0
    tiers: tuple[FeedTier, ...] = ()
    units: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class FeedModel:
    """One entry of a list. None where the list does not say. `kind` is `chat` or another kind of the catalog.

    `price_problem` says why there is no price although the list states prices; both None: it states none.
    """

    native_id: str
    name: str | None = None
    kind: str | None = "chat"
    context_length: int | None = None
    max_output_tokens: int | None = None
    media_in: frozenset[str] | None = None
    media_out: frozenset[str] | None = None
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    created_us: int | None = None
    huggingface_id: str | None = None
    price: FeedPrice | None = None
    price_problem: str | None = None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """The readable entries of an answer; `unread` counts the others, `further` is the query of the next page."""

    models: tuple[FeedModel, ...]
    unread: int = 0
    further: Mapping[str, str] | None = None


def text(entry: Mapping[str, Any], *names: str) -> str | None:
    """The first of these members that is a text: one line, cut at a sensible length."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, str) and value.strip():
            shown = "".join(letter if letter.isprintable() else " " for letter in value)
            return shown.strip()[:LONGEST_TEXT] or None
    return None


def whole(entry: Mapping[str, Any], *names: str) -> int | None:
    """The first of these members that is a whole number above zero."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, Decimal) and value == value.to_integral_value():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53:
            return value
    return None


def amount(value: Any) -> Decimal | None:
    """A stated number, as JSON number or as text; None if it is none. Raises ValueError for what is no number."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise ValueError(f"not a price: {value!r}")
    try:
        number = Decimal(value)
    except ArithmeticError as error:
        raise ValueError(f"not a price: {value!r}") from error
    if not number.is_finite():
        raise ValueError(f"not a price: {value!r}")
    return number


def per_mtok(value: Any, unit: str) -> int | None:
    """Nano-USD per million tokens of a number in this unit; None if there is none. Raises ValueError."""
    number = amount(value)
    return None if number is None else price_per_mtok(number * PRICE_UNITS[unit])


def members(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else _EMPTY


def words(value: Any) -> frozenset[str]:
    """The texts of a list, in lower case."""
    return (
        frozenset(part.lower() for part in value if isinstance(part, str)) if isinstance(value, list) else frozenset()
    )


_EMPTY: Mapping[str, Any] = MappingProxyType({})
