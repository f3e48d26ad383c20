"""Every recorded stream in other clothes, cut short at every event, and the corners that recordings do not show."""

import json
from collections.abc import Callable
from typing import Any

import gemini_samples
import pytest
from dialect_samples import ANTHROPIC, OPENAI, QUIET, TARGET, VOICE, price, recordings, relayed
from meanings import of_events

from gatewayz.core.stream import Ended, StreamError, StreamEvent, ToolCallDelta, ToolCallStarted
from gatewayz.core.usage import Usage
from gatewayz.dialects import CLIENT_DIALECTS, PROVIDER_DIALECTS, bridge

GEMINI = PROVIDER_DIALECTS["gemini"]
STREAMS = pytest.mark.parametrize("recording", [*recordings(stream=True), *gemini_samples.recordings(stream=True)])
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
Frames = list[tuple[str, str]]  # (name, data) of each event


def provider_of(recording: Any) -> Any:
    return getattr(recording, "dialect", GEMINI)


def frames_of(recording: Any) -> Frames:
    """The events of a recording, by a plain reading of its lines."""
    text = recording.body.decode().replace("\r\n", "\n")
    if text.lstrip().startswith("["):
        return [("", json.dumps(chunk)) for chunk in json.loads(text)]
    frames = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        data = [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]
        names = [line[6:].strip() for line in lines if line.startswith("event:")]
        if data:
            frames.append((names[0] if names else "", "\n".join(data)))
    return frames


def stream(frames: Frames, end: str = "\n", space: str = " ", between: str = "") -> bytes:
    """Frames as bytes of a stream."""
    blocks = []
    for name, data in frames:
        lines = [f"event:{space}{name}"] if name else []
        lines += [f"data:{space}{line}" for line in data.split("\n")]
        blocks.append("".join(line + end for line in lines) + end + between)
    return "".join(blocks).encode()


def pretty(frames: Frames) -> Frames:
    return [(name, data if data == "[DONE]" else json.dumps(json.loads(data), indent=1)) for name, data in frames]


CLOTHES: dict[str, Callable[[Frames], bytes]] = {
    "crlf": lambda frames: stream(frames, end="\r\n"),
    "cr": lambda frames: stream(frames, end="\r"),
    "no space": lambda frames: stream(frames, space=""),
    "no event names": lambda frames: stream([("", data) for _, data in frames]),
    "comments": lambda frames: b": hello\n\n" + stream(frames, between=": keep-alive\n\n:\n"),
    "byte order mark": lambda frames: b"\xef\xbb\xbf" + stream(frames),
    "ids and retries": lambda frames: b"retry: 10\nid: 0\n\n" + stream(frames, between="id: 7\nretry: 3\n\n"),
    "many blank lines": lambda frames: b"\n\n\n" + stream(frames, between="\n\n"),
    "several data lines": lambda frames: stream(pretty(frames)),
    "pings": lambda frames: stream(frames, between=PING.decode()),
    "no last blank line": lambda frames: stream(frames).rstrip(b"\n"),
}


def events_of(provider: Any, body: bytes, size: int = 0) -> list[StreamEvent]:
    reader = provider.reader()
    pieces = [body[i : i + size] for i in range(0, len(body), size)] if size else [body]
    return [event for piece in pieces for event in reader.feed(piece)] + reader.close()


@STREAMS
def test_other_clothes_make_no_difference(recording: Any) -> None:
    provider = provider_of(recording)
    frames = frames_of(recording)
    expected = of_events(events_of(provider, stream(frames)))
    clients = (OPENAI, ANTHROPIC)
    shown = [relayed(bridge(client, provider, VOICE, TARGET, price), [stream(frames)]) for client in clients]
    for name, dress in CLOTHES.items():
        if name == "pings" and provider is GEMINI:
            continue
        body = dress(frames)
        assert of_events(events_of(provider, body)) == expected, name
        assert of_events(events_of(provider, body, 7)) == expected, name
        if name == "several data lines":
            continue
        pieces = [body[at : at + 11] for at in range(0, len(body), 11)]
        for client, whole in zip(clients, shown, strict=True):
            for way in ([body], pieces):
                found = relayed(bridge(client, provider, VOICE, TARGET, price), way)
                if client is ANTHROPIC:  # to whom pings are passed on
                    found, whole = found.replace(PING, b""), whole.replace(PING, b"")
                assert found == whole, name


