"""Prices, limits and abilities of a deployment in LiteLLM's words, and what the packaged catalog knows where it is silent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from gatewayz.catalog.aliases import final_target
from gatewayz.catalog.records import ModelRecord, OfferRecord
from gatewayz.core.money import usd_text

PRICES: Mapping[str, str] = {
    "input_cost_per_token": "price_prompt_usd_per_mtok",
    "output_cost_per_token": "price_completion_usd_per_mtok",
    "cache_read_input_token_cost": "price_cache_read_usd_per_mtok",
    "cache_creation_input_token_cost": "price_cache_write_usd_per_mtok",
    "output_cost_per_reasoning_token": "price_reasoning_usd_per_mtok",
}
_OF_RECORD: Mapping[str, str] = {
    "prompt": "price_prompt_usd_per_mtok",
    "completion": "price_completion_usd_per_mtok",
    "cache_read": "price_cache_read_usd_per_mtok",
    "cache_write_5m": "price_cache_write_usd_per_mtok",
    "cache_write_1h": "price_cache_write_1h_usd_per_mtok",
    "reasoning": "price_reasoning_usd_per_mtok",
}
LIMITS: Mapping[str, str] = {"max_input_tokens": "context_length", "max_output_tokens": "max_output_tokens"}
ABILITIES: Mapping[str, str] = {
    "supports_function_calling": "supports_tools",
    "supports_vision": "supports_vision",
    "supports_reasoning": "supports_reasoning",
    "supports_response_schema": "supports_json_schema",
    "supports_audio_input": "supports_audio",
    "supports_pdf_input": "supports_documents",
}
_BASE = ("price_prompt_usd_per_mtok", "price_completion_usd_per_mtok")
_MILLION = 1_000_000


@dataclass(slots=True)
class Offer:
    """One `[[models.offers]]` table to be; prices are USD per million tokens as texts."""

    provider: str
    native_id: str
    prices: dict[str, str]
    limits: dict[str, int]
    abilities: dict[str, bool]
    packaged: bool = False  # the packaged catalog has it, for a model of the same name
    tiered: bool = False  # longer prompts have another price, which a configuration cannot state

    @property
    def is_priced(self) -> bool:
        """True if prompt and completion have a price, if only zero."""
        return all(name in self.prices for name in _BASE)

    @property
    def is_free(self) -> bool:
        """True if nothing costs anything."""
        return all(Decimal(value) == 0 for value in self.prices.values())


class KnownModels:
    """The packaged catalog by provider and name; `aliases` are its other names of models."""

    def __init__(self, records: Iterable[ModelRecord], aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._offers: dict[tuple[str, str], tuple[ModelRecord, OfferRecord]] = {}
        self._models: dict[str, tuple[ModelRecord, OfferRecord]] = {}
        for record in records:
            for offer in record.offers:
                if offer.price is not None and offer.active and not offer.suspect:
                    self._offers.setdefault((offer.provider, offer.native_id.lower()), (record, offer))
                    self._models.setdefault(record.id.lower(), (record, offer))

    def serves(self, name: str, offer: Offer) -> bool:
        """Whether the packaged catalog has this very offer, for a model that is known by this name."""
        found = self._offers.get((offer.provider, offer.native_id.lower()))
        typed = name.strip().lower()
        return found is not None and found[0].id.lower() in (typed, final_target(self._aliases, typed).lower())

    def complete(self, offer: Offer, base_model: str, vendor: str) -> None:
        """Adds what is known of the same model at the same provider, else at its maker, where the deployment is silent."""
        name = offer.native_id.lower()
        found = self._offers.get((offer.provider, name)) or self._models.get(f"{vendor.lower()}/{name}")
        if found is None and vendor.startswith("azure"):
            found = self._models.get(f"openai/{base_model.lower().rpartition('/')[2]}")
        if found is None:
            return
        record, known = found
        if not offer.prices and known.price is not None:
            stated = ((name, getattr(known.price, kind)) for kind, name in _OF_RECORD.items())
            offer.prices = {name: usd_text(value) for name, value in stated if value is not None}
            offer.tiered = bool(known.price.tiers)
        for kind in ("context_length", "max_output_tokens"):
            value = getattr(known, kind) or getattr(record, kind)
            if value is not None:
                offer.limits.setdefault(kind, value)
        for ability, able in {**record.capabilities, **known.capabilities}.items():
            offer.abilities.setdefault(f"supports_{ability}", able)


def prices(params: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, str]:
    """USD per million tokens by member of our offers; what is no price is left out."""
    found = {}
    for name, ours in PRICES.items():
        value = params.get(name, info.get(name))
        if value is None or isinstance(value, bool):
            continue
        try:
            per_million = Decimal(str(value)) * _MILLION
        except InvalidOperation:
            continue
        if per_million.is_finite() and per_million >= 0:
            text = format(per_million, "f")
            found[ours] = text.rstrip("0").rstrip(".") if "." in text else text
    return found


def limits(info: Mapping[str, Any]) -> dict[str, int]:
    """Tokens by member of our models. A `max_tokens` of the parameters is the caller's, not the model's."""
    stated = ((ours, info.get(name)) for name, ours in LIMITS.items())
    return {
        ours: value for ours, value in stated if isinstance(value, int) and not isinstance(value, bool) and value > 0
    }


def abilities(info: Mapping[str, Any]) -> dict[str, bool]:
    """Abilities by member of our models."""
    return {ours: info[name] for name, ours in ABILITIES.items() if isinstance(info.get(name), bool)}


def modality_of(able: Mapping[str, bool]) -> str:
    """What goes in and out, by what is stated of the model's abilities."""
    media = {"supports_vision": "image", "supports_documents": "file", "supports_audio": "audio"}
    return "+".join(["text", *(medium for ability, medium in media.items() if able.get(ability))]) + "->text"
