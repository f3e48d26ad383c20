"""One model, endpoint and provider as OpenRouter shows them. What the catalog does not know is null or left out."""

from typing import Any

from gatewayz.api.public.model_entry import Standing, priced, recorded
from gatewayz.catalog import Offer
from gatewayz.catalog.listing import Served
from gatewayz.catalog.models import Model, media_of
from gatewayz.catalog.prices import PriceSnapshot, PriceTier, usd_per_token_text
from gatewayz.core.money import usd_text
from gatewayz.dialects.parameter_names import understood
from gatewayz.infra.clock import US_PER_S
from gatewayz.providers.registry import Providers
from gatewayz.routing.preferences import quantization

# In OpenRouter's order; `stream` and the names of other dialects are not in its vocabulary.
_PARAMETERS = (
    "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "max_tokens", "max_completion_tokens",
    "logit_bias", "logprobs", "top_logprobs", "seed", "response_format", "structured_outputs", "stop", "tools",
    "tool_choice", "parallel_tool_calls", "include_reasoning", "reasoning", "reasoning_effort",
)  # fmt: skip
_TOKEN_PRICES = (
    ("prompt", "prompt"),
    ("completion", "completion"),
    ("cache_read", "input_cache_read"),
    ("cache_write_5m", "input_cache_write"),
    ("cache_write_1h", "input_cache_write_1h"),
    ("reasoning", "internal_reasoning"),
    ("audio_input", "audio"),
    ("audio_output", "audio_output"),
    ("image_input", "image_token"),
)
_UNIT_PRICES = (("image_input", "image"), ("image", "image_output"), ("web_search", "web_search"))


def model_entry(row: Served, providers: Providers) -> dict[str, Any]:
    """A model as its first offer serves it; `supported_parameters` are those of all its offers together."""
    model, first = row.model, row.offers[0]
    names = frozenset[str]().union(*(_understood(offer, providers) for offer in row.offers))
    return {
        "id": model.id,
        "canonical_slug": model.id,
        "hugging_face_id": model.huggingface_id,
        "name": model.name,
        "created": model.created_at_us // US_PER_S,
        "description": "",
        "context_length": first.context_length,
        "architecture": architecture(model),
        "pricing": pricing(priced(first)),
        "top_provider": {
            "context_length": first.context_length,
            "max_completion_tokens": first.max_output_tokens,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _ordered(names),
        "supported_voices": None,
        "default_parameters": None,
        "expiration_date": model.deprecation_date,
        "knowledge_cutoff": None,
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }


def endpoint_entry(model: Model, offer: Offer, standing: Standing, providers: Providers) -> dict[str, Any]:
    """One offer of a model. Means are recorded here, no percentiles, so the members for those are null."""
    day = standing.usage.of("day", offer.model_id, offer.provider)
    provider = providers.get(offer.provider)
    name = provider.name if provider is not None else offer.provider
    tools = "tools" in offer.capabilities
    chooses = tools and (provider is None or provider.quirks.tool_choice)
    return {
        "name": f"{name} | {model.id}",
        "model_id": model.id,
        "model_name": model.name,
        "provider_name": name,
        "tag": f"{offer.provider}/{offer.variant}" if offer.variant else offer.provider,
        "context_length": offer.context_length or 0,
        "max_completion_tokens": offer.max_output_tokens,
        "max_prompt_tokens": None,
        "pricing": pricing(priced(offer)),
        "quantization": quantization(offer.native_id),
        "supported_parameters": _ordered(_understood(offer, providers)),
        "supports_tool_choice": {"auto": tools, "none": tools, "required": chooses, "function": chooses},
        "supports_implicit_caching": _caches(offer, providers),
        "supports_diarization": False,
        "native_tools": {},
        "service_tier": None,
        "latency_last_30m": None,
        "throughput_last_30m": None,
        "uptime_last_5m": None,
        "uptime_last_30m": None,
        "uptime_last_1d": round(100 * (1 - day.errors / day.requests), 2) if day is not None and day.requests else None,
        "health_status": standing.of_offer(offer),
        **recorded(day),
        "tokens_per_s": day.tokens_per_s if day is not None else None,
    }


def architecture(model: Model) -> dict[str, Any]:
    """What goes in and what comes out; the tokenizer is not known."""
    before, after = media_of(model.modality)
    return {
        "modality": model.modality,
        "input_modalities": sorted(before),
        "output_modalities": sorted(after),
        "tokenizer": "Other",
        "instruct_type": None,
    }


def pricing(price: PriceSnapshot) -> dict[str, Any]:
    """USD per token, request and piece as decimal strings; what costs nothing of its own is left out."""
    shown: dict[str, Any] = {}
    for kind, name in _TOKEN_PRICES:
        value = getattr(price, kind)
        if value is not None:
            shown[name] = usd_per_token_text(value)
    if price.request_nano_usd:
        shown["request"] = usd_text(price.request_nano_usd)
    shown |= {name: usd_text(price.units[unit]) for unit, name in _UNIT_PRICES if unit in price.units}
    if price.tiers:
        shown["overrides"] = [_tier(each) for each in price.tiers]
    return shown


def _tier(tier: PriceTier) -> dict[str, Any]:
    kinds = (each for each in _TOKEN_PRICES if getattr(tier, each[0], None) is not None)
    prices = {name: usd_per_token_text(getattr(tier, kind)) for kind, name in kinds}
    return {"min_prompt_tokens": tier.above_prompt_tokens + 1, **prices}


def _understood(offer: Offer, providers: Providers) -> frozenset[str]:
    provider = providers.get(offer.provider)
    if provider is None:
        return understood("openai", offer.capabilities, frozenset())
    return understood(provider.dialect, offer.capabilities, provider.quirks.drop_params)


def _ordered(names: frozenset[str]) -> list[str]:
    return [name for name in _PARAMETERS if name in names]


def _caches(offer: Offer, providers: Providers) -> bool:
    """Whether prompts are cached without a mark: Anthropic's dialect wants marks, others that sell cached tokens do not."""
    provider = providers.get(offer.provider)
    by_itself = provider is None or provider.dialect != "anthropic"
    return by_itself and priced(offer).cache_read is not None
