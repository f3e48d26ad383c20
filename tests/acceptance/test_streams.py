"""Streams under bad conditions: broken, odd, slow and huge ones, in both dialects and between them (9.1, 9.2)."""

import contextlib
import json
import socket
import time
from typing import Any

import psutil
import pytest

from tests.acceptance import spine
from tests.acceptance.spine import CHAT, MESSAGES, SINGLE, ask
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

# Client dialect x provider dialect: two ways in which bytes are forwarded, two in which they are translated.
WAYS = pytest.mark.parametrize(
    ("dialect", "model", "persona"),
    [
        ("openai", CHAT, "first"),
        ("anthropic", CHAT, "first"),
        ("openai", MESSAGES, "ant"),
        ("anthropic", MESSAGES, "ant"),
    ],
)
WORDS = "Grüße — 你好, 世界! " * 6


@pytest.fixture(scope="module")
def upstream() -> FakeUpstream:
    """The scripted providers of the shared house."""
    return spine.shared().upstream


@pytest.fixture(scope="module")
def gateway() -> LiveGateway:
    """The shared house."""
    return spine.shared().gateway


def _is_told(dialect: str, text: str, code: str) -> None:
    """The stream ends with exactly one error and, where the dialect wants it, the terminator; never with a normal stop."""
    found = spine.events(text)
    if dialect == "openai":
        assert found[-1].data == "[DONE]" and text.count("[DONE]") == 1
        error = found[-2].data["error"]
        assert '"finish_reason":"stop"' not in text
    else:
        assert found[-1].name == "error" and "message_stop" not in text and "message_delta" not in text
        error = found[-1].data["error"]
        opened = sum(each.name == "content_block_start" for each in found)
        assert opened == sum(each.name == "content_block_stop" for each in found)
    assert error["code"] == code


@WAYS
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"error_after": 2}, "provider_error"),
        ({"cut_after_chunks": 2}, "provider_error"),
        ({"close_after_chunks": 2}, "provider_error"),
        ({"hang": "middle"}, "provider_timeout"),
    ],
    ids=["error", "reset", "silent close", "idle"],
)
def test_a_stream_that_breaks_off_is_refunded(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, model: str, persona: str, script: Any, code: str
) -> None:
    customer = gateway.customer(1)
    upstream.script(persona, {"text": WORDS, "chunk_delay_s": 0.01, **script})
    answer = ask(customer, dialect, model, stream=True)
    assert answer.status_code == 200
    _is_told(dialect, answer.text, code)
    assert spine.asked(upstream) == [persona]  # nobody else after the first word
    assert [kind for kind, _ in spine.ledger(customer)] == ["hold", "refund"]
    record = spine.only_record(customer)
    assert (record["error_code"], record["cost_usd"]) == (code, 0)
    assert record["status"] == (504 if code == "provider_timeout" else 502)


@WAYS
def test_an_empty_stream_is_no_answer(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, model: str, persona: str
) -> None:
    customer = gateway.customer(1)
    other = {"first": "second", "ant": "anttwo"}[persona]
    upstream.script(persona, {"empty": True})
    answer = ask(customer, dialect, model, stream=True)
    assert spine.text_of(dialect, answer) == f"Hello from {other}"
    assert spine.asked(upstream) == [persona, other]


@WAYS
@pytest.mark.parametrize(
    "script",
    [{"split": 1}, {"split": 7}, {"crlf": True}, {"crlf": True, "split": 1}, {"comments": True}, {"no_done": True}],
    ids=json.dumps,
)
def test_odd_bytes_give_the_same_stream(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, model: str, persona: str, script: dict[str, Any]
) -> None:
    customer = gateway.customer(1)
    calm = {"text": WORDS, "id": "the-id", "usage": {"prompt": 20, "completion": 30}}
    upstream.script(persona, calm, {**calm, **script})
    usual, odd = (ask(customer, dialect, model, stream=True) for _ in range(2))

    def frames(text: str) -> list[Any]:
        found = [each for each in spine.events(text) if each.name != "ping"]
        for each in found:
            if isinstance(each.data, dict):
                each.data.pop("created", None)
        return found

    assert spine.text_of(dialect, odd) == WORDS
    assert frames(odd.text) == frames(usual.text)
    rows = spine.ledger(customer)
    assert len(rows) == 2 and rows[0] == rows[1]


@WAYS
@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_is_not_told_is_counted(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, model: str, persona: str, stream: bool
) -> None:
    customer = gateway.customer(1)
    upstream.script(persona, {"text": "x" * 400, "chunk_chars": 50, "usage": None})
    more = {"stream_options": {"include_usage": True}} if stream and dialect == "openai" else {}
    answer = ask(customer, dialect, model, stream=stream, **more)
    record = spine.only_record(customer)
    assert record["usage_estimated"] is True and record["completion_tokens"] == 100 and record["prompt_tokens"] > 0
    prices = (2, 8) if persona == "first" else (3, 15)
    cost = (record["prompt_tokens"] * prices[0] + 100 * prices[1]) / 1e6
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-cost))]
    assert f'{"completion" if dialect == "openai" else "output"}_tokens":100' in answer.text


