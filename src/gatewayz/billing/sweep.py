"""Giving back what nobody came back for: holds and leases whose time has passed, answers past their day, old batch ids."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.billing.ops import Expire
from gatewayz.billing.tables import holds, idempotency, leases, ledger_batches
from gatewayz.billing.writer import MoneyUnavailable, Writer
from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.db import PAGE, Database

# A batch id is only asked for while its own commit is in doubt, which is over in minutes.
BATCH_LIFE_US = 3600 * US_PER_S

_claims, _batches = idempotency.c, ledger_batches.c


class Sweeper:
    """Frees orphans. Any number of processes may sweep at once, and as often as they like."""

    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock

    async def sweep(self) -> int:
        """Frees expired holds and leases; returns how many were found. Raises database errors."""
        now_us = self._clock.now_us()
        found: list[Expire] = []
        async with self._database.read() as connection:
            query = sa.select(holds.c.id, holds.c.user_id).where(holds.c.expires_at_us <= now_us).limit(PAGE)
            found += [Expire(row.user_id, hold_id=row.id) for row in await connection.execute(query)]
            query = sa.select(leases.c.id, leases.c.user_id).where(leases.c.expires_at_us <= now_us).limit(PAGE)
            found += [Expire(row.user_id, lease_id=row.id) for row in await connection.execute(query)]
        for future in [self._writer.submit(op) for op in found]:
            try:
                await future
            except MoneyUnavailable:
                break
        return len(found)

    async def purge(self) -> None:
        """Empties stored answers older than their day, and forgets old batch ids. Raises database errors."""
        now_us = self._clock.now_us()

        async def empty_answers(connection: AsyncConnection, limit: int) -> int:
            old = sa.select(_claims.user_id, _claims.request_id).where(
                _claims.answer.is_not(None), _claims.expires_at_us <= now_us, _claims.state == "done"
            )
            those = sa.tuple_(_claims.user_id, _claims.request_id).in_(old.limit(limit))
            return (await connection.execute(sa.update(idempotency).where(those).values(answer=None))).rowcount

        async def forget_batches(connection: AsyncConnection, limit: int) -> int:
            old = sa.select(_batches.id).where(_batches.created_at_us < now_us - BATCH_LIFE_US).limit(limit)
            return (await connection.execute(sa.delete(ledger_batches).where(_batches.id.in_(old)))).rowcount

        await self._database.in_pages(empty_answers)
        await self._database.in_pages(forget_batches)
