"""A Gemini client: recorded requests for every provider, recorded answers forwarded, everyone's answers written for it."""

import base64
import itertools
import json
import random
from collections.abc import Iterable
from typing import Any

import gemini_samples
import pytest
from dialect_samples import ABSENT, ANTHROPIC, OPENAI, TARGET, VOICE, folder, price, recordings, relayed
from gemini_samples import NEW, Recording
from meanings import of_answer, of_events

from gatewayz.core.chat import ChatRequest, RedactedThinking, Text, Thinking, Tool, ToolCall, ToolResult
from gatewayz.core.errors import InvalidRequest, ProviderTrouble, RateLimited
from gatewayz.core.stream import (
    BlockClosed,
    Ended,
    Finished,
    SignatureDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects import PROVIDER_DIALECTS, bridge, json_text, signatures
from gatewayz.dialects.base import Quirks, Target
from gatewayz.dialects.gemini import GeminiGenerateContent
from gatewayz.dialects.gemini.count_tokens import GeminiCounter

MODEL = "org/model"
PLAIN = GeminiGenerateContent(MODEL)
STREAM = GeminiGenerateContent(MODEL, stream=True)
ARRAY = GeminiGenerateContent(MODEL, stream=True, events=False)
HI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def read(body: Any) -> ChatRequest:
    return PLAIN.read_request(PLAIN.glance(json.dumps(body).encode()))


def said_of(request: ChatRequest) -> list[tuple[str, Any]]:
    """Texts, calls and results of a conversation, without ids."""
    told: list[tuple[str, Any]] = []
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Text):
                told.append((message.role, part.text))
            elif isinstance(part, ToolCall):
                told.append(("call", (part.name, json.loads(part.arguments))))
            elif isinstance(part, ToolResult):
                told.append(("result", "".join(each.text for each in part.parts if isinstance(each, Text))))
    return told


def recorded_requests() -> list[Any]:
    """The recorded bodies, with the answers that they got."""
    return [each for ok in (True, False) for each in gemini_samples.recordings(ok=ok)]


@pytest.mark.parametrize("recording", recorded_requests())
def test_a_recorded_request_is_read_and_written_for_every_provider(recording: Recording) -> None:
    glance = PLAIN.glance(json.dumps(recording.request).encode())
    assert (glance.model, glance.stream, glance.prompt_tokens > 0) == (MODEL, False, True)
    sent = json.loads(PLAIN.forward_request(glance, NEW))
    assert sent == recording.request, "to Gemini goes what came"
    request = PLAIN.read_request(glance)
    for name in ("openai", "anthropic"):
        provider = PROVIDER_DIALECTS[name]
        try:
            body = provider.write_request(request, TARGET)
        except InvalidRequest as error:
            # What only Google has: its own tools, videos, files that it holds.
            text = json.dumps(recording.request)
            assert error.param in ("tools", "generationConfig.responseModalities") or error.param.startswith(
                "messages["
            )
            foreign = ("googleSearch", "google_search", "codeExecution", "urlContext", "video/", "fileUri", "audio/")
            foreign += ("executableCode", "file_uri", "responseModalities", "code_execution", "url_context")
            assert any(word in text for word in foreign), error.message
            continue
        back = DIALECT[name].read_request(DIALECT[name].glance(body))
        calls = [each for each in said_of(request) if each[0] in ("call", "result")]
        assert [each for each in said_of(back) if each[0] in ("call", "result")] == calls
        written = json.dumps(json.loads(body), ensure_ascii=False)
        for role, text in said_of(request):
            if role in ("user", "system") and text.strip():
                assert json.dumps(text, ensure_ascii=False)[1:-1] in written


DIALECT = {"openai": OPENAI, "anthropic": ANTHROPIC}


def cost_of(usage: Usage) -> float:
    return price(usage) / 1e9


