"""Time as an argument: aware UTC for people, microseconds for rows, monotonic seconds for waiting."""

import time
from datetime import UTC, datetime
from typing import Protocol

US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S


class Clock(Protocol):
    """Where a room reads the time from."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC (wall clock: may step)."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    monotonic_s = staticmethod(time.monotonic)


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now_us: int = 1_767_225_600 * US_PER_S) -> None:
        self._now_us = now_us
        self._monotonic_s = 1000.0

    def now_us(self) -> int:
        return self._now_us

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward."""
        self._now_us += round(seconds * US_PER_S)
        self._monotonic_s += seconds

    def step_wall(self, seconds: float) -> None:
        """Moves the wall clock alone, as an NTP step does."""
        self._now_us += round(seconds * US_PER_S)


def utc(us: int) -> datetime:
    """Aware UTC datetime of microseconds since the epoch."""
    seconds, micro = divmod(us, US_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micro)


def iso(us: int | None) -> str | None:
    """ISO 8601 UTC text ending in Z (None stays None)."""
    if us is None:
        return None
    return utc(us).isoformat(timespec="microseconds").replace("+00:00", "Z")


def day_of(us: int) -> int:
    """UTC day number since the epoch."""
    return us // US_PER_DAY


def parse_time_us(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 date or time (naive is UTC). Raises ValueError."""
    value = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return round(value.timestamp() * US_PER_S)
