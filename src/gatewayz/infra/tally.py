"""Counting on the hot path: plain numbers, handed to the metrics once a second and whenever somebody looks.

A counter of the metrics library costs half a microsecond a step and a histogram more than one, since they are safe for
threads; a request takes a dozen such steps. All counting here happens on the event loop's thread.
"""

from bisect import bisect_right
from typing import Any, Protocol

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
    """What one child of a histogram has observed since the last flush.

    `add` a value, or `extend` by several (they are sorted in when flushed).
    """

    __slots__ = ("_child", "_values", "add", "extend")

    def __init__(self, child: Any) -> None:
        self._child = child
        self._values: list[float] = []
        self.add = self._values.append
        self.extend = self._values.extend

    def flush(self) -> None:
        """Hands over what was observed (a bucket holds what is at most its bound)."""
        values, child = self._values, self._child
        if not values:
            return
        values.sort()
        before = 0
        for place, bound in enumerate(child._upper_bounds):
            upto = bisect_right(values, bound, before)
            if upto > before:
                child._buckets[place].inc(upto - before)
                before = upto
        child._sum.inc(sum(values))
        values.clear()


class Source(Protocol):
    """Whatever counts by itself until the next flush."""

    def flush(self) -> None:
        """Hands over what was counted."""
        ...


class Tally:
    """The counts and bins of one process, each made once for its labels. Not for threads."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, ...], Count | Bins] = {}
        self._sources: list[Source] = []

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

    def before_flush(self, source: Source) -> None:
        """Flushes `source`, which adds to counts held here, before everything else, from now on."""
        self._sources.append(source)

    def flush(self) -> None:
        """Hands everything to the metrics. May be called at any time, as often as one likes."""
        for source in self._sources:
            source.flush()
        for held in self._held.values():
            held.flush()
