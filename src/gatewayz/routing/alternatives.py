"""What else could be asked? Models like the one that nobody could serve. Pure; called when a request has failed."""

from collections.abc import Set as AbstractSet

from gatewayz.catalog.models import Model
from gatewayz.catalog.offers import Offer
from gatewayz.catalog.snapshot import Catalog

MAX_SUGGESTIONS = 3


def alternatives(model: Model, catalog: Catalog, usable: AbstractSet[str], tried: AbstractSet[str]) -> tuple[str, ...]:
    """Ids of up to three models that can do what `model` can and have a priced offer at a usable provider.

    Preferred are models at providers that were not tried (`tried`), then those of the same vendor, then those of a like
    price.
    """
    own_price = min((_price(offer) for offer in catalog.offers_of(model.id) if offer.price), default=0)
    ranked: list[tuple[bool, bool, int, str]] = []
    for key, other in catalog.models.items():
        if other.id == model.id or other.kind != model.kind or other.status != "active":
            continue
        if not model.capabilities <= other.capabilities or other.is_free != model.is_free:
            continue
        offers = [offer for offer in catalog.offers[key] if offer.usable and offer.provider in usable]
        if offers:
            elsewhere = any(offer.provider not in tried for offer in offers)
            distance = abs(min(_price(offer) for offer in offers) - own_price)
            ranked.append((not elsewhere, other.vendor != model.vendor, distance, other.id))
    return tuple(name for _, _, _, name in sorted(ranked)[:MAX_SUGGESTIONS])


def _price(offer: Offer) -> int:
    return offer.price.prompt + offer.price.completion if offer.price is not None else 0