def is_over(provider: Any, frames: Frames) -> bool:
    """Whether a provider has said, by its documentation, that the answer is whole."""
    if any(data == "[DONE]" for _, data in frames):
        return True
    chunks = [json.loads(data) for _, data in frames]
    if provider is ANTHROPIC:
        started = sum(chunk["type"] == "content_block_start" for chunk in chunks)
        stopped = sum(chunk["type"] == "content_block_stop" for chunk in chunks)
        return (
            any(chunk["type"] == "message_delta" and chunk["delta"].get("stop_reason") for chunk in chunks)
            and started == stopped
        )
    members = ("choices", "finish_reason") if provider is OPENAI else ("candidates", "finishReason")
    seen: dict[int, bool] = {}
    for chunk in chunks:
        if provider is GEMINI and (chunk.get("promptFeedback") or {}).get("blockReason"):
            return True
        for choice in chunk.get(members[0]) or ():
            index = choice.get("index", 0)
            seen[index] = seen.get(index, False) or bool(choice.get(members[1]))
    return bool(seen) and all(seen.values())


@STREAMS
def test_a_silent_close_is_never_a_regular_end(recording: Any) -> None:
    """The stream breaks off after each of its events, and in the middle of the next one."""
    provider = provider_of(recording)
    frames = frames_of(recording)
    step = max(1, len(frames) // 30)
    cuts = {*range(0, len(frames), step), *range(max(0, len(frames) - 5), len(frames) + 1)}
    for cut in sorted(cuts):
        expected = is_over(provider, frames[:cut])
        torn = stream(frames[cut : cut + 1])[:-9]
        for body in (stream(frames[:cut]), stream(frames[:cut]) + torn):
            events = events_of(provider, body)
            if any(isinstance(event, StreamError) for event in events):
                continue
            assert any(isinstance(event, Ended) for event in events) == expected, cut
            for client in CLIENT_DIALECTS.values():
                relay = bridge(client, provider, QUIET, TARGET, price)
                relayed(relay, [body], finish=False)
                assert relay.facts.ended == expected, (client.name, cut)


def chunk(delta: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    finish = more.pop("finish_reason", None)
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices, **more}


def sent(*chunks: Any) -> bytes:
    return b"".join(
        b"data: " + (each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n\n" for each in chunks
    )


def call(index: int | None = 0, call_id: str | None = None, name: str | None = None, args: str | None = None) -> Any:
    function = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    members = {"index": index, "id": call_id, "function": function}
    return chunk({"tool_calls": [{key: value for key, value in members.items() if value is not None}]})


END = chunk({}, finish_reason="tool_calls")


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        ([call(0, "a", "get_"), call(0, name="weather"), call(0, args="{}")], [["a", "get_weather", {}]]),
        ([call(0, "a", "get_", ""), call(0, name="weather", args=""), call(0, args="{}")], [["a", "get_weather", {}]]),
        ([call(0, "a", "get_"), call(0, name="wea"), call(0, name="ther", args="{}")], [["a", "get_weather", {}]]),
        ([call(0, "a", "f"), call(0, "a", "f"), call(0, "a", "f", "{}")], [["a", "f", {}]]),
        ([call(0, "a", "f", '{"x"'), call(0, name="f", args=":1}")], [["a", "f", {"x": 1}]]),
        (
            [call(0, "a", "f"), call(1, "b", "g"), call(1, args="{}"), call(0, args="{}")],
            [["a", "f", {}], ["b", "g", {}]],
        ),
        ([call(0, "a", "f", ""), call(1, "b", "g", "")], [["a", "f", {}], ["b", "g", {}]]),
        ([call(0, "a"), call(0, name="f"), call(0, args="{}")], [["a", "f", {}]]),
        (
            [call(None, "a", "f", "{"), call(None, args="}"), call(None, "b", "g", "{}")],
            [["a", "f", {}], ["b", "g", {}]],
        ),
        (
            [call(0, "a", "f", '{"x":'), call(1, "b", "g", '{"y":'), call(0, args="1}"), call(1, args="2}")],
            [["a", "f", {"x": 1}], ["b", "g", {"y": 2}]],
        ),
    ],
    ids=[
        *(
            "name in two",
            "name in two with empty arguments",
            "name in three",
            "name again",
            "name again with arguments",
        ),
        *("second before the first has arguments", "no arguments at all", "id first", "no index", "interleaved"),
    ],
)
def test_calls_however_they_are_cut(chunks: list[Any], calls: list[Any]) -> None:
    body = sent(*chunks, END, b"[DONE]")
    events = events_of(OPENAI, body)
    assert of_events(events).calls == calls
    assert events_of(OPENAI, body, 5) == events
    started = [event.block for event in events if isinstance(event, ToolCallStarted)]
    assert started == sorted(started)
    for place, event in enumerate(events):
        if isinstance(event, ToolCallDelta):
            assert any(isinstance(e, ToolCallStarted) and e.block == event.block for e in events[:place])
    shown = relayed(bridge(ANTHROPIC, OPENAI, VOICE, TARGET, price), [body])
    assert of_events(events_of(ANTHROPIC, shown)).calls == calls


