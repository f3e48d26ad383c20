"""A provider as the gateway knows it: dialect x profile x credential.

The dialect is code, the profile is data (one TOML file per provider in `profiles/`), the credential is a value of the
operator's environment. `Provider` is the three put together: ready to be called.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from gatewayz.core.services import SERVICES
from gatewayz.dialects.base import Quirks
from gatewayz.providers.aws_signing import AwsKeys, AwsKeysRule
from gatewayz.providers.balances import BalanceSource, read_balance
from gatewayz.providers.feed_shapes import NO_FEED, SHAPES
from gatewayz.providers.model_feeds import NO_PRICES, PRICE_UNITS, FeedRules, ModelFeed
from gatewayz.providers.quirks import QUIRK_NAMES, near, quirk_value
from gatewayz.providers.service_accounts import AccountRules, ServiceAccount
from gatewayz.providers.ways import NO_WAYS, Way, WayRule, way_to
from gatewayz.providers.web_search import WebSearch, read_web_search, search_for

DialectName = Literal["openai", "anthropic", "gemini", "openai_responses", "bedrock", "cohere"]
CHAT_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "openai": "/chat/completions",
        "anthropic": "/messages",
        "gemini": "/models/{model}:generateContent",
        "openai_responses": "/responses",
        "bedrock": "/model/{model}/converse",
        "cohere": "/chat",
    }
)
SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
PLACEHOLDER = re.compile(r"\{(\w+)\}")


class ProfileError(Exception):
    """A packaged profile file is wrong; the text names the file and the member."""


@dataclass(frozen=True, slots=True)
class BreakerOverrides:
    """Breaker thresholds of one provider; None: the deployment's setting."""

    failures: int | None = None
    cooldown_s: float | None = None
    successes: int | None = None
    half_open_concurrency: int | None = None


