"""LiteLLM's config.yaml becomes a gatewayz.toml; what cannot be carried over is named, secrets never."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog.aliases import packaged
from gatewayz.catalog.config import read_models
from gatewayz.catalog.seed import packaged_seed, seed_records
from gatewayz.cli import main
from gatewayz.cli.litellm import convert
from gatewayz.cli.litellm_found import Imported, toml
from gatewayz.cli.litellm_offers import KnownModels
from gatewayz.providers.config import read_providers
from gatewayz.providers.profile import load_profiles

KNOWN = KnownModels(seed_records(packaged_seed()), packaged().aliases)
HOUSE = {
    "model_name": "house-llama",
    "litellm_params": {
        "model": "openai/llama-3-70b",
        "api_base": "https://llm.example.com/v1/",
        "api_key": "os.environ/HOUSE_KEY",
        "input_cost_per_token": 0.0000005,
        "output_cost_per_token": "1.5e-06",
    },
    "model_info": {"max_input_tokens": 32000, "max_output_tokens": 4000, "supports_vision": True, "mode": "chat"},
}


def deployment(model: str, name: str | None = None, info: Any = None, **params: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"model_name": name or model, "litellm_params": {"model": model, **params}}
    return entry if info is None else {**entry, "model_info": info}


def imported(*deployments: Any, **sections: Any) -> Imported:
    return convert({"model_list": list(deployments), **sections}, load_profiles(), KNOWN)


def left(found: Imported) -> dict[str, str]:
    return dict(found.left)


def test_a_deployment_becomes_a_provider_and_an_offer() -> None:
    written = tomllib.loads(toml(imported(HOUSE)))
    assert written["providers"] == [
        {
            "slug": "llm.example.com",
            "base_url": "https://llm.example.com/v1",
            "dialect": "openai",
            "api_key_env": "HOUSE_KEY",
        }
    ]
    (model,) = written["models"]
    assert (model["id"], model["context_length"], model["max_output_tokens"]) == ("house-llama", 32000, 4000)
    assert model["modality"] == "text+image->text"
    assert model["offers"] == [
        {
            "provider": "llm.example.com",
            "native_id": "llama-3-70b",
            "price_prompt_usd_per_mtok": 0.5,
            "price_completion_usd_per_mtok": 1.5,
        }
    ]


def test_what_the_packaged_catalog_has_needs_no_table() -> None:
    found = imported(deployment("openai/gpt-4o", "gpt-4o", api_key="os.environ/OPENAI_API_KEY"))
    assert (found.served, found.models, found.left) == ({"gpt-4o"}, {}, [])
    assert tomllib.loads(toml(found)) == {"providers": [{"slug": "openai", "api_key_env": "OPENAI_API_KEY"}]}


def test_several_deployments_of_one_name_are_offers_side_by_side() -> None:
    found = imported(
        deployment("openai/gpt-4o", "gpt-4o", api_key="os.environ/OPENAI_API_KEY"),
        deployment("openai/gpt-4o", "gpt-4o", api_key="os.environ/SECOND"),
        deployment("azure/eu", "gpt-4o", {"base_model": "azure/gpt-4o"}, api_base="https://r.openai.azure.com/"),
    )
    offers = tomllib.loads(toml(found))["models"][0]["offers"]
    assert [(each["provider"], each["native_id"]) for each in offers] == [
        ("openai", "gpt-4o"),
        ("openai-2", "gpt-4o"),
        ("azure-openai", "eu"),
    ]
    assert {each["price_prompt_usd_per_mtok"] for each in offers} == {2.5}
    assert found.providers["azure-openai"].base_url == "https://r.openai.azure.com/openai/v1"
    assert found.providers["openai-2"].variable == "SECOND"


def test_keys_in_the_file_become_names_of_variables() -> None:
    found = imported(deployment("anthropic/claude-sonnet-4-5-20250929", "claude", api_key="sk-ant-secret"))
    assert "secret" not in toml(found) + repr(found.left)
    assert found.providers["anthropic"].variable == "ANTHROPIC_API_KEY"
    assert "ANTHROPIC_API_KEY" in left(found)["model_list[0].litellm_params.api_key"]


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        (deployment("openai/some-unknown-model"), "price"),
        (deployment("sagemaker/some-endpoint"), "not known here"),
        (deployment("bedrock/anthropic.claude-v2"), "price"),
        (deployment("openai/sora-2", info={"mode": "video_generation"}), "mode"),
        (deployment("openai/sora-2"), "kind 'video'"),
        (deployment("*"), "set the key of each provider"),
        (deployment("anthropic/*", "mine/*"), "a pattern stands for models here only"),
        (deployment("bedrock/agent/AB12/CD34"), "not as 'agent'"),
        (deployment("bedrock/us-east-1/6-month-commitment/anthropic.claude-v2"), "its address"),
        (deployment("bedrock/amazon.titan-embed-text-v1"), "not asked for models of kind embedding"),
        (deployment("openai/whisper-9"), "state input_cost_per_second"),
        (
            deployment("vertex_ai/meta/llama-3", input_cost_per_token=1, output_cost_per_token=1),
            "not asked for such models",
        ),
        (deployment("openai/gpt-4o", "gpt 4o", input_cost_per_token=1, output_cost_per_token=1), "without blanks"),
        (deployment("openai/gpt-4o", "mine:fast"), "the suffix :fast"),
        (deployment("openai/x", litellm_credential_name="nobody"), "no credential 'nobody'"),
        (deployment("ollama/llama3", api_base="http://localhost:11434"), "by itself"),
        (deployment("x/y", input_cost_per_token=0, output_cost_per_token=0, api_base="http://h/v1"), ":free"),
        ({"model_name": "x"}, "litellm_params.model"),
        ("x", "litellm_params.model"),
    ],
)
def test_a_deployment_that_cannot_be_served_is_named_with_its_reason(entry: Any, word: str) -> None:
    found = imported(HOUSE, entry)
    assert list(found.models) == ["house-llama"]
    assert word in left(found)["model_list[1]"]


def test_addresses_with_credentials_or_variables_are_not_copied() -> None:
    for base in ("https://me:pw@h/v1", "https://h/v1?key=pw", "os.environ/BASE", 7):
        found = imported(deployment("openai/x", api_base=base))
        assert "model_list[0].litellm_params.api_base" in left(found)
        assert "pw" not in repr(found.left)


def test_settings_that_have_one_here_are_carried_over_and_the_rest_is_named() -> None:
    found = imported(
        HOUSE,
        router_settings={
            "allowed_fails": 3,
            "cooldown_time": 30,
            "fallbacks": [{"a": ["b"]}],
            "redis_password": "hunter2",
        },
        litellm_settings={"request_timeout": 120, "drop_params": True, "unheard_of": 1},
        general_settings={"master_key": "sk-1234"},
        environment_variables={"A": "secretvalue"},
    )
    assert found.settings == {"breaker_failures": 4, "breaker_cooldown_s": 30, "request_deadline_s": 120}
    assert set(left(found)) == {
        "router_settings.fallbacks",
        "router_settings.redis_password",
        "litellm_settings.unheard_of",
        "general_settings.master_key",
        "environment_variables.A",
    }
    assert [path for path, _ in found.needless] == ["litellm_settings.drop_params"]
    assert not any(secret in repr(found.left) for secret in ("hunter2", "sk-1234", "secretvalue"))


def test_other_names_of_a_model_are_models_with_the_same_offers() -> None:
    found = imported(HOUSE, router_settings={"model_group_alias": {"big": "house-llama", "lost": "nobody"}})
    assert [each["id"] for each in tomllib.loads(toml(found))["models"]] == ["house-llama", "big"]
    assert "router_settings.model_group_alias.lost" in left(found)


def test_members_without_a_counterpart_are_named_one_by_one() -> None:
    entry = deployment("openai/gpt-4o", "gpt-4o", rpm=1, max_tokens=20)
    assert set(left(imported(entry))) == {
        "model_list[0].litellm_params.rpm",
        "model_list[0].litellm_params.max_tokens",
    }


YAML = """
model_list:
  - model_name: house-llama
    litellm_params:
      model: openai/llama-3-70b
      api_base: https://llm.example.com/v1
      api_key: os.environ/HOUSE_KEY
      input_cost_per_token: 0.0000005
      output_cost_per_token: 0.0000015
