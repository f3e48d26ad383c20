"""Answers that many readers share: built once, kept in memory and, where there is Redis, for the other processes too.

A key holds all that the answer depends on, so that a change makes a new key and nobody reads what is no longer true. One
build per key at a time: the others wait for it, or get what was true until a moment ago.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from gatewayz.infra.clock import Clock
from gatewayz.infra.redis import RedisAway, RedisLink

# Without Redis what is kept here has to last longer.
FALLBACK_S = 900.0
# A long transfer would take longer than a command may, and that takes the link down for everybody.
_LARGEST_SHARED = 1024 * 1024
_LONG = 2**18
_PREFIX = "gatewayz:answers"
_ENTRIES_PER_SCAN = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished body and its entity tag, quotes included."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: Answer
    fresh_until_s: float


class AnswerCache:
    """Answers of one kind. Figures for metrics: `hits`, `shared_hits`, `misses`, `builds`."""

    def __init__(
        self,
        name: str,
        redis: RedisLink,
        clock: Clock,
        *,
        entries: int,
        life_s: float,
        shared_life_s: float = 0.0,
        max_bytes: int = 64_000_000,
        salt: str = "",
    ) -> None:
        """`life_s` in memory, `shared_life_s` in Redis (0: not kept there); `entries` and `max_bytes` bound the memory.

        Only processes with the same `salt` share: it names what answers depend on besides their keys.
        """
        self.name = name
        self.hits = self.shared_hits = self.misses = self.builds = 0
        self._redis = redis
        self._clock = clock
        self._entries = entries
        self._life_s = life_s
        self._shared_life_s = shared_life_s
        self._max_bytes = max_bytes
        self._salt = salt
        self._bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._building: dict[str, asyncio.Task[Answer]] = {}
        self._round = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_fallback(self) -> bool:
        """True while Redis is configured and away, so that memory alone has to do."""
        return self._redis.state == "down"

    @property
    def bytes_kept(self) -> int:
        """Size of all bodies in memory."""
        return self._bytes

    async def get(self, key: str, build: Callable[[], Awaitable[bytes]], *, shared: bool = True) -> Answer:
        """The answer of this key, built if nobody has it. Raises what `build` raises, then nothing is kept.

        `shared` false: kept by this process alone, for answers of which strangers could make any number.
        """
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            if self._clock.monotonic_s() < kept.fresh_until_s:
                self.hits += 1
                return kept.answer
        self.misses += 1
        task = self._building.get(key)
        if task is None:
            task = asyncio.create_task(self._make(key, build, self._round, shared))
            self._building[key] = task
            task.add_done_callback(lambda done: self._built(key, done))
        if kept is not None:
            return kept.answer
        # Whoever goes away must not take the answer of the others along.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Empties the memory of this process; a build under way is for those who wait for it alone."""
        self._round += 1
        self._kept.clear()
        self._bytes = 0
        self._building.clear()

    async def clear_shared(self) -> int:
        """Empties what processes share; returns how many entries went. Nothing happens while Redis is away."""
        gone = 0
        cursor = b"0"
        try:
            while True:
                pattern = f"{_PREFIX}:{self.name}:*"
                cursor, keys = await self._redis.call("SCAN", cursor, "MATCH", pattern, "COUNT", _ENTRIES_PER_SCAN)
                if keys:
                    gone += int(await self._redis.call("UNLINK", *keys))
                if cursor in (b"0", "0", 0):
                    return gone
        except RedisAway:
            return gone

    async def _make(self, key: str, build: Callable[[], Awaitable[bytes]], at_round: int, shared: bool) -> Answer:
        body = await self._shared(key) if shared else None
        if body is None:
            self.builds += 1
            body = await build()
            if shared:
                await self._share(key, body)
        else:
            self.shared_hits += 1
        answer = Answer(body, await asyncio.to_thread(tag_of, body) if len(body) > _LONG else tag_of(body))
        if at_round == self._round:
            self._keep(key, answer)
        return answer

    def _keep(self, key: str, answer: Answer) -> None:
        self._drop(key)
        if len(answer.body) > self._max_bytes:
            return
        life_s = max(self._life_s, FALLBACK_S) if self.is_fallback else self._life_s
        self._kept[key] = _Kept(answer, self._clock.monotonic_s() + life_s)
        self._bytes += len(answer.body)
        while len(self._kept) > self._entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.answer.body)

    async def _shared(self, key: str) -> bytes | None:
        if not self._shared_life_s or self._redis.state != "up":
            return None
        try:
            found = await self._redis.call("GET", self._name(key))
        except RedisAway:
            return None
        return found if isinstance(found, bytes) and found else None

    async def _share(self, key: str, body: bytes) -> None:
        if not self._shared_life_s or self._redis.state != "up" or not 0 < len(body) <= _LARGEST_SHARED:
            return
        try:
            await self._redis.call("SET", self._name(key), body, "PX", round(self._shared_life_s * 1000))
        except RedisAway:
            return

    def _name(self, key: str) -> str:
        return f"{_PREFIX}:{self.name}:{hashlib.sha256(f'{self._salt} {key}'.encode()).hexdigest()[:40]}"

    def _built(self, key: str, task: "asyncio.Task[Answer]") -> None:
        if self._building.get(key) is task:
            del self._building[key]
        if not task.cancelled():
            task.exception()  # told to whoever waited; a stale answer's reader did not


def tag_of(body: bytes) -> str:
    """The entity tag of a body, quotes included."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def key_of(*parts: object) -> str:
    """A key of values that JSON has."""
    return msgspec.json.encode(parts).decode()
