"""Prices: exact text, tiers, and what counts as free."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog import PriceTier, usd_per_token_text
from tests.unit.catalog.catalog_values import a_price


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_price_per_token_text_is_exact_and_plain(nano_per_mtok: int) -> None:
    text = usd_per_token_text(nano_per_mtok)
    assert Decimal(text) * 10**15 == nano_per_mtok
    assert "e" not in text.lower()
    assert not (text.endswith("0") and "." in text)


def test_price_per_token_text_of_known_prices() -> None:
    assert usd_per_token_text(2_500_000_000) == "0.0000025"
    assert usd_per_token_text(0) == "0"
    assert usd_per_token_text(10**15) == "1"


def test_a_tier_begins_above_its_border() -> None:
    low, high = PriceTier(1000, 3, 9), PriceTier(5000, 4, 12)
    price = a_price(2, 6, tiers=(low, high))
    assert [price.tier_for(tokens) for tokens in (0, 1000, 1001, 5000, 5001)] == [None, None, low, low, high]


def test_zero_means_that_nothing_costs() -> None:
    assert a_price(0, 0).is_zero
    assert not a_price(0, 0, units={"image": 1}).is_zero
    assert not a_price(0, 0, request_nano_usd=1).is_zero
    assert not a_price(0, 0, tiers=(PriceTier(10, 1, 0),)).is_zero
    assert not a_price(0, 0, audio_output=1).is_zero
    assert not a_price(0, 0, cache_write_1h=1).is_zero
