"""A gateway of several workers, asked over connections that are known to be at a certain one of them.

Which worker takes a new connection is nobody's promise: any number of requests in a row may meet the same one.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial

import httpx2 as httpx
import psutil

from tests.live import LiveGateway

_PATIENCE_S = 30.0
_KEPT = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)


def workers_of(live: LiveGateway) -> list[psutil.Process]:
    """The workers that live, without the helper that Python starts beside them."""
    found = []
    for child in psutil.Process(live.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def clients_of(live: LiveGateway) -> dict[int, int]:
    """The worker's process id for each client's port at this gateway."""
    found: dict[int, int] = {}
    for worker in workers_of(live):
        with suppress(psutil.NoSuchProcess):
            for each in worker.net_connections("tcp"):
                if each.status == psutil.CONN_ESTABLISHED and each.laddr.port == live.port:
                    found[each.raddr.port] = worker.pid
    return found


def connections_of(live: LiveGateway) -> Counter[int]:
    """How many clients each worker has, by process id."""
    return Counter(clients_of(live).values())


@contextmanager
def at_each_worker(live: LiveGateway) -> Iterator[list[LiveGateway]]:
    """The gateway once for each of its workers, all of which must serve: what is asked there, that worker answers."""
    met: dict[int, httpx.Client] = {}
    until = time.monotonic() + _PATIENCE_S
    with ExitStack() as opened:
        while len(met) < live.workers:
            assert time.monotonic() < until, f"{len(met)} of {live.workers} workers serve"
            client = httpx.Client(timeout=30, verify=False, limits=_KEPT)
            opened.callback(client.close)  # one that meets a known worker stays, too: so the next meets another
            port = _port_of(client.get(live.base_url + "/ping"))
            if met.setdefault(clients_of(live)[port], client) is client:
                client.event_hooks = {"response": [partial(_stays, port)]}
        yield [replace(live, client=client) for client in met.values()]


def _port_of(answer: httpx.Response) -> int:
    """The client's own port of the connection that an answer came over."""
    port: int = answer.extensions["network_stream"].get_extra_info("client_addr")[1]
    return port


def _stays(port: int, answer: httpx.Response) -> None:
    assert _port_of(answer) == port, "the connection to this worker was not kept"
