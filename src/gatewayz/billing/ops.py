"""What can happen to money, as values: each operation is posted exactly once, in a batch, in one transaction.

Ids of the ledger and of holds are namespaced by account (`{user_id}:{request_id}`), so that equal request ids of two
customers never meet. A retry after a refunded failure carries its attempt (`…:2`).

What every answer needs is a `msgspec.Struct`: a frozen dataclass of the same fields takes several times as long to make.
"""

from dataclasses import dataclass

import msgspec

from gatewayz.operations.kept import KeptAnswer
from gatewayz.operations.records import RequestRecord


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What one answer costs and why: amount in nano-USD, token counts, and the pinned price, as JSON text."""

    amount: int
    model: str
    provider: str
    prompt_tokens: int
    completion_tokens: int
    usage_json: str
    price_json: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A client's own request id, claimed for one body: what the idempotency row is found by."""

    user_id: int
    request_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The encrypted answer that a repetition of a claimed request gets."""

    content_type: str
    sealed: bytes
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Claims a client's request id before anything else happens."""

    user_id: int
    request_id: str
    body_hash: str
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class TakeLease:
    """Adds up to `want` nano-USD to lease `lease_id`, at most available / `share`; nothing if that is below `least`.

    A lease that exists is renewed to `expires_at_us` in any case.
    """

    lease_id: str
    user_id: int
    want: int
    least: int
    share: int
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class ReturnLease:
    """Gives back what of the lease is not promised to running requests (`keep` nano-USD stay)."""

    lease_id: str
    user_id: int
    keep: int


@dataclass(frozen=True, slots=True)
class KeyCaps:
    """Caps of one key: nano-USD per UTC day and requests in its whole life (None: none)."""

    daily: int | None
    max_requests: int | None


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Promises `amount` of the account to one request, durably."""

    hold_id: str
    user_id: int
    key_id: int
    amount: int
    caps: KeyCaps | None
    expires_at_us: int


class HoldRef(msgspec.Struct, frozen=True, gc=False):
    """Which promise is being settled: a direct hold or an amount inside a lease; both None for free requests."""

    user_id: int
    key_id: int
    amount: int
    hold_id: str | None = None
    lease_id: str | None = None


class Capture(msgspec.Struct, frozen=True, gc=False):
    """The answer was produced: charge the actual, release the rest, keep the record.

    A `partial` answer does not fulfil its claim: the same request id may be tried again, as a further attempt. `kept` is
    the answer as its client wants it kept.
    """

    ledger_id: str
    hold: HoldRef
    charge: Charge
    record: RequestRecord
    claim: Claim | None = None
    answer: StoredAnswer | None = None
    partial: bool = False
    kept: KeptAnswer | None = None


@dataclass(frozen=True, slots=True)
class Void:
    """The provider failed: everything back, visible as a hold row and a refund row."""

    ledger_id: str
    hold: HoldRef
    reason: str
    record: RequestRecord
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing was owed (the caller's own mistake, or nobody was asked): the promise ends without a trace in the ledger."""

    hold: HoldRef | None
    record: RequestRecord | None
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Expire:
    """Frees a hold or lease whose time has passed (its process died)."""

    user_id: int
    hold_id: str | None = None
    lease_id: str | None = None


Operation = Begin | TakeLease | ReturnLease | PlaceHold | Capture | Void | Release | Expire


@dataclass(frozen=True, slots=True)
class Begun:
    """`state` new (go on, as attempt `attempt`), running, done (then the stored answer), conflict or reused."""

    state: str
    attempt: int = 1
    content_type: str | None = None
    sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """A hold or lease was placed. `lease_total` is what the lease row holds now; `available` what is left outside."""

    lease_total: int
    available: int
    balance_total: int
    low: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Not enough: what was available, why, and what other promises stand in the way (`reserved`)."""

    available: int
    reserved: int
    balance_total: int
    blocked_by: str | None


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What a settlement did: amount charged (>= 0), balance afterwards, what is available, whether that is low."""

    amount: int
    balance_total: int
    available: int
    low: bool


Result = Begun | Granted | Refused | Receipt | None
