"""Where there is a quick way beside a thorough one, both find the same: in whatever is sent, however it is spelled."""

import json
from typing import Any

import msgspec
import pytest
from dialect_samples import ANTHROPIC, OPENAI, VOICE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from odd_json import ODD, array, members, mostly

from gatewayz.core.errors import InvalidRequest
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Dialect, Glance, Quirks, Target
from gatewayz.dialects.openai_chat.answer_forward import facts_of, read_body
from gatewayz.dialects.openai_chat.usual_answer import usual_facts

MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TOO_LARGE = b"1e400"  # for a float
RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])

# ---- plain answers

CALL = members(
    {"id": mostly(b'"c"'), "function": members({"name": mostly(b'"f"', b"null"), "arguments": mostly(b'"{}"', b'""')})}
)
MESSAGE = st.one_of(
    members({"role": mostly(b'"assistant"'), "content": mostly(b'"Hi \\n \xc3\xa9"', b'""', b"null")}),
    members({"content": mostly(b'"Hi"'), "refusal": mostly(b'"No"', b"null"), "annotations": mostly(b"[]")}),
    members({"content": mostly(b"null"), "tool_calls": st.one_of(array(CALL), mostly(b"[]", b"null"))}),
    members({"content": mostly(b'""'), "reasoning_content": mostly(b'"hm"', b"null"), "reasoning": mostly(b"null")}),
    members({"content": mostly(b'"Hi"'), "audio": mostly(b"null"), "images": mostly(b"null"), "x": ODD}),
)
CHOICE = members(
    {
        "index": mostly(b"0"),
        "message": MESSAGE,
        "finish_reason": mostly(b'"stop"', b'"length"', b'"tool_calls"'),
        "native_finish_reason": mostly(b"null", b'"end"', b'""'),
        "logprobs": mostly(b"null"),
    }
)
USAGE = st.one_of(
    members({"prompt_tokens": mostly(b"7"), "completion_tokens": mostly(b"3", b"0"), "total_tokens": mostly(b"10")}),
    members(
        {
            "prompt_tokens": mostly(b"7"),
            "completion_tokens": mostly(b"3"),
            "total_tokens": mostly(b"10", b"12"),
            "prompt_tokens_details": mostly(b'{"cached_tokens":5}', b'{"cached_tokens":9}', b"null"),
            "completion_tokens_details": mostly(b'{"reasoning_tokens":2}', b'{"reasoning_tokens":0}'),
            "cost": mostly(b"0.5", b"null", b'{"total":1}'),
        }
    ),
    mostly(b"null"),
)
ANSWER = members(
    {
        "id": mostly(b'"c1"'),
        "object": mostly(b'"chat.completion"'),
        "created": mostly(b"5"),
        "model": mostly(b'"native"'),
        "choices": array(CHOICE, 2),
        "usage": USAGE,
    }
)


@MANY
@given(ANSWER)
def test_a_usual_answer_says_what_the_thorough_way_reads(body: bytes) -> None:
    try:
        thorough = facts_of(read_body(body))
    except ValueError:
        thorough = None
    try:
        quick = usual_facts(body)
    except ValueError:
        quick = None
    if thorough is None and TOO_LARGE in body:
        return  # where nobody reads it the quick way passes it on, as both do in members that neither knows
    assert quick is None or quick == thorough


@MANY
@given(ANSWER, st.sampled_from([Quirks(), Quirks(strip_answer_fields=frozenset({"x", "object"}))]))
def test_a_usual_answer_keeps_the_bytes_of_all_that_is_not_changed(body: bytes, quirks: Quirks) -> None:
    try:
        facts = OPENAI.glance_answer(body)
    except ValueError:
        return
    charged = facts.usage or Usage(1, 1, estimated=True)
    careful = OPENAI.forward_answer(body, VOICE, charged, 4_200_000, quirks)
    quick = OPENAI.forward_answer(body, VOICE, charged, 4_200_000, quirks, usual=facts.usual)
    assert _but_usage(quick) == _but_usage(careful)
    assert json_text.load(quick) == json_text.load(careful)


