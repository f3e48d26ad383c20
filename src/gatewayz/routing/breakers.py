"""Circuit breakers: stop hammering a failing provider, probe it gently, resume.

Each process decides from a mirror in memory; a call that is let through carries a permit and says how it went. Moves
are made in Redis by compare-and-swap while the link is up (one process makes and counts each move), in memory while it
is not; on return the stricter state wins. Redis is asked nothing for a call to a healthy provider.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import count
from types import TracebackType
from typing import Any

import msgspec
import structlog

from gatewayz.infra.clock import US_PER_S, Clock, iso
from gatewayz.infra.redis import LinkState, RedisAway, RedisLink
from gatewayz.routing.breaker_cell import Cell
from gatewayz.routing.breaker_state import (
    CLOSED,
    Breaker,
    BreakerConfig,
    BreakerState,
    Event,
    Move,
    Verdict,
    at,
    moved,
)
from gatewayz.routing.breaker_store import BreakerStore, keep_s
from gatewayz.settings import Settings

__all__ = ["BreakerConfig", "BreakerState", "Breakers", "Permit"]

log = structlog.get_logger(__name__)

TICK_S = 0.5

Transition = Callable[[str, BreakerState, BreakerState], None]


class Permit(msgspec.Struct, eq=False):
    """Leave to call a provider once. Say `success`, `failure` or `neutral`; later words change nothing.

    As a context manager it says `neutral` at the end if nothing was said.
    """

    _breakers: "Breakers"
    _cell: Cell
    _opening_us: int
    _token: str | None
    _said: bool = False

    @property
    def is_probe(self) -> bool:
        """True if the breaker was half open when the permit was given."""
        return self._token is not None

    def success(self) -> None:
        """The provider answered as it should."""
        if self._token is None and self._cell.value is CLOSED:
            self._said = True  # nothing to reset: a healthy provider costs nothing
        else:
            self._say("success")

    def failure(self) -> None:
        """The provider failed in a way that counts against it."""
        self._say("failure")

    def neutral(self) -> None:
        """The call says nothing about the provider's health (caller's fault, 429, never sent)."""
        self._say(None)

    def __enter__(self) -> "Permit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say(None)

    def _say(self, verdict: Verdict | None) -> None:
        if not self._said:
            self._said = True
            self._breakers._hear(self._cell, verdict, self._opening_us, self._token)


class Breakers:
    """All breakers of this process. `transitions` counts (provider, from, to), for metrics.

    While `troubled` is empty every breaker is closed.
    """

    def __init__(
        self, settings: Settings, clock: Clock, redis: RedisLink, configs: Mapping[str, BreakerConfig] | None = None
    ) -> None:
        """`configs` are the thresholds of providers that have their own."""
        self.transitions: dict[tuple[str, BreakerState, BreakerState], int] = {}
        self._default = BreakerConfig.from_settings(settings)
        self._configs = dict(configs or {})
        # A probe that says nothing for longer than its first byte may take is lost: another one may go.
        self._probe_us = round(
            (settings.connect_timeout_s + max(settings.first_token_timeout_s, settings.plain_wait_s)) * US_PER_S
        )
        self._clock = clock
        self._link = redis
        self._store = BreakerStore(redis)
        self._process = secrets.token_hex(6)
        self._numbers = count(1)
        self._cells: dict[str, Cell] = {}
        self.troubled: set[Cell] = set()  # those that are not closed: hardly ever any
        self._dirty: set[Cell] = set()
        self._writer: asyncio.Task[None] | None = None
        self._unclaimed: set[asyncio.Future[bool | Breaker]] = set()
        self._epoch = 0
        self._listeners: list[Transition] = []
        redis.on_state(self._on_link)

    def on_transition(self, listener: Transition) -> None:
        """Calls `listener(provider, from, to)` for each move made by this process; it must be quick and not raise."""
        self._listeners.append(listener)

    def configure(self, provider: str, config: BreakerConfig) -> None:
        """Gives a provider thresholds of its own, from now on."""
        self._configs[provider] = config
        if provider in self._cells:
            self._cells[provider].config = config

    def at_once(self, provider: str) -> Permit | None:
        """Leave to call the provider if its breaker is CLOSED; else None, and `borrow` must be asked."""
        cell = self._cells.get(provider) or self._cell(provider)
        return Permit(self, cell, 0, None) if cell.value.state is BreakerState.CLOSED else None

    async def borrow(self, provider: str) -> Permit | None:
        """Leave to call the provider; None while it is OPEN, or HALF_OPEN with all probe places taken.

        Asks Redis only for a probe, at most for the link's short timeout.
        """
        cell = self._cells.get(provider) or self._cell(provider)
        for _ in range(3):
            now_us = self._clock.now_us()
            breaker = at(cell.value, cell.config, now_us)
            if breaker.state is BreakerState.OPEN:
                return None
            if breaker.state is BreakerState.CLOSED:
                return Permit(self, cell, 0, None)
            token = await self._place(cell, breaker.opened_at_us, now_us)
            if token is not None:
                return Permit(self, cell, breaker.opened_at_us, token) if token else None
        return None

    def state(self, provider: str) -> BreakerState:
        """The state now; CLOSED for a provider never seen."""
        cell = self._cells.get(provider)
        if cell is None or cell.value.state is BreakerState.CLOSED:
            return BreakerState.CLOSED
        return at(cell.value, cell.config, self._clock.now_us()).state

    def states(self) -> dict[str, BreakerState]:
        """The state of every provider seen, for the gauge."""
        return {provider: self.state(provider) for provider in sorted(self._cells)}

    def snapshot(self, provider: str) -> dict[str, Any]:
        """One breaker for people: state, counters, times as ISO 8601, thresholds."""
        cell = self._cells.get(provider)
        config = self._configs.get(provider, self._default)
        breaker = CLOSED if cell is None else at(cell.value, config, self._clock.now_us())
        opened_at_us = breaker.opened_at_us or None
        return {
            "provider": provider,
            "state": breaker.state.value,
            "failure_count": breaker.failure_count,
            "success_count": breaker.success_count,
            "opened_at": iso(opened_at_us),
            "next_probe_at": iso(opened_at_us + config.cooldown_us) if opened_at_us else None,
            "config": asdict(config),
        }

    def snapshots(self) -> list[dict[str, Any]]:
        """`snapshot` of every provider seen, by name."""
        return [self.snapshot(provider) for provider in sorted(self._cells)]

    async def reset(self, provider: str) -> dict[str, Any]:
        """Forces CLOSED, in all processes; returns the snapshot. Safe to repeat."""
        await self._reset(provider)
        return self.snapshot(provider)

    async def reset_all(self) -> list[dict[str, Any]]:
        """Forces CLOSED for every provider that any process has seen; returns the snapshots."""
        await self._reset(None)
        return self.snapshots()

    async def tick(self) -> None:
        """Refreshes the mirror from Redis in one trip and lets time pass, so that moves by time alone are made too."""
        await self._refresh()
        now_us = self._clock.now_us()
        for cell in self._cells.values():
            if at(cell.value, cell.config, now_us) != cell.value or (cell.rejoin and self._link.state == "up"):
                self._apply(cell, [])

    async def run(self) -> None:
        """Ticks until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.tick()

    async def flush(self) -> None:
        """Returns when everything said so far is written (or Redis is known to be away)."""
        while self._writer is not None and not self._writer.done():
            await asyncio.shield(self._writer)

    def _cell(self, provider: str) -> Cell:
        cell = self._cells[provider] = Cell(provider, self._configs.get(provider, self._default), self.troubled)
        return cell

    async def _place(self, cell: Cell, opened_at_us: int, now_us: int) -> str | None:
        """The token of a probe place, "" if none is free, None if the breaker has moved on: look at it again."""
        if cell in self._dirty:
            await self.flush()
            return None
        cell.drop_probes(opened_at_us, now_us)
        if len(cell.probes) >= cell.config.half_open_concurrency:
            return ""
        token = f"{self._process}:{next(self._numbers)}"
        until_us = now_us + self._probe_us
        # Taken here first: two calls of this process must not both wait for the answer and then both pass.
        cell.probes[token] = (opened_at_us, until_us)
        if self._link.state != "up":
            return token
        places = cell.config.half_open_concurrency
        trip = asyncio.ensure_future(
            self._store.take_place(cell.provider, opened_at_us, token, now_us=now_us, until_us=until_us, places=places)
        )
        try:
            answer = await asyncio.shield(trip)
        except RedisAway:
            return token
        except asyncio.CancelledError:
            # Freed after the answer only: on another connection it could overtake the taking.
            self._unclaimed.add(trip)
            trip.add_done_callback(lambda done: self._drop_unclaimed(cell, opened_at_us, token, done))
            raise
        if answer is True:
            return token
        cell.probes.pop(token, None)
        if answer is False:
            return ""
        if cell not in self._dirty:
            cell.settle(answer, now_us)
        return None

    def _drop_unclaimed(
        self, cell: Cell, opened_at_us: int, token: str, trip: "asyncio.Future[bool | Breaker]"
    ) -> None:
        self._unclaimed.discard(trip)
        if not trip.cancelled():
            trip.exception()  # looked at, so that an outage is not reported as forgotten
        self._hear(cell, None, opened_at_us, token)

    def _hear(self, cell: Cell, verdict: Verdict | None, opening_us: int, token: str | None) -> None:
        """Takes a permit back: the mirror moves at once, Redis in the background while the link is up."""
        if token:
            cell.probes.pop(token, None)
            cell.freed.append(token)
        elif verdict is None or opening_us != cell.value.opened_at_us:
            return
        self._apply(cell, [] if verdict is None else [Event(verdict, opening_us, self._clock.now_us())])

    def _apply(self, cell: Cell, events: list[Event]) -> None:
        now_us = self._clock.now_us()
        if self._link.state != "up":
            self._decide_alone(cell, cell.events + events, now_us)
            return
        cell.show(moved(cell.value, cell.config, events, now_us)[0])
        cell.events += events
        self._dirty.add(cell)
        self._wake_writer()

    def _decide_alone(self, cell: Cell, events: list[Event], now_us: int) -> None:
        breaker, moves = moved(cell.shared, cell.config, events, now_us)
        cell.reset_us = max([cell.reset_us, *(event.at_us for event in events if event.kind == "reset")])
        # A new list: a write that is still under way sees by it that its events were decided without it.
        cell.events, cell.freed = [], []
        cell.settle(breaker, now_us)
        self._tell(cell.provider, moves)

    def _wake_writer(self) -> None:
        if self._dirty and (self._writer is None or self._writer.done()):
            self._writer = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        while self._dirty:
            cell = next(iter(self._dirty))
            try:
                await self._write(cell)
            except RedisAway:
                # What stands in Redis is not ours until the next write: until then the mirror is not overwritten by it.
                cell.rejoin = True
                self._decide_alone(cell, cell.events, self._clock.now_us())
            if not cell.events:
                self._dirty.discard(cell)

    async def _write(self, cell: Cell) -> None:
        """Writes what one cell has heard by compare-and-swap. Raises RedisAway."""
        source, events, freed = cell.events, cell.events[:], cell.freed[:]
        epoch, rejoin = self._epoch, cell.rejoin
        resets_us = [cell.reset_us, *(event.at_us for event in events if event.kind == "reset")]
        if any(resets_us):
            await self._store.mark_reset(cell.provider, max(resets_us), cooldown_s=cell.config.cooldown_s)
        expected, reset_us = cell.shared, 0
        if rejoin:
            expected, reset_us = await self._store.read_with_reset(cell.provider)
        while True:
            now_us = self._clock.now_us()
            base = cell.rejoined(expected, reset_us, now_us) if rejoin else expected
            new, moves = moved(base, cell.config, events, now_us)
            if new == expected and not freed:
                break
            found = await self._store.swap(cell.provider, expected, new, freed, cooldown_s=cell.config.cooldown_s)
            if found == expected:
                break
            expected = found  # somebody else made progress: the same events again, from where the breaker is now
        if cell.events is not source:
            return
        if self._epoch == epoch:
            cell.rejoin, cell.reset_us = False, 0
        cell.events = cell.events[len(events) :]
        cell.freed = cell.freed[len(freed) :]
        cell.settle(new, now_us)
        cell.show(moved(new, cell.config, cell.events, now_us)[0])
        self._tell(cell.provider, moves)

    async def _refresh(self) -> None:
        if self._link.state != "up":
            return
        before = {cell: cell.shared for cell in self._cells.values()}
        try:
            found = await self._store.read(list(self._cells))
        except RedisAway:
            return
        now_us = self._clock.now_us()
        for provider, breaker in found.items():
            cell = self._cells.get(provider) or self._cell(provider)
            if cell in self._dirty or cell.rejoin or cell.shared != before.get(cell, CLOSED):
                continue
            kept_us = keep_s(cell.config.cooldown_s) * US_PER_S
            if breaker is None and cell.shared is not CLOSED and now_us - cell.changed_us < kept_us:
                cell.rejoin = True  # too early to have expired: the server has lost it
            else:
                cell.settle(breaker or CLOSED, now_us)

    async def _reset(self, provider: str | None) -> None:
        await self._refresh()
        event = Event("reset", 0, self._clock.now_us())
        for cell in list(self._cells.values()):
            if provider is None or cell.provider == provider:
                self._apply(cell, [event])
        await self.flush()

    def _on_link(self, state: LinkState) -> None:
        self._epoch += 1
        if state == "up":
            for cell in self._cells.values():
                cell.rejoin = True
                self._dirty.add(cell)
            self._wake_writer()

    def _tell(self, provider: str, moves: list[Move]) -> None:
        for old, new in moves:
            key = (provider, old, new)
            self.transitions[key] = self.transitions.get(key, 0) + 1
            say = log.warning if new is BreakerState.OPEN else log.info
            say("breaker_moved", provider=provider, old=old.value, new=new.value)
            for listener in self._listeners:
                listener(provider, old, new)
