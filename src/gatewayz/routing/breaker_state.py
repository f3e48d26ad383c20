"""The breaker of one provider as a value, and the functions that move it; time is an argument, nothing is stored here.

CLOSED counts failures in a row and opens at the threshold. OPEN lets nothing through until the cool-down is over; from
then on it reads as HALF_OPEN, by time alone. HALF_OPEN lets single probes through: enough successes in a row close it,
one failure opens it again and restarts the cool-down.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, assert_never

from gatewayz.infra.clock import US_PER_S
from gatewayz.settings import Settings

Verdict = Literal["success", "failure"]
Move = tuple["BreakerState", "BreakerState"]


class BreakerState(StrEnum):
    """The three states, as operators and metrics read them."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """Thresholds of one provider: failures in a row that open, seconds of cool-down, successes in a row that close,
    probes at the same time."""

    failures: int = 5
    cooldown_s: float = 60.0
    successes: int = 3
    half_open_concurrency: int = 1

    @property
    def cooldown_us(self) -> int:
        """The cool-down in microseconds."""
        return round(self.cooldown_s * US_PER_S)

    @classmethod
    def from_settings(cls, settings: Settings) -> "BreakerConfig":
        """The thresholds of every provider that has none of its own."""
        return cls(
            failures=settings.breaker_failures,
            cooldown_s=settings.breaker_cooldown_s,
            successes=settings.breaker_successes,
            half_open_concurrency=settings.breaker_half_open_concurrency,
        )


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker. `opened_at_us` (0 while CLOSED) also tells one opening from the next."""

    state: BreakerState = BreakerState.CLOSED
    failure_count: int = 0
    success_count: int = 0
    opened_at_us: int = 0


CLOSED = Breaker()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that moves a breaker: the verdict of a call let through under `opening_us`, or a reset."""

    kind: Verdict | Literal["reset"]
    opening_us: int
    at_us: int


def at(breaker: Breaker, config: BreakerConfig, now_us: int) -> Breaker:
    """The breaker as it is at this time: OPEN becomes HALF_OPEN when the cool-down is over.

    A wall clock that was set back must not hold a provider for ever: an opening that lies more than one cool-down in
    the future is over too.
    """
    if breaker.state is not BreakerState.OPEN or abs(now_us - breaker.opened_at_us) < config.cooldown_us:
        return breaker
    return replace(breaker, state=BreakerState.HALF_OPEN, success_count=0)


def after(breaker: Breaker, config: BreakerConfig, verdict: Verdict, opening_us: int, now_us: int) -> Breaker:
    """The breaker after the verdict of a call that was let through under `opening_us` (0: while CLOSED).

    A verdict that belongs to an earlier condition changes nothing: a call sent before the breaker opened, or a probe of
    an earlier opening, says nothing about the provider of now.
    """
    breaker = at(breaker, config, now_us)
    if opening_us != breaker.opened_at_us:
        return breaker
    match breaker.state:
        case BreakerState.CLOSED:
            if verdict == "success":
                return CLOSED
            failures = breaker.failure_count + 1
            if failures < config.failures:
                return replace(breaker, failure_count=failures)
            return Breaker(BreakerState.OPEN, failures, 0, now_us)
        case BreakerState.HALF_OPEN:
            if verdict == "failure":
                return Breaker(BreakerState.OPEN, breaker.failure_count + 1, 0, now_us)
            successes = breaker.success_count + 1
            return CLOSED if successes >= config.successes else replace(breaker, success_count=successes)
        case BreakerState.OPEN:
            return breaker
        case never:
            assert_never(never)


def moved(breaker: Breaker, config: BreakerConfig, events: Iterable[Event], now_us: int) -> tuple[Breaker, list[Move]]:
    """The breaker after these events and at this time, and the moves between states on the way."""
    moves: list[Move] = []

    def go(new: Breaker) -> Breaker:
        if new.state is not breaker.state:
            moves.append((breaker.state, new.state))
        return new

    for event in events:
        breaker = go(at(breaker, config, event.at_us))
        if event.kind == "reset":
            breaker = go(CLOSED)
        else:
            breaker = go(after(breaker, config, event.kind, event.opening_us, event.at_us))
    return go(at(breaker, config, now_us)), moves


_STRICTNESS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


def stricter(one: Breaker, other: Breaker) -> Breaker:
    """The one that lets less through: OPEN before HALF_OPEN before CLOSED; later openings, more failures first."""

    def rank(breaker: Breaker) -> tuple[int, int, int, int]:
        strictness = _STRICTNESS[breaker.state]
        return strictness, breaker.opened_at_us, -breaker.success_count, breaker.failure_count

    return max(one, other, key=rank)
