"""What providers call a model, and what is said along with it."""

import pytest

from gatewayz.catalog import NOTHING_FORCED, force_params, native_id
from gatewayz.catalog.transforms import upstream_id


@pytest.mark.ac("AC-2.1.6")
@pytest.mark.parametrize(
    ("model_id", "sent"),
    [
        ("deepseek/deepseek-v3.2", "accounts/fireworks/models/deepseek-v3p2"),
        ("meta-llama/llama-3-70b-instruct", "accounts/fireworks/models/llama-3-70b-instruct"),
        ("meta-llama/llama-3.3-70b-instruct", "accounts/fireworks/models/llama-3p3-70b-instruct"),
    ],
)
def test_fireworks_names_stand_in_its_folder(model_id: str, sent: str) -> None:
    assert native_id("fireworks", model_id) == sent


@pytest.mark.ac("AC-2.1.6")
def test_a_fireworks_name_given_without_the_folder_gets_it() -> None:
    assert upstream_id("fireworks", "qwen3-8b") == "accounts/fireworks/models/qwen3-8b"
    assert upstream_id("fireworks", "accounts/mine/models/x") == "accounts/mine/models/x"


@pytest.mark.parametrize(
    ("provider", "model_id", "sent"),
    [
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("anthropic", "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("openrouter", "openai/gpt-oss-20b:free", "openai/gpt-oss-20b:free"),
        ("groq", "acme/x:free", "acme/x"),
        ("somebody-new", "acme/x", "acme/x"),
    ],
)
def test_names_follow_the_habit_of_the_provider(provider: str, model_id: str, sent: str) -> None:
    assert native_id(provider, model_id) == sent


@pytest.mark.parametrize("tail", ["deepseek-chat", "deepseek-chat-v3", "deepseek-chat-v3.1"])
@pytest.mark.parametrize("prefix", ["", "deepseek/", "DeepSeek/"])
def test_generic_deepseek_names_are_pinned_at_openrouter_only(prefix: str, tail: str) -> None:
    assert upstream_id("openrouter", prefix + tail) == "deepseek/deepseek-chat-v3-0324"
    assert upstream_id("deepseek", prefix + tail) == prefix + tail


@pytest.mark.parametrize("name", ["qwen-3-32b", "qwen3-32b", "Qwen-3-235b-a22b", "qwen/qwen3-32b"])
def test_qwen_3_at_cerebras_does_not_reason_unless_asked(name: str) -> None:
    forced = force_params("cerebras", name)
    assert dict(forced.params) == {"disable_reasoning": True}
    assert forced.unless == {"disable_reasoning", "reasoning_effort"}


@pytest.mark.parametrize(
    ("provider", "name"), [("cerebras", "gpt-oss-120b"), ("cerebras", "qwen-2.5"), ("groq", "qwen3-32b")]
)
def test_nothing_is_forced_elsewhere(provider: str, name: str) -> None:
    assert force_params(provider, name) is NOTHING_FORCED
