"""The disk under SQLite is full: what was begun is kept or waits, new requests are refused, nothing is doubled."""

import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.journeys.money.judge import judge
from tests.journeys.money.load import Ask, Load, Told
from tests.journeys.money.outage import HOLD_EXPIRY_S, LONG_S, begin_long_streams, refused_without_a_call
from tests.journeys.money.scene import LEASE_S, QUICK, SOAK, Stage, stage
from tests.live import Customer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 240)]

REPEATS = 10 if SOAK else 1


def limit_files(scene: Stage, size: int) -> None:
    """From now on the server cannot write beyond this size of any file."""
    hard = resource.prlimit(scene.gateway.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(scene.gateway.pid, resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def full_to(scene: Stage, size: int) -> Iterator[None]:
    """While inside, files of the server end at `size` bytes."""
    limit_files(scene, size)
    try:
        yield
    finally:
        limit_files(scene, resource.RLIM_INFINITY)


def test_while_the_ledger_cannot_grow_settlements_wait_in_the_journal(tmp_path: Path) -> None:
    with stage(tmp_path, hold_expiry_s=HOLD_EXPIRY_S, log_level='"info"') as scene:
        customers = scene.customers()
        with Load(customers, clients=8, seed=5) as load:
            for _ in range(REPEATS):
                load.wait_for(100)
                streams = begin_long_streams(scene, load, customers)
                load.resume()
                # Far less than the ledger has already, more than the journal will need.
                with full_to(scene, 256 * 1024):
                    time.sleep(LEASE_S)
                    load.pause_until_idle()
                    refused_without_a_call(scene, load, customers)
                    load.wait_beside()
                    assert all(told.complete for told in streams), streams
                    assert any(path.stat().st_size for path in (scene.gateway.home / "journal").iterdir())
                load.resume()
                load.wait_for(20)
            load.pause_until_idle()
            judge(scene, load.told, life_s=HOLD_EXPIRY_S)


def test_while_nothing_at_all_can_be_written_answers_wait(tmp_path: Path) -> None:
    """Neither ledger nor journal nor log: an answer in flight ends when there is space again, not before it is paid."""
    with stage(tmp_path, hold_expiry_s=HOLD_EXPIRY_S, log_level='"info"') as scene:
        customers = scene.customers()
        with Load(customers, clients=8, seed=6) as load:
            for _ in range(REPEATS):
                load.wait_for(50)
                streams = begin_long_streams(scene, load, customers)
                with full_to(scene, 0):
                    time.sleep(LONG_S)
                    assert not [told for told in streams if told.complete], "given away unpaid"
                    refused_without_a_call(scene, load, customers)
                load.wait_beside()
                assert all(told.complete for told in streams), streams
                load.resume()
                load.wait_for(20)
            load.pause_until_idle()
            judge(scene, load.told, life_s=HOLD_EXPIRY_S)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that can be filled; skips where mounting is not allowed."""
    home = tmp_path / "disk"
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", home], capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield home
    subprocess.run(["umount", "--lazy", home], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """While inside, not a byte is left on the disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        ballast.unlink()


def test_a_disk_without_space_under_load(small_disk: Path) -> None:
    """As an operator meets it; the write-ahead log has room of its own for a while, then nothing has."""
    with stage(small_disk, hold_expiry_s=HOLD_EXPIRY_S, log_level='"info"') as scene:
        customers = scene.customers()
        with Load(customers, seed=7) as load:
            for _ in range(REPEATS):
                load.wait_for(50)
                with filled(small_disk):
                    wait_for_a_refusal(load, customers[0])
                    time.sleep(1)
                load.wait_beside()
                load.wait_for(20)
            load.pause_until_idle()
            judge(scene, load.told, life_s=HOLD_EXPIRY_S)


def wait_for_a_refusal(load: Load, customer: Customer) -> None:
    """Returns when a new request is refused since money cannot be written; those before it may wait for their answers."""
    until = time.monotonic() + 60
    asked: list[list[Told]] = []
    while not any(told.code == "billing_unavailable" for part in asked for told in part):
        assert time.monotonic() < until, "the disk never filled"
        asked.append(load.ask_beside([Ask(customer, QUICK, stream=False)]))
        time.sleep(0.1)
