"""LiteLLM's `config.yaml` as a `gatewayz.toml`: what can be carried over is, and everything else is named with the reason.

Pure: texts in, a value out. No secret is in any of it: keys become names of variables.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from gatewayz.catalog.detection import PROVIDER_SPELLINGS
from gatewayz.cli.litellm_offers import (
    ABILITIES,
    LIMITS,
    PRICES,
    KnownModels,
    Offer,
    abilities,
    limits,
    modality_of,
    prices,
)
from gatewayz.providers.addresses import url_problem
from gatewayz.providers.profile import Profile
from gatewayz.routing.chains import vendor_chain

# Members of LiteLLM's settings that have a setting here: (section, name) -> setting.
SETTINGS: Mapping[tuple[str, str], str] = {
    ("router_settings", "allowed_fails"): "breaker_failures",
    ("router_settings", "cooldown_time"): "breaker_cooldown_s",
    ("router_settings", "timeout"): "request_deadline_s",
    ("litellm_settings", "request_timeout"): "request_deadline_s",
    ("litellm_settings", "allowed_fails"): "breaker_failures",
    ("litellm_settings", "cooldown_time"): "breaker_cooldown_s",
}
# What a member is for here; a reason that is better than "there is no such setting".
REASONS: Mapping[tuple[str, str], str] = {
    ("general_settings", "master_key"): "keys are accounts' own: set GATEWAYZ_BOOTSTRAP_ADMIN_KEY (gw_live_ and 43"
    " characters), and make the others with POST /user/api-keys",
    ("general_settings", "database_url"): "set the variable DATABASE_URL",
    ("litellm_settings", "drop_params"): "what a provider refuses is always left out, unless that changes the answer",
    ("litellm_settings", "cache"): "answers are not cached; providers' prompt caches are used and passed on",
    ("litellm_settings", "success_callback"): "there are no callbacks: see GET /metrics and GET /user/activity/log",
    ("litellm_settings", "callbacks"): "there are no callbacks: see GET /metrics and GET /user/activity/log",
    (
        "router_settings",
        "routing_strategy",
    ): "callers choose per request: `provider.sort` is price, throughput or latency",
    ("router_settings", "redis_host"): "set the variable REDIS_URL",
    ("router_settings", "redis_port"): "set the variable REDIS_URL",
    ("router_settings", "redis_password"): "set the variable REDIS_URL",
    ("router_settings", "redis_url"): "set the variable REDIS_URL",
    (
        "router_settings",
        "num_retries",
    ): "failed attempts go on to the next provider by themselves, see failover_attempts",
    (
        "litellm_settings",
        "num_retries",
    ): "failed attempts go on to the next provider by themselves, see failover_attempts",
}
_FALLBACKS = frozenset({"fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"})
_BY_REQUEST = "callers name stand-ins per request, in `models`"
_RATES = "limits are set per key (`rpm_limit`), not per deployment"
_OF_PARAMS: Mapping[str, str] = {
    "rpm": _RATES,
    "tpm": _RATES,
    "max_parallel_requests": _RATES,
    "weight": "an administrator's traffic split does this",
    "api_version": "the provider's current interface needs no version",
}
_PARAMS = frozenset({"model", "api_base", "api_key", "custom_llm_provider", *PRICES})
_INFO = frozenset({"id", "mode", "base_model", *PRICES, *LIMITS, *ABILITIES})
# LiteLLM's names of providers that are not ours with other signs.
_SLUGS: Mapping[str, str] = {
    "azure": "azure-openai", "azure_ai": "azure-openai", "ollama_chat": "ollama", "hosted_vllm": "vllm",
    "lm_studio": "lmstudio", "openai_like": "openai", "text-completion-openai": "openai", "dashscope": "alibaba-cloud",
}  # fmt: skip
_LOCAL = frozenset({"ollama", "vllm", "lmstudio", "llamacpp"})
_ENVIRONMENT = "os.environ/"
_UNFIT = re.compile(r"[^a-z0-9._-]+")


@dataclass(slots=True)
class Provider:
    """One `[[providers]]` table to be. `variable` names the environment variable that holds its key, None without one."""

    slug: str
    base_url: str | None = None
    dialect: str | None = None
    variable: str | None = None


@dataclass(slots=True)
class Imported:
    """What became of a file: tables of a configuration, and what was left behind, by its path and with the reason.

    `served` are names that the packaged catalog knows already, so that nothing need be stated of them.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    providers: dict[str, Provider] = field(default_factory=dict)
    models: dict[str, list[Offer]] = field(default_factory=dict)
    served: set[str] = field(default_factory=set)
    left: list[tuple[str, str]] = field(default_factory=list)

    def leave(self, path: str, reason: str) -> None:
        """Notes a member that is not carried over."""
        self.left.append((path, reason))


