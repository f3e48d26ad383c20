"""Velocity mode: when an unusual share of requests fails, all limits shrink until failures have stopped for a while.

`VelocityMeter` is a function of what was observed and of the time that is handed in. `Velocity` gives it the clock,
tells the log, and exchanges its counts per second with the other processes, once a second and never per request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.redis import Arg, RedisAway, RedisLink, Script
from gatewayz.policy.limits.state import Mode
from gatewayz.settings import Settings

log = structlog.get_logger(__name__)

EXCHANGE = Script(Path(__file__).with_name("velocity.lua").read_text("utf-8"))
# A client that leaves sooner has changed its mind; one that leaves later has given up on us.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class VelocityStatus:
    """The mode and the figures behind it. `until_us`: when full limits return if the share stays below from now on."""

    active: bool
    until_us: int | None
    failure_rate: float
    failures: int
    requests: int


class VelocityMeter:
    """Requests and failures per second over the rolling window, and whether the mode is on.

    Seconds are whole epoch seconds. `active` is as of the last `advance` or `observe`.
    """

    def __init__(self, *, threshold: float, window_s: float, cooldown_s: float, min_requests: int) -> None:
        self.active = False
        self.requests = 0
        self.failures = 0
        self.last_above_s = 0
        self._threshold = threshold
        self._window_s = max(1, round(window_s))
        self._cooldown_s = cooldown_s
        self._min_requests = min_requests
        self._second = 0
        self._current = [0, 0]  # requests and failures of this process in this second
        self._own: dict[int, list[int]] = {0: self._current}
        self._others: dict[int, tuple[int, int]] = {}

    @property
    def until_s(self) -> float:
        """Epoch second at which the mode ends if the share stays below the threshold from now on."""
        return self.last_above_s + self._cooldown_s

    def observe(self, second: int, failed: bool) -> None:
        """Counts one finished request of this process."""
        if second != self._second:
            self.advance(second)
        count = self._current
        count[0] += 1
        self.requests += 1
        if failed:
            count[1] += 1
            self.failures += 1
        if self.failures:
            self._judge()

    def advance(self, second: int) -> None:
        """Moves the window to this second, judging each second on the way; a clock set back a little stands still."""
        if second < self._second - self._window_s:
            self._forget(second)
        if second - self._second > self._window_s:
            # Beyond one window everything has left it: the steps in between would all judge the same nothing.
            self._step_through(self._second + self._window_s)
            self._forget(second)
        self._step_through(second)
        if self.active and second >= self.until_s:
            self.active = False

    def own_counts(self) -> list[tuple[int, int, int]]:
        """This process's (second, requests, failures) inside the window."""
        return [(second, count[0], count[1]) for second, count in self._own.items() if count[0]]

    def hear(self, others: Iterable[tuple[int, int, int]], last_above_s: int, second: int) -> None:
        """Replaces what is known of all other processes: their counts, and when one of them was last above."""
        self.advance(second)
        self._others = {at: (requests, failures) for at, requests, failures in others if at > second - self._window_s}
        self.requests = sum(count[0] for count in self._own.values()) + sum(c[0] for c in self._others.values())
        self.failures = sum(count[1] for count in self._own.values()) + sum(c[1] for c in self._others.values())
        if last_above_s > self.last_above_s and second < last_above_s + self._cooldown_s:
            self.active, self.last_above_s = True, last_above_s
        self._judge()

    def _step_through(self, second: int) -> None:
        while self._second < second:
            self._second += 1
            gone = self._second - self._window_s
            own, other = self._own.pop(gone, None), self._others.pop(gone, None)
            for count in (own, other):
                if count is not None:
                    self.requests -= count[0]
                    self.failures -= count[1]
            self._judge()
        self._current = self._own.setdefault(self._second, [0, 0])

    def _judge(self) -> None:
        if self.requests >= self._min_requests and self.failures > self._threshold * self.requests:
            self.active = True
            self.last_above_s = self._second

    def _forget(self, second: int) -> None:
        self._current = [0, 0]
        self._own, self._others = {second: self._current}, {}
        self.requests = self.failures = 0
        self._second = second
        self.last_above_s = min(self.last_above_s, second)


class Velocity:
    """The mode of this process, as of the last observation: `active`, and `mode`, its word for the headers.

    `entered` and `left` count the changes, for metrics.
    """

    def __init__(self, settings: Settings, clock: Clock, link: RedisLink, process: str) -> None:
        self.active = False
        self.mode: Mode = "normal"
        self.entered = 0
        self.left = 0
        self._factor = settings.velocity_factor
        self._window_s = max(1, round(settings.velocity_window_s))
        self._cooldown_s = settings.velocity_cooldown_s
        self._clock = clock
        self._link = link
        self._process = process
        self._said: dict[int, tuple[int, int]] = {}
        self._meter = VelocityMeter(
            threshold=settings.velocity_threshold,
            window_s=settings.velocity_window_s,
            cooldown_s=settings.velocity_cooldown_s,
            min_requests=settings.velocity_min_requests,
        )
        link.on_state(lambda _: self._said.clear())

    def observe(self, status: int, aborted_after_s: float | None = None) -> None:
        """Counts one finished request: a 5xx, or a client that left after more than 5 s, is a failure; 4xx are not."""
        failed = status >= 500 or (aborted_after_s is not None and aborted_after_s > PATIENCE_S)
        meter = self._meter
        meter.observe(self._clock.now_us() // US_PER_S, failed)
        if meter.active != self.active:
            self._follow()

    def refresh(self) -> None:
        """Lets time pass: the mode ends by itself."""
        self._meter.advance(self._clock.now_us() // US_PER_S)
        if self._meter.active != self.active:
            self._follow()

    def reduced(self, limit: int) -> int:
        """What is left of a limit in velocity mode, at least 1; 0 (no limit) stays 0."""
        return max(1, int(limit * self._factor)) if limit else 0

    def status(self) -> VelocityStatus:
        """The mode now, with its figures."""
        self.refresh()
        meter = self._meter
        return VelocityStatus(
            active=self.active,
            until_us=round(meter.until_s * US_PER_S) if self.active else None,
            failure_rate=meter.failures / meter.requests if meter.requests else 0.0,
            failures=meter.failures,
            requests=meter.requests,
        )

    async def exchange(self) -> None:
        """Tells the other processes our counts and hears theirs; without Redis this process judges alone."""
        self.refresh()
        if self._link.state != "up":
            return  # what was heard of the others ages like our own counts
        second = self._clock.now_us() // US_PER_S
        own = {at: (requests, failures) for at, requests, failures in self._meter.own_counts()}
        news = [(at, *count) for at, count in own.items() if self._said.get(at) != count]
        keep_s = self._window_s + round(self._cooldown_s) + 60
        args: list[Arg] = [
            self._process,
            keep_s,
            second,
            self._window_s,
            self._meter.last_above_s,
        ]
        for entry in news:
            args += entry
        try:
            last_above_s, *flat = await self._link.run_script(EXCHANGE, ["velocity:"], args)
        except RedisAway:
            return
        self._said = own
        others = [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3)]
        self._meter.hear(others, last_above_s, self._clock.now_us() // US_PER_S)
        self.refresh()

    def _follow(self) -> None:
        self.active = self._meter.active
        self.mode = "velocity" if self.active else "normal"
        status = {"requests": self._meter.requests, "failures": self._meter.failures}
        if self.active:
            self.entered += 1
            log.warning("velocity_mode_entered", **status)
        else:
            self.left += 1
            log.warning("velocity_mode_left", **status)
