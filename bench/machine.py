"""Where does it run? Cores, priority, CPU time and memory of process trees, and what the machine is."""

import os
import platform
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_FAVOURED = -10
_IDLE_SHARE = 0.05
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """Where processes go: the gateways' core, everything else's cores, and the priority of both."""

    gateway: Set[int]
    rest: Set[int]
    nice: int

    @property
    def shared(self) -> bool:
        """True if gateway and load have to share one core."""
        return self.gateway == self.rest


def find_place() -> Place:
    """The first allowed core for gateways and the second for the rest; one core is shared if there is no other."""
    allowed = sorted(os.sched_getaffinity(0))
    return Place({allowed[0]}, {allowed[min(1, len(allowed) - 1)]}, _best_nice())


def _best_nice() -> int:
    now = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _FAVOURED)
    except PermissionError:
        return now
    os.setpriority(os.PRIO_PROCESS, 0, now)
    return _FAVOURED


@contextmanager
def placed(cores: Set[int], nice: int) -> Iterator[None]:
    """Processes started inside inherit these cores and this priority."""
    cores_before, nice_before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    os.sched_setaffinity(0, cores)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, nice_before)
        os.sched_setaffinity(0, cores_before)


def favour_children(nice: int) -> None:
    """Gives this priority to the sessions of all processes that were started from here and have one of their own.

    Where the kernel shares out time by session ("autogroup"), a process's own priority counts only inside its session.
    """
    own = session_of(os.getpid())
    for child in psutil.Process().children(recursive=True):
        if session_of(child.pid) not in (None, own):
            with suppress(OSError):
                Path(f"/proc/{child.pid}/autogroup").write_text(str(nice), encoding="ascii")


def session_of(pid: int, proc: Path = Path("/proc")) -> str | None:
    """Name of the group by which the kernel shares out time; None without such groups and for a process that has none.

    The kernel shows an empty file for processes of the first session, e.g. those of some containers and CI runners.
    """
    with suppress(OSError):
        if words := (proc / str(pid) / "autogroup").read_text(encoding="ascii").split():
            return words[0]
    return None


def tree(pid: int) -> list[int]:
    """The process and all its descendants that live now; empty if it is gone."""
    try:
        root = psutil.Process(pid)
        return [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, that the tree has used; nanoseconds exact, unlike the ticks of /proc."""
    used = 0.0
    for each in tree(pid):
        with suppress(OSError):
            # The clock id of another process's CPU time, as the C library's clock_getcpuclockid makes it.
            used += time.clock_gettime((~each << 3) | 2)
    return used


def pss_mb(pid: int) -> float:
    """Memory of the tree in megabytes (10^6 bytes), shared pages divided among those who share them."""
    total_kib = 0
    for each in tree(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total_kib += int(line.split()[1])
    return total_kib * 1024 / 1e6


def wait_until_idle(pid: int, limit_s: float = 20.0) -> None:
    """Returns when the tree has nothing left to do, e.g. of requests that were abandoned; after `limit_s` at the latest."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        before = cpu_s(pid)
        time.sleep(_LOOK_S)
        if cpu_s(pid) - before < _IDLE_SHARE * _LOOK_S:
            return


def steal_and_total() -> tuple[int, int]:
    """Ticks that the hypervisor took away, and all ticks, of all cores since the machine started."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def describe() -> str:
    """One line: processor, cores, memory, kernel, Python."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory_gib = psutil.virtual_memory().total / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {cores} cores, {memory_gib:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"
    )
