"""Any order of holds, captures, voids, leases, sweeps, outages and deaths, on real databases: the sums never lie.

A process dies between any two steps: before its batch is applied, after the commit but before it hears of it, with
settlements in its journal, or with nothing under way. What it had acknowledged is in the ledger exactly once in the end;
what it had not is there once or not at all.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gatewayz.billing import grants
from gatewayz.billing.books import Books
from gatewayz.billing.cashier import Cashier, Hold
from gatewayz.billing.journal import Journal
from gatewayz.billing.ops import Charge, Operation, Receipt, Result
from gatewayz.billing.store import AlreadyPosted, More, Store, StoreAway, no_more
from gatewayz.billing.store_postgres import PostgresStore
from gatewayz.billing.store_sqlite import SqliteStore
from gatewayz.billing.sweep import Sweeper
from gatewayz.billing.tables import balances, credit_transactions, holds, leases
from gatewayz.billing.writer import Writer
from gatewayz.core.caller import SCOPES, Caller
from gatewayz.core.errors import PaymentRequired, Unavailable
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.operations.records import RequestRecord
from gatewayz.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SOAK = bool(os.environ.get("GATEWAYZ_SOAK"))
CENT = 10_000_000
OPENING = 100 * CENT
SETTINGS = Settings(lease_usd=0.2, lease_s=60, hold_expiry_s=900)
LIFE_S = 1000  # longer than any promise
_user_ids = count(1000)


class Wire:
    """The way to the database. `faults` are met one after another; a hung batch never comes back, like its process."""

    def __init__(self, real: Store) -> None:
        self.real = real
        self.faults: list[str] = []
        self.hung = asyncio.Event()

    async def apply(self, batch_id: str, batch: Sequence[Operation], more: More = no_more) -> list[Result]:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "hang before":
            await self._hang()
        if fault == "cut before":
            raise StoreAway("cut")
        results = await self.real.apply(batch_id, batch, more)
        if fault == "hang after":
            await self._hang()
        if fault == "cut after":
            raise StoreAway("cut", results)
        return results

    async def is_committed(self, batch_id: str) -> bool:
        return await self.real.is_committed(batch_id)

    async def close(self) -> None:
        await self.real.close()

    async def _hang(self) -> None:
        self.hung.set()
        await asyncio.Event().wait()


@dataclass
class Process:
    """One process of the gateway, as far as money goes."""

    name: str
    wire: Wire
    journal: Journal
    writer: Writer
    cashier: Cashier
    settling: list["asyncio.Future[Any]"] = field(default_factory=list)

    async def die(self) -> None:
        """What SIGKILL leaves: rows, and a journal whose lock is free."""
        for task in [*self.settling, self.writer._task]:
            if task is not None:
                task.cancel()
        await asyncio.gather(*self.settling, return_exceptions=True)
        if self.journal._descriptor is not None:
            os.close(self.journal._descriptor)
            self.journal._descriptor = None
        await self.wire.real.close()


@dataclass
class Running:
    """A request with a promise."""

    process: str
    ledger_id: str
    hold: Hold
    since_s: float


class Money(RuleBasedStateMachine):
    """`acknowledged` are charges that a client may have seen, `doubtful` those whose process died first."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.runner = runner
        self.database = database
        self.folder = Path(tempfile.mkdtemp(prefix="journal-"))
        self.clock = ManualClock()
        self.user_id = next(_user_ids)
        self.numbers = count(1)
        self.processes: dict[str, Process] = {}
        self.running: list[Running] = []
        self.acknowledged: Counter[str] = Counter()
        self.doubtful: dict[str, int] = {}
        self.overrun = 0
        self.passed_s = 0.0

    def run(self, act: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(act)

    def settle(self, act: Callable[..., Awaitable[Receipt]], *details: Any) -> Receipt:
        async def settled() -> Receipt:
            return await act(*details)

        return self.runner.run(settled())

    @initialize()
    def begin(self) -> None:
        async def open_account() -> None:
            async with self.database.begin() as connection:
                now_us = self.clock.now_us()
                await grants.open_account(connection, SETTINGS, self.user_id, now_us, trial=False)
                order = grants.Order(self.user_id, OPENING, f"fund:{self.user_id}", "test", "system", now_us)
                await grants.grant(connection, order)

        self.run(open_account())
        for slot in "ab":
            self.run(self.start(slot))

    async def start(self, slot: str) -> None:
        """A fresh process in the place of one that died."""
        name = f"{slot}{next(self.numbers)}u{self.user_id}"

        def books() -> Books:
            return Books(self.clock.now_us(), 10**12, 10**12)

        database = self.database
        real: Store
        if database.is_sqlite:
            real = SqliteStore(database.sqlite_path, books)
        else:
            real = PostgresStore(database.postgres_dsn, books)
        wire = Wire(real)
        journal = Journal(self.folder, name)
        writer = Writer(wire, journal)
        self.processes[slot] = Process(name, wire, journal, writer, Cashier(writer, SETTINGS, self.clock, name))

    @rule(slot=st.sampled_from("ab"), cents=st.integers(1, 40), capped=st.booleans(), cut=st.booleans())
    def hold(self, slot: str, cents: int, capped: bool, cut: bool) -> None:
        """Refused when there is too little, or when the ledger is away; a promise otherwise."""
        process = self.processes[slot]
        ledger_id = f"{self.user_id}:r{next(self.numbers)}"
        key_id = self.user_id * 10 + capped
        cap = 60 * CENT if capped else None
        caller = Caller(self.user_id, key_id, "user", "free", frozenset(SCOPES), daily_cap_nano_usd=cap)
        process.wire.faults = ["cut before"] if cut else []
        try:
            hold = self.run(process.cashier.hold(caller, ledger_id, cents * CENT))
        except PaymentRequired:
            return
        except Unavailable:
            assert cut
            self.run(process.writer.drain(5))
            return
        self.running.append(Running(slot, ledger_id, hold, self.passed_s))

    @rule(data=st.data(), share=st.integers(0, 100), fault=st.sampled_from(["", "", "cut before", "cut after"]))
    def capture(self, data: st.DataObject, share: int, fault: str) -> None:
        """An answer is paid; a connection may be lost in mid-commit."""
        one = self._pick(data)
        if one is None:
            return
        process = self.processes[one.process]
        process.wire.faults = [fault] if fault else []
        amount = self._amount(one, share)
        receipt = self.settle(process.cashier.capture, one.hold, one.ledger_id, self._charge(amount), self._record(one))
        assert receipt.amount == amount
        self.acknowledged[one.ledger_id] = amount
        self.run(process.writer.drain(5))

    @rule(data=st.data(), share=st.integers(1, 100), when=st.sampled_from(["hang before", "hang after"]))
    def die_while_paying(self, data: st.DataObject, share: int, when: str) -> None:
        """Killed before the commit, or after it and before anybody heard of it."""
        one = self._pick(data)
        if one is None:
            return
        amount = self._amount(one, share)
        self.doubtful[one.ledger_id] = amount

        async def killed() -> None:
            process = self.processes[one.process]
            process.wire.faults = [when]
            paying = process.cashier.capture(one.hold, one.ledger_id, self._charge(amount), self._record(one))
            process.settling = [asyncio.ensure_future(paying)]
            await asyncio.wait_for(process.wire.hung.wait(), 10)
            await process.die()
            await self.start(one.process)

        self.run(killed())
        self._forget(one.process)

    @rule(data=st.data(), share=st.integers(1, 100), first=st.sampled_from(["cut before", "cut after"]))
    def die_with_a_journal(self, data: st.DataObject, share: int, first: str) -> None:
        """The database is away, the charge is safe on disk and acknowledged, then the process is killed."""
        one = self._pick(data)
        if one is None:
            return
        amount = self._amount(one, share)

        async def killed() -> None:
            process = self.processes[one.process]
            process.wire.faults = [first, *["cut before"] * 1000]
            await process.cashier.capture(one.hold, one.ledger_id, self._charge(amount), self._record(one))
            await process.die()
            await self.start(one.process)

        self.run(killed())
        self.acknowledged[one.ledger_id] = amount
        self._forget(one.process)

    @rule(data=st.data(), fault=st.sampled_from(["", "cut before", "cut after"]))
    def void(self, data: st.DataObject, fault: str) -> None:
        """A provider failed: everything comes back, visibly."""
        one = self._pick(data)
        if one is None:
            return
        process = self.processes[one.process]
        process.wire.faults = [fault] if fault else []
        self.settle(process.cashier.void, one.hold, one.ledger_id, "provider_error", self._record(one))
        self.run(process.writer.drain(5))

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Nothing is owed and nothing is written."""
        one = self._pick(data)
        if one is not None:
            self.run(self._release(self.processes[one.process], one))

    @rule(data=st.data())
    def pay_twice(self, data: st.DataObject) -> None:
        """The id of an answer that was paid cannot be charged again; the second promise ends with its own life."""
        paid = sorted(self.acknowledged)
        one = self._pick(data) if paid else None
        if one is None:
            return
        process = self.processes[one.process]
        process.wire.faults = []  # a journal would take it and find out later
        self.run(self._adopt(process))
        again = data.draw(st.sampled_from(paid))
        with pytest.raises(AlreadyPosted):
            self.settle(process.cashier.capture, one.hold, again, self._charge(1), self._record(one))

    @rule(slot=st.sampled_from("ab"))
    def die_idle(self, slot: str) -> None:
        """Killed with promises in memory and nothing under way."""

        async def killed() -> None:
            await self.processes[slot].die()
            await self.start(slot)

        self.run(killed())
        self._forget(slot)

    @rule(slot=st.sampled_from("ab"), seconds=st.sampled_from([1, 20, 40, 61, LIFE_S]))
    def time_passes(self, slot: str, seconds: int) -> None:
        """Leases are tended or swept, orphaned journals are posted."""
        self.clock.advance(seconds)
        self.passed_s += seconds
        process = self.processes[slot]

        async def tend() -> None:
            await process.cashier.tend()
            await process.writer.drain(5)
            await self._adopt(process)
            await Sweeper(self.database, process.writer, self.clock).sweep()

        self.run(tend())

    @invariant()
    def the_sums_agree(self) -> None:
        if self.processes:
            self.run(self._check())

    def teardown(self) -> None:
        if self.processes:
            self.run(self._last_reckoning())
        shutil.rmtree(self.folder)

    def _pick(self, data: st.DataObject) -> Running | None:
        if not self.running:
            return None
        return self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))

    def _amount(self, one: Running, share: int) -> int:
        amount = one.hold.ref.amount * share // 100
        if self.passed_s - one.since_s >= 0.8 * SETTINGS.lease_s:
            self.overrun += amount  # its promise may have been swept: it is charged all the same
        return amount

    def _forget(self, slot: str) -> None:
        self.running = [one for one in self.running if one.process != slot]

    def _charge(self, amount: int) -> Charge:
        return Charge(amount, "acme/chat", "first", 10, 5, '{"prompt":10}', '{"prompt":1}')

    def _record(self, one: Running) -> RequestRecord:
        return RequestRecord(
            1, self.user_id, one.hold.ref.key_id, one.ledger_id.partition(":")[2], "/v1/chat/completions", "m"
        )

    async def _release(self, process: Process, one: Running) -> None:
        await process.cashier.release(one.hold, self._record(one))

    async def _adopt(self, process: Process) -> None:
        await process.writer.adopt_orphans()

    async def _check(self) -> None:
        async with self.database.read() as connection:
            if not self.database.is_sqlite:
                # A slice may grow in the background between two questions.
                await connection.execution_options(isolation_level="REPEATABLE READ")
            mine = balances.c.user_id == self.user_id
            row = (await connection.execute(sa.select(balances).where(mine))).one()
            ledger = (
                await connection.execute(
                    sa.select(credit_transactions).where(credit_transactions.c.user_id == self.user_id)
                )
            ).all()
            promised = 0
            for table in (holds, leases):
                amount = sa.func.coalesce(sa.func.sum(table.c.amount_nano_usd), 0)
                promised += int(await connection.scalar(sa.select(amount).where(table.c.user_id == self.user_id)) or 0)
        whole = row.trial_nano_usd + row.allowance_nano_usd + row.purchased_nano_usd
        assert whole == sum(entry.amount_nano_usd for entry in ledger), "a balance is what its ledger adds up to"
        assert row.reserved_nano_usd == promised, "what is reserved is what holds and leases promise"
        assert whole >= -self.overrun, "more was spent than there was"
        charged = Counter(entry.request_id for entry in ledger if entry.type == "api_usage")
        assert max(charged.values(), default=0) <= 1
        self.ledger = {entry.request_id: -entry.amount_nano_usd for entry in ledger if entry.type == "api_usage"}
        known = {**self.doubtful, **self.acknowledged}
        assert all(known[name] == amount for name, amount in self.ledger.items()), "charged what nobody owed"

    async def _last_reckoning(self) -> None:
        for process in self.processes.values():
            await process.die()
        await self.start("z")
        last = self.processes["z"]
        self.clock.advance(LIFE_S)
        await last.writer.adopt_orphans()
        await Sweeper(self.database, last.writer, self.clock).sweep()
        await self._check()
        missing = [name for name in self.acknowledged if name not in self.ledger]
        assert not missing, f"acknowledged and never charged: {missing}"
        async with self.database.read() as connection:
            for table in (holds, leases):
                left = sa.select(sa.func.count()).select_from(table).where(table.c.user_id == self.user_id)
                assert await connection.scalar(left) == 0, f"{table.name} outlived their time"
        assert not list(self.folder.iterdir()), "a journal was left"
        await last.die()


def test_no_order_of_events_bends_the_sums(database_url: str) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(_opened(database_url))
        try:
            run_state_machine_as_test(
                lambda: Money(runner, database),
                settings=settings(
                    max_examples=400 if SOAK else 25,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(database.close())


async def _opened(url: str) -> Database:
    return Database(url)
