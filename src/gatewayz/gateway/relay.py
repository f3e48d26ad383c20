"""Passing on a stream whose first content has been seen, to its end, its failure, or the client's leaving."""

import asyncio
from dataclasses import dataclass
from enum import Enum

from gatewayz.core.errors import GatewayError, PaymentRequired, ProviderTrouble, TimedOut
from gatewayz.dialects.base import StreamFacts
from gatewayz.gateway.attempts import OpenStream
from gatewayz.gateway.budget import Budget, used_up
from gatewayz.gateway.ports import Responder
from gatewayz.infra.alarms import Deadline
from gatewayz.infra.http_client import TransportError, TransportTimeout


class Ending(Enum):
    """How a stream ended."""

    COMPLETE = "complete"
    BROKEN = "broken"
    UNPAID = "unpaid"
    CLIENT_GONE = "client_gone"


@dataclass(frozen=True, slots=True)
class Relayed:
    """The outcome of a relay; `error` is what the client is told if the stream broke."""

    ending: Ending
    facts: StreamFacts
    error: GatewayError | None = None


class Copy:
    """What was sent to the client, for a repetition of the same request id; gives up above `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._parts: list[bytes] | None = []
        self._room = limit

    def add(self, data: bytes) -> None:
        """Keeps a part."""
        if self._parts is None:
            return
        self._room -= len(data)
        if self._room < 0:
            self._parts = None
        else:
            self._parts.append(data)

    def whole(self, tail: bytes) -> bytes | None:
        """Everything with `tail` at its end; None if it was too much to keep."""
        if self._parts is None or len(tail) > self._room:
            return None
        return b"".join([*self._parts, tail])


async def relay(
    opened: OpenStream, out: Responder, model: str, deadline: Deadline, copy: Copy | None, budget: Budget | None
) -> Relayed:
    """Relays until the provider is done, breaks off, or the client leaves; tells the breaker; closes the upstream.

    The terminator is not sent here: it waits for the charge. A stream that outgrows its `budget` is stopped.
    """
    facts = opened.bridge.facts
    try:
        with deadline:
            error = await _pump(opened, out, model, copy, budget)
    except TimeoutError:
        # The provider was answering all the while. A client that would not take its bytes pays for them like one that
        # left; else stalling before the end would make every answer free.
        opened.permit.neutral()
        if opened.sending:
            return Relayed(Ending.CLIENT_GONE, facts)
        error = TimedOut(f"{model} did not finish before the request's deadline.", code="request_deadline")
        return Relayed(Ending.BROKEN, facts, error)
    except asyncio.CancelledError:
        # Cancelled because the client left, or because the process ends: either way what was produced is settled now.
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        opened.permit.success()
        return Relayed(Ending.CLIENT_GONE, facts)
    finally:
        opened.reply.close()
    if out.gone and not facts.ended:
        opened.permit.success()
        return Relayed(Ending.CLIENT_GONE, facts)
    if isinstance(error, PaymentRequired):
        opened.permit.success()
        return Relayed(Ending.UNPAID, facts, error)
    if error is not None:
        opened.permit.failure()
        return Relayed(Ending.BROKEN, facts, error)
    opened.permit.success()
    return Relayed(Ending.COMPLETE, facts)


async def _pump(
    opened: OpenStream, out: Responder, model: str, copy: Copy | None, budget: Budget | None
) -> GatewayError | None:
    bridge, reply = opened.bridge, opened.reply
    facts = bridge.facts
    data = opened.first
    while True:
        if data:
            if copy is not None:
                copy.add(data)
            opened.sending = True
            await out.send(data)
            opened.sending = False
        if facts.error is not None:
            return _broken(model)
        # A provider may keep the connection open after its terminator; the client does not wait for that.
        if facts.ended or out.gone:
            return None
        if budget is not None and facts.output_chars >= budget.next_look_chars and not await budget.allows(facts):
            return used_up(model)
        try:
            chunk = await reply.next_chunk()
        except TransportTimeout:
            return TimedOut(f"{model} stopped answering. Nothing was charged; try again.")
        except TransportError:
            return _broken(model)
        if chunk:
            data = bridge.feed(chunk)
            continue
        data = bridge.close()
        if data:
            if copy is not None:
                copy.add(data)
            opened.sending = True
            await out.send(data)
            opened.sending = False
        # A stream that ends without its terminator was cut off: never reported as a normal stop.
        return None if facts.ended and facts.error is None else _broken(model)


def _broken(model: str) -> ProviderTrouble:
    return ProviderTrouble(f"{model} broke off in the middle of its answer. Nothing was charged; try again.")
