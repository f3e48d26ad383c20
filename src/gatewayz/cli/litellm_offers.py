"""Kinds, prices and limits of a deployment in LiteLLM's words, and what the packaged catalog knows where it is silent."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from gatewayz.catalog.aliases import final_target
from gatewayz.catalog.config import TOKEN_PRICES, UNIT_PRICES
from gatewayz.catalog.records import ModelRecord, OfferRecord, PriceRecord
from gatewayz.core.money import usd_text

# LiteLLM's `model_info.mode` -> kind of model. What is not here cannot be stated in [[models]].
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "chat": "chat", "completion": "chat", "responses": "chat", "embedding": "embedding", "embeddings": "embedding",
        "rerank": "rerank", "moderation": "moderation", "moderations": "moderation",
        "image_generation": "image", "image_edit": "image", "image": "image",
        "audio_transcription": "audio_transcription", "audio_speech": "audio_speech",
    }
)  # fmt: skip
# What a name says of its model's kind where nobody states it.
_NAMED_KINDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"rerank"), "rerank"),
    (re.compile(r"embed|(?:^|/)(?:bge|gte|e5|voyage)-"), "embedding"),
    (re.compile(r"whisper|transcribe"), "audio_transcription"),
    (re.compile(r"(?:^|[/.-])tts(?:$|[-_])|playai-tts"), "audio_speech"),
    (re.compile(r"moderation"), "moderation"),
    (re.compile(r"dall-e|gpt-image|imagen-|stable-diffusion|flux[.-]?\d|titan-image|nova-canvas"), "image"),
)
_PER_TOKEN: Mapping[str, str] = MappingProxyType(
    {
        "input_cost_per_token": "price_prompt_usd_per_mtok",
        "output_cost_per_token": "price_completion_usd_per_mtok",
        "cache_read_input_token_cost": "price_cache_read_usd_per_mtok",
        "cache_creation_input_token_cost": "price_cache_write_usd_per_mtok",
        "cache_creation_input_token_cost_above_1hr": "price_cache_write_1h_usd_per_mtok",
        "output_cost_per_reasoning_token": "price_reasoning_usd_per_mtok",
        "input_cost_per_audio_token": "price_audio_input_usd_per_mtok",
        "output_cost_per_audio_token": "price_audio_output_usd_per_mtok",
        "input_cost_per_image_token": "price_image_input_usd_per_mtok",
        "output_cost_per_image_token": "price_image_output_usd_per_mtok",
        "input_cost_per_character": "price_usd_per_million_characters",
    }
)
_PER_PIECE: Mapping[str, str] = MappingProxyType(
    {
        "input_cost_per_query": "price_search_usd",
        "input_cost_per_request": "price_request_usd",
        "output_cost_per_image": "price_image_usd",
        "input_cost_per_image": "price_image_usd",
        "input_cost_per_second": "price_audio_usd_per_second",
        "input_cost_per_audio_per_second": "price_audio_usd_per_second",
        "output_cost_per_second": "price_speech_usd_per_second",
    }
)
# Of a sound that is heard LiteLLM's list states the price of a second on both sides; it is asked once.
_HEARD: Mapping[str, str] = MappingProxyType({"output_cost_per_second": "price_audio_usd_per_second"})
# Prices that mean something for some kinds only.
_ONLY_OF: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "price_search_usd": frozenset({"rerank"}),
        "price_image_usd": frozenset({"image"}),
        "price_audio_usd_per_second": frozenset({"audio_transcription"}),
        "price_speech_usd_per_second": frozenset({"audio_speech"}),
        "price_usd_per_million_characters": frozenset({"audio_speech"}),
    }
)
_PROMPT, _COMPLETION = "price_prompt_usd_per_mtok", "price_completion_usd_per_mtok"
_TOKENS = (_PROMPT, _COMPLETION, "price_audio_input_usd_per_mtok", "price_image_output_usd_per_mtok")
# By which of these prices an offer of this kind can be charged; chats need a price for both sides.
_CHARGED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "embedding": (_PROMPT,),
        "moderation": (_PROMPT,),
        "rerank": ("price_search_usd", _PROMPT),
        "image": ("price_image_usd", *_TOKENS),
        "audio_transcription": ("price_audio_usd_per_second", *_TOKENS),
        "audio_speech": ("price_usd_per_million_characters", "price_speech_usd_per_second"),
    }
)
LIMITS: Mapping[str, str] = MappingProxyType(
    {"max_input_tokens": "context_length", "max_output_tokens": "max_output_tokens"}
)
ABILITIES: Mapping[str, str] = MappingProxyType(
    {
        "supports_function_calling": "supports_tools",
        "supports_vision": "supports_vision",
        "supports_reasoning": "supports_reasoning",
        "supports_response_schema": "supports_json_schema",
        "supports_audio_input": "supports_audio",
        "supports_pdf_input": "supports_documents",
    }
)
_MILLION = 1_000_000


@dataclass(slots=True)
class Offer:
    """One `[[models.offers]]` table to be; prices are USD as texts, per million tokens or per piece as their names say.

    `variants` are prices of images by quality and size.
    """

    provider: str
    native_id: str
    prices: dict[str, str]
    limits: dict[str, int]
    abilities: dict[str, bool]
    kind: str = "chat"
    variants: dict[str, str] = field(default_factory=dict)
    packaged: str | None = None  # the model of the packaged catalog that has it, if that is known by the same name
    tiered: bool = False  # longer prompts have another price, which a configuration cannot state

    @property
    def is_priced(self) -> bool:
        """True if what such a model is charged by has a price, if only zero."""
        if self.kind == "chat":
            return _PROMPT in self.prices and _COMPLETION in self.prices
        return bool(self.variants) or any(name in self.prices for name in _CHARGED_BY[self.kind])

    @property
    def is_free(self) -> bool:
        """True if nothing costs anything."""
        return all(Decimal(value) == 0 for value in (*self.prices.values(), *self.variants.values()))

    def base_prices(self) -> None:
        """States the price of a prompt where tokens have another one: all other prices of tokens rest on it."""
        if self.kind != "chat" and _PROMPT not in self.prices and any(name in TOKEN_PRICES for name in self.prices):
            self.prices[_PROMPT] = "0"


class KnownModels:
    """The packaged catalog by provider and name; `aliases` are its other names of models."""

    def __init__(self, records: Iterable[ModelRecord], aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._offers: dict[tuple[str, str], tuple[ModelRecord, OfferRecord]] = {}
        self._models: dict[str, tuple[ModelRecord, OfferRecord]] = {}
        self._kinds: dict[tuple[str, str], str | None] = {}
        for record in records:
            self._kinds.setdefault(("", record.id.lower()), record.kind)
            for offer in record.offers:
                self._kinds.setdefault((offer.provider, offer.native_id.lower()), record.kind)
                if offer.price is not None and offer.active and not offer.suspect:
                    self._offers.setdefault((offer.provider, offer.native_id.lower()), (record, offer))
                    self._models.setdefault(record.id.lower(), (record, offer))

    def count_at(self, provider: str) -> int:
        """How many models the provider is known to have."""
        return sum(slug == provider for slug, _ in self._offers)

    def kind_of(self, provider: str, native_id: str, vendor: str) -> str | None:
        """The kind of a model by its provider's name of it, None if it is not known."""
        name = native_id.lower()
        here, at_maker = self._kinds.get((provider, name)), self._kinds.get(("", f"{vendor.lower()}/{name}"))
        # Lists that state no kind make chats of everything.
        return here or (at_maker if at_maker != "chat" else None)

    def serves(self, name: str, offer: Offer) -> str | None:
        """The id of the model of which the packaged catalog has this very offer, if it is known by this name; else None."""
        found = self._offers.get((offer.provider, offer.native_id.lower()))
        typed = name.strip().lower()
        if found is None or found[0].id.lower() not in (typed, final_target(self._aliases, typed).lower()):
            return None
        return found[0].id

    def complete(self, offer: Offer, base_model: str, vendor: str, profile: str | None) -> None:
        """Adds what is known of the same model at the same provider, else at its maker, where the deployment is silent."""
        name = offer.native_id.lower()
        found = self._offers.get((profile or offer.provider, name)) or self._models.get(f"{vendor.lower()}/{name}")
        if found is None and profile == "azure-openai":
            found = self._models.get(f"openai/{base_model.lower().rpartition('/')[2]}")
        if found is None:
            return
        record, known = found
        if not offer.prices and known.price is not None:
            offer.prices, offer.variants = _stated(known.price, offer.kind)
            offer.tiered = bool(known.price.tiers)
        for kind in ("context_length", "max_output_tokens"):
            value = getattr(known, kind) or getattr(record, kind)
            if value:
                offer.limits.setdefault(kind, value)
        for ability, able in {**record.capabilities, **known.capabilities}.items():
            offer.abilities.setdefault(f"supports_{ability}", able)


