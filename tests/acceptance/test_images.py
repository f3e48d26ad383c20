"""POST /v1/images/*: charged by the image, its size and quality, or by the tokens that the provider reports."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
import pytest

from tests.acceptance import media_house
from tests.acceptance.media_house import (
    EMBED,
    IMAGE,
    IMAGE_NANO,
    IMAGE_TOKENS,
    IMAGEN,
    MODERATE,
    RERANK,
    SPEECH,
    WHISPER,
    form,
    paid,
)
from tests.acceptance.spine import asked, error_of, eventually, ledger, only_record, openai_client
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

PATH = "/v1/images/generations"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(1000)


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


def body(model: str = IMAGE, **more: Any) -> dict[str, Any]:
    return {"model": model, "prompt": "a cat", **more}


@pytest.mark.ac("AC-CC.6.1", "AC-CC.6.2", "AC-9.1.6")
def test_an_image_is_made_and_its_price_is_charged(upstream: FakeUpstream, customer: Customer) -> None:
    answer = openai_client(customer).images.generate(model=IMAGE, prompt="a cat", extra_body={"seed": 7})
    assert answer.data and answer.data[0].b64_json
    assert paid(customer) == [IMAGE_NANO]
    assert customer.balance()["balance_usd"] == pytest.approx(5 - 0.04)
    sent = upstream.journal("first")[-1]
    assert sent["path"] == "/p/first/v1/images/generations"
    assert sent["body"] == {"model": "native-first", "prompt": "a cat", "seed": 7}
    assert only_record(customer)["cost_usd"] == 0.04


@pytest.mark.ac("AC-CC.6.2")
@pytest.mark.parametrize(
    ("asked_for", "cents"),
    [
        ({}, 4), ({"size": "1024x1024"}, 4), ({"quality": "standard"}, 4), ({"quality": "hd"}, 8),
        ({"size": "1024x1792"}, 12), ({"quality": "hd", "size": "1024x1792"}, 16), ({"quality": "hd", "n": 3}, 24),
        ({"size": "auto", "quality": "auto"}, 4),
    ],
)  # fmt: skip
def test_size_quality_and_number_decide_the_price(customer: Customer, asked_for: dict[str, Any], cents: int) -> None:
    assert customer.call("POST", PATH, body(**asked_for)).status_code == 200
    assert paid(customer) == [cents * 10_000_000]


def test_what_was_delivered_is_charged(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"id": "2"})
    assert len(customer.call("POST", PATH, body(n=4)).json()["data"]) == 2
    assert paid(customer) == [2 * IMAGE_NANO]


@pytest.mark.ac("AC-CC.6.3")
def test_without_credits_nobody_is_asked(upstream: FakeUpstream, gateway: LiveGateway) -> None:
    for credit, n in ((0, 1), ("0.07", 2)):  # enough for one, not for two
        answer = gateway.customer(credit).call("POST", PATH, body(n=n))
        assert (answer.status_code, error_of(answer)["type"]) == (402, "insufficient_credits")
    assert not upstream.journal()


def test_the_next_provider_makes_it_and_is_charged_once(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"status": 503})
    assert customer.call("POST", PATH, body()).status_code == 200
    assert asked(upstream) == ["first", "second"]
    assert ledger(customer) == [("api_usage", -0.04)]


@pytest.mark.parametrize("trouble", [{"status": 500}, {"empty": True}, {"malformed": True}, {"cut_after_bytes": 60}])
def test_a_failure_everywhere_is_refunded(upstream: FakeUpstream, customer: Customer, trouble: dict[str, Any]) -> None:
    for persona in ("first", "second"):
        upstream.script(persona, trouble)
    assert customer.call("POST", PATH, body()).status_code == 502
    assert ledger(customer) == [("hold", -0.04), ("refund", 0.04)]


def test_a_refused_prompt_costs_nothing_and_goes_to_nobody_else(upstream: FakeUpstream, customer: Customer) -> None:
    error = {
        "error": {"message": "Your prompt was rejected.", "type": "invalid_request_error", "code": "moderation_blocked"}
    }
    upstream.script("first", {"status": 400, "error": error})
    assert customer.call("POST", PATH, body()).status_code == 400
    assert (asked(upstream), ledger(customer)) == (["first"], [])


def test_tokens_are_charged_as_they_are_reported(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"usage": {"prompt": 100, "image": 50, "completion": 1056}})
    told = customer.call("POST", PATH, body(IMAGE_TOKENS, quality="medium", size="1024x1024")).json()
    assert told["usage"]["output_tokens"] == 1056
    nano = (100 * 5 + 50 * 8 + 1056 * 30) * 1000
    assert paid(customer) == [nano]
    assert told["usage"]["cost"] == pytest.approx(nano / 1e9)
    kept = next(row for row in customer.transactions() if row["type"] == "api_usage")
    assert kept["usage"]["image_output"] == 1056


def test_tokens_that_nobody_reports_are_charged_at_what_such_images_count(
    upstream: FakeUpstream, customer: Customer
) -> None:
    assert customer.call("POST", PATH, body(IMAGE_TOKENS, quality="low", size="1024x1024")).status_code == 200
    assert paid(customer) == [(2 * 5 + 272 * 30) * 1000]
    assert only_record(customer)["usage_estimated"]


def test_the_hold_covers_the_dearest_image(upstream: FakeUpstream, gateway: LiveGateway) -> None:
    short = gateway.customer("0.15")  # a high image may count 6,240 tokens, 0.1872 USD
    assert short.call("POST", PATH, body(IMAGE_TOKENS)).status_code == 402
    assert short.call("POST", PATH, body(IMAGE_TOKENS, quality="low")).status_code == 200


@pytest.mark.ac("AC-9.1.6")
def test_partial_images_are_streamed_and_the_last_event_waits_for_the_charge(
    upstream: FakeUpstream, customer: Customer
) -> None:
    upstream.script("first", {"usage": {"prompt": 9, "completion": 300}})
    stream = openai_client(customer).images.generate(model=IMAGE_TOKENS, prompt="a cat", stream=True, partial_images=2)
    assert [event.type for event in stream] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert paid(customer) == [(9 * 5 + 300 * 30) * 1000]


def test_a_stream_fails_over_before_its_first_event_only(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"error_in_200": {"error": {"message": "overloaded", "type": "server_error"}}})
    answer = customer.call("POST", PATH, body(stream=True, partial_images=1))
    assert answer.text.count("event: image_generation.") == 2
    assert asked(upstream) == ["first", "second"]
    upstream.script("first", {"error_after": 1})
    answer = customer.call("POST", PATH, body(stream=True, partial_images=2))
    assert error_of_stream(answer.text)["code"] == "provider_error"
    assert ledger(customer)[-2:] == [("hold", -0.04), ("refund", 0.04)]


def error_of_stream(text: str) -> dict[str, Any]:
    """The error that ends a stream."""
    last = text.strip().split("\n\n")[-1]
    name, data = last.split("\n")
    assert name == "event: error"
    error: dict[str, Any] = json.loads(data.removeprefix("data: "))["error"]
    return error


@pytest.mark.ac("AC-9.1.6")
def test_edits_and_variations_send_the_file_on(upstream: FakeUpstream, customer: Customer) -> None:
    client = openai_client(customer)
    client.images.edit(model=IMAGE, image=("cat.png", PICTURE, "image/png"), prompt="a hat", size="1024x1024", n=2)
    sent = upstream.journal("first")[-1]
    assert sent["path"] == "/p/first/v1/images/edits"
    assert sent["body"] == {
        "model": "native-first", "image": {"filename": "cat.png", "type": "image/png", "bytes": len(PICTURE)},
        "prompt": "a hat", "size": "1024x1024", "n": "2",
    }  # fmt: skip
    sent, headers = form({"model": IMAGE, "image": PICTURE}, "cat.png")
    assert customer.call("POST", "/v1/images/variations", sent, **headers).json()["data"]
    assert upstream.journal("first")[-1]["path"] == "/p/first/v1/images/variations"
    assert paid(customer) == [2 * IMAGE_NANO, IMAGE_NANO]


def test_a_form_that_is_sent_again_is_the_same_request(upstream: FakeUpstream, customer: Customer) -> None:
    client = openai_client(customer)
    for _ in range(2):  # the client draws a new boundary each time
        client.images.edit(
            model=IMAGE, image=("cat.png", PICTURE), prompt="a hat", extra_headers={"X-Request-ID": "again"}
        )
    assert (len(upstream.journal()), paid(customer)) == (1, [IMAGE_NANO])


@pytest.mark.parametrize(
    ("changed", "code", "param"),
    [
        ({"prompt": ""}, "missing_field", "prompt"), ({"n": 0}, "parameter_out_of_range", "n"),
        ({"n": 11}, "parameter_out_of_range", "n"), ({"size": "huge"}, "invalid_value", "size"),
        ({"response_format": "gif"}, "invalid_value", "response_format"),
    ],
)  # fmt: skip
def test_mistakes_are_named(customer: Customer, changed: dict[str, Any], code: str, param: str) -> None:
    answer = customer.call("POST", PATH, body() | changed)
    assert answer.status_code == 400
    assert (error_of(answer)["code"], error_of(answer)["param"]) == (code, param)


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ({"model": IMAGE, "prompt": "x"}, "image"),
        ({"image": PICTURE, "prompt": "x"}, "model"),
        ({"image": PICTURE, "model": IMAGE}, "prompt"),
        ({"image": PICTURE, "model": IMAGE, "prompt": "x", "n": "٣"}, "n"),
        ({"image": PICTURE, "model": IMAGE, "prompt": "x", "n": "1_0"}, "n"),
        ({"image": PICTURE, "model": IMAGE, "prompt": "x", "n": "9" * 5000}, "n"),
        ({"image": PICTURE, "model": IMAGE, "prompt": "x", "n": "11"}, "n"),
        ({"image": PICTURE, "model": IMAGE, "prompt": "x", "size": "١٠٢٤x١٠٢٤"}, "size"),
    ],
)
def test_mistakes_in_forms_are_named(customer: Customer, parts: dict[str, Any], param: str) -> None:
    sent, headers = form(parts)
    answer = customer.call("POST", "/v1/images/edits", sent, **headers)
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)


def test_a_form_at_a_json_endpoint_and_the_other_way(customer: Customer) -> None:
    sent, headers = form({"model": IMAGE, "prompt": "x"})
    for answer in (customer.call("POST", PATH, sent, **headers), customer.call("POST", "/v1/images/edits", body())):
        assert (answer.status_code, error_of(answer)["code"]) == (400, "unsupported_content_type")


@pytest.mark.parametrize(
    "cut", [b"--test-boundary\r\n", b"", b"--test-boundary\r\nContent-Disposition: form-data\r\n\r\nx"]
)
def test_a_broken_form_is_refused(customer: Customer, cut: bytes) -> None:
    answer = customer.call("POST", "/v1/images/edits", cut, **form({})[1])
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid_form")


def test_who_leaves_while_an_image_is_made_pays_for_that_one(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"chunk_delay_s": 30})
    asking = body(stream=True, partial_images=2, n=3)
    headers = {"Authorization": f"Bearer {customer.key}"}
    url = customer.gateway.base_url + PATH
    with httpx.stream("POST", url, json=asking, headers=headers, timeout=30, verify=False) as answer:
        assert "partial_image" in next(answer.iter_text())
    eventually(lambda: paid(customer), "the charge", 20)
    assert paid(customer) == [IMAGE_NANO]
    assert eventually(lambda: upstream.journal("first")[-1]["closed_early"], "the provider's connection closes", 20)


def test_imagen_is_asked_in_its_own_form(upstream: FakeUpstream, customer: Customer) -> None:
    told = customer.call("POST", PATH, body(IMAGEN, n=2, size="1920x1080")).json()
    assert len(told["data"]) == 2 and told["data"][0]["b64_json"]
    sent = upstream.journal("google-ai-studio")[-1]
    assert sent["path"] == "/p/google-ai-studio/v1beta/models/imagen-9:predict"
    assert sent["body"] == {
        "instances": [{"prompt": "a cat"}], "parameters": {"sampleCount": 2, "aspectRatio": "16:9"},
    }  # fmt: skip
    assert paid(customer) == [2 * IMAGE_NANO]


@pytest.mark.parametrize(
    "asked_for",
    [{"quality": "hd"}, {"size": "1024x1000"}, {"n": 5}, {"response_format": "url"}, {"stream": True}],
)
def test_what_imagen_cannot_do_goes_to_the_next(
    upstream: FakeUpstream, customer: Customer, asked_for: dict[str, Any]
) -> None:
    assert customer.call("POST", PATH, body(IMAGEN, **asked_for)).status_code == 200
    assert asked(upstream) == ["first"]
    pinned = customer.call("POST", PATH, body(IMAGEN, provider="google-ai-studio", **asked_for))
    assert (pinned.status_code, error_of(pinned)["param"]) == (400, next(iter(asked_for)))


def test_images_that_were_all_filtered_are_no_answer(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("google-ai-studio", {"empty": True})
    assert customer.call("POST", PATH, body(IMAGEN)).status_code == 200
    assert asked(upstream) == ["google-ai-studio", "first"]


@pytest.mark.parametrize(
    ("wanted", "there", "not_there"),
    [
        ("image", {IMAGE, IMAGEN}, {SPEECH, EMBED}),
        ("speech,transcription", {SPEECH, WHISPER}, {IMAGE}),
        ("Embeddings, rerank", {EMBED, RERANK}, {MODERATE, SPEECH}),
        ("text", set(), {IMAGE, SPEECH, WHISPER, EMBED, RERANK, MODERATE}),
        ("all", {IMAGE, EMBED}, set()),
        ("", {IMAGE, EMBED}, set()),
    ],
)
def test_openrouters_list_holds_those_that_make_what_is_wanted(
    gateway: LiveGateway, wanted: str, there: set[str], not_there: set[str]
) -> None:
    path = f"/api/v1/models{{}}?output_modalities={quote(wanted)}"
    found = {row["id"] for row in gateway.call("GET", path.format("")).json()["data"]}
    assert there <= found and not found & not_there
    assert gateway.call("GET", path.format("/count")).json()["data"]["count"] == len(found)


def test_a_kind_of_answer_that_is_none_is_named(gateway: LiveGateway) -> None:
    for page in ("", "/count"):
        answer = gateway.call("GET", f"/api/v1/models{page}?output_modalities=image,smell")
        assert answer.status_code == 400 and "smell" in answer.json()["error"]["message"]
