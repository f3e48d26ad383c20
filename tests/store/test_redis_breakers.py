"""Breakers shared by several processes through a real Redis, which goes and comes back in the middle."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gatewayz.infra.clock import ManualClock
from gatewayz.infra.redis import RedisLink
from gatewayz.routing.breakers import BreakerConfig, Breakers, BreakerState, Permit
from gatewayz.settings import Settings
from tests.servers import ServerHandle, start_redis

_numbers = count(1)
OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED


@dataclass
class Fleet:
    """Several processes on one Redis, with one clock."""

    url: str
    server: ServerHandle
    clock: ManualClock = field(default_factory=ManualClock)
    all: list[Breakers] = field(default_factory=list)
    links: list[RedisLink] = field(default_factory=list)

    async def grow(
        self, processes: int, configs: dict[str, BreakerConfig] | None = None, timeout_s: float = 2.0
    ) -> "Fleet":
        """By default the timeout is generous, so that a busy machine does not look like an outage."""
        for _ in range(processes):
            link = RedisLink(self.url, self.clock, timeout_s=timeout_s)
            self.links.append(link)
            self.all.append(Breakers(Settings(), self.clock, link, configs))
            assert await link.start() == "up"
        return self

    async def settle(self) -> None:
        """Everything said is written, and every mirror is fresh."""
        for breakers in self.all:
            await breakers.flush()
        for breakers in self.all:
            await breakers.tick()
            await breakers.flush()
        for breakers in self.all:
            await breakers.tick()

    def states(self, provider: str) -> set[BreakerState]:
        return {breakers.state(provider) for breakers in self.all}

    def moves(self, provider: str) -> list[tuple[str, str, int]]:
        """What all processes counted together."""
        total: dict[tuple[str, str], int] = {}
        for breakers in self.all:
            for (name, old, new), times in breakers.transitions.items():
                if name == provider:
                    total[old.value, new.value] = total.get((old.value, new.value), 0) + times
        return sorted((old, new, times) for (old, new), times in total.items())

    async def lose_redis(self) -> None:
        self.server.kill()
        for link in self.links:
            await link.start()
        assert {link.state for link in self.links} == {"down"}

    async def regain_redis(self) -> None:
        self.server.start()
        for link in self.links:
            assert await link.start() == "up"
        await self.settle()

    async def close(self) -> None:
        for link in self.links:
            await link.close()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, ServerHandle]]:
    url, handle = start_redis(own=True)
    yield url, handle
    handle.close()


@pytest.fixture
async def fleet(server: tuple[str, ServerHandle]) -> AsyncIterator[Fleet]:
    server[1].start()
    fleet = await Fleet(*server).grow(3)
    yield fleet
    await fleet.close()


@pytest.fixture
def provider() -> str:
    return f"provider-{next(_numbers)}"


async def permit(breakers: Breakers, provider: str) -> Permit:
    found = await breakers.borrow(provider)
    assert found is not None
    return found


async def fail(breakers: Breakers, provider: str, times: int) -> None:
    for _ in range(times):
        (await permit(breakers, provider)).failure()


@pytest.mark.ac("AC-2.5.2", "AC-2.5.3", "AC-2.5.10")
async def test_failures_spread_over_processes_open_it_in_all_and_count_as_one_move(fleet: Fleet, provider: str) -> None:
    for number in range(5):
        await fail(fleet.all[number % 3], provider, 1)
        await fleet.settle()
        assert fleet.states(provider) == {OPEN if number == 4 else CLOSED}
    for breakers in fleet.all:
        assert await breakers.borrow(provider) is None
    assert fleet.moves(provider) == [("CLOSED", "OPEN", 1)]
    newcomer = (await fleet.grow(1)).all[-1]
    await newcomer.tick()
    assert newcomer.state(provider) is OPEN


async def test_the_keys_are_those_that_operators_know(fleet: Fleet, provider: str) -> None:
    await fail(fleet.all[0], provider, 5)
    await fleet.settle()
    base = f"circuit_breaker:{provider}"
    names = [f"{base}:{name}" for name in ("state", "failure_count", "success_count", "opened_at")]
    found = await fleet.links[0].call("MGET", *names)
    assert found[:3] == [b"OPEN", b"5", b"0"]
    assert float(found[3]) == fleet.clock.now_us() / 1e6
    for name in names:
        assert 3590 <= await fleet.links[0].call("TTL", name) <= 3600


async def test_a_success_anywhere_starts_the_row_again(fleet: Fleet, provider: str) -> None:
    one, two, _ = fleet.all
    await fail(one, provider, 4)
    await fleet.settle()
    (await permit(two, provider)).success()
    await fleet.settle()
    await fail(one, provider, 4)
    await fleet.settle()
    assert fleet.states(provider) == {CLOSED}
    assert {breakers.snapshot(provider)["failure_count"] for breakers in fleet.all} == {4}


async def test_many_failures_at_the_same_moment_are_one_opening(fleet: Fleet, provider: str) -> None:
    permits = [await permit(breakers, provider) for breakers in fleet.all for _ in range(20)]
    for call in permits:
        call.failure()
    await fleet.settle()
    assert fleet.states(provider) == {OPEN}
    assert fleet.moves(provider) == [("CLOSED", "OPEN", 1)]


async def test_a_process_with_an_old_picture_adds_to_what_others_counted(fleet: Fleet, provider: str) -> None:
    one, two, three = fleet.all
    await fail(three, provider, 1)
    await fleet.settle()
    await fail(one, provider, 2)
    await one.flush()
    await fail(two, provider, 1)
    await two.flush()
    assert two.snapshot(provider)["failure_count"] == 4
    await fail(one, provider, 1)
    await fleet.settle()
    assert fleet.states(provider) == {OPEN}


async def test_a_healthy_provider_costs_no_trip(fleet: Fleet, provider: str) -> None:
    before = fleet.links[0].commands
    for _ in range(100):
        (await permit(fleet.all[0], provider)).success()
        (await permit(fleet.all[0], provider)).neutral()
    await fleet.all[0].flush()
    assert fleet.links[0].commands == before


@pytest.mark.ac("AC-2.5.4", "AC-2.5.5")
async def test_probes_are_one_at_a_time_over_all_processes(fleet: Fleet, provider: str) -> None:
    await fail(fleet.all[0], provider, 5)
    await fleet.settle()
    fleet.clock.advance(60)
    await fleet.settle()
    assert fleet.states(provider) == {HALF_OPEN}
    for _ in range(3):
        together = await asyncio.gather(*(breakers.borrow(provider) for breakers in fleet.all * 3))
        probes = [probe for probe in together if probe is not None]
        assert len(probes) == 1
        probes[0].success()
        await fleet.settle()
    assert fleet.states(provider) == {CLOSED}
    assert fleet.moves(provider) == [("CLOSED", "OPEN", 1), ("HALF_OPEN", "CLOSED", 1), ("OPEN", "HALF_OPEN", 1)]


@pytest.mark.ac("AC-2.5.6")
async def test_a_failed_probe_opens_it_again_for_all(fleet: Fleet, provider: str) -> None:
    await fail(fleet.all[0], provider, 5)
    await fleet.settle()
    fleet.clock.advance(60)
    (await permit(fleet.all[1], provider)).failure()
    await fleet.settle()
    assert fleet.states(provider) == {OPEN}
    fleet.clock.advance(59)
    assert fleet.states(provider) == {OPEN}


async def test_places_of_lost_and_cancelled_probes_become_free(fleet: Fleet, provider: str) -> None:
    one, two, _ = fleet.all
    await fail(one, provider, 5)
    await fleet.settle()
    fleet.clock.advance(60)
    asking = asyncio.create_task(one.borrow(provider))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await fleet.settle()
    (await permit(two, provider)).neutral()
    await fleet.settle()
    lost = await one.borrow(provider)
    assert lost is not None
    assert await two.borrow(provider) is None
    fleet.clock.advance(305)
    assert await two.borrow(provider) is not None


async def test_a_lost_probe_of_an_earlier_opening_holds_no_place(fleet: Fleet, provider: str) -> None:
    await fail(fleet.all[0], provider, 5)
    await fleet.settle()
    fleet.clock.advance(60)
    assert (await permit(fleet.all[0], provider)).is_probe
    await fleet.all[1].reset(provider)
    await fleet.settle()
    await fail(fleet.all[1], provider, 5)
    await fleet.settle()
    fleet.clock.advance(60)
    assert (await permit(fleet.all[2], provider)).is_probe


async def test_a_process_that_slept_through_a_closing_gets_a_permit(fleet: Fleet, provider: str) -> None:
    one, two, _ = fleet.all
    await fail(one, provider, 5)
    await fleet.settle()
    fleet.clock.advance(60)
    for _ in range(3):
        (await permit(one, provider)).success()
        await one.flush()
    assert two.state(provider) is HALF_OPEN  # has not looked since
    assert not (await permit(two, provider)).is_probe


@pytest.mark.ac("AC-2.5.7", "AC-2.5.8")
async def test_resets_reach_all_processes(fleet: Fleet, provider: str) -> None:
    other = provider + "-other"
    await fail(fleet.all[0], provider, 5)
    await fail(fleet.all[1], other, 5)
    await fleet.settle()
    assert (await fleet.all[2].reset(provider))["state"] == "CLOSED"
    await fleet.settle()
    assert (fleet.states(provider), fleet.states(other)) == ({CLOSED}, {OPEN})
    newcomer = (await fleet.grow(1)).all[-1]
    assert other in {shown["provider"] for shown in await newcomer.reset_all()}
    await fleet.settle()
    assert fleet.states(other) == {CLOSED}


async def test_an_open_breaker_survives_a_server_that_lost_everything(fleet: Fleet, provider: str) -> None:
    await fail(fleet.all[0], provider, 5)
    await fleet.settle()
    await fleet.links[0].call("FLUSHALL")
    await fleet.settle()
    assert fleet.states(provider) == {OPEN}
    assert await fleet.links[0].call("GET", f"circuit_breaker:{provider}:state") == b"OPEN"
    assert fleet.moves(provider) == [("CLOSED", "OPEN", 1)]


@pytest.mark.parametrize("damage", ["closed", "", "{}"])
async def test_a_damaged_entry_is_written_anew(fleet: Fleet, provider: str, damage: str) -> None:
    await fail(fleet.all[0], provider, 5)
    await fleet.settle()
    await fleet.links[0].call("SET", f"circuit_breaker:{provider}:state", damage)
    await fleet.settle()
    assert fleet.states(provider) == {OPEN}
    assert await fleet.links[0].call("GET", f"circuit_breaker:{provider}:state") == b"OPEN"


async def test_what_nobody_touched_for_an_hour_expires(fleet: Fleet, provider: str) -> None:
    await fail(fleet.all[0], provider, 5)
    await fleet.settle()
    fleet.clock.advance(3601)
    await fleet.links[0].call("FLUSHALL")  # as the server's own clock would have done
    await fleet.settle()
    assert fleet.states(provider) == {CLOSED}


async def test_an_outage_is_decided_in_memory_and_the_stricter_state_wins_on_return(
    fleet: Fleet, provider: str
) -> None:
    one, two, three = fleet.all
    await fail(one, provider, 3)
    await fleet.settle()
    await fleet.lose_redis()
    await fail(one, provider, 2)
    (await permit(two, provider)).success()
    assert [breakers.state(provider) for breakers in fleet.all] == [OPEN, CLOSED, CLOSED]
    await fleet.regain_redis()
    assert fleet.states(provider) == {OPEN}
    assert fleet.moves(provider) == [("CLOSED", "OPEN", 1)]
    await fleet.lose_redis()
    fleet.clock.advance(60)
    probe = await permit(three, provider)
    assert probe.is_probe
    assert await three.borrow(provider) is None
    probe.success()
    await fleet.regain_redis()
    assert fleet.states(provider) == {HALF_OPEN}


async def test_a_reset_made_during_an_outage_wins_on_return(fleet: Fleet, provider: str) -> None:
    one, two, _ = fleet.all
    await fail(one, provider, 5)
    await fleet.settle()
    await fleet.lose_redis()
    fleet.clock.advance(1)
    await one.reset(provider)
    assert one.state(provider) is CLOSED
    assert two.state(provider) is OPEN  # nobody could tell it
    await fleet.regain_redis()
    assert fleet.states(provider) == {CLOSED}
    await fleet.lose_redis()
    await fail(two, provider, 5)
    await fleet.regain_redis()
    assert fleet.states(provider) == {OPEN}  # opened after the reset


async def test_words_said_while_the_server_hangs_are_not_lost(fleet: Fleet, provider: str) -> None:
    one, two, _ = fleet.all
    await fail(one, provider, 3)
    await fleet.settle()
    fleet.server.pause()
    await fail(one, provider, 1)
    await asyncio.sleep(0.01)  # a write is under way
    await fail(one, provider, 1)
    assert one.state(provider) is OPEN  # the mirror does not wait
    fleet.server.resume()
    await fleet.settle()
    assert fleet.states(provider) == {OPEN}
    assert two.snapshot(provider)["failure_count"] == 5
    assert fleet.moves(provider) == [("CLOSED", "OPEN", 1)]


async def test_what_was_decided_alone_is_not_overwritten_by_a_server_that_only_hung(
    server: tuple[str, ServerHandle], provider: str
) -> None:
    fleet = await Fleet(*server).grow(2, timeout_s=0.1)
    await fail(fleet.all[0], provider, 3)
    await fleet.settle()
    server[1].pause()
    await fail(fleet.all[0], provider, 2)
    await fleet.all[0].flush()
    assert fleet.links[0].state == "down"
    assert fleet.all[0].state(provider) is OPEN
    server[1].resume()
    await fleet.regain_redis()
    assert fleet.states(provider) == {OPEN}
    await fleet.close()


@pytest.mark.slow
async def test_a_write_that_comes_through_after_all_does_not_undo_what_was_decided_meanwhile(
    server: tuple[str, ServerHandle], provider: str
) -> None:
    """The link goes down by an older command while a younger write is under way, and that write is answered."""
    fleet = await Fleet(*server).grow(1, timeout_s=1.0)
    one = fleet.all[0]
    await fail(one, provider, 1)
    await one.flush()
    server[1].pause()
    older = asyncio.create_task(fleet.links[0].call("GET", "anything"))
    await asyncio.sleep(0.5)
    await fail(one, provider, 1)
    await asyncio.gather(older, return_exceptions=True)
    assert fleet.links[0].state == "down"
    await fail(one, provider, 2)
    server[1].resume()
    await one.flush()
    assert one.snapshot(provider)["failure_count"] == 4
    await fleet.regain_redis()
    assert one.snapshot(provider)["failure_count"] == 4
    await fleet.close()


class SharedBreaker(RuleBasedStateMachine):
    """Random verdicts in random processes against a model of one breaker; the server dies and returns."""

    def __init__(self, url: str, server: ServerHandle) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.server = server
        self.server.start()
        self.provider = f"provider-{next(_numbers)}"
        config = BreakerConfig(failures=3, cooldown_s=10, successes=2)
        self.fleet = self.runner.run(Fleet(url, server).grow(3, {self.provider: config}))
        self.up = True
        self.failures = self.successes = 0
        self.opened_at_us: int | None = None

    def teardown(self) -> None:
        self.server.start()
        self.runner.run(self.fleet.close())
        self.runner.close()

    @property
    def expected(self) -> BreakerState:
        if self.opened_at_us is None:
            return CLOSED
        return HALF_OPEN if self.fleet.clock.now_us() - self.opened_at_us >= 10_000_000 else OPEN

    @rule(process=st.integers(0, 2), works=st.booleans())
    def call(self, process: int, works: bool) -> None:
        self.runner.run(self._call(self.fleet.all[process], works))

    async def _call(self, breakers: Breakers, works: bool) -> None:
        state = breakers.state(self.provider)
        call = await breakers.borrow(self.provider)
        assert (call is None) == (state is OPEN)
        if call is not None:
            call.success() if works else call.failure()
        if self.up:
            assert state is self.expected
            self._hear(works)
            await self.fleet.settle()

    def _hear(self, works: bool) -> None:
        state = self.expected
        if state is CLOSED:
            self.failures = 0 if works else self.failures + 1
            if self.failures == 3:
                self.opened_at_us, self.failures, self.successes = self.fleet.clock.now_us(), 0, 0
        elif state is HALF_OPEN:
            self.successes += 1
            if not works:
                self.opened_at_us, self.successes = self.fleet.clock.now_us(), 0
            elif self.successes == 2:
                self.opened_at_us = None

    @rule(pause_s=st.sampled_from([1, 5, 10]))
    def time_passes(self, pause_s: int) -> None:
        self.fleet.clock.advance(pause_s)

    @rule()
    def tick(self) -> None:
        self.runner.run(self.fleet.settle())

    @precondition(lambda self: self.up)
    @rule()
    def reset(self) -> None:
        self.runner.run(self.fleet.all[0].reset(self.provider))
        self.runner.run(self.fleet.settle())
        self.failures, self.successes, self.opened_at_us = 0, 0, None

    @precondition(lambda self: self.up)
    @rule()
    def redis_dies(self) -> None:
        self.up = False
        self.runner.run(self.fleet.lose_redis())

    @precondition(lambda self: not self.up)
    @rule()
    def redis_returns(self) -> None:
        self.up = True
        strictness = [CLOSED, HALF_OPEN, OPEN]
        strictest = max(self.fleet.states(self.provider), key=strictness.index)
        self.runner.run(self.fleet.regain_redis())
        assert self.fleet.states(self.provider) == {strictest}
        shown = self.fleet.all[0].snapshot(self.provider)
        opened = self.runner.run(self.fleet.links[0].call("GET", f"circuit_breaker:{self.provider}:opened_at"))
        whole, _, fraction = (opened or b"0").decode().partition(".")
        self.opened_at_us = (int(whole) * 1_000_000 + int(fraction or 0)) or None
        self.failures = shown["failure_count"] if strictest is CLOSED else 0
        self.successes = shown["success_count"]

    @precondition(lambda self: self.up)
    @invariant()
    def every_process_sees_the_model(self) -> None:
        assert self.fleet.states(self.provider) == {self.expected}


def test_the_fleet_behaves_as_one_breaker(server: tuple[str, ServerHandle]) -> None:
    run_state_machine_as_test(
        lambda: SharedBreaker(*server),
        settings=settings(
            max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
