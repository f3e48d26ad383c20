"""From a name to a provider's own model (2.1), seen in what the provider receives; and the list of models (5.2)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.access_helpers import CHAT, MESSAGES, error_of
from tests.acceptance.conftest import SETTINGS
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

SLUGS = (
    "openai", "anthropic", "google-vertex", "google-ai-studio", "openrouter", "fireworks", "deepseek", "xai", "mistral",
    "cerebras",
)  # fmt: skip


def config_with(upstream: FakeUpstream, slugs: tuple[str, ...]) -> str:
    """Known providers at the fake upstream; models and prices are those that ship with the product."""
    entry = '[[providers]]\nslug = "{}"\nbase_url = "{}"\ndialect = "{}"\napi_key = "sk-{}"\n'
    return SETTINGS + "".join(
        entry.format(slug, upstream.base_url(slug), "anthropic" if slug == "anthropic" else "openai", slug)
        for slug in slugs
    )


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A live gateway with the shipped catalog and ten providers."""
    with LiveGateway(tmp_path_factory.mktemp("catalog"), config_with(upstream, SLUGS)) as live:
        yield live


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    return gateway.customer(100)


def asked(upstream: FakeUpstream, answer: Any) -> tuple[str, str, str]:
    """(model as the answer names it, provider, the provider's own id of the model) of one request that succeeded."""
    assert answer.status_code == 200, answer.text
    (entry,) = upstream.journal()
    assert entry["body"]["model"] == entry["model"]
    return answer.json()["model"], entry["persona"], entry["model"]


