"""Answers that clients want kept: the conversation that a request continues, and what is kept of its own answer.

An answer is written in the transaction of its charge, so that whoever has a complete answer can continue it. Its input is
sealed before a provider is asked and its output after; both are encrypted with the keys of the deployment. The conversation
is put in front of the request by the gateway, never by a provider: failover and a change of model lose nothing.
"""

import asyncio
import re
import zlib
from collections.abc import Sequence

import sqlalchemy as sa
import structlog

from gatewayz.core.errors import GatewayError, InvalidRequest, NotFound, Unavailable
from gatewayz.core.ids import new_response_id
from gatewayz.dialects.base import Framing, Glance
from gatewayz.dialects.openai_responses import keep
from gatewayz.dialects.openai_responses.glance import continued
from gatewayz.gateway.trip import Trip
from gatewayz.infra.clock import Clock
from gatewayz.infra.crypto import KeyRing
from gatewayz.infra.db import Database
from gatewayz.operations import kept as store
from gatewayz.operations.kept import LIFE_US, KeptAnswer

log = structlog.get_logger(__name__)

MAX_INPUT_BYTES = 8 * 1024 * 1024
MAX_RESPONSE_BYTES = 4 * 1024 * 1024  # sealed on the loop, between the answer and its charge: 5 ms a megabyte
MAX_CONVERSATION_BYTES = 16 * 1024 * 1024
MAX_TURNS = 256
_OFF_THE_LOOP_BYTES = 64 * 1024
# Longer responses are images, which do not shrink and cost 20 ms a megabyte to try.
_COMPRESSED_BYTES = 256 * 1024
_COMPRESSED, _PLAIN = b"z", b"p"
_ID = re.compile(r"resp_[0-9a-f]{48}")


