"""A request id that comes twice: the first answer again, never a second charge.

Only ids that the client chose are claimed. The answer is kept encrypted for a day, in the transaction of its charge.
"""

import asyncio
import hashlib
from dataclasses import dataclass

from gatewayz.billing.cashier import Cashier
from gatewayz.billing.ops import Claim, StoredAnswer
from gatewayz.core.errors import Conflict
from gatewayz.gateway.trip import Trip
from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.crypto import KeyRing

ANSWER_LIFE_US = 24 * 3600 * US_PER_S
MAX_STORED_BYTES = 1024 * 1024
_OFF_LOOP_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class StoredReply:
    """An answer that was given before."""

    content_type: str
    body: bytes


class Replays:
    """Claims request ids and finds stored answers."""

    def __init__(self, cashier: Cashier, ring: KeyRing, clock: Clock) -> None:
        self._cashier = cashier
        self._ring = ring
        self._clock = clock

    async def claim(self, trip: Trip) -> StoredReply | None:
        """Claims the id that a known caller has given this request; the stored answer if it was answered before.

        A repetition after an attempt that failed has a ledger id of its own, which is written into the trip. Raises
        Conflict: request_in_progress, idempotency_conflict (other body), request_id_reused (answer purged).
        """
        caller, call = trip.caller, trip.call
        if caller is None or call.claimed_id is None:
            return None
        if len(call.body) > _OFF_LOOP_BYTES:
            digest = await asyncio.to_thread(_digest, trip)
        else:
            digest = _digest(trip)
        begun = await self._cashier.begin(caller.user_id, call.claimed_id, digest)
        match begun.state:
            case "new":
                trip.claim = Claim(caller.user_id, call.claimed_id, begun.attempt)
                if begun.attempt > 1:
                    trip.ledger_id = f"{trip.ledger_id}:{begun.attempt}"
                return None
            case "done" if begun.sealed is not None:
                return StoredReply(begun.content_type or "application/json", self._ring.open(begun.sealed))
            case "running":
                raise Conflict(
                    f"A request with the id {call.claimed_id} is still running. Wait for it, or send another id.",
                    code="request_in_progress",
                    headers={"Retry-After": "2"},
                )
            case "conflict":
                raise Conflict(
                    f"The request id {call.claimed_id} was used for another body. Send a fresh id for a new request.",
                    code="idempotency_conflict",
                )
        raise Conflict(
            f"The request id {call.claimed_id} was used before and its answer is no longer kept. Send a fresh id.",
            code="request_id_reused",
        )

    def stored(self, trip: Trip, content_type: str, body: bytes | None) -> StoredAnswer | None:
        """The answer as it is kept with the charge; None for unclaimed requests and for answers too large to keep."""
        if trip.claim is None or body is None or len(body) > MAX_STORED_BYTES:
            return None
        return StoredAnswer(content_type, self._ring.seal(body), self._clock.now_us() + ANSWER_LIFE_US)


def _digest(trip: Trip) -> str:
    """What makes two requests the same: the body; of a form its parts, for clients draw a new boundary each time."""
    call, counted = trip.call, trip.glance.counted if trip.glance is not None else None
    digest = hashlib.sha256(call.endpoint.encode() + b"\0" + call.address)
    if counted is None or not counted.parts:
        digest.update(call.body)
        return digest.hexdigest()
    for part in counted.parts:
        digest.update(f"{part.name}\0{part.filename}\0{part.content_type}\0{len(part.data)}\0".encode())
        digest.update(part.data)
    return digest.hexdigest()
