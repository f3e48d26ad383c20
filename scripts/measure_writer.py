"""Measures the ledger's writers on a real PostgreSQL: one, two and four processes, on many accounts and on one alone.

First the costs of a batch are found: its duration and CPU time over its size, with one process, with and without waiting
for the disk; and what it costs to hand a row over, with two processes on one account. Then several processes write at
once, and what they reach is printed beside what the simulation of `bench/scale.py` says from these costs. Everything
runs on this machine's cores, which the simulation is told.

Each settlement is a whole capture: balance, lease, key use, ledger row and request record, in batches of the real writer.
At the end the ledger must have exactly one row for each settlement that was reported.
"""

import argparse
import asyncio
import multiprocessing
import os
import resource
import secrets
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import asyncpg
import sqlalchemy as sa
import uvloop

from bench.machine import cpu_s
from bench.scale import Costs, Load, Outcome, simulate
from bench.tables import number, table
from gatewayz.billing.books import Books
from gatewayz.billing.ops import Capture, Charge, HoldRef, TakeLease
from gatewayz.billing.store_postgres import PostgresStore
from gatewayz.billing.tables import balances
from gatewayz.billing.writer import Writer
from gatewayz.infra.clock import SystemClock
from gatewayz.infra.db import Database
from gatewayz.operations.records import RequestRecord
from gatewayz.wiring.prepare import migrate
from tests.servers import postgres_database, start_postgres

ACCOUNTS = 1000
_RICH_NANO_USD = 10**15
_LEASE_NANO_USD = 10**10
_LEASE_US = 3600 * 10**6
_USAGE = '{"prompt_tokens":25,"completion_tokens":16}'
_PRICE = '{"prompt":150,"completion":600}'
# Round trips of a batch of captures: BEGIN; then what locks and reads, what writes, COMMIT.
_BEFORE_LOCK, _WHILE_LOCKED = 1.5, 2.5
_WARM_S = 0.5


@dataclass(frozen=True, slots=True)
class Done:
    """What one process did in the measured time."""

    settled: int
    batches: int
    cpu_s: float
    p50_ms: float


async def write(
    dsn: str, number_: int, in_flight: int, accounts: tuple[int, ...], seconds: float, tell: Connection
) -> Done:
    """Settles as fast as it goes with so many under way; starts when told to."""
    clock = SystemClock()
    process = f"m{number_}-{secrets.token_hex(3)}"
    writer = Writer(PostgresStore(dsn, lambda: Books(clock.now_us(), 0, 0)))
    expires = clock.now_us() + _LEASE_US
    waiting = [writer.submit(TakeLease(f"{process}:{user}", user, _LEASE_NANO_USD, 0, 8, expires)) for user in accounts]
    for future in waiting:
        await future
    counted, settled, latencies = False, 0, list[float]()
    stop = False

    async def lane(at: int) -> None:
        nonlocal settled
        turn = at
        while not stop:
            user = accounts[turn % len(accounts)]
            turn += in_flight
            began = time.perf_counter()
            await writer.submit(capture(process, user, clock.now_us()))
            if counted:
                settled += 1
                latencies.append(time.perf_counter() - began)

    tell.send("ready")
    await asyncio.to_thread(tell.recv)
    lanes = [asyncio.create_task(lane(at)) for at in range(in_flight)]
    await asyncio.sleep(_WARM_S)
    batches, used = writer.batches, own_cpu_s()
    counted = True
    await asyncio.sleep(seconds)
    counted = False
    done = Done(settled, writer.batches - batches, own_cpu_s() - used, statistics.median(latencies or [0.0]) * 1000)
    stop = True
    await asyncio.gather(*lanes)
    posted = writer.posted - len(accounts)
    await writer.close()
    tell.send(posted)
    return done