def test_a_call_whose_name_is_known_is_told_before_the_text_that_follows_it() -> None:
    events = events_of(OPENAI, sent(call(0, "a", "f"), chunk({"content": "and"}), END))
    kinds = [type(event).__name__ for event in events]
    assert kinds.index("ToolCallStarted") < kinds.index("TextDelta")


@pytest.mark.parametrize("client", CLIENT_DIALECTS.values(), ids=CLIENT_DIALECTS)
def test_groq_tells_of_an_early_end_beside_regular_choices(client: Any) -> None:
    stopped = chunk({"content": " there"}, x_groq={"id": "r", "error": "over capacity", "usage": None})
    relay = bridge(client, OPENAI, VOICE, TARGET, price)
    shown = relayed(relay, [sent(chunk({"content": "Hi"}), stopped, b"[DONE]")])
    assert relay.facts.error == StreamError("over capacity")
    assert not relay.facts.ended and b"over capacity" not in shown
    afterwards = {**stopped, "choices": []}
    whole = bridge(client, OPENAI, VOICE, TARGET, price)
    relayed(whole, [sent(chunk({"content": "Hi"}), chunk({}, finish_reason="stop"), afterwards, b"[DONE]")])
    assert (whole.facts.error, whole.facts.ended) == (None, True), "the answer was complete by then"


def test_groq_usage_beside_the_last_choice_is_no_error() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    relay = bridge(OPENAI, OPENAI, VOICE, TARGET, price)
    relayed(
        relay, [sent(chunk({"content": "Hi"}), chunk({}, finish_reason="stop", x_groq={"id": "r", "usage": usage}))]
    )
    assert (relay.facts.error, relay.facts.ended, relay.facts.usage) == (None, True, Usage(9, 3))


