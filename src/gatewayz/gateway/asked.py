"""What a request asks of the gateway itself, beside what it asks of the model: the members that OpenRouter's clients send.

They mean the same in every dialect, and no provider is ever sent one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatewayz.catalog.detection import provider_preferred
from gatewayz.core.money import nano_from_usd, price_per_mtok
from gatewayz.dialects.base import Glance
from gatewayz.dialects.gateway_fields import GATEWAY_FIELDS
from gatewayz.dialects.parameter_names import KNOWN
from gatewayz.dialects.parameters import (
    boolean,
    obj,
    out_of_range,
    string,
    strings,
    unsupported,
    value_of,
    wrong_type,
    wrong_value,
)
from gatewayz.dialects.web_search import SearchWish
from gatewayz.gateway.plugins import read_plugins
from gatewayz.routing.preferences import QUANTIZATIONS, SORTS, Preferences

MOST_MODELS = 8
_LONGEST_SLUG = 64
_PERCENTILES = ("p50", "p75", "p90", "p99")
# They make a prompt fit that does not; here a prompt that does not fit is refused, so nothing is lost without them.
_HARMLESS_TRANSFORMS = frozenset({"middle-out"})


@dataclass(frozen=True, slots=True)
class Asked:
    """`pin` is the one provider that may serve, `models` what may answer in place of the model, in this order.

    `search` is what it wants of a search of the web, None if it asks for none.
    `itemised`: the client wants to see what its charge is made of. `notes` say what has no effect here, in words.
    """

    pin: str | None = None
    preferences: Preferences | None = None
    models: tuple[str, ...] = ()
    search: SearchWish | None = None
    itemised: bool = False
    notes: tuple[str, ...] = ()


NOTHING = Asked()


def asked_of(glance: Glance) -> Asked:
    """What this request asks of the gateway. Raises InvalidRequest naming the member."""
    provider = glance.provider
    if provider is None and GATEWAY_FIELDS.isdisjoint(glance.fields):
        return NOTHING
    values = {name: value_of(name, glance.fields[name]) for name in GATEWAY_FIELDS & glance.fields.keys()}
    notes: list[str] = []
    _refuse(values)
    search = read_plugins(values.get("plugins"))
    pin = preferences = None
    if isinstance(provider, str) and provider.strip():
        pin = provider.strip().lower()
    elif isinstance(provider, dict):
        preferences = read_preferences(provider, frozenset(glance.fields), notes)
    elif provider is not None:
        raise wrong_type("provider", 'the slug of a provider, e.g. "openrouter", or an object of preferences')
    usage = values.get("usage") or {}
    models = _models(values, glance.model)
    return Asked(pin, preferences, models, search, usage.get("include") is True, tuple(notes))


def read_preferences(value: Mapping[str, Any], sent: frozenset[str], notes: list[str]) -> Preferences | None:
    """A `provider` object as a value; None if it prefers nothing. `sent` are the names of the request's members.

    What has no effect is written into `notes`. Raises InvalidRequest naming the member.
    """
    unknown = sorted(value.keys() - _MEMBERS)
    if unknown:
        raise unsupported(f"provider.{unknown[0]}", f"is unknown; known are {', '.join(sorted(_MEMBERS))}")
    said = {name: each for name, each in value.items() if each is not None}
    for name in ("allow_fallbacks", "require_parameters", "zdr", "enforce_distillable_text"):
        if name in said:
            boolean(f"provider.{name}", said[name])
    collection = said.get("data_collection", "allow")
    if collection not in ("allow", "deny"):
        raise wrong_value("provider.data_collection", "allow or deny")
    if said.get("options"):
        notes.append("`provider.options` has no effect: what a provider calls its own parameters is sent as they are.")
    prices = _ceilings(said.get("max_price", {}))
    wanted = Preferences(
        order=_slugs(said, "order"),
        only=_slugs(said, "only"),
        ignore=_slugs(said, "ignore"),
        allow_fallbacks=said.get("allow_fallbacks", True),
        parameters=sent & KNOWN if said.get("require_parameters") else frozenset(),
        deny_collection=collection == "deny",
        zero_retention=said.get("zdr", False),
        distillable=said.get("enforce_distillable_text", False),
        quantizations=_quantizations(said),
        sort=_sort(said.get("sort"), notes),
        max_prompt=prices.get("prompt"),
        max_completion=prices.get("completion"),
        max_request=prices.get("request"),
        max_image=prices.get("image"),
        max_latency_s=_cutoff(said, "preferred_max_latency", notes),
        min_throughput=_cutoff(said, "preferred_min_throughput", notes),
    )
    return None if wanted == Preferences() else wanted


_MEMBERS = frozenset(
    {
        *("order", "only", "ignore", "allow_fallbacks", "require_parameters", "data_collection", "zdr", "sort"),
        *("enforce_distillable_text", "quantizations", "max_price", "preferred_max_latency", "options"),
        "preferred_min_throughput",
    }
)


def _refuse(values: Mapping[str, Any]) -> None:
    """Raises InvalidRequest for what would change the answer and is not done here."""
    route = values.get("route")
    if route not in (None, "fallback"):
        raise wrong_value("route", "fallback")
    transforms = values.get("transforms")
    if transforms is not None:
        strings()("transforms", transforms)
        unknown = sorted(set(transforms) - _HARMLESS_TRANSFORMS)
        if unknown:
            raise unsupported("transforms", f"holds {unknown[0]!r}, which is not done here")
    usage = values.get("usage")
    if usage is not None:
        obj("usage", usage)


def _models(values: Mapping[str, Any], first: str) -> tuple[str, ...]:
    models = values.get("models")
    if models is None:
        return ()
    strings(MOST_MODELS)("models", models)
    return tuple(dict.fromkeys(name for name in models if name.strip() and name != first))


def _slugs(said: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = said.get(name)
    if value is None:
        return ()
    strings(100)(f"provider.{name}", value)
    # A word that names nobody stays: without it, `only` would restrict nothing. Plans are kept by these values.
    return tuple(dict.fromkeys(provider_preferred(word[:_LONGEST_SLUG]) for word in value))


def _quantizations(said: Mapping[str, Any]) -> tuple[str, ...]:
    value = said.get("quantizations", [])
    strings()("provider.quantizations", value)
    for index, word in enumerate(value):
        if word not in QUANTIZATIONS:
            raise wrong_value(f"provider.quantizations[{index}]", "one of " + ", ".join(QUANTIZATIONS))
    return tuple(dict.fromkeys(value))


def _sort(value: Any, notes: list[str]) -> Any:
    if isinstance(value, dict):
        if value.get("partition") not in (None, "model"):
            notes.append("`provider.sort.partition` has no effect: fallback models remain fallbacks.")
        value = value.get("by")
    if value is None:
        return None
    string("provider.sort", value)
    if value not in SORTS:
        raise wrong_value("provider.sort", "one of " + ", ".join(SORTS))
    return value


def _ceilings(value: Any) -> dict[str, int]:
    """Nano-USD by kind: of prompt and completion per million tokens, of request and image per one."""
    obj("provider.max_price", value)
    found = {}
    for name, amount in value.items():
        param = f"provider.max_price.{name}"
        if amount is None:
            continue
        if name not in ("prompt", "completion", "request", "image"):
            raise unsupported(
                param, "is no price that offers are held to; known are prompt, completion, request, image"
            )
        try:
            if isinstance(amount, bool) or not isinstance(amount, (int, float, str)):
                raise ValueError
            found[name] = price_per_mtok(amount) if name in ("prompt", "completion") else nano_from_usd(amount)
        except ValueError:
            raise wrong_type(param, "an amount of USD, at least 0") from None
        if found[name] < 0:
            raise out_of_range(param, "at least 0")
    return found


def _cutoff(said: Mapping[str, Any], name: str, notes: list[str]) -> float | None:
    """A number, or the one for p50: the gateway keeps means, and holds them against the cutoff for the middle."""
    value = said.get(name)
    param = f"provider.{name}"
    if isinstance(value, dict):
        unknown = sorted(value.keys() - set(_PERCENTILES))
        if unknown:
            raise unsupported(f"{param}.{unknown[0]}", "is no percentile; known are " + ", ".join(_PERCENTILES))
        others = [each for each in _PERCENTILES[1:] if value.get(each) is not None]
        if others:
            notes.append(f"`{param}` has no effect for {', '.join(others)}: means are recorded, no percentiles.")
        value = value.get("p50")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise wrong_type(param, "a number, at least 0, or an object of percentiles")
    return float(value)
