"""One model as the lists show it: for OpenAI clients with our facts, for Anthropic clients, and offer by offer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gatewayz.catalog import Model, Offer, usd_per_token_text
from gatewayz.catalog.listing import Served
from gatewayz.catalog.models import CAPABILITIES, media_of
from gatewayz.catalog.prices import WEB_SEARCH, PriceSnapshot
from gatewayz.core.money import usd_text
from gatewayz.infra.clock import US_PER_S, iso, parse_time_us
from gatewayz.operations.traffic import NOTHING, Figures, Usage
from gatewayz.routing.breaker_state import BreakerState

_TOKEN_PRICES = (
    ("prompt", "prompt"),
    ("completion", "completion"),
    ("cache_read", "cache_read"),
    ("cache_write_5m", "cache_write"),
    ("cache_write_1h", "cache_write_1h"),
    ("reasoning", "reasoning"),
    ("audio_input", "audio_input"),
    ("audio_output", "audio_output"),
    ("image_input", "image_input_tokens"),
    ("image_output", "image_output_tokens"),
)
_METRICS = (
    "downloads",
    "likes",
    "parameters",
    "pipeline_tag",
    "author",
    "avatar_url",
    "inference_providers",
    "fetched_at",
)
_NOBODY: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of health and fame: providers whose breaker is open or being probed, recorded use, and what Hugging
    Face says. Health rests on these alone; a model that nobody used is `unknown`."""

    paused: frozenset[str] = frozenset()
    probed: frozenset[str] = frozenset()
    usage: Usage = NOTHING
    huggingface: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: _NOBODY)

    def of_offer(self, offer: Offer) -> str:
        """`healthy`, `degraded`, `unhealthy` or `unknown`."""
        if offer.provider in self.paused:
            return "unhealthy"
        if offer.provider in self.probed:
            return "degraded"
        seen = self.usage.of("hour", offer.model_id, offer.provider)
        if seen is None or not seen.requests:
            return "unknown"
        return "healthy" if seen.errors < seen.requests else "unhealthy"

    def of_model(self, row: Served) -> str:
        """The same for all its offers together: one that works is enough, one that does not is a blemish."""
        states = {self.of_offer(offer) for offer in row.offers}
        if states == {"unhealthy"}:
            return "unhealthy"
        if states & {"unhealthy", "degraded"}:
            return "degraded"
        return "healthy" if "healthy" in states else "unknown"


def standing_of(states: Mapping[str, BreakerState], usage: Usage, huggingface: Mapping[str, Any]) -> Standing:
    """The standing of this moment."""
    paused = frozenset(slug for slug, state in states.items() if state is BreakerState.OPEN)
    probed = frozenset(slug for slug, state in states.items() if state is BreakerState.HALF_OPEN)
    return Standing(paused, probed, usage, huggingface)


def openai_entry(row: Served, standing: Standing) -> dict[str, Any]:
    """One model as its first offer serves it."""
    model, first = row.model, row.offers[0]
    before, after = media_of(model.modality)
    metrics = standing.huggingface.get((model.huggingface_id or "").lower())
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_at_us // US_PER_S,
        "owned_by": model.vendor,
        "kind": model.kind,
        "name": model.name,
        "provider_slug": first.provider,
        "source_gateway": first.provider,
        "providers": list(dict.fromkeys(offer.provider for offer in row.offers)),
        "context_length": first.context_length,
        "max_output_tokens": first.max_output_tokens,
        "modality": model.modality,
        "architecture": {
            "modality": model.modality,
            "input_modalities": sorted(before),
            "output_modalities": sorted(after),
        },
        "pricing": pricing(priced(first)),
        **{f"supports_{name}": name in first.capabilities for name in CAPABILITIES if name != "json_object"},
        "supports_function_calling": "tools" in first.capabilities,
        "supports_json_mode": "json_object" in first.capabilities,
        "supports_web_search": any(WEB_SEARCH in offer.capabilities for offer in row.offers),
        "health_status": standing.of_model(row),
        "is_free": model.is_free,
        "regions": sorted({region for offer in row.offers for region in offer.regions}),
        "huggingface_id": model.huggingface_id,
        "huggingface_metrics": {name: metrics.get(name) for name in _METRICS} if metrics else None,
        "status": model.status,
        "shutdown_date": model.deprecation_date,
    }


