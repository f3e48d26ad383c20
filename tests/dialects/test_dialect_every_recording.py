"""No recording is left out; every recorded answer reaches every client and is read back there with the same meaning."""

import json
from collections import Counter
from typing import Any

import bedrock_samples
import cohere_samples
import gemini_samples
import pytest
from dialect_samples import ABSENT, ANTHROPIC, OPENAI, TARGET, VOICE, folder, price, recordings, relayed
from meanings import Meaning, of_answer, of_events
from msgspec.structs import replace

from gatewayz.core.chat import Text
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects import CLIENT_DIALECTS, PROVIDER_DIALECTS, bridge
from gatewayz.dialects.base import Dialect

COMPLETIONS = CLIENT_DIALECTS["openai_completions"]
# Kinds of recordings that are spoken here, with the number of answers, and those that belong to other rooms or to nobody.
SPOKEN = {
    "openai-chat": 92,
    "openai-completions": 8,
    "anthropic-messages": 27,
    "vertex-anthropic-messages": 4,
    "gemini-generate": 16,
    "gemini-stream": 15,
    "bedrock-converse": 10,
    "bedrock-converse-stream": 9,
    "cohere-v2": 9,
}
NOT_SPOKEN = {
    *("openai-responses", "openai-responses-get", "openai-responses-compact", "openai-responses-input-tokens"),
    *("openai-embeddings", "openai-images", "openai-moderations", "models-list", "rerank"),
    *("anthropic-batch-results", "anthropic-count-tokens", "gemini-embed", "gemini-count-tokens"),
    *("gemini-interactions", "vertex-predict", "bedrock-count-tokens"),
    *("bedrock-invoke", "bedrock-invoke-stream", "cohere-v1", "cohere-embed", "cohere-rerank"),
    *("ollama-chat", "ollama-generate", "watsonx-generate", "watsonx-stream", "replicate-predictions", "hf-tgi"),
    *("writer-chat",),
}
CLIENTS = pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])


def everything(*, stream: bool) -> list[Any]:
    """All good answers of all dialects."""
    further = (gemini_samples, bedrock_samples, cohere_samples)
    return [*recordings(stream=stream), *(each for samples in further for each in samples.recordings(stream=stream))]


def provider_of(recording: Any) -> Any:
    return getattr(recording, "dialect", PROVIDER_DIALECTS["gemini"])


def of_completions() -> list[Any]:
    """The recordings of legacy completions, as test parameters."""
    found = []
    for path in sorted(folder().glob("*/openai-completions*.json")):
        case = json.loads(path.read_bytes())
        found.append(pytest.param(case, id=f"{path.parent.name}/{path.stem}"))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="ABSENT")]


def test_no_recording_is_left_out() -> None:
    paths = sorted(folder().glob("*/*.json"))
    if not paths:
        pytest.skip(ABSENT)
    kinds = {f"{path.parent.name}/{path.stem}": json.loads(path.read_bytes())["api"] for path in paths}
    counts = Counter(kinds.values())
    assert counts.keys() - SPOKEN.keys() == NOT_SPOKEN, "a kind of recording that nobody has decided about"
    assert {kind: counts[kind] for kind in SPOKEN} == SPOKEN, "recordings came or went: say so here"
    heard = {each.id for each in [*recordings(ok=None), *of_completions()]}
    heard |= {each.id for ok in (True, False) for each in gemini_samples.recordings(ok=ok)}
    heard |= {each.id for ok in (True, False) for each in bedrock_samples.recordings(ok=ok)}
    heard |= {each.id for ok in (True, False) for each in cohere_samples.recordings(ok=ok)}
    assert heard == {name for name, kind in kinds.items() if kind in SPOKEN}


def as_shown(meaning: Meaning, client: Dialect) -> Meaning:
    return meaning.shown_to_openai() if client is OPENAI else meaning.shown_to_anthropic()


def as_told(usage: Usage | None, client: Dialect) -> Usage:
    """Usage as far as a client's dialect tells it: Messages knows no audio, Chat Completions no lifetimes of caches."""
    usage = usage or NOTHING
    if client is ANTHROPIC:
        return replace(usage, audio_input_tokens=0, audio_output_tokens=0)
    return replace(usage, cache_write_5m_tokens=usage.cache_write_tokens, cache_write_1h_tokens=0)


@CLIENTS
@pytest.mark.parametrize("recording", everything(stream=False))
def test_a_plain_answer_is_the_same_at_every_client(recording: Any, client: Dialect) -> None:
    answer, facts = provider_of(recording).read_answer(recording.body)
    usage = facts.usage or NOTHING
    shown = client.write_answer(answer, VOICE, usage, price(usage))
    again, _ = client.read_answer(shown)
    assert len(again.choices) == (len(answer.choices) if client is OPENAI else 1)
    for index in range(len(again.choices)):
        expected = as_shown(of_answer(answer, index), client)
        found = as_shown(of_answer(again, index), client)
        expected.usage, found.usage = as_told(expected.usage, client), as_told(found.usage, client)
        assert found == expected
    texts = json.loads(COMPLETIONS.write_answer(answer, VOICE, usage, price(usage)))["choices"]
    said = [of_answer(answer, index) for index in range(len(answer.choices))]
    assert [choice["text"] for choice in texts] == [each.text + each.refusal for each in said]