@pytest.mark.parametrize("recording", gemini_samples.recordings(stream=False))
def test_a_recorded_answer_is_forwarded_unchanged(recording: Recording) -> None:
    try:
        facts = PLAIN.glance_answer(recording.body)
    except ValueError:
        assert b"MALFORMED" in recording.body
        return
    usage = facts.usage or NOTHING
    got = json.loads(PLAIN.forward_answer(recording.body, VOICE, usage, price(usage), Quirks()))
    wanted = json.loads(recording.body)
    wanted["modelVersion"] = VOICE.model
    assert got["usageMetadata"].pop("cost") == pytest.approx(cost_of(usage))
    if "usageMetadata" not in wanted:
        del got["usageMetadata"]
    assert got == wanted


@pytest.mark.parametrize("recording", gemini_samples.recordings(stream=True))
@pytest.mark.parametrize("client", [STREAM, ARRAY], ids=["events", "array"])
def test_a_recorded_stream_is_forwarded_unchanged_however_it_is_cut(
    recording: Recording, client: GeminiGenerateContent
) -> None:
    def through(pieces: Iterable[bytes]) -> tuple[list[Any], Any]:
        relay = bridge(client, PROVIDER_DIALECTS["gemini"], VOICE, TARGET, price)
        shown = relayed(relay, pieces)
        return chunks_of(shown, client), relay.facts

    got, facts = through([recording.body])
    wanted = recording.chunks()
    assert facts.ended and facts.error is None and facts.usage is not None
    assert got[-1]["usageMetadata"].pop("cost") == pytest.approx(cost_of(facts.usage))
    assert [{**chunk, "modelVersion": VOICE.model} for chunk in wanted] == [
        {**chunk, "modelVersion": VOICE.model} for chunk in got
    ]
    assert {chunk["modelVersion"] for chunk in got} == {VOICE.model}
    chance = random.Random(7)
    size = len(recording.body)
    cuts = sorted(chance.randrange(size) for _ in range(40))
    pieces = [recording.body[start:end] for start, end in itertools.pairwise([0, *cuts, size])]
    again, _ = through(pieces)
    single, _ = through(recording.body[at : at + 1] for at in range(size)) if size < 20_000 else (again, None)
    for other in (again, single):
        other[-1]["usageMetadata"].pop("cost")
        assert other == got


def chunks_of(shown: bytes, client: GeminiGenerateContent) -> list[Any]:
    """The chunks of a stream as a client cuts them."""
    if client is ARRAY:
        value = json.loads(shown)
        assert isinstance(value, list)
        return value
    blocks = shown.split(b"\r\n\r\n")
    assert blocks[-1] == b"" and all(block.startswith(b"data: ") for block in blocks[:-1])
    return [json.loads(block[6:]) for block in blocks[:-1]]


@pytest.mark.parametrize("recording", gemini_samples.recordings(stream=True))
def test_nothing_tells_that_an_answer_is_whole_before_it_is_charged(recording: Recording) -> None:
    relay = STREAM.forwarder(VOICE, TARGET, price)
    before = relay.feed(recording.body) + relay.close()
    assert b"finishReason" not in before
    failed = relay.fail(ProviderTrouble("It broke."), "r")
    assert b"finishReason" not in failed and chunks_of(failed, STREAM)[-1]["error"]["status"] == "UNAVAILABLE"


