"""Ending tasks that run for as long as the process."""

import asyncio
from collections.abc import Iterable

import structlog

log = structlog.get_logger(__name__)

_TRIES = 5


async def end(tasks: Iterable["asyncio.Task[object]"], patience_s: float = 1.0) -> None:
    """Cancels the tasks and returns when they have ended; what they raise is theirs.

    A library may swallow a cancellation now and then (the client of Redis does, while it waits for a connection), so it is
    said again, every `patience_s`. What does not end after a few times is left, and named in the log.
    """
    pending = set(tasks)
    for _ in range(_TRIES):
        for task in pending:
            task.cancel()
        if not pending:
            return
        done, pending = await asyncio.wait(pending, timeout=patience_s)
        for task in done:
            if not task.cancelled():
                task.exception()  # has been logged where it matters; nobody else will look
    if pending:
        log.warning("tasks_do_not_end", tasks=sorted(task.get_name() for task in pending))