NO_OVERRIDES = BreakerOverrides()
NO_QUIRKS = Quirks()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile file says, before any credential.

    `env` lists the variables that may hold the key, best first; `base_url_env` those that move the provider to another
    address. `variables` names, for each `{placeholder}` of `base_url`, the variables that fill it. A profile without
    `needs_key` is a local server: it is switched on by one of `base_url_env`. `quirk_reasons` gives for each quirk why
    it is there, with its source.
    `chat_path` may hold `{model}`. `locations` is the placeholder that may be filled with several values, each a location
    of its own. `aws` says which keys sign requests where there is no key.
    `account` says how the provider is used with a service account, None if it is not.
    `models` matches the provider's names of the models that can be spoken to in `dialect`; None: all. `offers_of` is the
    slug of the provider whose offers of such models are served here, where one provider has two ways to be spoken to.
    `chats`: it answers chats; else its `ways` alone are asked for, under the base URL.
    `on_request`: credentials alone do not switch it on, only an entry in the operator's configuration. `ways` are the
    services beside chats, by name. `feed` says where its model list is and how it reads, with `feed_source` for the proof;
    None: as usual in its dialect. `searches` are the ways in which its models search the web, the first that fits counts.
    `balance` says where the provider tells what credit is left, None if it is not known to.
    """

    slug: str
    name: str
    dialect: DialectName
    base_url: str
    chat_path: str
    env: tuple[str, ...] = ()
    auth_header: str = "Authorization"
    auth_scheme: str = "Bearer"
    base_url_env: tuple[str, ...] = ()
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    quirks: Quirks = NO_QUIRKS
    quirk_reasons: Mapping[str, str] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    needs_key: bool = True
    account: AccountRules | None = None
    aws: AwsKeysRule | None = None
    locations: str | None = None
    models: re.Pattern[str] | None = None
    offers_of: str | None = None
    on_request: bool = False
    chats: bool = True
    ways: Mapping[str, WayRule] = field(default_factory=dict)
    searches: tuple[WebSearch, ...] = ()
    balance: BalanceSource | None = None
    feed: FeedRules | None = None
    feed_source: str | None = None
    site_url: str | None = None
    color: str | None = None
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provider:
    """An active provider. `headers` hold the credential: never logged, never rendered. `url` is where chats are sent.

    `url` may hold `{model}`. `account` signs each request with a token, `aws` with its keys, if there is one.
    `elsewhere` is the same provider at its other locations, to be tried in this order when this one fails; `location` is
    where this one is.
    `feed` is its model list, None if it has none that is known.
    `configured`: it stands in the operator's configuration file, rather than being switched on by a variable.
    """

    slug: str
    name: str
    dialect: DialectName
    url: str
    headers: Mapping[str, str] = field(repr=False)
    quirks: Quirks = NO_QUIRKS
    priority: int = 100
    regions: tuple[str, ...] = ()
    breaker: BreakerOverrides = NO_OVERRIDES
    simulated: bool = False
    local: bool = False
    configured: bool = False
    account: ServiceAccount | None = field(default=None, repr=False)
    aws: AwsKeys | None = field(default=None, repr=False)
    location: str | None = None
    elsewhere: "tuple[Provider, ...]" = ()
    feed: ModelFeed | None = None
    site_url: str | None = None
    color: str | None = None
    ways: Mapping[str, Way] = field(default_factory=lambda: NO_WAYS)
    chats: bool = True
    searches: tuple[WebSearch, ...] = ()

    @property
    def chat_way(self) -> Way:
        """How chats are asked for."""
        return Way(self.dialect, self.url)

    def way(self, service: str) -> Way | None:
        """How a service (see `core/services.py`) is asked for here; None if it is not offered."""
        return way_to(service, self.ways, self.chat_way) if self.chats else self.ways.get(service)

    def search_for(self, native_id: str) -> WebSearch | None:
        """How the model of this name searches the web here; None if it does not."""
        return search_for(native_id, self.searches)


def speaker(slug: str, native_id: str) -> str | None:
    """Who is spoken to about an offer, by its provider and that provider's name of the model; None: nobody can be.

    That is the provider itself, unless its profile leaves such models to another one.
    """
    profile = load_profiles().get(slug)
    if profile is None or profile.models is None or profile.models.fullmatch(native_id) is not None:
        return slug
    for other in _speakers_for(slug):
        if other.models is not None and other.models.fullmatch(native_id) is not None:
            return other.slug
    return None


@cache
def _speakers_for(slug: str) -> tuple[Profile, ...]:
    return tuple(profile for profile in load_profiles().values() if profile.offers_of == slug)


@cache
def load_profiles() -> Mapping[str, Profile]:
    """All packaged profiles by slug, in the order of their slugs. Read once. Raises ProfileError."""
    folder = resources.files(__package__) / "profiles"
    profiles: dict[str, Profile] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            profile = parse_profile(file.read_text(encoding="utf-8"), file.name)
            profiles[profile.slug] = profile
    return MappingProxyType(profiles)


def parse_profile(text: str, file_name: str) -> Profile:
    """The profile that a file holds. Raises ProfileError for whatever is unknown, missing or of the wrong type."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{file_name}: {error}") from error
    reader = _Reader(file_name, table)
    unknown = sorted(set(table) - _MEMBERS)
    if unknown:
        reader.refuse(unknown[0], f"unknown member{near(unknown[0], _MEMBERS)}")
    slug, dialect = reader.text("slug"), reader.text("dialect")
    if f"{slug}.toml" != file_name or not SLUG.fullmatch(slug):
        reader.refuse("slug", "must be the name of the file")
    if dialect not in CHAT_PATHS:
        reader.refuse("dialect", f"must be one of {', '.join(CHAT_PATHS)}")
    base_url = reader.text("base_url")
    if urlsplit(base_url).scheme not in ("http", "https") or base_url.endswith("/"):
        reader.refuse("base_url", "must start with http:// or https:// and not end in /")
    auth = reader.table("auth", frozenset({"header", "scheme"}))
    variables = {name: reader.names_of(name, value) for name, value in reader.table("variables").items()}
    if set(variables) != set(PLACEHOLDER.findall(base_url)):
        reader.refuse("variables", "must name the variables of each placeholder in base_url")
    locations = reader.text("locations", "") or None
    if locations is not None and locations not in variables:
        reader.refuse("locations", "must be one of the placeholders in base_url")
    quirks, reasons = reader.quirks()
    feed, feed_source = reader.feed()
    return Profile(
        slug=slug,
        name=reader.text("name"),
        dialect=dialect,  # type: ignore[arg-type]  # one of CHAT_PATHS
        base_url=base_url,
        chat_path=reader.text("chat_path", CHAT_PATHS[dialect]),
        env=reader.names("env"),
        auth_header=auth.get("header", "Authorization"),
        auth_scheme=auth.get("scheme", "Bearer"),
        base_url_env=reader.names("base_url_env"),
        variables=variables,
        headers=reader.table("headers"),
        quirks=quirks,
        quirk_reasons=reasons,
        regions=reader.names("regions"),
        needs_key=reader.flag("needs_key", default=True),
        account=reader.account(),
        aws=reader.aws(),
        locations=locations,
        models=reader.pattern("models"),
        offers_of=reader.text("offers_of", "") or None,
        on_request=reader.flag("on_request", default=False),
        feed=feed,
        feed_source=feed_source,
        chats=reader.flag("chats", default=True),
        site_url=reader.text("site_url", "") or None,
        color=reader.text("color", "") or None,
        ways=reader.ways(),
        searches=reader.searches(),
        balance=reader.balance(),
        sources=reader.names("sources"),
        notes=reader.names("notes"),
    )


