"""The reconciliation of every night: run by one process of a deployment, kept as a row, and told loudly if it finds anything.

A night is claimed by inserting its row, which the database allows once. A claim whose process died is taken over after a while.
Single rows are looked at from the last run that found nothing, with a day of overlap: drift stays in view until it is mended.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import audit
from gatewayz.billing.reconcile import Report, reconcile
from gatewayz.billing.reconcile_store import snapshot
from gatewayz.billing.tables import reconciliations
from gatewayz.infra.clock import US_PER_DAY, US_PER_S, Clock
from gatewayz.infra.db import Database

log = structlog.get_logger(__name__)

HOUR_US = 3600 * US_PER_S
NIGHT_BEGINS_US = 3 * HOUR_US
LATE_US = 36 * HOUR_US
TAKEOVER_US = 3 * HOUR_US
OVERLAP_US = US_PER_DAY
SETTLE_US = 60 * US_PER_S
# A page of charges takes a few milliseconds; most of the time belongs to the requests.
_PAUSE_S = 0.01

_runs = reconciliations.c
# A run over a stretch that somebody chose says nothing about the rest.
_COUNTS = sa.and_(_runs.finished_at_us.is_not(None), sa.or_(_runs.night.is_not(None), _runs.since_us.is_(None)))


@dataclass(frozen=True, slots=True)
class LastRuns:
    """When the last run over everything began, what it found, and when the last that found nothing began (None: never)."""

    began_us: int | None
    drifts: int | None
    clean_us: int | None


def night_due(now_us: int, alive_since_us: int, last_run_us: int | None) -> int | None:
    """The night (UTC day) whose run this process should try to claim now, None if there is none.

    Due is a night that began while the process was alive, or any when the last run began more than 36 hours ago. A process
    that has just started waits: what a dead one left behind is swept in its first minute.
    """
    if now_us - alive_since_us < SETTLE_US:
        return None
    night = (now_us - NIGHT_BEGINS_US) // US_PER_DAY
    began_us = night * US_PER_DAY + NIGHT_BEGINS_US
    if last_run_us is not None and last_run_us >= began_us:
        return None
    if alive_since_us <= began_us or last_run_us is None or now_us - last_run_us > LATE_US:
        return night
    return None


class Nightly:
    """Runs in every process; `tick` is called about once a minute."""

    def __init__(self, database: Database, clock: Clock, tell: Callable[[int], None]) -> None:
        """`tell(drifts)` is called with the number of the last finished run, whoever ran it."""
        self._database = database
        self._clock = clock
        self._tell = tell
        self._alive_since_us = clock.now_us()

    async def tick(self) -> bool:
        """Runs the reconciliation if it is due and nobody else does; returns whether it ran. Raises database errors."""
        async with self._database.read() as connection:
            last = await last_runs(connection)
        if last.drifts is not None:
            self._tell(last.drifts)
        night = night_due(self._clock.now_us(), self._alive_since_us, last.began_us)
        run_id = None if night is None else await self._claim(night)
        if run_id is None:
            return False
        self._tell(await self._run(run_id))
        return True

    async def _claim(self, night: int) -> int | None:
        now_us = self._clock.now_us()
        async with self._database.read() as connection:
            query = sa.select(_runs.finished_at_us, _runs.started_at_us).where(_runs.night == night)
            there = (await connection.execute(query)).first()
        if there is not None and (there.finished_at_us is not None or there.started_at_us > now_us - TAKEOVER_US):
            return None
        async with self._database.begin() as connection:
            if there is None:
                dialect = sqlite if self._database.is_sqlite else postgresql
                claim: Any = dialect.insert(reconciliations).values(night=night, started_at_us=now_us)
                claim = claim.on_conflict_do_nothing(index_elements=["night"])
            else:
                claim = (
                    sa.update(reconciliations)
                    .where(_runs.night == night, _runs.started_at_us == there.started_at_us)
                    .where(_runs.finished_at_us.is_(None))
                    .values(started_at_us=now_us)
                )
            claimed: int | None = await connection.scalar(claim.returning(_runs.id))
        return claimed

    async def _run(self, run_id: int) -> int:
        async with snapshot(self._database) as connection:
            last = await last_runs(connection)
            since_us = None if last.clean_us is None else last.clean_us - OVERLAP_US
            report = await reconcile(connection, self._clock.now_us(), since_us, pause_s=_PAUSE_S)
        async with self._database.begin() as connection:
            await _finish(connection, run_id, report, self._clock.now_us())
        return report.drifts


async def keep(connection: AsyncConnection, report: Report, finished_at_us: int) -> int:
    """Keeps a run that somebody started by hand, and tells of its drift; returns its number."""
    insert = sa.insert(reconciliations).values(started_at_us=report.at_us).returning(_runs.id)
    run_id = int((await connection.execute(insert)).scalar_one())
    await _finish(connection, run_id, report, finished_at_us)
    return run_id


async def last_runs(connection: AsyncConnection) -> LastRuns:
    """What is known of earlier runs; those over a chosen stretch do not count."""
    query = sa.select(_runs.started_at_us, _runs.drifts).where(_COUNTS).order_by(_runs.started_at_us.desc())
    last = (await connection.execute(query.limit(1))).first()
    if last is None:
        return LastRuns(None, None, None)
    clean_us = await connection.scalar(sa.select(sa.func.max(_runs.started_at_us)).where(_COUNTS, _runs.drifts == 0))
    return LastRuns(last.started_at_us, last.drifts, clean_us)


async def page(connection: AsyncConnection, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Finished runs newest first with their `evidence` read back, and the number of all."""
    finished = _runs.finished_at_us.is_not(None)
    query = sa.select(reconciliations).where(finished).order_by(_runs.id.desc()).limit(limit).offset(offset)
    rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    for row in rows:
        row["evidence"] = json.loads(row["evidence"])
    total = await connection.scalar(sa.select(sa.func.count()).select_from(reconciliations).where(finished))
    return rows, int(total or 0)


async def _finish(connection: AsyncConnection, run_id: int, report: Report, now_us: int) -> None:
    evidence = {
        "kinds": report.kinds,
        "charges": report.charges,
        "charged_nano_usd": report.charged,
        "metered_nano_usd": report.metered,
        "balances_nano_usd": report.balances,
        "contra_nano_usd": report.contra,
        "drifts": [asdict(drift) for drift in report.evidence],
    }
    figures = {"since_us": report.since_us, "accounts": report.accounts, "rows": report.rows, "drifts": report.drifts}
    text = json.dumps(evidence, separators=(",", ":"))
    await connection.execute(
        sa.update(reconciliations)
        .where(_runs.id == run_id)
        .values(started_at_us=report.at_us, finished_at_us=now_us, evidence=text, **figures)
    )
    if not report.drifts:
        log.info("reconciled", run=run_id, accounts=report.accounts, rows=report.rows)
        return
    log.critical("reconciliation_drift", run=run_id, drifts=report.drifts, kinds=report.kinds)
    entry = audit.Entry(
        now_us, "ledger.drift", f"reconciliation:{run_id}", audit.SYSTEM, after={"drifts": report.drifts} | report.kinds,
        severity="critical",
    )  # fmt: skip
    await audit.append(connection, "audit", entry)
