"""What does an answer cost? Pure arithmetic over a pinned price: exact integers, rounded half to even once, at the end.

Every token is charged in exactly one kind. Cached and cache-written tokens are part of the prompt count, reasoning, audio
and image tokens part of their side's count; what is left over is charged at the base price. Pieces (images, seconds,
characters, searches of the web) are charged where the price states one for them. The sum is kept in nano-USD x 10^6 (tokens x
nano-USD per million tokens) until the single rounding.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from gatewayz.catalog.prices import WEB_SEARCH, PriceSnapshot, PriceTier
from gatewayz.core.money import TOKENS_PER_PRICE_UNIT, divide_half_even
from gatewayz.core.usage import Usage


@dataclass(frozen=True, slots=True)
class _Rates:
    prompt: int
    completion: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    reasoning: int
    audio_input: int
    audio_output: int
    image_input: int
    image_output: int


def cost(price: PriceSnapshot, usage: Usage) -> int:
    """Nano-USD of an answer with this usage at this price, request fee included. Never negative."""
    rates = _rates(price, usage.prompt_tokens)
    special_in = (
        usage.cached_tokens
        + usage.cache_write_5m_tokens
        + usage.cache_write_1h_tokens
        + usage.audio_input_tokens
        + usage.image_input_tokens
    )
    special_out = usage.reasoning_tokens + usage.audio_output_tokens + usage.image_output_tokens
    micro = (
        max(0, usage.prompt_tokens - special_in) * rates.prompt
        + usage.cached_tokens * rates.cache_read
        + usage.cache_write_5m_tokens * rates.cache_write_5m
        + usage.cache_write_1h_tokens * rates.cache_write_1h
        + usage.audio_input_tokens * rates.audio_input
        + max(0, usage.completion_tokens - special_out) * rates.completion
        + usage.reasoning_tokens * rates.reasoning
        + usage.audio_output_tokens * rates.audio_output
        + usage.image_input_tokens * rates.image_input
        + usage.image_output_tokens * rates.image_output
    )
    if price.units:
        micro += _pieces(price, usage)
    return divide_half_even(micro, TOKENS_PER_PRICE_UNIT) + price.request_nano_usd


def _pieces(price: PriceSnapshot, usage: Usage) -> int:
    """Nano-USD x 10^6 of what is priced by the piece."""
    unit = price.units.get
    return (
        usage.images * unit("image", 0) * 1_000_000
        + usage.audio_input_ms * unit("second_input", 0) * 1_000
        + usage.audio_output_ms * unit("second_output", 0) * 1_000
        + usage.characters * unit("million_characters", 0)
        + usage.searches * unit("query", 0) * 1_000_000
        + usage.web_searches * unit(WEB_SEARCH, 0) * 1_000_000
    )


def ceiling(price: PriceSnapshot, prompt_tokens: int, max_output_tokens: int, choices: int = 1) -> int:
    """Nano-USD that must be set aside: the estimated prompt and the longest possible answers, each at its dearest kind.

    A cache write costs more than plain input at some providers, and nobody knows beforehand whether one will happen; but
    the client asked for it, so the charge may exceed the hold by that difference. Input is therefore taken at the plain
    price, as the answer without caching would cost.
    """
    rates = _rates(price, prompt_tokens)
    output = max(rates.completion, rates.reasoning)
    micro = prompt_tokens * rates.prompt + max_output_tokens * choices * output
    return divide_half_even(micro, TOKENS_PER_PRICE_UNIT) + price.request_nano_usd


def price_json(price: PriceSnapshot) -> str:
    """The pinned price as it is kept with the ledger row: nano-USD per million tokens or piece, source and version."""
    fields = {
        "id": price.id,
        "source": price.source,
        "effective_from_us": price.effective_from_us,
        "prompt": price.prompt,
        "completion": price.completion,
        "cache_read": price.cache_read,
        "cache_write_5m": price.cache_write_5m,
        "cache_write_1h": price.cache_write_1h,
        "reasoning": price.reasoning,
        "audio_input": price.audio_input,
        "audio_output": price.audio_output,
        "image_input": price.image_input,
        "image_output": price.image_output,
        "basis": price.basis or None,
        "units": _charged_units(price) or None,
        "request_nano_usd": price.request_nano_usd or None,
        "tiers": [
            {
                "above_prompt_tokens": tier.above_prompt_tokens,
                "prompt": tier.prompt,
                "completion": tier.completion,
                "cache_read": tier.cache_read,
                "cache_write_5m": tier.cache_write_5m,
                "cache_write_1h": tier.cache_write_1h,
            }
            for tier in price.tiers
        ]
        or None,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None}, separators=(",", ":"))


def _charged_units(price: PriceSnapshot) -> dict[str, int]:
    """The prices by the piece that are charged: of a price as it was stated, that of web searches alone."""
    if price.basis or not price.units:
        return dict(price.units)
    return {WEB_SEARCH: price.units[WEB_SEARCH]} if WEB_SEARCH in price.units else {}


def usage_json(usage: Usage) -> str:
    """The metered usage as it is kept with the ledger row; zero counts are left out."""
    kept = _KeptUsage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        usage.image_input_tokens,
        usage.image_output_tokens,
        usage.images,
        usage.audio_input_ms,
        usage.audio_output_ms,
        usage.characters,
        usage.searches,
        usage.web_searches,
        usage.estimated,
    )
    return _encode(kept).decode()


@lru_cache(maxsize=4096)
def price_from_json(text: str) -> PriceSnapshot:
    """The inverse of `price_json`: a price that charges the same for every usage. Raises ValueError for other text."""
    return _PRICES.decode(text)


def usage_from_json(text: str) -> Usage:
    """The inverse of `usage_json`. Raises ValueError for other text."""
    kept = _USAGES.decode(text)
    return Usage(
        prompt_tokens=kept.prompt,
        completion_tokens=kept.completion,
        cached_tokens=kept.cached,
        cache_write_5m_tokens=kept.cache_write_5m,
        cache_write_1h_tokens=kept.cache_write_1h,
        reasoning_tokens=kept.reasoning,
        audio_input_tokens=kept.audio_input,
        audio_output_tokens=kept.audio_output,
        image_input_tokens=kept.image_input,
        image_output_tokens=kept.image_output,
        images=kept.images,
        audio_input_ms=kept.audio_input_ms,
        audio_output_ms=kept.audio_output_ms,
        characters=kept.characters,
        searches=kept.searches,
        web_searches=kept.web_searches,
        estimated=kept.estimated,
    )


# A member that this version does not know would be left out of the sum, so it is refused instead.
class _KeptUsage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    images: int = 0
    audio_input_ms: int = 0
    audio_output_ms: int = 0
    characters: int = 0
    searches: int = 0
    web_searches: int = 0
    estimated: bool = False


_PRICES = msgspec.json.Decoder(PriceSnapshot)
_USAGES = msgspec.json.Decoder(_KeptUsage)
_encode = msgspec.json.Encoder().encode

# Rates by the identity of the price and by tier. The price is kept beside them, so that no other takes its identity.
_known_rates: dict[tuple[int, int], tuple[PriceSnapshot, _Rates]] = {}
_MAX_KNOWN = 8192


def _rates(price: PriceSnapshot, prompt_tokens: int) -> _Rates:
    """The rates of the tier that the prompt falls into; worked out once for each price object."""
    tier = price.tier_for(prompt_tokens) if price.tiers else None
    key = (id(price), tier.above_prompt_tokens if tier is not None else -1)
    known = _known_rates.get(key)
    if known is None:
        if len(_known_rates) >= _MAX_KNOWN:
            _known_rates.clear()
        known = _known_rates[key] = (price, _rates_in(price, tier))
    return known[1]


def _rates_in(price: PriceSnapshot, tier: PriceTier | None) -> _Rates:
    """The rates of a tier (None: the base prices); a kind without its own price costs what its base kind costs."""
    if tier is None:
        write_5m = _or(price.cache_write_5m, price.prompt)
        return _Rates(
            prompt=price.prompt,
            completion=price.completion,
            cache_read=_or(price.cache_read, price.prompt),
            cache_write_5m=write_5m,
            cache_write_1h=_or(price.cache_write_1h, write_5m),
            reasoning=_or(price.reasoning, price.completion),
            audio_input=_or(price.audio_input, price.prompt),
            audio_output=_or(price.audio_output, price.completion),
            image_input=_or(price.image_input, price.prompt),
            image_output=_or(price.image_output, price.completion),
        )
    write_5m = _or(tier.cache_write_5m, tier.prompt)
    return _Rates(
        prompt=tier.prompt,
        completion=tier.completion,
        cache_read=_or(tier.cache_read, tier.prompt),
        cache_write_5m=write_5m,
        cache_write_1h=_or(tier.cache_write_1h, write_5m),
        reasoning=tier.completion,
        audio_input=max(tier.prompt, _or(price.audio_input, tier.prompt)),
        audio_output=max(tier.completion, _or(price.audio_output, tier.completion)),
        image_input=max(tier.prompt, _or(price.image_input, tier.prompt)),
        image_output=max(tier.completion, _or(price.image_output, tier.completion)),
    )


def _or(own: int | None, base: int) -> int:
    return base if own is None else own