_MEMBERS = frozenset(
    {
        "slug", "name", "dialect", "base_url", "chat_path", "env", "auth", "base_url_env", "variables", "headers",
        "quirks", "regions", "needs_key", "account", "models", "models_feed", "offers_of", "on_request", "site_url",
        "color", "sources", "notes", "ways", "chats", "aws", "locations",
        "web_search", "balance",
    }
)  # fmt: skip
_ACCOUNT_MEMBERS = frozenset({"json", "file", "scope", "path", "project", "location", "default_location", "hosts"})
_AWS_MEMBERS = frozenset({"access_key", "secret_key", "session_token", "service"})
_FEED_MEMBERS = frozenset({"path", "shape", "unit", "source"})
_WAY_MEMBERS = frozenset({"dialect", "path", "source"})
_QUIRK_MEMBERS = frozenset({"value", "reason", "source"})


class _Reader:
    """Typed members of one profile's table."""

    def __init__(self, file_name: str, table: Mapping[str, Any]) -> None:
        self._file_name = file_name
        self._table = table

    def refuse(self, member: str, problem: str) -> None:
        raise ProfileError(f"{self._file_name}: {member}: {problem}")

    def text(self, member: str, default: str | None = None) -> str:
        value = self._table.get(member, default)
        if not isinstance(value, str) or (default is None and not value):
            self.refuse(member, "must be a text")
        return str(value)

    def flag(self, member: str, *, default: bool) -> bool:
        value = self._table.get(member, default)
        if not isinstance(value, bool):
            self.refuse(member, "must be true or false")
        return bool(value)

    def names(self, member: str) -> tuple[str, ...]:
        return self.names_of(member, self._table.get(member, []))

    def names_of(self, member: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(part, str) and part for part in value):
            self.refuse(member, "must be a list of texts")
        return tuple(value)

    def table(self, member: str, known: frozenset[str] | None = None) -> dict[str, Any]:
        value = self._table.get(member, {})
        if not isinstance(value, dict) or (known is not None and not set(value) <= known):
            self.refuse(member, "must be a table" + (f" of {', '.join(sorted(known))}" if known else ""))
        if member != "variables" and not all(isinstance(part, str) for part in value.values()):
            self.refuse(member, "must hold texts")
        return dict(value)

    def pattern(self, member: str) -> re.Pattern[str] | None:
        text = self.text(member, "")
        try:
            return re.compile(text) if text else None
        except re.error:
            self.refuse(member, "must be a regular expression")
        return None

    def account(self) -> AccountRules | None:
        value = self._table.get("account")
        if value is None:
            return None
        if not isinstance(value, dict) or set(value) != _ACCOUNT_MEMBERS:
            self.refuse("account", f"must be a table of {', '.join(sorted(_ACCOUNT_MEMBERS))}")
        inner = _Reader(f"{self._file_name}: account", value)
        lists = {name: inner.names(name) for name in ("json", "file", "project", "location")}
        texts = {name: inner.text(name) for name in ("scope", "path", "default_location")}
        return AccountRules(**lists, **texts, hosts=inner.table("hosts"))  # type: ignore[arg-type]  # as the names say

    def aws(self) -> AwsKeysRule | None:
        value = self._table.get("aws")
        if value is None:
            return None
        if not isinstance(value, dict) or set(value) != _AWS_MEMBERS:
            self.refuse("aws", f"must be a table of {', '.join(sorted(_AWS_MEMBERS))}")
        inner = _Reader(f"{self._file_name}: aws", value)
        lists = {name: inner.names(name) for name in ("access_key", "secret_key", "session_token")}
        return AwsKeysRule(**lists, service=inner.text("service"))

    def ways(self) -> dict[str, WayRule]:
        """Each service is a table with `dialect`, `path`, `source`, and `from_root` where it needs it."""
        table = self._table.get("ways", {})
        if not isinstance(table, dict) or not set(table) < set(SERVICES) - {"chat"}:
            self.refuse("ways", f"must be a table of {', '.join(SERVICES[1:])}")
        rules: dict[str, WayRule] = {}
        for service, value in table.items():
            member = f"ways.{service}"
            if not isinstance(value, dict) or not _WAY_MEMBERS <= {*value, "from_root"} <= {*_WAY_MEMBERS, "from_root"}:
                self.refuse(member, "must be a table of dialect, path, source, from_root")
            inner = _Reader(f"{self._file_name}: {member}", value)
            texts = {name: inner.text(name) for name in _WAY_MEMBERS}
            rule = WayRule(**texts, from_root=inner.flag("from_root", default=False))
            if not rule.path.startswith("/"):
                self.refuse(member, "path must begin with /")
            rules[service] = rule
        return rules

    def searches(self) -> tuple[WebSearch, ...]:
        value = self._table.get("web_search", [])
        if not isinstance(value, list):
            self.refuse("web_search", "must be a list of tables: write [[web_search]]")
        try:
            return tuple(read_web_search(table) for table in value)
        except ValueError as error:
            self.refuse("web_search", str(error))
        return ()

    def balance(self) -> BalanceSource | None:
        value = self._table.get("balance")
        try:
            return None if value is None else read_balance(value)
        except ValueError as error:
            self.refuse("balance", str(error))
        return None

    def feed(self) -> tuple[FeedRules | None, str | None]:
        """The rules of `[models_feed]` and their source; shape `none` without path: there is no list to read."""
        if "models_feed" not in self._table:
            return None, None
        value = self.table("models_feed", _FEED_MEMBERS)
        inner = _Reader(f"{self._file_name}: models_feed", value)
        shape, unit = inner.text("shape"), inner.text("unit", NO_PRICES)
        if shape not in SHAPES | {NO_FEED}:
            inner.refuse("shape", f"must be one of {', '.join(sorted(SHAPES))} or {NO_FEED}")
        if unit not in PRICE_UNITS and unit != NO_PRICES:
            inner.refuse("unit", f"must be one of {', '.join(PRICE_UNITS)} or {NO_PRICES}")
        return FeedRules(inner.text("path", "/models"), shape, unit), inner.text("source")

    def quirks(self) -> tuple[Quirks, dict[str, str]]:
        """Each quirk is a table of its own with `value`, `reason` and `source`: none may stand without its reason."""
        values: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        table = self._table.get("quirks", {})
        if not isinstance(table, dict):
            self.refuse("quirks", "must be a table")
        for name, quirk in table.items():
            member = f"quirks.{name}"
            if name not in QUIRK_NAMES:
                self.refuse(member, f"unknown quirk{near(name, QUIRK_NAMES)}")
            if not isinstance(quirk, dict) or set(quirk) != _QUIRK_MEMBERS:
                self.refuse(member, "must be a table of value, reason, source")
            try:
                values[name] = quirk_value(name, quirk["value"])
            except ValueError as error:
                self.refuse(member, str(error))
            reasons[name] = f"{quirk['reason']} ({quirk['source']})"
        return Quirks(**values), reasons