def own_cpu_s() -> float:
    """CPU seconds of this process, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def capture(process: str, user: int, now_us: int) -> Capture:
    """A charge of an ordinary answer."""
    request_id = secrets.token_hex(12)
    charge = Charge(13_350, "bench/chat", "bench", 25, 16, _USAGE, _PRICE)
    record = RequestRecord(
        now_us, user, user, request_id, "/v1/chat/completions", "bench/chat", "bench/chat", "bench", "chat",
        prompt_tokens=25, completion_tokens=16, cost_nano_usd=13_350, latency_us=500_000,
    )  # fmt: skip
    hold = HoldRef(user, user, 100_000, lease_id=f"{process}:{user}")
    return Capture(f"{user}:{request_id}", hold, charge, record)


def work(tell: Connection, dsn: str, number_: int, in_flight: int, accounts: tuple[int, ...], seconds: float) -> None:
    """A process of its own; sends what it did."""
    tell.send(uvloop.run(write(dsn, number_, in_flight, accounts, seconds, tell)))


async def shape(dsn: str) -> None:
    """Tables, and accounts with more credit than the measurement can spend."""
    database = Database(dsn)
    try:
        await migrate(database)
        async with database.begin() as connection:
            rows = [{"user_id": user, "purchased_nano_usd": _RICH_NANO_USD} for user in range(1, ACCOUNTS + 1)]
            await connection.execute(sa.insert(balances), rows)
    finally:
        await database.close()


async def ledger_of(dsn: str) -> tuple[int, dict[str, float]]:
    """Rows of the ledger, and bytes per row of the tables that grow with it, indexes included."""
    connection = await asyncpg.connect(dsn)
    try:
        rows: int = await connection.fetchval("SELECT count(*) FROM credit_transactions")
        sizes = {
            name: await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", name) / max(1, rows)
            for name in ("credit_transactions", "activity_log")
        }
        return rows, sizes
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Server:
    """The database under test."""

    dsn: str
    pid: int


@dataclass(frozen=True, slots=True)
class Reached:
    """What all processes of one measurement reached together."""

    settled_s: float
    commits_s: float
    batch: float
    p50_ms: float
    node_us: float  # CPU of the processes, per batch
    database_us: float  # CPU of the database, per batch
    bytes_each: dict[str, float]  # by table, with its indexes, per settlement


def measure(server: Server, processes: int, in_flight: int, seconds: float, *, hot: bool, disk: bool = True) -> Reached:
    """One measurement on a fresh database. Raises RuntimeError if the ledger does not have exactly what was settled."""
    with postgres_database(server.dsn) as dsn:
        asyncio.run(shape(dsn))
        used_dsn = dsn if disk else f"{dsn}?synchronous_commit=off"
        accounts = (1,) if hot else tuple(range(1, ACCOUNTS + 1))
        context = multiprocessing.get_context("spawn")
        pipes = []
        for each in range(processes):
            ours, theirs = context.Pipe()
            # Each begins elsewhere in the row of accounts, as customers do.
            turned = accounts[each * len(accounts) // processes :] + accounts[: each * len(accounts) // processes]
            child = context.Process(target=work, args=(theirs, used_dsn, each, in_flight, turned, seconds), daemon=True)
            child.start()
            theirs.close()
            pipes.append((ours, child))
        for ours, _ in pipes:
            ours.recv()
        for ours, _ in pipes:
            ours.send("go")
        time.sleep(_WARM_S)
        began, used = time.monotonic(), cpu_s(server.pid)
        time.sleep(seconds)
        used, elapsed = cpu_s(server.pid) - used, time.monotonic() - began
        posted, found = 0, list[Done]()
        for ours, child in pipes:
            posted += ours.recv()
            found.append(ours.recv())
            child.join()
        rows, sizes = asyncio.run(ledger_of(dsn))
        if rows != posted:
            raise RuntimeError(f"{posted} settlements were reported, the ledger has {rows}")
    settled, batches = sum(done.settled for done in found), sum(done.batches for done in found)
    return Reached(
        settled / seconds, batches / seconds, settled / max(1, batches), statistics.median(done.p50_ms for done in found),
        sum(done.cpu_s for done in found) / max(1, batches) * 1e6, used / elapsed * seconds / max(1, batches) * 1e6, sizes,
    )  # fmt: skip


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Intercept and slope of the least squares, neither below zero."""
    slope, intercept = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    slope = max(0.0, slope)
    return max(0.0, statistics.fmean(y - slope * x for x, y in points) if intercept < 0 else intercept), slope


