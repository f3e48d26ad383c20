"""Work that one process at a time may do: a row says who does it and until when. What a dead process held runs out."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.db import Database
from gatewayz.infra.tables import process_leases

log = structlog.get_logger(__name__)

LEASE_S = 60.0
_RENEW_S = 15.0


class Held(Exception):
    """Somebody else holds the lease."""


@asynccontextmanager
async def lease(database: Database, clock: Clock, name: str) -> AsyncIterator[None]:
    """The lease of that name, renewed while the block runs and given back at its end. Raises Held, database errors."""
    holder = secrets.token_hex(8)
    if not await _claim(database, clock, name, holder):
        raise Held(name)
    renewing = asyncio.create_task(_renew(database, clock, name, holder))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        try:
            async with database.begin() as connection:
                mine = sa.and_(process_leases.c.name == name, process_leases.c.holder == holder)
                await connection.execute(sa.delete(process_leases).where(mine))
        except (sa.exc.SQLAlchemyError, OSError) as error:
            # It runs out by itself.
            log.warning("lease_not_returned", lease=name, error=type(error).__name__)


async def is_held(database: Database, clock: Clock, name: str) -> bool:
    """Whether anybody holds the lease now."""
    query = sa.select(process_leases.c.until_us).where(process_leases.c.name == name)
    async with database.read() as connection:
        until_us = await connection.scalar(query)
    return until_us is not None and until_us > clock.now_us()


async def _claim(database: Database, clock: Clock, name: str, holder: str) -> bool:
    now_us = clock.now_us()
    until_us = now_us + round(LEASE_S * US_PER_S)
    insert: Any = (sqlite if database.is_sqlite else postgresql).insert(process_leases)
    claim = insert.values(name=name, holder=holder, until_us=until_us)
    claim = claim.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": holder, "until_us": until_us},
        where=sa.or_(process_leases.c.until_us <= now_us, process_leases.c.holder == holder),
    )
    async with database.begin() as connection:
        found: str | None = await connection.scalar(claim.returning(process_leases.c.holder))
    return found == holder


async def _renew(database: Database, clock: Clock, name: str, holder: str) -> None:
    while True:
        await asyncio.sleep(_RENEW_S)
        try:
            await _claim(database, clock, name, holder)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            log.warning("lease_not_renewed", lease=name, error=type(error).__name__)
