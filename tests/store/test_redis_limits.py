"""Limits shared by several processes through a real Redis, which goes and comes back in the middle."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gatewayz.core.errors import RateLimited
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.redis import RedisLink
from gatewayz.policy.limits import Limiter
from gatewayz.settings import Settings
from tests.servers import ServerHandle, start_redis

SETTINGS = Settings(anonymous_per_day=3)
# Every test counts on keys of its own, so that nothing has to be emptied.
_key_ids = count(1)


@dataclass
class Fleet:
    """Several processes on one Redis, with one clock."""

    url: str
    server: ServerHandle
    clock: ManualClock = field(default_factory=ManualClock)
    limiters: list[Limiter] = field(default_factory=list)
    links: list[RedisLink] = field(default_factory=list)

    async def grow(self, processes: int, timeout_s: float = 2.0) -> "Fleet":
        """By default the timeout is generous, so that a busy machine does not look like an outage."""
        for _ in range(processes):
            link = RedisLink(self.url, self.clock, timeout_s=timeout_s)
            self.links.append(link)
            self.limiters.append(Limiter(SETTINGS, self.clock, link, salt=b"salt"))
            assert await link.start() == "up"
        return self

    async def lose_redis(self) -> None:
        """The server is killed with all its data; every process has noticed."""
        self.server.kill()
        for link in self.links:
            await link.start()
        assert {link.state for link in self.links} == {"down"}

    async def regain_redis(self) -> None:
        """The server is back, empty; every process has noticed and has told what it used."""
        self.server.start()
        for link in self.links:
            assert await link.start() == "up"
        for limiter in self.limiters:
            await limiter.flush()

    async def close(self) -> None:
        for limiter in self.limiters:
            await limiter.close()
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


async def passes(limiter: Limiter, key_id: int, rpm: int, times: int = 1) -> int:
    passed = 0
    for _ in range(times):
        try:
            await limiter.admit_key(key_id, rpm)
        except RateLimited:
            continue
        passed += 1
    return passed


@pytest.mark.ac("AC-1.5.3")
async def test_a_small_limit_is_exact_over_all_processes(fleet: Fleet) -> None:
    key_id = next(_key_ids)
    everyone = [limiter.admit_key(key_id, 60) for _ in range(40) for limiter in fleet.limiters]
    answers = await asyncio.gather(*everyone, return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == 60
    assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {RateLimited}
    minute = fleet.clock.now_us() // 60_000_000
    assert await fleet.links[0].call("GET", f"rate_limit:{key_id}:{minute}") == b"60"
    assert 60 < await fleet.links[0].call("TTL", f"rate_limit:{key_id}:{minute}") <= 120
    fleet.clock.advance(60)
    assert await passes(fleet.limiters[2], key_id, 60, 61) == 60


async def test_a_large_limit_costs_few_trips_and_is_never_exceeded(fleet: Fleet) -> None:
    key_id = next(_key_ids)
    before = sum(link.commands for link in fleet.links)
    passed = [await passes(limiter, key_id, 10_000) for _ in range(3500) for limiter in fleet.limiters]
    assert 9_700 <= sum(passed) <= 10_000
    # About a hundred slices, the small ones near the end, and then one question per process that is answered no.
    assert sum(link.commands for link in fleet.links) - before < 250


async def test_nothing_is_left_over_when_one_process_alone_asks(fleet: Fleet) -> None:
    assert await passes(fleet.limiters[0], next(_key_ids), 1000, 1001) == 1000


async def test_idle_processes_give_their_slices_back(fleet: Fleet) -> None:
    key_id = next(_key_ids)
    assert await passes(fleet.limiters[0], key_id, 1000) == 1
    assert await passes(fleet.limiters[1], key_id, 1000) == 1
    for limiter in fleet.limiters[:2] * 2:  # used since the last tick, then not
        await limiter.tick()
        await limiter.flush()
    assert (await fleet.limiters[2].peek_key(key_id, 1000)).remaining == 998
    assert await passes(fleet.limiters[2], key_id, 1000, 1000) == 998


async def test_a_process_that_ends_gives_its_slice_back(fleet: Fleet) -> None:
    key_id = next(_key_ids)
    assert await passes(fleet.limiters[0], key_id, 1000) == 1
    await fleet.limiters[0].close()
    assert await passes(fleet.limiters[1], key_id, 1000, 1000) == 999


async def test_refused_requests_do_not_become_a_flood_of_trips(fleet: Fleet) -> None:
    key_id = next(_key_ids)
    assert await passes(fleet.limiters[0], key_id, 60, 60) == 60
    before = fleet.links[0].commands
    assert await passes(fleet.limiters[0], key_id, 60, 1000) == 0
    assert fleet.links[0].commands - before <= 1


async def test_peeking_sees_all_processes_and_counts_nothing(fleet: Fleet) -> None:
    key_id = next(_key_ids)
    await passes(fleet.limiters[0], key_id, 60, 20)
    await passes(fleet.limiters[1], key_id, 60, 15)
    for _ in range(2):
        assert (await fleet.limiters[2].peek_key(key_id, 60)).remaining == 25


@pytest.mark.ac("AC-1.5.12")
async def test_a_changed_limit_holds_in_all_processes(fleet: Fleet) -> None:
    key_id = next(_key_ids)
    assert await passes(fleet.limiters[0], key_id, 1000, 95) == 95  # 5 of the last slice are in hand
    assert await passes(fleet.limiters[0], key_id, 50, 5) == 0
    assert await passes(fleet.limiters[1], key_id, 50, 5) == 0
    assert await passes(fleet.limiters[0], key_id, 100, 10) == 5


async def test_a_slice_that_arrives_after_the_limit_was_lowered_is_not_used(fleet: Fleet) -> None:
    key_id, limiter = next(_key_ids), fleet.limiters[0]
    fleet.server.pause()
    given_up = asyncio.create_task(limiter.admit_key(key_id, 1000))
    await asyncio.sleep(0.01)
    under_way = asyncio.create_task(limiter.admit_key(key_id, 5))
    await asyncio.sleep(0.01)
    given_up.cancel()
    fleet.server.resume()
    assert (await under_way).remaining == 4
    assert await passes(limiter, key_id, 5, 20) == 4


@pytest.mark.ac("AC-1.5.8")
async def test_redis_stopped_and_back_neither_refuses_nor_forgets(fleet: Fleet) -> None:
    key_id = next(_key_ids)
    one, two, three = fleet.limiters
    assert await passes(one, key_id, 60, 20) == 20
    assert await passes(two, key_id, 60, 20) == 20  # heard of 20 elsewhere
    await fleet.lose_redis()
    assert await passes(two, key_id, 60, 40) == 20  # goes on with what it knows
    assert await passes(one, key_id, 60, 5) == 5
    assert await passes(three, key_id, 60, 5) == 5  # knows of nothing, refuses nobody
    await fleet.regain_redis()
    assert (await three.peek_key(key_id, 60)).remaining == 0
    for limiter in fleet.limiters:
        assert await passes(limiter, key_id, 60, 3) == 0
    fleet.clock.advance(60)
    everyone = [limiter.admit_key(key_id, 60) for _ in range(30) for limiter in fleet.limiters]
    answers = await asyncio.gather(*everyone, return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == 60


@pytest.mark.ac("AC-1.5.8")
async def test_redis_killed_while_requests_wait_for_it_refuses_nobody(fleet: Fleet) -> None:
    fleet.server.pause()
    waiting = [asyncio.create_task(fleet.limiters[0].admit_key(next(_key_ids), 60)) for _ in range(50)]
    await asyncio.sleep(0.02)
    fleet.server.kill()
    states = await asyncio.gather(*waiting)
    assert [state.remaining for state in states] == [59] * 50
    fleet.server.start()


async def test_answers_lost_on_the_way_are_not_lost_for_the_budget(server: tuple[str, ServerHandle]) -> None:
    """The server hangs, executes what was sent when it wakes, and keeps its data."""
    server[1].start()
    fleet = await Fleet(*server).grow(2, timeout_s=0.1)
    key_id = next(_key_ids)
    assert await passes(fleet.limiters[0], key_id, 60, 10) == 10
    fleet.server.pause()
    assert await passes(fleet.limiters[0], key_id, 60, 10) == 10  # the first waits in vain, then it goes alone
    fleet.server.resume()
    await asyncio.sleep(0.1)
    await fleet.regain_redis()
    assert (await fleet.limiters[1].peek_key(key_id, 60)).remaining == 40
    assert await passes(fleet.limiters[1], key_id, 60, 60) == 40
    await fleet.close()


@pytest.mark.parametrize("damage", [("LPUSH", "no counter"), ("SET", "no number")])
async def test_a_damaged_counter_begins_anew_and_fails_nobody(fleet: Fleet, damage: tuple[str, str]) -> None:
    bad, good = next(_key_ids), next(_key_ids)
    minute = fleet.clock.now_us() // 60_000_000
    await fleet.links[0].call(damage[0], f"rate_limit:{bad}:{minute}", damage[1])
    together = [passes(limiter, key_id, 60, 40) for limiter in fleet.limiters for key_id in (bad, good)]
    passed = await asyncio.gather(*together)
    assert (sum(passed[::2]), sum(passed[1::2])) == (60, 60)
    assert [link.failures for link in fleet.links] == [0, 0, 0]


@pytest.mark.ac("AC-1.5.7")
async def test_anonymous_callers_have_one_day_over_all_processes(fleet: Fleet) -> None:
    ip = f"198.51.100.{next(_key_ids)}"
    for limiter in fleet.limiters:
        await limiter.admit_anonymous(ip)
    for limiter in fleet.limiters:
        with pytest.raises(RateLimited):
            await limiter.admit_anonymous(ip)
    keys = await fleet.links[0].call("KEYS", "*")
    assert not [key for key in keys if ip.encode() in key]


async def test_layer_one_is_never_shared(fleet: Fleet) -> None:
    before = set(await fleet.links[0].call("KEYS", "*"))
    for limiter in fleet.limiters:
        for left in range(299, -1, -1):
            assert (await limiter.admit_ip("203.0.113.9", "me")).remaining == left
        await limiter.tick()
    assert not [key for key in set(await fleet.links[0].call("KEYS", "*")) - before if not key.startswith(b"velocity")]


async def try_named(limiter: Limiter, subject: str) -> int:
    try:
        await limiter.admit_named("sign_in", subject, 10, 900)
    except RateLimited as refused:
        return int(refused.headers["Retry-After"])
    return 0


async def test_named_limits_are_exact_over_all_processes_and_through_an_outage(fleet: Fleet) -> None:
    subject = f"198.51.100.{next(_key_ids)}"
    one, two, three = fleet.limiters
    for limiter in (one, two, three, one):
        assert await try_named(limiter, subject) == 0
        fleet.clock.advance(1)
    await fleet.lose_redis()
    for limiter in (two, two, three):
        assert await try_named(limiter, subject) == 0
    await fleet.regain_redis()
    # One of the first four was last heard by process one alone: it tells it again, since the server lost everything.
    for limiter in (one, two, three):
        assert await try_named(limiter, subject) == 0
    assert await try_named(one, subject) == 896
    assert await try_named(three, subject) == 896
    fleet.clock.advance(896)
    assert await try_named(two, subject) == 0
    assert await try_named(two, subject) == 1
    assert not [key for key in await fleet.links[0].call("KEYS", "*") if subject.encode() in key]


@pytest.mark.ac("AC-1.5.9", "AC-1.5.10")
async def test_failures_spread_over_processes_turn_velocity_mode_on_in_all(fleet: Fleet) -> None:
    one, two, three = (limiter.velocity for limiter in fleet.limiters)
    for _ in range(40):
        one.observe(200)
        two.observe(503)
        three.observe(200)
    assert not (one.active or two.active or three.active)
    for _ in range(2):
        for limiter in fleet.limiters:
            await limiter.tick()
    assert [velocity.status().requests for velocity in (one, two, three)] == [120] * 3
    assert [velocity.status().failures for velocity in (one, two, three)] == [40] * 3
    assert one.active and two.active and three.active
    newcomer = (await fleet.grow(1)).limiters[-1]
    fleet.clock.advance(100)  # the failures have left the window, the mode has not ended
    for limiter in fleet.limiters:
        await limiter.tick()
    assert newcomer.velocity.active
    assert newcomer.velocity.status().until_us == one.status().until_us
    commands = fleet.links[0].commands
    for _ in range(500):
        one.observe(200)
    assert fleet.links[0].commands == commands
    fleet.clock.advance(60 + 80)
    for limiter in fleet.limiters:
        await limiter.tick()
        assert not limiter.velocity.active


async def test_velocity_counts_said_twice_count_once(fleet: Fleet) -> None:
    one, two, _ = fleet.limiters
    fleet.clock.advance(1000)
    for _ in range(5):
        for _ in range(10):
            one.velocity.observe(503)
        await one.tick()
        await two.tick()
    assert two.velocity.status().requests == 50
    await fleet.lose_redis()
    await fleet.regain_redis()
    for _ in range(3):
        await one.tick()
        await two.tick()
    assert two.velocity.status().requests == 50


class SharedBudget(RuleBasedStateMachine):
    """Random requests from random processes while Redis dies, hangs and returns; limits small and large."""

    def __init__(self, url: str, server: ServerHandle) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.server = server
        self.server.start()
        self.fleet = self.runner.run(Fleet(url, server).grow(3))
        self.admitted = 0
        self.up = True
        self.outage_in_this_minute = False

    def teardown(self) -> None:
        self.server.start()
        self.runner.run(self.fleet.close())
        self.runner.close()

    @initialize(limit=st.sampled_from([5, 30, 250, 1000]))
    def choose(self, limit: int) -> None:
        self.limit, self.key_id = limit, next(_key_ids)

    @rule(process=st.integers(0, 2), share=st.floats(0.01, 0.5), together=st.booleans())
    def request(self, process: int, share: float, together: bool) -> None:
        times = max(1, int(self.limit * share))
        limiter = self.fleet.limiters[process]

        async def ask() -> int:
            if not together:
                return await passes(limiter, self.key_id, self.limit, times)
            return sum(await asyncio.gather(*(passes(limiter, self.key_id, self.limit) for _ in range(times))))

        passed = self.runner.run(ask())
        left = self.limit - self.admitted
        self.admitted += passed
        if not self.outage_in_this_minute:
            assert passed <= left
            if self.limit < 200:
                assert passed == min(times, left)
            else:
                # What two other processes may hold without using it.
                assert passed >= min(times, left) - 2 * (self.limit // 100)
        elif self.up and left <= 0:
            assert passed == 0

    @rule(process=st.integers(0, 2))
    def tick(self, process: int) -> None:
        self.runner.run(self.fleet.limiters[process].tick())

    @rule(pause_s=st.sampled_from([1, 30, 60]))
    def time_passes(self, pause_s: int) -> None:
        minute = self.fleet.clock.now_us() // 60_000_000
        self.fleet.clock.advance(pause_s)
        if self.fleet.clock.now_us() // 60_000_000 != minute:
            self.admitted, self.outage_in_this_minute = 0, not self.up

    @precondition(lambda self: self.up)
    @rule()
    def redis_dies(self) -> None:
        self.up, self.outage_in_this_minute = False, True
        self.runner.run(self.fleet.lose_redis())

    @precondition(lambda self: not self.up)
    @rule()
    def redis_returns(self) -> None:
        self.up = True
        self.runner.run(self.fleet.regain_redis())

    @invariant()
    def never_more_than_the_limit_per_process(self) -> None:
        if hasattr(self, "limit"):
            assert self.admitted <= self.limit * (3 if self.outage_in_this_minute else 1)

    @precondition(lambda self: self.up and hasattr(self, "limit"))
    @invariant()
    def redis_knows_at_least_what_was_admitted(self) -> None:
        minute = self.fleet.clock.now_us() // 60_000_000
        told = self.runner.run(self.fleet.links[0].call("GET", f"rate_limit:{self.key_id}:{minute}"))
        assert int(told or 0) >= self.admitted


def test_the_sum_over_processes_never_exceeds_the_limit(server: tuple[str, ServerHandle]) -> None:
    run_state_machine_as_test(
        lambda: SharedBudget(*server),
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.slow
async def test_the_background_loop_lets_processes_hear_of_each_other(fleet: Fleet) -> None:
    fleet.clock.advance(2000)
    loops = [asyncio.create_task(limiter.run()) for limiter in fleet.limiters[:2]]
    for _ in range(100):
        fleet.limiters[0].velocity.observe(503)
    async with asyncio.timeout(10):
        while not fleet.limiters[1].velocity.active:
            await asyncio.sleep(0.05)
    for loop in loops:
        loop.cancel()
