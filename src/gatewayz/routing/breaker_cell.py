"""What one process knows of one provider's breaker: a mirror, and what it has heard and not written yet."""

from gatewayz.routing.breaker_state import CLOSED, Breaker, BreakerConfig, BreakerState, Event, at, stricter


class Cell:
    """One provider's breaker in this process.

    `shared` is the last value known to stand in Redis (or decided here while it is away), `value` the same after the
    events that are not written yet. `reset_us` is when it was last reset while Redis was away (0: never). While `value` is
    not CLOSED the cell stands in `troubled`.
    """

    __slots__ = (
        "changed_us",
        "config",
        "events",
        "freed",
        "probes",
        "provider",
        "rejoin",
        "reset_us",
        "shared",
        "troubled",
        "value",
    )

    def __init__(self, provider: str, config: BreakerConfig, troubled: "set[Cell]") -> None:
        self.provider = provider
        self.config = config
        self.troubled = troubled
        self.shared = CLOSED
        self.value = CLOSED
        self.changed_us = 0
        self.events: list[Event] = []
        self.freed: list[str] = []
        self.probes: dict[str, tuple[int, int]] = {}
        self.rejoin = False
        self.reset_us = 0

    def settle(self, breaker: Breaker, now_us: int) -> None:
        """Both values become this one."""
        if breaker == CLOSED:
            breaker = CLOSED  # the one object, so that the way of a healthy provider compares identities only
        if breaker != self.shared:
            self.changed_us = now_us
        self.shared = breaker
        self.show(breaker)

    def show(self, breaker: Breaker) -> None:
        """`value` becomes this one."""
        self.value = breaker
        if breaker.state is BreakerState.CLOSED:
            self.troubled.discard(self)
        else:
            self.troubled.add(self)

    def drop_probes(self, opened_at_us: int, now_us: int) -> None:
        """Frees the places of earlier openings and of probes that were never heard of again."""
        self.probes = {
            token: (opening_us, until_us)
            for token, (opening_us, until_us) in self.probes.items()
            if opening_us == opened_at_us and until_us > now_us
        }

    def rejoined(self, found: Breaker, reset_us: int, now_us: int) -> Breaker:
        """Where to go on from after an outage: the stricter of both, but for openings that were reset since."""
        here, there = (
            CLOSED if 0 < breaker.opened_at_us <= reset_us else at(breaker, self.config, now_us)
            for breaker in (self.shared, found)
        )
        return stricter(here, there)
