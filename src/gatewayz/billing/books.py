"""Posting a batch of operations over the rows they touch: pure, in memory, order of arrival kept.

A store loads the rows (locked), calls `post`, and writes what changed, all in one transaction. So every rule of money is
here once, for both databases, and a test can run millions of interleavings without any database.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from gatewayz.billing.account import Balance, Split, available, deduct, is_low, standing, would_deduct
from gatewayz.billing.ops import (
    Begin,
    Begun,
    Capture,
    Claim,
    Expire,
    Granted,
    HoldRef,
    KeyCaps,
    Operation,
    PlaceHold,
    Receipt,
    Refused,
    Release,
    Result,
    ReturnLease,
    StoredAnswer,
    TakeLease,
    Void,
)
from gatewayz.operations.kept import KeptAnswer
from gatewayz.operations.records import RequestRecord

US_PER_DAY = 86_400_000_000


class HoldRow(msgspec.Struct, gc=False):
    """A row of `holds`."""

    hold_id: str
    user_id: int
    key_id: int
    amount: int
    key_metered: bool
    created_at_us: int
    expires_at_us: int


class LeaseRow(msgspec.Struct, gc=False):
    """A row of `leases`."""

    lease_id: str
    user_id: int
    amount: int
    expires_at_us: int


class KeyRow(msgspec.Struct, gc=False):
    """A row of `key_usage`, loaded only for keys with caps."""

    key_id: int
    user_id: int
    requests: int = 0
    tokens: int = 0
    spent: int = 0
    held: int = 0
    held_requests: int = 0
    day: int = 0
    day_spent: int = 0


class ClaimRow(msgspec.Struct, gc=False):
    """A row of `idempotency`."""

    user_id: int
    request_id: str
    body_hash: str
    state: str
    attempt: int
    content_type: str | None
    answer: bytes | None
    created_at_us: int
    expires_at_us: int


class LedgerRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `credit_transactions` to be written: its columns, in the order of `store.LEDGER_COLUMNS`."""

    request_id: str
    user_id: int
    key_id: int | None
    type: str
    contra: str
    amount: int
    trial: int
    allowance: int
    purchased: int
    balance_after: int
    model: str | None
    provider: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    usage_json: str | None
    price_json: str | None
    reason: str | None
    created_at_us: int


class KeyUse(msgspec.Struct, gc=False):
    """What a batch adds to a row of `key_usage`; `held` and `held_requests` are negative when promises end."""

    key_id: int
    user_id: int
    requests: int = 0
    tokens: int = 0
    spent: int = 0
    held: int = 0
    held_requests: int = 0


class Books(msgspec.Struct):
    """The loaded rows and what the batch does to them. `now_us` is the time of the whole batch.

    Only balances that change are loaded, so all of them are written. `holds` and `leases` are those that stand, so what has
    ended is in them no more. Of `spent_leases` only the amount has changed, unless they are touched as well. Key uses are
    summed, one to a key: a statement with several rows of one key would update it only once on PostgreSQL.
    """

    now_us: int
    trial_daily: int
    low_nano_usd: int
    balances: dict[int, Balance] = {}
    holds: dict[str, HoldRow] = {}
    leases: dict[str, LeaseRow] = {}
    keys: dict[int, KeyRow] = {}
    claims: dict[tuple[int, str], ClaimRow] = {}

    new_holds: dict[str, HoldRow] = {}
    gone_holds: set[str] = msgspec.field(default_factory=set)
    spent_leases: set[str] = msgspec.field(default_factory=set)
    touched_leases: set[str] = msgspec.field(default_factory=set)
    gone_leases: set[str] = msgspec.field(default_factory=set)
    new_claims: set[tuple[int, str]] = msgspec.field(default_factory=set)
    touched_claims: set[tuple[int, str]] = msgspec.field(default_factory=set)
    key_uses: dict[int, KeyUse] = {}
    ledger: list[LedgerRow] = []
    records: list[RequestRecord] = []
    kept: list[KeptAnswer] = []

    def balance(self, user_id: int) -> Balance:
        """The account's row, to be changed. Raises LookupError if the account was never opened."""
        found = self.balances.get(user_id)
        if found is None:
            raise LookupError(f"account {user_id} has no balance row")
        return found


