"""Asking other processes for the slices of a balance that they do not use.

An account that grows poor may have its last money leased to processes that serve none of its requests. Whoever must refuse a
hold first calls those slices back: all processes hear of it through the change feed and return what is free.
"""

import sqlalchemy as sa

from gatewayz.billing.tables import leases
from gatewayz.infra.changes import announce
from gatewayz.infra.clock import Clock
from gatewayz.infra.db import Database

TOPIC = "lease"


class Recall:
    """Calls leases back; one per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def others_hold(self, user_id: int, own_lease_id: str) -> bool:
        """Whether another process holds a living slice of the account; if so all are asked to return what is free.

        Raises database errors.
        """
        now_us = self._clock.now_us()
        query = (
            sa.select(leases.c.id)
            .where(leases.c.user_id == user_id, leases.c.id != own_lease_id, leases.c.amount_nano_usd > 0)
            .limit(1)
        )
        async with self._database.read() as connection:
            if await connection.scalar(query) is None:
                return False
        async with self._database.begin() as connection:
            await announce(connection, TOPIC, str(user_id), now_us)
        return True
