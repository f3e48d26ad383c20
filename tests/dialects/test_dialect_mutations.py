"""Recorded traffic with one thing wrong at every place, and absurd bytes: only the errors that are promised come out."""

import base64
import json
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from bedrock_samples import frames_of
from dialect_samples import (
    ABSENT,
    ANTHROPIC,
    CHAT_CLIENTS,
    CHAT_PROVIDERS,
    OPENAI,
    QUIET,
    TARGET,
    VOICE,
    folder,
    price,
    relayed,
)
from msgspec import structs
from mutations import mutations

from gatewayz.core.errors import InvalidRequest, ProviderTrouble
from gatewayz.core.stream import StreamError
from gatewayz.core.usage import NOTHING
from gatewayz.dialects import DIALECTS, bridge, json_text
from gatewayz.dialects.base import Quirks
from gatewayz.dialects.sse import SseParser
from tests.aws_frames import event

APIS = {
    "openai": ("openai-chat",),
    "anthropic": ("anthropic-messages", "vertex-anthropic-messages"),
    "gemini": ("gemini-generate", "gemini-stream"),
    "bedrock": ("bedrock-converse", "bedrock-converse-stream"),
    "cohere": ("cohere-v2",),
    "openai_completions": ("openai-completions",),
    "openai_responses": ("openai-responses", "openai-responses-get", "openai-responses-compact"),
}

PROVIDERS = pytest.mark.parametrize("name", CHAT_PROVIDERS)
_PRELUDE = struct.pack(">II", 2**31, 8)
ENDLESS_FRAME = _PRELUDE + struct.pack(">I", zlib.crc32(_PRELUDE))
CLIENTS = pytest.mark.parametrize("name", CHAT_CLIENTS)


def cases(name: str) -> list[dict[str, Any]]:
    """The recordings of a dialect; skips loudly if there are none."""
    found = [json.loads(path.read_bytes()) for path in sorted(folder().glob("*/*.json"))]
    found = [case for case in found if case["api"] in APIS[name]]
    if not found:
        pytest.skip(ABSENT)
    return found


def body_of(case: dict[str, Any]) -> bytes:
    """The recorded bytes."""
    reply = case["response"]
    return base64.b64decode(reply["body_base64"]) if "body_base64" in reply else reply["body_text"].encode()