class Keeping:
    """The kept answers of all accounts. Each method works within one account."""

    def __init__(self, database: Database, ring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._ring = ring
        self._clock = clock

    async def prepare(self, trip: Trip, glance: Glance, framing: Framing) -> None:
        """Gives the answer its id, puts the conversation that it continues in front of the request, seals its input.

        What cannot be kept (no account, or an input above `MAX_INPUT_BYTES`) says so in its `store`. Raises NotFound
        `previous_response_not_found`, InvalidRequest `conversation_too_long`, Unavailable.
        """
        framing.answer_id = new_response_id()
        caller = trip.caller
        if framing.previous_id is not None:
            if caller is None:
                raise _no_previous(framing.previous_id)
            turns = await self._conversation(caller.user_id, framing.previous_id)
            if sum(each.plain_bytes for each in turns) > _OFF_THE_LOOP_BYTES:
                await asyncio.to_thread(self._continue, glance, turns)
            else:
                self._continue(glance, turns)
        if caller is None or len(framing.own_input) > MAX_INPUT_BYTES:
            framing.keep = False
        if framing.keep:
            if len(framing.own_input) > _OFF_THE_LOOP_BYTES:
                trip.kept_input = await asyncio.to_thread(self._seal, framing.own_input)
            else:
                trip.kept_input = self._seal(framing.own_input)

    def kept(self, trip: Trip, sent: bytes) -> KeptAnswer | None:
        """The row of an answer whose body, or the end of whose stream, is about to be `sent`; None if none is kept."""
        caller, framing = trip.caller, trip.glance.framing if trip.glance else None
        if caller is None or framing is None or trip.kept_input is None:
            return None
        response = keep.response_in(sent)
        if response is None or len(response) > MAX_RESPONSE_BYTES:
            log.warning("answer_not_kept", request_id=trip.call.request_id, bytes=len(response or b""))
            return None
        now_us = self._clock.now_us()
        return KeptAnswer(
            id=framing.answer_id,
            user_id=caller.user_id,
            previous_id=framing.previous_id,
            sealed_input=trip.kept_input,
            sealed_response=self._seal(response, compress=len(response) <= _COMPRESSED_BYTES),
            plain_bytes=len(framing.own_input) + len(response),
            created_at_us=now_us,
            expires_at_us=now_us + LIFE_US,
        )

    async def response(self, user_id: int, answer_id: str) -> bytes:
        """The kept response object, as JSON text. Raises NotFound `response_not_found`, Unavailable."""
        return self._open((await self._found(user_id, answer_id)).sealed_response)

    async def input(self, user_id: int, answer_id: str) -> bytes:
        """The kept input, as a JSON array of items. Raises NotFound `response_not_found`, Unavailable."""
        return self._open((await self._found(user_id, answer_id)).sealed_input)

    async def delete(self, user_id: int, answer_id: str) -> None:
        """Deletes the kept answer. Raises NotFound `response_not_found` (also the second time), Unavailable."""
        try:
            async with self._database.begin() as connection:
                there = _ID.fullmatch(answer_id) and await store.delete(connection, user_id, answer_id)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise _away() from error
        if not there:
            raise _no_response(answer_id)

    async def purge(self) -> None:
        """Deletes the answers whose time is over. Raises database errors."""
        now_us = self._clock.now_us()
        await self._database.in_pages(lambda connection, limit: store.purge(connection, now_us, limit))

    async def _found(self, user_id: int, answer_id: str) -> KeptAnswer:
        found = await self._chain(user_id, answer_id, 1)
        if not found:
            raise _no_response(answer_id)
        return found[0]

    async def _conversation(self, user_id: int, answer_id: str) -> Sequence[KeptAnswer]:
        """The kept turns, newest first."""
        turns = await self._chain(user_id, answer_id, MAX_TURNS)
        if not turns:
            raise _no_previous(answer_id)
        size = sum(each.plain_bytes for each in turns)
        if size > MAX_CONVERSATION_BYTES or (len(turns) == MAX_TURNS and turns[-1].previous_id is not None):
            raise InvalidRequest(
                f"The conversation behind {answer_id} is longer than {MAX_TURNS} turns or"
                f" {MAX_CONVERSATION_BYTES // 1024 // 1024} MB. Send a shorter one as input.",
                code="conversation_too_long",
                param="previous_response_id",
            )
        if turns[-1].previous_id is not None:
            raise _no_previous(turns[-1].previous_id)
        return turns

    async def _chain(self, user_id: int, answer_id: str, most: int) -> Sequence[KeptAnswer]:
        if not _ID.fullmatch(answer_id):
            return ()
        try:
            async with self._database.read() as connection:
                return await store.chain(
                    connection, user_id, answer_id, self._clock.now_us(), most, MAX_CONVERSATION_BYTES
                )
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise _away() from error

    def _continue(self, glance: Glance, turns: Sequence[KeptAnswer]) -> None:
        earlier: list[bytes] = []
        for turn in reversed(turns):
            earlier += [self._open(turn.sealed_input), keep.output_of(self._open(turn.sealed_response))]
        continued(glance, earlier)

    def _seal(self, plain: bytes, *, compress: bool = True) -> bytes:
        return self._ring.seal(_COMPRESSED + zlib.compress(plain, 1) if compress else _PLAIN + plain)

    def _open(self, sealed: bytes) -> bytes:
        opened = self._ring.open(sealed)
        return zlib.decompress(opened[1:]) if opened.startswith(_COMPRESSED) else opened[1:]


def _no_response(answer_id: str) -> GatewayError:
    return NotFound(_not_kept(answer_id), code="response_not_found", param="response_id")


def _no_previous(answer_id: str) -> GatewayError:
    return NotFound(_not_kept(answer_id), code="previous_response_not_found", param="previous_response_id")


def _not_kept(answer_id: str) -> str:
    return (
        f"No response {answer_id[:80]} is kept for this account. It may have been made with store: false, been"
        " deleted, or be older than 30 days."
    )


def _away() -> Unavailable:
    return Unavailable(
        "Kept responses cannot be reached at the moment. Nothing was charged; try again.",
        headers={"Retry-After": "2"},
    )