def toml(found: Imported) -> str:
    """The text of the configuration."""
    lines: list[str] = []
    if found.settings:
        lines += ["[settings]", *(f"{name} = {_value(value)}" for name, value in sorted(found.settings.items())), ""]
    for provider in found.providers.values():
        lines += ["[[providers]]", f"slug = {_value(provider.slug)}"]
        stated = (("base_url", provider.base_url), ("dialect", provider.dialect), ("api_key_env", provider.variable))
        lines += [*(f"{name} = {_value(value)}" for name, value in stated if value is not None), ""]
    for name, offers in found.models.items():
        first = offers[0]
        lines += ["[[models]]", f"id = {_value(name)}", f"name = {_value(name)}"]
        lines += [f"modality = {_value(modality_of(first.abilities))}"]
        lines += [f"{kind} = {_value(value)}" for kind, value in {**first.limits, **first.abilities}.items()]
        for offer in offers:
            lines += [
                "[[models.offers]]",
                f"provider = {_value(offer.provider)}",
                f"native_id = {_value(offer.native_id)}",
            ]
            lines += [f"{kind} = {value}" for kind, value in offer.prices.items()]
        lines.append("")
    return "\n".join(lines)


def _value(value: Any) -> str:
    """A text, number or truth value as TOML writes it."""
    return json.dumps(value)


def convert(document: Any, profiles: Mapping[str, Profile], known: KnownModels) -> Imported:
    """The configuration that does what the file says. Raises ValueError if it is no configuration of LiteLLM's."""
    if not isinstance(document, Mapping) or not isinstance(document.get("model_list", []), list):
        raise ValueError("a configuration of LiteLLM's is a mapping with a list `model_list`")
    found = Imported()
    for index, entry in enumerate(document.get("model_list") or ()):
        _model(found, entry, f"model_list[{index}]", profiles, known)
    _aliases(found, document)
    _settle(found)
    for section, members in document.items():
        if section == "model_list":
            continue
        if section not in ("router_settings", "litellm_settings", "general_settings") or not isinstance(
            members, Mapping
        ):
            found.leave(str(section), "set them where the gateway is started" if section == _VARIABLES else _NOTHING)
            continue
        for name, value in members.items():
            _setting(found, section, str(name), value)
    return found


def _settle(found: Imported) -> None:
    """Drops what the packaged catalog has anyway under the same name, and says what the rest cannot keep."""
    for name, offers in list(found.models.items()):
        if all(offer.packaged for offer in offers):
            del found.models[name]
            found.served.add(name)
        elif any(offer.tiered for offer in offers):
            found.leave(f"model_name {name}", "the packaged price for longer prompts cannot be stated in [[models]]")


_VARIABLES = "environment_variables"
_NOTHING = "there is nothing like it here"


def _setting(found: Imported, section: str, name: str, value: Any) -> None:
    setting = SETTINGS.get((section, name))
    path = f"{section}.{name}"
    if setting is not None and isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        found.settings[setting] = value
    elif name in _FALLBACKS:
        found.leave(path, _BY_REQUEST)
    elif (section, name) != ("router_settings", "model_group_alias"):
        found.leave(path, REASONS.get((section, name), _NOTHING))


def _model(found: Imported, entry: Any, path: str, profiles: Mapping[str, Profile], known: KnownModels) -> None:
    """One deployment: an offer of a model at a provider."""
    params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
    if not isinstance(params, Mapping) or not isinstance(params.get("model"), str):
        found.leave(path, "it has no litellm_params.model")
        return
    name, info = str(entry.get("model_name") or params["model"]), entry.get("model_info") or {}
    _members(found, entry, params, info, path)
    mode = info.get("mode", "chat")
    if mode not in ("chat", "completion"):
        found.leave(path, f"a model of mode {mode!r} cannot be stated in [[models]]")
        return
    vendor, native = _named(params)
    slug = _provider(found, vendor, params, path, profiles)
    if slug is None:
        return
    chain = vendor_chain(name, name.partition("/")[0])
    if chain is not None and slug in profiles and slug not in chain:
        found.leave(
            path, f"{slug} is not asked for models of {name.partition('/')[0]}: give the model_name no such prefix"
        )
        return
    if "*" in name or "*" in native:
        found.leave(
            path, f"no name stands for many: every model of the catalog that {slug} serves can be used by its id"
        )
        return
    offer = Offer(slug, native, prices(params, info), limits(info), abilities(info))
    offer.packaged = not offer.prices and known.serves(name, offer)
    known.complete(offer, str(info.get("base_model") or native), vendor)
    if not offer.is_priced and slug in _LOCAL:
        found.leave(path, "what a local server has is found and offered by itself, free of charge")
        return
    if not offer.is_priced:
        found.leave(path, "nothing is served without a price: state input_cost_per_token and output_cost_per_token")
        return
    if offer.is_free and not name.endswith(":free"):
        found.leave(path, "a price of zero needs a model_name that ends in :free; anybody may use such a model")
        return
    offers = found.models.setdefault(name, [])
    if any((each.provider, each.native_id) == (offer.provider, offer.native_id) for each in offers):
        found.leave(path, f"the same model stands twice at {slug}: it is called once")
        return
    offers.append(offer)


