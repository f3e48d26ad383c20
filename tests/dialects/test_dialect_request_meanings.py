"""Requests there and back between the two client dialects: the same meaning, but for the downgrades that are listed."""

import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, CHAT_PROVIDERS, OPENAI, TARGET, Recording, recordings
from hypothesis import given, settings
from hypothesis import strategies as st
from request_meanings import comparable, downgraded, said
from request_samples import LENIENT
from request_shapes import CHECKS

from gatewayz.core.chat import (
    CacheMark,
    ChatRequest,
    Image,
    Message,
    Part,
    RedactedThinking,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects.base import Dialect, Target
from gatewayz.dialects.gemini import GeminiGenerateContent

GEMINI_3 = Target("gemini-3-flash-preview")

PAIR = pytest.mark.parametrize(
    ("sender", "target"), [(OPENAI, ANTHROPIC), (ANTHROPIC, OPENAI)], ids=["to-anthropic", "to-openai"]
)
WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
MARKS = st.none() | st.builds(CacheMark, st.sampled_from([None, "5m", "1h"]))
IDS = st.from_regex(r"[a-zA-Z0-9_.:-]{1,12}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3).map(json.dumps)
IMAGES = st.builds(Image, url=st.just("https://x.org/a.png"), cache=MARKS) | st.builds(
    Image, data=st.just("aGk="), media_type=st.sampled_from(["image/png", "image/jpeg"]), cache=MARKS
)
TEXTS = st.builds(Text, WORDS, MARKS)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), VALUES)}
)


@st.composite
def conversations(draw: Any, with_thinking: bool) -> tuple[Message, ...]:
    """System words, then turns of user and assistant with calls and their results."""
    messages = [Message("system", (draw(TEXTS),)) for _ in range(draw(st.integers(0, 2)))]
    used: set[str] = set()
    results: list[Part] = []
    for _ in range(draw(st.integers(1, 3))):
        parts = draw(st.lists(TEXTS | IMAGES, min_size=0 if results else 1, max_size=3))
        messages.append(Message("user", (*results, *parts)))
        mind: list[Part] = []
        if with_thinking and draw(st.booleans()):
            mind.append(Thinking(draw(WORDS), draw(WORDS)))
            if draw(st.booleans()):
                mind.append(RedactedThinking(draw(WORDS)))
        spoken = draw(st.lists(st.builds(Text, WORDS), max_size=1))
        ids = draw(st.lists(IDS, max_size=3, unique_by=lambda given: given.replace(".", "_").replace(":", "_")))
        ids = [each for each in ids if each.replace(".", "_").replace(":", "_") not in used]
        used |= {each.replace(".", "_").replace(":", "_") for each in ids}
        calls = [ToolCall(each, draw(st.sampled_from(["f", "g"])), draw(ARGUMENTS)) for each in ids]
        if not spoken and not calls:
            results = []
            break
        messages.append(Message("assistant", (*mind, *spoken, *calls)))
        inner = st.lists(
            st.builds(Text, WORDS) | IMAGES.map(lambda image: Image(image.url, image.data, image.media_type))
        )
        results = [ToolResult(each, tuple(draw(inner)), draw(st.booleans())) for each in ids]
    if results:
        messages.append(Message("user", tuple(results)))
    return tuple(messages)


def requests(sender: Dialect) -> st.SearchStrategy[ChatRequest]:
    anthropic = sender is ANTHROPIC
    tools = st.lists(
        st.builds(Tool, st.sampled_from(["f", "g", "h"]), st.none() | WORDS, SCHEMAS, st.none() | st.booleans(), MARKS),
        unique_by=lambda tool: tool.name,
        max_size=3,
    )
    choices = st.none() | st.sampled_from(["auto", "none", "required"]).map(ToolChoice)
    formats = st.none() | st.builds(ResponseFormat, st.just("json_schema"), SCHEMAS, st.just("answer"), st.just(True))
    return st.builds(
        ChatRequest,
        dialect=st.just(sender.name),
        model=st.just("m"),
        messages=conversations(with_thinking=True),
        stream=st.booleans(),
        max_tokens=st.integers(1, 10_000),
        temperature=st.none() | st.floats(0, 1 if anthropic else 2),
        top_p=st.none() | st.floats(0.01, 1),
        stop=st.lists(WORDS, max_size=3).map(tuple),
        tools=tools,
        tool_choice=choices,
        parallel_tool_calls=st.none() | st.booleans(),
        response_format=formats,
        user=st.none() | WORDS,
    )


def as_expected(request: ChatRequest, target: Dialect) -> Any:
    expected = downgraded(said(request), target.name)
    if not expected["tools"]:
        # Tools that were called earlier are declared to Anthropic, and may not be called any more.
        expected["choice"] = expected["parallel"] = None
    elif expected["choice"] and expected["choice"][0] == "none" and target is ANTHROPIC:
        expected["parallel"] = None
    elif target is ANTHROPIC and expected["parallel"] is not None and expected["choice"] is None:
        expected["choice"] = ["auto", None]
    return expected


