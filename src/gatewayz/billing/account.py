"""The arithmetic of one account: what it may spend now, and which bucket pays. Pure: time is an argument.

Order of deduction: trial credit while the trial runs, then the allowance of the current period, then purchased balance.
"""

from copy import copy

import msgspec

from gatewayz.core.money import usd_number

US_PER_DAY = 86_400_000_000


class Balance(msgspec.Struct, gc=False):
    """A working copy of a row of `balances`; nano-USD and microseconds. Changed in place while a batch is posted."""

    user_id: int
    trial: int = 0
    trial_ends_at_us: int = 0
    trial_day: int = 0
    trial_day_spent: int = 0
    allowance: int = 0
    allowance_ends_at_us: int = 0
    purchased: int = 0
    reserved: int = 0
    day: int = 0
    day_spent: int = 0
    daily_cap: int | None = None
    last_topup: int = 0

    @property
    def total(self) -> int:
        """Sum of the buckets: what the ledger rows of this account add up to."""
        return self.trial + self.allowance + self.purchased


class Split(msgspec.Struct, frozen=True, gc=False):
    """An amount by bucket; negative parts leave the account."""

    trial: int = 0
    allowance: int = 0
    purchased: int = 0

    @property
    def total(self) -> int:
        """The amount."""
        return self.trial + self.allowance + self.purchased

    def reversed(self) -> "Split":
        """The same movement backwards."""
        return Split(-self.trial, -self.allowance, -self.purchased)


class Standing(msgspec.Struct, frozen=True, gc=False):
    """What an account may spend at one moment, and what stands in its way.

    `spendable` is what the buckets and caps allow before promises; `available` = spendable - reserved. `blocked_by` is the
    reason to give when `available` does not suffice: none, trial_expired, trial_daily_limit or daily_usage_cap.
    """

    spendable: int
    available: int
    blocked_by: str | None


def trial_left(balance: Balance, now_us: int, trial_daily: int) -> int:
    """Trial credit that may be spent now: nothing after its end, never more than the rest of today's share."""
    if now_us >= balance.trial_ends_at_us:
        return 0
    spent_today = balance.trial_day_spent if balance.trial_day == now_us // US_PER_DAY else 0
    return max(0, min(balance.trial, trial_daily - spent_today))


def allowance_left(balance: Balance, now_us: int) -> int:
    """Allowance that may be spent now: nothing after the end of its period."""
    return max(0, balance.allowance) if now_us < balance.allowance_ends_at_us else 0


def day_spent(balance: Balance, now_us: int) -> int:
    """Spent in the current UTC day."""
    return balance.day_spent if balance.day == now_us // US_PER_DAY else 0


def available(balance: Balance, now_us: int, trial_daily: int) -> int:
    """What the account may spend now beside what is promised: see `Standing.available`."""
    if balance.daily_cap is not None:
        return standing(balance, now_us, trial_daily).available
    return _funds(balance, now_us, trial_daily) - balance.reserved


def standing(balance: Balance, now_us: int, trial_daily: int) -> Standing:
    """What the account may spend now, and why not more."""
    spendable = _funds(balance, now_us, trial_daily)
    blocked: str | None = None
    if balance.trial > trial_left(balance, now_us, trial_daily):
        blocked = "trial_daily_limit" if now_us < balance.trial_ends_at_us else "trial_expired"
    if balance.daily_cap is not None:
        rest = balance.daily_cap - day_spent(balance, now_us)
        if rest < spendable:
            spendable, blocked = rest, "daily_usage_cap"
    return Standing(spendable, spendable - balance.reserved, blocked)


def _funds(balance: Balance, now_us: int, trial_daily: int) -> int:
    """What the buckets hold that may be spent now."""
    # Purchased credit may be negative after an over-generation; then it takes from the rest.
    funds = balance.purchased
    if balance.trial:
        funds += trial_left(balance, now_us, trial_daily)
    if balance.allowance:
        funds += allowance_left(balance, now_us)
    return funds


def deduct(balance: Balance, amount: int, now_us: int, trial_daily: int) -> Split:
    """Takes `amount` (>= 0) out of the buckets in their order, in place, and says from which.

    What no bucket covers is taken from purchased credit, which may become negative.
    """
    today = now_us // US_PER_DAY
    if balance.day != today:
        balance.day, balance.day_spent = today, 0
    if balance.trial_day != today:
        balance.trial_day, balance.trial_day_spent = today, 0
    from_trial, from_allowance, rest = 0, 0, amount
    if balance.trial:
        from_trial = min(rest, trial_left(balance, now_us, trial_daily))
        rest -= from_trial
        balance.trial -= from_trial
        balance.trial_day_spent += from_trial
    if balance.allowance:
        from_allowance = min(rest, allowance_left(balance, now_us))
        rest -= from_allowance
        balance.allowance -= from_allowance
    balance.purchased -= rest
    balance.day_spent += amount
    return Split(-from_trial, -from_allowance, -rest)


def would_deduct(balance: Balance, amount: int, now_us: int, trial_daily: int) -> Split:
    """The split that `deduct` would make; changes nothing."""
    return deduct(copy(balance), amount, now_us, trial_daily)


def is_low(balance: Balance, available: int, low_nano_usd: int) -> bool:
    """True if what is available is below the warning threshold: 20 % of the last top-up or the configured sum, the lower."""
    return available < low_nano_usd and (balance.last_topup <= 0 or available < balance.last_topup // 5)


def payment_details(available: int, required: int, balance_total: int) -> dict[str, float]:
    """The money fields of a 402 body, in USD."""
    return {
        "balance_usd": usd_number(balance_total),
        "required_usd": usd_number(required),
        "shortfall_usd": usd_number(max(0, required - available)),
    }
