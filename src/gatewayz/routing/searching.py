"""Who can search the web for a request that asks for it, and in which form. Pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gatewayz.catalog.models import Model
from gatewayz.catalog.offers import Offer
from gatewayz.catalog.prices import WEB_SEARCH
from gatewayz.core.errors import InvalidRequest
from gatewayz.providers.profile import Provider
from gatewayz.providers.ways import Way
from gatewayz.providers.web_search import WebSearch

UNAVAILABLE = "web_search_unavailable"
_NO_SEARCH, _NO_PRICE = "no_web_search", "no_price_for_web_search"
SEARCH_REASONS: Mapping[str, str] = MappingProxyType(
    {
        _NO_SEARCH: "does not search the web with this model",
        _NO_PRICE: "has no known price for a search of the web",
        "web_search_max_results": "cannot be told how many results to use",
        "web_search_search_prompt": "cannot be told how to introduce the results",
    }
)


def way_of_search(provider: Provider, service: str, search: WebSearch | None) -> Way | None:
    """How the provider is asked for a service so that it searches, too; None if it does not offer the service at all.

    Where it searches in another dialect than it usually answers this service in, it is asked in that one.
    """
    own = provider.way(service)
    if own is None or search is None or own.dialect == search.dialect:
        return own
    for other in ("chat", "responses"):
        way = provider.way(other)
        if way is not None and way.dialect == search.dialect:
            return way
    return own


def reason_not_to_search(offer: Offer, search: WebSearch | None, wanted: frozenset[str]) -> str | None:
    """One of `SEARCH_REASONS` for which an offer cannot search as it is wanted; None if it can."""
    if search is None:
        return _NO_SEARCH
    for name in sorted(wanted - search.honours):
        return f"web_search_{name}"
    return None if offer.price is not None and WEB_SEARCH in offer.price.units else _NO_PRICE


def cannot_search(model: Model, unable: Sequence[tuple[str, str]]) -> InvalidRequest:
    """The refusal where nobody who serves the model can search as it is wanted; `unable` are providers with reasons."""
    told = "; ".join(f"{provider} {SEARCH_REASONS[reason]}" for provider, reason in dict.fromkeys(unable))
    asked = [reason.removeprefix("web_search_") for _, reason in unable if reason not in (_NO_SEARCH, _NO_PRICE)]
    return InvalidRequest(
        f"Nobody can search the web for {model.id} as this request asks: {told}.",
        code="web_search_unavailable",
        param=f"plugins.{asked[0]}" if asked else "model",
        details={"excluded": [{"provider": provider, "reason": reason} for provider, reason in unable]},
    )