def as_found(request: ChatRequest, declared: bool) -> Any:
    found = comparable(said(request))
    if not declared:
        found["tools"], found["choice"], found["parallel"] = [], None, None
    return found


@PAIR
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_request_has_the_same_meaning_in_the_other_dialect(sender: Dialect, target: Dialect, data: Any) -> None:
    request = data.draw(requests(sender))
    body = target.write_request(request, LENIENT)
    CHECKS[target.name](json.loads(body))
    glance = target.glance(body)
    again = target.read_request(glance)
    found, expected = as_found(again, bool(request.tools)), as_expected(request, target)
    found["stream"] = glance.stream
    assert found == expected
    told = {name for name in target.dropped(request, LENIENT) if name not in ("top_p", "temperature")}
    assert not told, "nothing else is left out"


@PAIR
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_request_is_the_same_after_its_own_dialect(sender: Dialect, target: Dialect, data: Any) -> None:
    """Written and read in the sender's own dialect nothing is downgraded, because it can say everything it said."""
    request = data.draw(requests(sender))
    once = sender.read_request(sender.glance(sender.write_request(request, LENIENT)))
    twice = sender.read_request(sender.glance(sender.write_request(once, LENIENT)))
    assert comparable(said(twice)) == comparable(said(once))


@pytest.mark.parametrize(
    ("name", "native_id"),
    [
        ("gemini", "native-model"),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "meta.llama3-3-70b-instruct-v1:0"),
        ("cohere", "command-a-reasoning-08-2025"),
        ("cohere", "command-r"),
    ],
)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_request_has_a_form_that_a_provider_takes(name: str, native_id: str, data: Any) -> None:
    request = data.draw(requests(OPENAI) | requests(ANTHROPIC))
    try:
        body = json.loads(CHAT_PROVIDERS[name].write_request(request, Target(native_id)))
    except InvalidRequest as error:
        assert error.param
        return
    CHECKS[name](body)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_a_gemini_client_says_is_the_same_for_every_provider(data: Any) -> None:
    """Any request that has a form there: read and written again it is the same, and so it is after another dialect."""
    request = data.draw(requests(OPENAI) | requests(ANTHROPIC))
    client = GeminiGenerateContent("org/model", stream=request.stream)
    try:
        body = client.write_request(request, GEMINI_3)
    except InvalidRequest:
        return
    first = client.read_request(client.glance(body))
    assert said(client.read_request(client.glance(client.write_request(first, GEMINI_3)))) == said(first)
    for target in (OPENAI, ANTHROPIC):
        back = comparable(said(target.read_request(target.glance(target.write_request(first, LENIENT)))))
        expected = downgraded(said(first), target.name, caller_set_max=first.max_tokens is not None)
        for name in ("system", "turns", "stop", *(("choice",) if first.tools else ())):
            assert back[name] == expected[name], name
        assert [tool[0] for tool in back["tools"]] == [tool[0] for tool in expected["tools"]] or not expected["tools"]


@pytest.mark.parametrize("provider", CHAT_PROVIDERS.values(), ids=CHAT_PROVIDERS)
@pytest.mark.parametrize("recording", recordings(ok=None))
def test_recorded_requests_are_said_to_every_provider_or_refused_by_name(recording: Recording, provider: Any) -> None:
    body = {"model": "org/model", **recording.request}
    if recording.dialect is ANTHROPIC:
        body.setdefault("max_tokens", 100)
    request = recording.dialect.read_request(recording.dialect.glance(json.dumps(body).encode()))
    try:
        written = provider.write_request(request, LENIENT)
    except InvalidRequest as error:
        assert error.param and error.param.split("[")[0].split(".")[0] in body
        return
    CHECKS[provider.name](json.loads(written))
    if provider.name not in ("openai", "anthropic") or provider is recording.dialect:
        return
    found, expected = said(provider.read_request(provider.glance(written))), downgraded(said(request), provider.name)
    for name in ("turns", "stop", "user"):
        assert comparable(found)[name] == expected[name], name
    assert [tool[0] for tool in found["tools"]] == [tool[0] for tool in expected["tools"]] or not expected["tools"]


def test_a_refused_part_is_named_as_its_sender_counts() -> None:
    """The system prompt of Messages is no message to its caller, whatever it becomes inside."""
    upload = {"type": "container_upload", "file_id": "f"}
    fields = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [upload]}]}
    for more, param in (({}, "messages[0]"), ({"system": "Be brief."}, "messages[0]")):
        request = ANTHROPIC.read_request(ANTHROPIC.glance(json.dumps({**fields, **more}).encode()))
        for name in ("openai", "gemini"):
            with pytest.raises(InvalidRequest) as caught:
                CHAT_PROVIDERS[name].write_request(request, TARGET)
            assert caught.value.param == param
    image = {"type": "document", "source": {"type": "file", "file_id": "f"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    request = ANTHROPIC.read_request(
        ANTHROPIC.glance(json.dumps({**fields, "system": "x", "messages": turns}).encode())
    )
    with pytest.raises(InvalidRequest) as caught:
        OPENAI.write_request(request, TARGET)
    assert caught.value.param == "messages[2].file_id"
