"""Money is exact in every direction."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core.money import divide_half_even, nano_from_usd, price_per_mtok, usd, usd_text


@given(st.integers(-(2**62), 2**62))
def test_text_and_back(nano: int) -> None:
    assert nano_from_usd(usd_text(nano)) == nano
    assert nano_from_usd(usd(nano)) == nano
    plain = format(usd(nano), "f").rstrip("0").rstrip(".") if nano % 10**9 else str(nano // 10**9)
    assert usd_text(nano) == plain


@pytest.mark.parametrize("amount", ["abc", "nan", "inf", "0.0000000001", "1e30", "", None])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match=r"amount|places"):
        nano_from_usd(amount)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_division_rounds_half_to_even(numerator: int, denominator: int) -> None:
    quotient = divide_half_even(numerator, denominator)
    twice = 2 * (numerator - quotient * denominator)
    assert abs(twice) <= denominator
    assert type(quotient) is int
    if abs(twice) == denominator:
        assert quotient % 2 == 0


def test_prices_are_integers_per_million_tokens() -> None:
    assert price_per_mtok("0.15") == 150_000_000
    assert price_per_mtok(0.1) == 100_000_000
    assert price_per_mtok(Decimal("0.0375")) == 37_500_000
    for wrong in ("-1", "x", "nan"):
        with pytest.raises(ValueError, match="price"):
            price_per_mtok(wrong)


@pytest.mark.parametrize(("nano", "text"), [(0, "0"), (4_200_000, "0.0042"), (-(10**9), "-1"), (-5, "-0.000000005")])
def test_amounts_are_written_plainly(nano: int, text: str) -> None:
    assert usd_text(nano) == text
