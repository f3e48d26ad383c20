"""LiteLLM's `config.yaml` as a `gatewayz.toml`: what can be carried over is, and everything else is named with the reason.

Pure: texts in, a value out. No secret is in any of it: keys become names of variables.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gatewayz.catalog.config import read_models
from gatewayz.catalog.resolve import FREE
from gatewayz.cli.litellm_access import ENVIRONMENT, Deployment, access_of, slug_for
from gatewayz.cli.litellm_found import Access, Imported, toml
from gatewayz.cli.litellm_names import Named, named
from gatewayz.cli.litellm_offers import (
    ABILITIES,
    KINDS,
    LIMITS,
    KnownModels,
    Offer,
    is_price,
    kind_in_name,
    price_member,
    usd,
)
from gatewayz.cli.litellm_settings import NOTHING, SECTIONS, read_sections
from gatewayz.core.services import KIND_OF
from gatewayz.providers.profile import Profile, speaker
from gatewayz.routing.chains import is_cloud_of, vendor_chain

_RATES = "limits are set per key (`rpm_limit`), not per deployment"
_PARAM_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "rpm": _RATES,
        "tpm": _RATES,
        "max_parallel_requests": _RATES,
        "weight": "offers are asked in order of their priority: `order` is carried over",
        "api_version": "the provider's current interface needs no version",
        "tags": "callers name providers in `provider.order` and `provider.only`",
        "timeout": "one deadline holds for all: request_deadline_s",
        "stream_timeout": "see first_token_timeout_s and idle_timeout_s",
        "max_retries": "failed attempts go on to the next provider by themselves, see failover_attempts",
        "num_retries": "failed attempts go on to the next provider by themselves, see failover_attempts",
        "cooldown_time": "state breaker_cooldown_s in the provider's table",
        "max_tokens": "callers state it; a model's own limit is max_output_tokens in model_info",
        "azure_ad_token": "a key is used: see the guide on Azure",
        "tenant_id": "a key is used: see the guide on Azure",
        "client_id": "a key is used: see the guide on Azure",
        "client_secret": "a key is used: see the guide on Azure",
    }
)
_INFO_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "access_groups": "which models a key may use is set per key",
        "team_id": "which models a key may use is set per key",
        "supported_environments": "each deployment has a file of its own",
    }
)
_NAMES = ("model", "custom_llm_provider")
_LOCAL = frozenset({"ollama", "vllm", "lmstudio", "llamacpp"})
_VARIABLES, _CREDENTIALS = "environment_variables", "credential_list"
_PER_CALL = "callers set parameters in their requests"


@dataclass(slots=True)
class _Reader:
    """What the entries of a file are read with."""

    found: Imported
    profiles: Mapping[str, Profile]
    known: KnownModels
    variables: Mapping[str, str]
    credentials: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)


def convert(
    document: Any,
    profiles: Mapping[str, Profile],
    known: KnownModels,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Imported:
    """The configuration that does what the file says. Raises ValueError if it is no configuration of LiteLLM's.

    `variables` are those of this run: addresses and places that the file takes from the environment are looked up in them.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("model_list") or [], list):
        raise ValueError("a configuration of LiteLLM's is a mapping with a list `model_list`")
    reader = _Reader(Imported(), profiles, known, variables)
    found = reader.found
    _credentials(reader, document.get(_CREDENTIALS))
    for index, entry in enumerate(document.get("model_list") or ()):
        _entry(reader, entry, f"model_list[{index}]")
    _unused_credentials(reader, document.get(_CREDENTIALS))
    read_sections(found, document, lambda path, names: _aliases(found, path, names))
    _settle(found)
    for section, members in document.items():
        if section in ("model_list", _CREDENTIALS, *SECTIONS):
            continue
        if section == _VARIABLES and isinstance(members, Mapping):
            for name in members:
                found.leave(f"{section}.{name}", "set it where the gateway is started")
        else:
            found.leave(str(section), NOTHING)
    return found


def _settle(found: Imported) -> None:
    """Drops what the packaged catalog has anyway under the same name, and says what the rest cannot keep."""
    free: list[str] = []
    for name, offers in list(found.models.items()):
        own = [offer.packaged or name for offer in offers]
        dropped = all(offer.packaged for offer in offers)
        # Moderation costs nothing where it is offered, and needs a key here whatever it costs.
        if any(offer.is_free for offer in offers) and not name.endswith(FREE):
            free += [each for each in ([own[0]] if dropped else [name]) if each not in free]
        if dropped:
            del found.models[name]
            found.served.add(name)
        elif any(offer.tiered for offer in offers):
            found.leave(f"model_name {name}", "the packaged price for longer prompts cannot be stated in [[models]]")
    if free:
        found.settings["free_model_allowlist"] = free


