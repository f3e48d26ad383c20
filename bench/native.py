"""The two C programs: the mock upstream and the load client, built on first use."""

import json
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import Place, favour_children, placed
from bench.trials import FIRST_TOKEN, Call, Trial, body, last_bytes
from tests.servers import free_port

_HERE = Path(__file__).resolve().parent
_DRAIN_S = 20.0
_START_S = 5.0
_OPENED_PER_S = 500.0
_OPEN_S = 60.0


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of the built programs."""

    mock: Path
    load: Path


def build(work: Path) -> Programs:
    """Compiles what is not up to date. Raises RuntimeError if there is no C compiler or it refuses."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    built = []
    for name in ("mock", "load"):
        source, program = _HERE / f"{name}.c", work / name
        built.append(program)
        if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
            continue
        if compiler is None:
            raise RuntimeError("a C compiler is needed (Debian: apt-get install gcc libc6-dev)")
        done = subprocess.run([compiler, "-O2", "-o", program, source], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{source.name} does not compile:\n{done.stderr}")
    return Programs(*built)


@contextmanager
def mock_upstream(programs: Programs, place: Place) -> Iterator[int]:
    """The port on which the mock upstream answers while the block runs."""
    port = free_port()
    with placed(place.rest, place.nice):
        process = subprocess.Popen([programs.mock, str(port)], start_new_session=True)
    try:
        deadline = time.monotonic() + _START_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the mock upstream did not start")
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    """True if somebody accepts connections on this port of loopback."""
    # Read from the kernel's table: a connection of our own would be one more for the server under test.
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()


@dataclass(frozen=True, slots=True)
class Pressure:
    """How hard a row is pressed: connections, requests per second (None: as fast as it goes), and for how long."""

    connections: int
    rate: float | None
    seconds: float
    warmup_s: float


@contextmanager
def idle_streams(
    programs: Programs, place: Place, work: Path, port: int, call: Call, count: int, told: dict[str, Any]
) -> Iterator[int]:
    """How many of `count` streams have begun; all of them stay open, and nearly silent, while the block runs.

    Afterwards the client's report is in `told`. Raises RuntimeError if they cannot be opened.
    """
    sent = work / "body-idle.json"
    sent.write_bytes(body(call, stream=True))
    command: list[str | Path] = [programs.load, "-p", str(port), "-u", call.path, "-b", sent, "-o"]
    command += ["-c", str(count), "-r", str(_OPENED_PER_S)]
    for header in call.headers:
        command += ["-H", header]
    with placed(place.rest, place.nice):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    try:
        favour_children(place.nice)
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], count / _OPENED_PER_S + _OPEN_S)
        first = process.stdout.readline() if ready else ""
        if not first:
            process.kill()
            raise RuntimeError(f"the idle streams did not open: {process.communicate()[1]}")
        yield int(json.loads(first)["begun"])
        last, said = process.communicate(timeout=30)  # ends its standard input
        told.update({**json.loads(last), "said": said.strip()})
    finally:
        process.kill()
        process.communicate()


def load(
    programs: Programs,
    place: Place,
    work: Path,
    port: int,
    call: Call,
    trial: Trial,
    pressure: Pressure,
    customers: Sequence[str] = (),
) -> dict[str, Any]:
    """One load run: the client's report, with its complaint as `said` if there is one. Raises RuntimeError if it fails.

    `customers` are headers; each connection sends one of them in the place of the call's own.
    """
    sent = work / "body.json"
    sent.write_bytes(body(call, stream=trial.stream, prompt_bytes=trial.prompt_bytes))
    command: list[str | Path] = [
        programs.load,
        "-p",
        str(port),
        "-u",
        call.path,
        "-b",
        sent,
        "-e",
        last_bytes(call, stream=trial.stream),
    ]
    if trial.stream:
        command += ["-f", FIRST_TOKEN]
    command += ["-c", str(pressure.connections), "-t", str(pressure.seconds), "-w", str(pressure.warmup_s)]
    command += ["-d", str(_DRAIN_S)]
    if pressure.rate is not None:
        command += ["-r", str(pressure.rate)]
    if customers:
        names = work / "customers"
        names.write_text("".join(f"{header}\n" for header in customers), encoding="ascii")
        command += ["-K", names]
    for header in () if customers else call.headers:
        command += ["-H", header]
    limit_s = pressure.seconds + pressure.warmup_s + _DRAIN_S + 30
    with placed(place.rest, place.nice):
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    try:
        favour_children(place.nice)
        told, said = process.communicate(timeout=limit_s)
    finally:
        process.kill()
        process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load client failed: {said}")
    return {**json.loads(told), "said": said.strip()}
