"""Google's embedContent and batchEmbedContents: every embedding model, charged by the token, refused in Google's words."""

import warnings
from typing import Any

import pytest

from tests.acceptance import media_house
from tests.acceptance.media_house import COHERE, EMBED, EMBED_PER_MTOK, GEMINI, MIXED, VOYAGE, paid
from tests.acceptance.spine import only_record
from tests.fakes.handle import FakeUpstream
from tests.live import Customer

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the SDK's own modules, while they are imported
    from google import genai
    from google.genai import errors, types


@pytest.fixture(scope="module")
def upstream() -> FakeUpstream:
    """The fake providers of the house."""
    return media_house.shared().upstream


@pytest.fixture
def customer() -> Customer:
    """An account that can pay."""
    return media_house.shared().gateway.customer(5)


def content(text: str) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text}], "role": "user"}}


def ask(customer: Customer, method: str, body: dict[str, Any], model: str = EMBED) -> Any:
    return customer.call("POST", f"/v1beta/models/{model}:{method}", body)


@pytest.mark.ac("AC-9.1.6")
@pytest.mark.parametrize("model", [EMBED, COHERE, GEMINI, VOYAGE])
def test_googles_sdk_gets_vectors_of_every_provider(upstream: FakeUpstream, customer: Customer, model: str) -> None:
    client = genai.Client(api_key=customer.key, http_options=types.HttpOptions(base_url=customer.gateway.base_url))
    found = client.models.embed_content(
        model=model, contents=["one", "two"],
        config=types.EmbedContentConfig(task_type="RETRIEVAL_DOCUMENT", output_dimensionality=8),
    )  # fmt: skip
    client.close()
    vectors = [each.values for each in found.embeddings or []]
    assert len(vectors) == 2 and sorted(vectors[0] or []) in ([-0.5, 0.25], [-0.25, 0.5])
    assert len(paid(customer)) == 1 and paid(customer)[0] > 0


def test_what_the_provider_counted_is_charged_and_told(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"usage": {"prompt": 1234}})
    answer = ask(customer, "embedContent", {**content("one"), "output_dimensionality": 8})
    assert answer.status_code == 200, answer.text
    cost = 1234 * EMBED_PER_MTOK // 10**6
    told = answer.json()
    assert told["embedding"] == {"values": [0.5, -0.25]}
    assert told["usageMetadata"]["promptTokenCount"] == 1234 and round(told["usageMetadata"]["cost"] * 10**9) == cost
    assert paid(customer) == [cost]
    assert upstream.journal()[-1]["body"]["dimensions"] == 8
    assert only_record(customer)["endpoint"] == "/v1beta/models/{model}:embedContent"


def test_another_provider_serves_where_the_first_fails(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("cohere", {"status": 500})
    answer = ask(customer, "batchEmbedContents", {"requests": [content("one"), content("two")]}, MIXED)
    assert len(answer.json()["embeddings"]) == 2
    assert only_record(customer)["provider"] == "first"


@pytest.mark.parametrize(
    ("method", "body", "param"),
    [
        ("embedContent", {}, "content"),
        ("embedContent", {"content": "one"}, "content"),
        ("embedContent", {"content": {"parts": [{"inlineData": {}}]}}, "content.parts[0]"),
        ("embedContent", {"content": {"parts": []}}, "content"),
        ("embedContent", {**content("one"), "title": "t"}, "title"),
        ("embedContent", {**content("one"), "autoTruncate": True}, "autoTruncate"),
        ("embedContent", {**content("one"), "model": "models/other"}, "model"),
        ("batchEmbedContents", {}, "requests"),
        ("batchEmbedContents", {"requests": []}, "requests"),
        ("batchEmbedContents", {"requests": [content("a"), 1]}, "requests[1]"),
        ("batchEmbedContents", {"requests": [{**content("a"), "outputDimensionality": 0}]}, "requests[0].outputDimensionality"),
        ("batchEmbedContents", {"requests": [content("a"), {**content("b"), "taskType": "CLUSTERING"}]}, "requests[1]"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_named_and_costs_nothing(
    customer: Customer, method: str, body: dict[str, Any], param: str
) -> None:
    answer = ask(customer, method, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"], error["param"]) == (400, "INVALID_ARGUMENT", param), answer.text
    assert paid(customer) == []


def test_strangers_and_chat_models_are_refused_in_googles_words(customer: Customer) -> None:
    gateway = customer.gateway
    stranger = gateway.call("POST", f"/v1beta/models/{EMBED}:embedContent", content("one"))
    assert (stranger.status_code, stranger.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    client = genai.Client(api_key=customer.key, http_options=types.HttpOptions(base_url=gateway.base_url))
    with pytest.raises(errors.ClientError):
        client.models.embed_content(model="acme/nobody", contents="one")
    listed = {each.name: each.supported_actions for each in client.models.list()}
    client.close()
    assert listed[f"models/{EMBED}"] == ["embedContent", "batchEmbedContents"]
