"""First sight of a request: what is valid, what it needs, how long it is; in both dialects."""

import json
import string
import time
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core.chat import Text
from gatewayz.core.errors import GatewayError, InvalidRequest
from gatewayz.dialects.base import Dialect, Glance
from gatewayz.dialects.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, REQUEST_TOKENS, estimate_tokens

USER = [{"role": "user", "content": "Hello"}]
BASE = MESSAGE_TOKENS + REQUEST_TOKENS + 2
PNG = "iVBORw0KGgo" * 5_000


def openai(**fields: Any) -> Glance:
    return OPENAI.glance(json.dumps({"model": "m", "messages": USER, **fields}).encode())


def anthropic(**fields: Any) -> Glance:
    return ANTHROPIC.glance(json.dumps({"model": "m", "max_tokens": 10, "messages": USER, **fields}).encode())


def refusal(dialect: Dialect, body: bytes | dict[str, Any]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        dialect.glance(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"[]",
        b'"x"',
        b"nul",
        b'{"model":"m"',
        b'{"model":"m",}',
        b'{"model":01}',
        b'{"model":NaN}',
        b'{"a":"\n"}',
        b"{} x",
        b'{"model":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 101 + b"]" * 101 + b"}",
        b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b'{"a":' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_json_object_is_a_clean_refusal(dialect: Dialect, body: bytes) -> None:
    assert refusal(dialect, body).code == "invalid_json"


def test_the_position_of_a_mistake_is_told() -> None:
    error = refusal(OPENAI, b'{"model": "m", "messages": [}')
    assert (error.code, error.details) == ("invalid_json", {"byte": 28})
    assert refusal(OPENAI, b'{"model": "\xc3"}').details == {"byte": 11}


def test_brackets_in_texts_are_no_nesting() -> None:
    text = "[{" * 300 + '\\"[' * 200 + "\\\\"
    assert openai(messages=[{"role": "user", "content": text}]).model == "m"
    assert openai(tools=[{"type": "function", "function": {"name": "f"}}] * 200).model == "m"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, "model", "missing_field"),
        ({"model": ""}, "model", "missing_field"),
        ({"model": 5}, "model", "invalid_type"),
        ({"messages": None}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "missing_field"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [*USER, {}]}, "messages[1].role", "missing_field"),
        ({"messages": [*USER, *USER, {"role": "robot"}]}, "messages[2].role", "invalid_value"),
        ({"messages": [{"role": 5}]}, "messages[0].role", "invalid_type"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]", "invalid_type"),
        ({"messages": [{"role": "user", "content": [{"type": 5}]}]}, "messages[0].content[0].type", "invalid_type"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"temperature": -0.1}, "temperature", "parameter_out_of_range"),
        ({"top_p": 1.5}, "top_p", "parameter_out_of_range"),
        ({"max_tokens": "9"}, "max_tokens", "invalid_type"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": [5]}, "tools", "invalid_type"),
        ({"tool_choice": 5}, "tool_choice", "invalid_type"),
        ({"provider": 5}, "provider", "invalid_type"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_wrong_fields_are_named(dialect: Dialect, fields: dict[str, Any], param: str, code: str) -> None:
    error = refusal(dialect, {"model": "m", "max_tokens": 5, "messages": USER, **fields})
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"temperature": 2.1}, "temperature", "parameter_out_of_range"),
        ({"n": 0}, "n", "parameter_out_of_range"),
        ({"n": 129}, "n", "parameter_out_of_range"),
        ({"top_logprobs": 21}, "top_logprobs", "parameter_out_of_range"),
        ({"presence_penalty": 3}, "presence_penalty", "parameter_out_of_range"),
        ({"frequency_penalty": -3}, "frequency_penalty", "parameter_out_of_range"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"stop": ["a", 5]}, "stop[1]", "invalid_type"),
        ({"response_format": {}}, "response_format.type", "missing_field"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "missing_field"),
        ({"stream_options": []}, "stream_options", "invalid_type"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
    ],
    ids=str,
)
def test_openai_fields_are_checked(fields: dict[str, Any], param: str, code: str) -> None:
    error = refusal(OPENAI, {"model": "m", "messages": USER, **fields})
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"max_tokens": None}, "max_tokens", "missing_field"),
        ({"max_tokens": 0}, "max_tokens", "parameter_out_of_range"),
        ({"temperature": 1.1}, "temperature", "parameter_out_of_range"),
        ({"stop_sequences": "x"}, "stop_sequences", "invalid_type"),
        ({"thinking": {"type": "loud"}}, "thinking.type", "invalid_value"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "missing_field"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "thinking.budget_tokens", "parameter_out_of_range"),
        ({"tools": [{"description": "x"}]}, "tools[0].name", "missing_field"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name", "missing_field"),
        ({"tool_choice": {"type": "all"}}, "tool_choice.type", "invalid_value"),
        ({"output_config": {"format": {"type": "x"}}}, "output_config.format.type", "invalid_value"),
        ({"system": 5}, "system", "invalid_type"),
    ],
    ids=str,
)
def test_anthropic_fields_are_checked(fields: dict[str, Any], param: str, code: str) -> None:
    error = refusal(ANTHROPIC, {"model": "m", "max_tokens": 5, "messages": USER, **fields})
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, set()),
        ({"tools": [], "functions": [], "n": 1, "logprobs": False, "reasoning_effort": "none"}, set()),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"tools"}),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"response_format": {"type": "json_object"}}, {"json_object"}),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, {"json_schema"}),
        ({"logprobs": True}, {"logprobs"}),
        ({"n": 2}, {"n"}),
        ({"reasoning_effort": "low"}, {"reasoning"}),
        ({"reasoning": {"enabled": True}}, {"reasoning"}),
        ({"reasoning": {"enabled": False}}, set()),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"reasoning"}),
        ({"thinking": {"type": "disabled"}}, set()),
    ],
    ids=str,
)
def test_openai_needs(fields: dict[str, Any], needs: set[str]) -> None:
    assert openai(**fields).needs == needs