def _refusal(name: str, offers: list[Offer]) -> str | None:
    """What the gateway has against a model that is stated like this, None for nothing."""
    tables = tomllib.loads(toml(Imported(models={name: offers})))["models"]
    free = () if name.endswith(FREE) or any(offer.kind != "moderation" for offer in offers) else (name,)
    _, mistakes = read_models(tables, lambda _path: None, free_model_allowlist=free)
    return mistakes[0].problem if mistakes else None


def _entry(reader: _Reader, entry: Any, path: str) -> None:
    """One deployment: an offer of a model at a provider."""
    found = reader.found
    params = entry.get("litellm_params") if isinstance(entry, Mapping) else None
    if not isinstance(params, Mapping) or not isinstance(params.get("model"), str):
        found.leave(path, "it has no litellm_params.model")
        return
    if params["model"].startswith(ENVIRONMENT):
        variable = params["model"].removeprefix(ENVIRONMENT)
        if not reader.variables.get(variable):
            found.leave(path, f"names of models are written into the file: set {variable} while you import")
            return
        params = {**params, "model": reader.variables[variable]}
    name = str(entry.get("model_name") or params["model"])
    stated = entry.get("model_info")
    info = stated if isinstance(stated, Mapping) else {}
    meant = named(params)
    kind = _kind(reader, info, meant, path)
    if kind is None:
        return
    # What is read of an entry counts only once the whole is carried over.
    attempt = _Reader(Imported(settings=found.settings), reader.profiles, reader.known, reader.variables)
    attempt.credentials, attempt.found.providers = reader.credentials, dict(found.providers)
    attempt.found.models = found.models
    deployment = _deployment(attempt, params, meant, kind, path)
    why = deployment if isinstance(deployment, str) else _carry(attempt, deployment, name, info, path)
    if why is not None:
        told = [(place, reason) for place, reason in attempt.found.left if place != path]
        found.left += [*told, (path, why or f"it cannot be called without {told[-1][0].rpartition('.')[2]}")]
        return
    _members(attempt, entry, params, info, path)
    attempt.found.carried |= {f"{path}.model_name"} & {f"{path}.{member}" for member in entry}
    found.providers.update(attempt.found.providers)
    found.carried |= attempt.found.carried
    found.left += attempt.found.left
    found.needless += attempt.found.needless
    found.notes += attempt.found.notes
    reader.used |= attempt.used


def _kind(reader: _Reader, info: Mapping[str, Any], meant: Named, path: str) -> str | None:
    """The kind of the model: as stated, as known, else by its name; None (and noted) if no such model can be stated."""
    mode = info.get("mode")
    if mode is not None:
        kind = KINDS.get(str(mode))
        if kind is None:
            reader.found.leave(path, f"a model of mode {mode!r} cannot be stated in [[models]]")
        return kind
    known = reader.known.kind_of(meant.slug, meant.native_id, meant.vendor)
    if known is not None:
        kind = "chat" if known == "completion" else known
        if kind not in KINDS.values():
            reader.found.leave(path, f"a model of kind {kind!r} cannot be stated in [[models]]")
            return None
        return kind
    kind = kind_in_name(meant.native_id)
    if kind != "chat":
        reader.found.note(path, f"taken for a model of kind {kind} by its name: state model_info.mode if it is another")
    return kind


def _deployment(reader: _Reader, params: Mapping[str, Any], meant: Named, kind: str, path: str) -> Deployment | str:
    """The deployment with the parameters of its credential; why it cannot be used."""
    merged, places = dict(params), {name: f"{path}.litellm_params.{name}" for name in params}
    credential = params.get("litellm_credential_name")
    if credential is not None:
        if str(credential) not in reader.credentials:
            return f"there is no credential {str(credential)!r} in {_CREDENTIALS}"
        place, values = reader.credentials[str(credential)]
        for name, value in values.items():
            if merged.get(name) is None:
                merged[name], places[name] = value, f"{place}.credential_values.{name}"
        reader.used.add(str(credential))
        reader.found.carried |= {places["litellm_credential_name"], f"{place}.credential_name"}
    reader.found.carried |= {places[name] for name in _NAMES if name in places}
    return Deployment(merged, meant, kind, places)


