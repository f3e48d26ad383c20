"""LiteLLM's sections of settings: what each member is here, or why it is nothing here."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gatewayz.cli.litellm_found import Imported

ROUTER, LITELLM, GENERAL = "router_settings", "litellm_settings", "general_settings"
SECTIONS = (ROUTER, LITELLM, GENERAL)
NOTHING = "there is nothing like it here"


def _as_it_is(value: Any) -> Any:
    return value


def _one_more(value: Any) -> Any:
    return int(value) + 1


# (section, member) -> our setting and how the number becomes ours. LiteLLM pauses after *more* than the allowed failures.
SETTINGS: Mapping[tuple[str, str], tuple[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        (ROUTER, "allowed_fails"): ("breaker_failures", _one_more),
        (LITELLM, "allowed_fails"): ("breaker_failures", _one_more),
        (ROUTER, "cooldown_time"): ("breaker_cooldown_s", _as_it_is),
        (LITELLM, "cooldown_time"): ("breaker_cooldown_s", _as_it_is),
        (LITELLM, "request_timeout"): ("request_deadline_s", _as_it_is),
        (ROUTER, "timeout"): ("request_deadline_s", _as_it_is),
        (GENERAL, "max_request_size_mb"): ("body_limit_mb", _as_it_is),
        (GENERAL, "user_api_key_cache_ttl"): ("auth_cache_s", _as_it_is),
    }
)
_LOWEST = {"breaker_failures": 0, "breaker_cooldown_s": 0, "request_deadline_s": 1, "body_limit_mb": 0.001}
# (section, member, value) that asks for what is done anyway, or left undone anyway.
_NEEDLESS: Mapping[tuple[str, str, bool], str] = MappingProxyType(
    {
        (LITELLM, "drop_params", True): "what a provider refuses is always left out, unless that changes the answer",
        (LITELLM, "cache", False): "answers are not cached",
        (LITELLM, "set_verbose", False): "logs are brief anyway",
        (LITELLM, "telemetry", False): "nothing is reported to anybody",
        (LITELLM, "turn_off_message_logging", True): "messages are not logged",
        (LITELLM, "redact_user_api_key_info", True): "keys are not logged",
        (ROUTER, "set_verbose", False): "logs are brief anyway",
        (GENERAL, "store_model_in_db", True): "models are in the database",
        (GENERAL, "disable_spend_logs", False): "each request is recorded",
    }
)
_FALLBACKS = "callers name stand-ins per request, in `models`"
_RETRIES = "failed attempts go on to the next provider by themselves, see failover_attempts and rate_limit_retries"
_REDIS = "set the variable REDIS_URL"
_CALLBACKS = "there are no callbacks: see GET /metrics and GET /user/activity/log"
_CACHE = "answers are not cached; providers' prompt caches are used and passed on"
# Why a member is nothing here, where that is more than "there is no such setting"; of whatever section.
_REASONS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"), _FALLBACKS
        ),
        **dict.fromkeys(("num_retries", "max_retries", "retry_policy", "retry_after", "max_fallbacks"), _RETRIES),
        **dict.fromkeys(("redis_host", "redis_port", "redis_password", "redis_url", "redis_db"), _REDIS),
        **dict.fromkeys(("success_callback", "failure_callback", "callbacks", "service_callbacks"), _CALLBACKS),
        **dict.fromkeys(("cache", "cache_params", "cache_kwargs"), _CACHE),
        "master_key": "keys are accounts' own: set GATEWAYZ_BOOTSTRAP_ADMIN_KEY (gw_live_ and 43 characters), and make"
        " the others with POST /user/api-keys",
        "database_url": "set the variable DATABASE_URL",
        "routing_strategy": "callers choose per request: `provider.sort` is price, throughput or latency",
        "routing_strategy_args": "callers choose per request: `provider.sort` is price, throughput or latency",
        "stream_timeout": "see first_token_timeout_s and idle_timeout_s",
        "drop_params": "what a provider refuses is always left out, unless that changes the answer",
        "default_litellm_params": "state them per provider, in quirks.add_params",
        "allowed_ips": "addresses are allowed per key: see ip_allowlist",
        "use_x_forwarded_for": "name the proxies that are believed in trusted_proxies",
        "alerting": "watch GET /metrics and the alarms in the log",
        "json_logs": "logs are JSON lines outside development",
        "max_parallel_requests": "limits are set per key",
        "global_max_parallel_requests": "limits are set per key",
        "default_max_parallel_requests": "limits are set per key",
        "forward_client_headers_to_llm_api": "clients' headers are not passed on; `headers` of a provider are",
        "disable_cooldowns": "breakers cannot be switched off; see breaker_failures",
        "store_prompts_in_spend_logs": "prompts are not recorded",
    }
)
_LEVELS = {"DEBUG": "debug", "INFO": "info"}


def read_sections(found: Imported, document: Mapping[str, Any], aliased: Callable[[str, Any], bool]) -> None:
    """Notes every member of the settings; the router's overrule LiteLLM's own.

    `aliased` takes a path and other names of models, and returns whether it has dealt with them.
    """
    for section in (GENERAL, LITELLM, ROUTER):
        members = document.get(section)
        if members is not None and not isinstance(members, Mapping):
            found.leave(section, "it must be a mapping")
            continue
        for name, value in (members or {}).items():
            path = f"{section}.{name}"
            if name in ("model_group_alias", "model_alias_map") and aliased(path, value):
                continue
            _member(found, section, str(name), value)


def _member(found: Imported, section: str, name: str, value: Any) -> None:
    path = f"{section}.{name}"
    if isinstance(value, bool) and (section, name, value) in _NEEDLESS:
        found.needs_nothing(path, _NEEDLESS[section, name, value])
        return
    setting, convert = SETTINGS.get((section, name), ("", _as_it_is))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if setting and number and float("inf") > value >= _LOWEST.get(setting, 0):
        found.settings[setting] = convert(value)
        found.carried.add(path)
    elif name == "set_verbose" and value is True:
        found.settings["log_level"] = "debug"
        found.carried.add(path)
    elif name == "debug_level" and isinstance(value, str) and value in _LEVELS:
        found.settings["log_level"] = _LEVELS[value]
        found.carried.add(path)
    else:
        found.leave(path, _REASONS.get(name, NOTHING))
