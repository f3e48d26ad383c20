"""What do the measurements say? Pure: medians, spreads and ratios of samples."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One load run: one row, one trial, one repetition. `values` holds the figures by key, those that exist."""

    row: str
    trial: str
    repetition: int
    values: Mapping[str, float]
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Median of the repetitions and how far they reached."""

    median: float
    low: float
    high: float

    @property
    def swing(self) -> float:
        """How far the repetitions lay apart, as a share of the median; 0 if the median is."""
        return (self.high - self.low) / self.median if self.median else 0.0


Series = Mapping[int, float]


def spread(values: Iterable[float]) -> Spread | None:
    """The spread of these values; None if there are none."""
    known = sorted(values)
    return Spread(statistics.median(known), known[0], known[-1]) if known else None


def series(samples: Sequence[Sample], row: str, trial: str, key: str) -> dict[int, float]:
    """The figure of one row in one trial, by repetition. Repetitions without it are absent."""
    return {
        sample.repetition: sample.values[key]
        for sample in samples
        if sample.row == row and sample.trial == trial and key in sample.values
    }


def added(own: Series, base: Series) -> dict[int, float]:
    """What a row adds to `base`, repetition by repetition; only where both exist."""
    return {at: value - base[at] for at, value in own.items() if at in base}


def ratios(own: Series, base: Series) -> dict[int, float]:
    """How many times `base` a row is, repetition by repetition; only where both exist and `base` is above zero."""
    return {at: value / base[at] for at, value in own.items() if base.get(at, 0.0) > 0}


def values_of(report: Mapping[str, float], cpu_s: float | None, elapsed_s: float) -> dict[str, float]:
    """The figures of one load run: what the client reported, and CPU time of the target (None: not known) over it.

    CPU counts from the first request to the last, so it is divided by everything served, not by the measured window.
    """
    found = {"rps": report["rps"], "events_s": report["events_s"]}
    if report["samples"]:
        found |= {key: report[key] for key in ("p50_us", "p99_us", "first_p50_us", "first_p99_us")}
    if cpu_s is not None:
        found["busy"] = cpu_s / elapsed_s
        if report["served"]:
            found["cpu_us_request"] = cpu_s * 1e6 / report["served"]
        if report["served_events"]:
            found["cpu_us_event"] = cpu_s * 1e6 / report["served_events"]
    return found


def noise(samples: Sequence[Sample], trial: str, key: str) -> Spread | None:
    """How far the repetitions of one row lay apart, over all rows; None with fewer than two repetitions."""
    rows = dict.fromkeys(sample.row for sample in samples)
    swings = []
    for row in rows:
        values = series(samples, row, trial, key)
        found = spread(values.values())
        if found is not None and len(values) > 1:
            swings.append(found.swing)
    return spread(swings)