def _but_usage(body: bytes) -> list[tuple[str, bytes]]:
    return [(name, b"" if name == "usage" else bytes(raw)) for name, raw in json_text.members(body).items()]


def test_an_answer_of_the_form_that_nearly_all_send_is_usual() -> None:
    message = {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []}
    details = {"prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1}}
    counts = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    answer = {
        "id": "c1",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {**counts, **details},
    }
    facts = usual_facts(json.dumps(answer, indent=2).encode())
    assert facts is not None and facts.usual
    assert facts.usage == Usage(7, 3, cached_tokens=2, reasoning_tokens=1)
    hit = {**answer, "usage": {**counts, "prompt_cache_hit_tokens": 2}}
    facts = usual_facts(json.dumps(hit).encode())
    assert facts is not None and facts.usual and facts.usage == Usage(7, 3, 2), "only its usage is read thoroughly"


# ---- requests

CHAT_MESSAGE = st.one_of(
    members({"role": mostly(b'"user"', b'"system"', b'"developer"'), "content": mostly(b'"Hi"', b'"\\u00e9\xc3\xa9"')}),
    members({"role": mostly(b'"user"'), "content": mostly(b'[{"type":"text","text":"Hi"},{"type":"image_url"}]')}),
    members({"role": mostly(b'"assistant"'), "content": mostly(b"null"), "tool_calls": array(CALL)}),
    members({"role": mostly(b'"assistant"', b'"tool"'), "content": mostly(b'""'), "reasoning_content": ODD}),
)
CHAT = st.one_of(
    members({"model": mostly(b'"m"'), "messages": array(CHAT_MESSAGE), "max_tokens": mostly(b"5", b"0", b"null")}),
    members(
        {
            "model": mostly(b'"m"'),
            "messages": array(CHAT_MESSAGE),
            "stream": mostly(b"true"),
            "stream_options": mostly(b'{"include_usage":true}', b"null"),
            "temperature": mostly(b"0.5", b"1", b"2", b"2.1"),
            "n": mostly(b"1", b"2"),
            "stop": mostly(b'"x"', b'["x"]', b"null"),
            "user": mostly(b'"u"'),
        }
    ),
    members(
        {
            "model": mostly(b'"m"'),
            "messages": array(CHAT_MESSAGE),
            "max_completion_tokens": mostly(b"9"),
            "tools": mostly(b'[{"type":"function","function":{"name":"f"}}]', b"[]"),
            "tool_choice": mostly(b'"auto"', b'{"type":"function"}'),
            "response_format": mostly(b'{"type":"text"}', b'{"type":"json_object"}'),
            "reasoning_effort": mostly(b'"low"', b'"none"', b"null"),
            "reasoning": mostly(b"null", b'{"enabled":true}'),
            "seed": mostly(b"1", b"-5"),
            "provider": mostly(b'"x"', b'{"only":["x"]}'),
        }
    ),
)
TURN = members(
    {"role": mostly(b'"user"', b'"assistant"', b'"system"'), "content": mostly(b'"Hi"', b'[{"type":"text"}]')}
)
MESSAGES = st.one_of(
    members({"model": mostly(b'"m"'), "messages": array(TURN), "max_tokens": mostly(b"5"), "system": mostly(b'"S"')}),
    members(
        {
            "model": mostly(b'"m"'),
            "max_tokens": mostly(b"5"),
            "messages": array(TURN),
            "stream": mostly(b"true"),
            "temperature": mostly(b"0.5", b"1"),
            "stop_sequences": mostly(b'["x"]'),
            "thinking": mostly(b'{"type":"adaptive"}', b'{"type":"enabled","budget_tokens":2048}', b"null"),
            "tool_choice": mostly(b'{"type":"auto"}'),
            "tools": mostly(b'[{"name":"f"}]', b"[]"),
            "metadata": mostly(b'{"user_id":"u"}', b'{"user_id":5}'),
            "output_config": mostly(b'{"effort":"low"}', b'{"format":{"type":"json_schema"}}'),
        }
    ),
)


def outcome(dialect: Dialect, body: bytes) -> Any:
    """What is seen of a request but its bytes, or how it is refused."""
    try:
        seen: Glance = dialect.glance(body)
    except InvalidRequest as error:
        return (error.code, error.param, error.message if error.code != "invalid_json" else None)
    return structs.replace(seen, body=b"", fields={})


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@MANY
@given(data=st.data())
def test_a_request_that_the_decoder_takes_is_seen_as_the_thorough_way_sees_it(
    dialect: Dialect, data: st.DataObject
) -> None:
    body = data.draw(CHAT if dialect is OPENAI else MESSAGES)
    thorough = body[:-1] + b',"z":"\\ud83d"}'  # half a pair is mended in the members, and no decoder takes the body
    assert outcome(dialect, body) == outcome(dialect, thorough)


DROPPING = Quirks(drop_params=frozenset({"stop", "n", "temperature", "x", "max_tokens"}), stream_options=False)
TARGETS = st.sampled_from(
    [
        Target("native", Quirks(developer_role=True)),
        Target("native", DROPPING),
        Target(
            "native", Quirks(add_params={"safe": 1.5}), force_params={"off": True}, force_unless=frozenset({"user"})
        ),
    ]
)


@MANY
@given(CHAT, TARGETS)
def test_a_forwarded_request_has_the_bytes_of_every_member_that_nothing_concerns(body: bytes, target: Target) -> None:
    try:
        glance = OPENAI.glance(body)
        sent = list(RAW.decode(OPENAI.forward_request(glance, target)).items())
    except InvalidRequest:
        return
    quirks = target.quirks
    ours = {"provider", "max_tokens", "max_completion_tokens", "x" if "x" in quirks.drop_params else "provider"}
    kept = [name for name in glance.fields if name not in ours | quirks.drop_params]
    if not quirks.stream_options and "stream_options" in kept:
        kept.remove("stream_options")
    assert [name for name, _ in sent if name in kept] == kept, "in the order in which they came"
    for name, raw in sent:
        if name == "model":
            assert bytes(raw) == b'"native"'
        elif name == "stream_options" and glance.stream:
            told = glance.fields.get(name)
            options = json.loads(bytes(told)) if told is not None else None
            assert json.loads(bytes(raw)) == {**(options or {}), "include_usage": True}
        elif name == "messages" and glance.has_developer and not quirks.developer_role:
            assert all(message["role"] != "developer" for message in json_text.load(raw))
        elif name in kept:
            assert raw == glance.fields[name]
    added = [name for name, _ in sent if name not in glance.fields]
    assert set(added) <= {"model", "max_tokens", "stream_options", "safe", "off"}


def test_a_developer_is_noticed_however_the_role_is_spelled() -> None:
    body = b'{"model":"m","messages":[{"role":"d\\u0065veloper","content":"S"}]}'
    assert OPENAI.glance(body).has_developer
    assert b'"role":"system"' in OPENAI.forward_request(OPENAI.glance(body), Target("native"))
    said = OPENAI.glance(b'{"model":"m","messages":[{"role":"user","content":"developer"}]}')
    assert not said.has_developer


@pytest.mark.parametrize(("read", "levels"), [(json_text.request_members, 100), (json_text.members, 200)])
@pytest.mark.parametrize(
    "noise", [b"", b'"[{" ', b'"x\\"[", ', b"[],{},[{}]," * 200], ids=["no", "text", "escape", "flat"]
)
@given(data=st.data())
def test_what_nests_deeper_than_allowed_is_refused_and_nothing_else(
    read: Any, levels: int, noise: bytes, data: st.DataObject
) -> None:
    noise = noise.replace(b'" ', b'",')
    for depth in (levels, levels + 1):
        kinds = data.draw(st.lists(st.booleans(), min_size=depth - 1, max_size=depth - 1))
        opened = b"".join(b"[" if is_array else b'{"a":' for is_array in kinds)
        closed = b"".join(b"]" if is_array else b"}" for is_array in reversed(kinds))
        body = b'{"noise":[' + noise + b'1],"deep":' + opened + b"1" + closed + b"}"
        if depth == levels:
            assert "deep" in read(body)
        else:
            with pytest.raises(ValueError if levels == 200 else InvalidRequest):
                read(body)