@pytest.mark.parametrize("recording", recordings(stream=False))
def test_a_plain_answer_of_anyone_is_told_to_a_gemini_client(recording: Any) -> None:
    answer, facts = recording.dialect.read_answer(recording.body)
    usage = facts.usage or NOTHING
    shown = PLAIN.write_answer(answer, VOICE, usage, price(usage))
    body = json.loads(shown)
    assert len(body["candidates"]) == len(answer.choices) and body["modelVersion"] == VOICE.model
    again, told = PLAIN.read_answer(shown)
    for index in range(len(answer.choices)):
        expected, found = of_answer(answer, index), of_answer(again, index)
        assert found.text == expected.text + expected.refusal
        assert (found.thinking, found.calls) == (expected.thinking, expected.calls)
    assert told.usage is not None
    assert (told.usage.prompt_tokens, told.usage.completion_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    assert (told.usage.cached_tokens, told.usage.reasoning_tokens) == (usage.cached_tokens, usage.reasoning_tokens)
    assert body["usageMetadata"]["cost"] == pytest.approx(cost_of(usage))


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_a_stream_of_anyone_is_told_to_a_gemini_client(recording: Any) -> None:
    reader = recording.dialect.reader()
    events = reader.feed(recording.body) + reader.close()
    relay = bridge(STREAM, recording.dialect, VOICE, TARGET, price)
    shown = relayed(relay, [recording.body])
    if relay.facts.error is not None:
        return
    chunks = chunks_of(shown, STREAM)
    assert {(chunk["modelVersion"], chunk["responseId"]) for chunk in chunks} == {
        (VOICE.model, chunks[-1]["responseId"])
    }
    assert all("finishReason" not in each for chunk in chunks[:-1] for each in chunk["candidates"])
    back = PROVIDER_DIALECTS["gemini"].reader()
    again = back.feed(shown) + back.close()
    for index in {getattr(event, "index", 0) for event in events}:
        expected, found = of_events(events, index), of_events(again, index)
        assert found.text == expected.text + expected.refusal
        assert (found.thinking, found.calls) == (expected.thinking, expected.calls)
    array = chunks_of(relayed(bridge(ARRAY, recording.dialect, VOICE, TARGET, price), [recording.body]), ARRAY)
    assert array == chunks


# --- requests ---


def test_both_spellings_and_single_values_are_read() -> None:
    body = {
        "contents": {"role": "user", "parts": {"inline_data": {"mime_type": "image/png", "data": "_-8="}}},
        "system_instruction": {"parts": {"text": "Be brief."}},
        "tools": {"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT", "any_of": [{"type": "STRING"}]}}]},
        "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        "generation_config": {
            "max_output_tokens": 9, "top_p": 0.5, "stop_sequences": "END", "response_mime_type": "application/json",
            "response_schema": {"type": "OBJECT", "nullable": True, "properties": {"any_of": {"type": "STRING", "min_length": "2"}}},
            "thinking_config": {"thinking_budget": 2000, "include_thoughts": True},
        },
    }  # fmt: skip
    request = read(body)
    system, user = request.messages
    assert system.parts == (Text("Be brief."),)
    assert (user.parts[0].data, user.parts[0].media_type) == ("/+8=", "image/png")  # type: ignore[union-attr]
    (tool,) = request.tools
    assert tool.parameters == {"type": "object", "anyOf": [{"type": "string"}]}  # type: ignore[union-attr]
    assert (request.tool_choice.mode, request.tool_choice.name) == ("named", "f")  # type: ignore[union-attr]
    assert (request.max_tokens, request.top_p, request.stop) == (9, 0.5, ("END",))
    assert request.response_format.schema == {  # type: ignore[union-attr]
        "type": ["object", "null"], "properties": {"any_of": {"type": "string", "minLength": 2}},
    }  # fmt: skip
    assert request.reasoning.budget_tokens == 2000  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"thinkingBudget": 0}, (True, None, None, False)),
        ({"thinkingBudget": -1}, (False, None, None, True)),
        ({"thinkingBudget": 500}, (False, 500, None, False)),
        ({"thinkingLevel": "MINIMAL"}, (False, None, "minimal", False)),
        ({"thinkingLevel": "high"}, (False, None, "high", False)),
        ({"includeThoughts": True}, (False, None, None, True)),
    ],
)
def test_how_much_to_think(config: dict[str, Any], wanted: Any) -> None:
    body = {**HI, "generationConfig": {"thinkingConfig": config}}
    reasoning = read(body).reasoning
    assert reasoning is not None
    assert (reasoning.off, reasoning.budget_tokens, reasoning.effort, reasoning.adaptive) == wanted
    assert ("reasoning" in PLAIN.glance(json.dumps(body).encode()).needs) is not wanted[0]


