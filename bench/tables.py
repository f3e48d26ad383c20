"""How is it told? Pure: samples in, Markdown out; the same text for the terminal and for docs/performance.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Sample, Series, Spread, added, ratios, series, spread
from bench.trials import CPU_EVENT, CPU_REQUEST, FIRST_P50, P50, P99, RPS, STREAMS, Figure, Trial

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
BASE = "direct"
_NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a row besides its samples. `memory_mb` is before and after `served` answers."""

    title: str
    start_s: float | None
    memory_mb: Sequence[float]
    served: int


def number(value: float | None, digits: int = 0) -> str:
    """The value with thousands separated; a dash for none."""
    return _NOTHING if value is None else f"{value:,.{digits}f}"


def cell(found: Spread | None, digits: int, scale: float = 1.0) -> str:
    """Median and, where repetitions differ in what is shown, the reach: `6,900 (6,500–7,100)`."""
    if found is None:
        return _NOTHING
    middle, low, high = (number(value / scale, digits) for value in (found.median, found.low, found.high))
    return middle if low == high else f"{middle} ({low}–{high})"


def times(found: Spread | None) -> str:
    """A ratio with two figures, e.g. `0.87 (0.85–0.90)` or `96 (91–102)`."""
    return _NOTHING if found is None else cell(found, 2 if found.median < 10 else 0)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up; the first column to the left, the others to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[at]) for line in lines)) for at in range(len(header))]

    def draw(line: Sequence[str]) -> str:
        padded = [
            line[0].ljust(widths[0]),
            *(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([draw(lines[0]), draw(rule), *(draw(line) for line in lines[1:])])


def figure_of(samples: Sequence[Sample], row: str, trial: str, figure: Figure) -> Series:
    """The figure of a row by repetition, as it is told: on top of the direct row where it is an added one."""
    own = series(samples, row, trial, figure.key)
    return added(own, series(samples, BASE, trial, figure.key)) if figure.added and row != BASE else own


def trial_table(trial: Trial, samples: Sequence[Sample], titles: Mapping[str, str]) -> str:
    """Every figure of one trial, median and reach, with paired ratios; rows that did not run are left out."""
    rows_here = [row for row in titles if any(sample.row == row and sample.trial == trial.name for sample in samples)]
    header = [trial.title]
    for figure in trial.figures:
        header += [figure.title, f"÷ {trial.reference}"] if figure.compared else [figure.title]
    faults = {
        row: sum(sample.faults for sample in samples if sample.row == row and sample.trial == trial.name)
        for row in rows_here
    }
    if any(faults.values()):
        header.append("failed")
    lines = []
    for row in rows_here:
        line = [titles[row]]
        for figure in trial.figures:
            own = figure_of(samples, row, trial.name, figure)
            text = cell(spread(own.values()), figure.digits, figure.scale)
            line.append(f"({text})" if figure.added and row == BASE and own else text)
            if figure.compared:
                line.append(
                    times(spread(ratios(own, figure_of(samples, trial.reference, trial.name, figure)).values()))
                )
        lines.append([*line, number(faults[row])] if any(faults.values()) else line)
    return table(header, lines)


def summary_table(samples: Sequence[Sample], standings: Mapping[str, Standing]) -> str:
    """One line a row: the medians that matter most."""
    columns = (
        ("requests/s", "plain", RPS),
        ("CPU µs", "plain", CPU_REQUEST),
        ("+ p50 ms", "latency", P50),
        ("+ p99 ms", "latency", P99),
        ("burst streams/s", "burst", STREAMS),
        ("CPU µs per paced event", "paced", CPU_EVENT),
        ("+ first token ms", "ttft", FIRST_P50),
    )
    measured = {sample.trial for sample in samples}
    shown = [column for column in columns if column[1] in measured]
    lines = []
    for row, standing in standings.items():
        line = [standing.title]
        for _, trial, figure in shown:
            found = spread(figure_of(samples, row, trial, figure).values())
            text = number(found.median / figure.scale if found else None, figure.digits)
            line.append(f"({text})" if figure.added and row == BASE and found else text)
        memory = " → ".join(number(value) for value in standing.memory_mb) or _NOTHING
        lines.append([*line, memory, number(standing.served), number(standing.start_s, 1)])
    header = ["", *(title for title, _, _ in shown), "memory MB", "after answers", "start s"]
    return table(header, lines)


def replace_between(text: str, report: str) -> str:
    """`text` with the report between its marks. Raises ValueError if the marks are not there, once and in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the page needs the marks {BEGIN} and {END}, once each and in this order")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{report.strip()}\n\n{END}{rest.partition(END)[2]}"
