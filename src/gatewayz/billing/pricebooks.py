"""At which prices are past charges looked at again? Those they were pinned to, today's, or an operator's own."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gatewayz.catalog import Offer, PriceSnapshot, PriceTier
from gatewayz.catalog.config import REQUEST_PRICE, TOKEN_PRICES, UNIT_PRICES
from gatewayz.core.money import nano_from_usd, price_per_mtok
from gatewayz.infra.toml_file import TomlMistake, read_toml
from gatewayz.settings import ConfigurationError, Mistake

# Members of a price in a file, and the kind of token that each prices; as in gatewayz.toml.
_KINDS: Mapping[str, str] = TOKEN_PRICES
_TIER_KINDS = {name: kind for name, kind in _KINDS.items() if kind in PriceTier.__dataclass_fields__}
_ABOVE = "above_prompt_tokens"


class PriceBook(Protocol):
    """Finds the price of a past charge."""

    def price_of(self, model: str, provider: str, pinned: PriceSnapshot) -> PriceSnapshot | None:
        """The price that the charge should have had; None if this book does not know it."""
        ...


class PinnedPrices:
    """The prices that were pinned: a check of the arithmetic."""

    def price_of(self, model: str, provider: str, pinned: PriceSnapshot) -> PriceSnapshot | None:
        """See `PriceBook`."""
        return pinned


class CurrentPrices:
    """The prices in force now, offer by offer."""

    def __init__(self, offers: Iterable[Offer], offer_of_price: Mapping[int, int]) -> None:
        """`offer_of_price`: for the number of every price there was, the number of its offer."""
        self._by_offer: dict[int, Offer] = {}
        self._by_place: dict[tuple[str, str], list[Offer]] = {}
        self._offer_of_price = offer_of_price
        for offer in offers:
            self._by_offer[offer.id] = offer
            if offer.usable:
                self._by_place.setdefault((offer.model_id, offer.provider), []).append(offer)

    def price_of(self, model: str, provider: str, pinned: PriceSnapshot) -> PriceSnapshot | None:
        """See `PriceBook`. An offer that is gone is replaced by the model's other at that provider, if there is one."""
        offer = self._by_offer.get(self._offer_of_price.get(pinned.id, -1))
        if offer is not None and offer.usable:
            return offer.price
        others = self._by_place.get((model, provider), [])
        return others[0].price if len(others) == 1 else None


@dataclass(frozen=True, slots=True)
class StatedPrices:
    """An operator's prices by model and provider; provider None stands for all others."""

    prices: Mapping[tuple[str, str | None], PriceSnapshot]

    def price_of(self, model: str, provider: str, pinned: PriceSnapshot) -> PriceSnapshot | None:
        """See `PriceBook`."""
        return self.prices.get((model, provider)) or self.prices.get((model, None))


def read_prices(path: Path) -> StatedPrices:
    """The prices of a TOML file with `[[prices]]` tables, or of JSON with the same in a list `prices`.

    Raises ConfigurationError naming every mistake, OSError if the file cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    line_of: Callable[[tuple[str | int, ...]], int | None] = lambda _path: None  # noqa: E731
    try:
        if path.suffix == ".json":
            tables = json.loads(text)
        else:
            file = read_toml(text)
            tables, line_of = file.tables, file.line_of
    except TomlMistake as error:
        raise ConfigurationError([Mistake(path.name, str(error), error.line)]) from error
    except ValueError as error:
        raise ConfigurationError([Mistake(path.name, str(error))]) from error
    entries = tables.get("prices") if isinstance(tables, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError([Mistake(path.name, "needs at least one [[prices]] table")])
    mistakes: list[Mistake] = []
    found: dict[tuple[str, str | None], PriceSnapshot] = {}
    for index, entry in enumerate(entries):
        try:
            key, price = _entry(entry, path.name)
            if key in found:
                raise ValueError(f"a second price of {key[0]} at {key[1] or 'all providers'}")
            found[key] = price
        except ValueError as error:
            mistakes.append(Mistake(path.name, f"[[prices]] {index + 1}: {error}", line_of(("prices", index))))
    if mistakes:
        raise ConfigurationError(mistakes)
    return StatedPrices(found)


def _entry(entry: Any, source: str) -> tuple[tuple[str, str | None], PriceSnapshot]:
    if not isinstance(entry, dict):
        raise ValueError("must be a table")
    _only(entry, {"model", "provider", "tiers", REQUEST_PRICE, *_KINDS, *UNIT_PRICES})
    model, provider = entry.get("model"), entry.get("provider")
    if not isinstance(model, str) or not model:
        raise ValueError("model is missing")
    if provider is not None and (not isinstance(provider, str) or not provider):
        raise ValueError("provider must be a text")
    tiers = entry.get("tiers", [])
    if not isinstance(tiers, list):
        raise ValueError("tiers must be a list of tables")
    units = {unit: _amount(name, entry[name], nano_from_usd) for name, unit in UNIT_PRICES.items() if name in entry}
    price = PriceSnapshot(
        id=0,
        source=f"file {source}",
        effective_from_us=0,
        request_nano_usd=_amount(REQUEST_PRICE, entry[REQUEST_PRICE], nano_from_usd) if REQUEST_PRICE in entry else 0,
        tiers=tuple(sorted((_tier(tier) for tier in tiers), key=lambda tier: tier.above_prompt_tokens)),
        units=units,
        **_figures(entry, _KINDS, optional=bool(units)),
    )
    return (model, provider), price


def _tier(tier: Any) -> PriceTier:
    if not isinstance(tier, dict):
        raise ValueError("a tier must be a table")
    _only(tier, {_ABOVE, *_TIER_KINDS})
    above = tier.get(_ABOVE)
    if isinstance(above, bool) or not isinstance(above, int) or above < 0:
        raise ValueError(f"a tier needs {_ABOVE}, a whole number of tokens")
    return PriceTier(above_prompt_tokens=above, **_figures(tier, _TIER_KINDS))


def _figures(table: Mapping[str, Any], kinds: Mapping[str, str], *, optional: bool = False) -> dict[str, Any]:
    figures = {kind: _amount(name, table[name], price_per_mtok) for name, kind in kinds.items() if name in table}
    if optional and not figures:
        return {"prompt": 0, "completion": 0}
    if "prompt" not in figures or "completion" not in figures:
        raise ValueError("give both price_prompt_usd_per_mtok and price_completion_usd_per_mtok")
    return figures


def _amount(name: str, value: Any, convert: Callable[[Any], int]) -> int:
    try:
        amount = -1 if isinstance(value, bool) else convert(value)
    except ValueError:
        amount = -1
    if amount < 0:
        raise ValueError(f"{name} must be a price in USD, zero or more, not {value!r}")
    return amount


def _only(table: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}")