class Reads(msgspec.Struct, frozen=True, gc=False):
    """Which rows a batch needs. A store that locks them does so in one order, whatever that of the batch."""

    user_ids: set[int] = msgspec.field(default_factory=set)
    hold_ids: set[str] = msgspec.field(default_factory=set)
    lease_ids: set[str] = msgspec.field(default_factory=set)
    key_ids: set[int] = msgspec.field(default_factory=set)
    claims: set[tuple[int, str]] = msgspec.field(default_factory=set)


def reads(batch: Sequence[Operation]) -> Reads:
    """The rows to load and lock before `post`."""
    wanted = Reads()
    users, hold_ids, lease_ids = wanted.user_ids, wanted.hold_ids, wanted.lease_ids
    for op in batch:
        match op:
            case Capture() | Void() | Release():
                if op.claim:
                    wanted.claims.add((op.claim.user_id, op.claim.request_id))
                if hold := op.hold:
                    users.add(hold.user_id)
                    if hold.hold_id:
                        hold_ids.add(hold.hold_id)
                    if hold.lease_id:
                        lease_ids.add(hold.lease_id)
            case TakeLease() | ReturnLease():
                users.add(op.user_id)
                lease_ids.add(op.lease_id)
            case PlaceHold():
                users.add(op.user_id)
                if op.caps:
                    wanted.key_ids.add(op.key_id)
            case Begin():
                wanted.claims.add((op.user_id, op.request_id))
            case Expire():
                users.add(op.user_id)
                if op.hold_id:
                    hold_ids.add(op.hold_id)
                if op.lease_id:
                    lease_ids.add(op.lease_id)
            case _:
                assert_never(op)
    return wanted


def post(books: Books, batch: Sequence[Operation]) -> list[Result]:
    """Posts the batch in order and returns one result per operation; `books` then holds every change to be written."""
    results: list[Result] = []
    for op in batch:
        match op:
            case Capture():
                results.append(_capture(books, op))
            case TakeLease():
                results.append(_take_lease(books, op))
            case PlaceHold():
                results.append(_place_hold(books, op))
            case Void():
                results.append(_void(books, op))
            case Release():
                _release(books, op)
                results.append(None)
            case ReturnLease():
                results.append(_return_lease(books, op))
            case Begin():
                results.append(_begin(books, op))
            case Expire():
                _expire(books, op)
                results.append(None)
            case _:
                assert_never(op)
    return results


def _capture(books: Books, op: Capture) -> Receipt:
    hold, charge, now_us = op.hold, op.charge, books.now_us
    user_id, key_id, amount = hold.user_id, hold.key_id, charge.amount
    balance = books.balance(user_id)
    metered = _end_promise(books, balance, hold, captured=amount)
    split = deduct(balance, amount, now_us, books.trial_daily)
    total = balance.total
    prompt_tokens, completion_tokens = charge.prompt_tokens, charge.completion_tokens
    books.ledger.append(
        LedgerRow(
            op.ledger_id, user_id, key_id, "api_usage", "revenue", -amount, split.trial, split.allowance, split.purchased,
            total, charge.model, charge.provider, prompt_tokens, completion_tokens, charge.usage_json, charge.price_json,
            None, now_us,
        )
    )  # fmt: skip
    _use_key(books, key_id, user_id, prompt_tokens + completion_tokens, amount)
    if metered:
        _free_key(books, metered)
    books.records.append(op.record)
    if op.kept is not None:
        books.kept.append(op.kept)
    if op.claim:
        if op.partial:
            _fail_claim(books, op.claim)
        else:
            _finish_claim(books, op.claim, op.answer)
    left = available(balance, now_us, books.trial_daily)
    return Receipt(amount, total, left, is_low(balance, left, books.low_nano_usd))


def _void(books: Books, op: Void) -> Receipt:
    hold = op.hold
    balance = books.balance(hold.user_id)
    split = would_deduct(balance, hold.amount, books.now_us, books.trial_daily)
    before = balance.total
    metered = _end_promise(books, balance, hold, captured=0)
    _write_void(books, op, "hold", split, before + split.total)
    _write_void(books, op, "refund", split.reversed(), before)
    if metered:
        _free_key(books, metered)
    books.records.append(op.record)
    if op.claim:
        _fail_claim(books, op.claim)
    left = available(balance, books.now_us, books.trial_daily)
    return Receipt(0, before, left, is_low(balance, left, books.low_nano_usd))


