"""Where services beside chats are asked for: under the same base, wherever that was moved to."""

import pytest

from gatewayz.dialects import PROVIDER_DIALECTS
from gatewayz.providers.config import ConfiguredProvider
from gatewayz.providers.profile import ProfileError, load_profiles, parse_profile
from gatewayz.providers.registry import build_providers
from gatewayz.providers.ways import Way

PROFILE = """
slug = "acme"
name = "Acme"
dialect = "openai"
base_url = "https://api.acme.example/openai/v1"
env = ["ACME_API_KEY"]
base_url_env = ["ACME_BASE_URL"]

[ways.embeddings]
dialect = "openai_embeddings"
path = "/embeddings"
source = "https://docs.acme.example/embeddings"

[ways.rerank]
dialect = "cohere_rerank"
path = "/v2/rerank"
from_root = true
source = "https://docs.acme.example/rerank"
"""
ACME = parse_profile(PROFILE, "acme.toml")


def built(env: dict[str, str], *configured: ConfiguredProvider):
    provider = build_providers({"acme": ACME}, env, configured, simulated=False).get("acme")
    assert provider is not None
    return provider


def test_ways_continue_the_base_or_begin_at_the_root() -> None:
    provider = built({"ACME_API_KEY": "k"})
    assert provider.way("chat") == Way("openai", "https://api.acme.example/openai/v1/chat/completions")
    assert provider.way("embeddings") == Way("openai_embeddings", "https://api.acme.example/openai/v1/embeddings")
    assert provider.way("rerank") == Way("cohere_rerank", "https://api.acme.example/v2/rerank")
    assert provider.way("speech") is None


def test_what_is_not_offered_in_its_own_form_can_be_put_as_a_chat() -> None:
    provider = built({"ACME_API_KEY": "k"})
    assert provider.way("responses") == provider.way("chat")


@pytest.mark.parametrize(
    "provider",
    [
        built({"ACME_API_KEY": "k", "ACME_BASE_URL": "http://localhost:9/v1"}),
        built({"ACME_API_KEY": "k"}, ConfiguredProvider("acme", base_url="http://localhost:9/v1/")),
    ],
    ids=["variable", "configuration"],
)
def test_ways_move_with_the_base(provider) -> None:
    assert provider.url == "http://localhost:9/v1/chat/completions"
    assert provider.way("embeddings") == Way("openai_embeddings", "http://localhost:9/v1/embeddings")
    assert provider.way("rerank") == Way("cohere_rerank", "http://localhost:9/v2/rerank")


def test_the_root_is_behind_what_a_proxy_puts_before_it() -> None:
    provider = built({"ACME_API_KEY": "k", "ACME_BASE_URL": "http://proxy:9/acme/openai/v1"})
    assert provider.way("embeddings") == Way("openai_embeddings", "http://proxy:9/acme/openai/v1/embeddings")
    assert provider.way("rerank") == Way("cohere_rerank", "http://proxy:9/acme/v2/rerank")


def test_under_another_dialect_the_ways_of_the_profile_mean_nothing() -> None:
    configured = ConfiguredProvider("acme", base_url="http://localhost:9", dialect="anthropic", api_key="k")
    assert built({}, configured).way("embeddings") is None


@pytest.mark.parametrize(
    "wrong",
    [
        PROFILE.replace("[ways.embeddings]", "[ways.embedding]"),
        PROFILE.replace("[ways.embeddings]", "[ways.chat]"),
        PROFILE.replace('path = "/embeddings"', 'path = "embeddings"'),
        PROFILE.replace('source = "https://docs.acme.example/rerank"', ""),
        PROFILE.replace("from_root = true", 'from_root = "yes"'),
        PROFILE.replace("from_root = true", "root = true"),
    ],
)
def test_a_wrong_way_is_refused(wrong: str) -> None:
    with pytest.raises(ProfileError, match=r"acme\.toml"):
        parse_profile(wrong, "acme.toml")


@pytest.mark.parametrize(
    ("slug", "env", "url"),
    [
        ("openai", {"OPENAI_API_KEY": "k"}, "https://api.openai.com/v1/responses"),
        (
            "azure-openai",
            {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_RESOURCE": "mine"},
            "https://mine.openai.azure.com/openai/v1/responses",
        ),
        ("xai", {"XAI_API_KEY": "k"}, "https://api.x.ai/v1/responses"),
        ("deepseek", {"DEEPSEEK_API_KEY": "k"}, "https://api.deepseek.com/responses"),
        ("openrouter", {"OPENROUTER_API_KEY": "k"}, "https://openrouter.ai/api/v1/responses"),
    ],
)
def test_providers_of_the_responses_api(slug: str, env: dict[str, str], url: str) -> None:
    provider = build_providers(load_profiles(), env, (), simulated=False).get(slug)
    assert provider is not None and provider.way("responses") == Way("openai_responses", url)


def test_a_provider_may_speak_responses_only() -> None:
    wanted = ConfiguredProvider("mine", base_url="http://localhost:9", dialect="openai_responses", api_key="k")
    provider = build_providers({}, {}, (wanted,), simulated=False).get("mine")
    assert provider is not None
    way = Way("openai_responses", "http://localhost:9/v1/responses")
    assert provider.way("chat") == provider.way("responses") == way
    assert provider.headers["authorization"] == "Bearer k"


def test_a_provider_of_openais_dialect_without_a_profile_is_taken_to_offer_everything_at_openais_paths() -> None:
    configured = ConfiguredProvider("own", base_url="http://localhost:9/v1", dialect="openai")
    provider = build_providers({}, {}, [configured], simulated=False).get("own")
    assert provider is not None
    assert provider.way("embeddings") == Way("openai_embeddings", "http://localhost:9/v1/embeddings")
    assert provider.way("transcriptions") == Way("openai_transcriptions", "http://localhost:9/v1/audio/transcriptions")
    other = ConfiguredProvider("own", base_url="http://localhost:9", dialect="anthropic")
    provider = build_providers({}, {}, [other], simulated=False).get("own")
    assert provider is not None and not provider.ways


def test_services_narrow_what_a_provider_is_asked_for() -> None:
    configured = ConfiguredProvider("own", base_url="http://localhost:9/v1", services=("embeddings",))
    providers = build_providers({}, {}, [configured], simulated=False)
    provider = providers.get("own")
    assert provider is not None
    assert [service for service in ("chat", "responses", "embeddings", "speech") if provider.way(service)] == [
        "embeddings"
    ]
    assert providers.reach() == {("own", "embedding")}


def test_a_profile_may_have_no_chats() -> None:
    text = PROFILE.replace('env = ["ACME_API_KEY"]', 'env = ["ACME_API_KEY"]\nchats = false')
    profile = parse_profile(text, "acme.toml")
    provider = build_providers({"acme": profile}, {"ACME_API_KEY": "k"}, [], simulated=False).get("acme")
    assert provider is not None
    assert (provider.way("chat"), provider.way("responses")) == (None, None)
    assert provider.way("embeddings") == Way("openai_embeddings", "https://api.acme.example/openai/v1/embeddings")


def test_every_way_of_every_profile_speaks_a_dialect_of_its_service() -> None:
    for profile in load_profiles().values():
        for service, rule in profile.ways.items():
            dialect = PROVIDER_DIALECTS[rule.dialect]
            assert getattr(dialect, "service", None) == service, (profile.slug, service)
            assert rule.source
