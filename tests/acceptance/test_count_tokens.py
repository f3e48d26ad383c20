"""How many tokens has a Messages request? Asked of a provider that counts, else estimated and marked so; never charged."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.test_completions import house
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

COUNT = "/v1/messages/count_tokens"
HI = [{"role": "user", "content": "Hello, how are you today?"}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The fake providers."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """One provider of each dialect."""
    with LiveGateway(tmp_path_factory.mktemp("count"), house(upstream)) as live:
        yield live


@pytest.fixture
def customer(gateway: LiveGateway) -> Customer:
    """A fresh account that can pay."""
    return gateway.customer(1)


def assert_free(customer: Customer, balance: Any) -> None:
    assert customer.balance() == balance and spine.ledger(customer) == []
    assert customer.call("GET", "/user/activity/log").json()["data"] == []


def test_an_anthropic_provider_counts(customer: Customer, upstream: FakeUpstream) -> None:
    balance = customer.balance()
    tools = [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]
    counted = spine.anthropic_client(customer).messages.count_tokens(
        model="acme/messages", messages=HI, system="Be brief.", tools=tools, extra_headers={"anthropic-beta": "b-1"}
    )
    (entry,) = upstream.journal("ant")
    assert entry["path"] == "/p/ant/v1/messages/count_tokens"
    assert entry["body"] == {"model": "native-ant", "messages": HI, "system": "Be brief.", "tools": tools}
    assert (entry["headers"]["x-api-key"], entry["headers"]["anthropic-beta"]) == ("sk-ant", "b-1")
    assert counted.model_dump() == {"input_tokens": counted.input_tokens} and counted.input_tokens > 10
    assert_free(customer, balance)


def test_what_only_an_answer_needs_is_not_sent_along(customer: Customer, upstream: FakeUpstream) -> None:
    body = {
        "model": "acme/messages", "messages": HI, "max_tokens": 5, "stream": True, "temperature": 1, "metadata": {},
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "provider": "ant", "unheard_of": 1,
    }  # fmt: skip
    assert customer.call("POST", "/v1/v1/messages/count_tokens", body).status_code == 200
    sent = upstream.journal("ant")[-1]["body"]
    assert sent.keys() == {"model", "messages", "thinking", "unheard_of"}


@pytest.mark.parametrize("model", ["acme/chat", "acme/gem"])
def test_others_are_estimated_and_say_so(customer: Customer, upstream: FakeUpstream, model: str) -> None:
    balance = customer.balance()
    answer = customer.call("POST", COUNT, {"model": model, "messages": HI})
    assert answer.status_code == 200 and answer.headers["x-gatewayz-cost-usd"] == "0"
    short = answer.json()
    assert short.keys() == {"input_tokens", "estimated"} and short["estimated"] is True
    longer = customer.call("POST", COUNT, {"model": model, "messages": HI, "system": "word " * 400}).json()
    assert 300 < longer["input_tokens"] - short["input_tokens"] < 700
    assert upstream.journal() == []
    assert_free(customer, balance)


@pytest.mark.parametrize("trouble", [{"status": 500}, {"status": 404}, {"status": 0}, {"hang": "headers"}])
def test_a_counter_that_fails_is_done_without(
    customer: Customer, upstream: FakeUpstream, trouble: dict[str, Any]
) -> None:
    upstream.script("ant", default=trouble)
    answer = customer.call("POST", COUNT, {"model": "acme/messages", "messages": HI})
    assert (answer.status_code, answer.json()["estimated"]) == (200, True)
    assert upstream.journal("ant")


@pytest.mark.parametrize("path", [COUNT, "/v1/v1/messages/count_tokens"])
def test_a_key_and_a_valid_request_are_needed(gateway: LiveGateway, customer: Customer, path: str) -> None:
    body = {"model": spine.FREE, "messages": HI}
    stranger = gateway.call("POST", path, body)
    assert (stranger.status_code, stranger.json()["type"]) == (401, "error")
    assert stranger.json()["error"]["type"] == "authentication_error"
    for wrong, param in (({"model": "acme/chat"}, "messages"), ({"messages": HI}, "model")):
        refused = customer.call("POST", path, wrong)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
        assert refused.headers["request-id"]
    unknown = customer.call("POST", path, {**body, "model": "no/such"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert gateway.call("GET", path).status_code == 405


def test_an_account_without_money_may_count(gateway: LiveGateway) -> None:
    poor = gateway.customer(0)
    assert poor.call("POST", COUNT, {"model": "acme/messages", "messages": HI}).status_code == 200


def test_a_key_for_other_models_may_not(gateway: LiveGateway) -> None:
    bound = gateway.customer(1, model_allowlist=["acme/chat"])
    refused = bound.call("POST", COUNT, {"model": "acme/messages", "messages": HI})
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