def test_calls_without_ids_and_their_results_find_each_other() -> None:
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "Go"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "g"}}, {"functionCall": {"name": "f", "args": {"a": 2}}}],
            },
            {
                "role": "function",
                "parts": [
                    {"functionResponse": {"name": "f", "response": {"output": "one"}}},
                    {"functionResponse": {"name": "f", "response": {"error": "two"}}},
                    {"functionResponse": {"name": "g", "response": {"x": 1}}},
                ],
            },
        ]
    }
    _, model, user = read(body).messages
    calls = [part for part in model.parts if isinstance(part, ToolCall)]
    results = [part for part in user.parts if isinstance(part, ToolResult)]
    assert [(call.name, call.arguments) for call in calls] == [("f", '{"a":1}'), ("g", "{}"), ("f", '{"a":2}')]
    assert [result.call_id for result in results] == [calls[0].id, calls[2].id, calls[1].id]
    assert [(result.parts, result.is_error) for result in results] == [
        ((Text("one"),), False), ((Text("two"),), True), ((Text('{"x":1}'),), False),
    ]  # fmt: skip


def test_what_only_google_knows_is_kept_for_it_and_refused_or_named_elsewhere() -> None:
    named = {"safetySettings": [{"category": "x"}], "labels": {"team": "a"}}
    config = {"mediaResolution": "LOW", "temperature": 0.3}
    body = {**HI, **named, "generationConfig": config}
    glance = PLAIN.glance(json.dumps(body).encode())
    assert json.loads(PLAIN.forward_request(glance, NEW)) == body
    for dialect in (OPENAI, ANTHROPIC):
        left_out = dialect.dropped(PLAIN.read_request(glance), TARGET)
        assert {"safetySettings", "labels", "generationConfig.mediaResolution"} <= set(left_out)
    for further, param in (
        ({"cachedContent": "cachedContents/a"}, "cachedContent"),
        ({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, "generationConfig.responseModalities"),
        ({"generationConfig": {"speechConfig": {}}}, "generationConfig.speechConfig"),
        ({"tools": [{"codeExecution": {}}]}, "tools"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "video/mp4", "data": "AA=="}}]}]}, "messages[0]"),
        ({"contents": [{"parts": [{"fileData": {"mimeType": "image/png", "fileUri": "gs://b/o"}}]}]}, "messages[0]"),
    ):
        glance = PLAIN.glance(json.dumps({**HI, **further}).encode())
        assert json.loads(PLAIN.forward_request(glance, NEW)) == {**HI, **further}
        for dialect in (OPENAI, ANTHROPIC):
            with pytest.raises(InvalidRequest) as refused:
                dialect.write_request(PLAIN.read_request(glance), TARGET)
            assert refused.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": [3]}, "contents[0]"),
        ({"contents": [{"parts": "x"}]}, "contents[0].parts"),
        ({"contents": [{"parts": [3]}]}, "contents[0].parts[0]"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({**HI, "tools": 3}, "tools"),
        ({**HI, "generationConfig": {"temperature": "warm"}}, "generationConfig.temperature"),
        ({**HI, "generation_config": {"max_output_tokens": -1}}, "generationConfig.maxOutputTokens"),
        ({**HI, "generationConfig": {"candidateCount": 0}}, "generationConfig.candidateCount"),
        ({**HI, "provider": 3}, "provider"),
        ({"contents": 0}, "contents"),
        ({"contents": {}}, "contents"),
        ({"contents": [{"role": 0, "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [{"role": {}, "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [*HI["contents"], {"parts": {}}]}, "contents[1].parts"),
        ({"contents": {"role": "user", "parts": {}}}, "contents[0].parts"),
        ({"contents": [{"parts": 0}]}, "contents[0].parts"),
        ({"contents": [{"role": "user"}, {"parts": [False]}]}, "contents[1].parts[0]"),
        ({**HI, "systemInstruction": 0}, "systemInstruction"),
        ({**HI, "systemInstruction": {"role": 0, "parts": []}}, "systemInstruction.role"),
        ({**HI, "system_instruction": {"parts": {}}}, "systemInstruction.parts"),
        ({**HI, "tools": 0}, "tools"),
        ({**HI, "generationConfig": 0}, "generationConfig"),
        (
            {**HI, "generationConfig": {"thinkingConfig": {"includeThoughts": 0}}},
            "generationConfig.thinkingConfig.includeThoughts",
        ),
    ],
)
def test_what_is_wrong_at_first_sight_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        PLAIN.glance(json.dumps(body).encode())
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"text": 0}, "text"),
        ({"text": "a", "thought": 0}, "thought"),
        ({"text": "a", "thoughtSignature": 0}, "thoughtSignature"),
        ({"functionCall": 0}, "functionCall"),
        ({"functionCall": {"name": 0}}, "functionCall.name"),
        ({"functionCall": {"name": "f", "id": 0}}, "functionCall.id"),
        ({"functionCall": {"name": "f", "args": 0}}, "functionCall.args"),
        ({"functionResponse": {"name": "f", "response": []}}, "functionResponse.response"),
        ({"functionResponse": {"name": "f", "id": False}}, "functionResponse.id"),
        ({"functionResponse": {"name": "f", "parts": 0}}, "functionResponse.parts"),
        ({"inlineData": {"mimeType": 0, "data": "AA=="}}, "inlineData.mimeType"),
        ({"inline_data": {"mime_type": "image/png", "data": 0}}, "inlineData.data"),
        ({"fileData": {"fileUri": 0}}, "fileData.fileUri"),
    ],
)
def test_what_could_not_be_carried_over_is_named_not_left_out(part: dict[str, Any], param: str) -> None:
    role = "user" if "functionResponse" in part else "model"
    with pytest.raises(InvalidRequest) as refused:
        read({"contents": [{"role": role, "parts": [part]}]})
    assert (refused.value.status, refused.value.param) == (400, f"contents[0].parts[0].{param}")


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"toolConfig": 0}, "toolConfig"),
        ({"toolConfig": {"functionCallingConfig": 0}}, "toolConfig.functionCallingConfig"),
        ({"toolConfig": {"functionCallingConfig": {"mode": 0}}}, "toolConfig.functionCallingConfig.mode"),
        (
            {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": {}}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "description": 0}]}]},
            "tools[0].functionDeclarations[0].description",
        ),
        ({"cachedContent": 0}, "cachedContent"),
    ],
)
def test_members_that_are_translated_have_their_type(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read({**HI, **members})
    assert refused.value.param == param


def test_a_lowered_maximum_and_quirks_reach_the_provider() -> None:
    body = {**HI, "generationConfig": {"temperature": 1.9, "topK": 3}, "provider": "gem"}
    glance = PLAIN.glance(json.dumps(body).encode())
    glance.max_tokens = 64
    glance.fields["max_tokens"] = json_text.members(b'{"a":64}')["a"]
    quirks = Quirks(max_temperature=1.0, drop_params=frozenset({"topK"}), add_params={"labels": {"a": "b"}})
    target = Target("m", quirks, force_params={"safetySettings": []}, force_unless=frozenset({"cachedContent"}))
    sent = json.loads(PLAIN.forward_request(glance, target))
    assert sent["generationConfig"] == {"temperature": 1.0, "maxOutputTokens": 64}
    assert (sent["labels"], sent["safetySettings"]) == ({"a": "b"}, []) and "provider" not in sent
    assert "max_tokens" not in sent and PLAIN.dropped(glance, target) == ("topK",)
    schema = {**HI, "generationConfig": {"responseMimeType": "application/json"}}
    with pytest.raises(InvalidRequest) as refused:
        strict = Target("m", Quirks(drop_params=frozenset({"responseMimeType"})))
        PLAIN.forward_request(PLAIN.glance(json.dumps(schema).encode()), strict)
    assert refused.value.param == "responseMimeType"


def test_sampling_parameters_keep_their_names_at_every_provider() -> None:
    config = {"seed": 7, "presencePenalty": 0.5, "frequencyPenalty": 0.25, "topK": 4.0, "candidateCount": 2}
    config |= {"responseLogprobs": True, "logprobs": 3, "temperature": 0.5, "topP": 0.9}
    body = {**HI, "generationConfig": config}
    sent = json.loads(OPENAI.write_request(read(body), TARGET))
    names = ("seed", "presence_penalty", "frequency_penalty", "n", "logprobs", "top_logprobs", "temperature", "top_p")
    assert [sent[name] for name in names] == [7, 0.5, 0.25, 2, True, 3, 0.5, 0.9]
    again = json.loads(PLAIN.write_request(read(body), NEW))["generationConfig"]
    assert again == {**config, "topK": 4}
    assert {"n", "logprobs"} <= PLAIN.glance(json.dumps(body).encode()).needs


def counted() -> list[Any]:
    """The recordings of countTokens, as test parameters."""
    found = [pytest.param(path, id=path.stem) for path in sorted(folder().glob("*/gemini-count-tokens*.json"))]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="ABSENT")]


