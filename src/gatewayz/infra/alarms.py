"""Alarms that hardly ever ring: setting and clearing one costs an entry of a set, not a timer of the event loop.

Every request waits for a provider at most so long, and is watched for a client that leaves. Nearly all of them are over
before, so precision is traded for cost: one timer ticks for all alarms, and they ring up to one tick late. An alarm is
sorted in by its time at the first tick that it lives to see; many never do.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

TICK_S = 0.05

Ring = Callable[[], None]
Rings = set[Ring]


class Alarm(msgspec.Struct, eq=False):
    """Something that may ring at `at_s`. `tick` is the one it is sorted in under, 0 until it is."""

    at_s: float
    ring: Ring
    tick: int = 0


class Alarms:
    """The alarms of one event loop. Ticks only while any is set."""

    def __init__(self) -> None:
        self._fresh: set[Alarm | Deadline] = set()  # set since the last tick
        self._sorted: defaultdict[int, set[Alarm | Deadline]] = defaultdict(set)  # by tick
        self._soon: Rings = set()  # set since the last tick
        self._next: Rings = set()  # set before it: they ring at the next one
        self._ticked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def set(self, at_s: float, ring: Ring) -> Alarm:
        """Calls `ring` at `at_s` of the loop's clock or up to two ticks later; returns what `clear` wants."""
        if self._timer is None:
            self._start()
        alarm = Alarm(at_s, ring)
        self._fresh.add(alarm)
        return alarm

    def clear(self, alarm: "Alarm | Deadline") -> None:
        """Forgets an alarm. One that rang, or was cleared before, is no trouble."""
        self._fresh.discard(alarm)
        if alarm.tick:
            among = self._sorted.get(alarm.tick)
            if among is not None:
                among.discard(alarm)
                if not among:
                    del self._sorted[alarm.tick]

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
        until_s = (self._loop or self._own_loop()).time() + wait_s
        return Deadline(self, until_s if until_s < at_s else at_s)

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = self._loop or asyncio.get_running_loop()
        return loop

    def _start(self) -> None:
        loop = self._own_loop()
        self._ticked = int(loop.time() / TICK_S)
        self._timer = loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None
        now = int(self._loop.time() / TICK_S)
        due: list[Ring] = []
        for tick in range(self._ticked + 1, now + 1):
            due += [alarm.ring for alarm in self._sorted.pop(tick, ())]
        self._ticked = now
        due += self._sort_in()
        due += self._next
        self._next.clear()
        self._next, self._soon = self._soon, self._next
        waiting = self._sorted or self._next
        self._timer = self._loop.call_later(TICK_S, self._tick) if waiting else None
        for ring in due:
            ring()

    def _sort_in(self) -> list[Ring]:
        """Files what was set since the last tick under its own tick; returns what rings at once."""
        due: list[Ring] = []
        for alarm in self._fresh:
            alarm.tick = int(alarm.at_s / TICK_S) + 1
            if alarm.tick <= self._ticked:
                due.append(alarm.ring)
            else:
                self._sorted[alarm.tick].add(alarm)
        self._fresh.clear()
        return due


class Deadline(msgspec.Struct, eq=False):
    """See `Alarms.until`: an alarm that cancels the task in whose context it was set. Used once."""

    _alarms: Alarms
    at_s: float
    tick: int = 0
    _task: "asyncio.Task[object] | None" = None
    _before: int = 0
    _rang: bool = False

    def __enter__(self) -> Self:
        alarms = self._alarms
        task = self._task = asyncio.current_task(alarms._loop)
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self._before = task.cancelling()
        if alarms._timer is None:
            alarms._start()
        alarms._fresh.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.tick:
            self._alarms.clear(self)
        else:
            self._alarms._fresh.discard(self)
        # Somebody else may have cancelled the task as well; then that is what happened.
        task = self._task
        if self._rang and task is not None and task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def ring(self) -> None:
        """Cancels the task; leaving the context makes a TimeoutError of that."""
        if self._task is not None:
            self._rang = True
            self._task.cancel()
