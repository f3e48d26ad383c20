"""POST /v1/rerank, /v2/rerank and /v1/moderations."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance import media_house
from tests.acceptance.media_house import MODERATE, QWEN_RERANK, RERANK, RERANK_MIXED, RERANK_TOKENS, SEARCH_NANO, paid
from tests.acceptance.spine import asked, error_of, ledger, log_lines, only_record, openai_client
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway


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


def query(model: str = RERANK, **more: Any) -> dict[str, Any]:
    return {"model": model, "query": "what is ruby", "documents": ["Paris", {"text": "Ruby"}], **more}


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_documents_come_back_in_order_and_a_search_is_charged(
    upstream: FakeUpstream, customer: Customer, path: str
) -> None:
    answer = customer.call("POST", path, query(top_n=2))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert [each["index"] for each in told["results"]] == [1, 0]
    assert told["meta"]["billed_units"] == {"search_units": 1}
    assert (told["model"], told["object"]) == (RERANK, "list")
    sent = upstream.journal("cohere")[-1]
    assert sent["path"] == "/p/cohere/v2/rerank"
    # Cohere takes texts only.
    assert sent["body"] == {
        "model": "native-cohere", "query": "what is ruby", "documents": ["Paris", "Ruby"], "top_n": 2,
    }  # fmt: skip
    assert paid(customer) == [SEARCH_NANO]
    assert only_record(customer)["endpoint"] == "/v1/rerank"


def test_the_searches_that_the_provider_bills_are_charged(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("cohere", {"usage": {"searches": 3}})
    assert customer.call("POST", "/v1/rerank", query(documents=["word " * 3000] * 150)).status_code == 200
    assert paid(customer) == [3 * SEARCH_NANO]


def test_documents_are_returned_where_they_were_asked_for(upstream: FakeUpstream, customer: Customer) -> None:
    told = customer.call("POST", "/v1/rerank", query(return_documents=True)).json()
    assert [each["document"] for each in told["results"]] == [{"text": "Ruby"}, {"text": "Paris"}]
    assert "return_documents" not in upstream.journal("cohere")[-1]["body"]
    told = customer.call("POST", "/v1/rerank", query(return_documents=False)).json()
    assert not any("document" in each for each in told["results"])


def test_dashscope_is_asked_in_its_own_words(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("alibaba-cloud", {"usage": {"prompt": 3000}})
    told = customer.call(
        "POST", "/v2/rerank", query(QWEN_RERANK, top_n=1, return_documents=True, instruct="Rank.")
    ).json()
    assert told["results"] == [{"index": 1, "relevance_score": 0.8, "document": {"text": "Ruby"}}]
    assert told["usage"]["total_tokens"] == 3000
    sent = upstream.journal("alibaba-cloud")[-1]
    assert sent["path"] == "/p/alibaba-cloud/api/v1/services/rerank/text-rerank/text-rerank"
    assert sent["body"] == {
        "model": "native-alibaba-cloud",
        "input": {"query": "what is ruby", "documents": ["Paris", "Ruby"]},
        "parameters": {"instruct": "Rank.", "top_n": 1, "return_documents": True},
    }
    assert sent["headers"]["authorization"] == "Bearer sk-alibaba-cloud"
    assert paid(customer) == [3000 * 100_000_000 // 10**6]


def test_jinas_form_is_charged_by_the_token(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"usage": {"prompt": 2000}})
    told = customer.call("POST", "/v1/rerank", query(RERANK_TOKENS, max_chunks=1)).json()
    assert (told["usage"]["total_tokens"], len(told["results"])) == (2000, 2)
    sent = upstream.journal("first")[-1]
    assert sent["path"] == "/p/first/v1/rerank"
    assert (sent["body"]["documents"], sent["body"]["max_chunks"]) == (["Paris", {"text": "Ruby"}], 1)
    assert paid(customer) == [2000 * 50_000_000 // 10**6]


def test_a_failover_changes_from_one_form_to_another(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("cohere", {"status": 500})
    told = customer.call("POST", "/v1/rerank", query(RERANK_MIXED, top_n=1)).json()
    assert asked(upstream) == ["cohere", "voyage"]
    sent = upstream.journal("voyage")[-1]["body"]
    assert (sent["top_k"], "top_n" in sent) == (1, False)
    assert [each["index"] for each in told["results"]] == [1] or len(told["results"]) == 2
    # Voyage tells tokens only; the search is counted here.
    assert paid(customer) == [SEARCH_NANO]


def test_a_failure_of_everybody_costs_nothing(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("cohere", {"status": 500})
    assert customer.call("POST", "/v1/rerank", query()).status_code == 502
    assert {kind for kind, _ in ledger(customer)} == {"hold", "refund"}


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"query": ""}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": [1]}, "documents[0]"),
        ({"top_n": 0}, "top_n"),
    ],
)
def test_mistakes_are_named(customer: Customer, changed: dict[str, Any], param: str) -> None:
    answer = customer.call("POST", "/v1/rerank", query() | changed)
    assert (answer.status_code, error_of(answer)["param"]) == (400, param)


def test_who_cannot_pay_is_told_before_any_call(upstream: FakeUpstream, gateway: LiveGateway) -> None:
    assert gateway.customer("0.0001").call("POST", "/v1/rerank", query()).status_code == 402
    assert not upstream.journal()


@pytest.mark.ac("AC-9.1.6")
@pytest.mark.parametrize(
    "given",
    [
        "a text",
        ["a", "b"],
        [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
    ],
)
def test_moderations_of_texts_and_images(upstream: FakeUpstream, customer: Customer, given: Any) -> None:
    answer = openai_client(customer).moderations.create(model=MODERATE, input=given)
    assert answer.results[0].flagged
    assert answer.model == MODERATE
    assert upstream.journal("first")[-1]["body"] == {"model": "native-first", "input": given}
    # No provider of moderations tells its tokens.
    assert only_record(customer)["usage_estimated"]
    assert paid(customer)[0] > 0


def test_a_moderation_fails_over(upstream: FakeUpstream, customer: Customer) -> None:
    upstream.script("first", {"empty": True})
    assert customer.call("POST", "/v1/moderations", {"model": MODERATE, "input": "x"}).status_code == 200
    assert asked(upstream) == ["first", "second"]


def test_the_default_moderation_model_is_openais(customer: Customer) -> None:
    answer = customer.call("POST", "/v1/moderations", {"input": "x"})
    assert answer.status_code == 503
    assert "omni-moderation-latest" in error_of(answer)["message"]


def test_what_a_provider_does_not_know_is_left_out_and_named_or_refused(
    upstream: FakeUpstream, customer: Customer, gateway: LiveGateway
) -> None:
    assert customer.call("POST", "/v1/rerank", query(max_tokens_per_doc=99, overlap=3)).status_code == 200
    sent = upstream.journal("cohere")[-1]["body"]
    assert (sent["max_tokens_per_doc"], "overlap" in sent) == (99, False)
    assert any(line["names"] == ["overlap"] for line in log_lines(gateway, "parameters_dropped"))
    refused = customer.call("POST", "/v1/rerank", query(rank_fields=["title"]))
    assert (refused.status_code, error_of(refused)["param"]) == (400, "rank_fields")
