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
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    special_in = (
        usage.cached_tokens
        + usage.cache_write_5m_tokens
        + usage.cache_write_1h_tokens
        + usage.audio_input_tokens
        + usage.image_input_tokens
    )
    special_out = usage.reasoning_tokens + usage.audio_output_tokens + usage.image_output_tokens
    if special_in or special_out or price.tiers:
        plain_in, plain_out = max(0, prompt - special_in), max(0, completion - special_out)
        micro = _by_kind(_rates(price, prompt), usage, plain_in, plain_out)
    else:
        micro = prompt * price.prompt + completion * price.completion
    if price.units:
        micro += _pieces(price, usage)
    return divide_half_even(micro, TOKENS_PER_PRICE_UNIT) + price.request_nano_usd


def _by_kind(rates: _Rates, usage: Usage, plain_in: int, plain_out: int) -> int:
    """Nano-USD x 10^6 of all tokens, each kind at its own price; the plain ones are those of no other kind."""
    return (
        plain_in * rates.prompt
        + usage.cached_tokens * rates.cache_read
        + usage.cache_write_5m_tokens * rates.cache_write_5m
        + usage.cache_write_1h_tokens * rates.cache_write_1h
        + usage.audio_input_tokens * rates.audio_input
        + usage.image_input_tokens * rates.image_input
        + plain_out * rates.completion
        + usage.reasoning_tokens * rates.reasoning
        + usage.audio_output_tokens * rates.audio_output
        + usage.image_output_tokens * rates.image_output
    )


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
    tier = price.tier_for(prompt_tokens) if price.tiers else None
    if tier is not None:
        prompt, output = tier.prompt, tier.completion
    else:
        prompt, output, reasoning = price.prompt, price.completion, price.reasoning
        if reasoning is not None and reasoning > output:
            output = reasoning
    micro = prompt_tokens * prompt + max_output_tokens * choices * output
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
    return _encode(usage).decode()


@lru_cache(maxsize=4096)
def price_from_json(text: str) -> PriceSnapshot:
    """The inverse of `price_json`: a price that charges the same for every usage. Raises ValueError for other text."""
    return _PRICES.decode(text)


def usage_from_json(text: str) -> Usage:
    """The inverse of `usage_json`. Raises ValueError for other text."""
    return _USAGES.decode(text)


_PRICES = msgspec.json.Decoder(PriceSnapshot)
_USAGES = msgspec.json.Decoder(Usage)
_encode = msgspec.json.Encoder().encode

# Rates by the identity of the price, or of the tier. The price is kept beside them, so that no other takes its identity.
_known_rates: dict[int, tuple[PriceSnapshot, _Rates]] = {}
_MAX_KNOWN = 8192


def _rates(price: PriceSnapshot, prompt_tokens: int) -> _Rates:
    """The rates of the tier that the prompt falls into; worked out once for each price object."""
    tier = price.tier_for(prompt_tokens) if price.tiers else None
    known = _known_rates.get(id(tier or price))
    if known is None or known[0] is not price:  # two prices may share a tier, and not what it is silent about
        if len(_known_rates) >= _MAX_KNOWN:
            _known_rates.clear()
        known = _known_rates[id(tier or price)] = (price, _rates_in(price, tier))
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
