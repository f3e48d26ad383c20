"""What is set aside is enough for every way of a plan, whichever of them were looked at."""

from dataclasses import replace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gatewayz.catalog import PriceSnapshot
from gatewayz.catalog.prices import PriceTier
from gatewayz.catalog.snapshot import Resolved
from gatewayz.dialects.base import Glance
from gatewayz.gateway.ceilings import ceiling_at
from gatewayz.gateway.quote import ceiling_of, dearest, may_be_dearest
from gatewayz.gateway.trip import Course
from gatewayz.providers.profile import Provider
from gatewayz.providers.ways import Way
from gatewayz.routing.plan import Candidate, Plan
from tests.unit.catalog.catalog_values import a_model, an_offer

prices = st.builds(
    PriceSnapshot, st.just(1), st.just("t"), st.just(0), st.integers(0, 9), st.integers(0, 9),
    reasoning=st.none() | st.integers(0, 12), request_nano_usd=st.integers(0, 3),
    tiers=st.just(()) | st.just((PriceTier(above_prompt_tokens=200, prompt=4, completion=4),)),
)  # fmt: skip
MILLION = 1_000_000  # so that no difference is lost in rounding


def a_way(price: PriceSnapshot | None, longest: int | None, context: int | None) -> Candidate:
    if price is not None:
        dearer = {name: getattr(price, name) * MILLION for name in ("prompt", "completion", "request_nano_usd")}
        price = replace(price, **dearer, reasoning=None if price.reasoning is None else price.reasoning * MILLION)
    offer = an_offer("m/m", "a", price=price, max_output_tokens=longest, context_length=context)
    return Candidate(offer, Provider("a", "a", "openai", "http://x", {}), Way("openai", "http://x"))


ways = st.builds(a_way, prices, st.none() | st.integers(1, 500), st.none() | st.integers(100, 900))
glances = st.builds(
    Glance, st.just("openai"), st.just(b""), st.just({}), st.just("m/m"), st.just(False),
    st.none() | st.integers(1, 900), st.integers(0, 1000), n=st.integers(1, 3),
)  # fmt: skip


@given(
    st.lists(ways, min_size=1, max_size=6), glances, st.none() | st.integers(1, 400), st.none() | st.integers(1, 800)
)
def test_the_dearest_way_is_among_those_that_may_be(
    candidates: list[Candidate], glance: Glance, longest: int | None, context: int | None
) -> None:
    model = a_model("m/m", max_output_tokens=longest, context_length=context)
    dear = may_be_dearest(Plan(tuple(candidates)), model)
    assert set(map(id, dear)) <= set(map(id, candidates))
    assert ceiling_of(dear, glance, model) == ceiling_of(candidates, glance, model)


def test_of_ways_that_cost_the_same_one_is_looked_at() -> None:
    model = a_model("m/m")
    price = PriceSnapshot(1, "t", 0, 5, 5)
    one = a_way(price, 100, 900)
    elsewhere = replace(one, provider=replace(one.provider, location="eu"))
    cheaper = a_way(replace(price, prompt=4), 100, 900)
    shorter = a_way(price, 99, 900)
    other = a_way(replace(price, prompt=6, completion=4), 100, 900)
    assert may_be_dearest(Plan((cheaper, one, elsewhere, shorter, other)), model) == (one, other)


# With prices that make halves of a nano-USD, so that each way of rounding shows.
odd_prices = st.builds(
    PriceSnapshot, st.just(1), st.just("t"), st.just(0), st.integers(0, 10**7), st.integers(0, 10**7),
    reasoning=st.none() | st.integers(0, 10**7), request_nano_usd=st.integers(0, 10**6),
)  # fmt: skip


@given(odd_prices, st.none() | st.integers(1, 500), st.none() | st.integers(100, 900), glances)
def test_a_ceiling_that_is_kept_is_the_one_that_is_worked_out(
    price: PriceSnapshot, longest: int | None, context: int | None, glance: Glance
) -> None:
    model = a_model("m/m", max_output_tokens=longest, context_length=context)
    way = replace(a_way(None, None, None), offer=an_offer("m/m", "a", price=price))
    found = Resolved(model, (way.offer,))
    course = Course(found, Plan((way,)))
    ceiling = ceiling_at(way, model)
    assert ceiling is not None
    assert dearest((structs.replace(course, ceiling=ceiling),), glance) == dearest((course,), glance)


def test_what_is_no_simple_sum_has_no_ceiling_to_be_kept() -> None:
    model, price = a_model("m/m"), PriceSnapshot(1, "t", 0, 5, 5)
    plain = a_way(price, 100, 900)
    tiers = replace(plain, offer=replace(plain.offer, price=replace(price, tiers=(PriceTier(200, 4, 4),))))
    searching = replace(plain, search=cast(Any, object()))
    unpriced = a_way(None, 100, 900)
    assert ceiling_at(plain, model) is not None
    assert [ceiling_at(way, model) for way in (tiers, searching, unpriced)] == [None, None, None]
