"""What is compared: rows, each a process to be asked, and how those without a page of their own are started."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import Place, placed
from bench.trials import Call, Shape, body
from tests.servers import free_port

ROOT = Path(__file__).resolve().parent.parent
START_S = 120.0
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


class Absent(Exception):
    """A row cannot be measured here; the text says why."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a row needs to start: a directory of its own, the upstream's port, where to run, and what rows share.

    What is entered into `stack` ends after all rows have ended.
    """

    work: Path
    upstream: int
    place: Place
    stack: ExitStack = field(default_factory=ExitStack)
    shared: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Target:
    """A running row. `gentle` caps connections and rates of a row so slow that the full load would only measure its queue.

    A row of `parts` is several processes that know nothing of each other: each gets its share of the connections.
    """

    name: str
    title: str
    port: int
    calls: dict[Shape, Call]
    pid: int | None = None
    start_s: float | None = None
    gentle: Mapping[str, float] = field(default_factory=dict)
    stop: Callable[[], None] = lambda: None
    parts: tuple["Target", ...] = ()
    customers: tuple[str, ...] = ()  # a header of each, for loads of many customers
    audit: Callable[[int, int], list[str]] | None = None  # (served, abandoned) -> what is wrong with the money
    notes: list[str] = field(default_factory=list)
    served: int = 0
    abandoned: int = 0
    memory_mb: list[float] = field(default_factory=list)


def ask(port: int, call: Call, *, stream: bool = False, timeout_s: float = 30.0) -> tuple[int, bytes]:
    """Status and body of one small request. Raises OSError or HTTPException if there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    headers = {name: value for name, _, value in (header.partition(": ") for header in call.headers)}
    try:
        connection.request(
            "POST", call.path, body(call, stream=stream), {"Content-Type": "application/json", **headers}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def probe(target: Target) -> None:
    """Asks once for every shape, as JSON and as a stream; what does not work is taken from the row and noted."""
    for shape, call in list(target.calls.items()):
        for stream in (False,) if shape == "idle" else (False, True):  # an idle stream would not end
            try:
                status, said = ask(target.port, call, stream=stream)
            except (OSError, http.client.HTTPException) as error:
                status, said = 0, repr(error).encode()
            if status == 200:
                target.served += 1
                continue
            kind = f"{shape} ({'stream' if stream else 'plain'})"
            target.notes.append(f"{target.name} cannot {kind}: {status} {said[:200].decode(errors='replace')}")
            target.calls.pop(shape, None)
            break


def spawn(
    bench: Bench, name: str, command: list[str | Path], env: Mapping[str, str], cwd: Path | None
) -> tuple[subprocess.Popen[bytes], Path]:
    """Starts a row's process on the gateways' core; its output goes to the log whose path is returned."""
    log = bench.work / f"{name}.log"
    with log.open("wb") as out, placed(bench.place.gateway, bench.place.nice):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(bench.work), **env},
            cwd=cwd or bench.work,
            start_new_session=True,
        )
    return process, log


def start(
    bench: Bench,
    name: str,
    title: str,
    command: list[str | Path],
    port: int,
    calls: dict[Shape, Call],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    gentle: Mapping[str, float] | None = None,
) -> Target:
    """A row in a process of its own, once it answers `calls["chat"]`. Raises Absent with its log if it never does."""
    began = time.monotonic()
    process, log = spawn(bench, name, command, env or {}, cwd)
    target = Target(name, title, port, calls, process.pid, gentle=gentle or {}, stop=lambda: end(process))
    while process.poll() is None and time.monotonic() < began + START_S:
        try:
            if ask(port, calls["chat"], timeout_s=5)[0] == 200:
                target.start_s = time.monotonic() - began
                return target
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)
    end(process)
    raise Absent(f"did not start: {log.read_text(errors='replace')[-400:].strip()}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and what it started. May be called twice."""
    for how, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            return


def direct(bench: Bench) -> Target:
    """The upstream itself: what the load client sees without any gateway."""
    calls: dict[Shape, Call] = {
        "chat": Call(CHAT, "gpt-4o-mini"), "paced": Call(CHAT, "paced"), "messages": Call(MESSAGES, "claude-sonnet-4"),
        "idle": Call(CHAT, "idle"),
    }  # fmt: skip
    return Target("direct", "direct to the upstream", bench.upstream, calls)


def relay(bench: Bench) -> Target:
    """A relay that does nothing, on uvicorn and aiohttp: the floor for Python's mature libraries."""
    port = free_port()
    command: list[str | Path] = [sys.executable, ROOT / "bench" / "relay.py", str(port), str(bench.upstream)]
    title, env = "bare relay (uvicorn, aiohttp)", {"PYTHONPATH": str(ROOT / "src")}
    return start(bench, "relay", title, command, port, direct(bench).calls, env=env)


def relay_own(bench: Bench) -> Target:
    """The same relay on the gateway's own client: the floor for what is in the gateway between server and client."""
    return _relay_own(bench, "relay-own", "bare relay (uvicorn, own client)", 1)


def relay_four(bench: Bench) -> Target:
    """Four of them that share nothing but the port and the core: what it costs to divide one core among processes."""
    return _relay_own(bench, "relay-4", "bare relay (uvicorn, own client), 4 workers", 4)


def _relay_own(bench: Bench, name: str, title: str, workers: int) -> Target:
    port, script = free_port(), ROOT / "bench" / "relay.py"
    command: list[str | Path] = [sys.executable, script, str(port), str(bench.upstream), "own", str(workers)]
    return start(bench, name, title, command, port, direct(bench).calls, env={"PYTHONPATH": str(ROOT / "src")})


_NGINX = """\
worker_processes 1; daemon off; error_log {work}/nginx.log; pid {work}/nginx.pid;
events {{ worker_connections 32768; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_buffer_size 256k; client_max_body_size 10m;
  client_body_temp_path {work}/nginx-body; proxy_temp_path {work}/nginx-proxy; fastcgi_temp_path {work}/nginx-fastcgi;
  uwsgi_temp_path {work}/nginx-uwsgi; scgi_temp_path {work}/nginx-scgi;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def nginx(bench: Bench) -> Target:
    """nginx as a plain proxy with keep-alive. Raises Absent if it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Absent("nginx is not on PATH")
    port = free_port()
    config = bench.work / "nginx.conf"
    config.write_text(_NGINX.format(work=bench.work, upstream=bench.upstream, port=port))
    version = subprocess.run([program, "-v"], capture_output=True, text=True).stderr.strip().rpartition("/")[2]
    command: list[str | Path] = [program, "-c", config, "-p", bench.work]
    return start(bench, "nginx", f"nginx {version}, plain proxy", command, port, direct(bench).calls)
