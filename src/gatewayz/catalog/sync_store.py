"""SQL of the sync: entries of providers' lists, runs, and what is withheld from the catalog."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.catalog.intake import IN_DOUBT, NOT_SHOWN, Entry
from gatewayz.catalog.merge import Withheld
from gatewayz.catalog.records import ModelRecord, PriceRecord
from gatewayz.catalog.tables import feed_entries, model_switches, models_catalog, offers, price_history, sync_runs

_RECORD = msgspec.json.Decoder(ModelRecord)
_PRICE = msgspec.json.Decoder(PriceRecord)
_KEPT_RUNS = 2_000
_COLUMNS = tuple(column.name for column in feed_entries.c)
_e = feed_entries.c


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did at one provider; `changed` counts rows, the others models."""

    provider: str
    status: str
    seen: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    rejected: int = 0
    unread: int = 0
    duration_ms: int = 0
    error: str | None = None


async def read_withheld(connection: AsyncConnection) -> Withheld:
    """Models that an administrator switched off, and what providers withdrew."""
    off = await connection.execute(sa.select(model_switches.c.model_id).where(~model_switches.c.active))
    gone = await connection.execute(sa.select(_e.provider, _e.native_id).where(_e.state.in_(NOT_SHOWN)))
    return Withheld(
        frozenset(row.model_id.lower() for row in off), frozenset((row.provider, row.native_id.lower()) for row in gone)
    )


async def read_version(connection: AsyncConnection) -> str:
    """A text that differs whenever rows of the catalog do: counts and times of the last change of each table."""
    tables = (
        (models_catalog.c.id, models_catalog.c.updated_at_us),
        (offers.c.id, offers.c.updated_at_us),
        (price_history.c.id, price_history.c.id),
        (price_history.c.effective_until_us, price_history.c.effective_until_us),
        (_e.native_id, _e.changed_at_us),
        (model_switches.c.model_id, model_switches.c.changed_at_us),
    )
    found: list[Any] = []
    for name, moment in tables:
        found += (await connection.execute(sa.select(sa.func.count(name), sa.func.max(moment)))).one()
    return "-".join(str(part or 0) for part in found)


async def described_models(connection: AsyncConnection) -> frozenset[str]:
    """Lower-case ids of active models that another source than a feed describes."""
    query = sa.select(models_catalog.c.id).where(models_catalog.c.active, ~models_catalog.c.source.like("feed:%"))
    return frozenset(row.id.lower() for row in await connection.execute(query))


async def read_entries(connection: AsyncConnection, provider: str) -> dict[str, Entry]:
    """The provider's entries by native id."""
    rows = await connection.execute(sa.select(feed_entries).where(_e.provider == provider))
    return {row.native_id: _entry(row) for row in rows}


async def write_entries(
    connection: AsyncConnection, provider: str, before: Mapping[str, Entry], entries: Sequence[Entry], now_us: int
) -> None:
    """Makes the provider's entries these: rows that differ are written, those seen again get their new time in one go.

    What an administrator confirmed is written by `approve` alone and stays as it is.
    """
    wanted = {entry.native_id: entry for entry in entries}
    gone = [native for native in before if native not in wanted]
    if gone:
        drop = sa.delete(feed_entries).where(_e.provider == provider, _e.native_id == sa.bindparam("native"))
        await connection.execute(drop, [{"native": native} for native in gone])
    changed = [_values(provider, entry) for native, entry in wanted.items() if _differs(before.get(native), entry)]
    if changed:
        dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(feed_entries)
        facts = {name: insert.excluded[name] for name in _COLUMNS if name not in ("provider", "native_id", "approved")}
        await connection.execute(
            insert.on_conflict_do_update(index_elements=["provider", "native_id"], set_=facts), changed
        )
    seen = sa.update(feed_entries).where(_e.provider == provider, _e.missed == 0, _e.last_seen_us < now_us)
    await connection.execute(seen.values(last_seen_us=now_us))


