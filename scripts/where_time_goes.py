"""Prints where the CPU time of one request goes, room by room, in microseconds.

Requests are sent through the real house on SQLite in this process, with a canned provider behind it and neither a server
nor a client for providers (`make bench` has the whole, of which this is the inside). A timer interrupts the work two
thousand times a second; the CPU time that a thread has used since the last interruption goes to where the thread is. So
nothing is slowed by being watched, unlike under a profiler that is told of each call.

`own`: time in the room's code and in libraries that it called. `with rooms below`: time while the room was anywhere on the
stack. The ledger's thread (the commit on SQLite, with the rules of `billing` that run in it) is a line of its own.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.inprocess import Ask, Inside, ledger_threads, run_inside
from bench.tables import number, table
from bench.targets import MESSAGES

ROOMS = (
    "api", "gateway", "routing", "policy", "billing", "operations", "catalog", "accounts", "providers", "dialects", "infra",
    "wiring", "core",
)  # fmt: skip
COMMIT, LOOP, REST = "ledger's thread", "event loop", "bench"
# The code that asks, and the canned provider.
_CANNED = ("Inside.ask.", "Canned.", "CannedReply.")
_EVERY_S = 0.0005
_LANES = 16
_WARM = 200


def room_of(path: str) -> str | None:
    """The room that a source file belongs to; None for libraries."""
    _, found, inside = path.replace("\\", "/").rpartition("/gatewayz/")
    if not found:
        return None
    room = inside.partition("/")[0].removesuffix(".py")
    return room if room in ROOMS else "core"


def rooms_on(frame: FrameType | None) -> tuple[str, set[str]]:
    """The room whose code runs or waits for a library, and all rooms on the stack."""
    own, seen = None, set()
    while frame is not None:
        room = room_of(frame.f_code.co_filename)
        if room is not None:
            seen.add(room)
            own = own or room
        elif own is None and frame.f_code.co_qualname.startswith(_CANNED):
            own = REST
        frame = frame.f_back
    return own or LOOP, seen


class Sampler:
    """Shares out CPU time, in nanoseconds, to rooms while it runs."""

    def __init__(self, ledger: list[int]) -> None:
        self.own: defaultdict[str, int] = defaultdict(int)
        self.within: defaultdict[str, int] = defaultdict(int)
        self._ledger = {thread: time.pthread_getcpuclockid(thread) for thread in ledger}
        self._main = threading.get_ident()
        self._last: dict[int, int] = {}
        self._looking = False

    def __enter__(self) -> "Sampler":
        self._last = self._now()
        self._before = signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, _EVERY_S, _EVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _now(self) -> dict[int, int]:
        threads = {thread: time.clock_gettime_ns(clock) for thread, clock in self._ledger.items()}
        return {self._main: time.thread_time_ns(), **threads}

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        if self._looking:  # a slow machine may interrupt the interruption
            return
        self._looking = True
        now = self._now()
        own, seen = rooms_on(frame)
        for thread, at in now.items():
            used = at - self._last[thread]
            if thread == self._main:
                self.own[own] += used
                for room in seen:
                    self.within[room] += used
            else:
                self.own[COMMIT] += used
                self.within[COMMIT] += used
        # The looking itself is nobody's.
        self._last = {**now, self._main: time.thread_time_ns()}
        self._looking = False


async def sample(ask: Ask, requests: int) -> Sampler:
    """The shares of `requests` requests, several at a time."""

    async def several(count: int) -> None:
        for _ in range(count):
            await ask()

    async def all_lanes(count: int) -> None:
        await asyncio.gather(*(several(count // _LANES) for _ in range(_LANES)))

    await all_lanes(_WARM)
    with Sampler(ledger_threads()) as sampler:
        await all_lanes(requests)
    return sampler


def report(kinds: dict[str, Sampler], requests: int) -> str:
    """A table with a line for each room and two columns for each kind of request."""
    header = ["µs per request"]
    for kind in kinds:
        header += [kind, "with rooms below"]
    rows = []
    for room in (*ROOMS, LOOP, COMMIT):
        line = [room]
        for sampler in kinds.values():
            line += [
                number(each[room] / requests / 1000, 1) if each[room] else "–" for each in (sampler.own, sampler.within)
            ]
        rows.append(line)
    total = ["**all**"]
    for sampler in kinds.values():
        spent = sum(used for room, used in sampler.own.items() if room != REST)
        total += [number(spent / requests / 1000, 1), ""]
    return table(header, [*rows, total])


def main() -> None:
    """Prints the table for the kinds of requests that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=8000, help="of each kind (default 8000)")
    parser.add_argument(
        "--kinds", default="plain,stream,translated", help="of plain, large, stream, translated, messages"
    )
    options = parser.parse_args()
    requests = max(_LANES, options.requests // _LANES * _LANES)
    kinds: dict[str, Sampler] = {}

    async def act(inside: Inside) -> None:
        asks: dict[str, Any] = {
            "plain": inside.ask("chat"),
            "large": inside.ask("chat", prompt_bytes=100_000),
            "stream": inside.ask("chat", stream=True),
            "translated": inside.ask("messages", stream=True),
            "messages": inside.ask("messages", path=MESSAGES, stream=True),
        }
        for kind in options.kinds.split(","):
            kinds[kind] = await sample(asks[kind], requests)

    with tempfile.TemporaryDirectory() as home:
        run_inside(Path(home), act, still=False)
    print(report(kinds, requests))
    print(
        "\nStreams have 68 events. The event loop is Python's own here and uvloop in production. The server's and the client's"
        " share is not in here: `make bench` has the whole."
    )


if __name__ == "__main__":
    main()
