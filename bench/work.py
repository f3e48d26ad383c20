"""How much work is a request? Counted, not timed: bytecodes and calls of the in-process path, the same on every machine.

A count does not know what a call into C costs, but it moves with the code and with nothing else, so a step that somebody
added to the hot path shows on the busiest machine. Time is held to a bound besides: see `cpu_ratios`.
"""

import asyncio
import concurrent.futures
import json
import os
import queue
import selectors
import sys
import threading
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from bench.inprocess import Ask, Inside, run_inside
from bench.targets import MESSAGES

LIMITS = Path(__file__).resolve().parent / "work_limits.toml"
TOLERANCE = 0.05
# Time, even that of a CPU, wavers with what else the machine does: only a path that got half as dear again is told.
CPU_TOLERANCE = 0.5
_WARM, _ROUNDS = 4, 4
_SHORT, _LONG = 32, 96
_PROMPT_BYTES = 100_000
_LANES = 8

# How often an event loop turns, and how two threads meet, is a matter of luck.
_BY_LUCK = tuple(
    str(Path(module.__file__ or "").parent) + os.sep if hasattr(module, "__path__") else module.__file__ or ""
    for module in (asyncio, concurrent.futures, queue, selectors, threading, sys.modules["bench.inprocess"])
)


MONITORING: Any = getattr(sys, "monitoring", None)


@dataclass(frozen=True, slots=True)
class Work:
    """What was done: bytecodes executed, and calls made of Python and C functions."""

    bytecodes: float
    calls: float

    def less(self, other: "Work", share: float) -> "Work":
        """The difference to `other`, divided by `share`."""
        return Work((self.bytecodes - other.bytecodes) / share, (self.calls - other.calls) / share)


class Counter:
    """Counts what all threads do while `counting`, per code that is not left to luck."""

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}  # by thread, so that two never step on one number
        self._known: dict[CodeType, bool] = {}
        self._on = False
        self._tool = 0

    @property
    def total(self) -> Work:
        """Everything counted so far."""
        counts = list(self._counts.values())
        return Work(sum(each[0] for each in counts), sum(each[1] for each in counts))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Counting is possible inside. Threads must be started inside to be counted."""
        with self._monitoring() if MONITORING is not None else self._tracing():
            yield

    @contextmanager
    def counting(self) -> Iterator[None]:
        """What is done inside is counted."""
        self._on = True
        if MONITORING is None:
            sys.settrace(self._entered)
            sys.setprofile(self._called)
        else:
            MONITORING.set_events(self._tool, MONITORING.events.INSTRUCTION | MONITORING.events.CALL)
        try:
            yield
        finally:
            self._on = False
            if MONITORING is None:
                sys.settrace(None)
                sys.setprofile(None)
            else:
                MONITORING.set_events(self._tool, 0)

    def _counted(self, code: CodeType) -> bool:
        known = self._known.get(code)
        if known is None:
            name = code.co_filename
            known = self._known[code] = not name.startswith(_BY_LUCK) and name != __file__
        return known

    def _mine(self) -> list[int]:
        return self._counts.setdefault(threading.get_ident(), [0, 0])

    # Python 3.12 and later. Tracing of bytecodes, which 3.11 has instead, ends the process there if it is switched often.

    @contextmanager
    def _monitoring(self) -> Iterator[None]:
        monitoring, events = MONITORING, MONITORING.events
        tool = self._tool = next(tool for tool in (3, 4, 1, 0, 2, 5) if monitoring.get_tool(tool) is None)
        monitoring.use_tool_id(tool, "work")
        try:
            monitoring.register_callback(tool, events.INSTRUCTION, self._stepped)
            monitoring.register_callback(tool, events.CALL, self._calling)
            yield
        finally:
            monitoring.free_tool_id(tool)

    def _stepped(self, code: CodeType, offset: int) -> Any:
        if not self._counted(code):
            return MONITORING.DISABLE
        if self._on:
            self._mine()[0] += 1
        return None

    def _calling(self, code: CodeType, offset: int, called: object, argument: object) -> Any:
        if not self._counted(code):
            return MONITORING.DISABLE
        if self._on:
            self._mine()[1] += 1
        return None

    # Python 3.11.

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        before = sys.gettrace(), sys.getprofile()
        threading.settrace(self._entered)
        threading.setprofile(self._called)
        try:
            yield
        finally:
            threading.settrace(None)  # type: ignore[arg-type]
            threading.setprofile(None)
            sys.settrace(before[0])
            sys.setprofile(before[1])

    def _entered(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if not self._on or not self._counted(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        mine = self._mine()

        def step(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            if event == "opcode":
                mine[0] += 1
            return step

        return step

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        if self._on and event in ("call", "c_call") and self._counted(frame.f_code):
            self._mine()[1] += 1


Wrap = Callable[[Any], Any]


def measure(home: Path, wrap: Wrap = lambda app: app) -> dict[str, Work]:
    """Work by kind: per request, or per event of a stream. `wrap` may put something around the application."""
    found: dict[str, Work] = {}
    counter = Counter()

    async def per_request(ask: Ask) -> Work:
        for _ in range(_WARM):
            await ask()
        before = counter.total
        for _ in range(_ROUNDS):
            with counter.counting():
                await ask()
        return counter.total.less(before, _ROUNDS)

    async def per_event(inside: Inside, ask: Ask) -> tuple[Work, Work]:
        """One event, and the stream without its events."""
        inside.transport.words = _SHORT
        short = await per_request(ask)
        inside.transport.words = _LONG
        event = (await per_request(ask)).less(short, _LONG - _SHORT)
        return event, Work(short.bytecodes - _SHORT * event.bytecodes, short.calls - _SHORT * event.calls)

    async def act(inside: Inside) -> None:
        inside.app = wrap(inside.app)
        found["plain request"] = await per_request(inside.ask("chat"))
        found["translated request"] = await per_request(inside.ask("messages"))
        found["request of 100 KB"] = await per_request(inside.ask("chat", prompt_bytes=_PROMPT_BYTES))
        found["relayed event"], found["stream"] = await per_event(inside, inside.ask("chat", stream=True))
        found["relayed event, Anthropic"], _ = await per_event(
            inside, inside.ask("messages", path=MESSAGES, stream=True)
        )
        found["translated event"], found["translated stream"] = await per_event(
            inside, inside.ask("messages", stream=True)
        )

    with counter.installed():
        run_inside(home, act, still=True)
    return found


def reference() -> int:
    """A fixed piece of plain Python, to which CPU time is compared: JSON, dictionaries, strings, calls."""
    kept: dict[str, int] = {}
    size = 0
    for at in range(400):
        text = json.dumps({"id": at, "name": f"word {at % 17}", "list": [at, at + 1, None]})
        kept[text[:12]] = kept.get(text[:12], 0) + len(text)
        size += len(json.loads(text)["name"].upper().split())
    return size + len(kept)


def cpu_ratios(home: Path, rounds: int = 5, requests: int = 40) -> dict[str, float]:
    """CPU time of requests inside as a share of `reference`'s, by kind: the least of each, taken in turn.

    Several are under way at a time, so that they share commits as they do in production.
    """
    best: dict[str, float] = {}

    async def several(times: int, act: Callable[[], Awaitable[object]]) -> None:
        for _ in range(times):
            await act()

    async def timed(name: str, times: int, act: Callable[[], Awaitable[object]], lanes: int = 1) -> None:
        started = time.process_time_ns()
        await asyncio.gather(*(several(times // lanes, act) for _ in range(lanes)))
        best[name] = min(best.get(name, float("inf")), (time.process_time_ns() - started) / times)

    async def refer() -> int:
        return reference()

    async def act(inside: Inside) -> None:
        asked = {
            "plain request": inside.ask("chat"),
            "request of 100 KB": inside.ask("chat", prompt_bytes=_PROMPT_BYTES),
            "stream": inside.ask("chat", stream=True),
            "translated stream": inside.ask("messages", stream=True),
        }
        for ask in asked.values():
            await several(requests // 2, ask)
        for _ in range(rounds):
            await timed("", 4, refer)
            for name, ask in asked.items():
                await timed(name, requests, ask, _LANES)

    run_inside(home, act, still=True)
    own = best.pop("")
    return {name: cost / own for name, cost in best.items()}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may cost on one version of Python."""

    work: Mapping[str, Work]
    cpu_ratios: Mapping[str, float]


