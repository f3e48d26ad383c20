"""Which way should it go? From the offers of a model to an ordered list of attempts, each exclusion with its reason. Pure."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from gatewayz.catalog.models import Model
from gatewayz.catalog.offers import Offer
from gatewayz.core.errors import GatewayError, InvalidRequest, NotFound, Unavailable
from gatewayz.core.services import CHATS, Service
from gatewayz.operations.traffic import NOTHING, Usage
from gatewayz.providers.profile import Provider
from gatewayz.providers.ways import Way
from gatewayz.providers.web_search import WebSearch
from gatewayz.routing.chains import is_cloud_of, vendor_chain
from gatewayz.routing.preferences import REASONS, Preferences, place_of, reason_against
from gatewayz.routing.searching import SEARCH_REASONS, cannot_search, reason_not_to_search, way_of_search

# Without these the answer would mean something else; what is not here is dropped or answered with null.
HARD_NEEDS = frozenset({"tools", "vision", "audio", "documents", "json_schema"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to serve the request; `way` says in which dialect and where the provider is asked for it.

    `search` is how the model searches the web there, None if it does not. `spoken` is for whoever speaks to it: what he has
    worked out for clients of a dialect, to be kept for as long as the candidate itself.
    """

    offer: Offer
    provider: Provider
    way: Way
    search: WebSearch | None = None
    spoken: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Excluded:
    """An offer that was left out, and why (one word that an operator can look up)."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The attempts in order, and what was left out. `price_ceiling` is taken over `candidates`."""

    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...] = ()

    @property
    def has_choice(self) -> bool:
        """Whether somebody else could serve the request, too, now or when a breaker closes."""
        return len(self.candidates) > 1 or any(each.reason == "breaker_open" for each in self.excluded)


class Active(Protocol):
    """The providers that can be called."""

    def get(self, slug: str) -> Provider | None: ...


class Wish(msgspec.Struct, frozen=True):
    """What the request demands of an offer: hard needs, a pinned provider, and the provider that comes first if it can.

    `service` is what is asked for, see `core/services.py`; `variant` what decides its price (`quality/size` of images).
    `preferences` are the caller's, None without any. `search` names what the caller says of a search of the web that he
    asks for; None if he asks for none.
    """

    needs: frozenset[str]
    pin: str | None = None
    preferred: str | None = None
    service: Service = "chat"
    variant: str = ""
    preferences: Preferences | None = None
    search: frozenset[str] | None = None


def plan(
    model: Model,
    offers: Sequence[Offer],
    providers: Active,
    known_slugs: Collection[str],
    wish: Wish,
    is_open: Callable[[str], bool],
) -> Plan:
    """The ordered attempts for one request: `ranked`, then `passable`."""
    return passable(model, ranked(model, offers, providers, known_slugs, wish), is_open)


def ranked(
    model: Model,
    offers: Sequence[Offer],
    providers: Active,
    known_slugs: Collection[str],
    wish: Wish,
    usage: Usage = NOTHING,
) -> Plan:
    """Every way to fulfil the wish, best first, whatever breakers say: the same for all requests with this wish.

    `providers` are the active ones, `known_slugs` all that the gateway has facts about, `usage` is what was recorded, for
    wishes that rest on measures. Raises InvalidRequest if no offer can do what is asked (the caller's choice of model),
    NotFound if the caller's preferences leave nobody, Unavailable if there are offers and nobody to be asked.
    """
    excluded: list[Excluded] = []
    able: list[Candidate] = []
    lacking: dict[str, frozenset[str]] = {}
    chain = vendor_chain(model.id, model.vendor)
    for offer in offers:
        provider = providers.get(offer.provider)
        closed_to = known_slugs if chain is not None and not _joins(model, provider) else ()
        reason = _reason_against(offer, provider, chain or (), closed_to, wish)
        search = provider.search_for(offer.native_id) if provider is not None and wish.service in CHATS else None
        way = _way(provider, wish, search) if provider is not None else None
        if provider is not None and way is not None and reason is None:
            missing = offer.lacks(wish.needs & HARD_NEEDS)
            if missing:
                lacking[offer.provider] = missing
                reason = "cannot_" + "_".join(sorted(missing))
            elif wish.search is not None:
                reason = reason_not_to_search(offer, search, wish.search)
            if reason is None and wish.preferences is not None:
                reason = reason_against(offer, provider, way.dialect, wish.preferences)
            if reason is None:
                able.append(Candidate(offer, provider, way, search))
                continue
        excluded.append(Excluded(offer.provider, reason or "unusable"))
    if not able:
        raise _nobody(model, lacking, wish, excluded)
    ordered = _one_per_provider(sorted(able, key=lambda candidate: _rank(candidate, wish, usage)))
    if wish.preferences is not None and wish.preferences.first_only:
        excluded += [Excluded(candidate.provider.slug, "fallbacks_not_allowed") for candidate in ordered[1:]]
        ordered = ordered[:1]
    return Plan(tuple(_with_locations(ordered, wish)), tuple(excluded))


