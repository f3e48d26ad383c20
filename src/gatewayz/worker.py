"""Running the server: one process, or several that share a socket."""

import contextlib
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from gatewayz.infra import shared_listener
from gatewayz.infra.http_server import Protocol

GRACE_S = 30
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Listen:
    """Where and with how many processes to serve; `serving` of them at once, the others step in when one of those ends."""

    host: str
    port: int
    workers: int
    serving: int


def cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, not yet listening. Raises OSError if the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def take_turns() -> None:
    """Lets this process and those that it starts work on when others of them wake up, where the system can (Linux).

    Workers wake one another with every answer. One that is interrupted in the middle of its work finds its caches emptied
    when it goes on, which costs more than the waiting does.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a container may forbid it; then they interrupt each other
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def run(listen: Listen, listener: socket.socket, home: Path) -> None:
    """Serves until told to stop. The database must be prepared."""
    os.environ["GATEWAYZ_PREPARED"] = "1"
    config = uvicorn.Config(
        "gatewayz.asgi:app",
        host=listen.host,
        port=listen.port,
        workers=listen.workers,
        loop="uvloop" if listen.workers == 1 else f"{shared_listener.__name__}:{shared_listener.new_loop.__name__}",
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
    )
    if listen.workers == 1:
        uvicorn.Server(config).run(sockets=[listener])
        return
    take_turns()
    shared = home / f"workers-{os.getpid()}"
    shutil.rmtree(shared, ignore_errors=True)
    shared.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared)
    os.environ[shared_listener.SEATS_VARIABLE] = f"{listen.serving}:{shared / 'seats'}"
    try:
        Multiprocess(config, sockets=[listener]).run()
    finally:
        shutil.rmtree(shared, ignore_errors=True)
    sys.stdout.flush()