@pytest.mark.parametrize(
    ("typed", "model", "provider", "native"),
    [
        pytest.param("gpt-4o", "openai/gpt-4o", "openai", "gpt-4o", marks=pytest.mark.ac("AC-2.1.1")),
        pytest.param("  GPT-4o ", "openai/gpt-4o", "openai", "gpt-4o", marks=pytest.mark.ac("AC-2.1.1")),
        pytest.param(
            "r1", "deepseek/deepseek-r1", "openrouter", "deepseek/deepseek-r1", marks=pytest.mark.ac("AC-2.1.2")
        ),
        pytest.param("openai/gpt-4o", "openai/gpt-4o", "openai", "gpt-4o", marks=pytest.mark.ac("AC-2.1.3")),
        pytest.param("OpenAI/GPT-4o", "openai/gpt-4o", "openai", "gpt-4o", marks=pytest.mark.ac("AC-2.1.3")),
        pytest.param(
            "google/gemini-2.5-pro",
            "google/gemini-2.5-pro",
            "google-vertex",
            "gemini-2.5-pro",
            marks=pytest.mark.ac("AC-2.1.4"),
        ),
        pytest.param(
            "gemini-2.5-flash",
            "google/gemini-2.5-flash",
            "google-vertex",
            "gemini-2.5-flash",
            marks=pytest.mark.ac("AC-2.1.4"),
        ),
        pytest.param(
            "fireworks/deepseek-v3.2",
            "deepseek/deepseek-v3.2",
            "fireworks",
            "accounts/fireworks/models/deepseek-v3p2",
            marks=pytest.mark.ac("AC-2.1.6"),
        ),
        pytest.param(
            "accounts/fireworks/models/deepseek-v3p2",
            "deepseek/deepseek-v3.2",
            "fireworks",
            "accounts/fireworks/models/deepseek-v3p2",
            marks=pytest.mark.ac("AC-2.1.6"),
        ),
        ("mistralai/mistral-large", "mistralai/mistral-large", "openrouter", "mistralai/mistral-large"),
        ("openrouter/deepseek-chat", "deepseek/deepseek-chat", "openrouter", "deepseek/deepseek-chat-v3-0324"),
        ("openrouter/deepseek-chat-v3", "deepseek/deepseek-chat", "openrouter", "deepseek/deepseek-chat-v3-0324"),
        (
            "openrouter/deepseek-chat-v3.1",
            "deepseek/deepseek-chat-v3.1",
            "openrouter",
            "deepseek/deepseek-chat-v3-0324",
        ),
        ("grok-2", "x-ai/grok-3", "xai", "grok-3"),
        ("grok-2-1212", "x-ai/grok-3", "xai", "grok-3"),
        ("xai/grok-2", "x-ai/grok-3", "xai", "grok-3"),
        ("x-ai/grok-2", "x-ai/grok-3", "xai", "grok-3"),
        ("x-ai/grok-2-1212", "x-ai/grok-3", "xai", "grok-3"),
        ("xai/grok-2-1212", "x-ai/grok-3", "xai", "grok-3"),
        ("openai/gpt-4o:fast", "openai/gpt-4o", "openai", "gpt-4o"),
    ],
)
def test_a_name_leads_to_the_providers_own_id(
    customer: Customer, upstream: FakeUpstream, typed: str, model: str, provider: str, native: str
) -> None:
    assert asked(upstream, customer.chat(typed, max_tokens=5)) == (model, provider, native)
    upstream.reset()
    body = {"model": typed, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    assert asked(upstream, customer.call("POST", MESSAGES, body)) == (model, provider, native)


def test_a_pinned_provider_is_used(customer: Customer, upstream: FakeUpstream) -> None:
    answer = customer.chat("deepseek/deepseek-v3.2", max_tokens=5, provider="fireworks")
    assert asked(upstream, answer)[1:] == ("fireworks", "accounts/fireworks/models/deepseek-v3p2")
    refused = customer.chat("openai/gpt-4o", provider="fireworks")
    assert error_of(refused, 404, "model_not_found")["param"] == "provider"


def test_a_redirect_is_silent_and_logged(gateway: LiveGateway, customer: Customer) -> None:
    answer = customer.chat("grok-2-1212", max_tokens=5)
    assert answer.json()["model"] == "x-ai/grok-3"
    log = gateway.log_path.read_text()
    assert '"model_redirected"' in log and "grok-2-1212" in log


@pytest.mark.parametrize("typed", ["gpt-4o", "grok-2-1212", "openrouter/deepseek-chat-v3", "  R1 "])
def test_a_model_that_is_gone_at_its_providers_is_named_as_it_was_asked_for(
    customer: Customer, upstream: FakeUpstream, typed: str
) -> None:
    gone = {"status": 404, "error": {"error": {"message": "unknown model native-x", "code": "model_not_found"}}}
    for slug in SLUGS:
        upstream.script(slug, default=gone)
    for dialect in ("openai", "anthropic"):
        answer = spine.ask(customer, dialect, typed)
        told = error_of(answer, 404, "model_not_found")["message"]
        assert typed.strip() in told and "unknown" not in told and "native" not in told
        assert "grok-3" not in told and "0324" not in told
    upstream.reset()


@pytest.mark.parametrize(
    ("chosen", "sent"),
    [
        ({}, {"disable_reasoning": True}),
        ({"disable_reasoning": False}, {"disable_reasoning": False}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    ],
)
def test_qwen_at_cerebras_does_not_think_unless_asked(
    customer: Customer, upstream: FakeUpstream, chosen: dict[str, Any], sent: dict[str, Any]
) -> None:
    answer = customer.chat("cerebras/qwen-3-32b", max_tokens=5, **chosen)
    assert asked(upstream, answer)[1:] == ("cerebras", "qwen-3-32b")
    body = upstream.journal()[0]["body"]
    assert {name: body[name] for name in ("disable_reasoning", "reasoning_effort") if name in body} == sent


@pytest.mark.ac("AC-2.1.4")
def test_without_vertex_the_next_provider_serves_gemini(upstream: FakeUpstream, tmp_path: Path) -> None:
    with LiveGateway(tmp_path, config_with(upstream, ("openai", "openrouter"))) as live:
        answer = live.customer(100).chat("google/gemini-2.5-pro", max_tokens=5)
        assert asked(upstream, answer) == ("google/gemini-2.5-pro", "openrouter", "google/gemini-2.5-pro")


@pytest.mark.ac("AC-2.1.7")
@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("gpt-4oo", "openai/gpt-4o"),
        ("claude-sonet-4", "anthropic/claude-sonnet-4"),
        ("gemini-2.5-profi", "google/gemini-2.5-pro"),
        ("completely unknown 你好", None),
        ("'; DROP TABLE users; --", None),
        ("../../etc/passwd", None),
        ("a" * 5000, None),
    ],
)
def test_an_unknown_model_is_404_with_what_might_be_meant(
    customer: Customer, upstream: FakeUpstream, typed: str, near: str | None
) -> None:
    body = {"model": typed, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    for path in (CHAT, MESSAGES):
        for stream in (False, True):
            error = error_of(customer.call("POST", path, body | {"stream": stream}), 404, "model_not_found")
            assert (error["type"], error["param"]) == ("not_found_error", "model")
            assert typed[:200] in error["message"] and "unknown`" not in error["message"]
            if near:
                assert near in error["suggestions"] and near in error["message"]
    assert upstream.journal() == []


@pytest.mark.ac("AC-2.1.7")
@pytest.mark.parametrize("typed", [None, "", "   ", 7, ["gpt-4o"], {"id": "gpt-4o"}])
def test_what_is_no_name_is_400(customer: Customer, typed: Any) -> None:
    body = {"model": typed, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    for path in (CHAT, MESSAGES):
        answer = customer.call("POST", path, body)
        assert answer.status_code in (400, 404)
        assert error_of(answer, answer.status_code)["param"] == "model"


def test_a_model_that_no_provider_has_any_more_is_404_by_the_name_that_was_typed(
    customer: Customer, upstream: FakeUpstream
) -> None:
    gone = {"status": 404, "error": {"error": {"message": "model gone", "code": "model_not_found"}}}
    for slug in SLUGS:
        upstream.script(slug, default=gone)
    error = error_of(customer.chat("gpt-4o", max_tokens=5), 404, "model_not_found")
    assert "gpt-4o" in error["message"]


@pytest.mark.ac("AC-2.1.3")
def test_every_listed_model_answers_to_its_own_id(gateway: LiveGateway) -> None:
    listed = gateway.call("GET", "/v1/models").json()["data"]
    for model in listed[::9]:
        answer = gateway.call("GET", f"/v1/models/{model['id']}")
        assert (answer.status_code, answer.json()["id"]) == (200, model["id"])


@pytest.mark.ac("AC-5.2.1", "AC-5.2.2")
def test_every_listed_model_is_complete_and_priced(gateway: LiveGateway) -> None:
    answer = gateway.call("GET", "/v1/models")
    assert answer.status_code == 200
    page = answer.json()
    assert page["object"] == "list"
    assert len(page["data"]) == page["total"] == page["returned"] > 200
    for model in page["data"]:
        assert model["object"] == "model"
        assert model["id"] and model["name"] and model["owned_by"], model
        assert model["provider_slug"] in SLUGS
        assert model["context_length"] is None or model["context_length"] > 0
        # Only chats are always priced by the token.
        kinds = ("prompt", "completion") if model["kind"] == "chat" else model["pricing"]
        prices = [float(model["pricing"].get(kind) or 0) for kind in kinds]
        assert all(price >= 0 for price in prices)
        if not any(prices):
            assert model["is_free"] and model["id"].endswith(":free"), model
        else:
            assert not model["is_free"]
    assert len({model["id"] for model in page["data"]}) == page["total"]
    assert sum(model["context_length"] is not None for model in page["data"]) > 0.9 * page["total"]


def test_the_list_can_be_narrowed(gateway: LiveGateway) -> None:
    def ids(query: str) -> set[str]:
        return {model["id"] for model in gateway.call("GET", f"/v1/models?{query}").json()["data"]}

    everything = ids("")
    assert "openai/gpt-4o" in ids("provider=openai") < everything
    assert ids("gateway=openai") == ids("provider=openai")
    assert "openai/gpt-4o" in ids("q=gpt-4o") < everything
    free = ids("is_free=true")
    assert free and all(name.endswith(":free") for name in free)
    assert free | ids("is_free=false") == everything
    first = gateway.call("GET", "/v1/models?limit=2").json()
    assert (first["returned"], first["total"], first["has_more"]) == (2, len(everything), True)
    error_of(gateway.call("GET", "/v1/models?limit=0"), 422)


def test_anthropic_clients_get_their_own_list(gateway: LiveGateway) -> None:
    page = gateway.call("GET", "/v1/models?limit=3", headers={"anthropic-version": "2023-06-01"}).json()
    assert set(page) == {"data", "has_more", "first_id", "last_id"}
    assert {model["type"] for model in page["data"]} == {"model"}
    assert (page["first_id"], page["has_more"]) == (page["data"][0]["id"], True)
    missing = gateway.call("GET", "/v1/models/no-such", headers={"anthropic-version": "2023-06-01"})
    error_of(missing, 404, "model_not_found")
