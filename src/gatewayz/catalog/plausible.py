"""Can this price be true? What a provider's list states, against everybody else's prices and against its own of yesterday.

Lists differ in their units by factors of a hundred and more, and a unit misread is a wrong bill for everybody. So a stated
price is used only if something else bears it out; what is not borne out waits, and the last good price stays.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from gatewayz.catalog.prices import PriceSnapshot
from gatewayz.catalog.records import PriceRecord

# Providers of one model really ask up to ten times as much as others do; units are wrong by a hundred or more.
FARTHEST_FROM_OTHERS = 20.0
# The whole list against all others: one shared factor means one misread unit.
FARTHEST_OF_ALL = 6.0
COMPARISONS_NEEDED = 3
# Nano-USD per million tokens: nothing sold is cheaper than 0.001 USD or dearer than 2000 USD per million tokens.
LOWEST, HIGHEST = 1_000_000, 2_000 * 10**9
# A price may be this many times another without being a change worth a second look.
LARGEST_STEP = 3.0


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of a model's price: at the other providers, and in force at this one (None: nothing)."""

    others: tuple[PriceSnapshot, ...]
    own: PriceSnapshot | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a price is not used yet. `waits`: seen again in a later list, it is."""

    reason: str
    detail: str
    waits: bool = False


def list_doubt(stated: Iterable[tuple[PriceRecord, Reference]]) -> Doubt | None:
    """Why no price of a whole list can be believed, None if it can.

    Each price is compared with the middle of the others', or with the provider's own in force where nobody else sells the
    model. Fewer than three comparisons say nothing.
    """
    factors = [factor for price, known in stated for factor in _factors(price, _middle(known) or known.own)]
    if len(factors) < COMPARISONS_NEEDED:
        return None
    factor = median(factors)
    if 1 / FARTHEST_OF_ALL <= factor <= FARTHEST_OF_ALL:
        return None
    return Doubt(
        "list_unit_suspect", f"prices of this list are {factor:.3g} times those known, in the middle of {len(factors)}"
    )


def comparisons(stated: Iterable[tuple[PriceRecord, Reference]]) -> int:
    """How many figures of a list can be compared with something."""
    return sum(len(_factors(price, _middle(known) or known.own)) for price, known in stated)


def price_doubt(
    price: PriceRecord,
    known: Reference,
    *,
    borne_out: bool,
    pending: PriceRecord | None,
    approved: PriceRecord | None,
    largest_step: float = LARGEST_STEP,
) -> Doubt | None:
    """Why this price is not used now, None if it is.

    `borne_out`: the list as a whole was compared with others and agrees. `pending` is the price that waited since the last
    list; `approved` the one that an administrator confirmed, which needs no other proof.
    """
    if approved is not None and price == approved:
        return None
    figures = [("prompt", price.prompt), ("completion", price.completion)]
    for name, value in figures:
        if value and not LOWEST <= value <= HIGHEST:
            return Doubt("price_implausible", f"{name} {_usd(value)} per million tokens is out of all bounds")
    middle = _middle(known)
    for name, factor in zip(("prompt", "completion"), _factors(price, middle), strict=False):
        if not 1 / FARTHEST_FROM_OTHERS <= factor <= FARTHEST_FROM_OTHERS:
            return Doubt("price_implausible", f"{name} is {factor:.3g} times what other providers ask")
    if known.own is None:
        if middle is None and not borne_out:
            return Doubt("price_unconfirmed", "nothing known to compare this price or this list with")
        return None
    if known.own.tiers and not price.tiers and not _same_base(price, known.own):
        return Doubt("price_incomplete", "the price in force has tiers for long prompts, this one states none")
    for name, factor in zip(("prompt", "completion"), _factors(price, known.own), strict=False):
        if not 1 / largest_step <= factor <= largest_step and price != pending:
            return Doubt("price_step", f"{name} is {factor:.3g} times the price in force", waits=True)
    return None


def _same_base(price: PriceRecord, own: PriceSnapshot) -> bool:
    return (price.prompt, price.completion) == (own.prompt, own.completion)


@dataclass(frozen=True, slots=True)
class _Middle:
    prompt: int
    completion: int


def _middle(known: Reference) -> _Middle | None:
    paid = [price for price in known.others if price.by_token]
    if not paid:
        return None
    return _Middle(_median([price.prompt for price in paid]), _median([price.completion for price in paid]))


def _median(values: Sequence[int]) -> int:
    return round(median(values))


def _factors(price: PriceRecord, base: "PriceSnapshot | _Middle | None") -> list[float]:
    """Prompt and completion as multiples of the base's, where both cost something."""
    if base is None:
        return []
    pairs = ((price.prompt, base.prompt), (price.completion, base.completion))
    return [stated / there for stated, there in pairs if stated and there]


def _usd(nano: int) -> str:
    return f"{nano / 1e9:.6g} USD"
