"""The statements of billing, shared by both databases, and the mapping between rows and values.

Every statement uses positional parameters in the order of the tuples below. PostgreSQL and SQLite take the same text but
for the placeholders (`$1` / `?1`), which are written here as `?1` and rewritten for PostgreSQL.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Protocol

from msgspec.structs import astuple

from gatewayz.billing.books import US_PER_DAY, Books, ClaimRow, HoldRow
from gatewayz.billing.ops import Operation, Result
from gatewayz.operations.kept import KEPT_COLUMNS
from gatewayz.operations.kept import row as kept_row
from gatewayz.operations.records import RECORD_COLUMNS
from gatewayz.operations.records import rows as record_rows

# In the order of `Balance`, `HoldRow`, `LeaseRow`, `KeyRow`, `ClaimRow` and `LedgerRow`.
BALANCE_COLUMNS = (
    "user_id, trial_nano_usd, trial_ends_at_us, trial_day, trial_day_spent_nano_usd, allowance_nano_usd,"
    " allowance_ends_at_us, purchased_nano_usd, reserved_nano_usd, day, day_spent_nano_usd, daily_cap_nano_usd,"
    " last_topup_nano_usd"
)
HOLD_COLUMNS = "id, user_id, key_id, amount_nano_usd, key_metered, created_at_us, expires_at_us"
LEASE_COLUMNS = "id, user_id, amount_nano_usd, expires_at_us"
KEY_COLUMNS = "key_id, user_id, requests, tokens, spent_nano_usd, held_nano_usd, held_requests, day, day_spent_nano_usd"
CLAIM_COLUMNS = "user_id, request_id, body_hash, state, attempt, content_type, answer, created_at_us, expires_at_us"
LEDGER_COLUMNS = (
    "request_id, user_id, key_id, type, contra, amount_nano_usd, trial_nano_usd, allowance_nano_usd,"
    " purchased_nano_usd, balance_after_nano_usd, model, provider, prompt_tokens, completion_tokens, usage, price,"
    " reason, created_at_us"
)


def _values(count: int) -> str:
    return ", ".join(f"?{number}" for number in range(1, count + 1))


# The account's own cap, trial end and top-up are changed by other transactions, so a batch never writes them back.
UPDATE_BALANCE = """
UPDATE balances SET trial_nano_usd = ?2, trial_day = ?3, trial_day_spent_nano_usd = ?4, allowance_nano_usd = ?5,
 purchased_nano_usd = ?6, reserved_nano_usd = ?7, day = ?8, day_spent_nano_usd = ?9 WHERE user_id = ?1
"""
INSERT_HOLD = f"INSERT INTO holds ({HOLD_COLUMNS}) VALUES ({_values(7)})"  # noqa: S608
DELETE_HOLD = "DELETE FROM holds WHERE id = ?1"
UPSERT_LEASE = f"""
INSERT INTO leases ({LEASE_COLUMNS}) VALUES ({_values(4)})
ON CONFLICT (id) DO UPDATE SET amount_nano_usd = excluded.amount_nano_usd, expires_at_us = excluded.expires_at_us
"""  # noqa: S608
SPEND_LEASE = "UPDATE leases SET amount_nano_usd = ?2 WHERE id = ?1"
DELETE_LEASE = "DELETE FROM leases WHERE id = ?1"
ADD_KEY_USE = """
INSERT INTO key_usage (key_id, user_id, requests, tokens, spent_nano_usd, held_nano_usd, held_requests, day,
 day_spent_nano_usd) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?5)
ON CONFLICT (key_id) DO UPDATE SET requests = key_usage.requests + excluded.requests,
 tokens = key_usage.tokens + excluded.tokens, spent_nano_usd = key_usage.spent_nano_usd + excluded.spent_nano_usd,
 held_nano_usd = key_usage.held_nano_usd + excluded.held_nano_usd,
 held_requests = key_usage.held_requests + excluded.held_requests, day = excluded.day,
 day_spent_nano_usd = CASE WHEN key_usage.day = excluded.day THEN key_usage.day_spent_nano_usd ELSE 0 END
 + excluded.day_spent_nano_usd
"""
UPDATE_CLAIM = """
UPDATE idempotency SET body_hash = ?3, state = ?4, attempt = ?5, content_type = ?6, answer = ?7, expires_at_us = ?9
 WHERE user_id = ?1 AND request_id = ?2 AND ?8 = created_at_us