def kind_in_name(native_id: str) -> str:
    """The kind of a model by its name alone; chat where that says nothing."""
    name = native_id.lower()
    return next((kind for pattern, kind in _NAMED_KINDS if pattern.search(name)), "chat")


def price_member(name: str, kind: str) -> str | None:
    """The member of our offers that one of LiteLLM's prices becomes for a model of this kind, None if it cannot be stated."""
    ours = (_HEARD.get(name) if kind == "audio_transcription" else None) or _PER_TOKEN.get(name) or _PER_PIECE.get(name)
    return ours if ours is not None and kind in _ONLY_OF.get(ours, frozenset({kind})) else None


def is_price(name: str) -> bool:
    """Whether this is the name of a price in LiteLLM's words, whether it can be stated here or not."""
    return "cost_per_" in name or "token_cost" in name


def usd(name: str, value: Any) -> str | None:
    """The amount of one of LiteLLM's prices in the unit of ours, as a plain decimal text; None if it is no price."""
    if value is None or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value)) * (_MILLION if name in _PER_TOKEN else 1)
    except InvalidOperation:
        return None
    if not amount.is_finite() or amount < 0:
        return None
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def modality_of(able: Mapping[str, bool]) -> str:
    """What goes in and out of a chat, by what is stated of the model's abilities."""
    media = {"supports_vision": "image", "supports_documents": "file", "supports_audio": "audio"}
    return "+".join(["text", *(medium for ability, medium in media.items() if able.get(ability))]) + "->text"


