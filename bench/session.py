"""One run of the benchmark: opens the rows, presses them in turn, audits the money, tells the result."""

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import gateways, machine, native, peers, targets
from bench.figures import Sample, values_of
from bench.goals import AFTER_ANSWERS
from bench.report import Run, report
from bench.tables import BEGIN, END, Standing, replace_between
from bench.targets import ROOT, Absent, Bench, Target
from bench.trials import QUICK_TRIALS, REFERENCE, TRIALS, WORKER_ROWS, Trial

ROWS: dict[str, Callable[[Bench], Target]] = {
    "direct": targets.direct,
    "nginx": targets.nginx,
    "relay": targets.relay,
    "relay-own": targets.relay_own,
    "relay-4": targets.relay_four,
    "gatewayz": gateways.sqlite,
    "gatewayz-postgres": gateways.postgres,
    "gatewayz-1": gateways.one_worker,
    "gatewayz-4": gateways.four_workers,
    "gatewayz-4-serving": gateways.four_serving,
    "gatewayz-apart": gateways.four_apart,
    "previous": gateways.previous,
    "litellm": peers.litellm,
    "portkey": peers.portkey,
}
QUICK_ROWS = ("direct", "relay", "gatewayz", "gatewayz-postgres")
PAGE = ROOT / "docs" / "performance.md"
_WARM_S = 1.5
_FILL_S = 5.0
_FILLS = 12
_FILES = 65536
_SPARE_FILES = 500
# A gateway holds the client's connection and the provider's.
_FILES_PER_STREAM = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure and where to tell it. `page` is None for a partial run: its figures are not the page's."""

    rows: tuple[str, ...]
    trials: tuple[Trial, ...]
    repetitions: int
    seconds: float
    json_file: Path | None
    page: Path | None
    fill: bool = False  # whether memory is taken only after as many answers as its goal speaks of


