"""Answers that clients want kept: written in the transaction of their charge, read and deleted by their account only."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.infra.clock import US_PER_DAY
from gatewayz.operations.tables import kept_answers

LIFE_US = 30 * US_PER_DAY


class KeptAnswer(msgspec.Struct, frozen=True, gc=False):
    """One row of `kept_answers`: input and response encrypted, times in microseconds since the epoch.

    `plain_bytes` is the size of both before they were compressed and encrypted.
    """

    id: str
    user_id: int
    previous_id: str | None
    sealed_input: bytes
    sealed_response: bytes
    plain_bytes: int
    created_at_us: int
    expires_at_us: int


KEPT_COLUMNS: tuple[str, ...] = KeptAnswer.__struct_fields__


def row(kept: KeptAnswer) -> tuple[object, ...]:
    """Values of a kept answer in the order of `KEPT_COLUMNS`."""
    return tuple(getattr(kept, name) for name in KEPT_COLUMNS)


async def chain(
    connection: AsyncConnection, user_id: int, answer_id: str, now_us: int, most: int, most_bytes: int
) -> Sequence[KeptAnswer]:
    """The kept answer and those that it continues, newest first, until `most` of them or more than `most_bytes`.

    Empty if the account has no such answer, or its time is over. A chain that ends early (too long, or a link is gone)
    is known by its last one, which names a `previous_id`.
    """
    here = kept_answers.c
    names = (here.id, here.previous_id)
    turns = (
        sa.select(*names, here.plain_bytes.label("size"), sa.literal(1).label("depth"))
        .where(here.id == answer_id, here.user_id == user_id, here.expires_at_us > now_us)
        .cte("turns", recursive=True)
    )
    before = kept_answers.alias("before")
    turns = turns.union_all(
        sa.select(before.c.id, before.c.previous_id, turns.c.size + before.c.plain_bytes, turns.c.depth + 1).where(
            before.c.id == turns.c.previous_id,
            before.c.user_id == user_id,
            before.c.expires_at_us > now_us,
            turns.c.depth < most,
            turns.c.size <= most_bytes,
        )
    )
    columns = [here[name] for name in KEPT_COLUMNS]
    query = sa.select(*columns).join(turns, turns.c.id == here.id).order_by(turns.c.depth)
    return [KeptAnswer(*values) for values in await connection.execute(query)]


async def delete(connection: AsyncConnection, user_id: int, answer_id: str) -> bool:
    """Deletes the account's kept answer; whether there was one. May be called twice."""
    done = await connection.execute(
        sa.delete(kept_answers).where(kept_answers.c.id == answer_id, kept_answers.c.user_id == user_id)
    )
    return bool(done.rowcount)


async def purge(connection: AsyncConnection, now_us: int, limit: int) -> int:
    """Deletes at most so many of the answers whose time is over; how many."""
    old = sa.select(kept_answers.c.id).where(kept_answers.c.expires_at_us <= now_us).limit(limit)
    done = await connection.execute(sa.delete(kept_answers).where(kept_answers.c.id.in_(old)))
    return done.rowcount