@pytest.mark.ac("AC-9.1.11")
@pytest.mark.parametrize("model", [CHAT, MESSAGES])
def test_unknown_chunks_are_passed_on_counted_and_logged(
    gateway: LiveGateway, upstream: FakeUpstream, model: str
) -> None:
    customer = gateway.customer(1)
    persona = "first" if model == CHAT else "ant"
    strange = ['data: {"telemetry":{"gpu":7}}\n\n', 'data: {"output":{"text":"odd text "}}\n\n']
    upstream.script(persona, {"text": "and usual text", "extra": strange})

    def counted() -> float:
        return spine.metric(gateway, "stream_chunks_unrecognized_total", provider=persona)

    before = counted()
    answer = ask(customer, "openai", model, stream=True)
    assert counted() - before >= 1
    found = [each.data for each in spine.events(answer.text)[:-1]]
    assert {"telemetry": {"gpu": 7}} in [chunk.get("gateway_raw") for chunk in found]
    assert spine.text_of("openai", answer).endswith("and usual text")
    request_id = answer.headers["x-request-id"]
    lines = [
        line for line in spine.log_lines(gateway, "stream_chunks_unrecognized") if line["request_id"] == request_id
    ]
    assert len(lines) == 1
    assert (lines[0]["level"], lines[0]["provider"], lines[0]["model"]) == ("warning", persona, model)
    assert "telemetry" in lines[0]["excerpt"]


@pytest.mark.ac("AC-9.1.11")
def test_text_at_an_unknown_place_is_shown(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.script("first", {"text": "and more.", "extra": ['data: {"generated_text":"Some text "}\n\n']})
    answer = ask(gateway.customer(1), "openai", SINGLE, stream=True)
    assert spine.text_of("openai", answer) == "Some text and more."


@pytest.mark.ac("AC-9.1.11")
def test_malformed_json_in_the_middle_loses_nothing_else(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.script("first", {"text": WORDS, "malformed": True})
    answer = ask(gateway.customer(1), "openai", SINGLE, stream=True)
    assert WORDS in spine.text_of("openai", answer)


@WAYS
def test_keep_alives_of_megabytes_are_swallowed(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, model: str, persona: str
) -> None:
    upstream.script(persona, {"text": WORDS, "huge": 4_000_000})
    answer = ask(gateway.customer(1), dialect, model, stream=True)
    assert spine.text_of(dialect, answer) == WORDS and len(answer.content) < 100_000


@WAYS
def test_one_delta_of_megabytes_arrives(
    gateway: LiveGateway, upstream: FakeUpstream, dialect: str, model: str, persona: str
) -> None:
    text = "long " * 600_000
    upstream.script(persona, {"pieces": [text], "text": text})
    answer = ask(gateway.customer(20), dialect, model, stream=True)
    assert spine.text_of(dialect, answer) == text


def test_comments_keep_a_slow_provider_alive(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.script("first", {"text": "one two three", "comments": True, "chunk_delay_s": 0.6})
    answer = ask(gateway.customer(1), "openai", SINGLE, stream=True)
    assert spine.text_of("openai", answer) == "one two three"


@contextlib.contextmanager
def _raw_stream(customer: Customer, body: dict[str, Any]) -> Any:
    """A client by hand, with a small window, that reads only when told to."""
    payload = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {customer.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(20)
        client.connect(("127.0.0.1", customer.gateway.port))
        client.sendall(head.encode() + payload)
        yield client


def test_a_slow_reader_costs_no_memory(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(1000)
    size = 40_000_000
    process = psutil.Process(gateway.pid)
    upstream.script("first", {"text": "0123456789" * (size // 10), "chunk_chars": 100_000})
    before = process.memory_info().rss
    with _raw_stream(customer, spine.chat_body(SINGLE, stream=True)) as client:
        client.recv(1000)
        time.sleep(1.5)  # enough to read all of it ahead; what the kernel holds is not ours
        grown = process.memory_info().rss - before
        assert grown < 15_000_000, f"{grown} bytes are held for a client that does not read"
        received = bytearray()
        while b"data: [DONE]" not in received[-200:]:
            part = client.recv(1_000_000)
            assert part
            received += part
    assert len(received) > size
    assert [kind for kind, _ in spine.ledger(customer)] == ["api_usage"]


@pytest.mark.slow
def test_who_stalls_until_the_deadline_pays_for_what_was_sent(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(1000)
    upstream.script("first", {"text": "0123456789" * 2_000_000, "chunk_chars": 100_000})
    with _raw_stream(customer, spine.chat_body(SINGLE, stream=True)) as client:
        client.recv(1000)
        rows = spine.eventually(lambda: spine.ledger(customer), "a charge", timeout_s=10)
    assert [kind for kind, _ in rows] == ["api_usage"] and rows[0][1] < 0
    assert spine.only_record(customer)["status"] == 499
