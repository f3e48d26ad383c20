"""What the caller prefers among providers: who may serve, who must not, at which price, in which order. Pure values and rules.

These are the members of OpenRouter's `provider` object. What the gateway does not know of an offer never counts in its
favour: a caller who rules out what is unknown to be safe gets an offer of which it is known, or none.
"""

import re
from dataclasses import dataclass
from typing import Literal

from gatewayz.catalog.offers import Offer
from gatewayz.catalog.prices import PriceSnapshot
from gatewayz.dialects.parameter_names import understood
from gatewayz.operations.traffic import NOTHING, Figures, Usage
from gatewayz.providers.profile import Provider

Sort = Literal["price", "throughput", "latency", "exacto"]
SORTS: tuple[Sort, ...] = ("price", "throughput", "latency", "exacto")
# A mean over fewer answers says little about the next one.
LEAST_SAMPLES = 5

QUANTIZATIONS = (
    "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown",
)  # fmt: skip
_QUANTIZATION = re.compile(r"(?<![a-z0-9])(int4|int8|mxfp4|nvfp4|fp4|fp6|mxfp8|fp8|fp16|bf16|fp32)(?![a-z0-9])")

# Each word of an exclusion, as it is told to the caller who asked for it.
REASONS = {
    "not_in_only": "is not in `provider.only`",
    "ignored": "is in `provider.ignore`",
    "not_in_order": "is not in `provider.order`, and `allow_fallbacks` is false",
    "fallbacks_not_allowed": "comes after the first, and `allow_fallbacks` is false",
    "data_collection_unknown": "is not known to keep no data, which `data_collection: deny` demands",
    "zdr_unknown": "is not known to retain nothing, which `zdr` demands",
    "distillable_unknown": "is not known to allow distillation, which `enforce_distillable_text` demands",
    "quantization_not_wanted": "is not known to run in one of `provider.quantizations`",
    "price_above_max": "costs more than `provider.max_price`",
    "lacks_parameters": "does not understand every parameter of the request, which `require_parameters` demands",
}


@dataclass(frozen=True, slots=True)
class Preferences:
    """One `provider` object as a value; the default prefers nothing.

    Prices are ceilings in nano-USD: of prompt and completion per million tokens, of a request and of an image in the prompt
    per one. `parameters` are the names that an offer must understand. `max_latency_s` and `min_throughput` (tokens per
    second) move who does not reach them behind those who do. `streamed`: latency is that of the first token.
    """

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    parameters: frozenset[str] = frozenset()
    deny_collection: bool = False
    zero_retention: bool = False
    distillable: bool = False
    quantizations: tuple[str, ...] = ()
    sort: Sort | None = None
    max_prompt: int | None = None
    max_completion: int | None = None
    max_request: int | None = None
    max_image: int | None = None
    max_latency_s: float | None = None
    min_throughput: float | None = None

    @property
    def measured(self) -> bool:
        """True if the order rests on what was recorded, and may be another one when there are new records."""
        by_measure = self.sort in ("throughput", "latency")
        return by_measure or self.max_latency_s is not None or self.min_throughput is not None

    @property
    def explores(self) -> bool:
        """True if speed decides and nothing else that the caller said, so that offers without records may be tried."""
        return self.sort in ("throughput", "latency") and not self.order and self.allow_fallbacks

    @property
    def first_only(self) -> bool:
        """True if nobody may stand in for the first; with an order of the caller's own, all in it may."""
        return not self.allow_fallbacks and not self.order

    @property
    def orders(self) -> bool:
        """True if the caller has said who comes first."""
        return bool(self.order) or self.sort is not None or self.measured


