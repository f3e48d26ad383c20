"""Which models search the web, in which form, and what a search costs at their provider."""

import tomllib

import pytest

from gatewayz.core.usage import Usage
from gatewayz.providers.config import read_providers
from gatewayz.providers.profile import load_profiles, parse_profile
from gatewayz.providers.registry import build_providers
from gatewayz.providers.web_search import WebSearch, read_web_search


@pytest.mark.parametrize(
    ("slug", "model", "form", "counts", "price"),
    [
        ("openai", "gpt-5.2", "responses", "each", 10_000_000),
        ("openai", "gpt-4o-2024-08-06", "responses", "each", 10_000_000),
        ("openai", "gpt-5-search-api", "chat_options", "request", 10_000_000),
        ("openai", "gpt-4o-mini-search-preview", "chat_options", "request", 25_000_000),
        ("anthropic", "claude-sonnet-4-5", "anthropic", "each", 10_000_000),
        ("xai", "grok-4.3", "responses", "each", 5_000_000),
        ("google-ai-studio", "gemini-2.5-flash-lite", "gemini", "prompt", 35_000_000),
        ("google-vertex", "gemini-3-pro-preview", "gemini", "each", 14_000_000),
        ("openrouter", "maker/any", "plugin", "each", None),
        ("perplexity", "sonar-pro", "unasked", "request", None),
        ("perplexity", "sonar-deep-research", "unasked", "each", 5_000_000),
    ],
)
def test_profiles_know_who_searches(slug: str, model: str, form: str, counts: str, price: int | None) -> None:
    env = {name: "key" for profile in load_profiles().values() for name in profile.env}
    provider = build_providers(load_profiles(), env, [], simulated=False).get(slug)
    assert provider is not None
    search = provider.search_for(model)
    assert search is not None
    assert (search.form, search.counts, search.price_nano_usd) == (form, counts, price)


@pytest.mark.parametrize(
    ("slug", "model"),
    [
        ("openai", "gpt-4.1-nano"), ("openai", "gpt-4o-mini"), ("openai", "gpt-4o-audio-preview"), ("openai", "gpt-4"),
        ("anthropic", "claude-3-opus-20240229"), ("xai", "grok-3"), ("google-ai-studio", "gemini-2.0-flash-lite"),
        ("google-ai-studio", "gemini-2.5-flash-image"), ("google-ai-studio", "gemma-3-27b-it"), ("groq", "llama"),
    ],
)  # fmt: skip
def test_profiles_know_who_does_not(slug: str, model: str) -> None:
    env = dict.fromkeys(load_profiles()[slug].env, "key")
    provider = build_providers(load_profiles(), env, [], simulated=False).get(slug)
    assert provider is not None and provider.search_for(model) is None


@pytest.mark.parametrize(
    ("counts", "found", "asked", "billed"),
    [
        ("each", 3, True, 3), ("each", 0, True, 0), ("each", 2, False, 2), ("prompt", 3, True, 1),
        ("prompt", 0, True, 0), ("request", 0, False, 1), ("request", 0, True, 1),
    ],
)  # fmt: skip
def test_what_a_provider_bills(counts: str, found: int, asked: bool, billed: int) -> None:
    search = WebSearch("gemini", counts)  # type: ignore[arg-type]  # one of the three
    assert search.billed(Usage(10, 5, web_searches=found), asked=asked) == billed


def test_silence_about_an_answer_that_was_to_search_counts_as_one() -> None:
    assert WebSearch("anthropic").billed(Usage(10, 5, estimated=True), asked=True) == 1
    assert WebSearch("anthropic").billed(Usage(10, 5, estimated=True), asked=False) == 0


@pytest.mark.parametrize(
    "table",
    [
        {"form": "anthropic"}, {"form": "telepathy", "source": "x"}, {"form": "gemini", "source": "x", "counts": "two"},
        {"form": "gemini", "source": "x", "models": "("}, {"form": "gemini", "source": "x", "price_usd": "-1"},
        {"form": "gemini", "source": "x", "colour": "red"}, "anthropic",
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused(table: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_web_search(table)


def test_a_profile_names_its_mistake() -> None:
    text = 'slug = "x"\nname = "X"\ndialect = "openai"\nbase_url = "https://x.example"\n[[web_search]]\nform = "no"\n'
    with pytest.raises(Exception, match=r"x\.toml: web_search"):
        parse_profile(text + 'source = "x"\n', "x.toml")


def test_the_operator_names_form_and_price() -> None:
    text = """
[[providers]]
slug = "mine"
base_url = "https://mine.example/v1"
web_search = "chat_options"
price_web_search_usd = 0.002
[[providers]]
slug = "perplexity"
price_web_search_usd = 0.008
[[providers]]
slug = "bad"
base_url = "https://bad.example/v1"
web_search = "telepathy"
price_web_search_usd = "much"
"""
    tables = tomllib.loads(text)["providers"]
    found, mistakes = read_providers(tables, lambda _path: None, {}, load_profiles())
    assert len(mistakes) == 2 and all("provider bad" in str(each) for each in mistakes)
    providers = build_providers(load_profiles(), {"PERPLEXITY_API_KEY": "key"}, found, simulated=False)
    mine, sonar = providers.get("mine"), providers.get("perplexity")
    assert mine is not None and sonar is not None
    search = mine.search_for("anything")
    assert search is not None and (search.form, search.price_nano_usd) == ("chat_options", 2_000_000)
    search = sonar.search_for("sonar")
    assert search is not None and (search.counts, search.price_nano_usd) == ("request", 8_000_000)