@pytest.mark.parametrize(
    ("part", "need"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, "vision"),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}, "documents"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_openai_parts_make_needs(part: dict[str, Any], need: str) -> None:
    content = [{"type": "text", "text": "What is this?"}, part]
    assert openai(messages=[{"role": "user", "content": content}]).needs == {need}


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"tools": [{"name": "f", "input_schema": {}}]}, {"tools"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"reasoning"}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning"}),
        ({"thinking": {"type": "disabled"}}, set()),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, {"json_schema"}),
        ({"output_format": {"type": "json_schema", "schema": {}}}, {"json_schema"}),
        ({"output_config": {"effort": "low"}}, set()),
    ],
    ids=str,
)
def test_anthropic_needs(fields: dict[str, Any], needs: set[str]) -> None:
    assert anthropic(**fields).needs == needs


def test_anthropic_blocks_make_needs_also_inside_tool_results() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x" * 400}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    seen = anthropic(messages=[{"role": "user", "content": [document, result]}])
    assert seen.needs == {"vision", "documents"}
    assert seen.prompt_tokens == MESSAGE_TOKENS + REQUEST_TOKENS + 100 + IMAGE_TOKENS


def test_openai_reads_what_the_pipeline_needs() -> None:
    seen = openai(
        max_tokens=5,
        max_completion_tokens=9,
        stream=True,
        stream_options={"include_usage": True},
        n=3,
        user="u",
        provider={"only": ["x"]},
        seed=None,
    )
    assert (seen.dialect, seen.model, seen.stream, seen.include_usage) == ("openai", "m", True, True)
    assert (seen.max_tokens, seen.n, seen.user, seen.provider) == (9, 3, "u", {"only": ["x"]})
    assert openai(provider="groq").provider == "groq"


@pytest.mark.parametrize("value", [0, -1, None])
def test_an_openai_maximum_not_above_zero_means_the_default_of_the_model(value: int | None) -> None:
    assert openai(max_tokens=value).max_tokens is None


def test_anthropic_reads_what_the_pipeline_needs() -> None:
    seen = anthropic(stream=True, metadata={"user_id": "u"}, system="Hello")
    assert (seen.dialect, seen.max_tokens, seen.stream, seen.user) == ("anthropic", 10, True, "u")
    assert seen.prompt_tokens == BASE + 2
    assert anthropic(system=[{"type": "text", "text": "Hello"}]).prompt_tokens == BASE + 2


