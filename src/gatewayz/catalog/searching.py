"""Which offers search the web, and what a search costs there: what is known of providers, put beside their offers."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import MappingProxyType

from gatewayz.catalog.offers import Offer
from gatewayz.catalog.prices import WEB_SEARCH
from gatewayz.providers.web_search import WebSearch

# How a model searches at a provider: (slug, the provider's name of the model).
SearchOf = Callable[[str, str], WebSearch | None]


def searching(offers: Iterable[Offer], search_of: SearchOf) -> tuple[list[Offer], str]:
    """The offers, those that can search with that ability and the price of a search; and a mark of what was added.

    A price that the offer itself states counts; else the provider's. Without any the offer is not said to search.
    """
    found: list[Offer] = []
    added = hashlib.sha256()
    for offer in offers:
        search = search_of(offer.provider, offer.native_id)
        told = offer if search is None else _told(offer, search)
        if told is not offer:
            added.update(f"{offer.id} {offer.provider} {offer.native_id} {search and search.price_nano_usd};".encode())
        found.append(told)
    return found, added.hexdigest()[:8]


def _told(offer: Offer, search: WebSearch) -> Offer:
    price = offer.price
    if price is None:
        return offer
    if WEB_SEARCH not in price.units:
        if search.price_nano_usd is None:
            return offer
        price = replace(price, units=MappingProxyType({**price.units, WEB_SEARCH: search.price_nano_usd}))
    return replace(offer, price=price, capabilities=offer.capabilities | {WEB_SEARCH})
