"""What the caller prefers among providers: exclusions with their reasons, and the order that follows."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from gatewayz.catalog import Model, Offer, PriceSnapshot
from gatewayz.core.errors import NotFound
from gatewayz.dialects.base import Quirks
from gatewayz.operations.traffic import NOTHING, Figures, Usage
from gatewayz.providers.profile import Provider
from gatewayz.routing.plan import Plan, Wish, ranked
from gatewayz.routing.preferences import REASONS, Preferences, notes_on, quantization

ABLE = frozenset({"streaming", "tools", "logprobs"})
SLUGS = ("a", "b", "c")
MODEL = Model("m/m", "m", "m", "chat", 1000, 100, "text->text", ABLE, 0)


def offer(slug: str, *, price: int = 5, able: frozenset[str] = ABLE, native: str = "native", **more: Any) -> Offer:
    return Offer(1, "m/m", slug, native, PriceSnapshot(1, "t", 0, price, price, **more), 1000, 100, able)


def providers(**changed: dict[str, Any]) -> dict[str, Provider]:
    made = {slug: Provider(slug, slug, "openai", "http://x", {}, priority=at) for at, slug in enumerate(SLUGS)}
    return {slug: replace(provider, **changed.get(slug, {})) for slug, provider in made.items()}


def planned(wanted: Preferences, *offers: Offer, usage: Usage = NOTHING, **changed: dict[str, Any]) -> Plan:
    given = offers or tuple(offer(slug) for slug in SLUGS)
    wish = Wish(frozenset(), preferences=wanted)
    return ranked(MODEL, given, providers(**changed), frozenset(), wish, usage)


def order(plan: Plan) -> list[str]:
    return [candidate.provider.slug for candidate in plan.candidates]


def reasons(plan: Plan) -> dict[str, str]:
    return {each.provider: each.reason for each in plan.excluded}


def measured(**figures: tuple[int, float, float]) -> Usage:
    """Figures of the last hour by provider: answers, milliseconds to the first token, tokens per second."""
    hour = {("m/m", slug): Figures(count, 0, 0, first, first, speed) for slug, (count, first, speed) in figures.items()}
    return Usage(MappingProxyType({**NOTHING.windows, "hour": hour}), "digest")


def test_nothing_preferred_is_the_usual_order() -> None:
    assert order(planned(Preferences())) == ["a", "b", "c"]


def test_an_order_comes_first_and_the_others_stand_in() -> None:
    assert order(planned(Preferences(order=("c", "b")))) == ["c", "b", "a"]


def test_an_order_without_fallbacks_is_all_there_is() -> None:
    plan = planned(Preferences(order=("c", "b"), allow_fallbacks=False))
    assert order(plan) == ["c", "b"]
    assert reasons(plan) == {"a": "not_in_order"}


def test_without_fallbacks_only_the_first_is_asked() -> None:
    plan = planned(Preferences(allow_fallbacks=False, sort="price"), offer("a"), offer("b", price=1), offer("c"))
    assert order(plan) == ["b"]
    assert reasons(plan) == {"a": "fallbacks_not_allowed", "c": "fallbacks_not_allowed"}


def test_only_and_ignore_leave_out_the_others() -> None:
    plan = planned(Preferences(only=("a", "b"), ignore=("a",)))
    assert order(plan) == ["b"]
    assert reasons(plan) == {"a": "ignored", "c": "not_in_only"}


@pytest.mark.ac("AC-2.8.1")
def test_by_price_the_cheapest_comes_first() -> None:
    offers = (offer("a", price=9), offer("b", price=7), offer("c", price=8))
    assert order(planned(Preferences(sort="price"), *offers)) == ["b", "c", "a"]


@pytest.mark.ac("AC-2.7.1")
@pytest.mark.parametrize(("sort", "expected"), [("latency", ["c", "a", "b"]), ("throughput", ["a", "c", "b"])])
def test_measured_sorts_follow_the_measurements(sort: Any, expected: list[str]) -> None:
    usage = measured(a=(9, 300.0, 80.0), c=(9, 200.0, 50.0), b=(2, 1.0, 1000.0))  # two answers of `b` say nothing
    assert order(planned(Preferences(sort=sort), usage=usage)) == expected
    other = measured(a=(9, 100.0, 10.0), c=(9, 200.0, 50.0))
    assert order(planned(Preferences(sort=sort), usage=other))[0] == ("a" if sort == "latency" else "c")


@pytest.mark.parametrize("sort", ["latency", "throughput"])
def test_without_measurements_the_order_is_left_and_said_so(sort: Any) -> None:
    plan = planned(Preferences(sort=sort))
    assert order(plan) == ["a", "b", "c"]
    assert "usual order" in notes_on(Preferences(sort=sort), tuple(each.offer for each in plan.candidates))[0]


def test_who_is_slower_than_preferred_stands_behind() -> None:
    usage = measured(a=(9, 900.0, 80.0), b=(9, 100.0, 20.0), c=(9, 200.0, 50.0))
    assert order(planned(Preferences(max_latency_s=0.5), usage=usage)) == ["b", "c", "a"]
    assert order(planned(Preferences(min_throughput=40.0), usage=usage)) == ["a", "c", "b"]


def test_prices_above_the_ceiling_are_left_out() -> None:
    offers = (offer("a", price=9), offer("b", price=7), offer("c", price=7, request_nano_usd=3))
    plan = planned(Preferences(max_prompt=8, max_completion=8, max_request=2), *offers)
    assert order(plan) == ["b"]
    assert reasons(plan) == {"a": "price_above_max", "c": "price_above_max"}


def test_what_is_not_known_is_not_trusted() -> None:
    local = {"local": True}
    assert order(planned(Preferences(deny_collection=True), b=local)) == ["b"]
    assert order(planned(Preferences(zero_retention=True), c=local)) == ["c"]
    for wanted, reason in (
        (Preferences(deny_collection=True), "data_collection_unknown"),
        (Preferences(zero_retention=True), "zdr_unknown"),
        (Preferences(distillable=True), "distillable_unknown"),
        (Preferences(quantizations=("fp8",)), "quantization_not_wanted"),
    ):
        with pytest.raises(NotFound) as refused:
            planned(wanted)
        assert refused.value.code == "no_allowed_providers"
        assert f"a {REASONS[reason]}" in refused.value.message


def test_a_precision_that_the_name_states_is_believed() -> None:
    plan = planned(Preferences(quantizations=("fp8",)), offer("a"), offer("b", native="org/Model-70B-FP8"))
    assert order(plan) == ["b"]
    assert order(planned(Preferences(quantizations=("unknown",)), offer("a"), offer("b", native="x-fp8"))) == ["a"]
    assert [quantization(name) for name in ("x-bf16", "x/fp8", "fp80", "affp8x")] == ["bf16", "fp8", None, None]


def test_required_parameters_must_be_understood() -> None:
    wanted = Preferences(parameters=frozenset({"logprobs", "seed"}))
    dropping = {"quirks": Quirks(drop_params=frozenset({"seed"}))}
    plan = planned(wanted, offer("a"), offer("b", able=frozenset({"streaming"})), offer("c"), c=dropping)
    assert order(plan) == ["a"]
    assert reasons(plan) == {"b": "lacks_parameters", "c": "lacks_parameters"}
    assert order(planned(Preferences(parameters=frozenset({"seed"})), a={"dialect": "anthropic"})) == ["b", "c"]


def test_preferences_are_small_keys_and_know_what_moves_them() -> None:
    assert hash(Preferences(order=("a",))) == hash(Preferences(order=("a",)))
    assert [wish.measured for wish in (Preferences(sort="price"), Preferences(sort="latency"))] == [False, True]
    assert not Preferences(only=("a",)).orders
    assert Preferences(order=("a",)).orders