def test_untouched_members_keep_their_bytes() -> None:
    body = (
        b'{"model":"m", "messages":[{"role":"user","content":"a"}],"seed":12345678901234567890,'
        b'"x": [1.10,{"b":1,"a":2}]}'
    )
    fields = OPENAI.glance(body).fields
    assert bytes(fields["x"]) == b'[1.10,{"b":1,"a":2}]'
    assert refusal(OPENAI, body.replace(b"12345678901234567890", b"1" * 30)).param == "seed"


def test_half_surrogate_pairs_do_not_harm() -> None:
    body = (
        rb'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\ude00 \\ud83d \ud83d\ude00"}]}]}'
    )
    glance = OPENAI.glance(body)
    assert bytes(glance.fields["messages"]) == bytes(
        OPENAI.glance(body.replace(rb"\ude00 ", rb"\ufffd ")).fields["messages"]
    )
    assert OPENAI.read_request(glance).messages[0].parts == (Text("\ufffd \\ud83d \U0001f600"),)
    assert OPENAI.read_request(OPENAI.glance(rb'{"user":"\ud83d",' + body[1:])).user in ("\ufffd", "\ud83d")
    assert refusal(OPENAI, rb'{"model":"m","messages":[{"role":"\ud83d"}]}').param == "messages[0].role"


def test_the_estimate_follows_its_formula() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("a") == estimate_tokens("abcd") == 1
    assert estimate_tokens("abcde") == estimate_tokens(b"abcde") == 2
    assert estimate_tokens("日本語") == estimate_tokens("日本語".encode()) == 3
    assert estimate_tokens("ab日💡cd") == 1 + 2
    assert estimate_tokens("\ud83d") == 1
    assert estimate_tokens(b"\xff\xfe") == 2
    assert openai().prompt_tokens == BASE


def test_english_prose_is_not_underestimated() -> None:
    # 63 words: about 80 tokens for the tokenizers in use.
    prose = (
        "The harbour was quiet that morning, and the fishermen who usually shouted across the water stood in small "
        "groups, watching the clouds. Nobody could say exactly when the storm would arrive, although everyone agreed "
        "that it would. Old Martha had closed her shop early, which was, as far as anyone remembered, the first time "
        "in thirty years that she had done so."
    )
    assert 80 <= estimate_tokens(prose) <= 110


def test_media_count_as_fixed_amounts_and_not_by_their_base64() -> None:
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    seen = openai(messages=[{"role": "user", "content": [url, url]}])
    assert seen.prompt_tokens == MESSAGE_TOKENS + REQUEST_TOKENS + 2 * IMAGE_TOKENS


def test_tools_schemas_and_calls_count() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "d" * 400}}]
    assert openai(tools=tools).prompt_tokens > BASE + 100
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "x" * 400}}
    assert openai(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}]).prompt_tokens > BASE + 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(string.ascii_letters, max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "model",
        "messages",
        "tools",
        "stop",
        "n",
        "temperature",
        "stream",
        "system",
        "thinking",
        "tool_choice",
        "reasoning",
        "response_format",
        "max_tokens",
        "stop_sequences",
        "output_config",
        "stream_options",
        "functions",
        "metadata",
    ]
)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@given(fields=st.dictionaries(FIELDS, JSON, max_size=4), content=JSON)
def test_any_json_is_understood_or_refused_cleanly(dialect: Dialect, fields: dict[str, Any], content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    body = {"model": "m", "max_tokens": 9, "messages": messages, **fields}
    try:
        glance = dialect.glance(json.dumps(body).encode())
        dialect.read_request(glance)
    except GatewayError as error:
        assert isinstance(error, InvalidRequest)


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@given(body=st.binary(max_size=60))
def test_any_bytes_are_refused_cleanly(dialect: Dialect, body: bytes) -> None:
    assert refusal(dialect, body).code in ("invalid_json", "missing_field")


def test_a_long_conversation_is_glanced_at_quickly() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 55
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i in range(40)]
    body = json.dumps({"model": "m", "messages": turns}).encode()
    assert len(body) > 95_000

    def seconds() -> float:
        started = time.process_time()
        for _ in range(20):
            OPENAI.glance(body)
        return (time.process_time() - started) / 20

    assert min(seconds() for _ in range(5)) < 0.002
