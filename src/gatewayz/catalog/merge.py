"""Whose word counts? The rows of all sources become one model and one set of offers: configuration, feed, then seed."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import msgspec

from gatewayz.catalog.models import INPUT_CAPABILITIES, Model, media_of
from gatewayz.catalog.offers import Offer, is_operators, rank_of
from gatewayz.catalog.premium import is_premium
from gatewayz.catalog.prices import NO_UNITS, PriceSnapshot, PriceTier
from gatewayz.catalog.records import capabilities_from_words
from gatewayz.catalog.resolve import FREE
from gatewayz.catalog.transforms import upstream_id

# Abilities of a model that only the configuration describes, where it says nothing of them: the provider refuses what
# it cannot do, whereas a refusal here would withhold what it can.
_UNSTATED = ("streaming", "tools", "reasoning", "json_object", "json_schema", "logprobs")
_DEFAULT_MODALITY = "text->text"
_TIERS = msgspec.json.Decoder(tuple[PriceTier, ...])
_UNITS = msgspec.json.Decoder(dict[str, int])
_Value = TypeVar("_Value")


class Row(Protocol):
    """A row of `store.read_in_use`; its columns are attributes."""

    def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Withheld:
    """Models that an administrator switched off, and (provider, its name of a model) that the provider withdrew; lower case."""

    models: frozenset[str]
    natives: frozenset[tuple[str, str]]

    def has(self, row: Row) -> bool:
        """Whether the offer of this row was withdrawn."""
        return (row.provider, row.native_id.lower()) in self.natives


class _Shared:
    """Equal values become one object: thousands of offers name a few dozen providers, prices and sets of abilities."""

    def __init__(self) -> None:
        self._seen: dict[tuple[type, Any], Any] = {}

    def __call__(self, value: _Value) -> _Value:
        one: _Value = self._seen.setdefault((type(value), value), value)  # 1 and True are equal, and not the same
        return one


def merged(
    model_rows: Iterable[Row],
    offer_rows: Iterable[Row],
    free_model_allowlist: Container[str] = (),
    withheld: Withheld | None = None,
) -> tuple[list[Model], list[Offer]]:
    """Models and offers in use. A price of zero counts only for `:free` ids and ids of the allow-list.

    `withheld` is what must not be served whatever the sources say; None: nothing.
    """
    if withheld is not None:
        model_rows = [row for row in model_rows if row.id.lower() not in withheld.models]
        offer_rows = [row for row in offer_rows if is_operators(row.source) or not withheld.has(row)]
    share = _Shared()
    by_id: dict[str, list[Row]] = {}
    for row in model_rows:
        by_id.setdefault(row.id, []).append(row)
    models = {model_id: _model(sorted(rows, key=_rank), share) for model_id, rows in by_id.items()}
    offers = [
        _offer(row, models[row.model_id], may_be_free(row.model_id, free_model_allowlist), share)
        for row in _last_word(offer_rows)
        if row.model_id in models
    ]
    offers = _pinned(offers)
    priced: dict[str, list[PriceSnapshot]] = {}
    for offer in offers:
        if offer.price is not None and not offer.suspect:
            priced.setdefault(offer.model_id, []).append(offer.price)
    free = {model_id for model_id, prices in priced.items() if all(price.is_zero for price in prices)}
    return [replace(model, is_free=True) if model.id in free else model for model in models.values()], offers


def may_be_free(model_id: str, free_model_allowlist: Container[str]) -> bool:
    """True if the model may be offered at price zero."""
    return model_id.lower().endswith(FREE) or model_id in free_model_allowlist


def _rank(row: Row) -> int:
    return -rank_of(row.source)


def _last_word(rows: Iterable[Row]) -> Iterable[Row]:
    """Per model and provider the offers of the highest source only."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        key = (row.model_id, row.provider)
        group = groups.get(key)
        if group is None or rank_of(group[0].source) < rank_of(row.source):
            groups[key] = [row]
        elif rank_of(group[0].source) == rank_of(row.source):
            group.append(row)
    for group in groups.values():
        yield from group


