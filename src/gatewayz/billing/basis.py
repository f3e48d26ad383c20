"""By what is a service charged? From a price as it was stated to what of it counts for one service and variant.

An offer may state several prices for the same thing: tokens and characters, seconds and tokens. One of them is the basis of
a charge, the others would charge twice. It is chosen before the request, pinned with it, and kept in the ledger.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from gatewayz.catalog.prices import NO_UNITS, WEB_SEARCH, PriceSnapshot

# The units by which a service may be charged, the first one that an offer prices; then tokens, where they are counted.
_UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "embeddings": (),
        "moderations": (),
        "rerank": ("query",),
        "image_generations": ("image",),
        "image_edits": ("image",),
        "image_variations": ("image",),
        "transcriptions": ("second_input",),
        "translations": ("second_input",),
        "speech": ("million_characters", "second_output"),
    }
)
# Speech comes as bytes that count no tokens.
_NEVER_BY_TOKEN = frozenset({"speech"})
_IMAGES = frozenset({"image_generations", "image_edits", "image_variations"})
_IMAGE = "image"
_TOKENS = ("prompt", "completion", "audio_input", "audio_output", "image_input", "image_output")


def billed_by(price: PriceSnapshot, service: str, variant: str = "") -> PriceSnapshot | None:
    """What of the price counts for this service; None if it prices nothing that the service is charged by.

    `variant` is `quality/size` of an image ("" or a part of it where the caller names none). A free price stays free.
    """
    basis = f"{service} {variant}".rstrip()
    if price.is_zero:
        return replace(price, basis=basis, units=NO_UNITS)
    found = _by_unit(price, service, variant)
    if found is not None:
        unit, amount = found
        return PriceSnapshot(
            id=price.id,
            source=price.source,
            effective_from_us=price.effective_from_us,
            prompt=0,
            completion=0,
            request_nano_usd=price.request_nano_usd,
            units=MappingProxyType({unit: amount}),
            basis=basis,
        )
    by_token = service not in _NEVER_BY_TOKEN and any(getattr(price, kind) for kind in _TOKENS)
    if by_token or price.request_nano_usd:
        return replace(price, basis=basis, units=NO_UNITS)
    return None


def like(price: PriceSnapshot, pinned: PriceSnapshot) -> PriceSnapshot | None:
    """Another price of the same thing on the basis of a pinned one; None if it has nothing to say about it."""
    if price.basis == pinned.basis:
        if WEB_SEARCH in pinned.units and WEB_SEARCH not in price.units:
            # It says nothing about searches: they cost what they did.
            return replace(price, units=MappingProxyType({**price.units, WEB_SEARCH: pinned.units[WEB_SEARCH]}))
        return price
    service, _, variant = pinned.basis.partition(" ")
    if not service:
        return None
    found = billed_by(price, service, variant)
    # Who was charged by the piece has no tokens on record, or other pieces: that would come out as nothing.
    if found is None or (pinned.units and found.units.keys() != pinned.units.keys()):
        return None
    return found


def counts_tokens(price: PriceSnapshot) -> bool:
    """Whether tokens are charged."""
    return any(getattr(price, kind) for kind in _TOKENS)


def _by_unit(price: PriceSnapshot, service: str, variant: str) -> tuple[str, int] | None:
    if service in _IMAGES:
        amount = _image(price.units, variant)
        if amount is None and not any(getattr(price, kind) for kind in _TOKENS):
            # Where an image model states nothing else, this is what the collections mean by it.
            amount = price.units.get("image_input")
        return (_IMAGE, amount) if amount else None
    for unit in _UNITS[service]:
        amount = price.units.get(unit)
        if amount:
            return unit, amount
    return None


def _image(units: Mapping[str, int], variant: str) -> int | None:
    """The price of one image: the closest statement about quality and size, else the plain one.

    Where the caller leaves quality or size to the provider and there is no plain price, the dearest that fits.
    """
    quality, _, size = variant.partition("/")
    for name in (f"{quality}/{size}", size, quality):
        amount = units.get(f"{_IMAGE}:{name}")
        if amount is not None:
            return amount
    if _IMAGE in units:
        return units[_IMAGE]
    stated = {name.removeprefix(f"{_IMAGE}:"): amount for name, amount in units.items() if name.startswith("image:")}
    fitting = [amount for name, amount in stated.items() if _fits(name, quality, size)]
    return max(fitting, default=None)


def _fits(stated: str, quality: str, size: str) -> bool:
    of_quality, slash, of_size = stated.partition("/")
    if not slash:
        return (not size) if "x" in of_quality else (not quality)
    return (not quality or quality == of_quality) and (not size or size == of_size)
