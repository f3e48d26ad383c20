"""Where and how a deployment of LiteLLM's is called: the `[[providers]]` table that it needs, told apart from all others."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from gatewayz.cli.litellm_found import Access, Imported
from gatewayz.cli.litellm_names import Named
from gatewayz.providers.addresses import url_problem
from gatewayz.providers.config import fit_for_header
from gatewayz.providers.profile import CHAT_PATHS, Profile

ENVIRONMENT = "os.environ/"
_UNFIT = re.compile(r"[^a-z0-9._-]+")
# What LiteLLM's users write behind the base of an address; a trailing query never comes this far.
_ENDPOINTS = (
    "/chat/completions", "/completions", "/responses", "/messages", "/embeddings", "/embed", "/rerank", "/moderations",
    "/images/generations", "/images/edits", "/audio/transcriptions", "/audio/speech", "/chat", "/models",
)  # fmt: skip
_SECRET = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)
# What people write where a server wants no key, but a library insists on one.
_NO_KEYS = frozenset(
    {"", "none", "null", "empty", "na", "n/a", "not-needed", "no-key", "dummy", "fake", "fake-key", "anything"}
)
# Members that mean the same as one of a profile's variables: the member, and which variables those are.
_BY_VARIABLE: Mapping[str, Callable[[Profile], tuple[str, ...]]] = MappingProxyType(
    {
        "aws_access_key_id": lambda profile: profile.aws.access_key if profile.aws else (),
        "aws_secret_access_key": lambda profile: profile.aws.secret_key if profile.aws else (),
        "aws_session_token": lambda profile: profile.aws.session_token if profile.aws else (),
        "vertex_project": lambda profile: profile.account.project if profile.account else (),
        "vertex_credentials": lambda profile: (*profile.account.json, *profile.account.file) if profile.account else (),
    }
)
# Where a deployment is, by provider.
_REGIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bedrock": ("aws_region_name", "region_name"),
        "google-vertex": ("vertex_location", "region_name"),
        "google-vertex-anthropic": ("vertex_location", "region_name"),
    }
)
# Defaults of a deployment that a provider's table can state for chats, by what is spoken to it.
_DEFAULTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "openai": frozenset(
            {
                "temperature", "top_p", "seed", "frequency_penalty", "presence_penalty", "reasoning_effort",
                "service_tier", "logit_bias",
            }
        ),
        "anthropic": frozenset({"temperature", "top_p", "top_k", "service_tier"}),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`: its parameters (those of a named credential among them), and where each of them stands."""

    params: Mapping[str, Any]
    named: Named
    kind: str
    places: Mapping[str, str]

    def place(self, name: str) -> str:
        """The path of a parameter."""
        return self.places[name]


def access_of(
    found: Imported, each: Deployment, profiles: Mapping[str, Profile], variables: Mapping[str, str]
) -> Access | None:
    """How the deployment is called; what it is made of is noted, as is what cannot be. None if it cannot be called.

    `variables` are the environment of this very run, in which addresses may be looked up.
    """
    slug = each.named.slug
    profile = profiles.get(slug)
    base = _base(found, each, profile, variables)
    if base == "":
        return None
    dialect = profile.dialect if profile is not None else "openai"
    if base is not None and slug == "azure-openai" and urlsplit(base).path.endswith("/anthropic/v1"):
        profile, dialect = None, "anthropic"
    if base is not None and (slug == "openai" and urlsplit(base).hostname != "api.openai.com"):
        profile, dialect = None, "openai"
    variable = _variable(found, each, profile, slug)
    regions = _regions(found, each, profile, variables)
    if regions is None:
        return None
    _by_variable(found, each, profile)
    return Access(
        profile=profile.slug if profile is not None else None,
        base_url=base,
        dialect=dialect if profile is None else None,
        variable=variable,
        regions=regions,
        headers=_headers(found, each, dialect),
        priority=_priority(found, each),
        params=_defaults(found, each, dialect),
    )


