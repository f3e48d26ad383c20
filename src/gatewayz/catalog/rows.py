"""SQL of the administrator's view: stored rows of models, what he wrote by hand, and what he switched off."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.catalog.records import ModelRecord
from gatewayz.catalog.seed import TOPIC
from gatewayz.catalog.store import write_source
from gatewayz.catalog.tables import model_switches, models_catalog, offers, price_history
from gatewayz.infra.changes import announce


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: of one source, with these words in the id, active or not; None does not restrict."""

    source: str | None = None
    q: str | None = None
    active: bool | None = None


async def page(
    connection: AsyncConnection, wanted: Wanted, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Rows by id and source, and the number of all that match. `switched_off` is the administrator's word on the model."""
    table = models_catalog.c
    conditions: list[Any] = []
    if wanted.source is not None:
        name = wanted.source
        conditions.append(sa.or_(table.source == name, table.source.startswith(f"{name}:", autoescape=True)))
    if wanted.q is not None:
        conditions.append(sa.func.lower(table.id).contains(wanted.q.strip().lower(), autoescape=True))
    if wanted.active is not None:
        conditions.append(table.active == wanted.active)
    query = sa.select(models_catalog).where(*conditions).order_by(table.id, table.source).limit(limit).offset(offset)
    rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    total = await connection.scalar(sa.select(sa.func.count()).select_from(models_catalog).where(*conditions))
    return await _with_switches(connection, rows), int(total or 0)


async def rows_of(connection: AsyncConnection, model_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All rows of a model and all rows of its offers, whoever states them; both empty if nobody does."""
    lowered = sa.func.lower(models_catalog.c.id) == model_id.lower()
    query = sa.select(models_catalog).where(lowered).order_by(models_catalog.c.source)
    models = [dict(row) for row in (await connection.execute(query)).mappings()]
    offered = sa.select(offers).where(sa.func.lower(offers.c.model_id) == model_id.lower())
    found = (await connection.execute(offered.order_by(offers.c.provider, offers.c.source))).mappings()
    return await _with_switches(connection, models), [dict(row) for row in found]


async def prices_of(connection: AsyncConnection, model_id: str) -> list[dict[str, Any]]:
    """Every price that any source ever stated for a model, with provider, name there and source, newest first."""
    query = (
        sa.select(price_history, offers.c.provider, offers.c.native_id, offers.c.source.label("stated_in"))
        .join(offers, offers.c.id == price_history.c.offer_id)
        .where(sa.func.lower(offers.c.model_id) == model_id.lower())
        .order_by(price_history.c.effective_from_us.desc(), price_history.c.id.desc())
    )
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def write_manual(connection: AsyncConnection, record: ModelRecord, now_us: int) -> bool:
    """Makes what the administrator states of a model exactly this; returns whether anything changed."""
    changed = await write_source(connection, f"manual:{record.id.lower()}", [record], now_us)
    if changed:
        await announce(connection, TOPIC, "manual", now_us)
    return changed > 0


async def has_manual(connection: AsyncConnection, model_id: str) -> bool:
    """Whether the administrator states this model."""
    mine = sa.and_(models_catalog.c.source == f"manual:{model_id.lower()}", models_catalog.c.active)
    return await connection.scalar(sa.select(models_catalog.c.id).where(mine)) is not None


async def remove_manual(connection: AsyncConnection, model_id: str, now_us: int) -> bool:
    """Withdraws what the administrator stated of a model, so that the other sources show again; whether there was any."""
    changed = await write_source(connection, f"manual:{model_id.lower()}", [], now_us)
    if changed:
        await announce(connection, TOPIC, "manual", now_us)
    return changed > 0


async def switch(
    connection: AsyncConnection, model_id: str, *, active: bool, reason: str | None, by: int, now_us: int
) -> bool:
    """Shows or hides a model whatever the sources say; returns whether that is new. May be called twice."""
    mine = model_switches.c.model_id == model_id
    before = await connection.scalar(sa.select(model_switches.c.active).where(mine))
    if (True if before is None else before) is active:
        return False
    values = {"active": active, "reason": reason, "changed_by": by, "changed_at_us": now_us}
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(model_switches).values(model_id=model_id, **values)
    await connection.execute(insert.on_conflict_do_update(index_elements=["model_id"], set_=values))
    await announce(connection, TOPIC, "switch", now_us)
    return True


async def _with_switches(connection: AsyncConnection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    off = await connection.execute(sa.select(model_switches.c.model_id).where(~model_switches.c.active))
    hidden = {row.model_id.lower() for row in off}
    return [row | {"switched_off": row["id"].lower() in hidden} for row in rows]
