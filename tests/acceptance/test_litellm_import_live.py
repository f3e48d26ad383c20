"""A configuration of LiteLLM's, imported by the command as an operator would, served by a gateway: a request of each kind."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.media_house import form, paid, sound
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

SOURCES = str(Path(__file__).resolve().parents[2] / "src")
# `{name}` is an address of the fake upstream.
YAML = """
model_list:
  - model_name: house-llama
    litellm_params:
      model: hosted_vllm/meta-llama/Llama-3.3-70B-Instruct
      api_base: {house}/v1
      api_key: os.environ/HOUSE_KEY
      input_cost_per_token: 0.0000005
      output_cost_per_token: 0.0000015
      rpm: 600
      order: 1
    model_info: {{max_input_tokens: 32000, supports_function_calling: true}}
  - model_name: gpt-eu
    litellm_params: &azure
      model: azure/eu-deployment
      api_base: {azure}/openai/deployments/eu-deployment
      api_key: os.environ/AZURE_EU
      api_version: "2024-10-21"
      temperature: 0.2
    model_info: {{base_model: azure/gpt-4o}}
  - model_name: gpt-us
    litellm_params: {{<<: *azure, model: azure/us-deployment, api_base: "{azure2}", api_key: os.environ/AZURE_US}}
    model_info: {{base_model: azure/gpt-4o}}
  - model_name: command
    litellm_params: {{model: cohere_chat/command-a-03-2025, api_base: "{cohere}/v1/chat", api_key: os.environ/CO_KEY}}
  - model_name: nova
    litellm_params:
      model: bedrock/converse/us-east-1/amazon.nova-lite-v1:0
      api_base: {bedrock}
      api_key: os.environ/AWS_BEARER_TOKEN_BEDROCK
  - model_name: vectors
    litellm_params: {{model: openai/text-embedding-3-small, api_base: "{openai}/v1", api_key: os.environ/OPENAI_KEY}}
    model_info: {{mode: embedding}}
  - model_name: ranks
    litellm_params: {{model: cohere/rerank-v3.5, api_base: "{cohere}", api_key: os.environ/CO_KEY}}
    model_info: {{mode: rerank}}
  - model_name: guard
    litellm_params: {{model: openai/omni-moderation-latest, api_base: "{openai}/v1", api_key: os.environ/OPENAI_KEY}}
  - model_name: pictures
    litellm_params:
      model: openai/gpt-image-own
      api_base: {openai}/v1
      api_key: os.environ/OPENAI_KEY
      output_cost_per_image: 0.04
    model_info: {{mode: image_generation}}
  - model_name: ears
    litellm_params:
      model: openai/whisper-own
      api_base: {openai}/v1
      api_key: os.environ/OPENAI_KEY
      input_cost_per_second: 0.0001
    model_info: {{mode: audio_transcription}}
  - model_name: voice
    litellm_params:
      model: openai/tts-own
      api_base: {openai}/v1
      api_key: os.environ/OPENAI_KEY
      input_cost_per_character: 0.000015
    model_info: {{mode: audio_speech}}
  - model_name: film
    litellm_params: {{model: openai/sora-2}}
litellm_settings:
  drop_params: true
  request_timeout: 120
  fallbacks: [{{gpt-eu: [house-llama]}}]
router_settings:
  allowed_fails: 2
  model_group_alias: {{gpt-4-turbo: house-llama}}
general_settings:
  master_key: sk-1234
"""
KEYS = {name: f"k-{name}" for name in ("HOUSE_KEY", "AZURE_EU", "AZURE_US", "CO_KEY", "OPENAI_KEY")} | {
    "AWS_BEARER_TOKEN_BEDROCK": "k-aws"
}
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def told(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The written file, and what the command said."""
    home = tmp_path_factory.mktemp("import")
    places = ("house", "azure", "azure2", "cohere", "bedrock", "openai")
    source = home / "config.yaml"
    source.write_text(YAML.format(**{name: upstream.url(name) for name in places}))
    command = [
        sys.executable,
        "-m",
        "gatewayz",
        "config",
        "import",
        "litellm",
        str(source),
        "-o",
        str(home / "out.toml"),
    ]
    run = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 3, run.stderr
    return (home / "out.toml").read_text(), run.stderr


