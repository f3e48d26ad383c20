"""What does it cost? Published prices as exact integers, frozen so that a charge can be pinned to one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from gatewayz.core.money import NANO_PER_USD, TOKENS_PER_PRICE_UNIT

NO_UNITS: Mapping[str, int] = MappingProxyType({})
WEB_SEARCH = "web_search"

# Names of prices that are not per token, in nano-USD per one: kept and shown, whatever is billed by them.
UNIT_NAMES = (
    "image",  # one generated image; `image:hd/1024x1024` where quality, size or both decide
    "image_input",  # one image in the prompt
    "second_input",  # one second of audio or video in
    "second_output",  # one second of audio or video out
    WEB_SEARCH,  # one search of the web that a provider runs for an answer
    "query",
    "page",
    "million_characters",
    "million_pixels_input",
    "million_pixels_output",
)


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Prices of a request whose prompt is longer than `above_prompt_tokens`; nano-USD per million tokens.

    They apply to the whole request. A kind that is None costs this tier's `prompt` price.
    """

    above_prompt_tokens: int
    prompt: int
    completion: int
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None


@dataclass(frozen=True, slots=True)
class PriceSnapshot:
    """One version of an offer's price: what billing pins to a request before the provider is called.

    Token prices are nano-USD per million tokens. None means: no price of its own, so it costs what its base kind costs.
    The base of `cache_read`, `cache_write_5m`, `audio_input` and `image_input` is `prompt`; of `cache_write_1h` it is
    `cache_write_5m`; of `reasoning`, `audio_output` and `image_output` it is `completion`. `request_nano_usd` is added
    once per request. `tiers` are sorted by `above_prompt_tokens`. `units` holds prices per piece (see `UNIT_NAMES`).
    `basis` is "" for a price as it was stated; else it names the service (and the variant, after a blank) whose requests
    are charged by what is left of it, see `billing/basis.py`.
    `id` is the row in `price_history`, `source` who stated the price, `effective_from_us` since when it applies here.
    """

    id: int
    source: str
    effective_from_us: int
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
    units: Mapping[str, int] = field(default_factory=lambda: NO_UNITS)
    basis: str = ""

    @property
    def is_zero(self) -> bool:
        """True if no token, request or piece costs anything."""
        tokens = (self.prompt, self.completion, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        others = (self.reasoning, self.audio_input, self.audio_output, self.image_input, self.image_output)
        tiers = any(tier.prompt or tier.completion for tier in self.tiers)
        return not (any(tokens) or any(others) or self.request_nano_usd or tiers or any(self.units.values()))

    @property
    def by_token(self) -> bool:
        """True if prompt or completion tokens cost something."""
        return self.prompt > 0 or self.completion > 0

    def tier_for(self, prompt_tokens: int) -> PriceTier | None:
        """The tier that a prompt of this length falls into, None for the base prices."""
        chosen = None
        for tier in self.tiers:
            if prompt_tokens > tier.above_prompt_tokens:
                chosen = tier
        return chosen


def usd_per_token_text(nano_per_mtok: int) -> str:
    """USD per token as a plain decimal string, exact: 2_500_000_000 (2.50 USD per million) is `0.0000025`."""
    value = Decimal(nano_per_mtok) / NANO_PER_USD / TOKENS_PER_PRICE_UNIT
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
