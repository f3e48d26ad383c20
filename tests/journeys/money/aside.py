"""An event loop in a thread of its own, so that a test can break things, step by step, while load runs beside it."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Aside:
    """Runs coroutines on its own loop between `__enter__` and `__exit__`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 60.0) -> T:
        """The result of `work`, run over there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    async def begin(self) -> None:
        """What is done first on the loop."""

    async def finish(self) -> None:
        """What is done last on the loop."""

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self.begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.run(self.finish())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()