def _model(rows: Sequence[Row], share: _Shared) -> Model:
    """One model of the rows of its sources, the strongest first."""
    first = rows[0]

    def fact(name: str) -> Any:
        value = getattr(first, name)
        if value is None and len(rows) > 1:
            value = next((other for row in rows[1:] if (other := getattr(row, name)) is not None), None)
        return share(value)

    model_id: str = first.id
    modality = fact("modality") or _DEFAULT_MODALITY
    released = fact("released_at_us")
    return Model(
        id=model_id,
        name=fact("name") or model_id.rpartition("/")[2],
        vendor=share(fact("vendor") or model_id.partition("/")[0]),
        kind=fact("kind") or "chat",
        context_length=fact("context_length"),
        max_output_tokens=fact("max_output_tokens"),
        modality=modality,
        capabilities=share(_capabilities(rows, modality, fact("kind") or "chat")),
        created_at_us=min(row.created_at_us for row in rows) if released is None else released,
        premium=is_premium(model_id),
        huggingface_id=fact("huggingface_id"),
        status=fact("status") or "active",
        deprecation_date=fact("deprecation_date"),
    )


def _capabilities(rows: Sequence[Row], modality: str, kind: str) -> frozenset[str]:
    if kind == "chat" and all(is_operators(row.source) for row in rows):
        stated = dict.fromkeys(_UNSTATED, True)
    else:
        stated = {}
    media = media_of(modality)[0]
    for row in reversed(rows):
        if row.modality is not None:
            stated |= {ability: medium in media for medium, ability in INPUT_CAPABILITIES.items()}
        if row.capabilities:
            stated |= capabilities_from_words(row.capabilities)
    return frozenset(name for name, able in stated.items() if able)


def _offer(row: Row, model: Model, free_allowed: bool, share: _Shared) -> Offer:
    capabilities = model.capabilities
    if row.capabilities:
        stated = capabilities_from_words(row.capabilities)
        capabilities = (capabilities | {n for n, able in stated.items() if able}) - {
            n for n, able in stated.items() if not able
        }
    return Offer(
        id=row.id,
        model_id=model.id,
        provider=share(row.provider),
        native_id=row.native_id,
        price=_price(row, model, free_allowed, share),
        context_length=share(row.context_length) if row.context_length is not None else model.context_length,
        max_output_tokens=share(row.max_output_tokens)
        if row.max_output_tokens is not None
        else model.max_output_tokens,
        capabilities=share(capabilities),
        regions=share(tuple(row.regions.split(","))) if row.regions else (),
        priority=row.priority,
        suspect=row.suspect,
        source=share(row.source),
        variant=share(row.variant) or None,
        status=share(row.status),
        confidence=share(row.confidence),
    )


def _price(row: Row, model: Model, free_allowed: bool, share: _Shared) -> PriceSnapshot | None:
    if row.price_id is None:
        return None
    price = PriceSnapshot(
        id=row.price_id,
        source=share(row.price_source),
        effective_from_us=share(row.effective_from_us),
        prompt=share(row.prompt),
        completion=share(row.completion),
        cache_read=share(row.cache_read),
        cache_write_5m=share(row.cache_write_5m),
        cache_write_1h=share(row.cache_write_1h),
        reasoning=share(row.reasoning),
        audio_input=share(row.audio_input),
        audio_output=share(row.audio_output),
        image_input=share(row.image_input),
        image_output=share(row.image_output),
        batch_prompt=share(row.batch_prompt),
        batch_completion=share(row.batch_completion),
        request_nano_usd=row.request_nano_usd,
        tiers=_TIERS.decode(row.tiers) if row.tiers != "[]" else (),
        units=_UNITS.decode(row.units) if row.units != "{}" else NO_UNITS,
    )
    if price.is_zero:
        return price if free_allowed else None
    # A chat is metered in tokens: a price per picture alone would make it free.
    return price if price.by_token or price.request_nano_usd or model.kind != "chat" else None


def _pinned(offers: list[Offer]) -> list[Offer]:
    """The offers under the names that are really sent; a pinned one costs what the model behind the pin costs there."""
    behind: Mapping[tuple[str, str], Offer] = {(offer.provider, offer.native_id.lower()): offer for offer in offers}
    done = []
    for offer in offers:
        sent = upstream_id(offer.provider, offer.native_id)
        if sent == offer.native_id:
            done.append(offer)
            continue
        served = behind.get((offer.provider, sent.lower()))
        if served is None or is_operators(offer.source):
            done.append(replace(offer, native_id=sent))
            continue
        done.append(
            replace(
                offer,
                native_id=sent,
                price=served.price,
                suspect=served.suspect,
                context_length=served.context_length,
                max_output_tokens=served.max_output_tokens,
                capabilities=served.capabilities,
            )
        )
    return done
