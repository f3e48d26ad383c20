"""POST /v1/embeddings: OpenAI's form for every provider, charged by the token, failing over and refunding as chats do."""

import base64
import struct
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.acceptance import media_house
from tests.acceptance.media_house import (
    COHERE,
    EMBED,
    EMBED_PER_MTOK,
    GEMINI,
    JINA,
    MIXED,
    QWEN_EMBED,
    TOKENS_ONLY,
    VOYAGE,
    paid,
)
from tests.acceptance.spine import asked, error_of, ledger, only_record, openai_client
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

PATH = "/v1/embeddings"


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


def body(model: str = EMBED, **more: Any) -> dict[str, Any]:
    return {"model": model, "input": ["one", "two"], **more}


@pytest.mark.ac("AC-9.1.6")
def test_the_official_client_gets_vectors_and_pays_what_was_reported(
    upstream: FakeUpstream, customer: Customer
) -> None:
    upstream.script("first", {"usage": {"prompt": 1234}})
    answer = openai_client(customer).embeddings.create(model=EMBED, input=["one", "two"])
    assert [each.embedding for each in answer.data] == [[0.5, -0.25]] * 2
    assert (answer.model, answer.usage.prompt_tokens) == (EMBED, 1234)
    assert paid(customer) == [1234 * EMBED_PER_MTOK // 10**6]
    sent = upstream.journal("first")[-1]
    assert sent["path"] == "/p/first/v1/embeddings"
    assert (sent["body"]["model"], sent["body"]["encoding_format"]) == ("native-first", "base64")
    record = only_record(customer)
    assert (record["endpoint"], record["status"], record["prompt_tokens"]) == (PATH, 200, 1234)


def test_unknown_members_reach_a_provider_of_the_same_form(upstream: FakeUpstream, customer: Customer) -> None:
    answer = customer.call("POST", PATH, body(dimensions=64, truncation="END", provider="second"))
    assert answer.status_code == 200
    sent = upstream.journal("second")[-1]["body"]
    assert sent == {"model": "native-second", "input": ["one", "two"], "dimensions": 64, "truncation": "END"}


def test_token_ids_travel_as_they_are(upstream: FakeUpstream, customer: Customer) -> None:
    assert customer.call("POST", PATH, {"model": EMBED, "input": [[1, 2, 3], [4]]}).status_code == 200
    assert upstream.journal("first")[-1]["body"]["input"] == [[1, 2, 3], [4]]


@pytest.mark.parametrize(
    ("model", "persona", "path", "sent"),
    [
        (
            COHERE, "cohere", "/v2/embed",
            {
                "model": "native-cohere", "texts": ["one", "two"], "input_type": "search_query",
                "embedding_types": ["float"], "output_dimension": 256,
            },
        ),
        (
            GEMINI, "google-ai-studio", "/v1beta/models/native-google-ai-studio:batchEmbedContents",
            {
                "requests": [
                    {
                        "model": "models/native-google-ai-studio", "outputDimensionality": 256,
                        "taskType": "RETRIEVAL_QUERY", "content": {"parts": [{"text": text}]},
                    }
                    for text in ("one", "two")
                ]
            },
        ),
        (
            QWEN_EMBED, "alibaba-cloud", "/api/v1/services/embeddings/text-embedding/text-embedding",
            {
                "model": "native-alibaba-cloud", "input": {"texts": ["one", "two"]},
                "parameters": {"output_type": "dense", "text_type": "query", "dimension": 256},
            },
        ),
        (
            VOYAGE, "voyage", "/v1/embeddings",
            {"model": "native-voyage", "input": ["one", "two"], "output_dimension": 256, "input_type": "query"},
        ),
        (
            JINA, "jina", "/v1/embeddings",
            {"model": "native-jina", "input": ["one", "two"], "dimensions": 256, "task": "retrieval.query"},
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["float", "base64"])
def test_other_forms_are_translated_both_ways(
    upstream: FakeUpstream, customer: Customer, model: str, persona: str, path: str, sent: Any, form: str
) -> None:
    asking = body(model, dimensions=256, input_type="search_query", encoding_format=form)
    answer = customer.call("POST", PATH, asking)
    assert answer.status_code == 200, answer.text
    entry = upstream.journal(persona)[-1]
    assert (entry["path"], entry["body"]) == (f"/p/{persona}{path}", sent)
    told = answer.json()
    vectors = [each["embedding"] for each in told["data"]]
    if form == "base64":
        vectors = [list(struct.unpack("<2f", base64.b64decode(each))) for each in vectors]
    assert vectors[0] in ([0.5, -0.25], [0.25, -0.5])
    assert (told["object"], told["model"], len(vectors)) == ("list", model, 2)
    assert told["usage"]["prompt_tokens"] == 10
    assert paid(customer)[0] > 0


def test_the_next_provider_answers_when_the_first_fails(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"status": 500})
    assert customer.call("POST", PATH, body()).status_code == 200
    assert asked(upstream) == ["first", "second"]
    assert ledger(customer) == [("api_usage", -10 * EMBED_PER_MTOK / 10**15)]


def test_a_failover_may_change_the_form(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("cohere", {"status": 503})
    assert customer.call("POST", PATH, body(MIXED)).status_code == 200
    assert asked(upstream) == ["cohere", "first"]


def test_what_one_form_cannot_say_goes_to_the_other(upstream: FakeUpstream, customer: Customer) -> None:
    assert customer.call("POST", PATH, {"model": MIXED, "input": [1, 2, 3]}).status_code == 200
    assert asked(upstream) == ["first"]


@pytest.mark.parametrize("trouble", [{"status": 500}, {"malformed": True}, {"empty": True}])
def test_a_failure_everywhere_is_refunded(upstream: FakeUpstream, customer: Customer, trouble: dict[str, Any]) -> None:
    for persona in ("first", "second"):
        upstream.script(persona, trouble)
    answer = customer.call("POST", PATH, body())
    assert answer.status_code == 502, answer.text
    assert {kind for kind, _ in ledger(customer)} == {"hold", "refund"}
    assert sum(amount for _, amount in ledger(customer)) == pytest.approx(0)


def test_nobody_is_asked_for_an_account_that_cannot_pay(upstream: FakeUpstream, gateway: LiveGateway) -> None:
    broke = gateway.customer("0.00001")
    answer = broke.call("POST", PATH, {"model": EMBED, "input": "word " * 2000})
    assert (answer.status_code, upstream.journal()) == (402, [])


def test_a_usage_that_nobody_reports_is_estimated_and_says_so(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"usage": None})
    answer = customer.call("POST", PATH, {"model": EMBED, "input": "a" * 4000})
    assert answer.json()["usage"]["prompt_tokens"] == 1000
    assert paid(customer) == [1000 * EMBED_PER_MTOK // 10**6]


def test_a_repetition_gets_the_first_answer_without_a_second_charge(upstream: FakeUpstream, customer: Customer) -> None:
    first, again = (customer.call("POST", PATH, body(), **{"X-Request-ID": "the-same"}) for _ in range(2))
    assert again.content == first.content
    assert again.headers["x-idempotent-replay"] == "true"
    assert (len(paid(customer)), len(upstream.journal())) == (1, 1)


def test_a_provider_is_not_asked_for_services_that_it_was_not_given(upstream: FakeUpstream, customer: Customer) -> None:
    assert customer.call("POST", PATH, body(TOKENS_ONLY)).status_code == 200
    listed = {entry["id"]: entry["kind"] for entry in customer.call("GET", "/v1/models").json()["data"]}
    assert listed[TOKENS_ONLY] == "embedding"


@pytest.mark.parametrize(
    ("changed", "code", "param"),
    [
        ({"input": None}, "missing_field", "input"),
        ({"input": []}, "missing_field", "input"),
        ({"input": ["a", ""]}, "missing_field", "input[1]"),
        ({"input": [{"a": 1}]}, "invalid_type", "input[0]"),
        ({"encoding_format": "int8"}, "invalid_value", "encoding_format"),
        ({"dimensions": 0}, "parameter_out_of_range", "dimensions"),
        ({"model": "acme/whisper"}, "model_kind_not_served", "model"),
    ],
)
def test_mistakes_are_named(
    upstream: FakeUpstream, customer: Customer, changed: dict[str, Any], code: str, param: str
) -> None:
    answer = customer.call("POST", PATH, body() | changed)
    assert answer.status_code == 400
    assert (error_of(answer)["code"], error_of(answer)["param"]) == (code, param)
    assert not upstream.journal()


def test_strangers_need_a_key(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    answer = gateway.call("POST", PATH, body())
    assert (answer.status_code, error_of(answer)["code"]) == (401, "missing_api_key")
    assert not upstream.journal()


@pytest.mark.ac("AC-9.1.6")
def test_errors_are_those_of_the_official_client(customer: Customer) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        openai_client(customer).embeddings.create(model="acme/nothing", input="x")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        openai_client(customer).embeddings.create(model=EMBED, input=[])


def test_a_body_of_megabytes_is_served(upstream: FakeUpstream, customer: Customer) -> None:
    texts = ["words and more words " * 20] * 2000
    answer = customer.call("POST", PATH, {"model": EMBED, "input": texts, "encoding_format": "float"})
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == len(texts)


def test_a_vector_too_few_is_no_answer(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("cohere", {"body": '{"embeddings":{"float":[[0.5]]}}'})
    assert customer.call("POST", PATH, body(MIXED)).status_code == 200
    assert asked(upstream) == ["cohere", "first"]


def test_what_is_set_aside_covers_dense_text_and_is_exact_for_token_ids(
    upstream: FakeUpstream, gateway: LiveGateway
) -> None:
    tokens = 2_000
    exact = gateway.customer(f"{tokens * EMBED_PER_MTOK / 10**15:.9f}")
    asking = {"model": EMBED, "input": "word" * tokens}
    assert exact.call("POST", PATH, asking).status_code == 402
    assert exact.call("POST", PATH, {"model": EMBED, "input": [7] * tokens}).status_code == 200
