"""The link to Redis: optional always, never waited for longer than one short timeout, and never twice.

Redis is an accelerator. A command that fails or is late takes the whole link down at once, so that no other request
waits for a server that is gone; only the background loop `run` looks for it and brings the link up again. Whoever uses
the link has a substitute in process memory and is told of both changes.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any, Literal

import structlog

from gatewayz.infra.clock import Clock

log = structlog.get_logger(__name__)

LinkState = Literal["up", "down", "off"]
Arg = str | bytes | int | float
StateListener = Callable[[LinkState], None]

COMMAND_TIMEOUT_S = 0.1
# The probe may take longer than a command: nobody waits for it, and a server that is merely slow must not flap.
PROBE_TIMEOUT_S = 1.0
PROBE_INTERVAL_S = 1.0
FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 5.0
_PROBE_KEY = "gatewayz:link"

# Words of answers by which the server refuses to serve us as a whole. The client has classes for some of them and cuts the
# word off (`redis_driver.UNUSABLE`); inside a script the word stands somewhere in the text. Any other refusal concerns one
# command and leaves the link up.
_UNUSABLE_WORDS = ("READONLY", "OOM", "MISCONF", "NOPERM", "MASTERDOWN", "CLUSTERDOWN")


class RedisAway(Exception):
    """Redis cannot answer now: off, down, late or refusing. The caller goes on with process memory."""


class Script:
    """A Lua script with its digest, sent by digest and in full only to a server that does not know it yet."""

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """One process's link. `state` is `off` without a URL, else `up` or `down`; it starts down until `start` or `run`.

    Figures for metrics: `commands` sent, `failures` among them, `drops` (times the link went down), and `state_since_s`
    (monotonic seconds of the last change).
    """

    def __init__(self, url: str | None, clock: Clock, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """`url` is a REDIS_URL (`redis://`, `rediss://`, `unix://`) or None. Raises ValueError for another scheme."""
        self.state: LinkState = "off" if url is None else "down"
        self.commands = 0
        self.failures = 0
        self.drops = 0
        self.state_since_s = clock.monotonic_s()
        self._clock = clock
        self._timeout_s = timeout_s
        self._listeners: list[StateListener] = []
        self._dropped = asyncio.Event()
        self._server: str | None = None
        self._url = url
        self._driver: Any = None if url is None else import_module("gatewayz.infra.redis_driver")
        self._client = self._connect()
        self._loose: set[asyncio.Future[Any]] = set()

    def on_state(self, listener: StateListener) -> None:
        """Calls `listener(state)` at each change, in the event loop; it must be quick and must not raise."""
        self._listeners.append(listener)

    async def call(self, *command: Arg) -> Any:
        """The answer to one command (bytes, int, list or None). Raises RedisAway."""
        client = self._ready()
        return await self._timed(lambda: client.execute_command(*command))

    async def call_many(self, commands: Sequence[tuple[Arg, ...]]) -> list[Any]:
        """The answers to several commands in one round trip, not as a transaction. Raises RedisAway."""
        client = self._ready()

        async def send() -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute())

        return list(await self._timed(send))

    async def run_script(self, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """The answer of a Lua script, atomic on the server. Raises RedisAway."""
        client = self._ready()

        async def send() -> Any:
            try:
                return await client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
            except self._driver.NoScriptError:
                return await client.execute_command("EVAL", script.source, len(keys), *keys, *args)

        return await self._timed(send)

    async def start(self) -> LinkState:
        """Looks for the server once, so that the first request already finds the right state; returns the state."""
        if self._client is not None:
            await self._probe()
        return self.state

    async def run(self) -> None:
        """Watches the server until cancelled; returns at once without a URL."""
        if self._client is None:
            return
        retry_s = FIRST_RETRY_S
        while True:
            if await self._probe():
                retry_s, pause_s = FIRST_RETRY_S, PROBE_INTERVAL_S
            else:
                retry_s, pause_s = min(retry_s * 2, LONGEST_RETRY_S), retry_s
            try:
                async with asyncio.timeout(pause_s):
                    await self._dropped.wait()
            except TimeoutError:
                continue
            self._dropped.clear()
            await asyncio.sleep(FIRST_RETRY_S)

    async def close(self) -> None:
        """Closes all connections. May be called twice."""
        if self._client is not None:
            await self._client.aclose()
        if self._loose:
            await asyncio.wait(self._loose, timeout=PROBE_TIMEOUT_S)

    def _connect(self) -> Any:
        if self._url is None:
            return None
        return self._driver.connect(self._url, self._timeout_s, PROBE_TIMEOUT_S)

    def _ready(self) -> Any:
        if self.state != "up" or self._client is None:
            raise RedisAway(f"redis is {self.state}")
        return self._client

    async def _timed(self, send: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The answer, or RedisAway after the timeout whatever the client does.

        The client may swallow a cancellation (it does so now and then while it waits for a connection), so the command
        is a task of its own that can be left behind.
        """
        self.commands += 1
        trip = asyncio.ensure_future(send())
        try:
            await asyncio.wait((trip,), timeout=self._timeout_s)
        finally:
            if not trip.done():
                trip.cancel()
                self._let_go(trip)
        try:
            if not trip.done():
                raise TimeoutError
            return trip.result()
        except self._driver.ResponseError as error:
            self.failures += 1
            if isinstance(error, self._driver.UNUSABLE) or any(word in str(error) for word in _UNUSABLE_WORDS):
                self._drop(type(error).__name__)
            else:
                log.error("redis_command_refused", error=str(error)[:200])
            raise RedisAway("redis refused the command") from error
        except (self._driver.RedisError, OSError, TimeoutError) as error:
            self.failures += 1
            self._drop(type(error).__name__)
            raise RedisAway("redis does not answer") from error

    async def _probe(self) -> bool:
        client = self._client
        assert client is not None
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                # A write, since a replica or a full server still answers PING and would let the link flap.
                await client.set(_PROBE_KEY, "1", ex=60)
                server = await self._driver.server_of(client)
        except (self._driver.RedisError, OSError, TimeoutError) as error:
            self._drop(type(error).__name__)
            return False
        if self._server not in (None, server):
            # Connections were renewed so quietly that no command failed, but the data may be gone.
            self._drop("Restarted")
        self._server = server
        self._change("up")
        return True

    def _drop(self, reason: str) -> None:
        if self.state == "up":
            self.drops += 1
            self._dropped.set()
            log.warning("redis_down", reason=reason)
            self._change("down")
            # New connections for the way back; whoever still waits on the old ones is told at once.
            old, self._client = self._client, self._connect()
            self._let_go(asyncio.ensure_future(old.aclose()))

    def _let_go(self, task: "asyncio.Future[Any]") -> None:
        """Lets a task end by itself, keeping it alive and its failure quiet."""

        def ended(task: "asyncio.Future[Any]") -> None:
            self._loose.discard(task)
            if not task.cancelled():
                task.exception()

        self._loose.add(task)
        task.add_done_callback(ended)

    def _change(self, state: LinkState) -> None:
        if state == self.state:
            return
        self.state = state
        self.state_since_s = self._clock.monotonic_s()
        if state == "up":
            self._dropped.clear()
            log.info("redis_up")
        for listener in self._listeners:
            listener(state)