def _carry(reader: _Reader, each: Deployment, name: str, info: Mapping[str, Any], path: str) -> str | None:
    """Makes the provider and the offer of a deployment. Returns why it cannot be, "" if that is noted; None if all is well."""
    found, meant = reader.found, each.named
    if meant.problem is not None:
        return meant.problem
    profile = reader.profiles.get(meant.slug)
    if meant.native_id == "*" and meant.vendor == "*":
        return "set the key of each provider that you use: its models of the catalog can be used by their ids"
    access = access_of(found, each, reader.profiles, reader.variables)
    if access is None:
        return ""
    if profile is None and access.base_url is None:
        return f"the provider {meant.vendor!r} is not known here; with api_base, one that speaks OpenAI's dialect is"
    why = _unserved(each, access, reader.profiles)
    if why is not None:
        return why
    if "*" in name or "*" in meant.native_id:
        return _wildcard(reader, each, access, name, path)
    maker = name.partition("/")[0]
    chain = vendor_chain(name, maker)
    usual = access.profile or ""
    own = bool(usual) and chain is not None and usual not in chain and not is_cloud_of(maker, usual)
    # A model has one offer at a provider: a second name of it there needs the provider once more.
    others = {there.provider for there in found.models.get(name, ()) if there.native_id != meant.native_id}
    slug = slug_for(found, access, own=own, taken=others)
    return _offer(reader, each, Offer(slug, meant.native_id, {}, {}, {}, each.kind), access, name, info, path)


def _unserved(each: Deployment, access: Access, profiles: Mapping[str, Profile]) -> str | None:
    """Why nobody would be asked for such a model at this provider, None if somebody is."""
    profile = profiles[access.profile] if access.profile is not None else None
    if profile is None:
        kind = each.kind
        return None if access.dialect == "openai" or kind == "chat" else f"only chats are asked for there, not {kind}"
    services = [service for service, kind in KIND_OF.items() if kind == each.kind]
    if not (profile.chats and each.kind == "chat") and not any(service in profile.ways for service in services):
        return f"{profile.slug} is not asked for models of kind {each.kind} here"
    if "*" not in each.named.native_id and speaker(profile.slug, each.named.native_id) != profile.slug:
        return f"{profile.slug} is not asked for such models here: see its row in providers.md"
    return None


def _wildcard(reader: _Reader, each: Deployment, access: Access, name: str, path: str) -> str | None:
    """`openai/*`: the provider is switched on, and its models of the catalog are used by their ids."""
    if each.named.native_id != "*" or name not in ("*", f"{each.named.vendor}/*") or access.profile is None:
        return "a pattern stands for models here only as `provider/*`, of a provider that is known, under the same name"
    slug = slug_for(reader.found, access)
    if slug != access.profile:
        return f"{access.profile} is there already with another key or address"
    count = reader.known.count_at(slug)
    reader.found.note(path, f"{slug} is switched on: its {count} models of the catalog are used by the catalog's names")
    return None


def _offer(
    reader: _Reader, each: Deployment, offer: Offer, access: Access, name: str, info: Mapping[str, Any], path: str
) -> str | None:
    """Completes the offer and puts it beside the model's others; as `_carry`."""
    found, known, meant = reader.found, reader.known, each.named
    _prices(found, each, offer, info, path)
    _limits(found, offer, info, path)
    served = known.serves(name, offer) if not offer.prices else None
    offer.packaged = served if offer.provider == meant.slug else None
    known.complete(offer, str(info.get("base_model") or meant.native_id), meant.vendor, access.profile)
    offer.base_prices()
    if not offer.is_priced and access.profile in _LOCAL:
        return "what a local server has is found and offered by itself, free of charge"
    if not offer.is_priced:
        return f"nothing is served without a price: state {_asked_price(each.kind)}"
    if offer.is_free and each.kind != "moderation" and not name.endswith(FREE):
        return "a price of zero needs a model_name that ends in :free; anybody may use such a model"
    offers = found.models.get(name, [])
    if offers and offers[0].kind != offer.kind:
        return f"the other deployments of this name are of kind {offers[0].kind}"
    if any((there.provider, there.native_id) == (offer.provider, offer.native_id) for there in offers):
        return f"the same model stands twice at {offer.provider}: it is called once"
    problem = _refusal(name, [*offers, offer])
    if problem is not None:
        return problem
    found.models.setdefault(name, []).append(offer)
    return None


def _asked_price(kind: str) -> str:
    wanted = {
        "chat": "input_cost_per_token and output_cost_per_token",
        "rerank": "input_cost_per_query or input_cost_per_token",
        "image": "output_cost_per_image or prices per token",
        "audio_transcription": "input_cost_per_second or prices per token",
        "audio_speech": "input_cost_per_character or output_cost_per_second",
    }
    return wanted.get(kind, "input_cost_per_token")


