"""Brings the catalog up to what the providers list: fetch, decide, write; each provider for itself, one run at a time.

Lists are fetched before anything is written, and each provider's rows change in one short transaction. A provider that is
away, or whose list cannot be read, keeps the rows that it has.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.catalog import sync_store
from gatewayz.catalog.aliases import AliasTables
from gatewayz.catalog.intake import LISTS_UNTIL_GONE, NOT_SHOWN, Entry, Intake, Known, price_record, take_in
from gatewayz.catalog.merge import Withheld, merged
from gatewayz.catalog.plausible import LARGEST_STEP
from gatewayz.catalog.records import PriceRecord
from gatewayz.catalog.seed import TOPIC
from gatewayz.catalog.snapshot import build
from gatewayz.catalog.store import claim_writing, read_in_use, write_source
from gatewayz.catalog.sync_store import Outcome
from gatewayz.infra.changes import announce
from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.db import Database
from gatewayz.infra.http_client import Transport, TransportError
from gatewayz.infra.leases import Held, lease
from gatewayz.providers.discovery import fetch_feed
from gatewayz.providers.model_feeds import FeedModel, FeedUnreadable
from gatewayz.providers.profile import Provider

log = structlog.get_logger(__name__)

Kind = Literal["scheduled", "trigger", "all", "full", "provider", "command"]
LEASE = "model-sync"
_AT_ONCE = 4
_RETRY_S = 300.0
# The first run after a start waits: a restart of a fleet must not ask every provider twenty times in one second.
FIRST_RUN_S = (60.0, 120.0)

Told = Callable[[Outcome], None]


class Busy(Exception):
    """Another run is under way, here or in another process."""


class Providers(Protocol):
    """The providers that can be called now."""

    def all(self) -> tuple[Provider, ...]: ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """A provider's list, or why there is none."""

    provider: Provider
    models: tuple[FeedModel, ...] = ()
    unread: int = 0
    error: str | None = None
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class Decided:
    """A list, what the one before it left behind, and what the two mean together."""

    fetched: Fetched
    before: Mapping[str, Entry]
    intake: Intake


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run."""

    run_id: int
    outcomes: tuple[Outcome, ...]


class _Undone(Exception):
    """Rolls a transaction back that was only tried."""


class Syncer:
    """Runs syncs of this process; the lease keeps the others out meanwhile."""

    def __init__(
        self,
        database: Database,
        transport: Transport,
        clock: Clock,
        providers: Callable[[], Providers],
        *,
        free_model_allowlist: Container[str] = (),
        largest_step: float = LARGEST_STEP,
        interval_s: float = 3600.0,
        tables: AliasTables | None = None,
        jitter: Callable[[], float] = random.random,
        observe: Told | None = None,
    ) -> None:
        """`interval_s` 0 switches the schedule off; `jitter` gives numbers from 0 to 1 that spread runs in time.

        `observe` is called with each outcome of a run that wrote.
        """
        self._database = database
        self._transport = transport
        self._clock = clock
        self._providers = providers
        self._free = free_model_allowlist
        self._largest_step = largest_step
        self._interval_s = interval_s
        self._tables = tables
        self._jitter = jitter
        self._observe = observe
        first_s = FIRST_RUN_S[0] + (FIRST_RUN_S[1] - FIRST_RUN_S[0]) * jitter()
        self._next_s = clock.monotonic_s() + first_s
        self._tasks: set[asyncio.Task[RunResult]] = set()

    def syncable(self) -> tuple[Provider, ...]:
        """The active providers that have a model list."""
        return tuple(provider for provider in self._providers().all() if provider.feed is not None)

    async def tick(self) -> bool:
        """Runs the scheduled sync if it is due; returns whether it ran. Raises database errors."""
        if not self._interval_s or self._clock.monotonic_s() < self._next_s:
            return False
        self._next_s = self._clock.monotonic_s() + self._interval_s * (0.95 + 0.1 * self._jitter())
        async with self._database.read() as connection:
            last_us = await sync_store.last_scheduled_us(connection)
        # Any process may be the first of its hour; the others find that it has been done.
        if last_us is not None and self._clock.now_us() - last_us < 0.9 * self._interval_s * US_PER_S:
            return False
        try:
            done = await self.run("scheduled")
        except Busy:
            return False
        if done.outcomes and all(outcome.status == "failed" for outcome in done.outcomes):
            # Nobody answers, so it is this side that has no network: the next hour is too late.
            self._next_s = self._clock.monotonic_s() + min(self._interval_s, _RETRY_S)
        return True

    async def start(self, kind: Kind) -> int:
        """Starts a run over all providers in the background; returns its number. Raises Busy, database errors."""
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self.run(kind, on_start=started.set_result), name=f"model-sync-{kind}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
        return started.result() if started.done() else (await task).run_id

    async def run(
        self,
        kind: Kind,
        slugs: Sequence[str] | None = None,
        *,
        dry_run: bool = False,
        told: Told | None = None,
        on_start: Callable[[int], None] | None = None,
    ) -> RunResult:
        """Syncs these providers (None: all that have a list) and keeps the run. Raises Busy, database errors.

        `told` hears of each provider as it is done. `full` forgets what earlier lists said and writes all providers in one
        transaction. May be repeated: a second run over the same lists changes nothing.
        """
        wanted = [provider for provider in self.syncable() if slugs is None or provider.slug in slugs]
        try:
            async with lease(self._database, self._clock, LEASE):
                async with self._database.begin() as connection:
                    run_id = await sync_store.begin_run(connection, kind, self._clock.now_us(), dry_run=dry_run)
                if on_start is not None:
                    on_start(run_id)
                known = await self._known()
                if kind == "full":
                    outcomes = await self._whole(wanted, known, dry_run=dry_run, told=told)
                else:
                    outcomes = await self._each(wanted, known, dry_run=dry_run, told=told)
                async with self._database.begin() as connection:
                    await sync_store.end_run(connection, run_id, outcomes, self._clock.now_us())
        except Held as error:
            raise Busy("another model sync is under way") from error
        if self._observe is not None and not dry_run:
            for outcome in outcomes:
                self._observe(outcome)
        changed, failed = sync_store.as_changes(outcomes), sum(each.status == "failed" for each in outcomes)
        log.info("model_sync", run=run_id, kind=kind, providers=len(outcomes), changed=changed, failed=failed)
        return RunResult(run_id, tuple(outcomes))

    async def approve(self, slug: str, native_id: str) -> tuple[PriceRecord, RunResult]:
        """Confirms the price that the provider's list states for an entry now, and syncs that provider.

        Raises LookupError if the list cannot be read or does not price the entry, Busy, database errors.
        """
        provider = next((each for each in self.syncable() if each.slug == slug), None)
        fetched = await self._fetch(provider) if provider is not None else None
        models = fetched.models if fetched is not None and fetched.error is None else ()
        price = next((price_record(model.price) for model in models if model.native_id == native_id), None)
        if price is None:
            raise LookupError(f"the list of {slug} states no price of {native_id} at the moment")
        async with self._database.begin() as connection:
            if not await sync_store.approve(connection, slug, native_id, price):
                raise LookupError(f"no sync has seen {native_id} at {slug} yet")
        return price, await self.run("provider", [slug])

    async def close(self) -> None:
        """Ends runs that are under way; what they have not written stays as it was. May be called twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _known(self) -> Known:
        """The catalog without anything withheld: what a provider withdrew is still a price to compare with."""
        async with self._database.read() as connection:
            rows = await read_in_use(connection)
            described = await sync_store.described_models(connection)
        nothing = Withheld(frozenset(), frozenset())
        catalog = await asyncio.to_thread(lambda: build(*merged(*rows, self._free, nothing), self._tables))
        return Known(catalog, described, self._free, self._largest_step)

    async def _each(
        self, wanted: Sequence[Provider], known: Known, *, dry_run: bool, told: Told | None
    ) -> list[Outcome]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(provider: Provider) -> Outcome:
            async with gate:
                fetched = await self._fetch(provider)
                outcome = await self._keep(fetched, known, dry_run=dry_run)
            if told is not None:
                told(outcome)
            return outcome

        found = await asyncio.gather(*(one(provider) for provider in wanted), return_exceptions=True)
        outcomes = []
        for provider, outcome in zip(wanted, found, strict=True):
            if isinstance(outcome, Outcome):
                outcomes.append(outcome)
            elif isinstance(outcome, Exception):
                # A mistake of ours in reading one list; the others have been read and written.
                log.error("model_feed_broke", provider=provider.slug, exc_info=outcome)
                outcomes.append(Outcome(provider.slug, "failed", error=f"internal error: {type(outcome).__name__}"))
            else:
                raise outcome
        return outcomes

    async def _whole(
        self, wanted: Sequence[Provider], known: Known, *, dry_run: bool, told: Told | None
    ) -> list[Outcome]:
        """All providers anew in one transaction; those whose list could not be read keep what they have."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def fetch(provider: Provider) -> Fetched:
            async with gate:
                return await self._fetch(provider)

        lists = await asyncio.gather(*(fetch(provider) for provider in wanted))
        outcomes = [_failed(fetched) for fetched in lists if fetched.error is not None]
        decided = [await self._decide(fetched, known, afresh=True) for fetched in lists if fetched.error is None]
        async with self._written(dry_run) as connection:
            outcomes += [await self._write(connection, each) for each in decided]
            if sync_store.as_changes(outcomes):
                await announce(connection, TOPIC, "full", self._clock.now_us())
        for outcome in outcomes:
            if told is not None:
                told(outcome)
        return outcomes

    async def _fetch(self, provider: Provider) -> Fetched:
        started_s = time.monotonic()
        models: tuple[FeedModel, ...] = ()
        unread, error = 0, None
        try:
            models, unread = await fetch_feed(self._transport, provider)
        except (FeedUnreadable, TransportError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        except TimeoutError:
            error = "the list did not come in time"
        if error is not None:
            log.warning("model_feed_failed", provider=provider.slug, error=error)
        return Fetched(provider, models, unread, error, round((time.monotonic() - started_s) * 1000))

    async def _keep(self, fetched: Fetched, known: Known, *, dry_run: bool) -> Outcome:
        if fetched.error is not None:
            return _failed(fetched)
        try:
            decided = await self._decide(fetched, known)
            async with self._written(dry_run) as connection:
                outcome = await self._write(connection, decided)
                if outcome.changed:
                    await announce(connection, TOPIC, f"feed:{fetched.provider.slug}", self._clock.now_us())
            return outcome
        except (sa.exc.SQLAlchemyError, OSError) as error:
            # The others are not to suffer from what one list brought along.
            log.error("model_feed_not_written", provider=fetched.provider.slug, error=type(error).__name__)
            return _failed(replace(fetched, error=f"not written: {type(error).__name__}"))

    async def _decide(self, fetched: Fetched, known: Known, *, afresh: bool = False) -> Decided:
        """What the list means, before any transaction: the lease keeps everybody else from writing entries meanwhile."""
        slug = fetched.provider.slug
        async with self._database.read() as connection:
            before = await sync_store.read_entries(connection, slug)
        taken = _forgotten(before) if afresh else before
        intake = await asyncio.to_thread(take_in, slug, fetched.models, taken, known, self._clock.now_us())
        return Decided(fetched, before, intake)

    async def _write(self, connection: AsyncConnection, decided: Decided) -> Outcome:
        """Writes in the caller's transaction."""
        fetched, intake = decided.fetched, decided.intake
        slug, now_us = fetched.provider.slug, self._clock.now_us()
        await claim_writing(connection)
        changed = await write_source(connection, f"feed:{slug}", intake.records, now_us)
        await sync_store.write_entries(connection, slug, decided.before, intake.entries, now_us)
        return Outcome(
            slug, "succeeded", seen=len(fetched.models), added=len(intake.added),
            changed=changed + _shown_switches(decided.before, intake), removed=len(intake.removed),
            rejected=intake.rejected, unread=fetched.unread, duration_ms=fetched.took_ms,
            error=intake.doubt.detail if intake.doubt else None,
        )  # fmt: skip

    @asynccontextmanager
    async def _written(self, dry_run: bool) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._database.begin() as connection:
                yield connection
                if dry_run:
                    raise _Undone
        except _Undone:
            return

    def _ended(self, task: "asyncio.Task[RunResult]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Busy):
            log.error("model_sync_failed", error=type(error).__name__)


def _failed(fetched: Fetched) -> Outcome:
    return Outcome(fetched.provider.slug, "failed", duration_ms=fetched.took_ms, error=fetched.error)


def _forgotten(before: Mapping[str, Entry]) -> dict[str, Entry]:
    """What a full import still knows: the last good prices and those that an administrator confirmed.

    How often a model was missing is forgotten in favour of the list at hand: what it does not hold is gone at once.
    """
    return {native: replace(entry, missed=LISTS_UNTIL_GONE) for native, entry in before.items()}


def _shown_switches(before: Mapping[str, Entry], intake: Intake) -> int:
    """Entries that began or ceased to be withheld: they change the catalog although no row of the feed does."""
    hidden = {native for native, entry in before.items() if entry.state in NOT_SHOWN}
    now = {entry.native_id for entry in intake.entries if entry.state in NOT_SHOWN}
    return len(hidden ^ now)
