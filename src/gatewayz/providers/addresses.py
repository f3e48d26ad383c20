"""Where exactly is a chat request sent? From what people call a base URL to the address of one endpoint."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote, urlsplit, urlunsplit

from gatewayz.providers.profile import CHAT_PATHS, PLACEHOLDER, DialectName, Profile, Provider
from gatewayz.providers.service_accounts import AccountRules

_VERSIONED = re.compile(r"/v\d+(?:(?:alpha|beta)\d*)?$")
_NAME = re.compile(r"[\w.-]+")
_DEFAULT_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "openai": "/v1",
        "anthropic": "/v1",
        "gemini": "/v1beta",
        "openai_responses": "/v1",
        "bedrock": "",
        "cohere": "/v2",
    }
)
# The official variables of these hold the version.
_WITH_VERSION = frozenset({"openai", "openai_responses"})
# How the end of an address with a model says whether a stream is wanted: (plain, streamed), and what asks for events.
_ENDS = (
    (":generateContent", ":streamGenerateContent", "alt=sse"),
    (":rawPredict", ":streamRawPredict", ""),
    ("{model}/converse", "{model}/converse-stream", ""),
)
NAMES_MODEL = "model}"  # stands in the addresses that say which model is meant
_COUNTED = "/models/{model}:rawPredict"


def chat_url(dialect: DialectName, base_url: str, *, default_path: str | None = None) -> str:
    """The chat endpoint under an operator's base URL; slashes at its end and a query are tolerated.

    A base without any path gets `default_path` (the official variables differ in whether they hold it; None: that of the
    dialect), and one that already is the endpoint stays as it is.
    """
    parts = urlsplit(base_url.strip())
    path = parts.path.rstrip("/")
    tail = CHAT_PATHS[dialect]
    if not path.endswith(tail):
        path = path or (_DEFAULT_PATHS[dialect] if default_path is None else default_path)
        if dialect not in _WITH_VERSION and not _VERSIONED.search(path):
            path += _DEFAULT_PATHS[dialect]  # the official variables hold no version, even behind a proxy's prefix
        path += tail
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def profile_url(profile: Profile, env: Mapping[str, str]) -> tuple[str, None] | tuple[None, str]:
    """The chat endpoint of a profile in this environment, or why there is none: (url, None) or (None, reason).

    One of `base_url_env` wins over the profile's own address. A local server has no address until one is named.
    """
    moved = first_set(profile.base_url_env, env)
    if moved is not None:
        name, value = moved
        problem = url_problem(value)
        if problem is not None:
            return None, f"{name} {problem}"
        return chat_url(profile.dialect, value, default_path=urlsplit(profile.base_url).path), None
    if not profile.needs_key:
        return None, f"is a local server: set {_one_of(profile.base_url_env)}"
    base_url = profile.base_url
    for placeholder in PLACEHOLDER.findall(base_url):
        filled = first_set(profile.variables[placeholder], env)
        if filled is None:
            return None, f"its address needs {_one_of(profile.variables[placeholder])}"
        if not _NAME.fullmatch(filled[1]):
            return None, f"{filled[0]} may hold letters, digits, dots and dashes only"
        base_url = base_url.replace(f"{{{placeholder}}}", filled[1])
    return base_url + profile.chat_path, None


def configured_url(dialect: DialectName, base_url: str, profile: Profile | None) -> str:
    """The chat endpoint for a base URL of the configuration; the provider's official one keeps the profile's path."""
    base = base_url.strip().rstrip("/")
    if profile is not None and profile.dialect == dialect and (base == profile.base_url or profile.account is not None):
        return base + profile.chat_path
    return chat_url(dialect, base_url)


def request_url(url: str, native_id: str, *, stream: bool) -> str:
    """Where one request is sent: where the address tells them, with the model's name and whether it is a stream."""
    if NAMES_MODEL not in url:
        return url
    if "{+model}" in url:
        return url.replace("{+model}", quote(native_id, safe="/@:"))
    for plain, streamed, query in _ENDS if stream else ():
        if plain in url:
            url = url.replace(plain, streamed)
            if query:
                url += ("&" if "?" in url else "?") + query
    return url.replace("{model}", quote(native_id, safe="@:"))


