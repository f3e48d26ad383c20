"""The tally tells the metrics exactly what they would have been told one by one."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from gatewayz.infra.tally import Tally

_BOUNDS = (0.01, 0.1, 1.0)


def families() -> tuple[CollectorRegistry, Counter, Histogram]:
    registry = CollectorRegistry()
    counter = Counter("requests", "x", ["model"], registry=registry)
    return registry, counter, Histogram("took_seconds", "x", ["model"], buckets=_BOUNDS, registry=registry)


def shown(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


seconds = st.sampled_from([0.0, 0.01, 0.010001, 0.1, 0.5, 1.0, 1.5, 100.0]) | st.floats(0, 1e6)


@given(st.lists(st.tuples(st.sampled_from("ab"), seconds | st.none())))
def test_flushed_or_not_the_sums_are_those_of_the_metrics_themselves(events: list[tuple[str, float | None]]) -> None:
    """`None` is a flush in between."""
    registry, counter, histogram = families()
    plain, plain_counter, plain_histogram = families()
    tally = Tally()
    for model, value in events:
        if value is None:
            tally.flush()
            continue
        tally.count(counter, model).value += 2
        tally.bins(histogram, model).add(value)
        plain_counter.labels(model).inc(2)
        plain_histogram.labels(model).observe(value)
    tally.flush()
    tally.flush()
    told, wanted = shown(registry), shown(plain)
    assert [line for line in told if "_sum" not in line] == [line for line in wanted if "_sum" not in line]
    for mine, theirs in zip(told, wanted, strict=True):
        if "_sum" in mine:
            assert abs(float(mine.split()[-1]) - float(theirs.split()[-1])) <= 1e-9 * float(theirs.split()[-1])


def test_a_family_without_labels_counts_too() -> None:
    registry = CollectorRegistry()
    counter = Counter("credits", "x", registry=registry)
    tally = Tally()
    tally.count(counter).value += 0.5
    tally.count(counter).value += 1
    tally.flush()
    assert "credits_total 1.5" in shown(registry)