@pytest.mark.parametrize("path", counted())
def test_recorded_counts_are_asked_for_and_read(path: Any) -> None:
    case = json.loads(path.read_bytes())
    counter = GeminiCounter(MODEL)
    body = json.dumps(case["request"]["body"]).encode()
    glance = counter.glance(body)
    assert (glance.model, glance.prompt_tokens > 0) == (MODEL, True)
    url = f"https://example.com{case['request']['path']}".replace(":countTokens", ":generateContent")
    asked = json.loads(counter.write_request(glance, NEW, url))
    told = case["request"]["body"]
    told = {name: value for name, value in told.get("generateContentRequest", told).items() if name != "model"}
    assert asked == told, "in the form that this endpoint takes"
    more = counter.glance(json.dumps({**told, "systemInstruction": {"parts": [{"text": "Be brief."}]}}).encode())
    wrapped = "generateContentRequest" in json.loads(counter.write_request(more, NEW, url))
    assert wrapped is ("/publishers/" not in url)
    assert counter.read(case["response"]["body_text"].encode()) > 0
    assert json.loads(counter.write(9, estimated=True)) == {"totalTokens": 9, "estimated": True}
    for broken in (b"{}", b"[]", b"x", b'{"totalTokens":"many"}'):
        with pytest.raises(ValueError):
            counter.read(broken)