def passable(model: Model, plan: Plan, is_open: Callable[[str], bool]) -> Plan:
    """The plan without providers whose breaker lets nothing through (`is_open`). Raises Unavailable if none is left."""
    paused = {slug for slug in {candidate.provider.slug for candidate in plan.candidates} if is_open(slug)}
    if not paused:
        return plan
    left = tuple(candidate for candidate in plan.candidates if candidate.provider.slug not in paused)
    if not left:
        raise Unavailable(
            f"Every provider of {model.id} is paused after repeated failures. Try again in a minute or choose another model.",
            headers={"Retry-After": "30"},
        )
    order = dict.fromkeys(candidate.provider.slug for candidate in plan.candidates)
    return Plan(left, (*plan.excluded, *(Excluded(slug, "breaker_open") for slug in order if slug in paused)))


def _reason_against(
    offer: Offer,
    provider: Provider | None,
    chain: tuple[str, ...],
    closed_to: Collection[str],
    wish: Wish,
) -> str | None:
    if provider is None:
        return "provider_not_configured"
    if wish.pin is not None and offer.provider != wish.pin:
        return "other_provider_pinned"
    # A provider that only this operator knows was put beside the model on purpose.
    if offer.provider in closed_to and offer.provider not in chain:
        return "not_in_vendor_chain"
    if offer.status == "retired":
        return "retired"
    return None if provider.way(wish.service) is not None else "service_not_offered"


def _way(provider: Provider, wish: Wish, search: WebSearch | None) -> Way | None:
    return provider.way(wish.service) if wish.search is None else way_of_search(provider, wish.service, search)


def _joins(model: Model, provider: Provider | None) -> bool:
    """Whether the operator has put this provider behind the vendor's own chain."""
    return provider is not None and provider.configured and is_cloud_of(model.vendor, provider.slug)


def _rank(candidate: Candidate, wish: Wish, usage: Usage) -> tuple[tuple[float, ...], int, int, int, int, int, str]:
    offer, provider = candidate.offer, candidate.provider
    wanted = place_of(offer, wish.preferences, usage) if wish.preferences is not None else ()
    preferred = 0 if provider.slug == wish.preferred else 1
    deprecated = 0 if offer.status == "active" else 1
    price = offer.price
    dearness = (price.prompt + price.completion or sum(price.units.values())) if price else 0
    return (wanted, preferred, deprecated, provider.priority, offer.priority, dearness, offer.native_id)


def _one_per_provider(candidates: list[Candidate]) -> list[Candidate]:
    chosen: dict[str, Candidate] = {}
    for candidate in candidates:
        chosen.setdefault(candidate.provider.slug, candidate)
    return list(chosen.values())


def _with_locations(candidates: list[Candidate], wish: Wish) -> list[Candidate]:
    """Each candidate followed by the same provider at its other locations."""
    return [
        Candidate(candidate.offer, place, way, candidate.search)
        for candidate in candidates
        for place in (candidate.provider, *candidate.provider.elsewhere)
        if (way := _way(place, wish, candidate.search)) is not None
    ]


_WORDS = {
    "tools": ("tools", "function calling"),
    "vision": ("messages", "images"),
    "audio": ("messages", "audio input"),
    "documents": ("messages", "documents"),
    "json_schema": ("response_format", "JSON schema output"),
}


def _nobody(model: Model, lacking: dict[str, frozenset[str]], wish: Wish, excluded: list[Excluded]) -> GatewayError:
    unwanted = list(dict.fromkeys(item for item in excluded if item.reason in REASONS))
    if unwanted:
        told = "; ".join(f"{item.provider} {REASONS[item.reason]}" for item in unwanted[:8])
        more = f"; {len(unwanted) - 8} more" if len(unwanted) > 8 else ""
        return NotFound(
            f"The `provider` preferences leave nobody to serve {model.id}: {told}{more}.",
            code="no_allowed_providers",
            param="provider",
            details={"excluded": [{"provider": item.provider, "reason": item.reason} for item in unwanted]},
        )
    unable = [item for item in excluded if item.reason in SEARCH_REASONS]
    if unable:
        return cannot_search(model, [(item.provider, item.reason) for item in unable])
    if lacking:
        missing = sorted(frozenset.intersection(*lacking.values()) or next(iter(lacking.values())))
        param, what = _WORDS[missing[0]]
        return InvalidRequest(
            f"The model {model.id} does not support {what}. Choose a model that does, or leave it out.",
            code="unsupported_by_model",
            param=param,
        )
    if wish.pin is not None and any(item.reason == "other_provider_pinned" for item in excluded):
        return InvalidRequest(
            f"The provider {wish.pin} does not serve {model.id} here. Leave `provider` out, or choose another model.",
            code="provider_not_available",
            param="provider",
        )
    if wish.service == "compact" and any(item.reason == "service_not_offered" for item in excluded):
        return InvalidRequest(
            f"No provider of {model.id} compacts conversations: they have no /responses/compact, and nobody else can make"
            " the encrypted item. Choose a model that OpenAI, Azure or xAI serve here.",
            code="unsupported_by_model",
            param="model",
        )
    return Unavailable(
        f"No configured provider serves {model.id}. Set the key of a provider that does, or choose another model;"
        " GET /v1/models lists what can be used now.",
    )
