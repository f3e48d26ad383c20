"""Alarms that hardly ever ring: setting and clearing one costs a dictionary entry, not a timer of the event loop.

Every request waits for a provider at most so long, and is watched for a client that leaves. Nearly all of them are over
before, so precision is traded for cost: one timer ticks for all alarms, and they ring up to one tick late.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Self

TICK_S = 0.05

Ring = Callable[[], None]
Rings = set[Ring]
_NONE: dict[int, Ring] = {}


class Alarms:
    """The alarms of one event loop. Ticks only while any is set."""

    def __init__(self) -> None:
        self._rings: defaultdict[int, dict[int, Ring]] = defaultdict(dict)  # by tick, then by id
        self._soon: Rings = set()  # set since the last tick
        self._next: Rings = set()  # set before it: they ring at the next one
        self._next_id = 0
        self._ticked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def set(self, at_s: float, ring: Ring) -> tuple[int, int]:
        """Calls `ring` at `at_s` of the loop's clock or up to two ticks later; returns what `clear` wants."""
        if self._timer is None:
            self._start()
        tick = int(at_s / TICK_S) + 1
        if tick <= self._ticked:
            tick = self._ticked + 1
        number = self._next_id = self._next_id + 1
        self._rings[tick][number] = ring
        return tick, number

    def clear(self, alarm: tuple[int, int]) -> None:
        """Forgets an alarm. One that rang, or was cleared before, is no trouble."""
        tick, number = alarm
        rings = self._rings.get(tick)
        if rings is not None:
            rings.pop(number, None)
            if not rings:
                del self._rings[tick]

    def soon(self, ring: Ring) -> Rings:
        """Calls `ring` one to two ticks from now, once however often it is set for then.

        It is forgotten by discarding it from the set that is returned; one that rang is no longer in there.
        """
        if self._timer is None:
            self._start()
        self._soon.add(ring)
        return self._soon

    def until(self, at_s: float) -> "Deadline":
        """A context in which the current task may work until `at_s`; then TimeoutError, as from `asyncio.timeout_at`."""
        return Deadline(self, at_s)

    def within(self, wait_s: float, at_s: float) -> "Deadline":
        """The same until `wait_s` from now, or until `at_s` if that is sooner."""
        until_s = asyncio.get_running_loop().time() + wait_s
        return Deadline(self, until_s if until_s < at_s else at_s)

    def _start(self) -> None:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        self._ticked = int(loop.time() / TICK_S)
        self._timer = loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None
        now = int(self._loop.time() / TICK_S)
        due: list[Ring] = []
        for tick in range(self._ticked + 1, now + 1):
            due += self._rings.pop(tick, _NONE).values()
        self._ticked = now
        due += self._next
        self._next.clear()
        self._next, self._soon = self._soon, self._next
        waiting = self._rings or self._next
        self._timer = self._loop.call_later(TICK_S, self._tick) if waiting else None
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