async def rejected_page(
    connection: AsyncConnection, provider: str | None, reason: str | None, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Entries that were not taken as stated, newest first, and the number of all."""
    conditions: list[Any] = [_e.state.in_(IN_DOUBT)]
    if provider is not None:
        conditions.append(_e.provider == provider)
    if reason is not None:
        conditions.append(_e.reason == reason)
    query = sa.select(feed_entries).where(*conditions)
    query = query.order_by(_e.changed_at_us.desc(), _e.provider, _e.native_id).limit(limit).offset(offset)
    rows = (await connection.execute(query)).all()
    total = await connection.scalar(sa.select(sa.func.count()).select_from(feed_entries).where(*conditions))
    return [{"provider": row.provider, **asdict(_entry(row))} for row in rows], int(total or 0)


async def approve(connection: AsyncConnection, provider: str, native_id: str, price: PriceRecord) -> bool:
    """Notes that an administrator confirmed this price of this entry; returns whether there is such an entry."""
    mine = sa.and_(_e.provider == provider, _e.native_id == native_id)
    update = sa.update(feed_entries).where(mine).values(approved=_text(price)).returning(_e.native_id)
    return (await connection.execute(update)).first() is not None


async def begin_run(connection: AsyncConnection, kind: str, now_us: int, *, dry_run: bool) -> int:
    """A new run; returns its number. Runs that a dead process left open are closed, and very old ones dropped."""
    unfinished = sa.update(sync_runs).where(sync_runs.c.status == "running")
    await connection.execute(unfinished.values(status="interrupted", finished_at_us=now_us))
    insert = sa.insert(sync_runs).values(kind=kind, started_at_us=now_us, status="running", dry_run=dry_run)
    run_id = int((await connection.execute(insert.returning(sync_runs.c.id))).scalar_one())
    await connection.execute(sa.delete(sync_runs).where(sync_runs.c.id <= run_id - _KEPT_RUNS))
    return run_id


async def end_run(connection: AsyncConnection, run_id: int, outcomes: Sequence[Outcome], now_us: int) -> None:
    """Keeps what the run did; it failed only if it failed everywhere."""
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    status = "succeeded" if not failed else "failed" if failed == len(outcomes) else "partly_failed"
    totals = {
        name: sum(getattr(outcome, name) for outcome in outcomes)
        for name in ("seen", "added", "changed", "removed", "rejected")
    }
    text = msgspec.json.encode([asdict(outcome) for outcome in outcomes]).decode()
    await connection.execute(
        sa.update(sync_runs)
        .where(sync_runs.c.id == run_id)
        .values(status=status, finished_at_us=now_us, outcomes=text, failed=failed, **totals)
    )


async def runs_page(connection: AsyncConnection, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Runs newest first with their `outcomes` read back, and the number of all."""
    query = sa.select(sync_runs).order_by(sync_runs.c.id.desc()).limit(limit).offset(offset)
    rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    for row in rows:
        row["outcomes"] = msgspec.json.decode(row["outcomes"])
    total = await connection.scalar(sa.select(sa.func.count()).select_from(sync_runs))
    return rows, int(total or 0)


async def run_of(connection: AsyncConnection, run_id: int) -> dict[str, Any] | None:
    """One run, None if there is no such run."""
    row = (await connection.execute(sa.select(sync_runs).where(sync_runs.c.id == run_id))).mappings().first()
    return None if row is None else {**row, "outcomes": msgspec.json.decode(row["outcomes"])}


async def last_scheduled_us(connection: AsyncConnection) -> int | None:
    """When the last run over all providers began that was of any use; None before the first."""
    wide = sa.select(sa.func.max(sync_runs.c.started_at_us)).where(
        sync_runs.c.kind.in_(("scheduled", "trigger", "all", "full")),
        sync_runs.c.status.in_(("running", "succeeded", "partly_failed")),
        ~sync_runs.c.dry_run,
    )
    found: int | None = await connection.scalar(wide)
    return found


async def entry_counts(connection: AsyncConnection) -> dict[str, dict[str, int]]:
    """Per provider the number of entries by state, and the time of its last list as `last_seen_us`."""
    query = sa.select(_e.provider, _e.state, sa.func.count(), sa.func.max(_e.last_seen_us)).group_by(
        _e.provider, _e.state
    )
    found: dict[str, dict[str, int]] = {}
    for provider, state, count, last_us in await connection.execute(query):
        counts = found.setdefault(provider, {"last_seen_us": 0})
        counts[state] = count
        counts["last_seen_us"] = max(counts["last_seen_us"], last_us)
    return found


def _entry(row: Any) -> Entry:
    facts = {name: getattr(row, name) for name in _COLUMNS if name not in ("provider", "record", "pending", "approved")}
    return Entry(
        record=_RECORD.decode(row.record) if row.record else None,
        pending=_PRICE.decode(row.pending) if row.pending else None,
        approved=_PRICE.decode(row.approved) if row.approved else None,
        **facts,
    )


def _differs(before: Entry | None, entry: Entry) -> bool:
    return before is None or replace(before, last_seen_us=entry.last_seen_us) != entry


def _values(provider: str, entry: Entry) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in _COLUMNS if name != "provider"}
    for name in ("record", "pending", "approved"):
        values[name] = _text(values[name])
    return {"provider": provider, **values}


def _text(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def as_changes(outcomes: Iterable[Outcome]) -> int:
    """Rows that these outcomes changed."""
    return sum(outcome.changed for outcome in outcomes)