def offer_entry(offer: Offer, standing: Standing) -> dict[str, Any]:
    """One offer beside others: price, limits, abilities, and what was recorded in the last day."""
    day = standing.usage.of("day", offer.model_id, offer.provider)
    price = priced(offer)
    return {
        "provider": offer.provider,
        "native_id": offer.native_id,
        "pricing": pricing(price),
        "price_source": price.source,
        "price_since": iso(price.effective_from_us),
        "context_length": offer.context_length,
        "max_output_tokens": offer.max_output_tokens,
        "capabilities": sorted(offer.capabilities),
        "regions": list(offer.regions),
        "health_status": standing.of_offer(offer),
        **recorded(day),
    }


def recorded(figures: Figures | None) -> dict[str, Any]:
    """What was recorded of an offer in a day; null for nothing."""
    return {
        "requests_24h": figures.requests if figures else 0,
        "error_rate_24h": round(figures.errors / figures.requests, 4) if figures and figures.requests else None,
        "latency_ms": figures.latency_ms if figures else None,
        "first_token_ms": figures.first_token_ms if figures else None,
    }


def priced(offer: Offer) -> PriceSnapshot:
    """The offer's price. Raises ValueError if it has none: such an offer is not for show."""
    if offer.price is None:
        raise ValueError("an offer without price is not for show")
    return offer.price


def pricing(price: PriceSnapshot) -> dict[str, str]:
    """USD per token, per request and per piece, as decimal strings; kinds without a price of their own are left out."""
    shown = {name: getattr(price, kind) for kind, name in _TOKEN_PRICES}
    found = {name: usd_per_token_text(value) for name, value in shown.items() if value is not None}
    if price.request_nano_usd:
        found["request"] = usd_text(price.request_nano_usd)
    return found | {unit: usd_text(value) for unit, value in price.units.items()}


def fastest(offers: Sequence[Offer], usage: Usage) -> tuple[Offer, float] | None:
    """The offer with the lowest recorded time to its first token of the last day, in milliseconds; None without records."""
    timed = [
        (figures.first_token_ms if figures.first_token_ms is not None else figures.latency_ms, place, offer)
        for place, offer in enumerate(offers)
        if (figures := usage.of("day", offer.model_id, offer.provider)) is not None
    ]
    known = [(time_ms, place, offer) for time_ms, place, offer in timed if time_ms is not None]
    if not known:
        return None
    time_ms, _, offer = min(known, key=lambda each: each[:2])
    return offer, time_ms


_GOOGLES = {
    "chat": ["generateContent", "streamGenerateContent", "countTokens"],
    "embedding": ["embedContent", "batchEmbedContents"],
}


def gemini_entry(model: Model, offer: Offer) -> dict[str, Any]:
    """Google's form of one model, with the methods by which it can be asked here."""
    limits = {"inputTokenLimit": offer.context_length, "outputTokenLimit": offer.max_output_tokens}
    return {
        "name": f"models/{model.id}",
        "displayName": model.name,
        **{name: limit for name, limit in limits.items() if limit is not None},
        "supportedGenerationMethods": _GOOGLES.get(model.kind, []),
        "thinking": "reasoning" in offer.capabilities,
    }


def anthropic_entry(model: Model, offer: Offer) -> dict[str, Any]:
    """Anthropic's form of one model. What is listed can be called, so it is never `retired`."""
    retires_at = None if model.deprecation_date is None else iso(parse_time_us(model.deprecation_date))
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": iso(model.created_at_us),
        "lifecycle": "active" if retires_at is None else "deprecated",
        "retires_at": retires_at,
        "max_input_tokens": offer.context_length,
        "max_tokens": offer.max_output_tokens,
    }
