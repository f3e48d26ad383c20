"""Which model is meant? From what the caller typed to a model, its offers, and what the name says about providers."""

from collections.abc import Container, Mapping
from dataclasses import replace
from types import MappingProxyType

from gatewayz.catalog.detection import organisation_of_name, provider_of_format
from gatewayz.catalog.snapshot import Catalog, Resolved, SuffixSort
from gatewayz.core.errors import InvalidRequest, NotFound

FREE = ":free"
ONLINE = ":online"
# Suffixes that say by what the providers of the same model are sorted.
SORTING: Mapping[str, SuffixSort] = MappingProxyType(
    {":fast": "latency", ":nitro": "throughput", ":floor": "price", ":exacto": "exacto"}
)
_LONGEST_NAME = 256


def resolve(catalog: Catalog, typed: str, *, kind: str = "chat", providers: Container[str] | None = None) -> Resolved:
    """The model that a name stands for, any case, outer blanks ignored, with its offers.

    Order: retired name, canonical id, alias; then the provider's own way of writing (`accounts/fireworks/…`), a
    provider in front (`groq/…`), the family of a bare name. Raises NotFound `model_not_found` naming what was typed,
    with close matches served by `providers` (None: by anybody); InvalidRequest `model_kind_not_served` if the model is
    not of this `kind`.
    """
    found = find(catalog, typed)
    if found is None:
        raise not_found(catalog, typed, providers)
    if found.model.kind != kind:
        raise InvalidRequest(
            f"The model {typed.strip()} is of kind {found.model.kind}; this endpoint needs one of kind {kind}.",
            code="model_kind_not_served",
            param="model",
        )
    return found


def find(catalog: Catalog, typed: str) -> Resolved | None:
    """As `resolve`, for a model of any kind; None if the name means nothing."""
    name = typed.strip().lower()
    if len(name) > _LONGEST_NAME:
        return None
    return catalog.exact.get(name) or _with_suffix(catalog, name) or _looked_up(catalog, name)


def pin(catalog: Catalog, found: Resolved, provider: str, typed: str) -> Resolved:
    """The same model at one provider only (the caller's override). Raises NotFound if it is not offered there."""
    slug = catalog.provider_named(provider.strip().lower())
    pinned = _at(found, slug) if slug else None
    if pinned is None:
        raise NotFound(
            f"The model {typed.strip()} is not offered by the provider {provider.strip()}.",
            code="model_not_found",
            param="provider",
            suggestions=sorted({offer.provider for offer in found.offers if offer.usable})[:5],
        )
    return pinned


def not_found(catalog: Catalog, typed: str, providers: Container[str] | None = None) -> NotFound:
    """The refusal of an unknown name, in the caller's own words, with close matches served by `providers`."""
    shown = typed.strip()[:200]
    near = [name for name in catalog.near(shown, 12) if providers is None or catalog.served_by(name, providers)][:3]
    hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/models lists the models that are served."
    return NotFound(
        f"The model `{shown}` does not exist.{hint}", code="model_not_found", param="model", suggestions=near
    )


def _with_suffix(catalog: Catalog, name: str) -> Resolved | None:
    base, colon, suffix = name.rpartition(":")
    if not colon:
        return None
    sort = SORTING.get(colon + suffix)
    if sort is not None:
        found = catalog.exact.get(base) or _with_suffix(catalog, base) or _looked_up(catalog, base)
        return replace(found, sort=sort) if found else None
    if colon + suffix == ONLINE:
        found = catalog.exact.get(base) or _with_suffix(catalog, base) or _looked_up(catalog, base)
        return replace(found, online=True) if found else None
    if colon + suffix == FREE and base.endswith(ONLINE):
        name = base.removesuffix(ONLINE) + FREE
        found = catalog.exact.get(name) or _with_suffix(catalog, name)
        return replace(found, online=True) if found else None
    if colon + suffix == FREE:
        # The paid model of that name is never meant: whoever writes :free does not want to be charged.
        found = catalog.exact.get(base) or _looked_up(catalog, base)
        free = catalog.exact.get(found.model.id.lower() + FREE) if found else None
        return _at(free, found.provider_pin) if free and found and found.provider_pin else free
    return None


def _looked_up(catalog: Catalog, name: str) -> Resolved | None:
    provider = provider_of_format(name)
    if provider is not None:
        return _at_provider(catalog, provider, name)
    head, slash, rest = name.partition("/")
    if not slash:
        organisation = organisation_of_name(name)
        return catalog.exact.get(f"{organisation}/{name}") if organisation else None
    if head == "models":
        return catalog.exact.get(rest) or _looked_up(catalog, rest)
    slug = catalog.provider_named(head)
    return _at_provider(catalog, slug, rest) if slug else None


def _at_provider(catalog: Catalog, slug: str, name: str) -> Resolved | None:
    native = catalog.native.get((slug, name))
    found = catalog.exact.get(native) if native else catalog.exact.get(name)
    if found is None:
        return None
    # `anthropic/claude-…` names the organisation; only where the provider is somebody else is it a wish.
    return found if found.model.vendor == slug else _at(found, slug)


def _at(found: Resolved, slug: str) -> Resolved | None:
    offers = tuple(offer for offer in found.offers if offer.provider == slug)
    return replace(found, offers=offers, provider_pin=slug) if offers else None
