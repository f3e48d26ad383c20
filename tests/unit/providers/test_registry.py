"""Which providers an environment and a configuration switch on, and how they are called."""

from typing import Any

import pytest

from gatewayz.providers import ConfiguredProvider, Provider, Providers, build_providers, load_profiles
from gatewayz.providers.addresses import chat_url, request_url, url_problem
from gatewayz.providers.profile import BreakerOverrides
from gatewayz.providers.registry import DEFAULT_CHAIN, SIMULATED_PROVIDER, default_priority


def build(env: dict[str, str], *configured: ConfiguredProvider, simulated: bool = False) -> Providers:
    return build_providers(load_profiles(), env, configured, simulated=simulated)


def one(env: dict[str, str], *configured: ConfiguredProvider) -> Provider:
    (provider,) = build(env, *configured).all()
    return provider


def reason(env: dict[str, str], slug: str, *configured: ConfiguredProvider) -> str:
    return dict(build(env, *configured).inactive())[slug]


def test_nothing_is_active_without_keys_and_each_absence_has_a_reason() -> None:
    providers = build({})
    assert providers.active_slugs() == frozenset() and providers.all() == () and not providers.has_real()
    assert {slug for slug, _ in providers.inactive()} == set(load_profiles())
    assert reason({}, "openai") == "no key: set OPENAI_API_KEY"
    assert reason({}, "ollama") == "is a local server: set OLLAMA_BASE_URL or OLLAMA_API_BASE"
    assert reason({"AZURE_API_KEY": "k"}, "azure-openai").startswith("its address needs AZURE_OPENAI_RESOURCE")
    assert "CLOUDFLARE_ACCOUNT_ID" in reason({"CLOUDFLARE_API_TOKEN": "k"}, "cloudflare-workers-ai")


def test_a_key_in_the_environment_switches_a_provider_on() -> None:
    provider = one({"OPENAI_API_KEY": " sk-1 \n"})
    assert (provider.slug, provider.url) == ("openai", "https://api.openai.com/v1/chat/completions")
    assert provider.headers == {"content-type": "application/json", "authorization": "Bearer sk-1"}
    assert not provider.configured and not provider.simulated
    assert "sk-1" not in repr(provider)


def test_a_provider_may_stand_there_twice_with_one_profile() -> None:
    base = "https://two.openai.azure.com/openai/v1"
    second = ConfiguredProvider("azure-two", base_url=base, api_key="k2", profile="azure-openai")
    found = build({"AZURE_OPENAI_API_KEY": "k1", "AZURE_OPENAI_RESOURCE": "one"}, second)
    first, two = found.get("azure-openai"), found.get("azure-two")
    assert first is not None and two is not None
    assert (two.name, two.dialect, two.quirks) == ("azure-two", "openai", first.quirks)
    assert two.url == f"{base}/chat/completions"
    assert (first.headers["api-key"], two.headers["api-key"]) == ("k1", "k2")
    assert set(two.ways) == set(first.ways)
    places = [
        ConfiguredProvider(f"bedrock-{region}", profile="bedrock", regions=(region,)) for region in ("a-b-1", "a-b-2")
    ]
    bedrock = build({"AWS_BEARER_TOKEN_BEDROCK": "k"}, *places)
    assert {each.location for each in bedrock.all()} == {"a-b-1", "a-b-2"}


@pytest.mark.parametrize("key", ["", "   ", "\n"])
def test_a_blank_key_is_no_key(key: str) -> None:
    assert build({"OPENAI_API_KEY": key}).all() == ()


def test_a_key_that_no_header_can_carry_is_named() -> None:
    assert reason({"OPENAI_API_KEY": "a\nb"}, "openai") == "OPENAI_API_KEY holds characters that no header can carry"
    assert "no header" in reason({"OPENAI_API_KEY": "a\nb"}, "openai", ConfiguredProvider("openai"))


def test_the_first_variable_wins() -> None:
    provider = one({"GROQ_API_KEY": "right"})
    assert provider.headers["authorization"] == "Bearer right"
    provider = one({"HF_TOKEN": "first", "HUGGINGFACE_API_KEY": "second"})
    assert provider.headers["authorization"] == "Bearer first"


