"""One process as an ASGI application: `uvicorn gatewayz.asgi:app`, or any other ASGI server."""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from gatewayz.api.app import build_app
from gatewayz.infra.telemetry import configure_logging
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import load_configuration
from gatewayz.wiring.house import House, build_house
from gatewayz.wiring.prepare import prepare, secret_keys_of

log = structlog.get_logger(__name__)

_M_ARENA_MAX = -8  # of malloc.h

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Application:
    """Builds the house at start-up, so that importing this module reads nothing and connects to nothing."""

    def __init__(self) -> None:
        self._house: House | None = None
        self._app: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if self._app is None:
            # Servers without a lifespan (serverless adapters) get their house with the first request.
            await self._start()
        assert self._app is not None
        await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._start()
                except Exception as error:  # the server must be told, whatever it was, or it would hang
                    log.exception("start_failed")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._house is not None:
                    await self._house.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start(self) -> None:
        share_heap()
        environment = read_environment()
        configuration = load_configuration(environment)
        configure_logging(configuration.settings.log_level, as_json=environment.app_env != "development")
        if "GATEWAYZ_PREPARED" not in environment.variables:
            await prepare(configuration)
        house = build_house(configuration, secret_keys_of(environment))
        await house.start()
        self._house = house
        self._app = build_app(house)
        tune_gc()


def share_heap() -> None:
    """Lets all threads of the process allocate from one heap, where the C library has several (glibc).

    Threads here wait for databases and never allocate at the same time, yet each would keep what it once used for itself:
    4 MB after some load. For a process that has one thread yet.
    """
    if sys.platform == "linux":
        # Other C libraries have one heap, and no such function.
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def tune_gc() -> None:
    """Takes what start-up made out of the collector's sight and lets it run rarely: a sixth of all CPU otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


app = Application()
