"""Where is a provider's model list? From its profile or the operator's word to an address."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from gatewayz.providers.feed_shapes import NO_FEED
from gatewayz.providers.model_feeds import FeedRules, ModelFeed
from gatewayz.providers.profile import CHAT_PATHS, DialectName, Profile, Provider

# What a provider of a dialect is asked where nobody says otherwise; prices only in a unit that somebody stated.
DEFAULT_RULES: Mapping[DialectName, FeedRules] = MappingProxyType(
    {
        "openai": FeedRules("/models", "openai"),
        "anthropic": FeedRules("/models?limit=1000", "anthropic"),
        "gemini": FeedRules("/models?pageSize=1000", "gemini"),
        "openai_responses": FeedRules("/models", "openai"),
        "cohere": FeedRules("../v1/models?page_size=1000", "cohere"),
        "bedrock": FeedRules("", NO_FEED),  # at another host, to be signed for
    }
)


def with_feed(found: Provider | str, profile: Profile | None, wanted: Mapping[str, str]) -> Provider | str:
    """The provider with the address of its model list, if it has one; a reason for inactivity stays as it is.

    `wanted` are the operator's own `path`, `shape` and `unit`. A list at another host is asked without the credential; a
    provider that was moved to another address is asked there; an address that holds the model's name has no list below it.
    """
    if isinstance(found, str) or found.simulated or found.local or found.account is not None:
        return found
    spoken = profile if profile is not None and profile.dialect == found.dialect else None
    stated = spoken.feed if spoken is not None and spoken.feed is not None else DEFAULT_RULES[found.dialect]
    rules = FeedRules(
        wanted.get("path", stated.path), wanted.get("shape", stated.shape), wanted.get("unit", stated.unit)
    )
    base = _base_of(found, spoken)
    if rules.shape == NO_FEED or base is None or "{model}" in base:
        return found
    if urlsplit(stated.path).scheme and "path" not in wanted and _moved(base, spoken):
        rules = replace(rules, path=DEFAULT_RULES[found.dialect].path)
    url = urljoin(base + "/", rules.path.removeprefix("/"))
    with_key = urlsplit(url).netloc == urlsplit(base).netloc
    return replace(found, feed=ModelFeed(url, rules.shape, rules.unit, with_key))


def with_query(url: str, more: Mapping[str, str]) -> str:
    """The address with further members of its query."""
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(dict(more))) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _base_of(provider: Provider, profile: Profile | None) -> str | None:
    parts = urlsplit(provider.url)
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    for tail in (profile.chat_path if profile else "", CHAT_PATHS[provider.dialect]):
        if tail and url.endswith(tail):
            return url.removesuffix(tail)
    return None


def _moved(base: str, profile: Profile | None) -> bool:
    return profile is None or urlsplit(base).netloc != urlsplit(profile.base_url).netloc
