"""The catalog in memory: built once from the database, never changed, replaced as a whole."""

import secrets
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Literal

from gatewayz.catalog.aliases import AliasTables, packaged, usable_aliases
from gatewayz.catalog.detection import PROVIDER_SPELLINGS, preferred_provider
from gatewayz.catalog.models import SERVED_KINDS, Model
from gatewayz.catalog.offers import Offer, is_operators
from gatewayz.catalog.searching import SearchOf, searching
from gatewayz.catalog.suggest import NearMatches
from gatewayz.providers.profile import speaker

# Each provider that can be called with each kind of model that it can be asked for.
Reach = frozenset[tuple[str, str]]
SuffixSort = Literal["price", "throughput", "latency", "exacto"]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a typed name means.

    `offers` are all offers of the model that are in use, priced or not, in a fixed order; those of `provider_pin`
    only, if the name pinned one. `preferred_provider` comes first if it can serve. `sort` is what a suffix such
    as `:nitro` sorts by; `online`: one asks for a search of the web. `redirected_from` is the retired name that was
    asked for: to be logged, never told.
    """

    model: Model
    offers: tuple[Offer, ...]
    preferred_provider: str | None = None
    provider_pin: str | None = None
    sort: SuffixSort | None = None
    online: bool = False
    redirected_from: str | None = None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Catalog:
    """Every model with an offer in use. Keys of the mappings are lower case.

    `exact` holds the ready answer for each canonical id, alias and redirected name; `native` maps (provider, the
    provider's name) to a canonical id; `aliases` maps alias to canonical id. `version` names the state of
    the database that this was read from, the same in every process; another catalog has another one.
    """

    models: Mapping[str, Model]
    offers: Mapping[str, tuple[Offer, ...]]
    exact: Mapping[str, Resolved]
    aliases: Mapping[str, str]
    native: Mapping[tuple[str, str], str]
    providers: frozenset[str]
    version: str
    _near: "list[NearMatches]" = field(default_factory=list, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def model(self, model_id: str) -> Model | None:
        """The model with this canonical id, any case; None if there is none."""
        return self.models.get(model_id.lower())

    def offers_of(self, model_id: str) -> tuple[Offer, ...]:
        """Its offers in use, priced or not, in a fixed order."""
        return self.offers.get(model_id.lower(), ())

    def served_by(self, model_id: str, providers: Container[str]) -> tuple[Offer, ...]:
        """Its offers that may be charged at one of these providers."""
        return tuple(offer for offer in self.offers_of(model_id) if offer.usable and offer.provider in providers)

    def within(self, model: Model, reach: Reach) -> tuple[Offer, ...]:
        """Its offers that may be charged, at providers that can be asked for models of its kind."""
        return tuple(o for o in self.offers_of(model.id) if o.usable and (o.provider, model.kind) in reach)

    def provider_named(self, word: str) -> str | None:
        """The slug of a provider by slug or by another tool's spelling of it; None if it is none."""
        slug = PROVIDER_SPELLINGS.get(word, word)
        return slug if slug in self.providers else None

    def near(self, typed: str, limit: int = 3) -> tuple[str, ...]:
        """Canonical ids that look like `typed`, best first. The index is built at the first call."""
        if not self._near:
            with self._lock:
                if not self._near:
                    served = (model for model in self.models.values() if model.kind in SERVED_KINDS)
                    usable = (model.id for model in served if any(offer.usable for offer in self.offers_of(model.id)))
                    self._near.append(NearMatches(sorted(usable)))
        return self._near[0].near(typed, limit)


def build(
    models: Iterable[Model],
    offers: Iterable[Offer],
    tables: AliasTables | None = None,
    version: str | None = None,
    search_of: SearchOf | None = None,
) -> Catalog:
    """The catalog of these models and offers. Models without offers, and retired names, are left out.

    `version` is the state of the database; None: a new one. `search_of` tells which offers search the web.
    """
    tables = packaged() if tables is None else tables
    spoken = _spoken(offers)
    if search_of is not None:
        spoken, added = searching(spoken, search_of)
        version = None if version is None else f"{version}.{added}"
    grouped: dict[str, list[Offer]] = {}
    for offer in spoken:
        grouped.setdefault(offer.model_id.lower(), []).append(offer)
    by_id = {model.id.lower(): model for model in models}
    kept = {key: model for key, model in sorted(by_id.items()) if key in grouped and key not in tables.redirects}
    ordered = {
        key: tuple(sorted(grouped[key], key=partial(_order, preferred_provider(model.id))))
        for key, model in kept.items()
    }
    aliases = usable_aliases(tables.aliases, kept)
    exact = {key: Resolved(model, ordered[key], preferred_provider(model.id)) for key, model in kept.items()}
    named = {name: exact[target] for name, target in aliases.items()}
    for name, target in usable_aliases(tables.redirects, kept).items():
        here = exact[target]
        named[name] = Resolved(here.model, here.offers, here.preferred_provider, redirected_from=name)
    native: dict[tuple[str, str], str] = {}
    for key, group in ordered.items():
        for offer in group:
            native.setdefault((offer.provider, offer.native_id.lower()), key)
    slugs = {offer.provider for group in ordered.values() for offer in group} | tables.providers
    version = secrets.token_hex(8) if version is None else version
    return Catalog(kept, ordered, {**exact, **named}, aliases, native, frozenset(slugs), version)


def _spoken(offers: Iterable[Offer]) -> list[Offer]:
    """The offers, each under the provider that is spoken to about it."""
    found: list[Offer] = []
    for offer in offers:
        # What nobody here can say to a provider is not on offer there, unless the operator put it there himself.
        slug = offer.provider if is_operators(offer.source) else speaker(offer.provider, offer.native_id)
        if slug is not None:
            found.append(offer if slug == offer.provider else replace(offer, provider=slug))
    return found


def _order(preferred: str | None, offer: Offer) -> tuple[int, bool, str, str, int]:
    return (offer.priority, offer.provider != preferred, offer.provider, offer.native_id, offer.id)
