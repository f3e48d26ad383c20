"""How do many nodes with group commit share one database? A simulation of discrete events; pure, and repeatable by its seed.

Each node has one writer, as `billing/writer.py` is: what waits while a commit is under way goes into the next one. A batch
locks the balance rows of its accounts in one order, keeps them over its statements, and frees them when the database has
flushed its log. The database has so many cores, and flushes for all who wait at a time. A row that every batch wants
makes the nodes stand in line: that is what limits a single account, however many nodes and cores there are.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

MAX_BATCH = 512
_ROWS_OF_HOT = 1


@dataclass(frozen=True, slots=True)
class Costs:
    """What a batch costs, in microseconds: a fixed part, a part for each settlement, a part for each account in it.

    `wire_*` is waiting only: the round trips before the rows are locked, and those while they are. `node_*` is CPU of the
    node, `database_*` CPU of the database, `flush` one flush of its log, `handover` what passes until a batch that waited
    for a row goes on with it.
    """

    wire_before: float
    wire_locked: float
    node_batch: float
    node_each: float
    database_batch: float
    database_each: float
    flush: float
    database_row: float = 0.0
    handover: float = 0.0
    database_cores: int = 8


@dataclass(frozen=True, slots=True)
class Load:
    """What the nodes have to settle. Either `rate`, settlements a second of all nodes, or `in_flight` per node at all times.

    `accounts` are equally busy, but for one with the share `hot` of everything. `one_machine`: nodes and database share
    the database's cores, as they do in a test; otherwise each node has a core of its own.
    """

    nodes: int
    rate: float = 0.0
    in_flight: int = 0
    accounts: int = 10_000
    hot: float = 0.0
    one_machine: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened in the measured time; latencies in milliseconds, shares from 0 to 1."""

    settled_s: float
    commits_s: float
    batch: float
    p50_ms: float
    p99_ms: float
    database_busy: float
    lock_share: float
    waiting: int
    posted: int
    arrived: int


@dataclass(slots=True)
class _Pool:
    """Cores and who waits for one."""

    cores: int
    busy: int = 0
    used_us: float = 0.0
    queue: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)


@dataclass(slots=True)
class _Batch:
    node: "_Node"
    arrived: list[float]
    rows: list[int]
    began: float
    locked: int = 0
    asked: float = 0.0


@dataclass(slots=True)
class _Node:
    pool: _Pool
    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    committing: bool = False


