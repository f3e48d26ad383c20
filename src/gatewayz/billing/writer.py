"""Group commit: whatever waits while one commit is under way goes into the next one, without any timer.

Idle, an operation costs one commit; saturated, a fraction of one. A batch carries its own id into its transaction, so that
after a connection lost in mid-commit the batch is asked for, or posted again, never twice.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from gatewayz.billing.ops import Capture, Operation, Release, Result, ReturnLease, Void
from gatewayz.billing.store import AlreadyPosted, Store, StoreAway

log = structlog.get_logger(__name__)

MAX_BATCH = 512
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
# Money that was earned or given back is kept until it can be written; asking for money fails at once instead.
_PATIENT = (Capture, Void, Release, ReturnLease)

Hook = Callable[[Any], None]


class MoneyUnavailable(Exception):
    """The ledger cannot be written now, so nothing may be promised."""


@dataclass(slots=True)
class _Entry:
    op: Operation
    future: "asyncio.Future[Any]"
    hook: Hook | None
    patient: bool


class Writer:
    """One per process. `submit` never blocks; the future carries the result after the commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Entry] = []
        self._task: asyncio.Task[None] | None = None
        self._away = False
        self.batches = 0
        self.posted = 0
        self.failures = 0

    @property
    def is_away(self) -> bool:
        """True while the database refuses commits."""
        return self._away

    @property
    def depth(self) -> int:
        """Operations that wait for a commit."""
        return len(self._waiting)

    def submit(self, op: Operation, hook: Hook | None = None) -> "asyncio.Future[Any]":
        """Queues an operation. `hook(result)` runs before the future is resolved, in the order of posting.

        The future fails with MoneyUnavailable for operations that ask for money while the database is away.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        patient = isinstance(op, _PATIENT)
        if self._away and not patient:
            future.set_exception(MoneyUnavailable())
            return future
        self._waiting.append(_Entry(op, future, hook, patient))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain(), name="ledger-writer")
        return future

    async def drain(self, timeout_s: float) -> bool:
        """Waits until nothing is queued; False if `timeout_s` was too short (the database is away)."""
        task = self._task
        if task is None:
            return True
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        return bool(done)

    async def close(self) -> None:
        """Ends the writer after a last attempt to write what waits."""
        await self.drain(5.0)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._store.close()

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                await self._commit(batch)
        finally:
            self._task = None

    async def _commit(self, batch: list[_Entry]) -> None:
        batch_id = secrets.token_hex(12)
        pause_s = _FIRST_PAUSE_S
        saved: list[Result] | None = None
        conflicts = 0
        while batch:
            try:
                results = await self._store.apply(batch_id, [entry.op for entry in batch])
            except StoreAway as error:
                if error.results is not None:
                    saved = error.results
                batch, saved = self._give_up_impatient(batch, saved, error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            except AlreadyPosted:
                if saved is not None and await self._was_committed(batch_id):
                    return self._finish(batch, saved)
                conflicts += 1
                if conflicts > 2:
                    return await self._one_by_one(batch)
            except LookupError:
                return await self._one_by_one(batch)
            else:
                return self._finish(batch, results)
        return None

    async def _one_by_one(self, batch: list[_Entry]) -> None:
        """A batch that cannot be posted as a whole holds one bad operation: only that one fails."""
        for entry in batch:
            try:
                results = await self._store.apply(secrets.token_hex(12), [entry.op])
            except (AlreadyPosted, LookupError) as error:
                self.failures += 1
                log.error("ledger_operation_refused", operation=type(entry.op).__name__, error=str(error))
                _fail(entry, error)
            except StoreAway:
                await self._commit([entry])
            else:
                self._finish([entry], results)

    def _give_up_impatient(
        self, batch: list[_Entry], saved: list[Result] | None, error: StoreAway
    ) -> tuple[list[_Entry], list[Result] | None]:
        if not self._away:
            log.error("ledger_unreachable", error=str(error), waiting=len(self._waiting) + len(batch))
        self._away = True
        self.failures += 1
        kept: list[_Entry] = []
        kept_results: list[Result] = []
        for place, entry in enumerate(batch):
            if entry.patient:
                kept.append(entry)
                if saved is not None:
                    kept_results.append(saved[place])
            else:
                _fail(entry, MoneyUnavailable())
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if entry.patient:
                self._waiting.append(entry)
            else:
                _fail(entry, MoneyUnavailable())
        return kept, kept_results if saved is not None else None

    async def _was_committed(self, batch_id: str) -> bool:
        while True:
            try:
                return await self._store.is_committed(batch_id)
            except StoreAway:
                await asyncio.sleep(_LONGEST_PAUSE_S / 4)

    def _finish(self, batch: list[_Entry], results: list[Result]) -> None:
        if self._away:
            log.info("ledger_reachable_again")
        self._away = False
        self.batches += 1
        self.posted += len(batch)
        for entry, result in zip(batch, results, strict=True):
            if entry.hook is not None:
                entry.hook(result)
            if not entry.future.done():
                entry.future.set_result(result)


def _fail(entry: _Entry, error: Exception) -> None:
    if not entry.future.done():
        entry.future.set_exception(error)
        # A background caller may never look at its future; the failure is logged and counted here.
        entry.future.exception()
