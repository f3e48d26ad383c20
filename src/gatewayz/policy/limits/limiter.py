"""The three layers of limits, the named limits and velocity mode, as one object that a process owns."""

import asyncio
import hashlib
import secrets
from collections.abc import Hashable

from gatewayz.core.errors import RateLimited, Unauthenticated
from gatewayz.infra.clock import Clock
from gatewayz.infra.redis import RedisLink
from gatewayz.policy.limits.attempts import Attempts
from gatewayz.policy.limits.budgets import Budgets
from gatewayz.policy.limits.edge import EdgeCounters, network_of
from gatewayz.policy.limits.plans import anonymous_daily_limit
from gatewayz.policy.limits.state import UNLIMITED, LimitState
from gatewayz.policy.limits.velocity import Velocity
from gatewayz.settings import Settings

TICK_S = 1.0


class Limiter:
    """Everything that may answer 429 on the gateway's own account.

    `salt` is secret and the same in all processes of a deployment: addresses are kept only as hashes keyed by it.
    `refused` counts refusals by layer (`ip`, `key`, `anonymous`, `named`), for metrics.
    """

    def __init__(self, settings: Settings, clock: Clock, redis: RedisLink, *, salt: bytes) -> None:
        process = secrets.token_hex(6)
        self.velocity = Velocity(settings, clock, redis, process)
        self.refused = {"ip": 0, "key": 0, "anonymous": 0, "named": 0}
        self._settings = settings
        self._clock = clock
        self._salt = hashlib.blake2b(salt, digest_size=32).digest()
        self._edge = EdgeCounters()
        self._attempts = Attempts(clock, redis, process, self._salt)
        self._anonymous_limit = anonymous_daily_limit(settings)
        self._keys = Budgets(
            name="rate_limit",
            window_s=60,
            reason="key",
            what=lambda limit: f"{limit} requests per minute for this API key",
            slice_of=lambda limit: max(1, limit // 100),
            clock=clock,
            link=redis,
            process=process,
        )
        self._anonymous = Budgets(
            name="rate_limit:anonymous",
            window_s=86_400,
            reason="anonymous",
            what=lambda limit: f"{limit} requests per day without an API key",
            slice_of=lambda _: 1,
            clock=clock,
            link=redis,
            process=process,
        )

    async def admit_ip(self, ip: str, fingerprint: Hashable) -> LimitState:
        """Counts a request that carries no valid key. Raises RateLimited (layer 1)."""
        ip_limit = self._reduced(self._settings.ip_limit_per_min)
        fingerprint_limit = self._reduced(self._settings.fingerprint_limit_per_min)
        mode, now_us = self.velocity.mode, self._clock.now_us()
        try:
            return self._edge.admit(ip, fingerprint, ip_limit, fingerprint_limit, now_us, mode)
        except RateLimited:
            self.refused["ip"] += 1
            raise

    async def admit_key(self, key_id: int, rpm: int | None) -> LimitState:
        """Counts a request of a key that may make `rpm` per minute (None or 0: no limit). Raises RateLimited."""
        state = self.at_once(key_id, rpm)
        if state is not None:
            return state
        try:
            return await self._keys.admit(key_id, self._reduced(rpm or 0), self.velocity.mode)
        except RateLimited:
            self.refused["key"] += 1
            raise

    def at_once(self, key_id: int, rpm: int | None) -> LimitState | None:
        """The same without waiting; None, and nothing counted, where other processes must be asked or it is refused."""
        if not rpm:
            return UNLIMITED
        velocity = self.velocity
        if velocity.active:
            rpm = self._reduced(rpm)
        return self._keys.at_once(key_id, rpm, velocity.mode)

    async def peek_key(self, key_id: int, rpm: int | None) -> LimitState:
        """Where a key stands over all processes, without counting anything."""
        if not rpm:
            return UNLIMITED
        self.velocity.refresh()
        limit = self.velocity.reduced(rpm) if self.velocity.active else rpm
        return await self._keys.peek(key_id, limit, self.velocity.mode)

    async def admit_anonymous(self, ip: str) -> LimitState:
        """Counts an inference request without a key.

        Raises RateLimited (layer 3), or Unauthenticated if the setting allows none at all.
        """
        limit = self._anonymous_limit
        if not limit:
            raise Unauthenticated("This gateway answers requests with an API key only.", code="missing_api_key")
        limit = self._reduced(limit)
        source = network_of(ip).encode()
        subject = hashlib.blake2b(source, key=self._salt, digest_size=16).hexdigest()
        try:
            return await self._anonymous.admit(subject, limit, self.velocity.mode)
        except RateLimited:
            self.refused["anonymous"] += 1
            raise

    async def admit_named(self, name: str, subject: str, limit: int, window_s: float) -> LimitState:
        """Counts an attempt at something rare, e.g. `("sign_in", ip, 10, 900)`. Raises RateLimited."""
        try:
            return await self._attempts.admit(name, subject, limit, window_s)
        except RateLimited:
            self.refused["named"] += 1
            raise

    def _reduced(self, limit: int) -> int:
        """What a limit is now."""
        velocity = self.velocity
        if velocity.active:
            velocity.refresh()
            if velocity.active:
                return velocity.reduced(limit)
        return limit

    async def tick(self) -> None:
        """What happens once a second beside the requests: idle slices go back, processes hear of each other."""
        self._keys.give_back_idle()
        await self.velocity.exchange()
        await self._attempts.tell()

    async def flush(self) -> None:
        """Returns when everything counted so far is known to Redis, or Redis is known to be away."""
        await self._keys.flush()
        await self._anonymous.flush()
        await self._attempts.tell()

    async def close(self) -> None:
        """Gives back what other processes can still use. Call it after the last request."""
        await self._keys.give_back_all()
        await self.flush()

    async def run(self) -> None:
        """Ticks until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.tick()
