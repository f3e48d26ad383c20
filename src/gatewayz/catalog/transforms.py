"""What does a provider call this model, and what must be said along with it? Tables and what reads them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gatewayz.catalog.aliases import packaged


@dataclass(frozen=True, slots=True)
class ForcedParams:
    """Members to set in the request body unless the caller set one of `unless`; fits `dialects.base.Target`."""

    params: Mapping[str, Any]
    unless: frozenset[str]


NOTHING_FORCED = ForcedParams(MappingProxyType({}), frozenset())

# (provider, the provider's name of the model, what is forced). Qwen 3 thinks by default at Cerebras and bills for it: a
# caller who never asked for reasoning would wait for it and pay.
_FORCED: tuple[tuple[str, re.Pattern[str], ForcedParams], ...] = (
    (
        "cerebras",
        re.compile(r"(?:.*/)?qwen-?3", re.IGNORECASE),
        ForcedParams(
            MappingProxyType({"disable_reasoning": True}), frozenset({"disable_reasoning", "reasoning_effort"})
        ),
    ),
)
_FIREWORKS_FOLDER = "accounts/fireworks/models/"


def force_params(provider: str, native_id: str) -> ForcedParams:
    """What must be set for this model at this provider; `NOTHING_FORCED` for nearly all."""
    for slug, pattern, forced in _FORCED:
        if slug == provider and pattern.match(native_id):
            return forced
    return NOTHING_FORCED


def native_id(provider: str, model_id: str) -> str:
    """The provider's own name of a canonical model where no list states it: by the provider's naming habit."""
    base = model_id.removesuffix(":free") if provider != "openrouter" else model_id
    habit = _HABITS.get(provider)
    return upstream_id(provider, habit(base) if habit else base)


def upstream_id(provider: str, stated: str) -> str:
    """The name that is really sent: pins of overloaded names, and the folder that Fireworks wants in front."""
    pinned = packaged().pins.get((provider, stated.lower()))
    if pinned is not None:
        return pinned
    if provider == "fireworks" and not stated.startswith("accounts/"):
        return _fireworks(stated)
    return stated


def _bare(model_id: str) -> str:
    return model_id.rpartition("/")[2]


def _fireworks(model_id: str) -> str:
    # Fireworks writes version dots as p: deepseek-v3.2 is deepseek-v3p2.
    return _FIREWORKS_FOLDER + re.sub(r"(?<=\d)\.(?=\d)", "p", _bare(model_id))


def _dashed(model_id: str) -> str:
    return _bare(model_id).replace(".", "-")


_HABITS: dict[str, Callable[[str], str]] = {
    "fireworks": _fireworks,
    "anthropic": _dashed,
    **dict.fromkeys(
        (
            "openai", "google-vertex", "google-ai-studio", "xai", "mistral", "cohere", "perplexity", "deepseek",
            "moonshot", "zai", "xiaomi", "alibaba-cloud", "minimax", "cerebras", "morpheus", "aihubmix",
        ),
        _bare,
    ),
}  # fmt: skip
