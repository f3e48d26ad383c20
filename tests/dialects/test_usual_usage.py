"""Usage as nearly everybody tells it is read in one step, and as the careful way would read it."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayz.core.usage import Usage
from gatewayz.dialects.base import Quirks, Voice
from gatewayz.dialects.openai_chat import OPENAI_CHAT, wire

VOICE = Voice("shown/model", "r-1", 1_700_000_000, True)

counts = st.integers(0, 500) | st.integers(2**39, 2**41) | st.none()
odd = counts | st.sampled_from([-1, 7.0, 7.5, True, "7", [], {}])


def details(*names: str) -> st.SearchStrategy[Any]:
    return st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(names, odd))


usages = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": odd,
        "completion_tokens": odd,
        "total_tokens": odd,
        "prompt_tokens_details": details(
            "cached_tokens", "audio_tokens", "cache_write_tokens", "cache_creation_tokens"
        ),
        "completion_tokens_details": details("reasoning_tokens", "audio_tokens"),
        "cached_tokens": odd,
        "prompt_cache_hit_tokens": odd,
        "cache_read_input_tokens": odd,
        "cache_creation_input_tokens": odd,
        "reasoning_tokens": odd,
        "citation_tokens": odd,
        "cost": st.floats(allow_nan=False),
    },
)
usual = st.builds(
    lambda prompt, completion, cached, reasoning: {
        "prompt_tokens": prompt + cached,
        "completion_tokens": completion + reasoning,
        "total_tokens": prompt + cached + completion + reasoning,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": None},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    },
    *[st.integers(0, 10_000)] * 4,
)


@settings(max_examples=1500)
@given(usages | usual)
def test_both_ways_read_the_same(raw: dict[str, Any]) -> None:
    assert wire.usage_of(raw) == wire._odd_usage(raw)


answers = st.builds(
    lambda raw, finish, message, names: (
        {"id": "a", "object": "chat.completion", "created": 1, "model": "m", **names}
        | {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": raw}
    ),
    usages | usual,
    st.sampled_from(["stop", "eos", None, "tool_calls"]),
    st.sampled_from(
        [
            {"role": "assistant", "content": "Hi"},
            {"role": "assistant", "content": "Hi", "reasoning": "hm"},
            {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
        ]
    ),
    st.sampled_from([{}, {"id": None}, {"id": ""}, {"object": "x"}, {"model": "other"}, {"extra": [1.50]}]),
)


@settings(max_examples=600)
@given(answers)
def test_a_usual_answer_is_forwarded_as_the_careful_way_would(answer: dict[str, Any]) -> None:
    body = json.dumps(answer, indent=1).encode()
    facts = OPENAI_CHAT.glance_answer(body)
    charged = facts.usage or Usage(1, 1, estimated=True)
    careful = OPENAI_CHAT.forward_answer(body, VOICE, charged, 4_200_000, Quirks())
    quick = OPENAI_CHAT.forward_answer(body, VOICE, charged, 4_200_000, Quirks(), usual=facts.usual)
    assert json.loads(quick) == json.loads(careful)
    assert list(json.loads(quick)) == list(json.loads(careful))
