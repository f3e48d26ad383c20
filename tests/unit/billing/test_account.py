"""Which bucket pays, and what may be spent: pure arithmetic of one account."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.billing.account import Balance, Split, deduct, is_low, standing, would_deduct

DAY_US = 86_400_000_000
NOW = 20_000 * DAY_US + 1000
LATER = NOW + 10 * DAY_US


def test_order_is_trial_then_allowance_then_purchased() -> None:
    balance = Balance(1, trial=10, trial_ends_at_us=LATER, allowance=20, allowance_ends_at_us=LATER, purchased=100)
    assert deduct(balance, 45, NOW, trial_daily=1000) == Split(-10, -20, -15)
    assert (balance.trial, balance.allowance, balance.purchased) == (0, 0, 85)


@pytest.mark.ac("AC-6.1.3")
def test_allowance_falls_before_purchased_credit() -> None:
    # The worked example of the specification, in nano-USD.
    balance = Balance(1, allowance=1_000_000, allowance_ends_at_us=LATER, purchased=1_000_000_000)
    assert deduct(balance, 3_000_000, NOW, trial_daily=0) == Split(0, -1_000_000, -2_000_000)
    assert balance.allowance == 0
    assert balance.purchased == 998_000_000


def test_trial_pays_at_most_its_daily_share() -> None:
    balance = Balance(1, trial=500, trial_ends_at_us=LATER, purchased=100)
    assert deduct(balance, 150, NOW, trial_daily=100) == Split(-100, 0, -50)
    assert standing(balance, NOW, 100).spendable == 50
    assert standing(balance, NOW + DAY_US, 100).spendable == 150


def test_an_ended_trial_pays_nothing_and_says_so() -> None:
    balance = Balance(1, trial=500, trial_ends_at_us=NOW)
    now = standing(balance, NOW, 100)
    assert (now.available, now.blocked_by) == (0, "trial_expired")


def test_a_trial_used_up_for_today_says_so() -> None:
    balance = Balance(1, trial=500, trial_ends_at_us=LATER, trial_day=NOW // DAY_US, trial_day_spent=100)
    now = standing(balance, NOW, 100)
    assert (now.available, now.blocked_by) == (0, "trial_daily_limit")


def test_allowance_ends_with_its_period() -> None:
    balance = Balance(1, allowance=100, allowance_ends_at_us=NOW, purchased=5)
    assert standing(balance, NOW, 0).spendable == 5


def test_daily_cap_counts_from_midnight_utc() -> None:
    balance = Balance(1, purchased=1000, daily_cap=100, day=NOW // DAY_US, day_spent=80)
    now = standing(balance, NOW, 0)
    assert (now.spendable, now.blocked_by) == (20, "daily_usage_cap")
    assert standing(balance, NOW + DAY_US, 0).spendable == 100


def test_reserved_money_is_not_available() -> None:
    assert standing(Balance(1, purchased=100, reserved=70), NOW, 0).available == 30


def test_what_no_bucket_covers_is_owed() -> None:
    balance = Balance(1, purchased=10)
    assert deduct(balance, 25, NOW, 0) == Split(0, 0, -25)
    assert balance.purchased == -15


def test_low_is_the_lower_of_a_fifth_of_the_topup_and_the_setting() -> None:
    assert is_low(Balance(1, last_topup=500), 99, low_nano_usd=1000)
    assert not is_low(Balance(1, last_topup=500), 101, low_nano_usd=1000)
    assert is_low(Balance(1, last_topup=5000), 99, low_nano_usd=100)
    assert not is_low(Balance(1, last_topup=5000), 101, low_nano_usd=100)


amounts = st.integers(0, 10**12)


@given(amounts, amounts, amounts, amounts, amounts, st.booleans(), st.booleans())
def test_a_deduction_is_whole_and_would_deduct_agrees(
    trial: int, allowance: int, purchased: int, amount: int, daily: int, trial_runs: bool, period_runs: bool
) -> None:
    balance = Balance(
        1,
        trial=trial,
        trial_ends_at_us=LATER if trial_runs else NOW,
        allowance=allowance,
        allowance_ends_at_us=LATER if period_runs else NOW,
        purchased=purchased,
    )
    before = balance.total
    foreseen = would_deduct(balance, amount, NOW, daily)
    assert balance.total == before
    split = deduct(balance, amount, NOW, daily)
    assert split == foreseen
    assert split.total == -amount
    assert balance.total == before - amount
    assert balance.trial >= 0
    assert balance.allowance >= 0
    assert -split.trial <= daily
