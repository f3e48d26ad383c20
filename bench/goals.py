"""What must be reached, and what is aimed at? Pure: the table of goals, filled from a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Sample, Series, Spread, added, ratios, series, spread
from bench.tables import BASE, Standing, cell, number, table
from bench.trials import REFERENCE

AFTER_ANSWERS = 100_000
_ON_POSTGRES, _FLOOR, _ONE, _FOUR = "gatewayz-postgres", "relay", "gatewayz-1", "gatewayz-4"
_ALL_SERVING, _APART = "gatewayz-4-serving", "gatewayz-apart"


@dataclass(frozen=True, slots=True)
class Run:
    """What goals are read from."""

    samples: Sequence[Sample]
    standings: Mapping[str, Standing]


Read = Callable[[Run], Spread | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure with its bounds. `at_least`: more is better; otherwise less is."""

    title: str
    must: float
    aim: float
    unit: str
    digits: int
    read: Read
    at_least: bool = False

    def verdict(self, value: float) -> str:
        """`aim`, `must`, or a loud no."""
        better = (lambda bound: value >= bound) if self.at_least else (lambda bound: value <= bound)
        if better(self.aim):
            return "aim"
        return "must" if better(self.must) else "**no**"


def figure(trial: str, key: str, scale: float = 1.0, row: str = REFERENCE) -> Read:
    """A figure of a row as it stands, divided by `scale`."""
    return lambda run: _scaled(series(run.samples, row, trial, key), scale)


def on_top(trial: str, key: str, scale: float, row: str = REFERENCE) -> Read:
    """What a row adds to the direct one."""
    return lambda run: _scaled(
        added(series(run.samples, row, trial, key), series(run.samples, BASE, trial, key)), scale
    )


def against(other: str, trial: str, key: str, row: str = REFERENCE) -> Read:
    """How many times `other` a row is, repetition by repetition."""
    return lambda run: _scaled(ratios(series(run.samples, row, trial, key), series(run.samples, other, trial, key)), 1)


def memory(run: Run) -> Spread | None:
    """Megabytes of the worker at the end, if it had answered enough by then."""
    standing = run.standings.get(REFERENCE)
    if standing is None or not standing.memory_mb or standing.served < AFTER_ANSWERS:
        return None
    return spread([standing.memory_mb[-1]])


def start_up(run: Run) -> Spread | None:
    """Seconds until the first answer."""
    standing = run.standings.get(REFERENCE)
    return spread([standing.start_s]) if standing is not None and standing.start_s is not None else None


def _scaled(values: Series, scale: float) -> Spread | None:
    return spread(value / scale for value in values.values())


GOALS = (
    Goal("plain requests/s ÷ LiteLLM", 30, 60, "x", 0, against("litellm", "plain", "rps"), at_least=True),
    Goal("plain requests/s ÷ Portkey", 6, 10, "x", 1, against("portkey", "plain", "rps"), at_least=True),
    Goal("plain requests/s ÷ nginx", 0.06, 0.10, "x", 3, against("nginx", "plain", "rps"), at_least=True),
    Goal("plain requests/s ÷ bare relay (aiohttp)", 0.6, 0.8, "x", 2, against(_FLOOR, "plain", "rps"), at_least=True),
    Goal("CPU per plain request", 250, 150, "µs", 0, figure("plain", "cpu_us_request")),
    Goal("CPU per plain request, PostgreSQL", 250, 150, "µs", 0, figure("plain", "cpu_us_request", 1, _ON_POSTGRES)),
    Goal("added p50 at 100/s, commit awaited", 4, 2.5, "ms", 2, on_top("latency", "p50_us", 1000)),
    Goal("added p50 at 100/s, commit awaited, PostgreSQL", 4, 2.5, "ms", 2,
         on_top("latency", "p50_us", 1000, _ON_POSTGRES)),
    Goal("added time to the first token, p50", 2, 1.2, "ms", 2, on_top("ttft", "first_p50_us", 1000)),
    Goal("burst streams/s ÷ LiteLLM", 40, 80, "x", 0, against("litellm", "burst", "rps"), at_least=True),
    Goal("burst streams/s ÷ Portkey", 3, 5, "x", 1, against("portkey", "burst", "rps"), at_least=True),
    Goal("CPU per relayed event, same dialect", 40, 30, "µs", 1, figure("paced", "cpu_us_event")),
    Goal("CPU per relayed event, translated", 60, 40, "µs", 1, figure("translated-paced", "cpu_us_event")),
    Goal("CPU per request with a prompt of 100 KB", 1.5, 0.7, "ms", 2, figure("large", "cpu_us_request", 1000)),
    Goal("CPU per request, 4 workers ÷ 1 worker, 64 customers", 1.2, 1.05, "x", 2,
         against(_ONE, "workers", "cpu_us_request", _FOUR)),
    # What is shared is compared where nothing else differs: as many processes, on the same core.
    Goal("CPU per request, 4 workers all serving ÷ 4 gateways that share nothing", 1.2, 1.05, "x", 2,
         against(_APART, "workers", "cpu_us_request", _ALL_SERVING)),
    Goal(f"memory of a worker after {AFTER_ANSWERS:,} requests", 120, 70, "MB", 0, memory),
    Goal("start-up, until the first answer", 3, 1, "s", 1, start_up),
    Goal("memory per stream, 5,000 idle", 60, 30, "KB", 1, figure("idle", "kb_stream")),
    Goal("p50 beside 5,000 idle streams ÷ without them", 2, 1.2, "x", 2, figure("idle", "p50_times")),
)  # fmt: skip


def goals_table(samples: Sequence[Sample], standings: Mapping[str, Standing]) -> str:
    """A line for each goal: must, aim, what was measured, and which of them it meets. Ratios are paired."""
    run = Run(samples, standings)
    lines = []
    for goal in GOALS:
        found = goal.read(run)
        sign = "≥" if goal.at_least else "≤"
        bounds = [f"{sign} {number(bound, _digits(bound))} {goal.unit}" for bound in (goal.must, goal.aim)]
        measured = f"{cell(found, goal.digits)} {goal.unit}" if found else "not measured"
        lines.append([goal.title, *bounds, measured, goal.verdict(found.median) if found else "–"])
    return table(["goal (gatewayz, SQLite, unless said)", "must", "aim", "measured", "met"], lines)


def _digits(bound: float) -> int:
    return len(f"{bound:g}".partition(".")[2])
