"""`POST /v1/responses/compact`: a conversation is made shorter by the provider that can, and goes on from there."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.acceptance import spine
from tests.acceptance.spine import model_toml, provider_toml, settings_toml
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway, fresh_home

GPT, EITHER, LLAMA = "acme/gpt", "acme/either", "acme/llama"
TALK = [
    {"role": "user", "content": "Remember 7."},
    {"role": "assistant", "content": "I do."},
    {"role": "user", "content": "Good."},
]


@pytest.fixture(scope="module")
def house() -> Iterator[spine.Spine]:
    with FakeUpstream() as upstream:
        texts = [settings_toml(), provider_toml(upstream, "openai"), provider_toml(upstream, "xai")]
        texts += [provider_toml(upstream, "first", priority=1), model_toml(GPT, ("openai",))]
        texts += [model_toml(EITHER, ("first", "xai")), model_toml(LLAMA, ("first",))]
        with LiveGateway(fresh_home(), "".join(texts)) as gateway:
            yield spine.Spine(upstream, gateway)


@pytest.fixture
def upstream(house: spine.Spine) -> FakeUpstream:
    house.upstream.reset()
    return house.upstream


@pytest.fixture
def customer(house: spine.Spine, upstream: FakeUpstream) -> Customer:
    return house.gateway.customer(5)


@pytest.fixture
def client(customer: Customer) -> openai.OpenAI:
    return spine.openai_client(customer)


def test_the_official_client_compacts_and_goes_on(
    client: openai.OpenAI, customer: Customer, upstream: FakeUpstream
) -> None:
    talk: Any = TALK
    made = client.responses.compact(model=GPT, input=talk, instructions="Be brief.")
    assert made.object == "response.compaction" and made.id.startswith("resp_")
    assert [item.type for item in made.output] == ["message", "message", "compaction"]
    (asked,) = upstream.journal("openai")
    assert asked["path"].endswith("/v1/responses/compact")
    assert asked["body"] == {"model": "native-openai", "input": TALK, "instructions": "Be brief."}
    assert made.usage.input_tokens == 10 and made.usage.output_tokens == 5
    assert spine.ledger(customer) == [("api_usage", -0.00006)]

    items: Any = [item.model_dump(exclude_none=True, warnings=False) for item in made.output]
    answer = client.responses.create(model=GPT, input=[*items, {"role": "user", "content": "Which number?"}])
    assert answer.output_text == "Hello from openai"
    sent = upstream.journal("openai")[1]["body"]["input"]
    assert next(item for item in sent if item.get("type") == "compaction")["encrypted_content"] == "secret-of-openai"


def test_only_its_maker_is_given_a_compaction(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    talk: Any = TALK
    made = client.responses.compact(model=GPT, input=talk)
    items: Any = [item.model_dump(exclude_none=True, warnings=False) for item in made.output]
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=LLAMA, input=items)
    assert "secret-of-openai" not in str(upstream.journal("first"))


def test_a_kept_conversation_is_compacted_by_its_id(client: openai.OpenAI, upstream: FakeUpstream) -> None:
    first = client.responses.create(model=GPT, input="Remember 7.")
    made = client.responses.compact(model=GPT, previous_response_id=first.id)
    sent = upstream.journal("openai")[1]["body"]
    assert [item["role"] for item in sent["input"]] == ["user", "assistant"]
    assert "previous_response_id" not in sent and "store" not in sent
    with pytest.raises(openai.NotFoundError):  # a compaction is no response that could be continued
        client.responses.create(model=GPT, input="Go on.", previous_response_id=made.id)


def test_who_cannot_compact_is_passed_over_and_refused_by_name(customer: Customer, upstream: FakeUpstream) -> None:
    body = {"model": EITHER, "input": TALK}
    answer = customer.call("POST", "/v1/responses/compact", body, **{"X-Gatewayz-Explain": "1"})
    assert answer.status_code == 200, answer.text
    assert spine.asked(upstream) == ["xai"]
    excluded = answer.json()["gatewayz"]["plans"][0]["excluded"]
    assert [(each["provider"], each["reason"]) for each in excluded] == [("first", "service_not_offered")]
    answer = customer.call("POST", "/v1/responses/compact", {"model": LLAMA, "input": TALK})
    error = spine.error_of(answer)
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_by_model", "model")
    assert "/responses/compact" in error["message"]
    assert spine.asked(upstream) == ["xai"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"stream": True}, "stream"),
        ({"input": 7}, "input"),
        ({"input": None}, "input"),
        ({"model": f"{GPT}:online"}, "model"),
    ],
)
def test_mistakes_are_named(customer: Customer, upstream: FakeUpstream, more: dict[str, Any], param: str) -> None:
    answer = customer.call("POST", "/v1/responses/compact", {"model": GPT, "input": TALK, **more})
    assert (answer.status_code, spine.error_of(answer)["param"]) == (400, param)
    assert upstream.journal() == []


def test_what_clients_send_along_reaches_the_provider_but_for_what_it_does_not_know(
    customer: Customer, upstream: FakeUpstream
) -> None:
    along = {"reasoning": {"effort": "low"}, "parallel_tool_calls": True, "prompt_cache_key": "k"}
    body = {"model": GPT, "input": TALK, **along, "store": False, "stream": False, "max_output_tokens": 9}
    assert customer.call("POST", "/v1/responses/compact", body).status_code == 200
    sent = upstream.journal("openai")[0]["body"]
    assert sent == {"model": "native-openai", "input": TALK, **along}


def test_a_failure_costs_nothing(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("openai", {"status": 500}, {"empty": True})
    for _ in range(2):
        answer = customer.call("POST", "/v1/responses/compact", {"model": GPT, "input": TALK})
        assert answer.status_code == 502
    assert sum(amount for _, amount in spine.ledger(customer)) == pytest.approx(0)
