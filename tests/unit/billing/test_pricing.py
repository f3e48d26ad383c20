"""What an answer costs: exact integers, each token once, one rounding."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

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


counts = st.integers(0, 10**6)
maybe = st.none() | st.integers(0, 10**11)
tiers = st.builds(PriceTier, st.integers(0, 10**6), st.integers(0, 10**11), st.integers(0, 10**11), maybe, maybe, maybe)
prices = st.builds(
    lambda rates, tiers: price(tiers=tuple(sorted(tiers, key=lambda tier: tier.above_prompt_tokens)), **rates),
    st.fixed_dictionaries(
        {"prompt": st.integers(0, 10**11), "completion": st.integers(0, 10**11)},
        optional=dict.fromkeys(
            (
                *("cache_read", "cache_write_5m", "cache_write_1h", "reasoning"),
                *("audio_input", "audio_output", "image_input", "image_output"),
            ),
            maybe,
        ),
    ),
    st.lists(tiers, max_size=2),
)


@given(prices, st.lists(counts, min_size=10, max_size=10))
def test_every_kind_of_token_is_charged_once_at_its_own_price_whichever_are_there(
    priced: PriceSnapshot, numbers: list[int]
) -> None:
    whole = Usage(numbers[0] * 5, numbers[1] * 3, *numbers[2:])
    tier = priced.tier_for(whole.prompt_tokens)
    for left_out in ((), whole.__struct_fields__[2:5], whole.__struct_fields__[5:10], whole.__struct_fields__[2:10]):
        usage = structs.replace(whole, **dict.fromkeys(left_out, 0))
        prompt, completion, cached, written, hour, thought, heard, spoken, seen, drawn = structs.astuple(usage)[:10]
        base = priced if tier is None else tier
        read = base.cache_read if base.cache_read is not None else base.prompt
        write = base.cache_write_5m if base.cache_write_5m is not None else base.prompt
        long = base.cache_write_1h if base.cache_write_1h is not None else write

        def own(stated: int | None, plain: int) -> int:
            return plain if stated is None else stated if tier is None else max(stated, plain)

        think = base.completion if tier is not None or priced.reasoning is None else priced.reasoning
        exact = (
            max(0, prompt - cached - written - hour - heard - seen) * base.prompt
            + max(0, completion - thought - spoken - drawn) * base.completion
            + cached * read + written * write + hour * long + thought * think
            + heard * own(priced.audio_input, base.prompt) + seen * own(priced.image_input, base.prompt)
            + spoken * own(priced.audio_output, base.completion) + drawn * own(priced.image_output, base.completion)
        )  # fmt: skip
        assert cost(priced, usage) == int((Decimal(exact) / 1_000_000).quantize(Decimal(1), rounding="ROUND_HALF_EVEN"))


def test_two_prices_that_share_a_tier_keep_what_only_one_of_them_states() -> None:
    tier = PriceTier(0, price_per_mtok("2"), price_per_mtok("8"))
    plain, hearing = price(tiers=(tier,)), price(tiers=(tier,), audio_input=price_per_mtok("40"))
    usage = Usage(10, 0, audio_input_tokens=10)
    for _ in range(2):
        assert [cost(each, usage) for each in (plain, hearing)] == [10 * 2000, 10 * 40000]


def test_a_usage_is_kept_under_the_names_that_rows_have_always_had() -> None:
    every = Usage(*range(1, 17), estimated=True)
    text = (
        '{"prompt":1,"completion":2,"cached":3,"cache_write_5m":4,"cache_write_1h":5,"reasoning":6,"audio_input":7,'
        '"audio_output":8,"image_input":9,"image_output":10,"images":11,"audio_input_ms":12,"audio_output_ms":13,'
        '"characters":14,"searches":15,"web_searches":16,"estimated":true}'
    )
    assert usage_json(every) == text
    assert usage_from_json(text) == every
    assert usage_from_json("{}") == Usage()
    for other in ('{"prompt_tokens":1}', '{"later":1}', '{"prompt":1.5}', "[]"):
        with pytest.raises(ValueError):
            usage_from_json(other)
