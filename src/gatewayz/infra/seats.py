"""Seats at one listening socket: how many workers of a machine serve at once, and how many connections each of them has.

A file that every worker maps: for each seat a number (0: empty, otherwise one more than its connections) and a lock on a
byte. The system gives a lock back when its process ends, however it ends, so no dead worker holds a seat. Workers beyond
the seats queue for one.
"""

import fcntl
import mmap
import os
import time
from pathlib import Path
from threading import Thread
from typing import Protocol

_NUMBER_BYTES = 8
_LOOK_S = 0.05
# Among many connections a few more are no difference that anybody is waited for.
_SLACK_SHARE = 16


class Wakes(Protocol):
    """What is called in a thread when a seat was got."""

    def __call__(self) -> None: ...


class Seats:
    """One worker's view of the seats. Without a seat it has no number.

    The file must be opened once in a process and stay open: closing any descriptor of it would give up all its locks.
    """

    def __init__(self, path: Path, seats: int) -> None:
        """Opens the file, or makes it. Raises ValueError for less than one seat, OSError if the file cannot be opened."""
        if seats < 1:
            raise ValueError("there must be at least one seat")
        self._seats = seats
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._descriptor, seats * _NUMBER_BYTES)
        self._numbers = memoryview(mmap.mmap(self._descriptor, seats * _NUMBER_BYTES)).cast("q")
        self._mine: int | None = None

    @property
    def is_seated(self) -> bool:
        """Whether this worker holds a seat."""
        return self._mine is not None

    def take(self) -> bool:
        """Takes a free seat; False if there is none. A worker that has one keeps it."""
        if self._mine is None:
            for seat in range(self._seats):
                if self._locked(seat):
                    self._sit(seat)
                    break
        return self._mine is not None

    def wait(self, got: Wakes) -> None:
        """Waits for a seat in a thread of its own, which calls `got` when this worker has it."""
        Thread(target=self._wait, args=(got,), name="waits-for-a-seat", daemon=True).start()

    def leave(self) -> None:
        """Gives the seat up, for whoever waits for it. May be called twice."""
        if self._mine is not None:
            seat, self._mine = self._mine, None
            self._numbers[seat] = 0
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, seat)

    def add(self, connections: int) -> None:
        """Counts connections of this worker (negative: they are gone). Nothing without a seat."""
        if self._mine is not None:
            self._numbers[self._mine] += connections

    @property
    def has_room(self) -> bool:
        """Whether this worker has hardly more connections than who has fewest of all that have a seat."""
        if self._mine is None:
            return False
        least = min(filter(None, self._numbers))
        return self._numbers[self._mine] <= least + least // _SLACK_SHARE

    def _locked(self, byte: int, *, wait: bool = False) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, byte)
        except (BlockingIOError, PermissionError):  # POSIX allows both for a lock that another process has
            return False
        return True

    def _sit(self, seat: int) -> None:
        # What a worker before has left there counts its connections, which ended with it.
        self._numbers[seat] = 1
        self._mine = seat

    def _wait(self, got: Wakes) -> None:
        # Only the first of those who wait looks for a seat, the others wait for its place.
        queue = self._seats * _NUMBER_BYTES
        self._locked(queue, wait=True)
        while not self.take():
            time.sleep(_LOOK_S)
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, queue)
        got()