def slug_for(found: Imported, access: Access, *, own: bool = False, taken: Collection[str] = ()) -> str:
    """The slug of the provider that is called this way, which is made if it is new; none of those that are `taken`.

    `own`: it must be a slug that no packaged provider has, because the models would not be asked for there by that name.
    """
    for slug in _slugs(access, own=own or bool(access.params)):
        if slug in taken:
            continue
        there = found.providers.setdefault(slug, access)
        if there == access:
            return slug
    raise ValueError("too many providers")


def _slugs(access: Access, *, own: bool) -> Iterator[str]:
    host = urlsplit(access.base_url or "").hostname or "openai-like"
    first = access.profile or _UNFIT.sub("-", host.lower()).strip("-.")
    if access.profile is None or not own:
        yield first
    for number in range(2, 1000):
        yield f"{first}-{number}"


def _base(found: Imported, each: Deployment, profile: Profile | None, variables: Mapping[str, str]) -> str | None:
    """The address of a deployment, None for the provider's usual one, "" if it is none that can be called."""
    name = next((name for name in ("api_base", "base_url") if each.params.get(name) is not None), None)
    if name is None:
        return None
    base, place = each.params[name], each.place(name)
    if isinstance(base, str) and base.startswith(ENVIRONMENT):
        variable = base.removeprefix(ENVIRONMENT)
        if profile is not None and variable in profile.base_url_env:
            found.carried.add(place)
            return None
        base = variables.get(variable, "").strip()
        if not base:
            found.leave(place, f"addresses are written into the file: set {variable} while you import")
            return ""
    if not isinstance(base, str) or "?" in base or "@" in base or url_problem(base):
        found.leave(place, "it must be a plain address here, without credentials or parameters")
        return ""
    found.carried.add(place)
    base = _without_endpoint(base.rstrip("/"), profile)
    if profile is None and not urlsplit(base).path:
        found.note(place, "an address without a path is asked below /v1 here")
    return base


def _without_endpoint(base: str, profile: Profile | None) -> str:
    """The base of an address that may name one endpoint, as the provider's profile wants it."""
    slug = profile.slug if profile is not None else ""
    if slug == "azure-openai":
        base = base.partition("/openai")[0]
        if base.endswith("/anthropic"):
            return base + "/v1"
    end = next((end for end in _ENDPOINTS if base.endswith(end)), None)
    base = base.removesuffix(end).rstrip("/") if end is not None else base
    if slug == "azure-openai":
        return base.removesuffix("/models") + "/openai/v1"
    if slug == "cohere":
        return re.sub(r"/v[12]$", "", base)  # the version is the dialect's
    if slug == "ollama" and not base.endswith("/v1"):
        return base + "/v1"
    return base


def _variable(found: Imported, each: Deployment, profile: Profile | None, slug: str) -> str | None:
    """The variable that holds the key; a key in the file itself is not read on."""
    key = each.params.get("api_key")
    usual = profile.env[0] if profile is not None and profile.env else None
    if key is None:
        # A service account, or keys that sign, are found where the provider has no key.
        signs = profile is not None and (profile.aws is not None or profile.account is not None)
        moved = each.params.get("api_base") or each.params.get("base_url")
        return usual if profile is not None and profile.needs_key and not moved and not signs else None
    place = each.place("api_key")
    if isinstance(key, str) and key.strip().lower() in _NO_KEYS and (profile is None or not profile.needs_key):
        found.needs_nothing(place, "no key is sent where none is stated")
        return None
    if isinstance(key, str) and key.startswith(ENVIRONMENT):
        found.carried.add(place)
        return key.removeprefix(ENVIRONMENT)
    variable = usual or re.sub(r"[^A-Z0-9]+", "_", f"{slug}_API_KEY".upper())
    found.leave(place, f"keys are not copied: put it into the variable {variable}")
    return variable


