"""LiteLLM's config.yaml becomes a gatewayz.toml; what cannot be carried over is named, secrets never."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from gatewayz.catalog.aliases import packaged
from gatewayz.catalog.seed import packaged_seed, seed_records
from gatewayz.cli import main
from gatewayz.cli.litellm import Imported, convert, toml
from gatewayz.cli.litellm_offers import KnownModels
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
        (deployment("openai/text-embedding-3-small", info={"mode": "embedding"}), "mode"),
        (deployment("anthropic/*"), "no name stands for many"),
        (deployment("ollama/llama3", api_base="http://localhost:11434"), "by itself"),
        (deployment("x/y", input_cost_per_token=0, output_cost_per_token=0, api_base="http://h/v1"), ":free"),
        (
            deployment("azure/x", "openai/gpt-4o", {"base_model": "gpt-4o"}, api_base="https://r.openai.azure.com"),
            "not asked for models of openai",
        ),
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
    assert found.settings == {"breaker_failures": 3, "breaker_cooldown_s": 30, "request_deadline_s": 120}
    assert set(left(found)) == {
        "router_settings.fallbacks",
        "router_settings.redis_password",
        "litellm_settings.drop_params",
        "litellm_settings.unheard_of",
        "general_settings.master_key",
        "environment_variables",
    }
    assert not any(secret in repr(found.left) for secret in ("hunter2", "sk-1234", "secretvalue"))


def test_other_names_of_a_model_are_models_with_the_same_offers() -> None:
    found = imported(HOUSE, router_settings={"model_group_alias": {"big": "house-llama", "lost": "nobody"}})
    assert [each["id"] for each in tomllib.loads(toml(found))["models"]] == ["house-llama", "big"]
    assert "router_settings.model_group_alias.lost" in left(found)


def test_members_without_a_counterpart_are_named_one_by_one() -> None:
    entry = deployment("openai/gpt-4o", "gpt-4o", rpm=1, temperature=0.1)
    assert set(left(imported(entry))) == {
        "model_list[0].litellm_params.rpm",
        "model_list[0].litellm_params.temperature",
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
