"""What a request asks of the gateway itself, in OpenRouter's members."""

import json
from typing import Any

import pytest

from gatewayz.core.errors import InvalidRequest
from gatewayz.dialects import DIALECTS
from gatewayz.gateway.asked import NOTHING, Asked, asked_of
from gatewayz.routing.preferences import Preferences


def asked(dialect: str = "openai", **more: Any) -> Asked:
    said = {"gemini": {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}, "openai_responses": {"input": "x"}}
    body = {
        "model": "m/m",
        "max_tokens": 9,
        **said.get(dialect, {"messages": [{"role": "user", "content": "x"}]}),
        **more,
    }
    return asked_of(DIALECTS[dialect].glance(json.dumps(body).encode()))


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_ordinary_requests_ask_nothing(dialect: str) -> None:
    assert asked(dialect) is NOTHING


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_a_provider_object_means_the_same_in_every_dialect(dialect: str) -> None:
    provider = {
        "order": ["DeepInfra/turbo", "Amazon Bedrock"],
        "only": ["x-ai"],
        "ignore": ["Together"],
        "allow_fallbacks": False,
        "data_collection": "deny",
        "zdr": True,
        "quantizations": ["fp8"],
        "sort": {"by": "price", "partition": "model"},
        "max_price": {"prompt": "1.5", "completion": 2, "request": 0.01, "image": 0.5},
        "preferred_max_latency": {"p50": 2},
        "preferred_min_throughput": 40,
    }
    assert asked(dialect, provider=provider).preferences == Preferences(
        order=("deepinfra", "bedrock"),
        only=("xai",),
        ignore=("together",),
        allow_fallbacks=False,
        deny_collection=True,
        zero_retention=True,
        quantizations=("fp8",),
        sort="price",
        max_prompt=1_500_000_000,
        max_completion=2_000_000_000,
        max_request=10_000_000,
        max_image=500_000_000,
        max_latency_s=2.0,
        min_throughput=40.0,
    )


def test_a_slug_pins_and_an_empty_object_prefers_nothing() -> None:
    assert asked(provider=" Groq ").pin == "groq"
    assert asked(provider={}).preferences is None
    assert asked(provider={"allow_fallbacks": None}).preferences is None


def test_words_that_name_nobody_still_restrict() -> None:
    for words in ([""], [" "], ["x" * 1000]):
        wanted = asked(provider={"only": words}).preferences
        assert wanted is not None
        assert wanted.only
        assert len(wanted.only[0]) <= 64
    assert asked(provider={"only": []}).preferences is None


def test_required_parameters_are_those_of_the_request() -> None:
    wanted = asked(provider={"require_parameters": True}, seed=1, tools=[], user="u").preferences
    assert wanted is not None
    assert wanted.parameters == {"seed", "tools", "max_tokens"}


def test_stand_ins_are_named_once_and_not_the_model_itself() -> None:
    assert asked(models=["m/m", "n/n", "o/o", "n/n"]).models == ("n/n", "o/o")


def test_the_first_of_the_models_is_the_model_where_none_is_named() -> None:
    body = {"models": ["n/n", "o/o"], "messages": [{"role": "user", "content": "x"}]}
    glance = DIALECTS["openai"].glance(json.dumps(body).encode())
    assert (glance.model, asked_of(glance).models) == ("n/n", ("o/o",))


def test_what_has_no_effect_is_noted() -> None:
    notes = asked(
        provider={
            "sort": {"by": "price", "partition": "none"},
            "preferred_max_latency": {"p99": 2},
            "options": {"x": {}},
        }
    ).notes
    assert len(notes) == 3
    assert any("p99" in note for note in notes)


@pytest.mark.parametrize(
    "harmless",
    [
        {"transforms": ["middle-out"]},
        {"transforms": []},
        {"plugins": [{"id": "web", "enabled": False}]},
        {"plugins": [{"id": "context-compression"}]},
        {"route": "fallback"},
        {"usage": {"include": False}},
    ],
)
def test_what_changes_nothing_is_let_pass(harmless: dict[str, Any]) -> None:
    assert asked(**harmless) == Asked()


def test_an_itemised_usage_can_be_asked_for() -> None:
    assert asked(usage={"include": True}).itemised


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("provider.onyl", {"provider": {"onyl": ["x"]}}),
        ("provider.order", {"provider": {"order": "x"}}),
        ("provider.data_collection", {"provider": {"data_collection": "maybe"}}),
        ("provider.zdr", {"provider": {"zdr": "yes"}}),
        ("provider.sort", {"provider": {"sort": "beauty"}}),
        ("provider.quantizations[0]", {"provider": {"quantizations": ["fp7"]}}),
        ("provider.max_price.prompt", {"provider": {"max_price": {"prompt": "much"}}}),
        ("provider.max_price.request", {"provider": {"max_price": {"request": -1}}}),
        ("provider.max_price.audio", {"provider": {"max_price": {"audio": 1}}}),
        ("provider.preferred_max_latency.p42", {"provider": {"preferred_max_latency": {"p42": 1}}}),
        ("provider.preferred_min_throughput", {"provider": {"preferred_min_throughput": -1}}),
        ("models", {"models": ["m"] * 9}),
        ("models[0]", {"models": [1]}),
        ("route", {"route": "sort"}),
        ("transforms", {"transforms": ["squeeze"]}),
        ("plugins[0].id", {"plugins": [{"id": "file-parser"}]}),
        ("plugins[1].engine", {"plugins": [{"id": "web", "enabled": False}, {"id": "web", "engine": "exa"}]}),
        ("plugins", {"plugins": {"id": "web"}}),
        ("usage", {"usage": True}),
    ],
)
def test_mistakes_and_what_is_not_served_are_refused_by_name(param: str, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(**body)
    assert refused.value.param == param
