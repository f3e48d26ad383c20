"""One thread that works for an event loop: what an executor does, with one object to hand over each way.

An executor makes two futures, a lock and two callbacks for each call, a good part of what a small batch costs.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Found = TypeVar("Found")
_Job = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class OwnThread:
    """Runs functions one after another, in the order of asking. The thread begins with the first of them."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._stopped = False

    def run(self, function: Callable[..., Found], *arguments: object) -> "asyncio.Future[Found]":
        """The future of a call. One that is cancelled before its turn is not made. Raises RuntimeError after `stop`."""
        if self._stopped:
            raise RuntimeError("the thread has been stopped")
        if self._thread.ident is None:
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found] = loop.create_future()
        self._jobs.put((function, arguments, future, loop))
        return future

    def stop(self) -> None:
        """Returns when all that was asked for is done. May be called twice."""
        self._stopped = True
        if self._thread.ident is not None:
            self._jobs.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, arguments, future, loop = job
            if future.cancelled():
                continue
            result: object = None
            failure: BaseException | None = None
            try:
                result = function(*arguments)
            except BaseException as error:  # noqa: BLE001 (it belongs to who asked, and the thread goes on)
                failure = error
            # A loop that has been closed takes nothing, and nobody waits on it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_hand_over, future, result, failure)
            del job, function, arguments, future, result, failure


def _hand_over(future: "asyncio.Future[Any]", result: object, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
