"""The `[[providers]]` tables of the configuration: what the operator says about providers, or every mistake in it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from gatewayz.core.services import SERVICES
from gatewayz.providers.addresses import url_problem
from gatewayz.providers.feed_shapes import NO_FEED, SHAPES
from gatewayz.providers.model_feeds import NO_PRICES, PRICE_UNITS
from gatewayz.providers.profile import CHAT_PATHS, NO_OVERRIDES, SLUG, BreakerOverrides, DialectName, Profile
from gatewayz.providers.quirks import near, quirk_value
from gatewayz.providers.web_search import known_form, price_of_search
from gatewayz.settings import Mistake

Path = tuple[str | int, ...]
LineOf = Callable[[Path], int | None]
T = TypeVar("T")

SIMULATED_SLUG = "sim"
_BREAKER_COUNTS = ("breaker_failures", "breaker_successes", "breaker_half_open_concurrency")
_FIELDS = frozenset(
    {
        "slug", "name", "base_url", "dialect", "api_key", "api_key_env", "priority", "regions", "headers", "quirks",
        "models_feed", "services", "profile", "breaker_cooldown_s", "web_search", "price_web_search_usd", *_BREAKER_COUNTS,
    }
)  # fmt: skip
_FEED_WORDS: Mapping[str, frozenset[str] | None] = MappingProxyType(
    {"path": None, "shape": SHAPES | {NO_FEED}, "unit": frozenset(PRICE_UNITS) | {NO_PRICES}}
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# The body is ours and the length the transport's: such a header could only contradict them.
_OWN_HEADERS = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept",
        "accept-encoding",
        "x-request-id",
    }
)


@dataclass(frozen=True, slots=True)
class ConfiguredProvider:
    """One `[[providers]]` table; None and empty values leave to the profile what it says.

    `profile` is the slug whose profile it has: another one where one provider stands here twice, under two keys or addresses.
    """

    slug: str
    name: str | None = None
    base_url: str | None = None
    dialect: DialectName | None = None
    api_key: str | None = field(default=None, repr=False)
    priority: int | None = None
    regions: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    quirks: Mapping[str, Any] = field(default_factory=dict)
    breaker: BreakerOverrides = NO_OVERRIDES
    models_feed: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    web_search: str | None = None
    web_search_nano_usd: int | None = None
    profile: str | None = None


def read_providers(
    tables: Any,
    line_of: LineOf,
    env: Mapping[str, str],
    profiles: Mapping[str, Profile],
    *,
    where: str = "gatewayz.toml",
) -> tuple[list[ConfiguredProvider], list[Mistake]]:
    """The providers of `[[providers]]` and every mistake in them; with mistakes the providers must not be used.

    `line_of` gives the line of a path such as `("providers", 0, "base_url")`. Keys are taken from `env` where
    `api_key_env` says so.
    """
    reader = _Reader(where, line_of, env, profiles)
    if not isinstance(tables, list):
        reader.wrong(("providers",), "must be a list of tables: write [[providers]]")
        return [], reader.mistakes
    found: list[ConfiguredProvider] = []
    seen: set[str] = set()
    for index, table in enumerate(tables):
        provider = reader.provider(table, ("providers", index))
        if provider is None:
            continue
        if provider.slug in seen:
            reader.wrong(("providers", index, "slug"), f"provider {provider.slug} stands twice")
        seen.add(provider.slug)
        found.append(provider)
    return found, reader.mistakes


@dataclass(slots=True)
class _Reader:
    """Reads tables and collects what is wrong with them."""

    where: str
    line_of: LineOf
    env: Mapping[str, str]
    profiles: Mapping[str, Profile]
    mistakes: list[Mistake] = field(default_factory=list)

    def wrong(self, path: Path, problem: str) -> None:
        """Notes a mistake at the nearest line known."""
        lines = (self.line_of(path[:end]) for end in range(len(path), 0, -1))
        self.mistakes.append(Mistake(self.where, problem, next((line for line in lines if line is not None), None)))

    def provider(self, table: Any, path: Path) -> ConfiguredProvider | None:
        """One `[[providers]]` table; None if it has no usable slug."""
        if not isinstance(table, Mapping):
            self.wrong(path, "[[providers]] must be a table")
            return None
        slug = self._slug(table, path)
        label = f"provider {slug or table.get('slug')!s}"
        for name in table:
            if name not in _FIELDS:
                self.wrong((*path, name), f"{label}: unknown field {name!r}{near(str(name), _FIELDS)}")
        profile = self._profile(table, path, label, slug)
        values = {
            "name": self._text(table, path, "name", label),
            "profile": profile,
            "base_url": self._base_url(table, path, label, profile or slug),
            "dialect": self._dialect(table, path, label),
            "api_key": self._api_key(table, path, label),
            "priority": self._whole(table, path, "priority", label, low=0),
            "regions": self._regions(table, path, label),
            "headers": self._headers(table, path, label),
            "quirks": self._quirks(table, path, label),
            "breaker": self._breaker(table, path, label),
            "models_feed": self._models_feed(table, path, label),
            "services": self._services(table, path, label),
            "web_search": self._read(table, path, "web_search", label, known_form),
            "web_search_nano_usd": self._read(table, path, "price_web_search_usd", label, price_of_search),
        }
        return ConfiguredProvider(slug, **values) if slug is not None else None  # type: ignore[arg-type]

    def _slug(self, table: Mapping[str, Any], path: Path) -> str | None:
        slug = self._text(table, path, "slug", "[[providers]]")
        if slug is None:
            if "slug" not in table:
                self.wrong(path, "[[providers]]: slug is missing")
            return None
        if not SLUG.fullmatch(slug):
            self.wrong(
                (*path, "slug"), f"slug {slug!r} must be lower-case letters, digits, dots, dashes and underscores"
            )
            return None
        if slug == SIMULATED_SLUG:
            self.wrong((*path, "slug"), f"slug {slug!r} is kept for the simulated provider; choose another")
            return None
        return slug

    def _profile(self, table: Mapping[str, Any], path: Path, label: str, slug: str | None) -> str | None:
        """The slug of another packaged profile that this provider has, None for that of its own slug, if there is one."""
        profile = self._text(table, path, "profile", label)
        if profile is None or profile == slug:
            return None
        at = (*path, "profile")
        if profile not in self.profiles:
            self.wrong(at, f"{label}: there is no profile {profile!r}{near(profile, frozenset(self.profiles))}")
            return None
        if slug in self.profiles:
            self.wrong(at, f"{label}: it has a profile of its own; give the second {profile} another slug")
        return profile

    def _base_url(self, table: Mapping[str, Any], path: Path, label: str, slug: str | None) -> str | None:
        base_url = self._text(table, path, "base_url", label)
        if base_url is None:
            if slug is not None and slug not in self.profiles and "base_url" not in table:
                hint = (
                    near(slug, frozenset(self.profiles)) or "; it is needed for a provider without a packaged profile"
                )
                self.wrong(path, f"{label}: base_url is missing{hint}")
            return None
        problem = url_problem(base_url)
        if problem is not None:
            self.wrong((*path, "base_url"), f"{label}: base_url {problem}")
            return None
        return base_url

    def _dialect(self, table: Mapping[str, Any], path: Path, label: str) -> str | None:
        dialect = self._text(table, path, "dialect", label)
        if dialect is None or dialect in CHAT_PATHS:
            return dialect
        problem = (
            f"dialect must be one of {', '.join(CHAT_PATHS)}, not {dialect!r}{near(dialect, frozenset(CHAT_PATHS))}"
        )
        self.wrong((*path, "dialect"), f"{label}: {problem}")
        return None

    def _api_key(self, table: Mapping[str, Any], path: Path, label: str) -> str | None:
        key = self._text(table, path, "api_key", label)
        variable = self._text(table, path, "api_key_env", label)
        if key is not None and variable is not None:
            self.wrong((*path, "api_key_env"), f"{label}: give api_key or api_key_env, not both")
            return None
        member = "api_key"
        if variable is not None:
            member, key = "api_key_env", self.env.get(variable, "").strip() or None
            if key is None:
                self.wrong((*path, member), f"{label}: api_key_env names {variable}, which is not set")
        if key is not None and not fit_for_header(key):
            self.wrong((*path, member), f"{label}: the key holds characters that no header can carry")
            return None
        return key

    def _regions(self, table: Mapping[str, Any], path: Path, label: str) -> tuple[str, ...]:
        value = table.get("regions", [])
        if not isinstance(value, list) or not all(isinstance(part, str) and part.strip() for part in value):
            self.wrong((*path, "regions"), f"{label}: regions must be a list of texts, not {value!r}")
            return ()
        return tuple(part.strip() for part in value)

    def _services(self, table: Mapping[str, Any], path: Path, label: str) -> tuple[str, ...]:
        value = table.get("services", [])
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            self.wrong((*path, "services"), f"{label}: services must be a list of texts, not {value!r}")
            return ()
        for part in value:
            if part not in SERVICES:
                problem = f"services: there is no service {part!r}{near(part, frozenset(SERVICES))}"
                self.wrong((*path, "services"), f"{label}: {problem}")
        return tuple(value)

    def _read(self, table: Mapping[str, Any], path: Path, name: str, label: str, read: Callable[[Any], T]) -> T | None:
        try:
            return read(table[name]) if name in table else None
        except ValueError as error:
            self.wrong((*path, name), f"{label}: {name} {error}")
            return None

    def _headers(self, table: Mapping[str, Any], path: Path, label: str) -> Mapping[str, str]:
        value = table.get("headers", {})
        if not isinstance(value, Mapping):
            self.wrong((*path, "headers"), f"{label}: headers must be a table of texts")
            return {}
        headers: dict[str, str] = {}
        for name, text in value.items():
            at = (*path, "headers", name)
            if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
                self.wrong(at, f"{label}: header {name!r} cannot be set")
            elif not isinstance(text, str) or not fit_for_header(text):
                self.wrong(at, f"{label}: header {name} must be a text on one line")
            else:
                headers[name] = text
        return MappingProxyType(headers)

    def _quirks(self, table: Mapping[str, Any], path: Path, label: str) -> Mapping[str, Any]:
        value = table.get("quirks", {})
        if not isinstance(value, Mapping):
            self.wrong((*path, "quirks"), f"{label}: quirks must be a table")
            return {}
        quirks: dict[str, Any] = {}
        for name, stated in value.items():
            try:
                quirks[name] = quirk_value(name, stated)
            except ValueError as error:
                problem = str(error) if str(error).startswith("unknown") else f"quirk {name} {error}"
                self.wrong((*path, "quirks", name), f"{label}: {problem}")
        return MappingProxyType(quirks)

    def _models_feed(self, table: Mapping[str, Any], path: Path, label: str) -> Mapping[str, str]:
        """Where the model list is, its form, and the unit of its prices: each one of a closed set but the path."""
        value = table.get("models_feed", {})
        at = (*path, "models_feed")
        if not isinstance(value, Mapping):
            self.wrong(at, f"{label}: models_feed must be a table of {', '.join(_FEED_WORDS)}")
            return {}
        for name, stated in value.items():
            allowed = _FEED_WORDS.get(name)
            if name not in _FEED_WORDS:
                self.wrong(
                    (*at, name), f"{label}: models_feed has no member {name!r}{near(name, frozenset(_FEED_WORDS))}"
                )
            elif not isinstance(stated, str) or not stated.strip() or (allowed and stated not in allowed):
                choice = f"one of {', '.join(sorted(allowed))}" if allowed else "a path or an address"
                self.wrong((*at, name), f"{label}: models_feed.{name} must be {choice}, not {stated!r}")
            elif not allowed and "://" in stated and url_problem(stated):
                self.wrong((*at, name), f"{label}: models_feed.path {url_problem(stated)}")
        return MappingProxyType({str(name): str(stated) for name, stated in value.items()})

    def _breaker(self, table: Mapping[str, Any], path: Path, label: str) -> BreakerOverrides:
        failures, successes, concurrency = (self._whole(table, path, name, label, low=1) for name in _BREAKER_COUNTS)
        cooldown = table.get("breaker_cooldown_s")
        if cooldown is not None and (
            isinstance(cooldown, bool) or not isinstance(cooldown, (int, float)) or not 0 <= cooldown < float("inf")
        ):
            self.wrong(
                (*path, "breaker_cooldown_s"),
                f"{label}: breaker_cooldown_s must be seconds, zero or more, not {cooldown!r}",
            )
            cooldown = None
        return BreakerOverrides(failures, float(cooldown) if cooldown is not None else None, successes, concurrency)

    def _whole(self, table: Mapping[str, Any], path: Path, name: str, label: str, *, low: int) -> int | None:
        value = table.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            self.wrong((*path, name), f"{label}: {name} must be a whole number of at least {low}, not {value!r}")
            return None
        return value

    def _text(self, table: Mapping[str, Any], path: Path, name: str, label: str) -> str | None:
        value = table.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            shown = "" if name == "api_key" else f", not {value!r}"
            self.wrong((*path, name), f"{label}: {name} must be a text that is not empty{shown}")
            return None
        return value.strip()


def fit_for_header(text: str) -> bool:
    """Whether a header can carry this text: printable characters of Latin-1, on one line."""
    return all(32 <= ord(character) < 256 and ord(character) != 127 for character in text)