def fit(found: dict[int, Reached], no_disk: Reached, cores: int) -> Costs:
    """The costs of a batch from measurements with one process; `no_disk` is the one with one settlement under way."""
    node_batch, node_each = line([(each.batch, each.node_us) for each in found.values()])
    database_batch, database_each = line([(each.batch, each.database_us) for each in found.values()])
    alone_us, no_disk_us = 1e6 / found[1].commits_s, 1e6 / no_disk.commits_s
    flush = max(0.0, alone_us - no_disk_us)
    wire = max(0.0, alone_us - flush - node_batch - node_each - database_batch - database_each)
    share = _BEFORE_LOCK / (_BEFORE_LOCK + _WHILE_LOCKED)
    return Costs(
        wire_before=wire * share,
        wire_locked=wire * (1 - share),
        node_batch=node_batch,
        node_each=node_each,
        database_batch=database_batch,
        database_each=database_each,
        flush=flush,
        database_cores=cores,
    )


def with_rows(costs: Costs, apart: Reached, together: Reached) -> Costs:
    """The costs with a part for each account: what the database saves when a whole batch is of one account."""
    each = max(0.0, (apart.database_us - together.database_us) / max(1.0, apart.batch - 1))
    each = min(each, costs.database_each)
    return replace(costs, database_row=each, database_each=costs.database_each - each)


def with_handover(costs: Costs, real: Reached, told: Outcome) -> Costs:
    """The costs with what two processes on one account take longer per batch than simulated without it."""
    return replace(costs, handover=max(0.0, 1e6 / real.commits_s - 1e6 / told.commits_s))


def main() -> None:
    """Prints the costs, and measured beside simulated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement (default 4)")
    parser.add_argument("--in-flight", type=int, default=64, help="settlements under way per process (default 64)")
    options = parser.parse_args()
    dsn, handle = start_postgres(own=True, durable=True)
    try:
        server = Server(dsn, int((handle.home / "data" / "postmaster.pid").read_text().splitlines()[0]))
        compare(server, options.in_flight, options.seconds)
    finally:
        handle.close()


def compare(server: Server, in_flight: int, seconds: float) -> None:
    """Finds the costs, then measures and simulates the same loads."""
    cores = len(os.sched_getaffinity(0))
    alone = {count: measure(server, 1, count, seconds, hot=False) for count in (1, 8, 64, 256)}
    costs = fit(alone, measure(server, 1, 1, seconds, hot=False, disk=False), cores)
    loads = {
        (processes, hot): Load(processes, in_flight=in_flight, accounts=1 if hot else ACCOUNTS, one_machine=True)
        for hot in (False, True)
        for processes in (1, 2, 4)
    }
    real = {(processes, hot): measure(server, processes, in_flight, seconds, hot=hot) for processes, hot in loads}
    costs = with_rows(costs, real[1, False], real[1, True])
    costs = with_handover(costs, real[2, True], simulate(costs, loads[2, True]))
    named = asdict(costs)
    print("Costs of a batch, microseconds: " + ", ".join(f"{name} {value:.0f}" for name, value in named.items()))
    print("For simulate_scale.py: --costs " + ",".join(f"{name}={value:.0f}" for name, value in named.items()))
    sizes = alone[256].bytes_each
    print(
        "Bytes per settlement, with indexes: "
        + ", ".join(f"{name} {value:.0f}" for name, value in sizes.items())
        + "\n"
    )
    lines = []
    for (processes, hot), load in loads.items():
        where = ("one account" + ("" if processes == 4 else ", fitted")) if hot else f"{ACCOUNTS:,} accounts"
        lines.append(_line(f"{processes}, {where}", real[processes, hot], simulate(costs, load)))
    header = ["processes", "settled/s", "simulated", "÷"]
    for name in ("commits/s", "batch", "p50 ms"):
        header += [name, "simulated"]
    print(table(header, lines))


def _line(title: str, real: Reached, told: Outcome) -> list[str]:
    pairs = [("settled_s", 0), ("commits_s", 0), ("batch", 0), ("p50_ms", 1)]
    cells = [title]
    for name, digits in pairs:
        cells += [number(getattr(real, name), digits), number(getattr(told, name), digits)]
        if name == "settled_s":
            cells.append(number(told.settled_s / real.settled_s if real.settled_s else None, 2))
    return cells


if __name__ == "__main__":
    main()