def _release(books: Books, op: Release) -> None:
    if op.hold:
        metered = _end_promise(books, books.balance(op.hold.user_id), op.hold, captured=0)
        if metered:
            _free_key(books, metered)
    if op.record:
        books.records.append(op.record)
    if op.claim:
        _fail_claim(books, op.claim)


def _take_lease(books: Books, op: TakeLease) -> Granted | Refused:
    balance = books.balance(op.user_id)
    now = standing(balance, books.now_us, books.trial_daily)
    amount = max(0, min(op.want, now.available // op.share))
    lease = books.leases.get(op.lease_id)
    if amount < op.least:
        amount = 0
    if not amount and lease is None:
        return _refusal(balance, now.available, now.blocked_by)
    if lease is None:
        lease = books.leases[op.lease_id] = LeaseRow(op.lease_id, op.user_id, 0, 0)
        books.gone_leases.discard(op.lease_id)
    balance.reserved += amount
    lease.amount += amount
    lease.expires_at_us = op.expires_at_us
    books.touched_leases.add(op.lease_id)
    return _grant(books, balance, lease.amount)


def _return_lease(books: Books, op: ReturnLease) -> Granted:
    balance = books.balance(op.user_id)
    lease = books.leases.get(op.lease_id)
    if lease is None:
        return _grant(books, balance, 0)
    keep = min(op.keep, lease.amount)
    balance.reserved -= lease.amount - keep
    lease.amount = keep
    if keep:
        books.touched_leases.add(op.lease_id)
    else:
        _drop_lease(books, op.lease_id)
    return _grant(books, balance, keep)


def _place_hold(books: Books, op: PlaceHold) -> Granted | Refused:
    balance = books.balance(op.user_id)
    now = standing(balance, books.now_us, books.trial_daily)
    # A request that costs nothing needs no funds: free models are served with an empty balance.
    if op.amount > 0 and now.available < op.amount:
        return _refusal(balance, now.available, now.blocked_by)
    if op.caps and (reason := _key_cap_reached(books, op, op.caps)):
        return Refused(0, 0, balance.total, reason)
    balance.reserved += op.amount
    books.new_holds[op.hold_id] = books.holds[op.hold_id] = HoldRow(
        op.hold_id, op.user_id, op.key_id, op.amount, op.caps is not None, books.now_us, op.expires_at_us
    )
    if op.caps:
        _promise_key(books, op.key_id, op.user_id, op.amount, 1)
    return _grant(books, balance, 0)


def _key_cap_reached(books: Books, op: PlaceHold, caps: KeyCaps) -> str | None:
    row = books.keys.setdefault(op.key_id, KeyRow(op.key_id, op.user_id))
    if caps.max_requests is not None and row.requests + row.held_requests >= caps.max_requests:
        return "key_request_cap"
    if caps.daily is not None:
        spent = row.day_spent if row.day == books.now_us // US_PER_DAY else 0
        if spent + row.held + op.amount > caps.daily:
            return "key_daily_cap"
    return None


def _expire(books: Books, op: Expire) -> None:
    balance = books.balance(op.user_id)
    hold = books.holds.get(op.hold_id) if op.hold_id else None
    if hold is not None and hold.expires_at_us <= books.now_us:
        _drop_hold(books, hold, balance)
        if hold.key_metered:
            _free_key(books, hold)
    lease = books.leases.get(op.lease_id) if op.lease_id else None
    if lease is not None and lease.expires_at_us <= books.now_us:
        balance.reserved -= lease.amount
        _drop_lease(books, lease.lease_id)


def _begin(books: Books, op: Begin) -> Begun:
    key = (op.user_id, op.request_id)
    row = books.claims.get(key)
    if row is None:
        row = books.claims[key] = ClaimRow(
            op.user_id, op.request_id, op.body_hash, "running", 1, None, None, books.now_us, op.expires_at_us
        )
        books.new_claims.add(key)
        return Begun("new")
    if row.state == "done":
        if row.answer is None or row.expires_at_us <= books.now_us:
            return Begun("reused")
        if row.body_hash != op.body_hash:
            return Begun("conflict")
        return Begun("done", row.attempt, row.content_type, row.answer)
    # A claim that outlived its request belongs to a process that died: it is taken over as a further attempt.
    if row.state == "running" and row.expires_at_us > books.now_us:
        return Begun("running" if row.body_hash == op.body_hash else "conflict")
    row.state, row.attempt = "running", row.attempt + 1
    row.body_hash, row.expires_at_us = op.body_hash, op.expires_at_us
    books.touched_claims.add(key)
    return Begun("new", row.attempt)


def _finish_claim(books: Books, claim: Claim, answer: StoredAnswer | None) -> None:
    row = books.claims.get((claim.user_id, claim.request_id))
    if row is None or row.attempt != claim.attempt:
        return
    row.state = "done"
    if answer:
        row.content_type, row.answer, row.expires_at_us = answer.content_type, answer.sealed, answer.expires_at_us
    books.touched_claims.add((claim.user_id, claim.request_id))


def _fail_claim(books: Books, claim: Claim) -> None:
    row = books.claims.get((claim.user_id, claim.request_id))
    if row is not None and row.attempt == claim.attempt and row.state == "running":
        row.state = "failed"
        books.touched_claims.add((claim.user_id, claim.request_id))


def _end_promise(books: Books, balance: Balance, hold: HoldRef, *, captured: int) -> HoldRow | None:
    """Ends the promise behind a settlement; returns the direct hold if its key is metered.

    A promise that was swept meanwhile is simply gone: the charge stands all the same.
    """
    if hold.hold_id:
        row = books.holds.get(hold.hold_id)
        if row is None:
            return None
        _drop_hold(books, row, balance)
        return row if row.key_metered else None
    lease_id = hold.lease_id
    if lease_id and captured:
        lease = books.leases.get(lease_id)
        if lease is not None:
            used = min(captured, lease.amount)
            lease.amount -= used
            balance.reserved -= used
            books.spent_leases.add(lease_id)
    return None


def _use_key(books: Books, key_id: int, user_id: int, tokens: int, spent: int) -> None:
    """A request of the key that was charged."""
    use = books.key_uses.get(key_id)
    if use is None:
        books.key_uses[key_id] = KeyUse(key_id, user_id, 1, tokens, spent)
    else:
        use.requests += 1
        use.tokens += tokens
        use.spent += spent
    if row := books.keys.get(key_id):
        today = books.now_us // US_PER_DAY
        if row.day != today:
            row.day, row.day_spent = today, 0
        row.requests += 1
        row.tokens += tokens
        row.spent += spent
        row.day_spent += spent


def _promise_key(books: Books, key_id: int, user_id: int, held: int, requests: int) -> None:
    """A promise to a request of the key; both negative where it ends."""
    use = books.key_uses.get(key_id)
    if use is None:
        use = books.key_uses[key_id] = KeyUse(key_id, user_id)
    use.held += held
    use.held_requests += requests
    if row := books.keys.get(key_id):
        row.held += held
        row.held_requests += requests


def _free_key(books: Books, hold: HoldRow) -> None:
    _promise_key(books, hold.key_id, hold.user_id, -hold.amount, -1)


def _drop_hold(books: Books, row: HoldRow, balance: Balance) -> None:
    balance.reserved -= row.amount
    del books.holds[row.hold_id]
    books.gone_holds.add(row.hold_id)
    books.new_holds.pop(row.hold_id, None)


def _drop_lease(books: Books, lease_id: str) -> None:
    del books.leases[lease_id]
    books.spent_leases.discard(lease_id)
    books.touched_leases.discard(lease_id)
    books.gone_leases.add(lease_id)


def _write_void(books: Books, op: Void, kind: str, split: Split, balance_after: int) -> None:
    books.ledger.append(
        LedgerRow(
            f"{op.ledger_id}:{kind}", op.hold.user_id, op.hold.key_id, kind, "holds", split.total, split.trial,
            split.allowance, split.purchased, balance_after, None, None, None, None, None, None, op.reason, books.now_us,
        )
    )  # fmt: skip


def _grant(books: Books, balance: Balance, lease_total: int) -> Granted:
    left = available(balance, books.now_us, books.trial_daily)
    return Granted(lease_total, left, balance.total, is_low(balance, left, books.low_nano_usd))


def _refusal(balance: Balance, left: int, blocked_by: str | None) -> Refused:
    return Refused(left, balance.reserved, balance.total, blocked_by)