def test_ways_of_signing() -> None:
    anthropic = one({"ANTHROPIC_API_KEY": "k"})
    assert anthropic.url == "https://api.anthropic.com/v1/messages"
    assert anthropic.headers["x-api-key"] == "k" and anthropic.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in anthropic.headers
    assert one({"PORTKEY_API_KEY": "k"}).headers["x-portkey-api-key"] == "k"
    azure = one({"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_RESOURCE": "acme"})
    assert azure.headers["api-key"] == "k"
    assert azure.url == "https://acme.openai.azure.com/openai/v1/chat/completions"


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://h:1"}, "http://h:1/v1/chat/completions"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://h:1/v1/"}, "http://h:1/v1/chat/completions"),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "https://api.anthropic.com"}, "https://api.anthropic.com/v1/messages"),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://h/anthropic"}, "http://h/anthropic/v1/messages"),
        ({"GROQ_API_KEY": "k", "GROQ_BASE_URL": "https://api.groq.com"}, "https://api.groq.com/openai/v1/chat/completions"),
        (
            {"AZURE_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com/"},
            "https://acme.openai.azure.com/openai/v1/chat/completions",
        ),
        ({"OLLAMA_BASE_URL": "http://box:11434"}, "http://box:11434/v1/chat/completions"),
        ({"HOSTED_VLLM_API_BASE": "http://box:8000/v1"}, "http://box:8000/v1/chat/completions"),
        ({"LM_STUDIO_API_BASE": "http://127.0.0.1:1234/v1"}, "http://127.0.0.1:1234/v1/chat/completions"),
        ({"LLAMACPP_BASE_URL": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080/v1/chat/completions"),
        ({"DEEPSEEK_API_KEY": "k"}, "https://api.deepseek.com/chat/completions"),
        ({"ZAI_API_KEY": "k"}, "https://api.z.ai/api/paas/v4/chat/completions"),
    ],
)  # fmt: skip
def test_addresses_from_the_environment(env: dict[str, str], url: str) -> None:
    assert one(env).url == url


def test_a_local_server_needs_no_key_but_uses_one() -> None:
    assert "authorization" not in one({"OLLAMA_BASE_URL": "http://box:11434"}).headers
    keyed = one({"VLLM_BASE_URL": "http://box:8000", "VLLM_API_KEY": "k"})
    assert keyed.headers["authorization"] == "Bearer k"


def test_bad_addresses_are_reasons_not_crashes() -> None:
    assert "OLLAMA_BASE_URL must be an address" in reason({"OLLAMA_BASE_URL": "0.0.0.0"}, "ollama")
    env = {"AZURE_API_KEY": "k", "AZURE_OPENAI_RESOURCE": "evil.example/x?"}
    assert "letters, digits" in reason(env, "azure-openai")


