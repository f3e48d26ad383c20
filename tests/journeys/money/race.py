"""Requests that cost exactly what is set aside for them, so that it is known how many of them a balance pays for."""

from collections.abc import Sequence
from decimal import Decimal

from tests.journeys.money.load import Ask, Load, Told
from tests.journeys.money.scene import COMPLETION_NANO, MAX_TOKENS, PROMPT_NANO, QUICK, Stage
from tests.live import Customer

NANO = 1_000_000_000


def make_cost_equal_hold(scene: Stage) -> int:
    """Scripts the quick provider to use up every hold; returns nano-USD of one."""
    poor = scene.gateway.customer("0.000000001")
    refused = poor.chat(QUICK, "Hello!", max_tokens=MAX_TOKENS)
    assert refused.status_code == 402, refused.text
    hold_nano = round(Decimal(str(refused.json()["error"]["required_usd"])) * NANO)
    prompt_tokens, rest = divmod(hold_nano - MAX_TOKENS * COMPLETION_NANO, PROMPT_NANO)
    assert rest == 0
    usage = {"prompt": prompt_tokens, "completion": MAX_TOKENS}
    # Slow enough that every request is there before the first one has been paid.
    scene.upstream.script("quick", default={"usage": usage, "delay_s": 0.5})
    return hold_nano


def usd(nano: int) -> str:
    """The amount as the API takes it."""
    return format(Decimal(nano) / NANO, "f")


def purchased(customer: Customer) -> int:
    """Nano-USD that the account has."""
    return round(Decimal(customer.balance()["balance_usd_exact"]) * NANO)


def race_for_twenty(scene: Stage, load: Load, hold_nano: int) -> Customer:
    """200 requests at once on money for 20: exactly 20 are served, all others are told that they cannot pay."""
    customer = scene.gateway.customer(usd(20 * hold_nano))
    told = load.ask([Ask(customer, QUICK, stream=number % 2 == 0) for number in range(200)])
    assert sum(each.complete for each in told) == 20, outcomes(told)
    assert sum(each.status == 402 for each in told) == 180, outcomes(told)
    assert purchased(customer) == 0
    return customer


def outcomes(told: Sequence[Told]) -> list[tuple[int | None, str | None, bool]]:
    """What was told, for a failing test."""
    return sorted({(each.status, each.code, each.complete) for each in told}, key=str)