"""


def test_the_command_writes_a_file_that_the_gateway_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "config.yaml", tmp_path / "gatewayz.toml"
    source.write_text(YAML)
    assert main(["config", "import", "litellm", str(source), "-o", str(target)]) == 0
    assert "HOUSE_KEY" in capsys.readouterr().err
    monkeypatch.setenv("HOUSE_KEY", "k")
    monkeypatch.setenv("GATEWAYZ_CONFIG", str(target))
    assert main(["config", "check"]) == 0
    assert "models configured: 1" in capsys.readouterr().out
    assert main(["config", "import", "litellm", str(source), "-o", str(target)]) == 1  # nothing is overwritten


def test_what_is_left_behind_shows_in_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(YAML + "general_settings: {master_key: sk-1234}\n")
    assert main(["config", "import", "litellm", str(source)]) == 3
    shown = capsys.readouterr()
    assert tomllib.loads(shown.out)["models"][0]["id"] == "house-llama"
    assert "not carried over: general_settings.master_key" in shown.err
    assert "sk-1234" not in shown.out + shown.err


@pytest.mark.parametrize("text", ["a: [sk-secret", "- 1", "model_list: 7"])
def test_what_is_no_configuration_is_refused_without_quoting_it(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(text)
    assert main(["config", "import", "litellm", str(source)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "sk-secret" not in shown.err


# --- kinds, names and places ---


KINDS = [
    ("openai/text-embedding-3-small", "embedding", {}),
    ("openai/dall-e-3", "image", {}),
    ("openai/whisper-1", "audio_transcription", {}),
    ("openai/tts-1", "audio_speech", {}),
    ("openai/omni-moderation-latest", "moderation", {}),
    ("cohere/rerank-v3.5", "rerank", {}),
    ("jina_ai/jina-reranker-v3", "rerank", {"input_cost_per_token": "0.00000002"}),
    ("voyage/voyage-3.5", "embedding", {"input_cost_per_token": 6e-8}),
    ("fal_ai/fal-ai/flux-pro/v1.1-ultra", "image", {}),
]


@pytest.mark.parametrize(("model", "kind", "params"), KINDS)
def test_models_of_every_kind_are_carried_over(model: str, kind: str, params: Any) -> None:
    found = imported(deployment(model, "mine", None, **params))
    (written,) = tomllib.loads(toml(found))["models"]
    assert written.get("kind") == kind
    assert written["offers"][0]["native_id"] == model.partition("/")[2]
    assert len(written["offers"][0]) > 2  # it has a price


@pytest.mark.parametrize(
    ("mode", "stated", "ours"),
    [
        ("image_generation", {"output_cost_per_image": 0.04}, {"price_image_usd": 0.04}),
        ("image_generation", {"input_cost_per_image": "0.02"}, {"price_image_usd": 0.02}),
        (
            "image_generation",
            {"output_cost_per_image_token": 3e-5},
            {"price_image_output_usd_per_mtok": 30, "price_prompt_usd_per_mtok": 0},
        ),
        ("audio_transcription", {"input_cost_per_second": 0.0001}, {"price_audio_usd_per_second": 0.0001}),
        ("audio_transcription", {"output_cost_per_second": 0.0001}, {"price_audio_usd_per_second": 0.0001}),
        ("audio_speech", {"input_cost_per_character": 0.000015}, {"price_usd_per_million_characters": 15}),
        ("audio_speech", {"output_cost_per_second": 0.00025}, {"price_speech_usd_per_second": 0.00025}),
        ("rerank", {"input_cost_per_query": 0.002}, {"price_search_usd": 0.002}),
        ("embedding", {"input_cost_per_token": 2e-8}, {"price_prompt_usd_per_mtok": 0.02}),
        ("moderation", {"input_cost_per_token": 1e-7}, {"price_prompt_usd_per_mtok": 0.1}),
    ],
)
def test_prices_keep_their_unit(mode: str, stated: dict[str, Any], ours: dict[str, float]) -> None:
    entry = deployment("openai/own", "own", {"mode": mode, **stated}, api_base="http://h/v1")
    (model,) = tomllib.loads(toml(imported(entry)))["models"]
    prices = {name: value for name, value in model["offers"][0].items() if name.startswith("price_")}
    assert prices == ours


def test_a_price_of_the_packaged_catalog_is_stated_in_its_unit() -> None:
    (model,) = tomllib.loads(toml(imported(deployment("openai/dall-e-3", "pictures"))))["models"]
    assert model["offers"][0] == {"provider": "openai", "native_id": "dall-e-3", "price_image_usd": 0.04}


def test_a_price_that_cannot_be_stated_is_named() -> None:
    info = {"input_cost_per_token_above_200k_tokens": 1e-6, "input_cost_per_pixel": 1e-9}
    entry = deployment(
        "openai/own", "own", info, input_cost_per_token=1e-6, output_cost_per_token=1e-6, api_base="http://h/v1"
    )
    assert set(left(imported(entry))) == {f"model_list[0].model_info.{name}" for name in info}


def test_moderation_at_price_zero_is_allowed_by_name() -> None:
    found = imported(deployment("openai/omni-moderation-latest", "guard"))
    assert found.settings == {"free_model_allowlist": ["guard"]}
    served = imported(deployment("openai/omni-moderation-latest"))
    assert served.settings == {"free_model_allowlist": ["openai/omni-moderation-latest"]}
    assert served.served == {"openai/omni-moderation-latest"}


@pytest.mark.parametrize(
    ("model", "slug", "native", "regions"),
    [
        ("bedrock/converse/us.amazon.nova-pro-v1:0", "bedrock", "us.amazon.nova-pro-v1:0", None),
        ("bedrock/us-east-1/amazon.nova-lite-v1:0", "bedrock", "amazon.nova-lite-v1:0", ["us-east-1"]),
        ("bedrock/eu-central-1/amazon.nova-lite-v1:0", "bedrock", "amazon.nova-lite-v1:0", ["eu-central-1"]),
        ("cohere_chat/command-a-03-2025", "cohere", "command-a-03-2025", None),
        ("cohere/command-a-03-2025", "cohere", "command-a-03-2025", None),
        ("command-r-plus", "cohere", "command-r-plus", None),
        ("vertex_ai/claude-sonnet-4@20250514", "google-vertex-anthropic", "claude-sonnet-4@20250514", None),
        ("gemini/gemini-2.5-pro", "google-ai-studio", "gemini-2.5-pro", None),
        ("huggingface/together/deepseek-ai/DeepSeek-R1", "huggingface", "deepseek-ai/DeepSeek-R1:together", None),
        ("openai/responses/gpt-4o", "openai", "gpt-4o", None),
        ("dashscope/qwen-max", "alibaba-cloud", "qwen-max", None),
        ("fireworks_ai/llama-v3p1-8b-instruct", "fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", None),
    ],
)
def test_names_of_providers_and_models(model: str, slug: str, native: str, regions: Any) -> None:
    found = imported(deployment(model, "mine", input_cost_per_token=1e-6, output_cost_per_token=1e-6))
    written = tomllib.loads(toml(found))
    assert [(each["provider"], each["native_id"]) for each in written["models"][0]["offers"]] == [(slug, native)]
    assert written["providers"][0].get("regions") == regions


def test_each_key_address_and_place_is_a_provider_of_its_own_with_the_same_profile() -> None:
    price = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    found = imported(
        deployment("azure/eu", "mine", api_base="https://one.openai.azure.com", api_key="os.environ/ONE", **price),
        deployment("azure/us", "mine", api_base="https://two.openai.azure.com", api_key="os.environ/TWO", **price),
        deployment("bedrock/a.b", "other", aws_region_name="us-east-1", **price),
        deployment("bedrock/a.b", "other", aws_region_name="us-west-2", **price),
        deployment("openai/a", "twice", **price),
        deployment("openai/b", "twice", **price),
    )
    providers = {each.pop("slug"): each for each in tomllib.loads(toml(found))["providers"]}
    assert providers["azure-openai-2"] == {
        "profile": "azure-openai",
        "base_url": "https://two.openai.azure.com/openai/v1",
        "api_key_env": "TWO",
    }
    assert providers["bedrock-2"] == {"profile": "bedrock", "regions": ["us-west-2"]}
    assert providers["openai-2"] == {"profile": "openai", "api_key_env": "OPENAI_API_KEY"}
    assert found.left == []


def test_a_name_of_the_makers_chain_gets_a_provider_of_the_operators_own() -> None:
    entry = deployment("azure/x", "openai/gpt-4o", {"base_model": "gpt-4o"}, api_base="https://r.openai.azure.com")
    found = imported(entry)
    assert found.models["openai/gpt-4o"][0].provider == "azure-openai-2"
    assert found.providers["azure-openai-2"].profile == "azure-openai"


def test_what_is_added_to_requests_never_touches_the_providers_other_models() -> None:
    found = imported(deployment("openai/gpt-4o", "calm", temperature=0.1, seed=3))
    assert tomllib.loads(toml(found))["providers"] == [
        {
            "slug": "openai-2",
            "profile": "openai",
            "api_key_env": "OPENAI_API_KEY",
            "quirks": {"add_params": {"seed": 3, "temperature": 0.1}},
        }
    ]


def test_order_headers_and_organization() -> None:
    headers = {"X-Team": "a", "X-Api-Key": "sk-secret"}
    found = imported(deployment("openai/gpt-4o", "gpt-4o", order=2, organization="org-1", extra_headers=headers))
    (provider,) = tomllib.loads(toml(found))["providers"]
    assert (provider["priority"], provider["headers"]) == (2, {"X-Team": "a", "OpenAI-Organization": "org-1"})
    assert set(left(found)) == {"model_list[0].litellm_params.extra_headers.X-Api-Key"}
    assert "sk-secret" not in toml(found) + repr(found.left)


def test_addresses_and_places_may_come_from_the_environment_of_this_run() -> None:
    entry = deployment("azure/x", "x", {"base_model": "gpt-4o"}, api_base="os.environ/MY_AZURE")
    known = convert({"model_list": [entry]}, load_profiles(), KNOWN, {"MY_AZURE": "https://r.openai.azure.com/"})
    assert known.providers["azure-openai"].base_url == "https://r.openai.azure.com/openai/v1"
    asked = left(imported(entry))
    assert "set MY_AZURE while you import" in asked["model_list[0].litellm_params.api_base"]
    assert "cannot be called without api_base" in asked["model_list[0]"]
    usual = imported(deployment("openai/gpt-4o", "gpt-4o", api_base="os.environ/OPENAI_BASE_URL"))
    assert (usual.left, usual.providers["openai"].base_url) == ([], None)


def test_a_model_may_come_from_the_environment_of_this_run() -> None:
    entry = deployment("os.environ/MY_MODEL", "gpt-4o")
    known = convert({"model_list": [entry]}, load_profiles(), KNOWN, {"MY_MODEL": "openai/gpt-4o"})
    assert (known.served, known.left) == ({"gpt-4o"}, [])
    assert "set MY_MODEL while you import" in left(imported(entry))["model_list[0]"]


def test_a_key_that_is_none_is_none() -> None:
    price = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    for model in ("openai/x", "hosted_vllm/x"):
        found = imported(deployment(model, "mine", api_base="http://h/v1", api_key="none", **price))
        assert [each.variable for each in found.providers.values()] == [None]
        assert found.left == []
        assert [path for path, _ in found.needless] == ["model_list[0].litellm_params.api_key"]
    # Who needs a key gets the name of its variable all the same.
    assert imported(deployment("openai/gpt-4o", "x", api_key="none")).providers["openai"].variable == "OPENAI_API_KEY"


def test_credentials_that_are_named_once_are_those_of_each_deployment() -> None:
    listed = [
        {
            "credential_name": "eu",
            "credential_values": {
                "api_key": "os.environ/EU",
                "api_base": "https://eu.openai.azure.com",
                "api_version": "1",
            },
            "credential_info": {"description": "Europe"},
        },
        {"credential_name": "idle", "credential_values": {"api_key": "sk-secret"}},
    ]
    entry = deployment("azure/x", "x", {"base_model": "gpt-4o"}, litellm_credential_name="eu")
    found = imported(entry, credential_list=listed)
    access = found.providers["azure-openai"]
    assert (access.variable, access.base_url) == ("EU", "https://eu.openai.azure.com/openai/v1")
    assert set(left(found)) == {"credential_list[0].credential_values.api_version", "credential_list[1]"}
    assert "sk-secret" not in repr(found.left)


def test_a_pattern_of_a_known_provider_switches_it_on() -> None:
    found = imported(deployment("anthropic/*"), deployment("groq/*", "*"))
    assert [found.left, found.models, list(found.providers)] == [[], {}, ["anthropic", "groq"]]
    assert "models of the catalog" in dict(found.notes)["model_list[0]"]


# --- nothing in silence ---


def leaves(value: Any, path: str = "") -> list[str]:
    """The path of every member that holds no further ones."""
    if isinstance(value, dict):
        return [leaf for name, each in value.items() for leaf in leaves(each, f"{path}.{name}" if path else str(name))]
    if isinstance(value, list) and path in ("model_list", "credential_list"):
        return [leaf for index, each in enumerate(value) for leaf in leaves(each, f"{path}[{index}]")]
    return [path]


def silent(document: dict[str, Any], found: Imported) -> list[str]:
    """The members of which nothing is said."""
    told = found.carried | {path for path, _ in (*found.left, *found.needless)}
    # An alias with members of its own, a header: what is told of it stands for what is in it.
    return [
        leaf
        for leaf in leaves(document)
        if not any(leaf == each or leaf.startswith((f"{each}.", f"{each}[")) for each in told)
    ]


NAMES = st.sampled_from(["a", "gpt-4o", "openai/gpt-4o", "*", "openai/*", "b:free"])
MODELS = st.sampled_from(
    [
        "openai/gpt-4o", "gpt-4o", "azure/x", "bedrock/us-east-1/a.b", "bedrock/agent/x", "cohere_chat/command-a", "*",
        "openai/*", "vertex_ai/gemini-2.5-pro", "vertex_ai/x", "ollama/llama3", "nobody/x", "openai/whisper-1", "jina_ai/r-rerank",
        "openai/tts-1", "openai/omni-moderation-latest", "openai/dall-e-3", "os.environ/X",
    ]
)  # fmt: skip
SCALARS = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        2.5,
        -1,
        "x",
        "os.environ/X",
        "https://h/v1",
        "1e-6",
        1e-6,
        ["a"],
        {"a": 1},
        {},
        "chat",
        "embedding",
    ]
)
PARAMS = st.dictionaries(
    st.sampled_from(
        [
            "api_base", "base_url", "api_key", "rpm", "order", "weight", "timeout", "temperature", "seed", "organization",
            "extra_headers", "api_version", "aws_region_name", "aws_access_key_id", "vertex_project", "vertex_location",
            "input_cost_per_token", "output_cost_per_token", "input_cost_per_second", "input_cost_per_pixel", "drop_params",
            "litellm_credential_name", "custom_llm_provider", "tags", "unheard_of", "max_tokens",
        ]
    ),
    SCALARS,
)  # fmt: skip
INFO = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(
            [
                "id", "mode", "base_model", "max_tokens", "max_input_tokens", "supports_vision", "supports_web_search",
                "input_cost_per_token", "output_cost_per_image", "access_groups", "unheard_of",
            ]
        ),
        SCALARS,
    ),
    SCALARS,
)  # fmt: skip
ENTRIES = st.builds(
    lambda name, model, params, info, more: (
        {"model_name": name, "litellm_params": {**params, "model": model}, **more}
        | ({} if info is None else {"model_info": info})
    ),
    NAMES,
    MODELS,
    PARAMS,
    INFO,
    st.dictionaries(st.sampled_from(["tpm", "unheard_of"]), SCALARS, max_size=1),
)
SECTIONS = st.dictionaries(
    st.sampled_from(
        [
            "allowed_fails", "cooldown_time", "timeout", "request_timeout", "fallbacks", "model_group_alias", "cache", "cache_params",
            "drop_params", "set_verbose", "debug_level", "master_key", "max_request_size_mb", "user_api_key_cache_ttl",
            "redis_host", "unheard_of", "num_retries", "model_alias_map",
        ]
    ),
    st.one_of(SCALARS, st.just({"b": "a"}), st.just({"b": {"model": "a", "hidden": True}})),
)  # fmt: skip
CREDENTIALS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"credential_name": st.sampled_from(["x", "y"]), "credential_values": PARAMS},
            optional={"credential_info": st.just({"a": "b"})},
        ),
        SCALARS,
    ),
    max_size=2,
)


@given(
    st.lists(st.one_of(ENTRIES, SCALARS), max_size=4),
    st.dictionaries(
        st.sampled_from(
            ["router_settings", "litellm_settings", "general_settings", "environment_variables", "guardrails"]
        ),
        st.one_of(SECTIONS, SCALARS),
    ),
    CREDENTIALS,
)
def test_every_member_is_carried_over_or_named(entries: list[Any], sections: dict[str, Any], listed: list[Any]) -> None:
    document = {"model_list": entries, "credential_list": listed, **sections}
    found = convert(document, load_profiles(), KNOWN)
    assert silent({name: value for name, value in document.items() if value not in ([], {}, None)}, found) == []
    tomllib.loads(toml(found))
    # What was carried over is a configuration that is read without a mistake.
    assert problems(found) == []


def problems(found: Imported) -> list[str]:
    written = tomllib.loads(toml(found))
    variables = {each.variable: "k" for each in found.providers.values() if each.variable is not None}
    providers, wrong = read_providers(written.get("providers", []), lambda _path: None, variables, load_profiles())
    slugs = {each.slug for each in providers} | set(load_profiles())
    allowed = found.settings.get("free_model_allowlist", ())
    _, also = read_models(written.get("models", []), lambda _path: None, providers=slugs, free_model_allowlist=allowed)
    return [str(each) for each in (*wrong, *also)]


def test_included_files_are_part_of_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "config.yaml"
    source.write_text("include: [more.yaml]\n" + YAML)
    (tmp_path / "more.yaml").write_text(
        YAML.replace("house-llama", "second") + "litellm_settings: {request_timeout: 9}\n"
    )
    assert main(["config", "import", "litellm", str(source)]) == 0
    written = tomllib.loads(capsys.readouterr().out)
    assert [each["id"] for each in written["models"]] == ["house-llama", "second"]
    assert written["settings"] == {"request_deadline_s": 9}
