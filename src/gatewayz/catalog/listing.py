"""Which models are wanted, and in which order? Filters and sorts over the models that can be served."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gatewayz.catalog.models import SERVED_KINDS, Model, media_of, modality_of
from gatewayz.catalog.offers import Offer
from gatewayz.catalog.snapshot import Catalog, Reach

# Other words for abilities that people filter by.
_ABILITY_WORDS = {
    "function_calling": "tools", "functions": "tools", "json": "json_object", "json_mode": "json_object",
    "structured_outputs": "json_schema", "images": "vision", "image": "vision", "stream": "streaming",
    "thinking": "reasoning", "pdf": "documents", "files": "documents", "search": "web_search",
    "online": "web_search",
}  # fmt: skip
# A conversation writes three times as many tokens into a prompt as it reads back: the usual blend for one price.
_PROMPT_SHARE = 3


@dataclass(frozen=True, slots=True)
class Served:
    """A model with its offers that may be charged, in their fixed order; never empty."""

    model: Model
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which models are wanted; None does not restrict. Prices are nano-USD per million prompt tokens, context is tokens."""

    provider: str | None = None
    gateway: str | None = None
    developer: str | None = None
    modality: str | None = None
    region: str | None = None
    q: str | None = None
    is_free: bool | None = None
    capabilities: tuple[str, ...] = ()
    min_context: int | None = None
    max_context: int | None = None
    min_price: int | None = None
    max_price: int | None = None
    health: str | None = None


def served(catalog: Catalog, reach: Reach | None) -> tuple[Served, ...]:
    """All models of the kinds that are served with an offer within reach (None: anywhere), by id."""
    found = []
    for key, model in catalog.models.items():
        if model.kind in SERVED_KINDS:
            offers = catalog.offers[key]
            usable = tuple(o for o in offers if o.usable and (reach is None or (o.provider, model.kind) in reach))
            if usable:
                found.append(Served(model, usable))
    return tuple(found)


def narrowed(rows: Iterable[Served], wanted: Filters, health: Callable[[Served], str] | None = None) -> list[Served]:
    """The rows that match, each with the offers that match. Unknown values match nothing."""
    found = []
    needs = frozenset(_ABILITY_WORDS.get(word.strip().lower(), word.strip().lower()) for word in wanted.capabilities)
    modality = None if wanted.modality is None else _modality(wanted.modality)
    query = None if wanted.q is None or not wanted.q.strip() else words_of(wanted.q)
    if query == ():
        return []  # asked for what no name has
    for row in rows:
        if not _fits(row.model, wanted, modality, query):
            continue
        offers = _fitting(row.offers, wanted, needs)
        if not offers:
            continue
        kept = row if len(offers) == len(row.offers) else replace(row, offers=offers)
        if wanted.health is None or (health is not None and health(kept) == wanted.health.strip().lower()):
            found.append(kept)
    return found


def _fits(model: Model, wanted: Filters, modality: Callable[[Model], bool] | None, query: Sequence[str] | None) -> bool:
    if wanted.is_free is not None and model.is_free is not wanted.is_free:
        return False
    if wanted.developer is not None and model.vendor.lower() != wanted.developer.strip().lower():
        return False
    if modality is not None and not modality(model):
        return False
    return query is None or _has_words(model, query)


def _fitting(offers: tuple[Offer, ...], wanted: Filters, needs: frozenset[str]) -> tuple[Offer, ...]:
    for slug in (wanted.provider, wanted.gateway):
        if slug is not None:
            offers = tuple(offer for offer in offers if offer.provider == slug.strip().lower())
    if wanted.region is not None:
        offers = tuple(offer for offer in offers if wanted.region.strip().lower() in offer.regions)
    if needs:
        offers = tuple(offer for offer in offers if needs <= offer.capabilities)
    if wanted.min_context is not None or wanted.max_context is not None:
        offers = tuple(o for o in offers if _within(o.context_length, wanted.min_context, wanted.max_context))
    if wanted.min_price is not None or wanted.max_price is not None:
        offers = tuple(
            o for o in offers if o.price is not None and _within(o.price.prompt, wanted.min_price, wanted.max_price)
        )
    return offers


def _within(value: int | None, low: int | None, high: int | None) -> bool:
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _modality(wanted: str) -> Callable[[Model], bool]:
    wanted = wanted.strip().lower()
    if "->" not in wanted:
        return lambda model: any(wanted in side for side in media_of(model.modality))
    try:
        exact = modality_of(*media_of(wanted))
    except ValueError:
        return lambda model: False
    return lambda model: model.modality == exact


def folded(text: str) -> str:
    """The text in lower case, with the wide letters and digits of Asian keyboards as plain ones."""
    return unicodedata.normalize("NFKC", text).lower()


def words_of(query: str) -> tuple[str, ...]:
    """The words of a query: letters and digits, in lower case, without what stands between them."""
    return tuple(re.findall(r"[^\W_]+", folded(query)))


def squashed(text: str) -> str:
    """The text without punctuation, so that "gpt4o", "gpt 4o" and "GPT-4o" are the same."""
    return re.sub(r"[\W_]+", "", folded(text))


def _has_words(model: Model, query: Sequence[str]) -> bool:
    text = squashed(f"{model.id}{model.name}")
    return all(word in text for word in query)


def blended(offer: Offer) -> int:
    """One figure to compare prices by: nano-USD of a million tokens, three of four in the prompt."""
    price = offer.price
    if price is None:
        raise ValueError("an offer without price cannot be compared")
    return (_PROMPT_SHARE * price.prompt + price.completion) // (_PROMPT_SHARE + 1) + price.request_nano_usd


def cheapest(offers: Sequence[Offer]) -> Offer:
    """The offer with the lowest blended price; the first of equals."""
    return min(offers, key=blended)


SORTS: Mapping[str, Callable[[Served], Any]] = {
    "id": lambda row: row.model.id,
    "name": lambda row: (row.model.name.lower(), row.model.id),
    "created": lambda row: (-row.model.created_at_us, row.model.id),
    "price": lambda row: (blended(cheapest(row.offers)), row.model.id),
    "context": lambda row: (-(row.offers[0].context_length or 0), row.model.id),
    "providers": lambda row: (-len({offer.provider for offer in row.offers}), row.model.id),
}
