"""What one source says of models, offers and prices: the form of the packaged seed, and what the configuration becomes.

Facts that a source does not state are None (or absent from `capabilities`) and filled when the sources are merged.
"""

import msgspec

from gatewayz.catalog.prices import PriceTier


class PriceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stated price; kinds and units as in `prices.PriceSnapshot`."""

    prompt: int
    completion: int
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    batch_prompt: int | None = None
    batch_completion: int | None = None
    request_nano_usd: int = 0
    tiers: tuple[PriceTier, ...] = ()
    units: dict[str, int] = {}


class OfferRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stated offer. `active` false with a `reason` keeps what is known without using it."""

    provider: str
    native_id: str
    price: PriceRecord | None = None
    regions: tuple[str, ...] = ()
    variant: str = ""
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: dict[str, bool] = {}
    priority: int = 0
    suspect: bool = False
    status: str = "active"
    confidence: str | None = None
    stated_by: str = ""
    active: bool = True
    reason: str | None = None


class ModelRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stated model with the offers that the same source states for it."""

    id: str
    name: str | None = None
    vendor: str | None = None
    kind: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    modality: str | None = None
    capabilities: dict[str, bool] = {}
    released_at_us: int | None = None
    huggingface_id: str | None = None
    status: str | None = None
    deprecation_date: str | None = None
    offers: tuple[OfferRecord, ...] = ()


def capability_words(capabilities: dict[str, bool]) -> str:
    """The stored form: sorted words, `!` in front of what is denied."""
    return " ".join(name if stated else f"!{name}" for name, stated in sorted(capabilities.items()))


def capabilities_from_words(words: str) -> dict[str, bool]:
    """The inverse of `capability_words`."""
    return {word.lstrip("!"): not word.startswith("!") for word in words.split()}