def _stated(price: PriceRecord, kind: str) -> tuple[dict[str, str], dict[str, str]]:
    """The members of an offer that state a packaged price, and those of images by quality and size."""
    tokens = ((member, getattr(price, name)) for member, name in TOKEN_PRICES.items())
    found = {member: usd_text(value) for member, value in tokens if value is not None}
    if kind != "chat":
        found = {member: value for member, value in found.items() if Decimal(value) or member == _PROMPT}
    units = dict(price.units)
    if kind == "image" and "image" not in units and "image_input" in units:
        units["image"] = units["image_input"]  # where an image model states nothing else, the lists mean this by it
    for member, unit in UNIT_PRICES.items():
        if unit in units and kind in _ONLY_OF[member]:
            found[member] = usd_text(units[unit])
    if price.request_nano_usd:
        found["price_request_usd"] = usd_text(price.request_nano_usd)
    by_unit = any(member in found for member in UNIT_PRICES)
    if kind != "chat" and by_unit and Decimal(found.get(_PROMPT, "0")) == 0:
        found.pop(_PROMPT, None)
    prefix = "image:"
    variants = {
        unit.removeprefix(prefix): usd_text(amount) for unit, amount in units.items() if unit.startswith(prefix)
    }
    return found, variants if kind == "image" else {}
