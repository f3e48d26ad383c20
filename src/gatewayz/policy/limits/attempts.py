"""Limits on rare acts (sign-in, registration, key creation, resets): a log of attempts over a sliding window.

Exact over all processes while Redis is up; while it is away each process goes on with everything it last heard, and
tells what it admitted alone as soon as Redis is back. An attempt that is refused is not logged, so that waiting as told
is enough.
"""

import hashlib
from collections import OrderedDict
from itertools import count
from pathlib import Path

from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.infra.redis import Arg, LinkState, RedisAway, RedisLink, Script
from gatewayz.policy.limits.edge import network_of
from gatewayz.policy.limits.state import LimitState, refusal, state_of, whole_seconds

ATTEMPT = Script(Path(__file__).with_name("attempts.lua").read_text("utf-8"))
MAX_LOGS = 50_000


class _Log:
    """Attempts of one subject that count, by id, with their time; `alone` if some are not known to Redis yet."""

    __slots__ = ("alone", "at_us", "limit", "window_us")

    def __init__(self, window_us: int) -> None:
        self.window_us = window_us
        self.limit = 0
        self.at_us: dict[str, int] = {}
        self.alone = False

    def drop_before(self, now_us: int) -> None:
        """Forgets attempts that are over, and those a clock set back has put far into the future."""
        over_us, future_us = now_us - self.window_us, now_us + self.window_us
        if any(not over_us < at <= future_us for at in self.at_us.values()):
            self.at_us = {name: at for name, at in self.at_us.items() if over_us < at <= future_us}


class Attempts:
    """All logs of this process. `salt` keeps addresses and account names out of Redis in the clear."""

    def __init__(self, clock: Clock, link: RedisLink, process: str, salt: bytes, max_logs: int = MAX_LOGS) -> None:
        self._clock = clock
        self._link = link
        self._process = process
        self._salt = salt
        self._max_logs = max_logs
        self._logs: OrderedDict[str, _Log] = OrderedDict()
        self._numbers = count(1)
        self._untold: set[str] = set()
        link.on_state(self._on_link)

    async def admit(self, name: str, subject: str, limit: int, window_s: float) -> LimitState:
        """Logs one attempt of `subject` at `name`. Raises RateLimited if `limit` lie within the last `window_s`.

        A subject that is an IPv6 address stands for its network.
        """
        text = network_of(subject).encode("utf-8", "surrogatepass")
        key = f"rate_limit:{name}:{hashlib.blake2b(text, key=self._salt, digest_size=16).hexdigest()}"
        now_us = self._clock.now_us()
        log = self._log_of(key, round(window_s * US_PER_S))
        log.limit = limit
        log.drop_before(now_us)
        attempt = f"{self._process}:{next(self._numbers)}"
        if len(log.at_us) >= limit or not await self._logged(key, log, attempt, now_us):
            what = f"{limit} {name.replace('_', ' ')} attempts per {_span(window_s)}"
            raise refusal(_state(name, limit, log, now_us, refused=True), what)
        return _state(name, limit, log, now_us)

    async def tell(self) -> None:
        """Tells Redis what was admitted without it."""
        while self._untold and self._link.state == "up":
            key = self._untold.pop()
            log = self._logs.get(key)
            if log is not None:
                await self._shared(key, log, "", self._clock.now_us())

    def __len__(self) -> int:
        return len(self._logs)

    async def _logged(self, key: str, log: _Log, attempt: str, now_us: int) -> bool:
        if self._link.state == "up":
            admitted = await self._shared(key, log, attempt, now_us)
            if admitted is not None:
                return admitted
            if len(log.at_us) >= log.limit:
                return False
        log.at_us[attempt] = now_us
        self._untold.add(key)
        return True

    async def _shared(self, key: str, log: _Log, attempt: str, now_us: int) -> bool | None:
        """Whether Redis admitted the attempt; None if it did not answer. The log then holds what all processes know."""
        keep_ms = log.window_us // 1000 + 60_000
        args: list[Arg] = [now_us - log.window_us, log.limit, keep_ms, attempt, now_us]
        for known, at_us in log.at_us.items():
            args += (known, at_us)
        try:
            admitted, *flat = await self._link.run_script(ATTEMPT, [key], args)
        except RedisAway:
            self._untold.add(key)
            return None
        for i in range(0, len(flat), 2):
            log.at_us[flat[i].decode()] = int(float(flat[i + 1]))
        log.drop_before(now_us)
        return bool(admitted)

    def _log_of(self, key: str, window_us: int) -> _Log:
        log = self._logs.get(key)
        if log is None:
            if len(self._logs) >= self._max_logs:
                self._untold.discard(self._logs.popitem(last=False)[0])
            log = self._logs[key] = _Log(window_us)
        else:
            self._logs.move_to_end(key)
        return log

    def _on_link(self, state: LinkState) -> None:
        # A server that comes back may have lost its data: everything that still counts is told again.
        if state == "up":
            now_us = self._clock.now_us()
            self._untold.update(key for key, log in self._logs.items() if _counts(log, now_us))


def _counts(log: _Log, now_us: int) -> bool:
    return any(at_us > now_us - log.window_us for at_us in log.at_us.values())


def _state(name: str, limit: int, log: _Log, now_us: int, *, refused: bool = False) -> LimitState:
    """The reset is when the next place becomes free: `limit` attempts back in the log, or its oldest one."""
    times = sorted(log.at_us.values())
    surplus = max(0, len(times) - limit)
    frees_us = (times[surplus] if times else now_us) + log.window_us
    remaining = max(0, limit - len(times))
    retry_after_s = whole_seconds(frees_us - now_us) if refused else 0
    return state_of(limit, remaining, -(-frees_us // US_PER_S), name, "normal", retry_after_s)


def _span(window_s: float) -> str:
    for size_s, word in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if window_s >= size_s and window_s % size_s == 0:
            number = int(window_s // size_s)
            return word if number == 1 else f"{number} {word}s"
    return f"{window_s:g} seconds"
