"""Alarms that hardly ever ring: setting and clearing one costs a dictionary entry, not a timer of the event loop.

Every request waits for a provider at most so long, and is watched for a client that leaves. Nearly all of them are over
before, so precision is traded for cost: one timer ticks for all alarms, and they ring up to one tick late.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

TICK_S = 0.05

Ring = Callable[[], None]
_NONE: dict[int, Ring] = {}


class Alarms:
    """The alarms of one event loop. Ticks only while any is set."""

    def __init__(self) -> None:
        self._rings: dict[int, dict[int, Ring]] = {}  # by tick, then by id
        self._next_id = 0
        self._ticked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def set(self, at_s: float, ring: Ring) -> tuple[int, int]:
        """Calls `ring` at `at_s` of the loop's clock or up to two ticks later; returns what `clear` wants."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        if self._timer is None:
            self._ticked = int(loop.time() / TICK_S)
            self._timer = loop.call_later(TICK_S, self._tick)
        tick = max(int(at_s / TICK_S), self._ticked) + 1
        self._next_id += 1
        rings = self._rings.get(tick)
        if rings is None:
            rings = self._rings[tick] = {}
        rings[self._next_id] = ring
        return tick, self._next_id

    def clear(self, alarm: tuple[int, int]) -> None:
        """Forgets an alarm. One that rang, or was cleared before, is no trouble."""
        rings = self._rings.get(alarm[0])
        if rings is not None:
            rings.pop(alarm[1], None)
            if not rings:
                del self._rings[alarm[0]]

    def until(self, at_s: float) -> "Deadline":
        """A context in which the current task may work until `at_s`; then TimeoutError, as from `asyncio.timeout_at`."""
        return Deadline(self, at_s)

    def _tick(self) -> None:
        assert self._loop is not None
        now = int(self._loop.time() / TICK_S)
        due: list[Ring] = []
        for tick in range(self._ticked + 1, now + 1):
            due += self._rings.pop(tick, _NONE).values()
        self._ticked = now
        self._timer = self._loop.call_later(TICK_S, self._tick) if self._rings else None
        for ring in due:
            ring()


class Deadline:
    """See `Alarms.until`. Used once."""

    __slots__ = ("_alarm", "_alarms", "_at_s", "_before", "_rang", "_task")

    def __init__(self, alarms: Alarms, at_s: float) -> None:
        self._alarms = alarms
        self._at_s = at_s
        self._rang = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self._task = task
        self._before = task.cancelling()
        self._alarm = self._alarms.set(self._at_s, self._ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarms.clear(self._alarm)
        # Somebody else may have cancelled the task as well; then that is what happened.
        if self._rang and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _ring(self) -> None:
        self._rang = True
        self._task.cancel()