@pytest.fixture(scope="module")
def gateway(told: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway on the imported file, as it is."""
    with LiveGateway(tmp_path_factory.mktemp("imported"), told[0], KEYS) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(20)


def test_what_could_not_be_carried_over_is_named_and_no_secret_is_told(told: tuple[str, str]) -> None:
    written, said = told
    for path in (
        "model_list[0].litellm_params.rpm",
        "model_list[1].litellm_params.api_version",
        "model_list[11]",
        "litellm_settings.fallbacks",
        "general_settings.master_key",
    ):
        assert f"not carried over: {path}: " in said
    assert "needs nothing: litellm_settings.drop_params" in said
    assert "sk-1234" not in written + said
    assert tomllib.loads(written)["settings"] == {
        "breaker_failures": 3,
        "request_deadline_s": 120,
        "free_model_allowlist": ["guard"],
    }


@pytest.mark.parametrize(
    ("model", "persona", "path", "native", "credential"),
    [
        ("house-llama", "house", "/v1/chat/completions", "meta-llama/Llama-3.3-70B-Instruct", "Bearer k-HOUSE_KEY"),
        ("gpt-4-turbo", "house", "/v1/chat/completions", "meta-llama/Llama-3.3-70B-Instruct", "Bearer k-HOUSE_KEY"),
        ("gpt-eu", "azure", "/openai/v1/chat/completions", "eu-deployment", "k-AZURE_EU"),
        ("gpt-us", "azure2", "/openai/v1/chat/completions", "us-deployment", "k-AZURE_US"),
        ("command", "cohere", "/v2/chat", "command-a-03-2025", "Bearer k-CO_KEY"),
        ("nova", "bedrock", "/model/us.amazon.nova-lite-v1:0/converse", "amazon.nova-lite-v1:0", "Bearer k-aws"),
    ],
)
def test_a_chat_goes_where_the_file_says(
    upstream: FakeUpstream, customer: Customer, model: str, persona: str, path: str, native: str, credential: str
) -> None:
    answer = customer.call("POST", "/v1/chat/completions", {"model": model, **CHAT})
    assert answer.status_code == 200, answer.text
    entry = upstream.journal(persona)[-1]
    assert entry["path"] == f"/p/{persona}{path}"
    assert entry["model"] == native
    assert credential in (entry["headers"].get("authorization"), entry["headers"].get("api-key"))
    assert paid(customer)[-1] > 0
    assert entry["body"].get("temperature") == (0.2 if persona.startswith("azure") else None)


def test_a_request_of_each_other_kind_is_served_at_its_price(upstream: FakeUpstream, gateway: LiveGateway) -> None:
    customer = gateway.customer(20)
    heard, headers = form({"model": "ears", "file": sound(2)})
    asked: list[tuple[str, Any, dict[str, str], str, str, int]] = [
        ("/v1/embeddings", {"model": "vectors", "input": ["a"]}, {}, "openai", "text-embedding-3-small", 10 * 20),
        (
            "/v1/rerank",
            {"model": "ranks", "query": "a", "documents": ["a", "b"]},
            {},
            "cohere",
            "rerank-v3.5",
            2_000_000,
        ),
        ("/v1/moderations", {"model": "guard", "input": "a"}, {}, "openai", "omni-moderation-latest", 0),
        ("/v1/images/generations", {"model": "pictures", "prompt": "a"}, {}, "openai", "gpt-image-own", 40_000_000),
        ("/v1/audio/transcriptions", heard, headers, "openai", "whisper-own", 200_000),
        ("/v1/audio/speech", {"model": "voice", "input": "abcd", "voice": "b"}, {}, "openai", "tts-own", 60_000),
    ]
    charged = 0
    for path, body, sent, persona, native, nano in asked:
        content = body if isinstance(body, bytes) else json.dumps(body)
        answer = customer.call("POST", path, content, **sent)
        assert answer.status_code == 200, (path, answer.text)
        assert upstream.journal(persona)[-1]["model"] == native
        charged += nano
        assert sum(paid(customer)) == charged, path


def test_breakers_and_names_are_those_of_the_file(gateway: LiveGateway, customer: Customer) -> None:
    listed = {each["id"] for each in customer.call("GET", "/v1/models").json()["data"]}
    assert {"house-llama", "gpt-4-turbo", "vectors", "ears", "voice", "pictures", "ranks"} <= listed
    assert "film" not in listed