def is_strict_json(text: bytes) -> None:
    """Fails if a client that takes no NaN could not read this."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads(text, parse_constant=refuse)


def check_plain(name: str, body: bytes) -> None:
    """All that may be done with the bytes of a plain answer."""
    provider = CHAT_PROVIDERS[name]
    assert isinstance(provider.read_error(body), StreamError)
    facts = None
    if name in DIALECTS:
        same = DIALECTS[name]
        try:
            facts = same.glance_answer(body)
        except ValueError:
            pass
        else:
            usage = facts.usage or NOTHING
            is_strict_json(same.forward_answer(body, VOICE, usage, 1, Quirks()))
        try:
            same.forward_answer(body, VOICE, NOTHING, 1, Quirks())
        except ValueError:
            assert facts is None
    try:
        answer, again = provider.read_answer(body)
    except ValueError:
        assert facts is None, "what may be forwarded can be read"
        return
    # Parts of unknown kinds are counted where the answer is read, not where it is forwarded.
    assert facts is None or facts == structs.replace(again, unknown_events=0, unknown_excerpt=None)
    for client in CHAT_CLIENTS.values():
        is_strict_json(client.write_answer(answer, VOICE, again.usage or NOTHING, 1))


def check_stream(name: str, body: bytes) -> None:
    """All that may be done with the bytes of a stream."""
    for client in CHAT_CLIENTS.values():
        are_strict_events(relayed(bridge(client, CHAT_PROVIDERS[name], VOICE, TARGET, price), [body]))
        broken = bridge(client, CHAT_PROVIDERS[name], QUIET, TARGET, price)
        relayed(broken, [body], finish=False)
        assert are_strict_events(broken.fail(ProviderTrouble("x"), "r")), "a failure is told"


def are_strict_events(shown: bytes) -> int:
    """How many events are in a stream; fails if a client could not read one."""
    found = [line for line in shown.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]
    for line in found:
        is_strict_json(line[6:])
    return len(found)


@pytest.mark.slow
@PROVIDERS
def test_plain_answers_with_one_mistake(name: str) -> None:
    seen: set[Any] = set()
    for case in cases(name):
        data = body_of(case)
        if not data.lstrip().startswith((b"{", b"[")):
            continue
        for body in mutations(json.loads(data), seen):
            check_plain(name, body)
            check_stream(name, body)


@pytest.mark.slow
@PROVIDERS
def test_streams_with_one_mistake(name: str) -> None:
    """The chunk that is wrong stands among its neighbours, the beginning and the end."""
    seen: set[Any] = set()
    if name == "bedrock":
        check_binary_streams(seen)
        return
    for case in cases(name):
        lines = case["response"]["body_text"].replace("\r\n", "\n").split("\n")
        for place, line in enumerate(lines):
            if not line.startswith("data: {"):
                continue
            value = json.loads(line[6:])
            inner = value.get("delta") or value.get("content_block")
            key = (value.get("type"), inner.get("type") if isinstance(inner, dict) else None)
            for wrong in mutations(value, seen, key):
                around = (
                    lines[max(6, place - 20) : place],
                    lines[place + 1 : place + 5],
                    lines[max(place + 5, len(lines) - 9) :],
                )
                pieces = [*lines[: min(6, place)], *around[0], "data: " + wrong.decode(), *around[1], *around[2]]
                check_stream(name, "\n".join(pieces).encode())


def check_binary_streams(seen: set[Any]) -> None:
    """As above, with the wrong payload in a frame that is in order."""
    for case in cases("bedrock"):
        if "body_base64" not in case["response"]:
            continue
        frames = frames_of(body_of(case))
        for place, (headers, payload) in enumerate(frames):
            value, kind = json.loads(payload), headers[":event-type"]
            inner = value.get("delta") or value.get("start") or {}
            for wrong in mutations(value, seen, (kind, *inner)):
                around = [*frames[max(0, place - 5) : place], *frames[place + 1 : place + 4], *frames[-3:]]
                events = [event(named[":event-type"], data) for named, data in around]
                events.insert(min(place, 5), event(kind, wrong))
                check_stream("bedrock", b"".join(events))


def bodies(name: str) -> Iterator[bytes]:
    """Recorded requests of a client with one mistake each."""
    seen: set[Any] = set()
    for case in cases(name):
        if isinstance(case["request"].get("body"), dict):
            yield from mutations({"model": "m", "max_tokens": 50, **case["request"]["body"]}, seen)


@CLIENTS
def test_requests_with_one_mistake_are_understood_or_refused_by_name(name: str) -> None:
    client = CHAT_CLIENTS[name]
    for body in bodies(name):
        try:
            glance = client.glance(body)
        except InvalidRequest as error:
            assert error.param or error.code == "invalid_json"
            continue
        if name in DIALECTS:
            for ask in (DIALECTS[name].forward_request, DIALECTS[name].dropped):
                try:
                    ask(glance, TARGET)
                except InvalidRequest as error:
                    assert error.param
        try:
            request = client.read_request(glance)
        except InvalidRequest as error:
            assert error.param
            continue
        for provider in CHAT_PROVIDERS.values():
            try:
                is_strict_json(provider.write_request(request, TARGET))
                provider.dropped(request, TARGET)
            except InvalidRequest as error:
                assert error.param


@PROVIDERS
def test_recordings_with_bytes_flipped_cut_and_doubled(name: str) -> None:
    chance = random.Random(7)
    for case in cases(name):
        body = body_of(case)[:6_000]
        for _ in range(6):
            at, size = chance.randrange(len(body)), chance.randint(1, 40)
            other = bytes(chance.randrange(256) for _ in range(2))
            for broken in (
                body[:at] + other + body[at + 1 :],
                body[:at] + body[at + size :],
                body[: at + size] + body[at:],
                body[:at],
            ):
                check_plain(name, broken)
                check_stream(name, broken)


def nested(depth: int, opener: str = "[", closer: str = "]") -> str:
    return opener * depth + "1" + closer * depth


@pytest.mark.parametrize(
    "depth", [20, 99, 101, 190, 196, 199, 200, 201, 204, 300, 480, 700, 950, 990, 1_000, 5_000, 200_000]
)
def test_absurd_nesting_never_ends_in_a_recursion_error(depth: int) -> None:
    deep = nested(depth)
    objects = nested(depth, '{"error":', "}")
    plain = [
        deep,
        objects,
        nested(depth, '{"content":', "}"),
        f'{{"choices":[{{"message":{{"content":"x","more":{deep}}}}}],"y":{deep}}}',
        f'{{"content":[{{"type":"tool_use","id":"a","name":"b","input":{{"a":{deep}}}}},{{"type":"z","y":{objects}}}]}}',
        f'{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"a","args":{{"a":{deep}}}}}}}]}}}}]}}',
    ]
    events = [
        deep,
        objects,
        f'{{"choices":[{{"index":0,"delta":{{"content":"a","annotations":[{deep}]}}}}]}}',
        f'{{"choices":[{{"index":0,"delta":{{"tool_calls":[{{"function":{{"name":"x","arguments":{deep}}}}}]}}}}]}}',
        f'{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","name":"b","input":{{"a":{deep}}}}}}}',
        f'{{"type":"content_block_delta","index":0,"delta":{{"type":"citations_delta","citation":{objects}}}}}',
        f'{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{{"a":{deep}}}}}',
        f'{{"type":"message_start","message":{{"id":"a","z":{deep}}}}}',
        f'{{"candidates":[{{"content":{{"parts":[{{"text":"x"}},{{"z":{deep}}}]}},"groundingMetadata":{objects}}}]}}',
    ]
    for name in CHAT_PROVIDERS:
        for text in plain:
            check_plain_loosely(name, text.encode())
        for text in events:
            stream_of(name, f"data: {text}\n\ndata: [DONE]\n\n".encode())
            if name == "bedrock":
                kinds = ("contentBlockDelta", "contentBlockStart", "messageStop", "metadata", "other")
                stream_of(name, b"".join(event(kind, text.encode()) for kind in kinds))


def check_plain_loosely(name: str, body: bytes) -> None:
    """As `check_plain`, without reading what was written, for which the standard library has no depth either."""
    provider = CHAT_PROVIDERS[name]
    provider.read_error(body)
    try:
        answer, facts = provider.read_answer(body)
    except ValueError:
        return
    for client in CHAT_CLIENTS.values():
        assert client.write_answer(answer, VOICE, facts.usage or NOTHING, 1)
    if name in DIALECTS:
        assert DIALECTS[name].forward_answer(body, VOICE, NOTHING, 1, Quirks())


def stream_of(name: str, body: bytes) -> None:
    for client in CHAT_CLIENTS.values():
        relayed(bridge(client, CHAT_PROVIDERS[name], VOICE, TARGET, price), [body])


@PROVIDERS
def test_an_endless_line_is_cut_off_at_the_limit_and_told(name: str) -> None:
    """Memory stays bounded: the parser holds no more than its limit, and the relay tells of an error."""
    piece = b"x" * 1_000_000
    for client in CHAT_CLIENTS.values():
        relay = bridge(client, CHAT_PROVIDERS[name], VOICE, TARGET, price)
        relay.feed(b"data: " if name != "bedrock" else ENDLESS_FRAME)
        for _ in range(40):
            assert relay.feed(piece) == b""
        assert relay.facts.error is not None and relay.facts.error.kind == "stream_overflow"
        assert relay.close() == b""
        ended = relay.fail(ProviderTrouble("The provider failed."), "r")
        assert b"x" * 100 not in ended and b"The provider failed." in ended


def test_a_parser_that_overflowed_holds_nothing_and_blanks_are_not_kept() -> None:
    parser = SseParser(1_000)
    for _ in range(5):
        parser.feed(b": " + b"c" * 900)
    assert parser.overflowed and parser.feed(b"\n\ndata: a\n\n") == []
    patient = SseParser(1_000)
    for _ in range(100_000):
        assert patient.feed(b"\r\n") == []
    assert patient.feed(b"data: a\n\n") == [(b"", b"a")] and not patient.overflowed


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_words_that_are_no_json_become_null_for_every_client(word: str) -> None:
    """Some servers write these as log probabilities; a client that reads JSON strictly would lose the whole answer."""
    logprobs = f'{{"content":[{{"token":"a","logprob":{word}}}]}}'
    body = '{"id":"c","choices":[{"index":0,"%s":{"content":"NaN a"},"logprobs":%s,"finish_reason":"stop"}]}'
    check_plain("openai", (body % ("message", logprobs)).encode())
    shown = relayed(
        OPENAI.forwarder(VOICE, TARGET, price), [b"data: " + (body % ("delta", logprobs)).encode() + b"\n\n"]
    )
    assert b'"logprob":null' in shown and b"NaN a" in shown
    call = '{"choices":[{"message":{"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{\\"x\\":%s}"}}]}}]}'
    answer, _ = OPENAI.read_answer((call % word).encode())
    assert json.loads(ANTHROPIC.write_answer(answer, VOICE, NOTHING, 1))["content"][0]["input"] == {"x": None}
    arguments = '{"x": %s}' % word  # noqa: UP031
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "t", "content": "\n" + arguments},
    ]
    glance = OPENAI.glance(json.dumps({"model": "m", "messages": messages}).encode())
    for provider in CHAT_PROVIDERS.values():
        is_strict_json(provider.write_request(OPENAI.read_request(glance), TARGET))


def test_json_is_utf_8_and_a_byte_order_mark_is_forgiven() -> None:
    assert json_text.load(b'\xef\xbb\xbf{"a":1}') == {"a": 1}
    for encoding in ("utf-16", "utf-32", "utf-16-le"):
        with pytest.raises(ValueError):
            json_text.load('{"a":1}'.encode(encoding))
    with pytest.raises(ValueError):
        json_text.load(b'{"a":' + b"9" * 5_000 + b"}")
