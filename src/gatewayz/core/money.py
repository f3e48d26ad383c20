"""Money as integers: nano-USD amounts and nano-USD-per-million-token prices.

1 USD = 1_000_000_000 nano-USD; 1 credit = 0.01 USD = 10_000_000 nano-USD. A price of `p` USD per million tokens is
the integer `p * 10**9` (`nano_per_mtok`), so that every published price is exact and a charge is rounded once.
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from functools import lru_cache

NANO_PER_USD = 1_000_000_000
NANO_PER_CREDIT = 10_000_000
TOKENS_PER_PRICE_UNIT = 1_000_000

_MAX_NANO = 2**63 - 1


def nano_from_usd(amount: str | int | float | Decimal) -> int:
    """Nano-USD of an amount in USD; a float is read through its shortest decimal form.

    Raises ValueError for what is no finite number, has more than 9 decimal places, or does not fit 63 bits.
    """
    try:
        value = Decimal(str(amount)) if isinstance(amount, float) else Decimal(amount)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise ValueError(f"not an amount of money: {amount!r}") from error
    if not value.is_finite():
        raise ValueError(f"not an amount of money: {amount!r}")
    with localcontext() as context:
        context.prec = 60
        nano = value * NANO_PER_USD
        whole = nano.to_integral_value()
        if nano != whole:
            raise ValueError(f"more than 9 decimal places: {amount!r}")
    if abs(whole) > _MAX_NANO:
        raise ValueError(f"amount out of range: {amount!r}")
    return int(whole)


def usd(nano_usd: int) -> Decimal:
    """Exact USD of an amount in nano-USD."""
    with localcontext() as context:
        context.prec = 40
        return Decimal(nano_usd) / NANO_PER_USD


@lru_cache(maxsize=256)  # a request writes its cost several times
def usd_text(nano_usd: int) -> str:
    """USD as a plain decimal string without exponent or trailing zeros, e.g. `0.0042`, `-1`, `0`."""
    if nano_usd < 0:
        return "-" + usd_text(-nano_usd)
    return ("%d.%09d" % divmod(nano_usd, NANO_PER_USD)).rstrip("0").rstrip(".")  # noqa: UP031 (of a pair, quicker)


def usd_number(nano_usd: int) -> float:
    """USD as the nearest float, for JSON numbers that people read; never used to compute."""
    return nano_usd / NANO_PER_USD


def credits_number(nano_usd: int) -> float:
    """Credits (1 credit = 0.01 USD) as the nearest float, for JSON numbers that people read."""
    return nano_usd / NANO_PER_CREDIT


def divide_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded half to even; exact for integers of any size, denominator > 0."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest + (quotient & 1) > denominator)  # an odd quotient goes up from the half on


def price_per_mtok(usd_per_mtok: str | int | float | Decimal) -> int:
    """Integer price in nano-USD per million tokens of a price in USD per million tokens.

    A price with more than 9 decimal places (feeds that converted floats) is rounded half even.
    Raises ValueError for negative or unreadable prices.
    """
    try:
        value = Decimal(str(usd_per_mtok)) if isinstance(usd_per_mtok, float) else Decimal(usd_per_mtok)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise ValueError(f"not a price: {usd_per_mtok!r}") from error
    if not value.is_finite() or value < 0:
        raise ValueError(f"not a price: {usd_per_mtok!r}")
    with localcontext() as context:
        context.prec = 60
        nano = int((value * NANO_PER_USD).to_integral_value(rounding=ROUND_HALF_EVEN))
    if nano > _MAX_NANO:
        raise ValueError(f"price out of range: {usd_per_mtok!r}")
    return nano
