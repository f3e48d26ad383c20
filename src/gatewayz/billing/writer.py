"""Group commit: whatever waits while one commit is under way goes into the next one, without any timer.

Idle, an operation costs one commit; saturated, a fraction of one. A batch carries its own id into its transaction, so that
after a connection lost in mid-commit the batch is asked for, or posted again, never twice.

While the database is away nothing is promised, and what was earned or must be given back goes to the journal on disk
first, so that its answers can be let go; it is posted when the database is back, by this process or by its successor.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from gatewayz.billing.journal import Journal
from gatewayz.billing.ops import Capture, Operation, Receipt, Release, Result, ReturnLease, Void
from gatewayz.billing.store import AlreadyPosted, BadOperation, Store, StoreAway
from gatewayz.core.ids import new_batch_id

log = structlog.get_logger(__name__)

MAX_BATCH = 512
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_MAX_CONFLICTS = 3
# Money that was earned or given back is kept until it can be written; asking for money fails at once instead.
_PATIENT = (Capture, Void, Release, ReturnLease)

Hook = Callable[[Any, Any], None]


class MoneyUnavailable(Exception):
    """The ledger cannot be written now, so nothing may be promised."""


# An operation, the future of its result, and what is called before that.
_Entry = tuple[Operation, "asyncio.Future[Any]", Hook | None]


class _Batch(msgspec.Struct):
    entries: list[_Entry]
    batch_id: str = msgspec.field(default_factory=new_batch_id)
    saved: list[Result] | None = None
    conflicts: int = 0


class Writer:
    """One per process. `submit` never blocks; the future carries the result after the commit.

    `batches`, `posted`, `failures` count commits, operations and failed tries, for metrics.
    """

    def __init__(self, store: Store, journal: Journal | None = None) -> None:
        """Without a journal the answers of unwritten settlements wait for the database."""
        self._store = store
        self._journal = journal
        self._waiting: list[_Entry] = []
        self._backlog: deque[_Batch] = deque()
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
        return len(self._waiting) + sum(len(batch.entries) for batch in self._backlog)

    def submit(self, op: Operation, hook: Hook | None = None) -> "asyncio.Future[Any]":
        """Queues an operation. `hook(op, result)` runs before the future is resolved, in the order of posting.

        The future fails with MoneyUnavailable for operations that ask for money while the database is away.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._away and not isinstance(op, _PATIENT):
            future.set_exception(MoneyUnavailable())
            return future
        self._waiting.append((op, future, hook))
        if self._task is None:
            self._task = loop.create_task(self._drain(), name="ledger-writer")
        return future

    async def adopt_orphans(self) -> int:
        """Posts the journals of dead processes; returns how many batches there were. Safe to call at any time."""
        if self._journal is None or self._away:
            return 0
        found = 0
        for orphan in await asyncio.to_thread(self._journal.orphans):
            try:
                for kept in orphan.batches:
                    await self._post_kept(kept.batch_id, list(kept.ops))
                    found += 1
            except StoreAway as error:
                log.warning("journal_not_posted_yet", error=str(error))
                orphan.leave()
                return found
            orphan.done()
            log.info("journal_posted", path=str(orphan.path), batches=len(orphan.batches))
        return found

    async def drain(self, timeout_s: float) -> bool:
        """Waits until nothing is queued; False if `timeout_s` was too short (the database is away)."""
        task = self._task
        if task is None:
            return True
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        return bool(done)

    async def close(self) -> None:
        """Ends the writer after a last attempt to write what waits; what is in the journal stays there."""
        await self.drain(5.0)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._journal is not None:
            self._journal.close()
        await self._store.close()

    async def _drain(self) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            while self._waiting or self._backlog:
                if not self._backlog:
                    batch = self._next_batch()
                    if not await self._tried(batch):
                        await self._put_aside(batch)
                    continue
                while self._waiting:
                    await self._put_aside(self._next_batch())
                if await self._tried(self._backlog[0]):
                    self._backlog.popleft()
                    pause_s = _FIRST_PAUSE_S
                    if not self._backlog and self._journal is not None:
                        await self._journal.clear()
                else:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            self._task = None

    def _has_more(self) -> bool:
        return bool(self._waiting)

    def _next_batch(self) -> _Batch:
        entries, self._waiting = self._waiting, []
        if len(entries) > MAX_BATCH:
            entries, self._waiting = entries[:MAX_BATCH], entries[MAX_BATCH:]
        return _Batch(entries)

    async def _tried(self, batch: _Batch) -> bool:
        """True if the batch is settled one way or another, False if the database is away."""
        try:
            results = await self._store.apply(batch.batch_id, [op for op, _, _ in batch.entries], self._has_more)
        except StoreAway as error:
            self._gone_away(error)
            if error.results is not None:
                batch.saved = error.results
            return False
        except AlreadyPosted:
            return await self._after_conflict(batch)
        except Exception as error:
            # Expected of bad operations; of anything else too, since a writer that dies here leaves its answers hanging.
            if not isinstance(error, (BadOperation, LookupError)):
                log.exception("ledger_batch_failed", operations=len(batch.entries))
            return await self._one_by_one(batch)
        self._finish(batch.entries, results)
        return True

    async def _after_conflict(self, batch: _Batch) -> bool:
        """A unique id stood there already: this very batch, committed before its connection was lost, or a rival's row."""
        try:
            committed = await self._store.is_committed(batch.batch_id)
        except StoreAway as error:
            self._gone_away(error)
            return False
        if committed and batch.saved is not None:
            self._finish(batch.entries, batch.saved)
            return True
        batch.conflicts += 1
        if batch.conflicts < _MAX_CONFLICTS:
            return await self._tried(batch)
        return await self._one_by_one(batch)

    async def _one_by_one(self, batch: _Batch) -> bool:
        """A batch that cannot be posted as a whole holds a bad operation: only that one fails."""
        while batch.entries:
            entry = batch.entries[0]
            op = entry[0]
            try:
                results = await self._store.apply(new_batch_id(), [op])
            except StoreAway as error:
                self._gone_away(error)
                batch.batch_id, batch.saved, batch.conflicts = new_batch_id(), None, 0
                return False
            except (AlreadyPosted, BadOperation, LookupError) as error:
                self.failures += 1
                log.error("ledger_operation_refused", operation=type(op).__name__, error=str(error))
                _fail(entry, error)
            except Exception as error:  # whatever is wrong with one operation, the others are posted
                self.failures += 1
                log.exception("ledger_operation_failed", operation=type(op).__name__)
                _fail(entry, error)
            else:
                self._finish([entry], results)
            batch.entries.pop(0)
        return True

    async def _put_aside(self, batch: _Batch) -> None:
        """Fails what asked for money, keeps the rest on disk, lets its answers go, and queues it for later."""
        kept = [place for place, (op, _, _) in enumerate(batch.entries) if isinstance(op, _PATIENT)]
        for entry in batch.entries:
            if not isinstance(entry[0], _PATIENT):
                _fail(entry, MoneyUnavailable())
        if batch.saved is not None:
            batch.saved = [batch.saved[place] for place in kept]
        batch.entries = [batch.entries[place] for place in kept]
        self._backlog.append(batch)
        durable = [(op, future) for op, future, _ in batch.entries if not isinstance(op, ReturnLease)]
        if self._journal is None or not durable:
            return
        try:
            await self._journal.keep(batch.batch_id, [op for op, _ in durable])
        except OSError as error:
            log.critical("journal_not_writable", error=str(error), settlements=len(durable))
            return
        for op, future in durable:
            if not future.done():
                future.set_result(_provisional(op))

    async def _post_kept(self, batch_id: str, ops: list[Operation]) -> None:
        """Posts a batch of a dead process, unless it is in the ledger already."""
        try:
            await self._store.apply(batch_id, ops)
        except (AlreadyPosted, BadOperation, LookupError):
            if await self._store.is_committed(batch_id):
                return
            for op in ops:
                try:
                    await self._store.apply(new_batch_id(), [op])
                except (AlreadyPosted, BadOperation, LookupError) as error:
                    log.warning("journal_operation_known", operation=type(op).__name__, error=str(error))

    def _gone_away(self, error: StoreAway) -> None:
        was_away, self._away = self._away, True
        self.failures += 1
        if not was_away:
            log.error("ledger_unreachable", error=str(error), waiting=self.depth)

    def _finish(self, entries: list[_Entry], results: list[Result]) -> None:
        if self._away:
            log.info("ledger_reachable_again")
        self._away = False
        self.batches += 1
        self.posted += len(entries)
        for (op, future, hook), result in zip(entries, results, strict=True):
            if hook is not None:
                hook(op, result)
            if not future.done():
                future.set_result(result)


def _provisional(op: Operation) -> Receipt | None:
    """What is told of a settlement that is safe on disk and not yet in the ledger: its amount, nothing of the balance."""
    if isinstance(op, Capture):
        return Receipt(op.charge.amount, 0, 0, False)
    return Receipt(0, 0, 0, False) if isinstance(op, Void) else None


def _fail(entry: _Entry, error: Exception) -> None:
    _, future, _ = entry
    if not future.done():
        future.set_exception(error)
        # A background caller may never look at its future; the failure is logged and counted here.
        future.exception()