def count_url(provider: Provider, native_id: str = "") -> str | None:
    """Where tokens of a request in the provider's own dialect are counted; None if it has no such endpoint.

    `native_id` is the provider's name of the model, for those who want it in the address.
    """
    parts = urlsplit(provider.url)
    path = parts.path
    if provider.dialect == "gemini":
        url = provider.url.replace(":generateContent", ":countTokens")
        return request_url(url, native_id, stream=False) if url != provider.url else None
    if provider.dialect != "anthropic":
        return None
    if path.endswith(CHAT_PATHS["anthropic"]):
        path += "/count_tokens"
    elif path.endswith(_COUNTED):
        path = path.replace("{model}", "count-tokens")
    else:
        return None
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def account_urls(
    rules: AccountRules, env: Mapping[str, str], own_project: str | None, base_url: str | None, wanted: tuple[str, ...]
) -> list[tuple[str, str]] | str:
    """(location, chat endpoint) for a service account, best first; or why there is none.

    `own_project` is the account's; `base_url` and the locations `wanted` are the operator's, if he has chosen any.
    """
    named = first_set(rules.project, env)
    project = named[1] if named is not None else own_project
    if project is None:
        return f"its address needs {_one_of(rules.project)}"
    stated = first_set(rules.location, env)
    locations = wanted or tuple(part.strip() for part in (stated[1].split(",") if stated else ()) if part.strip())
    locations = tuple(dict.fromkeys(locations)) or (rules.default_location,)
    if not all(_NAME.fullmatch(name) for name in (project.replace(":", "."), *locations)):
        return "its project and locations may hold letters, digits, dots and dashes only"
    urls = []
    for location in locations:
        base = (base_url or rules.hosts.get(location) or rules.hosts["*"]).strip().rstrip("/")
        urls.append((location, (base + rules.path).replace("{location}", location).replace("{project}", project)))
    return urls


def located_urls(
    profile: Profile, env: Mapping[str, str], base_url: str | None, wanted: tuple[str, ...]
) -> list[tuple[str, str]] | str:
    """(location, chat endpoint) of a profile with `locations`, best first; or why there is none.

    `base_url` and the locations `wanted` are the operator's, if he has chosen any. An address of his that does not hold the
    placeholder stands at the first of the locations.
    """
    if profile.locations is None:
        raise ValueError(f"{profile.slug} has no locations")
    names, placeholder = profile.variables[profile.locations], f"{{{profile.locations}}}"
    moved = first_set(profile.base_url_env, env) if base_url is None else None
    if moved is not None and (problem := url_problem(moved[1])) is not None:
        return f"{moved[0]} {problem}"
    stated = first_set(names, env)
    places = wanted or tuple(part.strip() for part in (stated[1].split(",") if stated else ()) if part.strip())
    if not places:
        return f"its address needs {_one_of(names)}"
    if not all(_NAME.fullmatch(place) for place in places):
        return f"{_one_of(names)} may hold letters, digits, dots and dashes only"
    base = base_url or (moved[1] if moved is not None else profile.base_url)
    url = configured_url(profile.dialect, base, profile)
    places = tuple(dict.fromkeys(places)) if placeholder in url else places[:1]
    return [(place, url.replace(placeholder, place)) for place in places]


def url_problem(url: str) -> str | None:
    """Why this is no usable base URL ("must …"), None if it is one."""
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        return f"must be an address starting with http:// or https://, not {url!r}"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password; use api_key"
    if any(character.isspace() or ord(character) < 32 for character in url.strip()):
        return "must not hold blanks"
    return None


def first_set(names: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, str] | None:
    """The first of these variables that is set and not blank, with its value."""
    for name in names:
        value = env.get(name, "").strip()
        if value:
            return name, value
    return None


def _one_of(names: tuple[str, ...]) -> str:
    return " or ".join(names)
