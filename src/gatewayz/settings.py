"""What did the operator choose? Frozen values; the only reader of the environment.

Every setting stands once in `SETTINGS` below: name, default, unit and meaning. A value comes from the environment
(`GATEWAYZ_` + upper-case name), else from `[settings]` of the TOML file, else from the default. The reference page and
`gatewayz config check` are generated from the same table.
"""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

Source = Literal["default", "file", "environment"]
AppEnv = Literal["development", "production", "test", "testing"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong with the configuration: where it stands and what to do about it."""

    where: str
    problem: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.where}:{self.line}" if self.line else self.where
        return f"{place}: {self.problem}"


class ConfigurationError(Exception):
    """The configuration is refused as a whole; `mistakes` names every one."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


def _setting(default: Any, meaning: str, *, low: float | None = None, high: float | None = None) -> Any:
    factory = {"default_factory": lambda: default} if isinstance(default, tuple) else {"default": default}
    return field(**factory, metadata={"meaning": meaning, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting that an operator can choose, with its default. Units are in the names (`_s` seconds, `_mb` 10^6 bytes)."""

    # circuit breakers
    breaker_failures: int = _setting(5, "consecutive failures that open a provider's breaker", low=1)
    breaker_cooldown_s: float = _setting(60.0, "seconds an open breaker waits before it lets a probe through", low=0)
    breaker_successes: int = _setting(3, "consecutive successful probes that close the breaker", low=1)
    breaker_half_open_concurrency: int = _setting(1, "probes at the same time while half open", low=1)
    breaker_admin_only: bool = _setting(False, "require an admin key on /circuit-breakers")
    breaker_resets_per_hour: int = _setting(10, "breaker resets per hour and IP address", low=1)
    # time limits
    request_deadline_s: float = _setting(300.0, "longest life of one request", low=1)
    connect_timeout_s: float = _setting(5.0, "longest wait for a connection to a provider", low=0.1)
    first_token_timeout_s: float = _setting(60.0, "longest wait for a provider's first byte", low=0.1)
    plain_answer_timeout_s: float = _setting(
        0.0,
        "longest wait for an answer that is not streamed; 0: first_token_timeout_s where that was chosen, else the deadline",
        low=0,
    )
    idle_timeout_s: float = _setting(60.0, "longest pause inside a provider's answer", low=0.1)
    commit_gate_s: float = _setting(10.0, "longest wait for first content before a stream's headers are sent", low=0.1)
    # failover
    failover_attempts: int = _setting(5, "providers tried for one request", low=1)
    explore_share: float = _setting(
        0.02, "share of requests sorted by speed that first try an offer with too few records", low=0, high=1
    )
    rate_limit_retries: int = _setting(3, "tries again at the same provider after a 429", low=0)
    sticky_conversations: int = _setting(
        10_000,
        "conversations per process that are kept at the provider which has their prompt cached; 0: none",
        low=0,
    )
    # limits
    ip_limit_per_min: int = _setting(300, "unauthenticated requests per minute and IP address", low=1)
    fingerprint_limit_per_min: int = _setting(
        100, "requests per minute of one header fingerprint seen from several IPs", low=1
    )
    anonymous_per_day: int = _setting(3, "inference requests per day and IP address without a key", low=0)
    anonymous_max_tokens: int = _setting(1024, "largest answer in tokens without a key", low=1)
    rpm_free: int = _setting(60, "requests per minute of a key on the Free plan (also in the trial)", low=1)
    rpm_starter: int = _setting(250, "requests per minute of a key on the Starter plan", low=1)
    rpm_pro: int = _setting(1000, "requests per minute of a key on the Pro plan", low=1)
    rpm_enterprise: int = _setting(0, "requests per minute of a key on the Enterprise plan; 0: no limit", low=0)
    velocity_threshold: float = _setting(0.25, "share of failed requests that turns velocity mode on", low=0, high=1)
    velocity_window_s: float = _setting(60.0, "rolling window over which the share is taken", low=1)
    velocity_cooldown_s: float = _setting(180.0, "time below the threshold after which velocity mode ends", low=0)
    velocity_factor: float = _setting(0.5, "limits are multiplied by this in velocity mode", low=0.01, high=1)
    velocity_min_requests: int = _setting(100, "fewer requests in the window never turn velocity mode on", low=1)
    key_creations_per_hour: int = _setting(10, "API keys that one account may create per hour", low=1)
    registrations_per_hour: int = _setting(3, "registrations per hour and IP address", low=1)
    disposable_domains: tuple[str, ...] = _setting((), "mail domains refused besides the built-in list")
    body_limit_mb: float = _setting(10.0, "largest request body in megabytes (10^6 bytes)", low=0.001)
    audio_limit_mb: float = _setting(25.0, "largest sound or image file of a form in megabytes", low=0.001)
    # money
    hold_expiry_s: float = _setting(0.0, "life of a credit hold; 0: request_deadline_s + 900", low=0)
    trial_days: int = _setting(14, "length of the trial in days", low=0)
    trial_credit_usd: float = _setting(5.0, "credit of the trial in USD", low=0)
    trial_daily_usd: float = _setting(1.0, "trial credit that may be spent per UTC day in USD", low=0)
    low_balance_usd: float = _setting(5.0, "balance below which X-Credits-Remaining is sent", low=0)
    topup_url: str = _setting("", "address put into 402 answers: where to add credit")
    upgrade_url: str = _setting("", "address put into 402 answers: where to change the plan")
    free_model_allowlist: tuple[str, ...] = _setting(
        (), "models that may be offered at price zero and without a key, besides :free ones"
    )
    admin_grant_cap_usd: float = _setting(1000.0, "most that an administrator may grant at once, in USD", low=0)
    admin_grant_cap_24h_usd: float = _setting(5000.0, "most that an administrator may grant in 24 hours, in USD", low=0)
    lease_usd: float = _setting(1.0, "largest slice of a balance that one process reserves at a time, in USD", low=0)
    lease_s: float = _setting(60.0, "life of such a slice", low=1)
    # catalog
    model_sync_interval_s: float = _setting(
        3600.0, "seconds between syncs of the providers' model lists; 0: only when asked for", low=0
    )
    model_price_step: float = _setting(
        3.0,
        "a listed price this many times the one in force, or less than that part of it, waits for a second sighting",
        low=1,
    )
    # caches
    catalog_cache_s: float = _setting(300.0, "seconds that answers about the catalog are kept in memory", low=0)
    catalog_cache_entries: int = _setting(500, "answers about the catalog kept in memory", low=1)
    catalog_cache_mb: float = _setting(64.0, "memory for them in megabytes (10^6 bytes)", low=0.001)
    catalog_shared_cache_s: float = _setting(1200.0, "seconds that they are kept in Redis, if there is one", low=0)
    huggingface_cache_s: float = _setting(3600.0, "seconds that answers of Hugging Face are kept", low=1)
    huggingface_enrichment: bool = _setting(True, "ask Hugging Face about models that live there")
    huggingface_per_min: int = _setting(60, "requests per minute to Hugging Face", low=1)
    auth_cache_entries: int = _setting(512, "verified keys kept in memory", low=1)
    auth_cache_s: float = _setting(300.0, "seconds a verified key is kept in memory", low=0)
    # network
    trusted_proxies: tuple[str, ...] = _setting((), "CIDRs of proxies whose X-Forwarded-For is believed")
    cors_allow_origins: tuple[str, ...] = _setting((), "origins of web pages that may call from a browser; * for any")
    ssrf_allow_hosts: tuple[str, ...] = _setting(
        (),
        "host names, addresses and networks (CIDR) that may be fetched from although they are private or without TLS",
    )
    http_client: str = _setting(
        "auto",
        "what calls providers; auto: the own client, or aiohttp where a proxy is configured; aiohttp: always that",
    )
    # the simulated provider
    simulated_provider: str = _setting("auto", "auto: on outside production while no provider is configured; on; off")
    # observability
    metrics_token: str = _setting("", "if set, /metrics wants this as a Bearer token")
    log_level: str = _setting("info", "debug, info, warning or error")

    @property
    def plain_wait_s(self) -> float:
        """Longest wait for an answer that is not streamed: it comes whole, after all of its tokens."""
        return self.plain_answer_timeout_s or self.request_deadline_s


# Names of the contract whose feature this version does not have. They are accepted, so that one file serves several
# versions, and named in a warning, so that nobody believes they act.
RESERVED_SETTINGS = frozenset(
    {
        "sign_in_per_15_min", "health_threshold", "minimum_topup_usd", "batch_discount", "exact_cache_entries", "exact_cache_s",
        "semantic_threshold", "embedding_model", "country_header", "default_region",
        "webhook_attempts", "webhook_backoff_base_s", "mail_attempts", "mail_backoff_base_s", "queue_poll_interval_s",
    }
)  # fmt: skip
SECRET_SETTINGS = frozenset({"metrics_token"})
_ONE_OF = {
    "simulated_provider": ("auto", "on", "off"),
    "log_level": ("debug", "info", "warning", "error"),
    "http_client": ("auto", "aiohttp"),
}


@dataclass(frozen=True, slots=True)
class Environment:
    """What the process was started with, besides the settings: addresses, secrets and the kind of deployment."""

    app_env: AppEnv
    home: Path
    database_url: str
    redis_url: str | None
    config_path: Path | None
    secret_keys: tuple[str, ...]
    bootstrap_admin_key: str | None
    port: int
    variables: Mapping[str, str]  # the whole environment, for the providers' own key variables

    @property
    def is_production(self) -> bool:
        """True if development conveniences must stay off."""
        return self.app_env == "production"


def setting_rows() -> list[dict[str, Any]]:
    """One row per setting: name, type, default, meaning, bounds; in the order of the table."""
    return [
        {
            "name": item.name,
            "type": _type_name(item.type),
            "default": _default(item),
            "meaning": item.metadata["meaning"],
            "low": item.metadata["low"],
            "high": item.metadata["high"],
        }
        for item in fields(Settings)
    ]


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """The environment as frozen values. Raises ConfigurationError naming all mistakes at once."""
    env = dict(os.environ if variables is None else variables)
    mistakes: list[Mistake] = []
    app_env = env.get("APP_ENV", "development").lower()
    if app_env not in get_args(AppEnv):
        mistakes.append(Mistake("APP_ENV", f"must be one of {', '.join(get_args(AppEnv))}, not {app_env!r}"))
        app_env = "development"
    if app_env == "production" and env.get("TESTING", "").lower() in ("1", "true", "yes"):
        mistakes.append(Mistake("TESTING", "test switches are refused with APP_ENV=production"))
    home = Path(env.get("GATEWAYZ_HOME") or ".gatewayz").expanduser()
    port_text = env.get("PORT", "8000")
    if not port_text.isdigit() or not 0 <= int(port_text) <= 65535:
        mistakes.append(Mistake("PORT", f"must be a port number, not {port_text!r}"))
        port_text = "8000"
    keys = tuple(key.strip() for key in env.get("GATEWAYZ_SECRET_KEY", "").split(",") if key.strip())
    if app_env == "production" and not keys:
        mistakes.append(
            Mistake("GATEWAYZ_SECRET_KEY", "is required with APP_ENV=production; `gatewayz keys new-secret` prints one")
        )
    if not all(map(_is_secret_key, keys)):
        mistakes.append(
            Mistake("GATEWAYZ_SECRET_KEY", "must be 32 bytes as url-safe base64; `gatewayz keys new-secret` prints one")
        )
    mistakes += _addresses_mistakes(env)
    config_path = env.get("GATEWAYZ_CONFIG") or None
    if mistakes:
        raise ConfigurationError(mistakes)
    return Environment(
        app_env=app_env,  # type: ignore[arg-type]
        home=home,
        database_url=env.get("DATABASE_URL") or f"sqlite:///{(home / 'gatewayz.db').absolute()}",
        redis_url=env.get("REDIS_URL") or None,
        config_path=Path(config_path).expanduser() if config_path else None,
        secret_keys=keys,
        bootstrap_admin_key=env.get("GATEWAYZ_BOOTSTRAP_ADMIN_KEY") or None,
        port=int(port_text),
        variables=env,
    )


def _is_secret_key(text: str) -> bool:
    """Whether this is a Fernet key."""
    try:
        return len(base64.urlsafe_b64decode(text.encode("ascii"))) == 32
    except (ValueError, UnicodeEncodeError):
        return False


def _addresses_mistakes(env: Mapping[str, str]) -> list[Mistake]:
    """What is wrong with the addresses of database and Redis, which may hold a password: they are not quoted."""
    mistakes: list[Mistake] = []
    scheme, _, rest = env.get("DATABASE_URL", "").partition("://")
    if scheme and scheme.partition("+")[0] not in _DATABASES:
        mistakes.append(Mistake("DATABASE_URL", "must be sqlite:///path or postgresql://user:password@host/name"))
    elif scheme.startswith("sqlite") and (not rest.startswith("/") or rest in ("/", "/:memory:")):
        mistakes.append(Mistake("DATABASE_URL", "must name a file: sqlite:///path, or sqlite:////path from the root"))
    scheme = env.get("REDIS_URL", "").partition("://")[0]
    if scheme and scheme not in _REDISES:
        mistakes.append(Mistake("REDIS_URL", "must be redis://host:port/number, rediss://… or unix://path"))
    return mistakes


def read_settings(
    from_file: Mapping[str, Any],
    variables: Mapping[str, str],
    *,
    where: str = "gatewayz.toml",
    lines: Mapping[str, int] | None = None,
) -> tuple[Settings, dict[str, Source], list[Mistake], list[str]]:
    """Settings, where each value came from, the mistakes, and warnings.

    `from_file` is the `[settings]` table, `lines` the line of each name in it. An unknown name in the file is a mistake;
    in the environment it is a warning.
    """
    lines = lines or {}
    mistakes: list[Mistake] = []
    warnings: list[str] = []
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    known = {item.name: item for item in fields(Settings)}
    for name, value in from_file.items():
        if name in RESERVED_SETTINGS:
            warnings.append(f"{where}: setting {name} is accepted but has no effect in this version")
        elif name not in known:
            mistakes.append(Mistake(where, f"unknown setting {name!r}{_near(name, known)}", lines.get(name)))
        else:
            try:
                values[name] = _convert(known[name], value)
                sources[name] = "file"
            except ValueError as error:
                mistakes.append(Mistake(where, f"{name} {error}", lines.get(name)))
    for variable, text in variables.items():
        name = variable.removeprefix("GATEWAYZ_").lower()
        if not variable.startswith("GATEWAYZ_") or variable in _OTHER_VARIABLES:
            continue
        if name not in known:
            word = "has no effect in this version" if name in RESERVED_SETTINGS else "names no setting"
            warnings.append(f"environment: {variable} {word}")
            continue
        try:
            values[name] = _convert(known[name], _from_text(known[name], text))
            sources[name] = "environment"
        except ValueError as error:
            mistakes.append(Mistake("environment", f"{variable} {error}"))
    if not values.get("plain_answer_timeout_s") and "first_token_timeout_s" in values:
        # Who chose how long to wait for a provider's first byte meant plain answers as well.
        values["plain_answer_timeout_s"] = values["first_token_timeout_s"]
    settings = Settings(**values)
    return settings, {name: sources.get(name, "default") for name in known}, mistakes, warnings


_DATABASES = frozenset({"sqlite", "postgresql", "postgres"})
_REDISES = frozenset({"redis", "rediss", "unix"})
_OTHER_VARIABLES = frozenset(
    {"GATEWAYZ_HOME", "GATEWAYZ_CONFIG", "GATEWAYZ_SECRET_KEY", "GATEWAYZ_BOOTSTRAP_ADMIN_KEY"}
)


def _type_name(kind: Any) -> str:
    return {int: "integer", float: "number", bool: "boolean", str: "text"}.get(kind, "list of texts")


def _default(item: Any) -> Any:
    default = item.default_factory() if callable(item.default_factory) else item.default
    return list(default) if isinstance(default, tuple) else default


def _from_text(item: Any, text: str) -> Any:
    if item.type is bool:
        lowered = text.strip().lower()
        if lowered in ("1", "true", "yes", "on"):
            return True
        if lowered in ("0", "false", "no", "off"):
            return False
        raise ValueError(f"must be true or false, not {text!r}")
    if item.type in (int, float):
        try:
            return item.type(text)
        except ValueError:
            raise ValueError(f"must be a number, not {text!r}") from None
    if item.type is str:
        return text
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError("must be a JSON list of texts") from None
    return [part.strip() for part in text.split(",") if part.strip()]


def _convert(item: Any, value: Any) -> Any:
    kind = item.type
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        return value
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (kind is int and value != int(value)):
            raise ValueError(f"must be {'a whole number' if kind is int else 'a number'}, not {value!r}")
        low, high = item.metadata["low"], item.metadata["high"]
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(
                f"must be {f'at least {low:g}' if high is None else f'from {low:g} to {high:g}'}, not {value!r}"
            )
        return kind(value)
    if kind is str:
        if not isinstance(value, str):
            raise ValueError(f"must be a text, not {value!r}")
        allowed = _ONE_OF.get(item.name)
        if allowed and value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {value!r}")
        return value
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError(f"must be a list of texts, not {value!r}")
    return tuple(value)


def _near(name: str, known: Mapping[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
