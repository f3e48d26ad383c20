"""Counting on the hot path: plain numbers, handed to the metrics once a second and whenever somebody looks.

A counter of the metrics library costs half a microsecond a step and a histogram more than one, since they are safe for
threads; a request takes a dozen such steps. All counting here happens on the event loop's thread.
"""

from bisect import bisect_left
from typing import Any

from prometheus_client import Counter, Histogram


class Count:
    """What has been added to one child of a counter since the last flush: add to `value`."""

    __slots__ = ("_child", "value")

    def __init__(self, child: Any) -> None:
        self._child = child
        self.value: int | float = 0

    def flush(self) -> None:
        """Hands over what was counted."""
        if self.value:
            value, self.value = self.value, 0
            self._child.inc(value)


class Bins:
    """What one child of a histogram has observed since the last flush."""

    __slots__ = ("_bounds", "_child", "_counts", "_sum")

    def __init__(self, child: Any) -> None:
        self._child = child
        self._bounds: list[float] = child._upper_bounds
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Observes a value (a bucket holds what is at most its bound)."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        """Hands over what was observed."""
        child = self._child
        for place, count in enumerate(self._counts):
            if count:
                child._buckets[place].inc(count)
                self._counts[place] = 0
        if self._sum:
            child._sum.inc(self._sum)
            self._sum = 0.0


class Tally:
    """The counts and bins of one process, each made once for its labels. Not for threads."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, ...], Count | Bins] = {}

    def count(self, family: Counter, *labels: str) -> Count:
        """The count of the family's child with these labels."""
        key = (family._name, *labels)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = Count(family.labels(*labels) if labels else family)
        assert isinstance(held, Count)
        return held

    def bins(self, family: Histogram, *labels: str) -> Bins:
        """The bins of the family's child with these labels."""
        key = (family._name, *labels)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = Bins(family.labels(*labels) if labels else family)
        assert isinstance(held, Bins)
        return held

    def flush(self) -> None:
        """Hands everything to the metrics. May be called at any time, as often as one likes."""
        for held in self._held.values():
            held.flush()
