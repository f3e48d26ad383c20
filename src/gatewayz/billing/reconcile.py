"""Do the books agree? Balances with the ledger, promises with what is reserved, charges with records, prices with amounts.

Reads only, from one moment of the database. Sums are taken over everything, row by row it looks from `since_us` on. What does
not agree is a `Drift`; every one is counted, and enough of them are kept to find the cause.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.billing import reconcile_store as store
from gatewayz.billing.matching import unmatched
from gatewayz.billing.pricing import cost, price_from_json, usage_from_json
from gatewayz.infra.clock import US_PER_DAY, US_PER_S

MAX_EVIDENCE = 1000
# One kind of drift in a thousand rows must not hide the only one of another kind.
MAX_EVIDENCE_PER_KIND = 250
OVERDUE_US = 300 * US_PER_S
# How long request records are kept; older charges have lost theirs.
RECORD_LIFE_US = 90 * US_PER_DAY
# A charge is posted after its record began: minutes as a rule, longer if the database was away and a journal kept it.
_POSTING_US = 2 * US_PER_DAY
RERATE_PREFIX = "rerate:"

KINDS = {
    "balance": "a bucket of the account is not what its ledger rows add up to",
    "reserved": "what is reserved is not what holds and leases promise",
    "double_entry": "accounts and counter-accounts do not add up to zero",
    "running": "the balance after a row is not the one before plus its amount",
    "split": "a row's buckets do not add up to its amount",
    "type": "a row has an unknown type or no counter-account",
    "repeated_id": "a ledger id stands more than once",
    "pair": "a hold has not exactly one refund that takes it back",
    "record_missing": "a charge has no request record",
    "record_differs": "a charge and its request record name different costs",
    "charge_missing": "a request record names a cost that was never charged",
    "price": "a charge is not its metered usage at its pinned price",
    "tokens": "a charge's token counts are not those of its metered usage",
    "unreadable": "a charge's pinned price or metered usage cannot be read",
    "overdue": "a hold or lease outlived its time",
}


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that does not agree. `kind` is one of KINDS; `expected` and `found` are nano-USD or counts.

    `ids` are ledger, hold or request ids, or the name of a bucket or counter-account. `row_id` is the ledger row's number.
    """

    kind: str
    user_id: int | None
    ids: tuple[str, ...]
    expected: int | None
    found: int | None
    row_id: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at and what does not agree. Money is nano-USD.

    `rows` are ledger rows, `charges` those of them that were priced again; `charged` is their sum, `metered` their usage at
    the pinned prices. `balances` is the sum of all accounts, `contra` that of each counter-account. `evidence` holds some of
    the `drifts`, whose number per kind is in `kinds`.
    """

    at_us: int
    since_us: int | None
    accounts: int
    rows: int
    charges: int
    charged: int
    metered: int
    balances: int
    contra: dict[str, int]
    drifts: int
    kinds: dict[str, int]
    evidence: tuple[Drift, ...]


@dataclass(slots=True)
class _Findings:
    kinds: Counter[str] = field(default_factory=Counter)
    evidence: list[Drift] = field(default_factory=list)
    charges: int = 0
    charged: int = 0
    metered: int = 0

    def add(self, drift: Drift) -> None:
        self.kinds[drift.kind] += 1
        if len(self.evidence) < MAX_EVIDENCE and self.kinds[drift.kind] <= MAX_EVIDENCE_PER_KIND:
            self.evidence.append(drift)

    def count_charge(self, charged: int, metered: int) -> None:
        self.charges += 1
        self.charged += charged
        self.metered += metered

    def add_all(self, drifts: Iterable[Drift]) -> None:
        for drift in drifts:
            self.add(drift)


async def reconcile(
    connection: AsyncConnection, now_us: int, since_us: int | None = None, *, pause_s: float = 0.0
) -> Report:
    """Looks at everything, row by row from `since_us` on (None: all rows). `connection` should be a `snapshot`.

    `pause_s` is slept after each page of charges, so that a serving process keeps its pace. Raises database errors.
    """
    first = 0 if since_us is None else await store.first_row_since(connection, since_us)
    findings = _Findings()
    await _sums(connection, findings)
    balances, contra = await _double_entry(connection, findings)
    await _structure(connection, first, findings)
    await _overdue(connection, now_us, findings)
    await _records(connection, now_us, since_us, findings)
    await _prices(connection, first, findings, pause_s)
    return await _report(connection, now_us, since_us, first, findings, balances, contra)


async def verify(connection: AsyncConnection, now_us: int) -> Report:
    """Looks at the form of the ledger alone, every row of it: running balances, splits, types, ids, pairs, double entry."""
    findings = _Findings()
    balances, contra = await _double_entry(connection, findings)
    await _structure(connection, 0, findings)
    async for row in store.found(connection, store.repeated_ids()):
        findings.add(Drift("repeated_id", row.user_id, (row.request_id,), 1, row.times, row.last))
    return await _report(connection, now_us, None, 0, findings, balances, contra)


async def _report(
    connection: AsyncConnection, now_us: int, since_us: int | None, first: int, findings: _Findings,
    balances: int, contra: dict[str, int],
) -> Report:  # fmt: skip
    accounts, rows = await store.counts(connection, first)
    return Report(
        at_us=now_us,
        since_us=since_us,
        accounts=accounts,
        rows=rows,
        charges=findings.charges,
        charged=findings.charged,
        metered=findings.metered,
        balances=balances,
        contra=contra,
        drifts=findings.kinds.total(),
        kinds=dict(findings.kinds),
        evidence=tuple(findings.evidence),
    )


async def _sums(connection: AsyncConnection, findings: _Findings) -> None:
    async for row in store.found(connection, store.unequal_buckets()):
        for bucket in ("trial", "allowance", "purchased"):
            moved, kept = int(getattr(row, f"moved_{bucket}")), int(getattr(row, f"kept_{bucket}"))
            # Rows without any balance row are a drift even where they add up to nothing.
            if moved != kept or (not row.opened and bucket == "purchased"):
                findings.add(Drift("balance", row.user_id, (bucket,), moved, kept if row.opened else None))
    async for row in store.found(connection, store.unequal_promises()):
        findings.add(Drift("reserved", row.user_id, (), int(row.promised), int(row.reserved)))


async def _double_entry(connection: AsyncConnection, findings: _Findings) -> tuple[int, dict[str, int]]:
    balances, contra = await store.totals(connection)
    owed = -sum(contra.values())
    if balances != owed:
        findings.add(Drift("double_entry", None, tuple(contra), owed, balances))
    if contra.get("holds"):
        findings.add(Drift("double_entry", None, ("holds",), 0, contra["holds"]))
    return balances, contra


async def _structure(connection: AsyncConnection, first: int, findings: _Findings) -> None:
    async for row in store.found(connection, store.broken_runs(first)):
        findings.add(
            Drift("running", row.user_id, (row.request_id,), int(row.expected), row.balance_after_nano_usd, row.id)
        )
    async for row in store.found(connection, store.broken_rows(first)):
        if row.split != row.amount_nano_usd:
            findings.add(Drift("split", row.user_id, (row.request_id,), row.amount_nano_usd, int(row.split), row.id))
        else:
            findings.add(Drift("type", row.user_id, (row.request_id, row.type, row.contra), None, None, row.id))
    async for row in store.found(connection, store.broken_pairs(first)):
        pair = (f"{row.name}:hold", f"{row.name}:refund")
        findings.add(Drift("pair", row.user_id, pair, 0, int(row.left_over), row.id))


async def _overdue(connection: AsyncConnection, now_us: int, findings: _Findings) -> None:
    async for row in store.found(connection, store.overdue(now_us - OVERDUE_US)):
        findings.add(Drift("overdue", row.user_id, (row.what, row.id), 0, row.amount_nano_usd))


async def _records(connection: AsyncConnection, now_us: int, since_us: int | None, findings: _Findings) -> None:
    """Charges against records. At the edge of the time looked at, partners may lie before it: so much more is read."""
    from_us = max(since_us or 0, now_us - RECORD_LIFE_US + _POSTING_US)
    margin_us = from_us - _POSTING_US
    first = await store.first_row_since(connection, margin_us)
    query = store.unequal_groups(first, margin_us, on_sqlite=connection.dialect.name == "sqlite")
    async for odd in unmatched(store.groups(connection, query)):
        if odd.at_us >= from_us:
            findings.add(Drift(odd.kind, odd.user_id, (odd.id,), odd.charged, odd.recorded))


async def _prices(connection: AsyncConnection, first: int, findings: _Findings, pause_s: float) -> None:
    after = first - 1
    while rows := await store.charges_after(connection, after):
        wrong = judge_prices(rows, findings.count_charge)
        if wrong:
            about = await store.rows_about(connection, [drift.ids[0] for drift in wrong])
            findings.add_all(_not_corrected(wrong, about))
        after = rows[-1].id
        await asyncio.sleep(pause_s)


def judge_prices(rows: Iterable[Any], seen: Callable[[int, int], None]) -> list[Drift]:
    """What is wrong with the amounts of these charges; `seen(charged, metered)` is called for each that can be read."""
    wrong: list[Drift] = []
    for row in rows:
        charged = -row.amount_nano_usd
        ids = (row.request_id,)
        try:
            usage = usage_from_json(row.usage or "")
            metered = cost(price_from_json(row.price or ""), usage)
        except ValueError:
            wrong.append(Drift("unreadable", row.user_id, ids, None, charged, row.id))
            continue
        seen(charged, metered)
        if charged != metered:
            wrong.append(Drift("price", row.user_id, ids, metered, charged, row.id))
        counted = (row.prompt_tokens or 0) + (row.completion_tokens or 0)
        if (row.prompt_tokens, row.completion_tokens) != (usage.prompt_tokens, usage.completion_tokens):
            wrong.append(Drift("tokens", row.user_id, ids, usage.total_tokens, counted, row.id))
    return wrong


def _not_corrected(wrong: Iterable[Drift], about: Iterable[Any]) -> Iterable[Drift]:
    """The drifts that no later re-rating has put right."""
    returned: Counter[str] = Counter()
    for row in about:
        if row.request_id.startswith(RERATE_PREFIX):
            returned[row.refers_to] += row.amount_nano_usd
    for drift in wrong:
        if drift.kind != "price" or (drift.found or 0) - returned[drift.ids[0]] != drift.expected:
            yield drift