def _members(found: Imported, entry: Mapping[str, Any], params: Mapping[str, Any], info: Any, path: str) -> None:
    """Notes every member of a deployment that means nothing here."""
    for name in params:
        if name not in _PARAMS:
            reason = _OF_PARAMS.get(name, "callers set parameters in their requests")
            found.leave(f"{path}.litellm_params.{name}", reason)
    for name in info if isinstance(info, Mapping) else ():
        if name not in _INFO:
            found.leave(f"{path}.model_info.{name}", _NOTHING)
    for name in entry:
        if name not in ("model_name", "litellm_params", "model_info"):
            found.leave(f"{path}.{name}", _NOTHING)


def _named(params: Mapping[str, Any]) -> tuple[str, str]:
    """LiteLLM's provider and the provider's own name of the model; a bare name is OpenAI's, or Anthropic's."""
    model = str(params["model"])
    vendor = params.get("custom_llm_provider")
    if isinstance(vendor, str):
        return vendor, model.removeprefix(f"{vendor}/")
    vendor, slash, native = model.partition("/")
    if slash:
        return vendor, native
    return ("anthropic" if model.startswith("claude") else "openai"), model


def _provider(
    found: Imported, vendor: str, params: Mapping[str, Any], path: str, profiles: Mapping[str, Profile]
) -> str | None:
    """The slug of the provider of a deployment, made if it is new; None if it cannot be called."""
    name = vendor.lower()
    slug = _SLUGS.get(name) or PROVIDER_SPELLINGS.get(name) or name.replace("_", "-")
    profile = profiles.get(slug)
    base = _base(found, params, path, slug)
    if base == "":
        return None
    if profile is None and base is None:
        found.leave(
            path, f"the provider {vendor!r} is not known here; with api_base, one that speaks OpenAI's dialect is"
        )
        return None
    if profile is not None and profile.account is not None and not profile.env:
        found.leave(f"{path}.litellm_params", f"{slug} is used with a service account: see its row in providers.md")
    dialect = profile.dialect if profile is not None else "openai"
    if base is not None and slug == "openai" and urlsplit(base).hostname != "api.openai.com":
        slug = _UNFIT.sub("-", (urlsplit(base).hostname or "openai-like").lower()).strip("-.")
    variable = _variable(found, params, path, slug, profile)
    default = base or (profile.base_url if profile is not None else None)
    for candidate in _slugs(slug):
        there = found.providers.get(candidate)
        if there is None:
            own = base if candidate == slug else default
            stated = dialect if own is not None else None
            found.providers[candidate] = Provider(candidate, own, stated, variable)
            return candidate
        if there.variable == variable and there.base_url in (base, default):
            return candidate
    return None


def _slugs(slug: str) -> Iterator[str]:
    yield slug
    for number in range(2, 1000):
        yield f"{slug}-{number}"


def _base(found: Imported, params: Mapping[str, Any], path: str, slug: str) -> str | None:
    """The address of a deployment, None for the provider's usual one, "" if it is none that can be called."""
    base = params.get("api_base")
    if base is None:
        return None
    if not isinstance(base, str) or base.startswith(_ENVIRONMENT) or "?" in base or "@" in base or url_problem(base):
        found.leave(
            f"{path}.litellm_params.api_base", "it must be a plain address here, without credentials or variables"
        )
        return ""
    base = base.rstrip("/")
    if slug == "azure-openai" and not base.endswith("/openai/v1"):
        return base + "/openai/v1"
    return base + "/v1" if slug == "ollama" and not base.endswith("/v1") else base


def _variable(found: Imported, params: Mapping[str, Any], path: str, slug: str, profile: Profile | None) -> str | None:
    """The variable that holds the key; a key in the file itself is not read on."""
    key = params.get("api_key")
    if isinstance(key, str) and key.startswith(_ENVIRONMENT):
        return key.removeprefix(_ENVIRONMENT)
    usual = profile.env[0] if profile is not None and profile.env else None
    if key is None:
        return usual if profile is not None and profile.needs_key and not params.get("api_base") else None
    variable = usual or re.sub(r"[^A-Z0-9]+", "_", f"{slug}_API_KEY".upper())
    found.leave(f"{path}.litellm_params.api_key", f"keys are not copied: put it into the variable {variable}")
    return variable


def _aliases(found: Imported, document: Mapping[str, Any]) -> None:
    """Other names of models, each as a model of its own with the same offers."""
    section = document.get("router_settings")
    aliases = section.get("model_group_alias") if isinstance(section, Mapping) else None
    for alias, target in (aliases or {}).items() if isinstance(aliases, Mapping) or aliases is None else ():
        path = f"router_settings.model_group_alias.{alias}"
        name = target.get("model") if isinstance(target, Mapping) else target
        if name not in found.models:
            found.leave(path, "the model that it stands for is not carried over")
        elif alias in found.models:
            found.leave(path, "there is a model of this name")
        else:
            found.models[str(alias)] = [replace(offer, packaged=False) for offer in found.models[str(name)]]