def _regions(
    found: Imported, each: Deployment, profile: Profile | None, variables: Mapping[str, str]
) -> tuple[str, ...] | None:
    """The places of a deployment, none for those of the environment; None if it must be somewhere that nobody can tell."""
    regions = [each.named.region] if each.named.region is not None else []
    for name in _REGIONS.get(profile.slug, ()) if profile is not None else ():
        value = each.params.get(name)
        if value is None:
            continue
        place = each.place(name)
        if isinstance(value, str) and value.startswith(ENVIRONMENT):
            variable = value.removeprefix(ENVIRONMENT)
            if variable in _location_variables(profile):
                found.carried.add(place)
                continue
            value = variables.get(variable, "").strip()
            if not value:
                found.leave(place, f"places are written into the file: set {variable} while you import")
                return None
        if not isinstance(value, str) or not re.fullmatch(r"[\w.-]+", value):
            found.leave(place, "it must be the name of a region")
            return None
        found.carried.add(place)
        regions.append(value)
    return tuple(dict.fromkeys(regions[:1]))


def _location_variables(profile: Profile | None) -> tuple[str, ...]:
    if profile is None:
        return ()
    of_account = profile.account.location if profile.account is not None else ()
    return (*of_account, *(profile.variables.get(profile.locations, ()) if profile.locations else ()))


def _by_variable(found: Imported, each: Deployment, profile: Profile | None) -> None:
    """Notes credentials that are read from the environment, whether they are already to be found there."""
    for name, names_of in _BY_VARIABLE.items():
        value = each.params.get(name)
        if value is None or profile is None:
            continue
        wanted = names_of(profile)
        if isinstance(value, str) and value.startswith(ENVIRONMENT) and value.removeprefix(ENVIRONMENT) in wanted:
            found.carried.add(each.place(name))
        elif wanted:
            found.leave(each.place(name), f"put it into the variable {wanted[0]}")


def _headers(found: Imported, each: Deployment, dialect: str) -> tuple[tuple[str, str], ...]:
    headers: dict[str, str] = {}
    for name in ("extra_headers", "headers"):
        stated = each.params.get(name)
        for header, value in stated.items() if isinstance(stated, Mapping) else ():
            place = f"{each.place(name)}.{header}"
            plain = isinstance(value, str) and not value.startswith(ENVIRONMENT) and fit_for_header(value)
            if _SECRET.search(str(header)):
                found.leave(place, "it may be a secret: state it in `headers` of the provider's table")
            elif not plain or not re.fullmatch(r"[\w-]+", str(header)):
                found.leave(place, "a header must be a plain text on one line")
            else:
                headers[str(header)] = value
                found.carried.add(place)
        if name in each.params and not isinstance(stated, Mapping):
            found.leave(each.place(name), "headers are a table of texts")
    organization = each.params.get("organization")
    if organization is not None:
        if isinstance(organization, str) and not organization.startswith(ENVIRONMENT) and dialect == "openai":
            headers["OpenAI-Organization"] = organization
            found.carried.add(each.place("organization"))
        else:
            found.leave(
                each.place("organization"), "one organisation per provider: state its header OpenAI-Organization"
            )
    return tuple(headers.items())


def _priority(found: Imported, each: Deployment) -> int | None:
    """LiteLLM's `order`: lower comes first there, too."""
    order = each.params.get("order")
    if order is None:
        return None
    if isinstance(order, bool) or not isinstance(order, int) or order < 0:
        found.leave(each.place("order"), "it must be a whole number")
        return None
    found.carried.add(each.place("order"))
    return order


def _defaults(found: Imported, each: Deployment, dialect: str) -> tuple[tuple[str, Any], ...]:
    """What is added to requests that do not state it, of what means the same in LiteLLM's words and the provider's."""
    if each.kind != "chat" or dialect not in CHAT_PATHS:
        return ()
    defaults: dict[str, Any] = {}
    for name in _DEFAULTS.get(dialect, frozenset()) & set(each.params):
        value = each.params[name]
        plain = isinstance(value, (int, float)) or (isinstance(value, str) and not value.startswith(ENVIRONMENT))
        if plain and not isinstance(value, bool):
            defaults[name] = value
            found.carried.add(each.place(name))
    return tuple(sorted(defaults.items()))
