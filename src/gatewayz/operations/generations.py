"""Finding the record of one request again: by the id that its client was given, or by the provider's."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts.tables import api_keys
from gatewayz.infra.clock import US_PER_S
from gatewayz.operations.tables import activity_log

# A record is dated by the beginning of its request, a charge by its end; no request lasts longer.
LONGEST_REQUEST_US = 3600 * US_PER_S
# Records bear no index by id, which would cost every request something: the newest are looked through.
LOOKED_AT = (500, 50_000)
# What the gateway puts in front of a request's id where the provider gave the answer none.
_MADE_UP = ("chatcmpl-", "cmpl-", "msg_", "resp_", "gen-")


def request_ids(wanted: str) -> tuple[str, ...]:
    """The request ids that an id may stand for: itself, and what is left without a prefix that the gateway puts there."""
    bare = [wanted.removeprefix(prefix) for prefix in _MADE_UP if wanted.startswith(prefix)]
    return (wanted, *bare)


async def find(
    connection: AsyncConnection, user_id: int, wanted: str, charged_at_us: int | None
) -> dict[str, Any] | None:
    """The newest record of the account with this request id or provider's id; None if there is none.

    `charged_at_us` is when its charge was made, if that is known. Otherwise the account's newest records are looked
    through, `LOOKED_AT[-1]` at most.
    """
    table = activity_log.c
    named = sa.or_(table.request_id.in_(request_ids(wanted)), table.upstream_id == wanted)
    if charged_at_us is not None:
        near = sa.select(activity_log).where(
            table.user_id == user_id,
            table.created_at_us >= charged_at_us - LONGEST_REQUEST_US,
            table.created_at_us <= charged_at_us,
            named,
        )
        found = (await connection.execute(near.order_by(table.created_at_us.desc()).limit(1))).mappings().first()
        if found is not None:
            return dict(found)
    for most in LOOKED_AT:
        newest = sa.select(table.id, table.request_id, table.upstream_id).where(table.user_id == user_id)
        few = newest.order_by(table.created_at_us.desc(), table.id.desc()).limit(most).subquery()
        match = sa.or_(few.c.request_id.in_(request_ids(wanted)), few.c.upstream_id == wanted)
        record_id = await connection.scalar(sa.select(sa.func.max(few.c.id)).where(match))
        if record_id is not None:
            row = await connection.execute(sa.select(activity_log).where(table.id == record_id))
            return dict(row.mappings().one())
    return None


async def spent_since(connection: AsyncConnection, key_id: int, starts_us: tuple[int, ...]) -> tuple[int, ...]:
    """Nano-USD that a key has spent since each of these times; nothing for a key that does not exist any more."""
    table = activity_log.c
    sums = [
        sa.func.coalesce(sa.func.sum(sa.case((table.created_at_us >= start, table.cost_nano_usd), else_=0)), 0)
        for start in starts_us
    ]
    # Records are found by account and time.
    owner = sa.select(api_keys.c.user_id).where(api_keys.c.id == key_id).scalar_subquery()
    query = sa.select(*[each.cast(sa.BigInteger) for each in sums]).where(
        table.user_id == owner, table.created_at_us >= min(starts_us), table.api_key_id == key_id
    )
    return tuple(int(value) for value in (await connection.execute(query)).one())


async def free_requests_since(connection: AsyncConnection, user_id: int, start_us: int) -> int:
    """How many requests of the account went to free models since then."""
    table = activity_log.c
    query = sa.select(sa.func.count()).where(
        table.user_id == user_id, table.created_at_us >= start_us, table.model.endswith(":free", autoescape=True)
    )
    return int(await connection.scalar(query) or 0)
