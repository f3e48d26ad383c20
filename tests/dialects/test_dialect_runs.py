"""Runs of events that are taken at once: nobody can tell, neither by the bytes nor by what was counted."""

import json
from typing import Any

import pytest
from dialect_samples import ANTHROPIC, OPENAI, QUIET, VOICE, price
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewayz.core.usage import Usage
from gatewayz.dialects.anthropic.forward import AnthropicForwarder
from gatewayz.dialects.base import Dialect, Quirks, Target
from gatewayz.dialects.openai_chat.forward import OpenAIForwarder
from gatewayz.dialects.runs import Run, RunParser, Taken, learn

Forwarder = OpenAIForwarder | AnthropicForwarder


class EventByEvent(RunParser):
    """Takes nothing at once."""

    def __init__(self) -> None:
        super().__init__()
        self._patience = 0


def forwarder(dialect: Dialect, voice: Any, quirks: Quirks) -> Forwarder:
    made = dialect.forwarder(voice, Target("native", quirks), price)
    assert isinstance(made, Forwarder)
    return made


def told(relay: Forwarder, pieces: list[bytes]) -> list[Any]:
    """What a client is shown, read by read, and all that is known of the stream after each read."""
    found: list[Any] = []
    for piece in pieces:
        found += [relay.feed(piece), repr(relay.facts)]
    found += [relay.close(), repr(relay.facts)]
    return [*found, relay.finish(Usage(7, 3), 4_200_000)]