# --- signatures ---


@pytest.mark.parametrize(
    "part",
    [
        Thinking("", "EqQB+/x==", None),
        Thinking("", "sig:with:colons", "anthropic-claude-v1"),
        RedactedThinking("enc✓", "openai-responses-v1"),
        Thinking("", "google-gemini-v1:call0:S", "google-gemini-v1"),
    ],
)
def test_a_wrapped_signature_comes_back_in_either_alphabet(part: Thinking | RedactedThinking) -> None:
    wrapped = signatures.wrap(part)
    assert wrapped is not None and base64.b64decode(wrapped, validate=True).startswith(b"gatewayz-v1:")
    assert signatures.unwrap(wrapped) == part
    assert signatures.unwrap(wrapped.translate(str.maketrans("+/", "-_"))) == part


@pytest.mark.parametrize("other", ["", "CmIBEU0yD5YE", "Z2F0ZXdheXotdjE6", "Z2F0ZXdheXotdjE6!", "Z2F0ZXdheXotdjE6/w=="])
def test_any_other_signature_is_left_alone(other: str) -> None:
    assert signatures.unwrap(other) is None


def test_foreign_thinking_returns_to_its_family_and_never_reaches_google() -> None:
    wrapped = signatures.wrap(Thinking("", "SIG"))
    call = {"functionCall": {"name": "f", "args": {}, "id": "toolu_1"}}
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "Go"}]},
            {"role": "model", "parts": [{"text": "Let me ", "thought": True}]},
            {"role": "model", "parts": [{"text": "see.", "thought": True}]},
            {"role": "model", "parts": [{"text": "", "thought": True, "thoughtSignature": wrapped}]},
            {"role": "model", "parts": [{"text": "Looking."}, call]},
            {"role": "model", "parts": [{"text": ""}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "ok"}}}]},
        ],
        "x": {"kept": [1.50]},
    }
    glance = PLAIN.glance(json.dumps(body).encode())
    sent = json.loads(ANTHROPIC.write_request(PLAIN.read_request(glance), TARGET))
    assert sent["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "SIG"},
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    ]
    assert sent["messages"][2]["content"][0]["tool_use_id"] == "toolu_1"
    bare = {"functionCall": {"name": "f", "args": {}}}
    excuse = {"thoughtSignature": "skip_thought_signature_validator"}
    for target, called, mark in ((NEW, call, excuse), (gemini_samples.OLD, bare, {})):
        forwarded = json.loads(PLAIN.forward_request(glance, target))
        assert [content["parts"] for content in forwarded["contents"][1:-1]] == [
            [{"text": "Looking."}, {**called, **mark}], [{"text": ""}],
        ]  # fmt: skip
        assert forwarded["x"] == body["x"] and forwarded["contents"][0] == body["contents"][0]


