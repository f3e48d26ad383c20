"""What an answer costs: exact integers, each token once, one rounding."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gatewayz.billing.basis import like
from gatewayz.billing.pricing import ceiling, cost, price_from_json, price_json, usage_from_json, usage_json
from gatewayz.catalog.prices import WEB_SEARCH, PriceSnapshot, PriceTier
from gatewayz.core.money import price_per_mtok
from gatewayz.core.usage import Usage


def price(**more: object) -> PriceSnapshot:
    plain = PriceSnapshot(1, "test", 0, price_per_mtok("2"), price_per_mtok("8"))
    return replace(plain, **more)  # type: ignore[arg-type]


def test_worked_example() -> None:
    assert ceiling(price(), 500, 400) == 4_200_000
    assert cost(price(), Usage(500, 250)) == 3_000_000


def test_cached_tokens_are_part_of_the_prompt() -> None:
    with_cache = price(cache_read=price_per_mtok("0.2"))
    assert cost(with_cache, Usage(1000, 0, cached_tokens=400)) == 600 * 2000 + 400 * 200
    assert cost(price(), Usage(1000, 0, cached_tokens=400)) == 1000 * 2000


def test_cache_writes_cost_by_their_life() -> None:
    dear = price(cache_write_5m=price_per_mtok("2.5"), cache_write_1h=price_per_mtok("4"))
    usage = Usage(1000, 0, cache_write_5m_tokens=100, cache_write_1h_tokens=10)
    assert cost(dear, usage) == 890 * 2000 + 100 * 2500 + 10 * 4000
    assert cost(price(cache_write_5m=price_per_mtok("2.5")), usage) == 890 * 2000 + 110 * 2500


def test_reasoning_and_audio_have_their_own_price() -> None:
    special = price(reasoning=price_per_mtok("10"), audio_input=price_per_mtok("40"), audio_output=price_per_mtok("80"))
    usage = Usage(100, 100, reasoning_tokens=30, audio_input_tokens=20, audio_output_tokens=10)
    assert cost(special, usage) == 80 * 2000 + 20 * 40000 + 60 * 8000 + 30 * 10000 + 10 * 80000


def test_a_long_prompt_falls_into_its_tier_as_a_whole() -> None:
    tiered = price(
        tiers=(PriceTier(1000, price_per_mtok("4"), price_per_mtok("12"), cache_read=price_per_mtok("0.4")),)
    )
    assert cost(tiered, Usage(1000, 10)) == 1000 * 2000 + 10 * 8000
    assert cost(tiered, Usage(1001, 10, cached_tokens=1)) == 1000 * 4000 + 400 + 10 * 12000


def test_a_fee_per_request_is_added_once() -> None:
    assert cost(price(request_nano_usd=5), Usage(1, 0)) == 2005
    assert ceiling(price(request_nano_usd=5), 1, 1) == 2000 + 8000 + 5


def test_halves_are_rounded_to_even_once() -> None:
    half = replace(price(), prompt=500_000, completion=0)
    assert [cost(half, Usage(count, 0)) for count in (1, 2, 3, 5)] == [0, 1, 2, 2]


def test_choices_multiply_the_output_only() -> None:
    assert ceiling(price(), 100, 10, choices=3) == 100 * 2000 + 30 * 8000


def test_what_is_kept_with_the_row_says_what_was_pinned() -> None:
    assert '"prompt":2000000000' in price_json(price())
    assert usage_json(Usage(5, 3, cached_tokens=2)) == '{"prompt":5,"completion":3,"cached":2}'


tokens = st.integers(0, 10**7)
rates = st.integers(0, 10**12)


@given(tokens, tokens, tokens, tokens, rates, rates, rates)
def test_the_charge_is_the_exact_sum_rounded_half_even(
    plain: int, cached: int, out: int, thought: int, p: int, r: int, c: int
) -> None:
    usage = Usage(plain + cached, out + thought, cached_tokens=cached, reasoning_tokens=thought)
    charged = cost(replace(price(), prompt=p, cache_read=r, completion=c, reasoning=c), usage)
    exact = (Decimal(plain) * p + Decimal(cached) * r + Decimal(out + thought) * c) / 1_000_000
    assert charged == int(exact.quantize(Decimal(1), rounding="ROUND_HALF_EVEN"))


@given(tokens, tokens, tokens, rates, rates)
def test_the_hold_covers_every_answer_within_its_limit(prompt: int, limit: int, out: int, p: int, c: int) -> None:
    priced = replace(price(), prompt=p, completion=c)
    assert cost(priced, Usage(prompt, min(out, limit))) <= ceiling(priced, prompt, limit)


def test_searches_of_the_web_are_charged_where_they_have_a_price() -> None:
    searching = price(units={WEB_SEARCH: 10_000_000, "image": 7})
    usage = Usage(100, 10, web_searches=3)
    assert cost(searching, usage) == 100 * 2000 + 10 * 8000 + 3 * 10_000_000
    assert cost(price(), usage) == 100 * 2000 + 10 * 8000
    kept = price_from_json(price_json(searching))
    assert kept.units == {WEB_SEARCH: 10_000_000}
    assert cost(kept, usage_from_json(usage_json(usage))) == cost(searching, usage)


def test_a_later_price_that_is_silent_about_searches_does_not_give_them_away() -> None:
    pinned = price(units={WEB_SEARCH: 10_000_000})
    later = like(price(prompt=1, completion=1), pinned)
    assert later is not None and later.units[WEB_SEARCH] == 10_000_000
    dearer = like(price(units={WEB_SEARCH: 20_000_000}), pinned)
    assert dearer is not None and dearer.units[WEB_SEARCH] == 20_000_000
