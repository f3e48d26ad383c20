"""The packaged profiles, and the strictness with which they are read."""

import time

import pytest

from gatewayz.dialects.base import Quirks
from gatewayz.providers.profile import Profile, ProfileError, load_profiles, parse_profile
from gatewayz.providers.registry import DEFAULT_CHAIN

PROFILES = load_profiles()
GOOD = """slug = "acme"
name = "Acme"
dialect = "openai"
base_url = "https://api.acme.example/v1"
env = ["ACME_API_KEY"]
"""


def test_the_providers_of_the_default_chain_have_profiles() -> None:
    assert set(DEFAULT_CHAIN) <= set(PROFILES)


def test_local_servers_need_no_key_and_are_switched_on_by_an_address() -> None:
    local = {slug for slug, profile in PROFILES.items() if not profile.needs_key}
    assert local == {"ollama", "vllm", "lmstudio", "llamacpp"}
    assert all(PROFILES[slug].base_url_env and PROFILES[slug].regions == ("local",) for slug in local)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_each_profile_is_whole(profile: Profile) -> None:
    assert (profile.env or profile.account) and all(name.isupper() for name in (*profile.env, *profile.base_url_env))
    assert profile.base_url.startswith("https://") or not profile.needs_key
    assert profile.chat_path.startswith("/")
    assert profile.sources or profile.quirk_reasons
    assert profile.color is None or (len(profile.color) == 7 and profile.color.startswith("#"))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_each_departure_from_the_dialect_has_a_reason(profile: Profile) -> None:
    ordinary = Quirks()
    departures = {name for name in Quirks.__slots__ if getattr(profile.quirks, name) != getattr(ordinary, name)}
    assert departures == set(profile.quirk_reasons)


def test_no_two_providers_answer_to_one_variable() -> None:
    names = [name for profile in PROFILES.values() for name in profile.env]
    assert len(names) == len(set(names))


def test_quirks_that_were_seen_in_recordings() -> None:
    assert PROFILES["openai"].quirks.max_tokens_field == "max_completion_tokens"
    assert PROFILES["openrouter"].quirks.strip_answer_fields >= {"provider"}
    assert PROFILES["groq"].quirks.strip_answer_fields >= {"x_groq", "usage_breakdown"}
    assert PROFILES["azure-openai"].auth_header == "api-key"
    assert PROFILES["anthropic"].dialect == "anthropic"
    assert not PROFILES["mistral"].quirks.stream_options


def test_reading_all_of_them_is_quick() -> None:
    started_s = time.perf_counter()
    load_profiles.__wrapped__()
    assert time.perf_counter() - started_s < 0.5  # about 0.01 on an idle machine


def test_they_are_read_once() -> None:
    assert load_profiles() is load_profiles()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("slug = ", "acme.toml"),
        (GOOD + "basse_url = 'x'", "basse_url: unknown member; did you mean base_url?"),
        (GOOD.replace('acme"', 'other"'), "slug: must be the name of the file"),
        (GOOD.replace('"openai"', '"smoke"'), "dialect: must be one of"),
        (GOOD.replace("https:", "ftp:"), "base_url: must start"),
        (GOOD.replace("/v1", "/"), "base_url: must start"),
        (GOOD.replace("/v1", "/{account}"), "variables: must name"),
        (GOOD + 'locations = "region"', "locations: must be one of the placeholders"),
        (GOOD + '[aws]\naccess_key = ["A"]', "aws: must be a table of access_key, secret_key, service, session_token"),
        (GOOD.replace('["ACME_API_KEY"]', '"ACME_API_KEY"'), "env: must be a list"),
        (GOOD.replace('name = "Acme"\n', ""), "name: must be a text"),
        (GOOD + "needs_key = 'no'", "needs_key: must be true or false"),
        (GOOD + "quirks = 3", "quirks: must be a table"),
        (GOOD + "[auth]\nheadr = 'x'", "auth: must be a table of header, scheme"),
        (GOOD + "[headers]\nX = 3", "headers: must hold texts"),
        (GOOD + "[quirks.strem_options]\nvalue = true", "did you mean stream_options?"),
        (GOOD + "[quirks.stream_options]\nvalue = true", "must be a table of value, reason, source"),
        (GOOD + "[quirks.stream_options]\nvalue = 1\nreason = 'x'\nsource = 'y'", "must be true or false"),
        (GOOD + "[quirks.max_temperature]\nvalue = 0\nreason = 'x'\nsource = 'y'", "must be a number above zero"),
        (GOOD + "[quirks.drop_params]\nvalue = 'n'\nreason = 'x'\nsource = 'y'", "must be a list of names"),
        (GOOD + "[quirks.max_tokens_field]\nvalue = ''\nreason = 'x'\nsource = 'y'", "must be the name of a field"),
        (GOOD + "[quirks.add_params]\nvalue = 1\nreason = 'x'\nsource = 'y'", "must be a table"),
    ],
)
def test_mistakes_in_a_profile_are_named(text: str, told: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "acme.toml")
    assert told in str(caught.value)


def test_a_profile_says_only_what_is_special() -> None:
    profile = parse_profile(GOOD, "acme.toml")
    assert (profile.auth_header, profile.auth_scheme, profile.chat_path) == (
        "Authorization",
        "Bearer",
        "/chat/completions",
    )
    assert profile.quirks == Quirks() and profile.needs_key and profile.regions == ()