def reason_against(offer: Offer, provider: Provider, dialect: str, wanted: Preferences) -> str | None:
    """One of `REASONS` for which this offer is left out; None if nothing speaks against it. `dialect` is spoken to it."""
    slug = offer.provider
    if slug in wanted.ignore:
        return "ignored"
    if wanted.only and slug not in wanted.only:
        return "not_in_only"
    if wanted.order and not wanted.allow_fallbacks and slug not in wanted.order:
        return "not_in_order"
    if not provider.local:
        # What runs on the operator's own machine collects nothing; of the others no source states it yet.
        if wanted.deny_collection:
            return "data_collection_unknown"
        if wanted.zero_retention:
            return "zdr_unknown"
    if wanted.distillable:
        return "distillable_unknown"
    if wanted.quantizations and (quantization(offer.native_id) or "unknown") not in wanted.quantizations:
        return "quantization_not_wanted"
    if offer.price is not None and _is_above(offer.price, wanted):
        return "price_above_max"
    if wanted.parameters - understood(dialect, offer.capabilities, provider.quirks.drop_params):
        return "lacks_parameters"
    return None


def place_of(offer: Offer, wanted: Preferences, usage: Usage) -> tuple[float, ...]:
    """Where an offer stands for this caller; smaller comes first, equal leaves the usual order."""
    figures = recorded(offer, usage) if wanted.measured else None
    listed = wanted.order.index(offer.provider) if offer.provider in wanted.order else len(wanted.order)
    return (float(listed), float(_misses(figures, wanted)), *_sorted_by(offer, figures, wanted.sort))


def recorded(offer: Offer, usage: Usage) -> Figures | None:
    """What was recorded of an offer lately; None if it is too little to go by."""
    figures = usage.of("hour", offer.model_id, offer.provider)
    return figures if figures is not None and figures.requests - figures.errors >= LEAST_SAMPLES else None


def notes_on(wanted: Preferences, offers: tuple[Offer, ...], usage: Usage = NOTHING) -> list[str]:
    """What of the caller's wish could not be followed, in words."""
    notes = []
    if wanted.sort == "exacto":
        notes.append("Nothing is measured of the exactness of tool calls: `exacto` leaves the usual order.")
    if wanted.measured and not any(recorded(offer, usage) for offer in offers):
        notes.append(
            f"None of these offers has {LEAST_SAMPLES} recorded answers of the last hour: the usual order is kept."
        )
    return notes


def quantization(native_id: str) -> str | None:
    """The precision that a provider's own name of a model ends in or mentions, e.g. `fp8`; None where it says nothing."""
    found = _QUANTIZATION.search(native_id.lower())
    return found[1] if found else None


def latency_s(figures: Figures) -> float | None:
    """Seconds to the first token as recorded, to the whole answer where no first token is known."""
    measured = figures.first_token_ms if figures.first_token_ms is not None else figures.latency_ms
    return None if measured is None else measured / 1000


def _misses(figures: Figures | None, wanted: Preferences) -> bool:
    """Whether the offer is known not to be as fast as the caller would like."""
    if figures is None:
        return False
    latency = latency_s(figures)
    if wanted.max_latency_s is not None and latency is not None and latency > wanted.max_latency_s:
        return True
    speed = figures.tokens_per_s
    return wanted.min_throughput is not None and speed is not None and speed < wanted.min_throughput


def _sorted_by(offer: Offer, figures: Figures | None, sort: Sort | None) -> tuple[float, ...]:
    """By what the caller sorts; who was not measured stands behind all who were."""
    if sort == "price":
        price = offer.price
        return (float(price.prompt + price.completion) if price is not None else float("inf"),)
    if sort == "latency":
        latency = latency_s(figures) if figures is not None else None
        return (float("inf") if latency is None else latency,)
    if sort == "throughput":
        speed = figures.tokens_per_s if figures is not None else None
        return (float("inf") if speed is None else -speed,)
    return ()


def _is_above(price: PriceSnapshot, wanted: Preferences) -> bool:
    image = price.units.get("image_input")
    return any(
        most is not None and asked is not None and asked > most
        for most, asked in (
            (wanted.max_prompt, price.prompt),
            (wanted.max_completion, price.completion),
            (wanted.max_request, price.request_nano_usd),
            (wanted.max_image, image),
        )
    )
