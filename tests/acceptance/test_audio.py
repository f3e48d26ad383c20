"""POST /v1/audio/*: files in, text out, charged by the second or the token; text in, sound out, charged by the character."""

import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.acceptance import media_house
from tests.acceptance.media_house import (
    CHARACTERS_NANO,
    SECOND_NANO,
    SPEECH,
    SPEECH_SECONDS,
    TRANSCRIBE,
    UNPRICED,
    WHISPER,
    form,
    paid,
    sound,
)
from tests.acceptance.spine import asked, error_of, eventually, ledger, only_record, openai_client
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

PATH = "/v1/audio/transcriptions"
WAV = sound(2.5)
SOUND = bytes(range(256)) * 40  # what the fake says


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The fake providers of the house."""
    yield media_house.shared().upstream


@pytest.fixture(scope="module")
def gateway() -> LiveGateway:
    """The house."""
    return media_house.shared().gateway


@pytest.fixture
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(5)


def send(
    customer: Customer, data: bytes = WAV, model: str = WHISPER, *, path: str = PATH, **more: str
) -> httpx.Response:
    body, headers = form({"file": data, "model": model, **more}, more.pop("filename", "speech.wav"))
    return customer.call("POST", path, body, **headers)


@pytest.mark.ac("AC-CC.7.1", "AC-9.1.6")
def test_an_upload_becomes_text_and_its_length_is_charged(upstream: FakeUpstream, customer: Customer) -> None:
    answer = openai_client(customer).audio.transcriptions.create(
        model=WHISPER, file=("speech.wav", WAV), language="en", prompt="names", temperature=0.2
    )
    assert answer.text == "Heard by first"
    sent = upstream.journal("first")[-1]
    assert sent["path"] == "/p/first/v1/audio/transcriptions"
    assert sent["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert sent["body"] == {
        "model": "native-first", "file": {"filename": "speech.wav", "type": "audio/wav", "bytes": len(WAV)},
        "language": "en", "prompt": "names", "temperature": "0.2",
    }  # fmt: skip
    assert paid(customer) == [SECOND_NANO * 5 // 2]
    record = only_record(customer)
    assert (record["endpoint"], record["usage_estimated"]) == (PATH, False)


def test_the_seconds_that_the_provider_bills_are_charged(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"usage": {"seconds": 3}})
    told = send(customer).json()
    assert paid(customer) == [3 * SECOND_NANO]
    assert told["usage"] == {"type": "duration", "seconds": 3, "cost": 0.0003}


def test_a_header_that_lies_about_the_length_makes_nothing_cheaper(
    upstream: FakeUpstream, gateway: LiveGateway, customer: Customer
) -> None:
    lies = WAV[:28] + b"\xff\xff\xff\xff" + WAV[32:]  # bytes a second, which no player looks at
    assert send(customer, lies, response_format="text").status_code == 200
    assert paid(customer) == [SECOND_NANO * 5 // 2]
    poor = gateway.customer(0.0001)
    upstream.reset()
    assert send(poor, lies).status_code == 402
    assert asked(upstream) == []


@pytest.mark.ac("AC-CC.7.1")
@pytest.mark.parametrize("shape", ["json", "text", "srt", "vtt", "verbose_json"])
def test_the_answer_comes_in_the_form_that_was_asked_for(
    upstream: FakeUpstream, customer: Customer, shape: str
) -> None:
    answer = send(customer, response_format=shape)
    kind = answer.headers["content-type"].partition(";")[0]
    wanted = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}
    assert kind == wanted.get(shape, "application/json")
    assert "Heard by first" in answer.text
    assert answer.text.startswith("{") == (shape not in wanted)
    assert float(answer.headers["x-gatewayz-cost-usd"]) == 0.00025


def test_tokens_are_charged_where_the_price_is_by_the_token(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"usage": {"prompt": 30, "audio": 25, "completion": 8}})
    send(customer, model=TRANSCRIBE)
    assert paid(customer) == [(5 * 2500 + 25 * 6000 + 8 * 10000)]
    upstream.script("first", {"usage": None, "text": "x" * 40})
    send(customer, model=TRANSCRIBE, response_format="text")
    assert paid(customer)[1] == 25 * 6000 + 11 * 10000  # 2.5 seconds are 25 tokens; 41 characters about 11


@pytest.mark.ac("AC-CC.7.1", "AC-9.1.6")
def test_a_transcription_is_streamed(upstream: FakeUpstream, customer: Customer) -> None:
    stream = openai_client(customer).audio.transcriptions.create(model=TRANSCRIBE, file=("a.wav", WAV), stream=True)
    told = list(stream)
    assert "".join(event.delta for event in told if event.type == "transcript.text.delta") == "Heard by first"
    assert told[-1].type == "transcript.text.done"
    assert paid(customer) == [30 * 2500 + 5 * 10000]


@pytest.mark.ac("AC-CC.7.2")
@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,"])
def test_base64_becomes_the_same_upload(upstream: FakeUpstream, customer: Customer, prefix: str) -> None:
    body = {
        "model": WHISPER, "audio": prefix + base64.b64encode(WAV).decode(), "format": "mp3", "language": "en",
        "timestamp_granularities": ["word"],
    }  # fmt: skip
    answer = customer.call("POST", f"{PATH}/base64", body)
    assert (answer.status_code, answer.json()["text"]) == (200, "Heard by first")
    assert upstream.journal("first")[-1]["body"] == {
        "model": "native-first", "file": {"filename": "audio.wav", "type": "audio/wav", "bytes": len(WAV)},
        "language": "en", "timestamp_granularities[]": "word",
    }  # fmt: skip
    assert paid(customer) == [SECOND_NANO * 5 // 2]
    assert only_record(customer)["endpoint"] == f"{PATH}/base64"


def test_base64_answers_in_other_forms_too(customer: Customer) -> None:
    body = {"model": WHISPER, "audio": base64.b64encode(WAV).decode(), "response_format": "srt"}
    answer = customer.call("POST", f"{PATH}/base64", body)
    assert answer.text.startswith("1\n00:00:00,000")


@pytest.mark.ac("AC-CC.7.3")
@pytest.mark.parametrize("data", [b"hello, this is no sound", b"%PDF-1.7", b"", b"\x89PNG\r\n\x1a\n" + bytes(64)])
@pytest.mark.parametrize("as_base64", [False, True])
def test_what_is_no_sound_is_refused_with_what_is_accepted(
    upstream: FakeUpstream, customer: Customer, data: bytes, as_base64: bool
) -> None:
    if as_base64:
        if not data:
            return  # an empty text is a missing one
        text = base64.b64encode(data).decode()
        answer = customer.call("POST", f"{PATH}/base64", {"model": WHISPER, "audio": text})
    else:
        answer = send(customer, data, filename="song.mp3")  # the name is not believed
    error = error_of(answer)
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_format", "file")
    assert all(name in error["message"] for name in ("mp3", "mp4", "mpeg", "mpga", "m4a", "wav", "webm", "ogg", "flac"))
    assert not upstream.journal()


@pytest.mark.ac("AC-CC.7.3")
def test_a_file_above_the_limit_is_413_and_one_below_is_served(upstream: FakeUpstream, tmp_path: Path) -> None:
    whole = WAV + bytes(25_000_000 - len(WAV))
    # The house gives its providers 1.5 s, which is short for so much on a busy machine.
    config = media_house.config(upstream, first_token_timeout_s=20, request_deadline_s=25)
    with LiveGateway(tmp_path, config) as patient:
        customer = patient.customer(5)
        assert send(customer, whole).status_code == 200
        assert upstream.journal("first")[-1]["body"]["file"]["bytes"] == 25_000_000
        for size in (25_000_001, 27_000_000):
            answer = send(customer, WAV + bytes(size - len(WAV)))
            assert (answer.status_code, error_of(answer)["details"]["limit_bytes"] >= 25_000_000) == (413, True)
        text = base64.b64encode(WAV + bytes(25_000_001 - len(WAV))).decode()
        assert customer.call("POST", f"{PATH}/base64", {"model": WHISPER, "audio": text}).status_code == 413
        assert len(upstream.journal()) == 1


def test_a_name_that_lies_is_put_right(upstream: FakeUpstream, customer: Customer) -> None:
    send(customer, filename="speech.mp3")
    assert upstream.journal("first")[-1]["body"]["file"]["filename"] == "audio.wav"


def test_translations(upstream: FakeUpstream, customer: Customer) -> None:
    answer = send(customer, path="/v1/audio/translations")
    assert answer.json()["text"] == "Heard by first"
    assert upstream.journal("first")[-1]["path"] == "/p/first/v1/audio/translations"
    assert paid(customer) == [SECOND_NANO * 5 // 2]


def test_the_next_provider_hears_the_same_file(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"status": 503})
    assert send(customer).json()["text"] == "Heard by second"
    assert asked(upstream) == ["first", "second"]
    assert upstream.journal("second")[-1]["body"]["file"]["bytes"] == len(WAV)
    assert len(ledger(customer)) == 1


def test_a_failure_everywhere_is_refunded(upstream: FakeUpstream, customer: Customer) -> None:
    for persona in ("first", "second"):
        upstream.script(persona, {"status": 500})
    assert send(customer).status_code == 502
    assert ledger(customer) == [("hold", -0.00025), ("refund", 0.00025)]


def test_silence_is_an_answer(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"text": ""})
    answer = send(customer)
    assert (answer.status_code, answer.json()["text"]) == (200, "")
    assert paid(customer) == [SECOND_NANO * 5 // 2]


def test_who_cannot_pay_for_the_length_is_told_before_any_call(upstream: FakeUpstream, gateway: LiveGateway) -> None:
    short = gateway.customer("0.0002")
    assert send(short).status_code == 402
    assert send(short, sound(1.5)).status_code == 200
    assert len(upstream.journal()) == 1


@pytest.mark.parametrize(
    ("key", "code"),
    [(None, b"missing_api_key"), ("nonsense", b"invalid_api_key"), (f"gw_live_{'x' * 43}", b"invalid_api_key")],
)
def test_a_stranger_is_refused_before_the_file_is_sent(gateway: LiveGateway, key: str | None, code: bytes) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    head += f"Authorization: Bearer {key}\r\n\r\n" if key else "\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as link:
        link.sendall(head.encode())
        told = b""
        while b"request_id" not in told:
            told += link.recv(65_536)
    assert told.startswith(b"HTTP/1.1 401") and code in told


@pytest.mark.ac("AC-9.1.6")
def test_speech_comes_as_the_providers_bytes_and_characters_are_charged(
    upstream: FakeUpstream, customer: Customer
) -> None:
    with openai_client(customer).audio.speech.with_streaming_response.create(
        model=SPEECH, input="Guten Tag, Welt! ☺", voice="alloy", response_format="mp3"
    ) as answer:
        assert answer.read() == SOUND
        assert answer.headers["content-type"] == "audio/mpeg"
    sent = upstream.journal("first")[-1]
    assert sent["path"] == "/p/first/v1/audio/speech"
    assert sent["body"] == {
        "model": "native-first", "input": "Guten Tag, Welt! ☺", "voice": "alloy", "response_format": "mp3",
    }  # fmt: skip
    assert paid(customer) == [18 * CHARACTERS_NANO // 10**6]


def test_speech_by_the_second_is_measured(upstream: FakeUpstream, customer: Customer) -> None:
    answer = customer.call(
        "POST", "/v1/audio/speech", {"model": SPEECH_SECONDS, "input": "x", "voice": "a", "response_format": "pcm"}
    )
    assert answer.content == SOUND
    ms = -(-len(SOUND) * 1000 // 48_000)
    assert paid(customer) == [ms * 250]


def test_speech_in_events(upstream: FakeUpstream, customer: Customer) -> None:
    body = {"model": SPEECH_SECONDS, "input": "x", "voice": "a", "response_format": "pcm", "stream_format": "sse"}
    answer = customer.call("POST", "/v1/audio/speech", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("speech.audio.delta") == 2 * 3
    assert answer.text.rstrip().split("\n\n")[-1].startswith("event: speech.audio.done")
    assert paid(customer) == [-(-len(SOUND) * 1000 // 48_000) * 250]


def test_stream_true_is_answered_and_labelled_as_the_provider_does(upstream: FakeUpstream, customer: Customer) -> None:
    body = {"model": SPEECH_SECONDS, "input": "x", "voice": "a", "response_format": "pcm", "stream": True}
    answer = customer.call("POST", "/v1/audio/speech", body)
    assert upstream.journal("first")[-1]["body"]["stream"] is True
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text.rstrip().split("\n\n")[-1].startswith("event: speech.audio.done")
    assert paid(customer) == [-(-len(SOUND) * 1000 // 48_000) * 250]
    answer = customer.call("POST", "/v1/audio/speech", body | {"stream": False})
    assert (answer.headers["content-type"], answer.content) == ("audio/pcm", SOUND)
    upstream.script("first", {"body": "RIFF and so on", "headers": {"Content-Type": "application/octet-stream"}})
    answer = customer.call("POST", "/v1/audio/speech", body | {"response_format": "wav"})
    assert (answer.headers["content-type"], answer.text) == ("audio/wav", "RIFF and so on")
    assert customer.call("POST", "/v1/audio/speech", body | {"stream": "yes"}).status_code == 400


def test_speech_fails_over_and_a_broken_file_is_never_passed_off_as_whole(
    upstream: FakeUpstream, customer: Customer
) -> None:
    body = {"model": SPEECH, "input": "hello", "voice": "a"}
    upstream.script("first", {"empty": True})
    assert customer.call("POST", "/v1/audio/speech", body).content == SOUND
    assert asked(upstream) == ["first", "second"]
    upstream.script("first", {"cut_after_bytes": 6000})
    with pytest.raises(httpx.TransportError):
        customer.call("POST", "/v1/audio/speech", body)
    eventually(lambda: len(ledger(customer)) == 3, "the refund of the broken answer", 20)
    assert [kind for kind, _ in ledger(customer)] == ["api_usage", "hold", "refund"]


def test_a_price_that_speech_cannot_be_charged_by_is_no_price(upstream: FakeUpstream, customer: Customer) -> None:
    answer = customer.call("POST", "/v1/audio/speech", {"model": UNPRICED, "input": "hello", "voice": "a"})
    assert (answer.status_code, error_of(answer)["code"]) == (503, "pricing_unavailable")
    assert not upstream.journal()


@pytest.mark.parametrize(
    ("changed", "param"),
    [({"input": ""}, "input"), ({"response_format": "midi"}, "response_format"), ({"speed": 9}, "speed")],
)
def test_mistakes_of_speech_are_named(customer: Customer, changed: dict[str, Any], param: str) -> None:
    body = {"model": SPEECH, "input": "hello", "voice": "a"} | changed
    answer = customer.call("POST", "/v1/audio/speech", body)
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)


@pytest.mark.parametrize(
    ("changed", "param"), [({"response_format": "pdf"}, "response_format"), ({"model": ""}, "model")]
)
def test_mistakes_of_uploads_are_named(customer: Customer, changed: dict[str, str], param: str) -> None:
    body, headers = form({"file": WAV, "model": WHISPER, **changed})
    answer = customer.call("POST", PATH, body, **headers)
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)


def test_an_error_in_the_place_of_a_file_goes_to_the_next_provider(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"body": '{"error":{"message":"overloaded","type":"server_error"}}'})
    answer = customer.call("POST", "/v1/audio/speech", {"model": SPEECH, "input": "hello", "voice": "a"})
    assert answer.content == SOUND
    assert asked(upstream) == ["first", "second"]


def test_a_provider_that_answers_at_once_although_a_stream_was_asked_for(
    upstream: FakeUpstream, customer: Customer
) -> None:
    upstream.script("first", {"body": '{"text":"all at once"}'})
    answer = send(customer, stream="true")
    assert (answer.headers["content-type"], answer.json()["text"]) == ("application/json", "all at once")
    assert paid(customer) == [SECOND_NANO * 5 // 2]


def test_a_file_that_is_asked_for_again_is_the_first_one(upstream: FakeUpstream, customer: Customer) -> None:
    body = {"model": SPEECH, "input": "hello", "voice": "a"}
    first, again = (customer.call("POST", "/v1/audio/speech", body, **{"X-Request-ID": "same"}) for _ in range(2))
    assert first.content == again.content == SOUND
    assert again.headers["content-type"] == "audio/mpeg"
    assert again.headers["x-idempotent-replay"] == "true"
    assert (len(paid(customer)), len(upstream.journal())) == (1, 1)
    assert upstream.journal("first")[-1]["headers"]["accept"] == "*/*"
