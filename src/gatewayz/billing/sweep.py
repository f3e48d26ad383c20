"""Giving back what nobody came back for: holds and leases whose time has passed, answers past their day, old batch ids."""

import sqlalchemy as sa

from gatewayz.billing.ops import Expire
from gatewayz.billing.tables import holds, idempotency, leases, ledger_batches
from gatewayz.billing.writer import MoneyUnavailable, Writer
from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.db import Database

PAGE = 500
# A batch id is only asked for while its own commit is in doubt, which is over in minutes.
BATCH_LIFE_US = 3600 * US_PER_S


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
        async with self._database.begin() as connection:
            await connection.execute(
                sa.update(idempotency)
                .where(
                    idempotency.c.expires_at_us <= now_us,
                    idempotency.c.state == "done",
                    idempotency.c.answer.is_not(None),
                )
                .values(answer=None)
            )
            await connection.execute(
                sa.delete(ledger_batches).where(ledger_batches.c.created_at_us < now_us - BATCH_LIFE_US)
            )