def _prices(found: Imported, each: Deployment, offer: Offer, info: Mapping[str, Any], path: str) -> None:
    """The prices of a deployment; those of its parameters overrule those of its description."""
    for source, places in ((each.params, each.places), (info, {name: f"{path}.model_info.{name}" for name in info})):
        for name, value in source.items():
            ours = price_member(name, offer.kind)
            amount = usd(name, value)
            if ours is None or amount is None:
                continue
            there = offer.prices.setdefault(ours, amount)
            if there == amount:
                found.carried.add(places[name])
            else:
                found.leave(places[name], f"another price is stated for the same: {ours} = {there}")


def _limits(found: Imported, offer: Offer, info: Mapping[str, Any], path: str) -> None:
    legacy = "max_output_tokens" if offer.kind == "chat" else "context_length"  # what `max_tokens` means
    for name, ours in (*LIMITS.items(), ("max_tokens", legacy)):
        value = info.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            there = offer.limits.setdefault(ours, value)
            if there == value:
                found.carried.add(f"{path}.model_info.{name}")
    for name, ours in ABILITIES.items():
        if isinstance(info.get(name), bool):
            offer.abilities[ours] = info[name]
            found.carried.add(f"{path}.model_info.{name}")


def _members(
    reader: _Reader, entry: Mapping[str, Any], params: Mapping[str, Any], info: Mapping[str, Any], path: str
) -> None:
    """Notes every member of a deployment that is carried over for what has not been noted."""
    found = reader.found
    noted = found.carried | {place for place, _ in (*found.left, *found.needless)}
    for name, value in params.items():
        place = f"{path}.litellm_params.{name}"
        if place in noted or any(each.startswith(f"{place}.") for each in noted):
            continue
        if name in ("drop_params", "use_litellm_proxy") and value is (name == "drop_params"):
            found.needs_nothing(place, "that is so anyway")
        else:
            unstated = "such a price cannot be stated in [[models]]" if is_price(name) else _PER_CALL
            found.leave(place, _PARAM_REASONS.get(name, unstated))
    for name in info:
        place = f"{path}.model_info.{name}"
        if name in ("mode", "base_model"):
            found.carried.add(place)
        elif name == "id":
            found.needs_nothing(place, "offers have no names of their own")
        elif place not in noted:
            unstated = "such a price cannot be stated in [[models]]" if is_price(name) else NOTHING
            found.leave(place, _INFO_REASONS.get(name, unstated))
    for name, value in entry.items():
        if name not in ("model_name", "litellm_params", "model_info") or (name == "model_info" and value is not info):
            found.leave(f"{path}.{name}", NOTHING)


def _credentials(reader: _Reader, listed: Any) -> None:
    for index, each in enumerate(listed if isinstance(listed, list) else ()):
        values = each.get("credential_values") if isinstance(each, Mapping) else None
        if isinstance(values, Mapping) and isinstance(each.get("credential_name"), str):
            reader.credentials.setdefault(each["credential_name"], (f"{_CREDENTIALS}[{index}]", values))


def _unused_credentials(reader: _Reader, listed: Any) -> None:
    """Notes the credentials, or what of them, that no deployment has used."""
    if listed is not None and not isinstance(listed, list):
        reader.found.leave(_CREDENTIALS, "it must be a list")
    found = reader.found
    noted = found.carried | {place for place, _ in found.left}
    for index, each in enumerate(listed if isinstance(listed, list) else ()):
        place = f"{_CREDENTIALS}[{index}]"
        name = each.get("credential_name") if isinstance(each, Mapping) else None
        if name not in reader.used or reader.credentials[name][0] != place:
            found.leave(place, "no deployment that is carried over names it")
            continue
        for member in each:
            if member not in ("credential_name", "credential_values"):
                found.needs_nothing(f"{place}.{member}", "it only describes")
        for member in each["credential_values"]:
            value = f"{place}.credential_values.{member}"
            if value not in noted:
                found.leave(value, _PARAM_REASONS.get(member, NOTHING))


def _aliases(found: Imported, path: str, names: Any) -> bool:
    """Other names of models, each as a model of its own with the same offers; False if this is none."""
    if not isinstance(names, Mapping):
        return False
    for alias, target in names.items():
        place = f"{path}.{alias}"
        name = target.get("model") if isinstance(target, Mapping) else target
        if not isinstance(name, str) or name not in found.models:
            found.leave(place, "the model that it stands for is not carried over")
        elif str(alias) in found.models:
            found.leave(place, "there is a model of this name")
        elif (problem := _refusal(str(alias), found.models[name])) is not None:
            found.leave(place, problem)
        else:
            found.models[str(alias)] = [replace(offer, packaged=None) for offer in found.models[name]]
            found.carried.add(f"{place}.model" if isinstance(target, Mapping) else place)
            for member in target if isinstance(target, Mapping) else ():
                if member != "model":
                    found.leave(f"{place}.{member}", "all models are shown that a key may use")
    return True
