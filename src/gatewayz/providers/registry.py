"""Who can be called? Profiles, environment and configuration put together: the providers of this deployment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import urlsplit

from gatewayz.core.services import KIND_OF
from gatewayz.providers.addresses import account_urls, configured_url, first_set, located_urls, profile_url
from gatewayz.providers.aws_signing import AwsKeys, AwsKeysRule
from gatewayz.providers.config import SIMULATED_SLUG, ConfiguredProvider, fit_for_header
from gatewayz.providers.feed_places import with_feed
from gatewayz.providers.profile import CHAT_PATHS, NO_QUIRKS, DialectName, Profile, Provider
from gatewayz.providers.quirks import with_quirks
from gatewayz.providers.service_accounts import ServiceAccount, account_in
from gatewayz.providers.ways import NO_WAYS, OPENAI_WAYS, Way, narrowed, ways_beside
from gatewayz.providers.web_search import WebSearch

# The chain in which providers are tried where nothing else tells them apart; 10 is the first.
DEFAULT_CHAIN = (
    "openai", "anthropic", "google-vertex", "openrouter", "cerebras", "groq", "featherless", "vercel-ai-gateway",
    "aihubmix", "anannas", "together", "fireworks", "deepinfra", "alibaba-cloud",
)  # fmt: skip
_PRIORITIES = {slug: 10 * place for place, slug in enumerate(DEFAULT_CHAIN, 1)}
_KNOWN_PRIORITY = 200
_UNKNOWN_PRIORITY = 300
_SIMULATED_PRIORITY = 1000

_ANTHROPIC_VERSION = "2023-06-01"  # the version whose shapes the dialect reads
# How a provider without a profile wants its key, by dialect: (header, scheme).
_AUTH: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "openai": ("Authorization", "Bearer"),
        "anthropic": ("x-api-key", ""),
        "gemini": ("x-goog-api-key", ""),
        "openai_responses": ("Authorization", "Bearer"),
        "bedrock": ("Authorization", "Bearer"),
        "cohere": ("Authorization", "Bearer"),
    }
)


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers of this deployment."""

    _active: Mapping[str, Provider]
    _inactive: tuple[tuple[str, str], ...]
    _reach: frozenset[tuple[str, str]]

    def get(self, slug: str) -> Provider | None:
        """The active provider of that slug, or None."""
        return self._active.get(slug)

    def search_for(self, slug: str, native_id: str) -> WebSearch | None:
        """How a model searches the web at an active provider; None if it does not, or if the provider is not active."""
        provider = self._active.get(slug)
        return provider.search_for(native_id) if provider is not None else None

    def active_slugs(self) -> frozenset[str]:
        """Slugs of all providers that can be called."""
        return frozenset(self._active)

    def all(self) -> tuple[Provider, ...]:
        """All providers that can be called, lowest priority number first."""
        return tuple(self._active.values())

    def inactive(self) -> tuple[tuple[str, str], ...]:
        """The known providers that cannot be called, each with its slug and the reason."""
        return self._inactive

    def reach(self) -> frozenset[tuple[str, str]]:
        """Each provider that can be called with each kind of model that it can be asked for."""
        return self._reach

    def has_real(self) -> bool:
        """Whether any provider other than the simulated one can be called."""
        return any(not provider.simulated for provider in self._active.values())


def build_providers(
    profiles: Mapping[str, Profile],
    env: Mapping[str, str],
    configured: Sequence[ConfiguredProvider],
    *,
    simulated: bool,
) -> Providers:
    """The providers that this environment and configuration switch on.

    A key in one of a profile's variables is enough; a configured provider overrides the profile of its slug or adds
    one. `simulated`: the simulated provider is there too.
    """
    active: list[Provider] = []
    inactive: list[tuple[str, str]] = []
    in_file = {provider.slug for provider in configured}
    for profile in profiles.values():
        if profile.slug not in in_file:
            _sort(with_feed(_from_profile(profile, env), profile, {}), profile.slug, active, inactive)
    for provider in configured:
        known = profiles.get(provider.profile or provider.slug)
        found = with_feed(_from_config(provider, known, env), known, provider.models_feed)
        _sort(found, provider.slug, active, inactive)
    if simulated:
        active.append(SIMULATED_PROVIDER)
    active.sort(key=lambda provider: (provider.priority, provider.slug))
    reach = {
        (provider.slug, kind)
        for provider in active
        for service, kind in KIND_OF.items()
        if provider.way(service) is not None
    }
    by_slug = MappingProxyType({provider.slug: provider for provider in active})
    return Providers(by_slug, tuple(sorted(inactive)), frozenset(reach))


def default_priority(slug: str, known: bool) -> int:
    """The priority of a provider for which the operator has chosen none: its place in the default chain, times ten."""
    return _PRIORITIES.get(slug, _KNOWN_PRIORITY if known else _UNKNOWN_PRIORITY)


