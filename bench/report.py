"""The whole report of a run as Markdown: how it was measured, the tables, the money, and what to keep in mind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Sample, noise
from bench.goals import goals_table
from bench.machine import Place
from bench.tables import Standing, summary_table, trial_table
from bench.trials import Trial


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a run found out. `steal_share` is what the hypervisor took of all cores' time."""

    date: str
    commit: str
    machine: str
    place: Place
    trials: Sequence[Trial]
    samples: Sequence[Sample]
    standings: Mapping[str, Standing]
    repetitions: int
    seconds: float
    load_before: float
    steal_share: float
    notes: Sequence[str]
    wrong: Sequence[str]


def report(run: Run) -> str:
    """The text between the marks of docs/performance.md."""
    parts = [_circumstances(run), noise_sentence(run.samples), goals_table(run.samples, run.standings)]
    parts.append(summary_table(run.samples, run.standings))
    titles = {name: standing.title for name, standing in run.standings.items()}
    parts += [trial_table(trial, run.samples, titles) for trial in run.trials if _measured(trial, run.samples)]
    parts.append(money_sentence(run))
    if run.notes:
        parts.append(
            "Not measured, or not as planned:\n\n" + "\n".join(f"- {note}" for note in dict.fromkeys(run.notes))
        )
    return "\n\n".join(parts) + "\n"


def _measured(trial: Trial, samples: Sequence[Sample]) -> bool:
    return any(sample.trial == trial.name for sample in samples)


def _circumstances(run: Run) -> str:
    place = run.place
    cores = (
        "gateways, load and upstream on one core"
        if place.shared
        else f"gateways on core {min(place.gateway)}, load, upstream and PostgreSQL on core {min(place.rest)}"
    )
    nice = f", priority {place.nice}" if place.nice else ""
    return (
        f"Measured {run.date}, gatewayz {run.commit}, on {run.machine}; {cores}{nice}. {run.repetitions} repetitions of"
        f" {run.seconds:g} s a load. Load average before: {run.load_before:.1f}; taken by the hypervisor meanwhile:"
        f" {run.steal_share:.1%}."
    )


def noise_sentence(samples: Sequence[Sample]) -> str:
    """How much the same row differed from itself, so that nobody reads more into a difference than is there."""
    for trial, key, what in (
        ("plain", "cpu_us_request", "CPU time per request"),
        ("burst", "cpu_us_event", "CPU time per event"),
    ):
        found = noise(samples, trial, key)
        if found is not None:
            return (
                f"Noise: {what} of one and the same row differed by {found.median:.0%} between repetitions (from"
                f" {found.low:.0%} to {found.high:.0%}, by row). Differences between rows that are smaller than that say"
                " nothing."
            )
    return "Noise: one repetition cannot tell; take no difference for real."


def money_sentence(run: Run) -> str:
    """Whether the books of the gateways agreed with what the load client received."""
    keepers = [
        standing for name, standing in run.standings.items() if name.startswith("gatewayz") or name == "previous"
    ]
    if not keepers:
        return "No row kept books."
    if run.wrong:
        return "**The money is wrong:**\n\n" + "\n".join(f"- {each}" for each in run.wrong)
    counts = ", ".join(f"{standing.served:,} ({standing.title})" for standing in keepers)
    return (
        f"Money after the run: every answer received was charged exactly once, at tokens times price: {counts}. Ledger sums"
        " equal balances, and no hold or lease was left."
    )