@pytest.mark.parametrize(("raw", "usage"), [
    ({"prompt_tokens": 10, "completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 11}},
     Usage(10, 10, reasoning_tokens=10)),
    ({"prompt_tokens": 33, "completion_tokens": 70, "total_tokens": 103, "citation_tokens": 200, "reasoning_tokens": 740},
     Usage(33, 810, reasoning_tokens=740)),
    ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"audio_tokens": 12, "cached_tokens": 4}},
     Usage(10, 5, cached_tokens=4, audio_input_tokens=6)),
    ({"prompt_tokens": 10.0, "completion_tokens": 5.0}, Usage(10, 5)),
    ({"prompt_tokens": True, "completion_tokens": "5"}, None),
], ids=["reasoning above all", "reasoning beside", "audio above all", "floats", "no counts"])  # fmt: skip
def test_parts_of_usage_stay_within_the_whole(raw: Any, usage: Usage | None) -> None:
    found = of_events(
        events_of(OPENAI, sent(chunk({"content": "x"}), chunk({}, finish_reason="stop"), chunk(usage=raw)))
    )
    assert found.usage == usage


def test_usage_beside_empty_choices_is_the_last_word_and_no_content() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3}
    for last in ([], None):
        body = sent(
            chunk({"content": "x"}), chunk({}, finish_reason="stop"), {**chunk(), "choices": last, "usage": usage}
        )
        found = of_events(events_of(OPENAI, body + sent(b"[DONE]")))
        assert (found.text, found.usage, found.finish) == ("x", Usage(9, 3), "stop")


def test_a_second_finish_reason_changes_nothing() -> None:
    again = chunk({}, finish_reason="length")
    body = sent(chunk({"content": "x"}), chunk({}, finish_reason="stop"), again, b"[DONE]")
    assert of_events(events_of(OPENAI, body)).finish == "stop"
    twice = {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 4}}
    first = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
    found = of_events(events_of(ANTHROPIC, sent(first, twice, {"type": "message_stop"})))
    assert (found.finish, found.usage) == ("stop", Usage(0, 4))


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_a_torn_character_is_shown_as_such_and_the_stream_goes_on(client: Any) -> None:
    """Some servers send the bytes of a token that is half a character."""
    half = json.dumps(chunk({"content": "a@b"})).encode().replace(b"@", b"\xf0\x9f")
    relay = bridge(client, OPENAI, VOICE, TARGET, price)
    shown = relayed(relay, [sent(half, chunk({"content": "c"}), chunk({}, finish_reason="stop"), b"[DONE]")])
    assert of_events(events_of(client, shown)).text == "a\ufffdbc"
    assert relay.facts.unknown_events == 0
    shown.decode()


def test_a_block_that_the_provider_forgot_to_close_is_closed_for_the_client() -> None:
    body = sent(
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
    shown = relayed(bridge(ANTHROPIC, ANTHROPIC, VOICE, TARGET, price), [body])
    names = [line[7:].decode() for line in shown.split(b"\n") if line.startswith(b"event: ")]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_legacy_clients_see_one_id_although_something_unknown_came_first() -> None:
    relay = bridge(CLIENT_DIALECTS["openai_completions"], OPENAI, VOICE, TARGET, price)
    shown = relayed(
        relay, [sent({"token": "Hey"}, chunk({"content": " you"}), chunk({}, finish_reason="stop"), b"[DONE]")]
    )
    chunks = [json.loads(line[6:]) for line in shown.split(b"\n") if line.startswith(b"data: {")]
    assert len({each["id"] for each in chunks}) == 1
    assert "".join(choice["text"] for each in chunks for choice in each["choices"]) == "Hey you"


@pytest.mark.parametrize(
    "content", [None, {}, {"parts": None}, {"parts": []}, {"parts": [{}]}, {"parts": [{"text": ""}]}]
)
@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
def test_gemini_chunks_without_parts_are_nothing(client: Any, content: Any) -> None:
    said = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}
    last = {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 2}}
    relay = bridge(client, GEMINI, VOICE, TARGET, price)
    shown = relayed(relay, [sent({"candidates": [{"content": content}]}, said, last)])
    assert of_events(events_of(client, shown)).text == "Hi"
    assert relay.facts.ended and relay.facts.unknown_events == 0
    nothing = bridge(client, GEMINI, VOICE, TARGET, price)
    relayed(nothing, [sent(last)], finish=False)
    assert not nothing.facts.started