@dataclass(slots=True)
class Session:
    """The state of a run."""

    bench: Bench
    programs: native.Programs
    plan: Plan
    rows: dict[str, Target] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def open_rows(self, stack: ExitStack) -> None:
        """Starts every row that can be; those that cannot are noted."""
        for name in self.plan.rows:
            say(f"starting {name}")
            try:
                target = ROWS[name](self.bench)
            except Absent as why:
                self.notes.append(f"{name}: {why}")
                continue
            stack.callback(target.stop)
            for part in target.parts or (target,):
                targets.probe(part)
            self.rows[name] = target

    def warm_up(self) -> None:
        """Lets every row run warm, and notes its memory then."""
        for trial in TRIALS:
            if trial.name in ("plain", "burst"):
                for target in self.rows.values():
                    self.press(target, trial, min(_WARM_S, self.plan.seconds))
        for target in self.rows.values():
            if target.pid is not None:
                target.memory_mb.append(machine.pss_mb(target.pid))

    def repeat(self) -> None:
        """Every trial of every row, as often as planned; rows take turns, and every second time in the opposite order."""
        for repetition in range(self.plan.repetitions):
            order = list(self.rows.values())
            if repetition % 2:
                order.reverse()
            for trial in self.plan.trials:
                for target in order:
                    if trial.beside or not takes_part(target.name, trial):
                        continue
                    values, faults = self.press(target, trial, self.plan.seconds * trial.longer)
                    if values is not None:
                        self.samples.append(Sample(target.name, trial.name, repetition, values, faults))
                        say(
                            f"{repetition + 1}/{self.plan.repetitions} {trial.name:17} {target.name:18} {_brief(values)}"
                        )
        if self.plan.fill and REFERENCE in self.rows:
            self._fill(self.rows[REFERENCE])
        for target in self.rows.values():
            if target.pid is not None:
                target.memory_mb.append(machine.pss_mb(target.pid))

    def _fill(self, target: Target) -> None:
        plain = next(trial for trial in TRIALS if trial.name == "plain")
        for _ in range(_FILLS):
            if target.served >= AFTER_ANSWERS:
                return
            self.press(target, plain, _FILL_S)

    def idle(self) -> None:
        """Trials beside idle streams: last and once, since memory that was used before does not grow again."""
        for trial in self.plan.trials:
            for target in self.rows.values():
                if (
                    trial.beside
                    and target.pid is not None
                    and "idle" in target.calls
                    and takes_part(target.name, trial)
                ):
                    self._beside(target, target.pid, trial)

    def _beside(self, target: Target, pid: int, trial: Trial) -> None:
        """One load alone and again while streams are open, and what the streams take of memory."""
        allowed = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES) // _FILES_PER_STREAM
        wanted = min(trial.beside, allowed)
        if wanted < trial.beside:
            self.notes.append(f"{target.name}, {trial.name}: {wanted} streams; the limit of open files allows no more")
        seconds = self.plan.seconds * trial.longer
        alone, faults = self.press(target, trial, seconds)
        before_mb, told = machine.pss_mb(pid), dict[str, Any]()
        place, work = self.bench.place, self.bench.work
        try:
            with native.idle_streams(
                self.programs, place, work, target.port, target.calls["idle"], wanted, told
            ) as begun:
                machine.wait_until_idle(pid)
                grown_mb = machine.pss_mb(pid) - before_mb
                beside, faults_beside = self.press(target, trial, seconds)
        except (RuntimeError, ValueError) as error:
            self.notes.append(f"{target.name}, {trial.name}: {error}")
            return
        target.served += told["served"]
        target.abandoned += told["abandoned"] + told["errors"]
        lost = wanted - begun + told["errors"] + told["refused"]
        if lost:
            self.notes.append(f"{target.name}, {trial.name}: {lost} streams failed. {told['said'][:300]}")
        values = idle_values(alone, beside, grown_mb, begun)
        self.samples.append(Sample(target.name, trial.name, 0, values, faults + faults_beside + lost))
        say(f"{trial.name:17} {target.name:18} {begun} streams, {values.get('kb_stream', 0):.1f} KB each")

    def press(self, target: Target, trial: Trial, seconds: float) -> tuple[dict[str, float] | None, int]:
        """Figures and faults of one load run; no figures if the row does not speak this shape."""
        if target.parts:
            return self._press_parts(target, trial, seconds)
        call = target.calls.get(trial.shape)
        if call is None:
            return None, 0
        if target.pid is not None:
            machine.wait_until_idle(target.pid)
        pressure = pressure_on(target, trial, seconds)
        began, used_s = time.monotonic(), machine.cpu_s(target.pid) if target.pid is not None else 0.0
        place, work = self.bench.place, self.bench.work / f"load-{target.name}"
        work.mkdir(exist_ok=True)
        customers = target.customers if trial.many else ()
        told = native.load(self.programs, place, work, target.port, call, trial, pressure, customers)
        elapsed_s = time.monotonic() - began
        cpu_s = machine.cpu_s(target.pid) - used_s if target.pid is not None else None
        target.served += told["served"]
        target.abandoned += told["abandoned"] + told["errors"]
        faults = told["errors"] + told["refused"] + told["broken"] + told["abandoned"]
        if faults:
            said = " ".join(told["said"].split())[:300]
            self.notes.append(f"{target.name}, {trial.name}: {faults} requests failed or were given up. {said}")
        return values_of(told, cpu_s, elapsed_s), faults

    def _press_parts(self, target: Target, trial: Trial, seconds: float) -> tuple[dict[str, float] | None, int]:
        """All parts at once, the connections divided among them."""
        share = replace(trial, connections=trial.connections // len(target.parts))
        with ThreadPoolExecutor(len(target.parts)) as pool:
            told = list(pool.map(lambda part: self.press(part, share, seconds), target.parts))
        target.served = sum(part.served for part in target.parts)
        target.abandoned = sum(part.abandoned for part in target.parts)
        return together([values for values, _ in told if values is not None]), sum(faults for _, faults in told)

    def audit(self) -> list[str]:
        """Stops the rows that keep books; what is wrong with them."""
        wrong = []
        for target in [part for row in self.rows.values() for part in (row.parts or (row,))]:
            if target.audit is not None:
                try:
                    found = target.audit(target.served, target.abandoned)
                except subprocess.TimeoutExpired:
                    found = ["the process did not end when it was told to"]
                wrong += [f"{target.name}: {each}" for each in found]
        return wrong


def takes_part(row: str, trial: Trial) -> bool:
    """Whether a row is measured in this trial."""
    return row in trial.rows if trial.rows else row not in WORKER_ROWS


def together(parts: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """The figures of several processes as one: their requests and core shares added up, CPU time by request."""
    rps = sum(part["rps"] for part in parts)
    if not rps:
        return None
    cpu_us = sum(part["cpu_us_request"] * part["rps"] for part in parts) / rps
    return {"rps": rps, "busy": sum(part["busy"] for part in parts), "cpu_us_request": cpu_us}


def idle_values(
    alone: Mapping[str, float] | None, beside: Mapping[str, float] | None, grown_mb: float, streams: int
) -> dict[str, float]:
    """The figures of a trial beside idle streams: kilobytes a stream, and the median latency without and with them."""
    values = {"kb_stream": grown_mb * 1000 / streams} if streams else {}
    if alone is not None and "p50_us" in alone:
        values["alone_p50_us"] = alone["p50_us"]
    if beside is not None and "p50_us" in beside:
        values["p50_us"] = beside["p50_us"]
    if values.get("alone_p50_us") and "p50_us" in values:
        values["p50_times"] = values["p50_us"] / values["alone_p50_us"]
    return values


def allow_files() -> None:
    """Raises the limit of open files for this process and those it starts, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def pressure_on(target: Target, trial: Trial, seconds: float) -> native.Pressure:
    """The trial's load, or less where the row is known to be too slow for it."""
    gentle = target.gentle
    connections, rate = trial.connections, trial.rate
    if "connections" in gentle:
        connections = min(connections, int(gentle["connections"]))
    limit = gentle.get("stream_rate" if trial.stream else "rate")
    if rate is not None and limit is not None:
        rate = min(rate, limit)
    return native.Pressure(connections, rate, seconds, trial.warmup_s)


def main(words: Sequence[str]) -> int:
    """Runs the benchmark; returns the exit code: 1 if the money is wrong or a row of gatewayz could not be measured."""
    if platform.system() != "Linux":
        print("the benchmark needs Linux: it pins processes and reads their CPU time", file=sys.stderr)
        return 1
    plan = read_plan(words)
    # A plain end by signal would leave every started process behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    allow_files()
    work = ROOT / "bench" / ".work"
    work.mkdir(exist_ok=True)
    programs, place = native.build(work), machine.find_place()
    described, load_before, steal_before = machine.describe(), os.getloadavg()[0], machine.steal_and_total()
    with ExitStack() as stack:
        upstream = stack.enter_context(native.mock_upstream(programs, place))
        os.sched_setaffinity(0, place.rest)
        session = Session(Bench(work, upstream, place, stack), programs, plan)
        session.open_rows(stack)
        session.warm_up()
        session.repeat()
        session.idle()
        wrong = session.audit()
    stolen, total = (after - before for after, before in zip(machine.steal_and_total(), steal_before, strict=True))
    run = Run(
        date=time.strftime("%Y-%m-%d"),
        commit=_commit(),
        machine=described,
        place=place,
        trials=plan.trials,
        samples=session.samples,
        standings={name: _standing(target) for name, target in session.rows.items()},
        repetitions=plan.repetitions,
        seconds=plan.seconds,
        load_before=load_before,
        steal_share=stolen / total if total else 0.0,
        notes=[*session.notes, *(note for target in session.rows.values() for note in target.notes)],
        wrong=wrong,
    )
    tell(run, plan)
    needed = {REFERENCE, "gatewayz-postgres", *WORKER_ROWS} & set(plan.rows)
    return 1 if wrong or needed - session.rows.keys() else 0


def tell(run: Run, plan: Plan) -> None:
    """Prints the report, and writes it where the plan says; with wrong money it is printed only."""
    text = report(run)
    print(text)
    if plan.json_file is not None:
        plan.json_file.write_text(json.dumps(asdict(run), default=sorted, indent=1) + "\n", encoding="utf-8")
    if plan.page is not None and not run.wrong:
        plan.page.write_text(replace_between(read_page(plan.page), text), encoding="utf-8")
        say(f"written to {plan.page}")


def read_page(page: Path) -> str:
    """The page as it stands; only the marks if there is none yet."""
    return page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}\n{END}\n"


def read_plan(words: Sequence[str]) -> Plan:
    """The plan that these command line words ask for. Ends the process with an explanation if they ask for nonsense."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Measures the gateway, its floor and its peers.")
    parser.add_argument("--quick", action="store_true", help="about half a minute: few rows, few tests, rough figures")
    parser.add_argument("--rows", type=_names(ROWS), help=f"comma separated: {', '.join(ROWS)}")
    parser.add_argument("--tests", type=_names(_TRIALS), help=f"comma separated: {', '.join(_TRIALS)}")
    parser.add_argument("--reps", type=int, help="repetitions (default 5)")
    parser.add_argument("--seconds", type=float, help="length of one load run (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured to this file")
    parser.add_argument(
        "--doc", type=Path, metavar="FILE", help=f"page to write (default: {PAGE.name}, by whole runs only)"
    )
    options = parser.parse_args(words)
    rows = options.rows or (QUICK_ROWS if options.quick else tuple(ROWS))
    trials = options.tests or (QUICK_TRIALS if options.quick else tuple(_TRIALS))
    partial = options.quick or options.rows or options.tests
    repetitions = options.reps or (1 if options.quick else 5)
    seconds = options.seconds or (0.6 if options.quick else 2.0)
    if repetitions < 1 or not 0.1 <= seconds <= 60:
        parser.error("at least one repetition, and between 0.1 and 60 seconds")
    page = options.doc or (None if partial else PAGE)
    if page is not None:
        try:
            replace_between(read_page(page), "")
        except ValueError as error:
            parser.error(f"{page}: {error}")
    return Plan(
        rows=rows,
        trials=tuple(_TRIALS[name] for name in trials),
        repetitions=repetitions,
        seconds=seconds,
        json_file=options.json,
        page=page,
        fill=not partial,
    )


_TRIALS = {trial.name: trial for trial in TRIALS}


def _names(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def read(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
        return names

    return read


def _standing(target: Target) -> Standing:
    return Standing(target.title, target.start_s, tuple(target.memory_mb), target.served)


def _commit() -> str:
    commit = gateways.git("rev-parse", "--short", "HEAD") or "unknown"
    changed = gateways.git("status", "--porcelain", "--", "src")
    return f"{commit} with uncommitted changes" if changed else commit


def _brief(values: dict[str, float]) -> str:
    keys = (("rps", "/s"), ("p50_us", " µs p50"), ("cpu_us_request", " µs CPU"), ("cpu_us_event", " µs CPU per event"))
    return ", ".join(f"{values[key]:,.1f}{unit}" for key, unit in keys if key in values)


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)
