"""Random histories of holds, leases, captures, voids, crashes and sweeps: the sums never move by a nano."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gatewayz.billing.account import Balance
from gatewayz.billing.books import Books, ClaimRow, HoldRow, KeyRow, KeyUse, LeaseRow, LedgerRow, post
from gatewayz.billing.ops import (
    Begin,
    Begun,
    Capture,
    Charge,
    Claim,
    Expire,
    Granted,
    HoldRef,
    KeyCaps,
    Operation,
    PlaceHold,
    Refused,
    Release,
    Result,
    ReturnLease,
    TakeLease,
    Void,
)
from gatewayz.operations.records import RequestRecord

US_PER_S = 1_000_000
DAY_US = 86_400 * US_PER_S
START = 20_000 * DAY_US
USERS = (1, 2)
amounts = st.integers(0, 2000)


@dataclass
class Rows:
    """The database, as dictionaries; `commit` applies what a batch changed, as the stores do."""

    balances: dict[int, Balance] = field(default_factory=dict)
    holds: dict[str, HoldRow] = field(default_factory=dict)
    leases: dict[str, LeaseRow] = field(default_factory=dict)
    keys: dict[int, KeyRow] = field(default_factory=dict)
    claims: dict[tuple[int, str], ClaimRow] = field(default_factory=dict)
    ledger: list[LedgerRow] = field(default_factory=list)
    records: list[RequestRecord] = field(default_factory=list)

    def run(self, batch: list[Operation], now_us: int) -> list[Result]:
        rows = deepcopy(self)
        books = Books(now_us, 300, 50, rows.balances, rows.holds, rows.leases, rows.keys, rows.claims)
        results = post(books, batch)
        self.balances.update(books.balances)
        self.holds.update(books.new_holds)
        for hold_id in books.gone_holds:
            self.holds.pop(hold_id, None)
        for lease_id in books.touched_leases:
            self.leases[lease_id] = books.leases[lease_id]
        for lease_id in books.spent_leases:
            self.leases[lease_id].amount = books.leases[lease_id].amount
        for lease_id in books.gone_leases:
            self.leases.pop(lease_id, None)
        for key in books.new_claims | books.touched_claims:
            self.claims[key] = books.claims[key]
        for use in books.key_uses.values():
            self._use(use, now_us // DAY_US)
        self.ledger += books.ledger
        self.records += books.records
        return results

    def _use(self, use: KeyUse, today: int) -> None:
        row = self.keys.setdefault(use.key_id, KeyRow(use.key_id, use.user_id))
        if row.day != today:
            row.day, row.day_spent = today, 0
        row.requests += use.requests
        row.tokens += use.tokens
        row.spent += use.spent
        row.day_spent += use.spent
        row.held += use.held
        row.held_requests += use.held_requests


def record() -> RequestRecord:
    return RequestRecord(0, 1, 1, "r", "/v1/chat/completions", "m")


def charge(amount: int) -> Charge:
    return Charge(amount, "m", "p", 1, 1, "{}", "{}")


class Money(RuleBasedStateMachine):
    """`running` are requests with a promise; a crash forgets some of them, as a killed process does."""

    @initialize(data=st.data())
    def open_accounts(self, data: st.DataObject) -> None:
        self.rows = Rows()
        self.now_us = START
        self.number = 0
        self.running: list[tuple[str, HoldRef]] = []
        self.lease_held: Counter[str] = Counter()
        self.overrun: Counter[int] = Counter()
        self.spent_today: Counter[tuple[int, int]] = Counter()
        for user_id in USERS:
            trial, allowance, purchased = (data.draw(amounts) for _ in range(3))
            balance = Balance(
                user_id,
                trial=trial,
                trial_ends_at_us=START + 5 * DAY_US,
                allowance=allowance,
                allowance_ends_at_us=START + 3 * DAY_US,
                purchased=purchased,
                daily_cap=data.draw(st.none() | amounts),
            )
            self.rows.balances[user_id] = balance
        self.opening = {user_id: balance.total for user_id, balance in self.rows.balances.items()}

    def post(self, *batch: Operation) -> list[Result]:
        return self.rows.run(list(batch), self.now_us)

    def fresh(self, user_id: int) -> str:
        self.number += 1
        return f"{user_id}:r{self.number}"

    @rule(user_id=st.sampled_from(USERS), amount=amounts, capped=st.booleans())
    def hold(self, user_id: int, amount: int, capped: bool) -> None:
        hold_id = self.fresh(user_id)
        caps = KeyCaps(500, 5) if capped else None
        key_id = user_id * 10 + capped
        before = deepcopy(self.rows.balances[user_id])
        (result,) = self.post(PlaceHold(hold_id, user_id, key_id, amount, caps, self.now_us + 900 * US_PER_S))
        if isinstance(result, Granted):
            self.running.append((hold_id, HoldRef(user_id, key_id, amount, hold_id=hold_id)))
        else:
            assert self.rows.balances[user_id] == before

    @rule(user_id=st.sampled_from(USERS), want=amounts, process=st.sampled_from("ab"), least=st.integers(0, 50))
    def lease(self, user_id: int, want: int, process: str, least: int) -> None:
        lease_id = f"{process}:{user_id}"
        (result,) = self.post(TakeLease(lease_id, user_id, want, least, 2, self.now_us + 60 * US_PER_S))
        if isinstance(result, Granted):
            assert result.lease_total == self.rows.leases[lease_id].amount

    @rule(user_id=st.sampled_from(USERS), process=st.sampled_from("ab"), amount=amounts)
    def hold_inside_a_lease(self, user_id: int, process: str, amount: int) -> None:
        lease_id = f"{process}:{user_id}"
        lease = self.rows.leases.get(lease_id)
        if lease and amount and lease.amount - self.lease_held[lease_id] >= amount:
            self.lease_held[lease_id] += amount
            self.running.append((self.fresh(user_id), HoldRef(user_id, user_id * 10, amount, lease_id=lease_id)))

    @rule(data=st.data(), share=st.integers(0, 120))
    def capture(self, data: st.DataObject, share: int) -> None:
        if not self.running:
            return
        ledger_id, ref = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        amount = ref.amount * share // 100
        backed = ref.hold_id in self.rows.holds if ref.hold_id else ref.lease_id in self.rows.leases
        self.overrun[ref.user_id] += max(0, amount - ref.amount) if backed else amount
        (receipt,) = self.post(Capture(ledger_id, ref, charge(amount), record()))
        assert receipt is not None
        self.spent_today[(ref.user_id, self.now_us // DAY_US)] += amount
        self._unhold(ref)

    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        if not self.running:
            return
        ledger_id, ref = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before = self.rows.balances[ref.user_id].total
        self.post(Void(ledger_id, ref, "provider_error", record()))
        pair = self.rows.ledger[-2:]
        assert [row.type for row in pair] == ["hold", "refund"]
        assert pair[0].amount == -ref.amount == -pair[1].amount
        assert self.rows.balances[ref.user_id].total == before
        self._unhold(ref)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if not self.running:
            return
        _, ref = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        rows = len(self.rows.ledger)
        self.post(Release(ref, record()))
        assert len(self.rows.ledger) == rows
        self._unhold(ref)

    @rule(user_id=st.sampled_from(USERS), process=st.sampled_from("ab"))
    def give_lease_back(self, user_id: int, process: str) -> None:
        lease_id = f"{process}:{user_id}"
        self.post(ReturnLease(lease_id, user_id, max(0, self.lease_held[lease_id])))

    @rule(process=st.sampled_from("ab"))
    def crash(self, process: str) -> None:
        """A process dies: its requests and what it knew of its leases are gone, the rows stay."""
        self.running = [entry for entry in self.running if not (entry[1].lease_id or "").startswith(process)]
        for user_id in USERS:
            self.lease_held.pop(f"{process}:{user_id}", None)

    @rule(seconds=st.sampled_from([1, 61, 1000, 86_400]))
    def time_passes_and_orphans_are_swept(self, seconds: int) -> None:
        self.now_us += seconds * US_PER_S
        due = [
            Expire(row.user_id, hold_id=row.hold_id)
            for row in self.rows.holds.values()
            if row.expires_at_us <= self.now_us
        ]
        due += [
            Expire(row.user_id, lease_id=row.lease_id)
            for row in self.rows.leases.values()
            if row.expires_at_us <= self.now_us
        ]
        self.post(*due, *due)

    @invariant()
    def promises_are_backed(self) -> None:
        for user_id in USERS if hasattr(self, "rows") else ():
            held = sum(row.amount for row in self.rows.holds.values() if row.user_id == user_id)
            leased = sum(row.amount for row in self.rows.leases.values() if row.user_id == user_id)
            assert self.rows.balances[user_id].reserved == held + leased

    @invariant()
    def the_ledger_tells_the_balance(self) -> None:
        for user_id in USERS if hasattr(self, "rows") else ():
            moved = sum(row.amount for row in self.rows.ledger if row.user_id == user_id)
            assert self.rows.balances[user_id].total == self.opening[user_id] + moved
            last = [row for row in self.rows.ledger if row.user_id == user_id][-1:]
            assert all(row.balance_after == self.rows.balances[user_id].total for row in last)

    @invariant()
    def nothing_is_overspent(self) -> None:
        for user_id in USERS if hasattr(self, "rows") else ():
            assert self.rows.balances[user_id].total >= -self.overrun[user_id]

    @invariant()
    def ids_are_unique_and_keys_agree(self) -> None:
        if not hasattr(self, "rows"):
            return
        assert max(Counter(row.request_id for row in self.rows.ledger).values(), default=0) <= 1
        for key_id, row in self.rows.keys.items():
            metered = [hold for hold in self.rows.holds.values() if hold.key_id == key_id and hold.key_metered]
            assert row.held == sum(hold.amount for hold in metered)
            assert row.held_requests == len(metered)

    def _unhold(self, ref: HoldRef) -> None:
        if ref.lease_id:
            self.lease_held[ref.lease_id] -= ref.amount


TestMoney = Money.TestCase
TestMoney.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def begin(rows: Rows, now_us: int, body: str = "b") -> Begun:
    (result,) = rows.run([Begin(1, "rid", body, now_us + 300 * US_PER_S)], now_us)
    assert isinstance(result, Begun)
    return result


def test_a_claimed_id_runs_once() -> None:
    rows = Rows({1: Balance(1, purchased=1000)})
    assert begin(rows, START).state == "new"
    assert begin(rows, START).state == "running"
    assert begin(rows, START, "other").state == "conflict"


def test_two_claims_in_one_batch_are_told_apart() -> None:
    rows = Rows({1: Balance(1, purchased=1000)})
    op = Begin(1, "rid", "b", START + 1)
    assert [result.state for result in rows.run([op, op], START) if isinstance(result, Begun)] == ["new", "running"]


def test_a_failed_claim_may_be_tried_again_as_a_further_attempt() -> None:
    rows = Rows({1: Balance(1, purchased=1000)})
    begin(rows, START)
    rows.run([Void("1:rid", HoldRef(1, 1, 10, hold_id="h"), "provider_error", record(), Claim(1, "rid", 1))], START)
    again = begin(rows, START)
    assert (again.state, again.attempt) == ("new", 2)


def test_a_claim_of_a_dead_process_is_taken_over_after_its_time() -> None:
    rows = Rows({1: Balance(1, purchased=1000)})
    begin(rows, START)
    again = begin(rows, START + 301 * US_PER_S)
    assert (again.state, again.attempt) == ("new", 2)


def test_the_dead_process_cannot_finish_the_claim_of_its_successor() -> None:
    rows = Rows({1: Balance(1, purchased=1000)})
    begin(rows, START)
    begin(rows, START + 301 * US_PER_S)
    rows.run([Capture("1:rid", HoldRef(1, 1, 0), charge(0), record(), Claim(1, "rid", 1))], START)
    assert rows.claims[(1, "rid")].state == "running"


def test_a_refusal_tells_why() -> None:
    rows = Rows({1: Balance(1, trial=500, trial_ends_at_us=START)})
    (result,) = rows.run([PlaceHold("h", 1, 1, 10, None, START + 1)], START)
    assert result == Refused(0, 0, 500, "trial_expired")


def test_equal_is_enough() -> None:
    rows = Rows({1: Balance(1, purchased=10)})
    results = rows.run([PlaceHold("a", 1, 1, 10, None, START + 1), PlaceHold("b", 1, 1, 1, None, START + 1)], START)
    assert isinstance(results[0], Granted)
    assert isinstance(results[1], Refused)