def test_calls_of_other_models_are_excused_and_ids_go_where_they_are_known() -> None:
    call = {"functionCall": {"name": "f", "args": {}, "id": "call_1"}}
    other = {"functionCall": {"name": "g", "args": {}, "id": "call_2"}, "thought_signature": "S"}
    result = {"functionResponse": {"name": "f", "response": {}, "id": "call_1"}}
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "Go"}]},
            {"role": "model", "parts": [call, other]},
            {"role": "user", "parts": [result]},
            {"role": "model", "parts": [other]},
        ]
    }
    glance = PLAIN.glance(json.dumps(body).encode())
    excused = {**call, "thoughtSignature": "skip_thought_signature_validator"}
    contents = json.loads(PLAIN.forward_request(glance, NEW))["contents"]
    assert [each["parts"] for each in contents[1:]] == [[excused, other], [result], [other]]
    again = PLAIN.read_request(PLAIN.glance(json.dumps({"contents": contents}).encode()))
    assert not any(isinstance(part, Thinking) for message in again.messages for part in message.parts)
    contents = json.loads(PLAIN.forward_request(glance, gemini_samples.OLD))["contents"]
    assert "id" not in json.dumps(contents) and json.dumps(contents).count("functionCall") == 3
    signed = {"contents": [body["contents"][0], body["contents"][3]]}
    raw = json.dumps(signed, separators=(" ,", " : "))
    sent = PLAIN.forward_request(PLAIN.glance(raw.encode()), NEW)
    assert json_text.members(sent)["contents"] == json_text.members(raw.encode())["contents"], "in its own bytes"


