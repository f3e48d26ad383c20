"""SQL of the catalog: what a source says becomes rows, and rows in use are read back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.catalog.offers import Source
from gatewayz.catalog.records import ModelRecord, OfferRecord, PriceRecord, capability_words
from gatewayz.catalog.tables import models_catalog, offers, price_history
from gatewayz.infra.tables import meta

PRICE_COLUMNS = tuple(PriceRecord.__struct_fields__)
_LOCK_ROW = "catalog_writer"
_SEED_ROW = "catalog_seed"

_MODEL_FACTS = (
    "name", "vendor", "kind", "context_length", "max_output_tokens", "modality", "capabilities", "released_at_us",
    "huggingface_id", "status", "deprecation_date", "active",
)  # fmt: skip
_OFFER_KEY = ("model_id", "provider", "native_id", "regions", "variant")
_OFFER_FACTS = (
    "context_length", "max_output_tokens", "capabilities", "priority", "suspect", "status", "confidence", "stated_by",
    "active", "reason",
)  # fmt: skip

Values = dict[str, Any]
Rows = Sequence[Any]


async def read_in_use(connection: AsyncConnection) -> tuple[Rows, Rows]:
    """Active models, and active offers with the price in force (`price_id` None where there is none)."""
    models = await connection.execute(sa.select(models_catalog).where(models_catalog.c.active))
    prices = [price_history.c[name] for name in PRICE_COLUMNS]
    in_force = sa.and_(price_history.c.offer_id == offers.c.id, price_history.c.effective_until_us.is_(None))
    columns = [
        column for column in offers.c if column.name not in ("active", "reason", "created_at_us", "updated_at_us")
    ]
    query = (
        sa.select(
            *columns,
            price_history.c.id.label("price_id"),
            price_history.c.source.label("price_source"),
            price_history.c.effective_from_us,
            *prices,
        )
        .select_from(offers.outerjoin(price_history, in_force))
        .where(offers.c.active)
    )
    return models.all(), (await connection.execute(query)).all()


async def write_source(connection: AsyncConnection, source: Source, records: Iterable[ModelRecord], now_us: int) -> int:
    """Makes the rows of `source` say exactly this, in the caller's transaction; returns how many rows changed.

    Models and offers that are no longer stated are deactivated, never deleted. A changed price closes the row in force
    and opens the next at `now_us`. May be called twice: the second call changes nothing.
    """
    await claim_writing(connection)
    stated = list(records)
    changed = await _write_models(connection, source, stated, now_us)
    wanted = {key: offer for record in stated for offer in record.offers for key in [_offer_key(record.id, offer)]}
    changed += await _write_offers(connection, source, wanted, now_us)
    return changed + await _write_prices(connection, source, wanted, now_us)


async def claim_writing(connection: AsyncConnection) -> None:
    """Waits until no other transaction writes the catalog, and keeps others waiting until this one ends."""
    await _ensure_row(connection, _LOCK_ROW)
    await connection.execute(sa.select(meta.c.value).where(meta.c.name == _LOCK_ROW).with_for_update())


async def seed_digest(connection: AsyncConnection) -> str | None:
    """Digest of the packaged seed that the rows come from, None before the first."""
    return (await connection.execute(sa.select(meta.c.value).where(meta.c.name == _SEED_ROW))).scalar_one_or_none()


async def remember_seed_digest(connection: AsyncConnection, digest: str) -> None:
    """Notes which packaged seed was written."""
    await _ensure_row(connection, _SEED_ROW)
    await connection.execute(sa.update(meta).where(meta.c.name == _SEED_ROW).values(value=digest))


async def _ensure_row(connection: AsyncConnection, name: str) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    await connection.execute(dialect.insert(meta).values(name=name, value="").on_conflict_do_nothing())


async def _write_models(connection: AsyncConnection, source: Source, stated: list[ModelRecord], now_us: int) -> int:
    rows = await connection.execute(sa.select(models_catalog).where(models_catalog.c.source == source))
    there = {row.id: {name: getattr(row, name) for name in _MODEL_FACTS} for row in rows}
    wanted = {record.id: _model_facts(record) for record in stated}
    new = [
        {"id": key, "source": source, "created_at_us": now_us, **facts}
        for key, facts in wanted.items()
        if key not in there
    ]
    other = [{"key_id": key, **facts} for key, facts in wanted.items() if key in there and there[key] != facts]
    gone = [
        {"key_id": key, **facts, "active": False}
        for key, facts in there.items()
        if facts["active"] and key not in wanted
    ]
    if new:
        await connection.execute(sa.insert(models_catalog), [{**values, "updated_at_us": now_us} for values in new])
    if other or gone:
        change = sa.update(models_catalog).where(
            models_catalog.c.source == source, models_catalog.c.id == sa.bindparam("key_id")
        )
        await connection.execute(
            change.values({name: sa.bindparam(name) for name in _MODEL_FACTS} | {"updated_at_us": now_us}), other + gone
        )
    return len(new) + len(other) + len(gone)


async def _write_offers(
    connection: AsyncConnection, source: Source, wanted: Mapping[tuple[str, ...], OfferRecord], now_us: int
) -> int:
    rows = await connection.execute(sa.select(offers).where(offers.c.source == source))
    there = {_row_key(row): (row.id, {name: getattr(row, name) for name in _OFFER_FACTS}) for row in rows}
    new: list[Values] = []
    other: list[Values] = []
    for key, record in wanted.items():
        facts = _offer_facts(record)
        if key not in there:
            stamps = {"source": source, "created_at_us": now_us, "updated_at_us": now_us}
            new.append({**dict(zip(_OFFER_KEY, key, strict=True)), **stamps, **facts})
        elif there[key][1] != facts:
            other.append({"key_id": there[key][0], **facts})
    withdrawn = {"active": False, "reason": "withdrawn"}
    gone = [
        {"key_id": offer_id, **facts, **withdrawn}
        for key, (offer_id, facts) in there.items()
        if key not in wanted and (facts["active"] or facts["reason"] != "withdrawn")
    ]
    if new:
        await connection.execute(sa.insert(offers), new)
    if other or gone:
        change = sa.update(offers).where(offers.c.id == sa.bindparam("key_id"))
        await connection.execute(
            change.values({name: sa.bindparam(name) for name in _OFFER_FACTS} | {"updated_at_us": now_us}), other + gone
        )
    return len(new) + len(other) + len(gone)


async def _write_prices(
    connection: AsyncConnection, source: Source, wanted: Mapping[tuple[str, ...], OfferRecord], now_us: int
) -> int:
    rows = await connection.execute(
        sa.select(offers.c.id, *(offers.c[name] for name in _OFFER_KEY)).where(offers.c.source == source)
    )
    ids = {_row_key(row): row.id for row in rows}
    prices = await connection.execute(
        sa.select(price_history)
        .join(offers, offers.c.id == price_history.c.offer_id)
        .where(offers.c.source == source, price_history.c.effective_until_us.is_(None))
    )
    there = {row.offer_id: (row.id, {name: getattr(row, name) for name in PRICE_COLUMNS}) for row in prices}
    closed: list[int] = []
    opened: list[Values] = []
    for key, offer_id in ids.items():
        record = wanted.get(key)
        figures = _price_values(record.price) if record and record.price else None
        if offer_id in there and there[offer_id][1] != figures:
            closed.append(there[offer_id][0])
        if record and figures and (offer_id not in there or there[offer_id][1] != figures):
            opened.append(
                {"offer_id": offer_id, "source": record.stated_by or source, "effective_from_us": now_us, **figures}
            )
    if closed:
        change = sa.update(price_history).where(price_history.c.id == sa.bindparam("key_id"))
        await connection.execute(
            change.values(effective_until_us=now_us), [{"key_id": price_id} for price_id in closed]
        )
    if opened:
        await connection.execute(sa.insert(price_history), opened)
    return len(closed) + len(opened)


def _model_facts(record: ModelRecord) -> Values:
    return {
        "name": record.name,
        "vendor": record.vendor,
        "kind": record.kind,
        "context_length": record.context_length,
        "max_output_tokens": record.max_output_tokens,
        "modality": record.modality,
        "capabilities": capability_words(record.capabilities),
        "released_at_us": record.released_at_us,
        "huggingface_id": record.huggingface_id,
        "status": record.status,
        "deprecation_date": record.deprecation_date,
        "active": True,
    }


def _offer_key(model_id: str, offer: OfferRecord) -> tuple[str, ...]:
    return (model_id, offer.provider, offer.native_id, ",".join(offer.regions), offer.variant)


def _row_key(row: sa.Row[Any]) -> tuple[str, ...]:
    return (row.model_id, row.provider, row.native_id, row.regions, row.variant)


def _offer_facts(record: OfferRecord) -> Values:
    return {
        "context_length": record.context_length,
        "max_output_tokens": record.max_output_tokens,
        "capabilities": capability_words(record.capabilities),
        "priority": record.priority,
        "suspect": record.suspect,
        "status": record.status,
        "confidence": record.confidence,
        "stated_by": record.stated_by,
        "active": record.active,
        "reason": record.reason,
    }


def _price_values(price: PriceRecord) -> Values:
    values: Values = {name: getattr(price, name) for name in PRICE_COLUMNS}
    values["tiers"] = msgspec.json.encode(price.tiers).decode()
    values["units"] = msgspec.json.encode(price.units, order="sorted").decode()
    return values
