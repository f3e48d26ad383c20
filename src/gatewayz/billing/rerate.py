"""What should past charges have been, at other prices? And the corrections that make it so, each once.

A charge counts as it stands after earlier re-ratings. Charges that were refunded are left alone: whoever refunded them has
judged them already. A correction is a ledger row of its own that refers to the charge; its key names the charge, the price and
how many corrections came before, so that the same re-rating again, or two at once, moves nothing twice.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import audit
from gatewayz.billing import grants
from gatewayz.billing import reconcile_store as store
from gatewayz.billing.account import Split
from gatewayz.billing.basis import like
from gatewayz.billing.pricebooks import PriceBook
from gatewayz.billing.pricing import cost, price_from_json, price_json, usage_from_json
from gatewayz.billing.reconcile import RERATE_PREFIX
from gatewayz.billing.tables import balances, credit_transactions
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.money import usd_text
from gatewayz.infra.clock import Clock, iso
from gatewayz.infra.db import Database

# Settlements wait while a transaction writes to SQLite: a few dozen rows take a few dozen milliseconds.
CHUNK = 50

LeftAlone = Literal["refunded", "unreadable", "no_price"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which charges: posted from `from_us` until before `until_us`, of one model or provider if named."""

    from_us: int
    until_us: int
    model: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One charge as it stands and as it should be, nano-USD. `paid` is what it took from each bucket (parts below zero).

    `digest` tells prices apart, and how many corrections the charge has had. With `left_alone` nothing else counts.
    """

    row: Any
    charged: int = 0
    should_be: int = 0
    paid: Split = field(default_factory=Split)
    digest: str = ""
    left_alone: LeftAlone | None = None

    @property
    def owed(self) -> int:
        """What the account gets back; below zero what it has to pay."""
        return self.charged - self.should_be


@dataclass(slots=True)
class Line:
    """The charges of one account and model; nano-USD."""

    rows: int = 0
    charged: int = 0
    should_be: int = 0


@dataclass(slots=True)
class Outcome:
    """What a re-rating found, and what it moved. `lines` by account and model.

    `credited` and `debited` are nano-USD moved by `corrected` rows; `uncollected` debits found no purchased credit.
    """

    lines: dict[tuple[int, str], Line] = field(default_factory=dict)
    left_alone: Counter[LeftAlone] = field(default_factory=Counter)
    differing: int = 0
    corrected: int = 0
    credited: int = 0
    debited: int = 0
    uncollected: int = 0
    uncollected_nano_usd: int = 0

    def count(self, judged: Judged) -> None:
        """Adds one charge."""
        if judged.left_alone is not None:
            self.left_alone[judged.left_alone] += 1
            return
        line = self.lines.setdefault((judged.row.user_id, judged.row.model or ""), Line())
        line.rows += 1
        line.charged += judged.charged
        line.should_be += judged.should_be
        self.differing += judged.owed != 0


def judge(rows: Iterable[Any], about: Iterable[Any], book: PriceBook) -> list[Judged]:
    """The charges in `rows`, with the ledger rows `about` them, at the prices of the book. Pure."""
    earlier: dict[str, list[Any]] = {}
    for row in about:
        earlier.setdefault(row.refers_to, []).append(row)
    return [_judge(row, earlier.get(row.request_id, []), book) for row in rows]


def _judge(row: Any, earlier: Sequence[Any], book: PriceBook) -> Judged:
    if any(other.type == "refund" for other in earlier):
        return Judged(row, left_alone="refunded")
    try:
        usage, pinned = usage_from_json(row.usage or ""), price_from_json(row.price or "")
    except ValueError:
        return Judged(row, left_alone="unreadable")
    price = book.price_of(row.model or "", row.provider or "", pinned)
    price = like(price, pinned) if price is not None else None
    if price is None:
        return Judged(row, left_alone="no_price")
    corrections = [other for other in earlier if other.request_id.startswith(RERATE_PREFIX)]
    parts = [row, *corrections]
    paid = Split(
        sum(part.trial_nano_usd for part in parts),
        sum(part.allowance_nano_usd for part in parts),
        sum(part.purchased_nano_usd for part in parts),
    )
    digest = hashlib.sha256(f"{price_json(price)} after {len(corrections)}".encode()).hexdigest()[:16]
    return Judged(row, -paid.total, cost(price, usage), paid, digest)


async def rerate(database: Database, stretch: Stretch, book: PriceBook) -> Outcome:
    """Judges every charge of the stretch and changes nothing. Raises database errors."""
    outcome = Outcome()
    await _walk(database, stretch, book, outcome)
    return outcome


async def apply(database: Database, stretch: Stretch, book: PriceBook, reason: str, clock: Clock) -> Outcome:
    """Judges every charge of the stretch and writes a correction for each that differs, a few dozen per transaction.

    Each charge is judged again under the lock of its account. May be called again, also after it was cut off. The audit
    trail gets an entry before the first correction and one after the last. Raises database errors.
    """
    outcome = Outcome()
    scope = {"from": iso(stretch.from_us), "to": iso(stretch.until_us)}
    scope |= {"model": stretch.model, "provider": stretch.provider}
    await _audit(database, "ledger.rerate_begun", scope, reason, clock.now_us())
    await _walk(database, stretch, book, outcome, _Corrections(database, book, reason, clock, outcome))
    done = {"corrected": outcome.corrected, "credited_usd": usd_text(outcome.credited)}
    done |= {"debited_usd": usd_text(outcome.debited), "uncollected": outcome.uncollected}
    await _audit(database, "ledger.rerated", scope | done, reason, clock.now_us())
    return outcome


@dataclass(frozen=True, slots=True)
class _Corrections:
    """Writes corrections."""

    database: Database
    book: PriceBook
    reason: str
    clock: Clock
    outcome: Outcome

    async def write(self, judged: Sequence[Judged]) -> None:
        """One bounded transaction after the other."""
        # Accounts are locked in the order in which the request path locks them.
        ordered = sorted(judged, key=lambda one: (one.row.user_id, one.row.id))
        for start in range(0, len(ordered), CHUNK):
            async with self.database.begin() as connection:
                await self._chunk(connection, [one.row for one in ordered[start : start + CHUNK]])

    async def _chunk(self, connection: AsyncConnection, rows: Sequence[Any]) -> None:
        users = sorted({row.user_id for row in rows})
        lock = sa.select(balances.c.user_id).where(balances.c.user_id.in_(users)).order_by(balances.c.user_id)
        await connection.execute(lock.with_for_update())
        about = await store.rows_about(connection, [row.request_id for row in rows])
        for judged in judge(rows, about, self.book):
            if judged.left_alone is None and judged.owed:
                await self._correct(connection, judged)

    async def _correct(self, connection: AsyncConnection, judged: Judged) -> None:
        ledger_id, outcome = judged.row.request_id, self.outcome
        order = grants.Order(
            user_id=judged.row.user_id,
            amount=judged.owed,
            key=f"{RERATE_PREFIX}{ledger_id}:{judged.digest}",
            reason=self.reason,
            actor="system",
            now_us=self.clock.now_us(),
            refers_to=ledger_id,
        )
        try:
            await grants.correct_charge(connection, order, judged.paid)
        except InvalidRequest:
            outcome.uncollected += 1
            outcome.uncollected_nano_usd -= judged.owed
            return
        outcome.corrected += 1
        outcome.credited += max(0, judged.owed)
        outcome.debited += max(0, -judged.owed)


async def _walk(
    database: Database,
    stretch: Stretch,
    book: PriceBook,
    outcome: Outcome,
    corrections: _Corrections | None = None,
) -> None:
    table = credit_transactions.c
    conditions = [table.created_at_us >= stretch.from_us, table.created_at_us < stretch.until_us]
    if stretch.model is not None:
        conditions.append(table.model == stretch.model)
    if stretch.provider is not None:
        conditions.append(table.provider == stretch.provider)
    async with database.read() as connection:
        after = await store.first_row_since(connection, stretch.from_us) - 1
    while True:
        async with database.read() as connection:
            rows = await store.charges_after(connection, after, *conditions)
            about = await store.rows_about(connection, [row.request_id for row in rows])
        if not rows:
            return
        judged = judge(rows, about, book)
        for one in judged:
            outcome.count(one)
        if corrections is not None:
            await corrections.write([one for one in judged if one.left_alone is None and one.owed])
        after = rows[-1].id


async def _audit(database: Database, action: str, after: dict[str, Any], reason: str, now_us: int) -> None:
    entry = audit.Entry(now_us, action, "ledger", audit.SYSTEM, after=after, reason=reason, severity="high")
    async with database.begin() as connection:
        await audit.append(connection, "audit", entry)
