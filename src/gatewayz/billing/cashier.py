"""Holds and settlements as a request sees them: borrow an amount, pay the actual, get the rest back.

Most holds cost no durable write: the process leases a slice of the account's balance and promises parts of it in memory.
A poor account, or a key with caps of its own, gets a durable hold per request instead. Either way the promise is backed by
`balances.reserved_nano_usd`, so no two requests, processes or machines can promise the same money.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
import structlog

from gatewayz.billing.account import payment_details
from gatewayz.billing.ops import (
    Begin,
    Begun,
    Capture,
    Charge,
    Claim,
    Granted,
    HoldRef,
    KeyCaps,
    PlaceHold,
    Receipt,
    Refused,
    Release,
    ReturnLease,
    StoredAnswer,
    TakeLease,
    Void,
)
from gatewayz.billing.recall import Recall
from gatewayz.billing.writer import MoneyUnavailable, Writer
from gatewayz.core.caller import Caller
from gatewayz.core.errors import PaymentRequired, Unavailable
from gatewayz.core.money import nano_from_usd
from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.operations.kept import KeptAnswer
from gatewayz.operations.records import RequestRecord
from gatewayz.settings import Settings

log = structlog.get_logger(__name__)

# A lease takes at most this fraction of what is available, so that one process never starves the others.
LEASE_SHARE = 8
# A lease must pay for this many holds like the one that asks, or a direct hold is cheaper than the lease.
LEASE_HOLDS = 4
_POOR_PAUSE_S = 1.0
# A recalled slice is not taken again at once, or the account's last money would go back and forth.
_RECALLED_PAUSE_S = 10.0
# The change feed is polled four times a second; two rounds reach every process that is alive.
RECALL_PAUSES_S = (0.35, 0.35)


@dataclass(slots=True)
class Slice:
    """A leased part of one balance: `total` is what the lease row holds, `held` what running requests were promised."""

    lease_id: str
    user_id: int
    total: int = 0
    held: int = 0
    valid_until_s: float = 0.0
    expires_at_us: int = 0
    used_at_s: float = 0.0
    growing: bool = False
    poor_until_s: float = 0.0
    balance_total: int = 0
    low: bool = False

    @property
    def free(self) -> int:
        """What may still be promised."""
        return self.total - self.held


class Hold(msgspec.Struct):
    """A promise to one request. Ends in exactly one of capture, void or release."""

    ref: HoldRef
    balance_total: int
    low: bool
    is_open: bool = True


class Cashier:
    """The door to money for one process. All methods may be called concurrently."""

    def __init__(
        self, writer: Writer, settings: Settings, clock: Clock, process_id: str, recall: Recall | None = None
    ) -> None:
        """`recall` asks other processes for unused slices before a hold is refused; without it there are no others."""
        self._recall = recall
        self._writer = writer
        self._settings = settings
        self._clock = clock
        self._process_id = process_id
        self._lease_nano = nano_from_usd(settings.lease_usd)
        self._refilled_below = self._lease_nano // 2
        self._slices: dict[int, Slice] = {}
        self._hold_life_us = round((settings.hold_expiry_s or settings.request_deadline_s + 900) * US_PER_S)

    @property
    def open_slices(self) -> int:
        """Number of balances of which this process holds a slice."""
        return len(self._slices)

    async def begin(self, user_id: int, request_id: str, body_hash: str) -> Begun:
        """Claims a client's request id. Raises Unavailable if that cannot be written now."""
        expires = self._clock.now_us() + round((self._settings.request_deadline_s + 30) * US_PER_S)
        try:
            result: Begun = await self._writer.submit(Begin(user_id, request_id, body_hash, expires))
        except MoneyUnavailable:
            raise _unavailable() from None
        return result

    async def hold(self, caller: Caller, ledger_id: str, amount: int) -> Hold:
        """Promises `amount` nano-USD to the request. Raises PaymentRequired or Unavailable; then nothing is held."""
        if not caller.metered_per_key:
            if amount == 0:
                return Hold(HoldRef(caller.user_id, caller.key_id, 0), 0, False)
            ready = self._from_slice(caller, amount)
            if ready is not None:
                return ready
            try:
                ready = await self._from_new_slice(caller, amount)
            except MoneyUnavailable:
                raise _unavailable() from None
            if ready is not None:
                return ready
        return await self._direct(caller, ledger_id, amount)

    def capture(
        self,
        hold: Hold,
        ledger_id: str,
        charge: Charge,
        record: RequestRecord,
        claim: Claim | None = None,
        answer: StoredAnswer | None = None,
        *,
        partial: bool = False,
        kept: KeptAnswer | None = None,
    ) -> "asyncio.Future[Receipt]":
        """Charges the actual and releases the rest; done after the commit. Never lost: waits while the database is away.

        Raises RuntimeError for a hold that has been settled. Whoever stops waiting only gives up the future.
        """
        _close(hold)
        op = Capture(ledger_id, hold.ref, charge, record, claim, answer, partial, kept)
        return self._writer.submit(op, self._settled)

    def void(
        self, hold: Hold, ledger_id: str, reason: str, record: RequestRecord, claim: Claim | None = None
    ) -> "asyncio.Future[Receipt]":
        """Gives everything back with a hold row and a refund row; done after the commit. Raises as `capture` does."""
        _close(hold)
        return self._writer.submit(Void(ledger_id, hold.ref, reason, record, claim), self._settled)

    def release(
        self, hold: Hold | None, record: RequestRecord | None, claim: Claim | None = None
    ) -> "asyncio.Future[None]":
        """Gives everything back without a ledger row and keeps the record. Need not be awaited."""
        if hold is not None:
            _close(hold)
            self._unhold(hold.ref)
        ref = hold.ref if hold is not None and hold.ref.hold_id else None
        return self._writer.submit(Release(ref, record, claim))

    async def tend(self) -> None:
        """Renews the slices in use and returns idle ones. Called a few times in the life of a lease."""
        now_s = self._clock.monotonic_s()
        for user_id, part in list(self._slices.items()):
            idle_s = now_s - part.used_at_s
            if part.total == 0 and part.held == 0:
                if now_s > part.poor_until_s:
                    self._slices.pop(user_id, None)
            elif part.held == 0 and idle_s > self._settings.lease_s / 2:
                self._slices.pop(user_id, None)
                self._writer.submit(ReturnLease(part.lease_id, user_id, 0))
            elif not part.growing:
                self._grow(part, want=max(0, self._lease_nano - part.free))

    async def close(self) -> None:
        """Returns all slices; what running requests hold stays leased until they settle or the lease expires."""
        parts = [part for part in self._slices.values() if part.total > 0]
        self._slices.clear()
        waiting = [self._writer.submit(ReturnLease(part.lease_id, part.user_id, part.held)) for part in parts]
        if waiting:
            await asyncio.wait(waiting, timeout=5)

    def _from_slice(self, caller: Caller, amount: int) -> Hold | None:
        part = self._slices.get(caller.user_id)
        if part is None:
            return None
        now_s = self._clock.monotonic_s()
        held = part.held + amount
        free = part.total - held
        if free < 0 or now_s >= part.valid_until_s:
            return None
        if self._clock.now_us() >= part.expires_at_us:
            # The wall clock was set forward: whoever sweeps by it may have freed this slice already.
            return None
        part.held = held
        part.used_at_s = now_s
        if free < self._refilled_below and not part.growing and now_s >= part.poor_until_s:
            self._grow(part, want=self._lease_nano - free)
        return Hold(HoldRef(caller.user_id, caller.key_id, amount, None, part.lease_id), part.balance_total, part.low)

    async def _from_new_slice(self, caller: Caller, amount: int) -> Hold | None:
        now_s = self._clock.monotonic_s()
        part = self._slices.get(caller.user_id)
        if part is None:
            part = self._slices[caller.user_id] = Slice(f"{self._process_id}:{caller.user_id}", caller.user_id)
        if now_s < part.poor_until_s or self._lease_nano < amount * LEASE_HOLDS:
            return None
        await self._grow(part, want=self._lease_nano, least=amount * LEASE_HOLDS)
        return self._from_slice(caller, amount)

    def _grow(self, part: Slice, *, want: int, least: int = 0) -> "asyncio.Future[Granted | Refused]":
        part.growing = True
        now_s = self._clock.monotonic_s()
        life_s = self._settings.lease_s
        expires_at_us = self._clock.now_us() + round(life_s * US_PER_S)
        op = TakeLease(part.lease_id, part.user_id, want, least, LEASE_SHARE, expires_at_us)

        def grown(_op: TakeLease, result: Granted | Refused) -> None:
            part.growing = False
            if isinstance(result, Granted):
                part.total = result.lease_total
                part.balance_total, part.low = result.balance_total, result.low
                # The row expires later than the memory believes, so a slice is never used after it was swept.
                part.valid_until_s = now_s + 0.8 * life_s
                part.expires_at_us = expires_at_us
            else:
                part.total = 0
            if not isinstance(result, Granted) or part.free < want // 2:
                part.poor_until_s = self._clock.monotonic_s() + _POOR_PAUSE_S

        future = self._writer.submit(op, grown)
        future.add_done_callback(lambda done: _not_growing(part, done))
        return future

    def _give_back(self, part: Slice) -> None:
        def returned(_op: ReturnLease, result: Granted) -> None:
            part.total = result.lease_total

        self._writer.submit(ReturnLease(part.lease_id, part.user_id, part.held), returned)
        part.total = part.held

    async def _direct(self, caller: Caller, ledger_id: str, amount: int) -> Hold:
        part = self._slices.get(caller.user_id)
        if part is not None and part.free > 0:
            # What this process has set aside must not stand in the way of its own customer.
            self._give_back(part)
        caps = KeyCaps(caller.daily_cap_nano_usd, caller.max_requests) if caller.metered_per_key else None
        op = PlaceHold(
            ledger_id, caller.user_id, caller.key_id, amount, caps, self._clock.now_us() + self._hold_life_us
        )
        try:
            result = await self._writer.submit(op)
            if isinstance(result, Refused) and self._recallable(result, amount):
                result = await self._after_recall(op, result)
        except MoneyUnavailable:
            raise _unavailable() from None
        if isinstance(result, Refused):
            raise self._too_poor(result, amount)
        ref = HoldRef(caller.user_id, caller.key_id, amount, hold_id=ledger_id)
        return Hold(ref, result.balance_total, result.low)

    def heard_recall(self, subject: str) -> None:
        """Another process needs money of this account (change topic `lease`): what is free goes back, and stays there."""
        part = self._slices.get(int(subject)) if subject.isdigit() else None
        if part is not None:
            part.poor_until_s = self._clock.monotonic_s() + _RECALLED_PAUSE_S
            if part.free > 0:
                self._give_back(part)

    @staticmethod
    def _recallable(refused: Refused, amount: int) -> bool:
        """Whether the refused hold would fit if nothing else were promised."""
        return refused.reserved > 0 and refused.available + refused.reserved >= amount

    async def _after_recall(self, op: PlaceHold, refused: Refused) -> Granted | Refused:
        """The same hold again after other processes were asked to return what they do not use."""
        if self._recall is None:
            return refused
        own_lease_id = f"{self._process_id}:{op.user_id}"
        result: Granted | Refused = refused
        for pause_s in RECALL_PAUSES_S:
            try:
                if not await self._recall.others_hold(op.user_id, own_lease_id):
                    break
            except (sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("recall_not_possible", error=type(error).__name__)
                break
            await asyncio.sleep(pause_s)
            result = await self._writer.submit(op)
            if isinstance(result, Granted):
                break
        return result

    def _settled(self, op: Capture | Void, receipt: Receipt) -> None:
        if part := self._unhold(op.hold):
            part.total = max(0, part.total - receipt.amount)
            part.balance_total, part.low = receipt.balance_total, receipt.low

    def _unhold(self, ref: HoldRef) -> Slice | None:
        """The slice that the promise was made from, without it; None if it was made elsewhere."""
        part = self._slices.get(ref.user_id)
        if part is None or part.lease_id != ref.lease_id:
            return None
        part.held -= ref.amount
        return part

    def _too_poor(self, refused: Refused, amount: int) -> PaymentRequired:
        code, text, remedies = _REASONS.get(refused.blocked_by or "", _REASONS[""])
        settings = self._settings
        extra: dict[str, object] = dict(payment_details(max(0, refused.available), amount, refused.balance_total))
        extra["topup_url"] = settings.topup_url or None
        extra["upgrade_url"] = settings.upgrade_url or None
        words = ", or ".join(remedies)
        extra["hint"] = f"{words[0].upper()}{words[1:]}."
        return PaymentRequired(text, code=code, extra=extra, suggestions=remedies)


_ADD = "add credit"
_NEXT_DAY = "wait for the next day (UTC)"
# Code, words, and what helps against it.
_REASONS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "": ("payment_required", "The balance does not cover the most that this request could cost.", (_ADD,)),
    "trial_expired": (
        "trial_expired",
        "The trial has ended and the account has no other credit for this request.",
        (_ADD,),
    ),
    "trial_daily_limit": (
        "trial_daily_limit",
        "Today's share of the trial credit does not cover this request.",
        (_NEXT_DAY, _ADD),
    ),
    "daily_usage_cap": (
        "daily_usage_cap",
        "The account's daily spending cap does not leave room for this request.",
        (_NEXT_DAY, "have the cap of the account raised"),
    ),
    "key_daily_cap": (
        "daily_usage_cap",
        "The key's daily spending cap does not leave room for this request.",
        (_NEXT_DAY, "raise the cap of the key"),
    ),
    "key_request_cap": (
        "key_request_cap",
        "The key has used up the number of requests it was made for.",
        ("use another key",),
    ),
}


def _not_growing(part: Slice, done: "asyncio.Future[Granted | Refused]") -> None:
    if not done.cancelled() and done.exception() is not None:
        part.growing = False


def _close(hold: Hold) -> None:
    if not hold.is_open:
        raise RuntimeError("a hold is settled once")
    hold.is_open = False


def _unavailable() -> Unavailable:
    return Unavailable(
        "The ledger cannot be written at the moment, so no new request is accepted. Nothing was charged; try again.",
        code="billing_unavailable",
        headers={"Retry-After": "2"},
    )
