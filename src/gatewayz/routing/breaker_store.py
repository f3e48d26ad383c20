"""Breakers in Redis: `circuit_breaker:{provider}:{state|failure_count|success_count|opened_at}`, moved by comparison.

The rules stand in `breaker_state.py` alone; Redis only makes sure that two processes do not move the same breaker from
the same value. `opened_at` is epoch seconds with six decimals, 0 while closed.
"""

from collections.abc import Sequence
from pathlib import Path

from gatewayz.infra.clock import US_PER_S
from gatewayz.infra.redis import Arg, RedisLink, Script
from gatewayz.routing.breaker_state import CLOSED, Breaker, BreakerState

SWAP = Script(Path(__file__).with_name("breaker_swap.lua").read_text("utf-8"))
PROBE = Script(Path(__file__).with_name("breaker_probe.lua").read_text("utf-8"))
FIELDS = ("state", "failure_count", "success_count", "opened_at")
KEEP_S = 3600
_PROVIDERS_KEY = "circuit_breaker:providers"


def keep_s(cooldown_s: float) -> int:
    """Seconds that a breaker stays in Redis without a change: an hour, or longer than a very long cool-down."""
    return max(KEEP_S, round(2 * cooldown_s))


class BreakerStore:
    """Reads and moves breakers. Every method raises RedisAway."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def read(self, providers: Sequence[str]) -> dict[str, Breaker | None]:
        """The breakers of these providers and of all that other processes have moved; None: nothing is stored."""
        commands: list[tuple[Arg, ...]] = [("SMEMBERS", _PROVIDERS_KEY)]
        if providers:
            commands.append(("MGET", *(key for provider in providers for key in _keys(provider))))
        members, *values = await self._link.call_many(commands)
        flat = values[0] if values else []
        found = {provider: _parsed(flat[4 * i : 4 * i + 4]) for i, provider in enumerate(providers)}
        strangers = sorted({member.decode() for member in members} - found.keys())
        if strangers:
            flat = await self._link.call("MGET", *(key for provider in strangers for key in _keys(provider)))
            found |= {provider: _parsed(flat[4 * i : 4 * i + 4]) for i, provider in enumerate(strangers)}
        return found

    async def read_with_reset(self, provider: str) -> tuple[Breaker, int]:
        """The provider's breaker, and when it was last reset (microseconds, 0: not known)."""
        *values, reset_at = await self._link.call("MGET", *_keys(provider), _reset_key(provider))
        return _parsed(values) or CLOSED, _us(reset_at) if reset_at else 0

    async def mark_reset(self, provider: str, at_us: int, *, cooldown_s: float) -> None:
        """Remembers a reset, so that a process that was away does not bring an older opening back."""
        await self._link.call("SET", _reset_key(provider), _seconds(at_us), "EX", keep_s(cooldown_s))

    async def swap(
        self, provider: str, expected: Breaker, new: Breaker, freed: Sequence[str], *, cooldown_s: float
    ) -> Breaker:
        """The breaker that was found; the move to `new` was made if it equals `expected`. Frees the probe places."""
        args: list[Arg] = [provider, keep_s(cooldown_s), *_texts(expected), *_texts(new), *freed]
        found = await self._link.run_script(SWAP, [*_keys(provider), _probes(provider), _PROVIDERS_KEY], args)
        return _parsed(found) or CLOSED

    async def take_place(
        self, provider: str, opened_at_us: int, token: str, *, now_us: int, until_us: int, places: int
    ) -> bool | Breaker:
        """Whether the probe has a place; the breaker found, if it is no longer the opening that the caller knew."""
        keep_ms = (until_us - now_us) // 1000 + 60_000
        args: list[Arg] = [_seconds(opened_at_us), now_us, until_us, places, token, keep_ms]
        answer, *found = await self._link.run_script(PROBE, [*_keys(provider), _probes(provider)], args)
        return bool(answer) if answer >= 0 else _parsed(found) or CLOSED


def _keys(provider: str) -> list[str]:
    return [f"circuit_breaker:{provider}:{field}" for field in FIELDS]


def _probes(provider: str) -> str:
    return f"circuit_breaker:{provider}:probes"


def _reset_key(provider: str) -> str:
    return f"circuit_breaker:{provider}:reset_at"


def _texts(breaker: Breaker) -> list[str]:
    counts = [str(breaker.failure_count), str(breaker.success_count)]
    return [breaker.state.value, *counts, _seconds(breaker.opened_at_us)]


def _seconds(us: int) -> str:
    return f"{us // US_PER_S}.{us % US_PER_S:06d}" if us else "0"


def _parsed(values: Sequence[bytes | None]) -> Breaker | None:
    """The stored breaker; None if nothing is stored, or something that we did not write."""
    state, failures, successes, opened_at = values
    if state is None or failures is None or successes is None or opened_at is None:
        return None
    try:
        return Breaker(BreakerState(state.decode()), int(failures), int(successes), _us(opened_at))
    except ValueError:
        return None


def _us(seconds: bytes) -> int:
    """Microseconds of epoch seconds as we write them. Raises ValueError."""
    whole, _, fraction = seconds.decode().partition(".")
    return int(whole) * US_PER_S + int(fraction or 0)