"""
INSERT_CLAIM = f"INSERT INTO idempotency ({CLAIM_COLUMNS}) VALUES ({_values(9)})"  # noqa: S608
INSERT_LEDGER = f"INSERT INTO credit_transactions ({LEDGER_COLUMNS}) VALUES ({_values(18)})"  # noqa: S608
INSERT_RECORD = f"INSERT INTO activity_log ({', '.join(RECORD_COLUMNS)}) VALUES ({_values(len(RECORD_COLUMNS))})"  # noqa: S608
INSERT_KEPT = f"INSERT INTO kept_answers ({', '.join(KEPT_COLUMNS)}) VALUES ({_values(len(KEPT_COLUMNS))})"  # noqa: S608
INSERT_BATCH = "INSERT INTO ledger_batches (id, created_at_us) VALUES (?1, ?2)"
FIND_BATCH = "SELECT 1 FROM ledger_batches WHERE id = ?1"


# What drivers raise before they send a value that no column could hold.
UNSTORABLE = (OverflowError, UnicodeError, TypeError)


class AlreadyPosted(Exception):
    """A row of the batch stands in the database already (its unique id says so); nothing was written."""


class BadOperation(Exception):
    """The database refuses a value of the batch (too large, not storable, against a constraint); nothing was written.

    It would refuse it again, so the batch must not be retried as it is.
    """


class StoreAway(Exception):
    """The database cannot be reached or cannot write now; whether the last commit happened may be unknown.

    `results` are what the batch would have given if its commit did happen (None: it never got so far).
    """

    def __init__(self, message: str, results: list[Result] | None = None) -> None:
        super().__init__(message)
        self.results = results


More = Callable[[], bool]


def no_more() -> bool:
    """Nothing follows this batch."""
    return False


class Store(Protocol):
    """Applies batches to one database; one batch at a time."""

    def apply(self, batch_id: str, batch: Sequence[Operation], more: More = no_more) -> Awaitable[list[Result]]:
        """One transaction; the batch id is written with it. `batch` is not changed meanwhile.

        `more` is asked just before the commit: whether the caller has another batch that will follow at once.
        Raises AlreadyPosted, BadOperation or LookupError (nothing was written), StoreAway (nothing is known).
        """
        ...

    def is_committed(self, batch_id: str) -> Awaitable[bool]:
        """Whether that batch was committed. Raises StoreAway."""
        ...

    async def close(self) -> None: ...


def for_postgres(statement: str) -> str:
    """The statement with PostgreSQL's placeholders."""
    return re.sub(r"\?(\d+)", r"$\1", statement)


def read_hold(row: Sequence[Any]) -> HoldRow:
    """A row of HOLD_COLUMNS."""
    return HoldRow(row[0], row[1], row[2], row[3], bool(row[4]), row[5], row[6])


def read_claim(row: Sequence[Any]) -> ClaimRow:
    """A row of CLAIM_COLUMNS."""
    answer = bytes(row[6]) if row[6] is not None else None
    return ClaimRow(row[0], row[1], row[2], row[3], row[4], row[5], answer, row[7], row[8])


# The rows of `books` have their columns in the order of the tuples above; of a balance, only some are written.
_balance = attrgetter(
    "user_id", "trial", "trial_day", "trial_day_spent", "allowance", "purchased", "reserved", "day", "day_spent"
)


def writes(books: Books) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Statements with their rows, in the order in which they must run; statements without rows are left out."""
    if books.balances:
        yield UPDATE_BALANCE, list(map(_balance, books.balances.values()))
    if books.new_holds:
        yield INSERT_HOLD, list(map(astuple, books.new_holds.values()))
    if books.gone_holds:
        yield DELETE_HOLD, [(hold_id,) for hold_id in sorted(books.gone_holds)]
    if spent := books.spent_leases - books.touched_leases:
        yield SPEND_LEASE, [(lease_id, books.leases[lease_id].amount) for lease_id in spent]
    if books.touched_leases:
        yield UPSERT_LEASE, [astuple(books.leases[lease_id]) for lease_id in sorted(books.touched_leases)]
    if books.gone_leases:
        yield DELETE_LEASE, [(lease_id,) for lease_id in sorted(books.gone_leases)]
    if books.key_uses:
        today = books.now_us // US_PER_DAY
        yield ADD_KEY_USE, [(*astuple(use), today) for use in books.key_uses.values()]
    if books.new_claims:
        yield INSERT_CLAIM, [astuple(books.claims[key]) for key in sorted(books.new_claims)]
    if changed := books.touched_claims - books.new_claims:
        yield UPDATE_CLAIM, [astuple(books.claims[key]) for key in sorted(changed)]
    if books.ledger:
        yield INSERT_LEDGER, list(map(astuple, books.ledger))
    if books.records:
        yield INSERT_RECORD, record_rows(books.records)
    if books.kept:
        yield INSERT_KEPT, [kept_row(kept) for kept in books.kept]
