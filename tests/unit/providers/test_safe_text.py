"""What of a provider's words reaches a client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.providers.profile import load_profiles
from gatewayz.providers.safe_text import LONGEST, client_text, param_of

LEAKS = [
    "https://api.openai.com/v1/chat", "http://10.0.0.3:8000", "api.groq.com", "vllm-7.prod.svc.cluster.local",
    "localhost", "10.1.2.3", "gpu-node-17:8000", "ops@acme-infra.com", "sk-proj-abcdEFGH1234",
    "sk-ant-api03-xyz987", "gsk_a1b2c3d4e5f6", "AIzaSyD4x8Kk21mmQq", "Bearer abc", "org-9f8e7d6c5b4a",
    "org_01hx2m3n4p5q", "proj_abc123DEF456", "project `my-proj-1`", "user_2abCdEf", "account: 4411",
    "req_011CWbzieHPZX6GqZWDgmhe5", "request id 7f3c2a", "123456789012", "7321d3c5-0972-4705-a4d4-3b15cd2df22e",
    "deadbeefdeadbeef", "0x7ffdeadb", "/usr/lib/python3/site.py", "~/models/llama/x",
    "accounts/fireworks/models/llama-v3", "@cf/meta/llama-3", "OpenAI", "Anthropic", "OpenRouter", "Groq",
    "Fireworks AI", "together.ai", "Together AI", "nginx", "vLLM", "Traceback (most recent call last)",
    "ValueError: x", "<html>", "SELECT * FROM users", "your API key", "your billing settings", "this organization",
    "your plan", "sk-****1234", "fe80:0:0:1:2", "eyJhbGciOiJIUzI1NiJ9abc", "a8Kd93jfKq02Lmz84Hsk20fkqP11",
]  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_a_sentence_with_anything_internal_is_dropped_whole(leak: str) -> None:
    told = client_text(
        f"The temperature must be at most 2. It failed at {leak} for you. Please lower it and try again."
    )
    assert told == "The temperature must be at most 2. Please lower it and try again."
    assert client_text(f"It failed at {leak} for you") is None


@pytest.mark.parametrize(
    "sentence",
    [
        "Invalid value for 'temperature': must be between 0 and 2.",
        "max_tokens: 5000 > 4096, which is the maximum allowed number of output tokens for claude-3-opus-20240229",
        "prompt is too long: 208310 tokens > 200000 maximum",
        "messages.1.content: Input should be a valid list.",
        "Tool names must match pattern '^[a-zA-Z0-9_-]{1,64}$'.",
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) is supported.",
        "The model openai/gpt-oss-120b does not support images.",
        "tools.0.custom.input_schema.type: Field required",
    ],
)
def test_sentences_about_the_request_are_kept_as_they_are(sentence: str) -> None:
    assert client_text(sentence) == sentence


@pytest.mark.parametrize(
    "text", ["", "   ", "Bad Request", "{}", '{"a": [1]}', "[1, 2]", "{broken", "[{'type': 'missing'"]
)
def test_what_explains_nothing_is_left_out(text: str) -> None:
    assert client_text(text) is None


def test_lists_of_field_errors_become_sentences() -> None:
    detail = '[{"loc":["body","messages",0,"role"],"msg":"Field required"},{"msg":"Value error, too many tools"}]'
    assert client_text(detail) == "Field 'messages.0.role' is refused: Field required. Value error, too many tools."
    assert client_text(f'{{"detail": {detail}}}') == client_text(detail)


def test_prefixes_of_wrappers_are_cut() -> None:
    assert client_text("Error code: 400 - The value of top_p is too large.") == "The value of top_p is too large."


def test_long_texts_are_cut_at_a_word() -> None:
    told = client_text("word " * 300)
    assert told is not None and len(told) <= LONGEST and told.endswith("word…")


def test_control_and_direction_characters_do_not_travel() -> None:
    assert client_text("The value\x00 is\u202e too large.\r\n") == "The value is too large."


@pytest.mark.parametrize("name", sorted({profile.name for profile in load_profiles().values()}))
def test_every_provider_that_is_known_is_known_here(name: str) -> None:
    assert client_text(f"The request was refused by {name} again") is None


@given(st.text(max_size=3000))
def test_never_longer_never_raises(text: str) -> None:
    told = client_text(text)
    assert told is None or (0 < len(told) <= LONGEST and "\n" not in told)


@pytest.mark.parametrize(
    ("message", "stated", "found"),
    [
        ("anything", "messages[0].content", "messages[0].content"),
        ("Unknown parameter: 'quality'.", None, "quality"),
        ("Invalid value for 'temperature': too high", None, "temperature"),
        ("'messages' must contain the word json", None, "messages"),
        ("max_tokens: 5000 > 4096", None, "max_tokens"),
        ("messages.1.content: Input should be a list", None, "messages.1.content"),
        ("Unsupported value: 'temperature' does not support 0.2", None, "temperature"),
        ("Something else went wrong", None, None),
        ("x", "https://evil.example/", None),
        ("x", "a" * 200, None),
    ],
)
def test_the_field_at_fault(message: str, stated: str | None, found: str | None) -> None:
    assert param_of(message, stated) == found