SIMULATED_PROVIDER = Provider(
    slug=SIMULATED_SLUG,
    name="Simulated provider",
    dialect="openai",
    url="in-process:",
    headers=MappingProxyType({}),
    priority=_SIMULATED_PRIORITY,
    simulated=True,
    ways=MappingProxyType(
        {service: Way(rule.dialect, f"in-process:{service}") for service, rule in OPENAI_WAYS.items()}
    ),
)


def _sort(found: Provider | str, slug: str, active: list[Provider], inactive: list[tuple[str, str]]) -> None:
    if isinstance(found, str):
        inactive.append((slug, found))
    else:
        active.append(found)


def _from_profile(profile: Profile, env: Mapping[str, str]) -> Provider | str:
    """The provider, or why it is inactive."""
    if profile.on_request:
        return f'is used only where it is asked for: write [[providers]] slug = "{profile.slug}"'
    account = account_in(profile.account, env) if profile.account is not None else None
    if isinstance(account, str):
        return account
    key = _key_from(profile, env) if account is None else None
    aws = _aws_keys(profile.aws, env) if profile.aws is not None and key is None else None
    if isinstance(aws, str):
        return aws
    if profile.needs_key and key is None and account is None and aws is None:
        return f"no key: set {' or '.join(_credentials_of(profile))}"
    if key is not None and not fit_for_header(key[1]):
        return f"{key[0]} holds characters that no header can carry"
    url, problem = (profile.base_url, None) if profile.locations is not None else profile_url(profile, env)
    if url is None:
        return str(problem)
    provider = Provider(
        slug=profile.slug,
        name=profile.name,
        dialect=profile.dialect,
        url=url,
        headers=_headers(profile.dialect, profile, key[1] if key else None, {}),
        quirks=profile.quirks,
        priority=default_priority(profile.slug, known=True),
        regions=profile.regions,
        local=not profile.needs_key,
        site_url=profile.site_url,
        color=profile.color,
        ways=_ways(url, profile),
        chats=profile.chats,
        searches=profile.searches,
    )
    if profile.locations is not None:
        return _spread(provider, aws, profile, env, None, ())
    return provider if account is None else _at_locations(provider, account, profile, env, None, ())


def _spread(
    provider: Provider,
    aws: AwsKeys | None,
    profile: Profile,
    env: Mapping[str, str],
    base_url: str | None,
    wanted: tuple[str, ...],
) -> Provider | str:
    """The provider at the first of its locations, signed for by `aws` if there are such keys, the others beside it."""
    urls = located_urls(profile, env, base_url, wanted)
    if isinstance(urls, str):
        return urls
    places = [
        replace(
            provider,
            url=url,
            aws=replace(aws, region=location) if aws is not None else None,
            location=location,
            regions=(location,),
            ways=narrowed(_ways(url, profile), tuple(provider.ways)) if provider.ways else NO_WAYS,
        )
        for location, url in urls
    ]
    return replace(places[0], elsewhere=tuple(places[1:]))


def _aws_keys(rule: AwsKeysRule, env: Mapping[str, str]) -> AwsKeys | str | None:
    """The keys that the environment holds, without a region; why they cannot be used; None if it holds none."""
    access, secret = first_set(rule.access_key, env), first_set(rule.secret_key, env)
    if access is None or secret is None:
        missing = rule.secret_key if access is not None else rule.access_key
        return None if access is None and secret is None else f"no key: set {' or '.join(missing)}, too"
    token = first_set(rule.session_token, env)
    for name, value in (access, *((token,) if token is not None else ())):
        if not fit_for_header(value):
            return f"{name} holds characters that no header can carry"
    return AwsKeys(access[1], secret[1], rule.service, "", token[1] if token is not None else None)


def _at_locations(
    provider: Provider,
    account: ServiceAccount,
    profile: Profile,
    env: Mapping[str, str],
    base_url: str | None,
    wanted: tuple[str, ...],
) -> Provider | str:
    """The provider signed for by a service account, at the first of its locations, the others beside it."""
    if profile.account is None:
        raise ValueError(f"{profile.slug} takes no service account")
    urls = account_urls(profile.account, env, account.project, base_url, wanted)
    if isinstance(urls, str):
        return urls
    places = [
        replace(
            provider,
            url=url,
            account=account,
            location=location,
            regions=(location,),
            ways=narrowed(_ways(url, profile), tuple(provider.ways)) if provider.ways else NO_WAYS,
        )
        for location, url in urls
    ]
    return replace(places[0], elsewhere=tuple(places[1:]))


def _credentials_of(profile: Profile) -> tuple[str, ...]:
    account = profile.account.names if profile.account is not None else ()
    return (*account, *profile.env, *(profile.aws.names if profile.aws is not None else ()))