@pytest.mark.parametrize(
    ("dialect", "base", "url"),
    [
        ("openai", "http://h", "http://h/v1/chat/completions"),
        ("openai", "http://h/", "http://h/v1/chat/completions"),
        ("openai", "http://h/v1", "http://h/v1/chat/completions"),
        ("openai", "http://h/api/paas/v4/", "http://h/api/paas/v4/chat/completions"),
        ("openai", "http://h/p/openai/v1", "http://h/p/openai/v1/chat/completions"),
        ("openai", "http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ("openai", "http://h/d/x?api-version=1", "http://h/d/x/chat/completions?api-version=1"),
        ("anthropic", "http://h", "http://h/v1/messages"),
        ("anthropic", "http://h/v1", "http://h/v1/messages"),
        ("anthropic", "http://h/v1/", "http://h/v1/messages"),
        ("anthropic", "http://h/p/anthropic", "http://h/p/anthropic/v1/messages"),
        ("anthropic", "http://h/v1/messages", "http://h/v1/messages"),
    ],
)
def test_how_a_base_url_becomes_an_endpoint(dialect: Any, base: str, url: str) -> None:
    assert chat_url(dialect, base) == url


@pytest.mark.parametrize(
    "url",
    ["", "api.example.com", "ftp://h", "http://", "http://u:p@h", "http://h:99999", "http://[::1", "http://h/a b"],
)
def test_what_is_no_base_url(url: str) -> None:
    assert url_problem(url) is not None


def test_a_configured_provider_without_profile() -> None:
    provider = one({}, ConfiguredProvider("acme", base_url="http://h", dialect="openai", api_key="k", regions=("eu",)))
    assert (provider.name, provider.url, provider.configured) == ("acme", "http://h/v1/chat/completions", True)
    assert provider.headers["authorization"] == "Bearer k" and provider.regions == ("eu",)
    claude = one({}, ConfiguredProvider("acme", base_url="http://h", dialect="anthropic", api_key="k"))
    assert claude.url == "http://h/v1/messages" and claude.headers["x-api-key"] == "k"
    assert claude.headers["anthropic-version"] == "2023-06-01"


def test_a_configured_provider_needs_no_key_at_an_address_of_its_own() -> None:
    provider = one({}, ConfiguredProvider("openai", base_url="http://h/v1"))
    assert provider.url == "http://h/v1/chat/completions" and "authorization" not in provider.headers


def test_a_configured_provider_inherits_its_profile() -> None:
    env = {"OPENAI_API_KEY": "from-env"}
    wanted = ConfiguredProvider("openai", priority=1, quirks={"developer_role": False}, headers={"OpenAI-Project": "p"})
    provider = one(env, wanted)
    assert provider.url == "https://api.openai.com/v1/chat/completions"
    assert provider.headers["authorization"] == "Bearer from-env" and provider.headers["openai-project"] == "p"
    assert provider.quirks.max_tokens_field == "max_completion_tokens" and not provider.quirks.developer_role
    assert (provider.priority, provider.name, provider.color) == (1, "OpenAI", "#0ea5e9")
    assert provider.regions == ("global",)


def test_another_address_makes_no_promise_about_regions() -> None:
    assert one({}, ConfiguredProvider("openai", base_url="http://h")).regions == ()


def test_the_configured_key_wins() -> None:
    provider = one({"OPENAI_API_KEY": "env"}, ConfiguredProvider("openai", api_key="file"))
    assert provider.headers["authorization"] == "Bearer file"


def test_under_another_dialect_a_profile_lends_neither_signature_nor_quirks() -> None:
    provider = one({}, ConfiguredProvider("anthropic", base_url="http://h/v1", dialect="openai", api_key="k"))
    assert provider.headers == {"content-type": "application/json", "authorization": "Bearer k"}
    assert provider.quirks.max_temperature is None and provider.name == "Anthropic"
    assert "base_url is needed" in reason({}, "openai", ConfiguredProvider("openai", dialect="anthropic", api_key="k"))


def test_the_official_address_keeps_the_profiles_path() -> None:
    env = {"PPLX_API_KEY": "k"}
    official = ConfiguredProvider("perplexity", base_url="https://api.perplexity.ai/")
    assert one(env, official).url == "https://api.perplexity.ai/chat/completions"
    moved = ConfiguredProvider("perplexity", base_url="http://h")
    assert one(env, moved).url == "http://h/v1/chat/completions"


def test_a_configured_known_provider_without_key_is_inactive() -> None:
    assert reason({}, "openai", ConfiguredProvider("openai")) == "no key: set api_key, api_key_env or OPENAI_API_KEY"
    assert "CLOUDFLARE_ACCOUNT_ID" in reason(
        {}, "cloudflare-workers-ai", ConfiguredProvider("cloudflare-workers-ai", api_key="k")
    )


def test_an_entry_switches_a_local_server_on_at_its_usual_address() -> None:
    assert one({}, ConfiguredProvider("ollama")).url == "http://localhost:11434/v1/chat/completions"


def test_headers_of_the_operator_win_whatever_their_case() -> None:
    wanted = ConfiguredProvider("acme", base_url="http://h", api_key="k", headers={"AUTHORIZATION": "Token t"})
    assert one({}, wanted).headers["authorization"] == "Token t"


def test_breaker_thresholds_are_carried() -> None:
    breaker = BreakerOverrides(failures=2, cooldown_s=1.5)
    assert one({}, ConfiguredProvider("acme", base_url="http://h", breaker=breaker)).breaker == breaker


def test_order_of_the_default_chain() -> None:
    env = {"DEEPINFRA_API_KEY": "k", "OPENAI_API_KEY": "k", "NOVITA_API_KEY": "k", "OPENROUTER_API_KEY": "k"}
    providers = build(env, ConfiguredProvider("acme", base_url="http://h"), simulated=True)
    assert [each.slug for each in providers.all()] == ["openai", "openrouter", "deepinfra", "novita", "acme", "sim"]
    assert [default_priority(slug, known=True) for slug in DEFAULT_CHAIN[:4]] == [10, 20, 30, 40]


def test_the_door() -> None:
    providers = build({"OPENAI_API_KEY": "k"}, simulated=True)
    assert providers.active_slugs() == {"openai", "sim"} and providers.has_real()
    assert providers.get("sim") is SIMULATED_PROVIDER and providers.get("nobody") is None
    assert not build({}, simulated=True).has_real()


def test_deployments_of_azure_stand_in_the_address() -> None:
    """The old path: one deployment each, the version in the query, the key in a header of its own; no list below it."""
    base = "https://acme.openai.azure.com/openai/deployments/{model}?api-version=2024-10-21"
    provider = one({"AZURE_API_KEY": "k"}, ConfiguredProvider("azure-openai", base_url=base))
    asked = request_url(provider.url, "my gpt-4o", stream=True)
    assert asked == (
        "https://acme.openai.azure.com/openai/deployments/my%20gpt-4o/chat/completions?api-version=2024-10-21"
    )
    assert provider.headers["api-key"] == "k" and "authorization" not in provider.headers
    assert provider.feed is None
    new = one({"AZURE_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com/"})
    assert new.url == "https://acme.openai.azure.com/openai/v1/chat/completions" and new.feed is not None