def cut(body: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    return [*pieces, body[at:]]


# Mostly words, as in a stream; now and then what has an escape, several bytes a character, half of one, or looks like more.
_WORDS = st.sampled_from(
    [" the", "fox", "", " ", "a", "\n", 'said "no"', "c:\\dir\\", "déjà", " 漢字", "🙂", "\t/\b", "\x7f"]
)
_ODD = st.sampled_from(
    ['"content":"x"', '"},"finish_reason":null}]}\n\ndata: ', "\u2028", "\x1f", "\ud83d", "{}", "\\"]
)
TEXTS = st.one_of(_WORDS, _WORDS, _WORDS, st.text(max_size=5), _ODD)
SPELLINGS = st.sampled_from([True, False, False])  # whether other characters than ASCII are written as escapes


def spelled(value: Any, escaped: bool, spaced: bool) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    text = json.dumps(value, ensure_ascii=escaped, separators=separators)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def openai_events(draw: Any) -> bytes:
    """A stream with long stretches of one kind of event."""
    spaced, id_, out = draw(st.booleans()), "c1", []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(
            st.sampled_from(["content", "content", "reasoning_content", "reasoning", "both", "arguments", "other"])
        )
        more: dict[str, Any] = draw(
            st.sampled_from([{}, {}, {"usage": None}, {"usage": {"prompt_tokens": 7}}, {"x": '"'}])
        )
        padded, index, escaped = (
            draw(st.sampled_from([None, "obfuscation", "p"])),
            draw(st.sampled_from([0, 0, 1])),
            draw(SPELLINGS),
        )
        for text in draw(st.lists(TEXTS, min_size=1, max_size=12)):
            delta: dict[str, Any] = {kind: text}
            if kind == "both":
                delta = {"content": text, "reasoning_content": text}
            elif kind == "reasoning":
                delta = draw(
                    st.sampled_from([delta, delta, {**delta, "reasoning_content": ""}, {"content": text, kind: ""}])
                )
            elif kind == "arguments":
                delta = {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
            elif kind == "other":
                delta = draw(
                    st.sampled_from([{"role": "assistant", "content": ""}, {"content": None}, {"refusal": "no"}, {}])
                )
            body = {"id": id_, "model": "native", "choices": [{"index": index, "delta": delta, "finish_reason": None}]}
            if padded:
                body[padded] = draw(st.sampled_from(["aB3", "x", "", "-"]))
            out.append(spelled({**body, **more}, escaped, spaced))
        if draw(st.integers(0, 5)) == 0:
            choices = [{"index": 0, "delta": {}, "finish_reason": draw(st.sampled_from(["stop", "error"]))}]
            out.append(spelled({"id": id_, "model": "native", "choices": choices}, escaped=False, spaced=spaced))
        if draw(st.integers(0, 5)) == 0:
            id_ = "c2"
    stray = draw(
        st.sampled_from(
            [b"", b"", b": waiting\n\n", b"event: ping\ndata: {}\n\n", b"data: {\n\n", b"\n", b'data: {"error":{}}\n\n']
        )
    )
    begins = draw(st.sampled_from([b"data: ", b"data: ", b"data: ", b"data:", b"event: message\ndata: "]))
    ends = draw(st.sampled_from([b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n"]))
    at = draw(st.integers(0, len(out)))
    wire = [begins + payload + ends for payload in out]
    return b"".join([*wire[:at], stray, *wire[at:], draw(st.sampled_from([b"data: [DONE]\n\n", b""]))])


@st.composite
def anthropic_events(draw: Any) -> bytes:
    """A message with blocks of several kinds."""
    out: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "model": "native", "content": []}}]
    escaped = draw(SPELLINGS)
    for index in range(draw(st.integers(1, 3))):
        member, kind = draw(
            st.sampled_from([("text", "text_delta"), ("thinking", "thinking_delta"), ("partial_json", "x")])
        )
        out.append({"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}})
        for text in draw(st.lists(TEXTS, max_size=12)):
            out.append({"type": "content_block_delta", "index": index, "delta": {"type": kind, member: text}})
            if draw(st.integers(0, 9)) == 0:
                out.append(
                    draw(st.sampled_from([{"type": "ping"}, {"type": "error", "error": {}}, {"type": "new_kind"}]))
                )
        out.append({"type": "content_block_stop", "index": index})
    if draw(st.booleans()):
        out += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}]
    named = draw(st.sampled_from([True, True, False]))
    return b"".join(
        (f"event: {event['type']}\n".encode() if named else b"") + b"data: " + spelled(event, escaped, False) + b"\n\n"
        for event in out
    )


CUTS = st.one_of(st.just([]), st.lists(st.integers(1, 400), max_size=30), st.lists(st.integers(1, 9), max_size=200))


@settings(max_examples=400, deadline=None)
@given(openai_events(), CUTS, st.sampled_from([VOICE, QUIET]), st.sampled_from([(), ("x",)]))
def test_an_openai_stream_is_relayed_as_if_event_by_event(
    body: bytes, sizes: list[int], voice: Any, stripped: tuple[str, ...]
) -> None:
    quirks, pieces = Quirks(strip_answer_fields=stripped), cut(body, sizes)
    plain = forwarder(OPENAI, voice, quirks)
    plain._parser = EventByEvent()
    assert told(forwarder(OPENAI, voice, quirks), pieces) == told(plain, pieces)


@settings(max_examples=300, deadline=None)
@given(anthropic_events(), CUTS)
def test_an_anthropic_stream_is_relayed_as_if_event_by_event(body: bytes, sizes: list[int]) -> None:
    pieces = cut(body, sizes)
    plain = forwarder(ANTHROPIC, VOICE, Quirks())
    plain._parser = EventByEvent()
    assert told(forwarder(ANTHROPIC, VOICE, Quirks()), pieces) == told(plain, pieces)


HEAD, TAIL = b'data: {"d":{"content":"', b'"},"n":null}\n\n'


def event(text: bytes, padding: bytes = b"") -> bytes:
    return HEAD + text + padding + TAIL


def run_of(first: bytes = event(b"Hi"), text: str = "Hi") -> Run:
    run = learn(first, first.replace(b"null", b"1"), (b"content", b"content"), text)
    assert run is not None
    return run


def test_all_events_of_a_read_are_taken_together() -> None:
    body = b"".join(event(text) for text in (b"one", b"", b'a\\"b\\\\', "ü🙂".encode(), b"\\n"))
    assert run_of().take(body) == Taken(body.replace(b"null", b"1"), len(body), 5, 3 + 0 + 4 + 2 + 1)


@pytest.mark.parametrize(
    "odd",
    [
        event(b"\\u00fc"), event(b'a"b'), event(b"a\\"), event("ü".encode()[:1]), event(b"\x1f"), event(b"\\x"), event(b"a\nb"),
        HEAD + b"a" + TAIL.replace(b"null", b"2"), b'data: {"other":1}\n\n', b": comment\n\n", event(b"cut off")[:-1], HEAD, b"data",
    ],
)  # fmt: skip
def test_a_run_ends_before_what_is_not_exactly_of_its_form(odd: bytes) -> None:
    before = event(b"one") + event(b"two")
    taken = run_of().take(before + odd + event(b"after"))
    if b"\xc3" in odd or b"a\nb" in odd:  # found only when they are looked at together
        assert taken is None
    else:
        assert taken == Taken(before.replace(b"null", b"1"), len(before), 2, 6)
    assert run_of().take(odd + event(b"after")) is None
    assert run_of().take(odd) is None


def test_head_and_tail_that_share_a_quote_are_no_event() -> None:
    assert run_of().take(HEAD[:-1] + TAIL) is None


@pytest.mark.parametrize("member", [b"obfuscation", b"p"])
def test_letters_that_only_fill_up_do_not_count(member: bytes) -> None:
    shape = HEAD + b'%s"},"' + member + b'":"%s"}\n\n'
    run = learn(shape % (b"Hi", b"aB3"), shape % (b"Hi", b"aB3"), (b"content", b"content"), "Hi")
    assert run is not None
    body = shape % (b"one", b"x") + shape % (b"three", b"Yy9Zz")
    assert run.take(body) == Taken(body, len(body), 2, 8)
    assert run.take(body + shape % (b"a", b"-")) == Taken(body, len(body), 2, 8)
    assert run.take(shape % (b"a", b"")) is None


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (event(b""), ""), (event(b"\\u00fc"), "ü"), (event(b'\\"'), '"'), (event(b"Hi"), "Ho"), (event(b"Hi there"), "Hi"),
        (HEAD + b'Hi","content":"Hi' + TAIL, "Hi"), (b'data: {"d":"Hi"}\n\n', "Hi"), (event(b"\\ud83d"), "\ud83d"),
    ],
)  # fmt: skip
def test_an_event_whose_text_is_not_told_apart_for_sure_teaches_nothing(first: bytes, text: str) -> None:
    assert learn(first, first, (b"content", b"content"), text) is None


def test_looking_for_runs_is_given_up_where_there_are_none() -> None:
    parser = RunParser()
    for number in range(100):
        (item,) = parser.feed(b'data: {"number":%d}\n\n' % number)
        assert item == (b"", b'{"number":%d}' % number)
    assert not parser.learns
