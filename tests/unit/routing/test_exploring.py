"""Offers without records are tried by a small share of what is sorted by speed, and by nothing else."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog import Model, Offer, PriceSnapshot
from gatewayz.operations.traffic import NOTHING, Figures, Usage
from gatewayz.providers.profile import Provider
from gatewayz.providers.ways import Way
from gatewayz.routing.exploring import explore
from gatewayz.routing.plan import Candidate, Plan, Wish, ranked
from gatewayz.routing.preferences import Preferences

SHARE = 0.02
FAST = Preferences(sort="latency")
PROVIDERS = {slug: Provider(slug, slug, "openai", "http://x", {}, priority=at) for at, slug in enumerate("abcd")}
MODEL = Model("m/m", "m", "m", "chat", 1000, 100, "text->text", frozenset(), 0)
OFFERS = tuple(
    Offer(1, "m/m", slug, "native", PriceSnapshot(1, "t", 0, 5, 5), 1000, 100, frozenset()) for slug in PROVIDERS
)


def usage(**counts: tuple[int, int]) -> Usage:
    """Requests and errors by provider."""
    hour = {("m/m", slug): Figures(requests, errors, 0, 100.0, 100.0) for slug, (requests, errors) in counts.items()}
    return Usage(MappingProxyType({**NOTHING.windows, "hour": hour}), "digest")


def planned(wanted: Preferences = FAST, records: Usage = NOTHING) -> Plan:
    return ranked(MODEL, OFFERS, PROVIDERS, frozenset(), Wish(frozenset(), preferences=wanted), records)


def order(plan: Plan) -> str:
    return "".join(candidate.provider.slug for candidate in plan.candidates)


def tried(draw: float, records: Usage = NOTHING, wanted: Preferences = FAST, **more: Any) -> tuple[str, str | None]:
    healthy = more.pop("healthy", lambda _slug: True)
    plan, slug = explore(planned(wanted, records), wanted, records, SHARE, draw, healthy)
    return order(plan), slug


@pytest.mark.ac("AC-2.7.1")
def test_without_records_the_order_of_priority_stays_and_two_percent_try_the_others() -> None:
    assert tried(0.5) == ("abcd", None)
    assert tried(SHARE) == ("abcd", None)
    assert [tried(SHARE * part) for part in (0.0, 0.4, 0.99)] == [("bacd", "b"), ("cabd", "c"), ("dabc", "d")]


def test_what_was_measured_is_not_tried_again() -> None:
    records = usage(a=(9, 0), b=(9, 0), c=(4, 0))
    assert {tried(SHARE * part, records)[1] for part in (0.0, 0.3, 0.6, 0.9)} == {"c", "d"}
    everybody = usage(a=(9, 0), b=(9, 0), c=(9, 0), d=(9, 0))
    assert tried(0.0, everybody) == ("abcd", None)


def test_what_is_broken_or_left_out_is_never_tried() -> None:
    assert tried(0.0, healthy=lambda slug: slug == "d") == ("dabc", "d")
    assert tried(0.0, healthy=lambda _slug: False) == ("abcd", None)
    assert tried(0.0, usage(b=(30, 30), c=(5, 4))) == ("dabc", "d")  # they fail more often than they answer
    assert tried(0.0, usage(b=(6, 3)))[1] == "b"
    only = replace(FAST, ignore=("b", "c"))
    assert tried(0.0, wanted=only) == ("da", "d")


@pytest.mark.parametrize(
    "wanted",
    [
        Preferences(),
        Preferences(sort="price"),
        Preferences(sort="exacto"),
        replace(FAST, order=("a",)),
        replace(FAST, allow_fallbacks=False),
        Preferences(max_latency_s=1.0),
    ],
)
def test_only_who_leaves_it_to_speed_explores(wanted: Preferences) -> None:
    plan = planned(wanted)
    assert explore(plan, wanted, NOTHING, 1.0, 0.0, lambda _slug: True) == (plan, None)


def test_one_offer_leaves_nothing_to_try() -> None:
    wanted = replace(FAST, only=("a",))
    plan = planned(wanted)
    assert explore(plan, wanted, NOTHING, 1.0, 0.0, lambda _slug: True) == (plan, None)


def test_the_locations_of_a_provider_stay_together() -> None:
    plan = planned()
    second = replace(PROVIDERS["b"], location="two")
    doubled = Plan(
        (*plan.candidates[:2], Candidate(OFFERS[1], second, Way("openai", "http://y")), *plan.candidates[2:])
    )
    found, slug = explore(doubled, FAST, NOTHING, 1.0, 0.0, lambda _slug: True)
    assert (order(found), slug, found.candidates[1].provider.location) == ("bbacd", "b", "two")


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1), st.sampled_from(["latency", "throughput"]))
def test_nobody_is_added_or_lost(draw: float, share: float, sort: Any) -> None:
    wanted = Preferences(sort=sort)
    plan = planned(wanted)
    found, slug = explore(plan, wanted, NOTHING, share, draw, lambda _slug: True)
    assert sorted(order(found)) == sorted(order(plan))
    assert (slug is not None) is (draw < share)


def test_over_many_draws_the_share_is_kept_and_spread_evenly() -> None:
    draws = [at / 10_000 for at in range(10_000)]
    found = [slug for _, slug in map(tried, draws) if slug is not None]
    assert len(found) == 200
    assert max(map(found.count, "bcd")) - min(map(found.count, "bcd")) <= 1