def _from_config(wanted: ConfiguredProvider, profile: Profile | None, env: Mapping[str, str]) -> Provider | str:
    """The provider as the operator wants it, the rest from its profile; or why it is inactive."""
    dialect: DialectName = wanted.dialect or (profile.dialect if profile else "openai")
    # Under another dialect the profile's way of signing and its quirks mean nothing.
    spoken = profile if profile is not None and profile.dialect == dialect else None
    signs = spoken is not None and spoken.account is not None and wanted.api_key is None
    account = account_in(spoken.account, env) if signs and spoken and spoken.account else None
    if isinstance(account, str):
        return account
    credential = _credential(wanted, profile, spoken, env) if account is None else (wanted.api_key, None)
    if isinstance(credential, str):
        return credential
    key, aws = credential
    located = spoken is not None and spoken.locations is not None
    if located and profile is not None:
        url = profile.base_url
    elif wanted.base_url is not None:
        url = configured_url(dialect, wanted.base_url, profile)
    elif profile is None or spoken is None:
        return f"base_url is needed for dialect {dialect}"
    else:
        stated, problem = profile_url(profile, env)
        if stated is None and profile.needs_key:
            return str(problem)
        # Standing in the file switches a local server on at its usual address.
        url = stated or profile.base_url + profile.chat_path
    provider = Provider(
        slug=wanted.slug,
        name=wanted.name or (profile.name if profile and wanted.profile is None else wanted.slug),
        dialect=dialect,
        url=url,
        headers=_headers(dialect, spoken, key, wanted.headers),
        quirks=with_quirks(spoken.quirks if spoken else NO_QUIRKS, wanted.quirks),
        priority=wanted.priority if wanted.priority is not None else default_priority(wanted.slug, profile is not None),
        regions=wanted.regions or _regions_of(profile, wanted),
        breaker=wanted.breaker,
        local=profile is not None and not profile.needs_key,
        configured=True,
        site_url=profile.site_url if profile else None,
        color=profile.color if profile else None,
        ways=narrowed(_configured_ways(url, spoken, dialect), wanted.services),
        chats=(spoken is None or spoken.chats) and (not wanted.services or "chat" in wanted.services),
        searches=_searches(wanted, spoken),
    )
    if located and spoken is not None:
        return _spread(provider, aws, spoken, env, wanted.base_url, wanted.regions)
    if account is None or spoken is None:
        return provider
    return _at_locations(provider, account, spoken, env, wanted.base_url, wanted.regions)


def _credential(
    wanted: ConfiguredProvider, profile: Profile | None, spoken: Profile | None, env: Mapping[str, str]
) -> tuple[str | None, AwsKeys | None] | str:
    """The key of a configured provider, or the keys that sign for it (neither, where none is needed); or why there is none."""
    if wanted.api_key is not None or profile is None:
        return wanted.api_key, None
    found = _key_from(profile, env)
    if found is not None:
        return (found[1], None) if fit_for_header(found[1]) else f"{found[0]} holds characters that no header can carry"
    aws = _aws_keys(spoken.aws, env) if spoken is not None and spoken.aws is not None else None
    if isinstance(aws, str):
        return aws
    if aws is None and profile.needs_key and wanted.base_url is None:
        return f"no key: set api_key, api_key_env or {' or '.join(_credentials_of(profile))}"
    return None, aws


def _ways(url: str, profile: Profile) -> Mapping[str, Way]:
    """The services beside chats, under the same base as the chat endpoint, wherever that was moved to."""
    path = profile.chat_path if url.endswith(profile.chat_path) else CHAT_PATHS[profile.dialect]
    return ways_beside(url, path, profile.ways, urlsplit(profile.base_url).path)


def _configured_ways(url: str, spoken: Profile | None, dialect: str) -> Mapping[str, Way]:
    if spoken is not None:
        return _ways(url, spoken)
    return ways_beside(url, CHAT_PATHS["openai"], OPENAI_WAYS) if dialect == "openai" else NO_WAYS


def _searches(wanted: ConfiguredProvider, spoken: Profile | None) -> tuple[WebSearch, ...]:
    """How the models search: in the form that the operator names, else as the profile says; at his price, if he has one."""
    if wanted.web_search is not None:
        return (WebSearch(wanted.web_search, price_nano_usd=wanted.web_search_nano_usd, source="the configuration"),)
    known = spoken.searches if spoken is not None else ()
    if wanted.web_search_nano_usd is None:
        return known
    return tuple(replace(each, price_nano_usd=wanted.web_search_nano_usd) for each in known)


def _regions_of(profile: Profile | None, wanted: ConfiguredProvider) -> tuple[str, ...]:
    # Where another address stands is not known: a region is a promise about where data goes.
    return profile.regions if profile is not None and wanted.base_url is None else ()


def _key_from(profile: Profile, env: Mapping[str, str]) -> tuple[str, str] | None:
    return first_set(profile.env, env)


def _headers(
    dialect: DialectName, profile: Profile | None, key: str | None, further: Mapping[str, str]
) -> Mapping[str, str]:
    """The headers of every request: content type, version, credential; later ones win whatever their case."""
    headers = {"content-type": "application/json"}
    if dialect == "anthropic":
        headers["anthropic-version"] = _ANTHROPIC_VERSION
    if profile is not None:
        headers.update({name.lower(): value for name, value in profile.headers.items()})
    if key is not None:
        name, scheme = (profile.auth_header, profile.auth_scheme) if profile is not None else _AUTH[dialect]
        headers[name.lower()] = f"{scheme} {key}" if scheme else key
    headers.update({name.lower(): value for name, value in further.items()})
    return MappingProxyType(headers)