@CLIENTS
@pytest.mark.parametrize("recording", everything(stream=True))
def test_a_stream_is_the_same_at_every_client(recording: Any, client: Dialect) -> None:
    provider = provider_of(recording)
    reader = provider.reader()
    events = reader.feed(recording.body) + reader.close()
    relay = bridge(client, provider, VOICE, TARGET, price)
    shown = relayed(relay, [recording.body])
    indexes = {getattr(event, "index", 0) for event in events} if client is OPENAI else {0}
    for index in sorted(indexes):
        expected = of_events(events, index)
        if expected.error is not None:
            assert relay.facts.error == expected.error
            return
        back = client.reader()
        found = of_events(back.feed(shown) + back.close(), index)
        assert found.ended == 1
        told = expected.usage or Usage(1, 1)
        expected.usage, found.usage = as_told(told, client), as_told(found.usage, client)
        assert as_shown(found, client) == as_shown(expected, client)
        if client is not provider:
            assert relay.facts.usage == (told if relay.facts.usage is not None else None)


@pytest.mark.parametrize("recording", everything(stream=True))
def test_a_stream_has_the_same_text_for_legacy_clients(recording: Any) -> None:
    provider = provider_of(recording)
    reader = provider.reader()
    expected = of_events(reader.feed(recording.body) + reader.close())
    relay = bridge(COMPLETIONS, provider, VOICE, TARGET, price)
    shown = relayed(relay, [recording.body])
    if expected.error is not None:
        assert relay.facts.error == expected.error
        return
    assert shown.endswith(b"data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in shown.decode().split("\n") if line.startswith("data: {")]
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == 0]
    assert "".join(choice["text"] for choice in choices) == expected.text + expected.refusal
    finishes = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert finishes == ["stop" if expected.finish == "pause" else expected.finish]
    assert len({chunk["id"] for chunk in chunks}) == 1


def told_error(body: bytes) -> tuple[str, list[Any], Any]:
    """(message, words for the kind of error, status) of an error body, read as its provider documents it."""
    value = json.loads(body)
    value = value[0] if isinstance(value, list) else value
    error = value.get("error", value)
    if isinstance(error, str):
        return error, [value.get("type"), value.get("code")], None
    message = error.get("message") or error.get("detail") or error.get("msg")
    words = [error.get(name) for name in ("type", "status", "code") if error.get(name)]
    return message, words, next((word for word in words if isinstance(word, int) and 100 <= word <= 599), None)


@pytest.mark.parametrize(
    "recording",
    [
        *recordings(ok=False),
        *gemini_samples.recordings(ok=False),
        *bedrock_samples.recordings(ok=False),
        *cohere_samples.recordings(ok=False),
    ],
)
def test_the_classifier_is_told_what_an_error_body_says(recording: Any) -> None:
    error = provider_of(recording).read_error(recording.body)
    message, words, status = told_error(recording.body)
    assert error.message.startswith(message) if isinstance(message, str) else error.message
    assert {error.kind, error.code} - {None} <= {str(word) for word in words}
    assert status is None or error.status == status
    with pytest.raises(ValueError):
        provider_of(recording).read_answer(recording.body)


def cited(recording: Any) -> list[str]:
    """The addresses that a recorded answer cites, in order, by a plain reading."""
    text = recording.body.decode().replace("\r\n", "\n")
    lines = [line[5:].strip() for line in text.split("\n") if line.startswith("data:")]
    chunks = [json.loads(line) for line in lines if line != "[DONE]"] if recording.stream else [json.loads(text)]
    found: list[str] = []
    last: list[str] = []
    for chunk in chunks:
        if recording.dialect is ANTHROPIC:
            for block in chunk.get("content") or ():
                found += [each["url"] for each in block.get("citations") or () if each.get("url")]
            delta = chunk.get("delta") or {}
            found += [delta["citation"]["url"]] if (delta.get("citation") or {}).get("url") else []
            continue
        last = chunk.get("citations") or last
        for choice in chunk.get("choices") or ():
            said = choice.get("delta") or choice.get("message") or {}
            found += [each["url_citation"]["url"] for each in said.get("annotations") or ()]
    return found or last


@pytest.mark.parametrize("recording", recordings())
def test_sources_are_those_of_the_bytes(recording: Any) -> None:
    if recording.stream:
        reader = recording.dialect.reader()
        meaning = of_events(reader.feed(recording.body) + reader.close())
    else:
        meaning = of_answer(recording.dialect.read_answer(recording.body)[0])
    assert meaning.sources == cited(recording)


@pytest.mark.parametrize("case", of_completions())
def test_legacy_requests_become_chats_and_answers_have_the_members_that_providers_give(case: dict[str, Any]) -> None:
    """What cannot be served by a chat is refused by the name of a field that the recorded request has or lacks."""
    fields = {"model": "m", **(case["request"]["body"] or {})}
    prompt = fields.get("prompt")
    try:
        request = COMPLETIONS.read_request(COMPLETIONS.glance(json.dumps(fields).encode()))
    except InvalidRequest as error:
        assert error.param in ("suffix", "logprobs", "echo", "best_of") or (error.param == "prompt" and not prompt)
        assert error.param == "prompt" or fields[error.param]
    else:
        (message,) = request.messages
        assert [part.text for part in message.parts if isinstance(part, Text)] == (
            [prompt] if isinstance(prompt, str) else prompt
        )
        assert request.max_tokens == fields.get("max_tokens")
    if case["response"]["status"] >= 400 or case["stream"]:
        return
    recorded = json.loads(case["response"]["body_text"])
    text = recorded["choices"][0].get("text") or "Hi"  # one provider answers as if asked for a chat
    chat = {"id": "c", "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}
    answer, _ = OPENAI.read_answer(json.dumps(chat).encode())
    written = json.loads(COMPLETIONS.write_answer(answer, VOICE, Usage(3, 4), 1))
    assert written["choices"][0]["text"] == text and written["object"] == "text_completion"
    assert {"id", "object", "created", "model", "choices", "usage"} <= written.keys()
    assert {"text", "index", "logprobs", "finish_reason"} <= written["choices"][0].keys()
