"""Several workers at one port: how they divide connections, who serves, and what happens when one of them ends."""

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.acceptance import spine
from tests.each_worker import connections_of, workers_of
from tests.live import LiveGateway

_ASK = b"GET /ping HTTP/1.1\r\nHost: gateway\r\n\r\n"


@contextmanager
def clients(live: LiveGateway, number: int, apart_s: float = 0.0) -> Iterator[None]:
    """Connections that stay: all are there before the first of them asks, or they come one by one."""
    opened = []
    try:
        for _ in range(number):
            opened.append(socket.create_connection(("127.0.0.1", live.port), timeout=20))
            if apart_s:
                ask(opened[-1])
                time.sleep(apart_s)
        for client in opened:
            ask(client)
        yield
    finally:
        for client in opened:
            client.close()


def ask(client: socket.socket) -> None:
    client.sendall(_ASK)
    answer = client.recv(65_536)
    if not answer:
        raise EOFError
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("apart_s", [0.0, 0.03])
def test_connections_are_divided_evenly_however_they_come(tmp_path: Path, apart_s: float) -> None:
    with LiveGateway(tmp_path, spine.settings_toml(), workers=3) as live:
        spine.eventually(lambda: len(connections_of_all(live)) == 3, "all three to serve", timeout_s=20)
        spine.eventually(lambda: not connections_of(live), "the clients to be gone")
        with clients(live, 36, apart_s):
            each = connections_of(live)
            assert sum(each.values()) == 36
            assert len(each) == 3 and max(each.values()) - min(each.values()) <= 3, each


def connections_of_all(live: LiveGateway) -> Counter[int]:
    """Who takes connections now: looked at with a few."""
    with clients(live, 6):
        return connections_of(live)


def test_a_worker_in_reserve_steps_in_when_the_one_that_serves_dies(tmp_path: Path) -> None:
    with LiveGateway(tmp_path, spine.settings_toml(), workers=3, serving=1) as live:
        with clients(live, 12):
            (serving,) = connections_of(live)
        assert len(workers_of(live)) == 3
        psutil.Process(serving).kill()
        began = time.monotonic()
        with clients(live, 1):
            # The parent looks every half second, and a new worker takes longer than that to start.
            assert time.monotonic() - began < 1.0
            (successor,) = connections_of(live)
            assert successor != serving
        spine.eventually(lambda: len(workers_of(live)) == 3, "a third worker to be there again")
        with clients(live, 6):
            assert set(connections_of(live)) == {successor}


def test_as_many_serve_as_there_are_cores(tmp_path: Path) -> None:
    cores = psutil.Process().cpu_affinity()
    live = LiveGateway(tmp_path, spine.settings_toml(), workers=2, serving=0)
    psutil.Process().cpu_affinity(cores[:1])
    try:
        live.start()
        psutil.Process().cpu_affinity(cores)
        with clients(live, 8):
            assert len(connections_of(live)) == 1
    finally:
        psutil.Process().cpu_affinity(cores)
        live.stop()


def test_a_worker_that_hangs_holds_up_nobody_who_comes_anew(tmp_path: Path) -> None:
    with LiveGateway(tmp_path, spine.settings_toml(), workers=2) as live:
        spine.eventually(lambda: len(connections_of_all(live)) == 2, "both to serve")
        hanging = workers_of(live)[0]
        hanging.suspend()
        try:
            began = time.monotonic()
            with clients(live, 10):
                assert time.monotonic() - began < 3.0  # shorter than the parent's patience with it
                assert hanging.pid not in connections_of(live)
        finally:
            hanging.resume()


@pytest.mark.parametrize("serving", [1, 2])
def test_workers_are_replaced_one_by_one_without_a_lost_request(tmp_path: Path, serving: int) -> None:
    faults: list[str] = []
    answered = closed = 0
    over = threading.Event()

    def press(live: LiveGateway) -> None:
        nonlocal answered, closed
        while not over.is_set():
            try:
                with clients(live, 1):
                    answered += 1
            except (ConnectionResetError, BrokenPipeError, EOFError):
                closed += 1  # before the request was heard, as any kept connection may be: clients ask again
            except OSError as error:
                faults.append(repr(error))
            time.sleep(0.01)

    with LiveGateway(tmp_path, spine.settings_toml(), workers=2, serving=serving) as live:
        before = {worker.pid for worker in workers_of(live)}
        thread = threading.Thread(target=press, args=(live,))
        thread.start()
        try:
            psutil.Process(live.pid).send_signal(signal.SIGHUP)

            def replaced() -> bool:
                now = {worker.pid for worker in workers_of(live)}
                return len(now) == 2 and not now & before

            spine.eventually(replaced, "both workers to be replaced", timeout_s=60)
        finally:
            over.set()
            thread.join()
        spine.eventually(lambda: len(connections_of_all(live)) == serving, "the new ones to serve")
    assert not faults
    assert closed <= 2  # one for each worker that ended, at most
    assert answered > 20