class Simulation:
    """One run. `run` may be called once."""

    def __init__(self, costs: Costs, load: Load, seed: int = 1) -> None:
        self._costs, self._load = costs, load
        self._random = random.Random(seed)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._database = _Pool(costs.database_cores)
        self._nodes = [_Node(self._database if load.one_machine else _Pool(1)) for _ in range(load.nodes)]
        self._holders: dict[int, deque[_Batch]] = {}
        self._flushing: list[_Batch] = []
        self._to_flush: list[_Batch] = []
        self._from = 0.0
        self._latencies: list[float] = []
        self._commits = 0
        self._lock_us = self._batch_us = 0.0
        self._arrived = self._posted = 0

    def run(self, seconds: float, warmup_s: float = 0.2) -> Outcome:
        """Simulates so many seconds after a warm-up that is not counted."""
        for node in self._nodes:
            if self._load.in_flight:
                for _ in range(self._load.in_flight):
                    self._arrive(node)
            else:
                self._arrive_later(node)
        self._from = warmup_s * 1e6
        end, used_before = (warmup_s + seconds) * 1e6, 0.0
        while self._events and self._events[0][0] <= end:
            at, _, act = heapq.heappop(self._events)
            if self._now < self._from <= at:
                used_before = self._database.used_us
            self._now = at
            act()
        return self._outcome(seconds, used_before)

    def _outcome(self, seconds: float, used_before: float) -> Outcome:
        found = sorted(self._latencies)
        waiting = sum(len(node.waiting) for node in self._nodes)
        return Outcome(
            settled_s=len(found) / seconds,
            commits_s=self._commits / seconds,
            batch=len(found) / self._commits if self._commits else 0.0,
            p50_ms=found[len(found) // 2] / 1000 if found else 0.0,
            p99_ms=found[int(len(found) * 0.99)] / 1000 if found else 0.0,
            database_busy=(self._database.used_us - used_before) / (seconds * 1e6 * self._costs.database_cores),
            lock_share=self._lock_us / self._batch_us if self._batch_us else 0.0,
            waiting=waiting,
            posted=self._posted,
            arrived=self._arrived,
        )

    # Time.

    def _after(self, delay_us: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self._now + delay_us, self._number, act))

    def _compute(self, pool: _Pool, cost_us: float, then: Callable[[], None]) -> None:
        if pool.busy < pool.cores:
            self._occupy(pool, cost_us, then)
        else:
            pool.queue.append((cost_us, then))

    def _occupy(self, pool: _Pool, cost_us: float, then: Callable[[], None]) -> None:
        pool.busy += 1
        pool.used_us += cost_us

        def done() -> None:
            pool.busy -= 1
            if pool.queue:
                self._occupy(pool, *pool.queue.popleft())
            then()

        self._after(cost_us, done)

    # Settlements come in.

    def _arrive_later(self, node: _Node) -> None:
        pause_us = self._random.expovariate(self._load.rate / self._load.nodes) * 1e6

        def arrive() -> None:
            self._arrive(node)
            self._arrive_later(node)

        self._after(pause_us, arrive)

    def _arrive(self, node: _Node) -> None:
        load = self._load
        hot = load.hot > 0 and self._random.random() < load.hot
        self._arrived += 1
        node.waiting.append(
            (self._now, 0 if hot else self._random.randrange(_ROWS_OF_HOT, load.accounts + _ROWS_OF_HOT))
        )
        if not node.committing:
            node.committing = True
            self._after(0.0, lambda: self._begin(node))

    # A batch travels.

    def _begin(self, node: _Node) -> None:
        taken = [node.waiting.popleft() for _ in range(min(MAX_BATCH, len(node.waiting)))]
        batch = _Batch(node, [at for at, _ in taken], sorted({row for _, row in taken}), self._now)
        costs = self._costs
        self._compute(
            node.pool, costs.node_batch / 2, lambda: self._after(costs.wire_before, lambda: self._lock(batch))
        )

    def _lock(self, batch: _Batch) -> None:
        batch.asked = self._now
        self._lock_on(batch)

    def _lock_on(self, batch: _Batch) -> None:
        """Takes the rows in order, and waits at the first that another batch has."""
        while batch.locked < len(batch.rows):
            line = self._holders.setdefault(batch.rows[batch.locked], deque())
            line.append(batch)
            batch.locked += 1
            if line[0] is not batch:
                return
        if self._now >= self._from:
            self._lock_us += self._now - batch.asked
        self._after(self._costs.wire_locked, lambda: self._decide(batch))

    def _decide(self, batch: _Batch) -> None:
        costs, size = self._costs, len(batch.arrived)
        self._compute(
            batch.node.pool,
            costs.node_batch / 2 + costs.node_each * size,
            lambda: self._compute(
                self._database,
                costs.database_batch + costs.database_each * size + costs.database_row * len(batch.rows),
                lambda: self._commit(batch),
            ),
        )

    def _commit(self, batch: _Batch) -> None:
        self._to_flush.append(batch)
        if not self._flushing:
            self._flush()

    def _flush(self) -> None:
        self._flushing, self._to_flush = self._to_flush, []
        self._after(self._costs.flush, self._flushed)

    def _flushed(self) -> None:
        done, self._flushing = self._flushing, []
        if self._to_flush:
            self._flush()
        for batch in done:
            self._end(batch)

    def _end(self, batch: _Batch) -> None:
        for row in batch.rows:
            line = self._holders[row]
            line.popleft()
            if line:
                self._after(self._costs.handover, partial(self._lock_on, line[0]))
            else:
                del self._holders[row]
        self._posted += len(batch.arrived)
        if self._now >= self._from:
            self._commits += 1
            self._batch_us += self._now - batch.began
            self._latencies += [self._now - at for at in batch.arrived]
        node = batch.node
        if self._load.in_flight:
            for _ in batch.arrived:
                self._arrive(node)
        if node.waiting:
            self._after(0.0, lambda: self._begin(node))
        else:
            node.committing = False


def simulate(costs: Costs, load: Load, seconds: float = 2.0, seed: int = 1) -> Outcome:
    """What this load does on these costs."""
    return Simulation(costs, load, seed).run(seconds)