def test_googles_own_signatures_travel_bare_to_it_and_sealed_to_nobody_else() -> None:
    body = {
        "contents": [
            {"role": "user", "parts": [{"text": "Go"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": "S1"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
        ]
    }
    glance = PLAIN.glance(json.dumps(body).encode())
    assert json.loads(PLAIN.forward_request(glance, NEW)) == body
    again = json.loads(PLAIN.write_request(PLAIN.read_request(glance), NEW))
    assert again["contents"][1]["parts"][0]["thoughtSignature"] == "S1"
    assert b"S1" not in ANTHROPIC.write_request(PLAIN.read_request(glance), TARGET)


# --- streams and errors ---


def written(events: list[StreamEvent], client: GeminiGenerateContent = STREAM) -> list[Any]:
    writer = client.writer(VOICE, price)
    shown = b"".join(writer.write(event) for event in events) + writer.finish(Usage(3, 4), 7_000)
    return chunks_of(shown, client)


def parts_of(chunks: list[Any]) -> list[Any]:
    return [part for chunk in chunks for each in chunk["candidates"] for part in each["content"]["parts"]]


def test_a_call_is_told_whole_and_in_order_however_its_fragments_come() -> None:
    events: list[StreamEvent] = [
        Started("id1", "m", 1),
        ThinkingDelta("Hm", 0, 0), SignatureDelta("S", 0, 0), SignatureDelta("IG", 0, 0), BlockClosed(0, 0),
        ToolCallStarted("c1", "f", 0, 1), ToolCallStarted("c2", "g", 0, 2),
        ToolCallDelta('{"a"', 0, 1), ToolCallDelta("{", 0, 2), ToolCallDelta(":1}", 0, 1), ToolCallDelta("}", 0, 2),
        BlockClosed(0, 2), BlockClosed(0, 1), TextDelta("Done", 0, 3), Finished("tool_calls", 0, "tool_use"), Ended(),
    ]  # fmt: skip
    chunks = written(events)
    assert parts_of(chunks) == [
        {"text": "Hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": signatures.wrap(Thinking("", "SIG"))},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"text": "Done"},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
        {"text": ""},
    ]
    last = chunks[-1]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["candidates"][0]["nativeFinishReason"] == "tool_use"
    assert last["usageMetadata"] == {
        "promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7, "cost": 0.000007,
    }  # fmt: skip
    assert {chunk["responseId"] for chunk in chunks} == {"id1"} and written(events, ARRAY) == chunks


def test_a_provider_that_tells_the_reason_with_every_chunk_is_streamed_all_the_same() -> None:
    def chunk(text: str) -> bytes:
        candidate = {"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}
        return b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\n\n"

    relay = STREAM.forwarder(VOICE, TARGET, price)
    assert relay.feed(chunk("One")) == b"" and relay.facts.started
    shown = chunks_of(relay.feed(chunk(" two")), STREAM)
    assert parts_of(shown) == [{"text": "One"}] and "finishReason" not in shown[0]["candidates"][0]
    assert relay.close() == b"" and relay.facts.ended
    (last,) = chunks_of(relay.finish(Usage(1, 1, estimated=True), 5), STREAM)
    assert parts_of([last]) == [{"text": " two"}] and last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"]["usageEstimated"] is True


def test_chunks_of_unknown_form_are_counted_and_objects_passed_on_in_their_place() -> None:
    relay = STREAM.forwarder(VOICE, TARGET, price)
    candidate = {"content": {"parts": [{"text": "One"}]}}
    ended = {**candidate, "finishReason": "STOP"}
    bodies = [{"candidates": [candidate]}, {"new": 1}, "noise", {"candidates": [ended]}, {"newer": 2}]
    stream = b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies)
    before = chunks_of(relay.feed(stream) + relay.close(), STREAM)
    after = chunks_of(relay.finish(Usage(1, 1), 5), STREAM)
    assert [chunk.keys() for chunk in before] == [{"candidates"}, {"new"}]
    assert (relay.facts.unknown_events, relay.facts.finish, relay.facts.ended) == (3, "stop", True)
    assert "finishReason" in after[0]["candidates"][0] and after[1]["newer"] == 2
    assert after[1]["usageMetadata"]["cost"] == pytest.approx(5e-9)


@pytest.mark.parametrize("client", [STREAM, ARRAY], ids=["events", "array"])
def test_a_failure_is_told_before_and_after_the_first_words(client: GeminiGenerateContent) -> None:
    error = RateLimited("Slow down.", headers={"Retry-After": "7"})
    (only,) = chunks_of(client.writer(VOICE, price).fail(error, "r9"), client)
    writer = client.writer(VOICE, price)
    words, told = chunks_of(writer.write(TextDelta("Hi")) + writer.fail(error, "r9"), client)
    assert parts_of([words]) == [{"text": "Hi"}] and told == only
    assert (told["error"]["code"], told["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    kinds = {each["@type"].rpartition(".")[2]: each for each in told["error"]["details"]}
    assert kinds["RetryInfo"]["retryDelay"] == "7s" and kinds["ErrorInfo"]["metadata"]["requestId"] == "r9"


@pytest.mark.parametrize(("said", "read_as"), [("3", 3), (3, 3), ("٣", "٣"), ("9" * 5000, "9" * 5000)])
def test_counts_in_schemas_are_numbers_in_plain_digits_only(said: Any, read_as: Any) -> None:
    schema = {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": said}
    (tool,) = read({**HI, "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}]}).tools
    assert isinstance(tool, Tool) and tool.parameters["minItems"] == read_as
