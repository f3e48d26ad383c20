"""Ending a request's money in one of three ways: charged, refunded, or nothing owed. One place decides each rule.

| what happened | what is charged |
|---|---|
| complete answer | the metered usage |
| client left after content had come | what was produced until then |
| client left before any content | nothing |
| stream outgrew what the account can pay | what was produced until then, and the stream ends with an error event |
| provider failed, broke off, or stayed empty | nothing: hold and refund rows |
| refused before a provider was called, or for the caller's own mistake | nothing, no rows |
"""

import asyncio
from collections.abc import Awaitable

from gatewayz.billing.cashier import Cashier
from gatewayz.billing.ops import Charge, Receipt, StoredAnswer
from gatewayz.billing.pricing import cost, price_json, usage_json
from gatewayz.catalog.prices import PriceSnapshot
from gatewayz.core.usage import Usage
from gatewayz.gateway.trip import Trip
from gatewayz.operations.kept import KeptAnswer
from gatewayz.routing.plan import Candidate


class Settlement:
    """Settles trips through the cashier."""

    def __init__(self, cashier: Cashier) -> None:
        self._cashier = cashier
        self._price_texts: dict[int, tuple[PriceSnapshot, str]] = {}

    def price(self, candidate: Candidate, usage: Usage) -> int:
        """Nano-USD of this usage at the pinned price of the candidate."""
        price = candidate.offer.price
        if price is None:
            raise RuntimeError("an offer without a price was planned")
        return cost(price, usage)

    def charge(
        self,
        trip: Trip,
        status: int,
        now_s: float,
        stored: StoredAnswer | None = None,
        code: str | None = None,
        kept: KeptAnswer | None = None,
    ) -> Awaitable[Receipt | None]:
        """Charges `trip.cost` for `trip.usage` and keeps the record; awaited, returns after the commit, None for strangers.

        `code` says why an answer is partial.
        """
        record = trip.record(status, code, now_s)
        price = trip.served_by.offer.price if trip.served_by is not None else None
        if trip.hold is None or price is None:
            self._cashier.release(None, record, trip.claim)
            return _nothing()
        usage = trip.usage
        # In the order of its members: with their names it would take twice as long.
        charge = Charge(
            trip.cost,
            trip.model_id or "",
            record.provider or "",
            usage.prompt_tokens,
            usage.completion_tokens,
            usage_json(usage),
            self._price_text(price),
        )
        return self._cashier.capture(
            trip.hold, trip.ledger_id, charge, record, trip.claim, stored, partial=code is not None, kept=kept
        )

    async def refund(self, trip: Trip, status: int, code: str, now_s: float) -> None:
        """Gives the hold back, visibly, because the provider failed; returns after the commit. May be called again."""
        if trip.hold is None or not trip.hold.is_open:
            return
        record = trip.record(status, code, now_s)
        if trip.hold.ref.amount == 0:
            self._cashier.release(trip.hold, record, trip.claim)
            return
        await self._cashier.void(trip.hold, trip.ledger_id, code, record, trip.claim)

    def nothing_owed(self, trip: Trip, status: int, code: str, now_s: float) -> "asyncio.Future[None] | None":
        """Ends hold and claim without a charge and keeps the record of a known caller; need not be awaited."""
        hold = trip.hold if trip.hold is not None and trip.hold.is_open else None
        if trip.caller is None or (trip.hold is not None and hold is None):
            return None
        return self._cashier.release(hold, trip.record(status, code, now_s), trip.claim)

    def _price_text(self, price: PriceSnapshot) -> str:
        known = self._price_texts.get(price.id)
        if known is None or known[0] is not price:
            if len(self._price_texts) > 4096:
                self._price_texts.clear()
            known = self._price_texts[price.id] = (price, price_json(price))
        return known[1]


async def _nothing() -> None:
    """What a stranger is charged."""