def version() -> str:
    """The version of Python, as the table names it: bytecodes differ from one minor version to the next."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read_limits(path: Path = LIMITS) -> Limits | None:
    """The limits for this version of Python; None if the table does not have it."""
    table = tomllib.loads(path.read_text(encoding="utf-8")).get(version())
    if table is None:
        return None
    return Limits({name: Work(*counts) for name, counts in table["work"].items()}, table["cpu_ratios"])


def over(found: Mapping[str, Work], limits: Mapping[str, Work]) -> list[str]:
    """Sentences about what costs more than its limit and the tolerance; empty if nothing does."""
    told = []
    for kind in sorted(found.keys() | limits.keys()):
        if kind not in found or kind not in limits:
            told.append(f"{kind}: {'not measured' if kind in limits else 'has no limit'}")
            continue
        for what in ("bytecodes", "calls"):
            now, limit = getattr(found[kind], what), getattr(limits[kind], what)
            # Whole numbers of a small count: one call more per event is more than a few percent, and is meant to show.
            if now > limit * (1 + TOLERANCE):
                told.append(f"{kind}: {now:,.1f} {what}, {now / limit - 1:+.0%} to the {limit:,.1f} in the table")
    return told


def over_time(found: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """The same of CPU time over the reference's, with the tolerance that time needs."""
    return [
        f"{kind}: {found.get(kind, 0):.2f} times the CPU time of the reference, {limit:.2f} in the table"
        for kind, limit in limits.items()
        if not 0 < found.get(kind, 0) <= limit * (1 + CPU_TOLERANCE)
    ]


_HEAD = """\
# What a request may cost, by kind and version of Python; see bench/work.py. `work` is [bytecodes, calls] of the in-process
# path, `cpu_ratios` its CPU time over that of a fixed reference. Written by scripts/count_work.py --write.
"""


def limits_text(limits: Limits, others: Mapping[str, Any]) -> str:
    """The table of limits with these for this version of Python; `others` are the parsed tables of all versions."""
    mine = {
        "work": {name: [round(work.bytecodes, 1), round(work.calls, 1)] for name, work in limits.work.items()},
        "cpu_ratios": {name: round(ratio, 2) for name, ratio in limits.cpu_ratios.items()},
    }
    parts = [_HEAD]
    for name, table in sorted({**others, version(): mine}.items()):
        for part, values in table.items():
            lines = [f"{json.dumps(kind)} = {json.dumps(value)}" for kind, value in values.items()]
            parts.append("\n".join([f"[{json.dumps(name)}.{part}]", *lines]) + "\n")
    return "\n".join(parts)
