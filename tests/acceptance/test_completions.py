"""Legacy completions: chat models of every dialect answer them, and what cannot be expressed is refused by name."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.spine import model_toml, provider_toml
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

MODELS = {"acme/chat": "first", "acme/messages": "ant", "acme/gem": "gem"}
EACH = pytest.mark.parametrize("model", MODELS)
BOTH = pytest.mark.parametrize("stream", [False, True])
NATIVE = {
    "first": {"stop": "stop", "length": "length"},
    "ant": {"stop": "end_turn", "length": "max_tokens"},
    "gem": {"stop": "STOP", "length": "MAX_TOKENS"},
}


def house(upstream: FakeUpstream) -> str:
    """One provider of each dialect, one model at each."""
    dialects = {"first": "openai", "ant": "anthropic", "gem": "gemini"}
    return (
        spine.settings_toml()
        + "".join(provider_toml(upstream, slug, dialect) for slug, dialect in dialects.items())
        + "".join(model_toml(model, [slug]) for model, slug in MODELS.items())
        + model_toml(spine.FREE, ["first"], price=(0, 0))
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The fake providers."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """The house of these tests."""
    with LiveGateway(tmp_path_factory.mktemp("completions"), house(upstream)) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """An account that can pay."""
    return gateway.customer(50)


def prompt_at(upstream: FakeUpstream, persona: str) -> Any:
    """What the user said in the last body that a persona was sent, and how often somebody spoke."""
    body = upstream.journal(persona)[-1]["body"]
    if persona == "gem":
        (content,) = body["contents"]
        return content["role"], content["parts"][0]["text"]
    (message,) = body["messages"]
    return message["role"], message["content"]


@EACH
def test_the_openai_sdk_completes(gateway: LiveGateway, upstream: FakeUpstream, model: str) -> None:
    customer = gateway.customer(1)
    upstream.script(MODELS[model], {"text": "a time ü", "finish": NATIVE[MODELS[model]]["length"]})
    said = spine.openai_client(customer).completions.create(
        model=model, prompt="Once upon", max_tokens=7, temperature=0.5, stop=["END"]
    )
    assert (said.object, said.model, said.choices[0].text) == ("text_completion", model, "a time ü")
    assert (said.choices[0].finish_reason, said.choices[0].index, said.choices[0].logprobs) == ("length", 0, None)
    assert said.id and said.created and said.usage is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (10, 5, 15)
    assert prompt_at(upstream, MODELS[model]) == ("user", "Once upon")
    assert spine.ledger(customer) == [("api_usage", pytest.approx(-(10 * 2 + 5 * 8) / 1e6))]
    assert spine.only_record(customer)["endpoint"] == "/v1/completions"


@EACH
def test_the_openai_sdk_streams(customer: Customer, upstream: FakeUpstream, model: str) -> None:
    upstream.script(MODELS[model], {"thinking": "hm", "text": "a time, 你好", "split": 3})
    chunks = list(
        spine.openai_client(customer).completions.create(
            model=model, prompt=["Once upon"], stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "a time, 你好"
    assert {chunk.object for chunk in chunks} == {"text_completion"} and {chunk.model for chunk in chunks} == {model}
    assert len({chunk.id for chunk in chunks}) == 1
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 15


@EACH
def test_a_stream_ends_with_its_terminator_also_after_trouble(
    customer: Customer, upstream: FakeUpstream, model: str
) -> None:
    body = {"model": model, "prompt": "Once", "stream": True}
    fine = customer.call("POST", "/v1/completions", body)
    assert spine.events(fine.text)[-1].data == "[DONE]"
    assert all("usage" not in each.data for each in spine.events(fine.text)[:-1])
    upstream.script(MODELS[model], {"text": "One two three four.", "error_after": 2})
    broken = customer.call("POST", "/v1/completions", body)
    assert spine.error_of(broken)["code"] == "provider_error"
    assert spine.events(broken.text)[-1].data == "[DONE]"


def test_parameters_reach_the_provider(customer: Customer, upstream: FakeUpstream) -> None:
    body = {
        "model": "acme/chat", "prompt": "Once", "max_tokens": 9, "n": 2, "best_of": 2, "echo": False, "suffix": "",
        "logprobs": None, "seed": 3, "stop": "END", "user": "u", "top_p": 0.5, "presence_penalty": 1, "some_new": {"a": 1},
    }  # fmt: skip
    answer = customer.call("POST", "/completions", body)
    assert [choice["index"] for choice in answer.json()["choices"]] == [0, 1]
    sent = upstream.journal("first")[-1]["body"]
    assert sent["messages"] == [{"role": "user", "content": "Once"}]
    assert {name: sent[name] for name in ("max_tokens", "n", "seed", "stop", "user", "top_p", "some_new")} == {
        "max_tokens": 9, "n": 2, "seed": 3, "stop": ["END"], "user": "u", "top_p": 0.5, "some_new": {"a": 1},
    }  # fmt: skip
    assert not {"prompt", "best_of", "echo", "suffix", "logprobs"} & sent.keys()


@BOTH
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"echo": True}, "echo"),
        ({"suffix": "the end"}, "suffix"),
        ({"logprobs": 0}, "logprobs"),
        ({"logprobs": 3}, "logprobs"),
        ({"best_of": 3}, "best_of"),
        ({"n": 2, "best_of": 1}, "best_of"),
        ({"messages": [{"role": "user", "content": "x"}]}, "messages"),
        ({"tools": []}, "tools"),
        ({"temperature": 9}, "temperature"),
        ({"model": None}, "model"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(
    customer: Customer, upstream: FakeUpstream, fields: dict[str, Any], param: str, stream: bool
) -> None:
    answer = customer.call(
        "POST", "/v1/completions", {"model": "acme/chat", "prompt": "Once", "stream": stream, **fields}
    )
    error = spine.error_of(answer)
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert upstream.journal() == []


def test_errors_and_methods(gateway: LiveGateway, customer: Customer) -> None:
    unknown = customer.call("POST", "/v1/completions", {"model": "no/such", "prompt": "x"})
    assert (unknown.status_code, spine.error_of(unknown)["code"]) == (404, "model_not_found")
    stranger = gateway.call("POST", "/v1/completions", {"model": "acme/chat", "prompt": "x"})
    assert (stranger.status_code, spine.error_of(stranger)["code"]) == (401, "missing_api_key")
    free = gateway.call("POST", "/v1/completions", {"model": spine.FREE, "prompt": "x", "max_tokens": 10**6})
    assert free.json()["choices"][0]["text"] == "Hello from first"
    assert gateway.call("GET", "/v1/completions").status_code == 405
    assert "/v1/completions" in gateway.call("GET", "/openapi.json").json()["paths"]


def test_a_repeated_request_id_gives_the_first_answer(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    customer = gateway.customer(1)
    body = {"model": "acme/chat", "prompt": "Once"}
    first, again = (customer.call("POST", "/v1/completions", body, **{"X-Request-ID": "once-1"}) for _ in range(2))
    assert first.content == again.content and again.headers["x-idempotent-replay"] == "true"
    assert len(upstream.journal("first")) == 1 and len(spine.ledger(customer)) == 1
