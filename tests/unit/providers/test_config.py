"""`[[providers]]` of the configuration: every mistake at once, with its line."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.providers import build_providers, load_profiles, read_providers
from gatewayz.providers.profile import BreakerOverrides

ENV = {"MY_KEY": "k", "BROKEN_KEY": "a\nb"}


def no_lines(path: tuple[str | int, ...]) -> int | None:
    return None


def problems(tables: Any) -> list[str]:
    return [mistake.problem for mistake in read_providers(tables, no_lines, ENV, load_profiles())[1]]


def test_a_whole_entry() -> None:
    entry = {
        "slug": "acme", "name": "Acme", "base_url": "http://h:1/v1", "dialect": "anthropic", "api_key_env": "MY_KEY",
        "priority": 5, "regions": ["eu", " us "], "headers": {"X-Org": "o"},
        "quirks": {"drop_params": ["n"], "max_temperature": 1},
        "breaker_failures": 2, "breaker_cooldown_s": 0.5, "breaker_successes": 1, "breaker_half_open_concurrency": 3,
    }  # fmt: skip
    (provider,), mistakes = read_providers([entry], no_lines, ENV, load_profiles())
    assert mistakes == []
    assert (provider.slug, provider.name, provider.base_url, provider.dialect) == (
        "acme",
        "Acme",
        "http://h:1/v1",
        "anthropic",
    )
    assert (provider.api_key, provider.priority, provider.regions) == ("k", 5, ("eu", "us"))
    assert provider.headers == {"X-Org": "o"}
    assert provider.quirks == {"drop_params": frozenset({"n"}), "max_temperature": 1.0}
    assert provider.breaker == BreakerOverrides(2, 0.5, 1, 3)
    assert "'k'" not in repr(provider)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({}, "[[providers]]: slug is missing"),
        ({"slug": 3}, "slug must be a text"),
        ({"slug": "No Good"}, "slug 'No Good' must be lower-case"),
        ({"slug": "sim"}, "kept for the simulated provider"),
        ({"slug": "acme"}, "provider acme: base_url is missing; it is needed for a provider without"),
        ({"slug": "opnai"}, "provider opnai: base_url is missing; did you mean openai?"),
        ({"slug": "acme", "base_url": "h:1"}, "base_url must be an address starting with http:// or https://"),
        ({"slug": "acme", "base_url": "http://u:p@h"}, "must not hold a user name or password"),
        ({"slug": "openai", "base_urll": "http://h"}, "unknown field 'base_urll'; did you mean base_url?"),
        ({"slug": "openai", "dialect": "vertex"}, "one of openai, anthropic, gemini, openai_responses, bedrock, cohere, not 'vertex'"),
        ({"slug": "openai", "dialect": "opnai"}, "one of openai, anthropic, gemini, openai_responses, bedrock, cohere, not 'opnai'; did you mean openai?"),
        ({"slug": "openai", "api_key": "a", "api_key_env": "MY_KEY"}, "give api_key or api_key_env, not both"),
        ({"slug": "openai", "api_key_env": "MISSING"}, "api_key_env names MISSING, which is not set"),
        ({"slug": "openai", "api_key_env": "BROKEN_KEY"}, "characters that no header can carry"),
        ({"slug": "openai", "api_key": ""}, "api_key must be a text that is not empty"),
        ({"slug": "openai", "priority": -1}, "priority must be a whole number of at least 0, not -1"),
        ({"slug": "openai", "priority": True}, "priority must be a whole number"),
        ({"slug": "openai", "regions": "eu"}, "regions must be a list of texts"),
        ({"slug": "openai", "headers": {"Host": "x"}}, "header 'Host' cannot be set"),
        ({"slug": "openai", "headers": {"a b": "x"}}, "header 'a b' cannot be set"),
        ({"slug": "openai", "headers": {"X": "a\r\nb"}}, "header X must be a text on one line"),
        ({"slug": "openai", "headers": ["x"]}, "headers must be a table"),
        ({"slug": "openai", "quirks": {"strem_options": True}}, "'strem_options'; did you mean stream_options?"),
        ({"slug": "openai", "quirks": {"stream_options": "no"}}, "quirk stream_options must be true or false"),
        ({"slug": "openai", "quirks": 1}, "quirks must be a table"),
        ({"slug": "openai", "breaker_failures": 0}, "breaker_failures must be a whole number of at least 1"),
        ({"slug": "openai", "breaker_cooldown_s": -1}, "breaker_cooldown_s must be seconds"),
        ({"slug": "mine", "profile": "azure-opnai"}, "there is no profile 'azure-opnai'; did you mean azure-openai?"),
        ({"slug": "openai", "profile": "groq"}, "it has a profile of its own; give the second groq another slug"),
        ("openai", "[[providers]] must be a table"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(entry: Any, told: str) -> None:
    found = problems([entry])
    assert any(told in problem for problem in found), found


def test_no_key_appears_in_a_mistake() -> None:
    assert "secret" not in "".join(problems([{"slug": "openai", "api_key": ["secret"]}]))


def test_all_mistakes_come_at_once_with_their_lines() -> None:
    tables = [{"slug": "acme", "priority": "x"}, {"slug": "openai", "dialect": "vertex"}, {"slug": "openai"}]
    lines = {("providers", 0): 3, ("providers", 0, "priority"): 5, ("providers", 1, "dialect"): 9, ("providers", 2): 11}
    _, mistakes = read_providers(tables, lines.get, ENV, load_profiles(), where="g.toml")
    assert [str(mistake).split(": ")[0] for mistake in mistakes] == ["g.toml:3", "g.toml:5", "g.toml:9", "g.toml:11"]
    assert mistakes[-1].problem == "provider openai stands twice"


@pytest.mark.parametrize("tables", [{"slug": "x"}, "x", None, 3])
def test_the_list_itself(tables: Any) -> None:
    assert problems(tables) == ["must be a list of tables: write [[providers]]"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["slug", "base_url", "dialect", "api_key", "api_key_env", "priority", "regions", "headers", "quirks", "name",
     "breaker_failures", "breaker_cooldown_s", "else"]
)  # fmt: skip


@given(st.lists(st.dictionaries(_NAMES, _VALUES, max_size=6) | _VALUES, max_size=3))
def test_nothing_in_a_file_makes_it_crash(tables: list[Any]) -> None:
    found, mistakes = read_providers(tables, no_lines, ENV, load_profiles())
    if not mistakes:
        build_providers(load_profiles(), {}, found, simulated=False)


@given(st.dictionaries(_NAMES, _VALUES, max_size=6))
def test_what_is_accepted_can_be_called(table: dict[str, Any]) -> None:
    found, mistakes = read_providers(
        [{"slug": "acme", "base_url": "http://h", **table}], no_lines, ENV, load_profiles()
    )
    if not mistakes:
        for provider in build_providers(load_profiles(), {}, found, simulated=False).all():
            assert provider.url.startswith("http")
            assert all(value.isprintable() or value.encode("latin-1") for value in provider.headers.values())
