"""Breakers at work in one process without Redis: permits, probes, resets, what operators see."""

import asyncio

import pytest

from gatewayz.infra.clock import ManualClock, iso
from gatewayz.infra.redis import RedisLink
from gatewayz.routing.breakers import BreakerConfig, Breakers, BreakerState, Permit
from gatewayz.settings import Settings


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breakers(clock: ManualClock) -> Breakers:
    return Breakers(Settings(), clock, RedisLink(None, clock))


async def permit(breakers: Breakers, provider: str = "openai") -> Permit:
    found = await breakers.borrow(provider)
    assert found is not None
    return found


async def fail(breakers: Breakers, times: int, provider: str = "openai") -> None:
    for _ in range(times):
        (await permit(breakers, provider)).failure()


@pytest.mark.ac("AC-2.5.1")
async def test_a_provider_never_seen_is_closed_and_looking_does_not_remember_it(breakers: Breakers) -> None:
    shown = breakers.snapshot("somebody")
    assert shown == {
        "provider": "somebody",
        "state": "CLOSED",
        "failure_count": 0,
        "success_count": 0,
        "opened_at": None,
        "next_probe_at": None,
        "config": {"failures": 5, "cooldown_s": 60.0, "successes": 3, "half_open_concurrency": 1},
    }
    assert breakers.state("somebody") is BreakerState.CLOSED
    assert (await breakers.reset("somebody"))["state"] == "CLOSED"
    assert breakers.snapshots() == []


@pytest.mark.ac("AC-2.5.3")
async def test_while_open_nobody_gets_a_permit(breakers: Breakers, clock: ManualClock) -> None:
    await fail(breakers, 5)
    assert breakers.state("openai") is BreakerState.OPEN
    assert await breakers.borrow("openai") is None
    assert await breakers.borrow("anthropic") is not None
    clock.advance(59.9)
    assert await breakers.borrow("openai") is None


async def test_only_a_closed_breaker_gives_a_permit_at_once(breakers: Breakers, clock: ManualClock) -> None:
    await fail(breakers, 4)
    last = breakers.at_once("openai")
    assert last is not None
    assert not last.is_probe
    last.failure()
    assert breakers.at_once("openai") is None
    clock.advance(60)
    assert breakers.state("openai") is BreakerState.HALF_OPEN
    assert breakers.at_once("openai") is None, "a probe is to be borrowed"
    probe = await breakers.borrow("openai")
    assert probe is not None
    assert probe.is_probe
    assert breakers.at_once("anthropic") is not None


@pytest.mark.ac("AC-2.5.4")
async def test_after_the_cool_down_it_shows_half_open_without_traffic(breakers: Breakers, clock: ManualClock) -> None:
    await fail(breakers, 5)
    opened_at_us = clock.now_us()
    shown = breakers.snapshot("openai")
    assert (shown["state"], shown["failure_count"]) == ("OPEN", 5)
    assert shown["opened_at"] == iso(opened_at_us)
    assert shown["next_probe_at"] == iso(opened_at_us + 60_000_000)
    clock.advance(60)
    assert breakers.snapshot("openai")["state"] == "HALF_OPEN"
    assert breakers.states() == {"openai": BreakerState.HALF_OPEN}
    assert breakers.transitions == {("openai", BreakerState.CLOSED, BreakerState.OPEN): 1}
    await breakers.tick()
    await breakers.tick()
    assert breakers.transitions[("openai", BreakerState.OPEN, BreakerState.HALF_OPEN)] == 1


@pytest.mark.ac("AC-2.5.5", "AC-2.5.6")
async def test_probes_one_at_a_time_lead_back_to_closed(breakers: Breakers, clock: ManualClock) -> None:
    await fail(breakers, 5)
    clock.advance(60)
    probe = await permit(breakers)
    assert probe.is_probe
    assert await breakers.borrow("openai") is None
    probe.success()
    probe = await permit(breakers)
    probe.failure()
    assert breakers.state("openai") is BreakerState.OPEN
    clock.advance(60)
    for _ in range(3):
        assert breakers.state("openai") is BreakerState.HALF_OPEN
        (await permit(breakers)).success()
    assert breakers.state("openai") is BreakerState.CLOSED
    assert not (await permit(breakers)).is_probe


async def test_a_neutral_probe_frees_its_place_and_counts_nothing(breakers: Breakers, clock: ManualClock) -> None:
    await fail(breakers, 5)
    clock.advance(60)
    (await permit(breakers)).success()
    (await permit(breakers)).neutral()
    with await permit(breakers):
        pass
    with pytest.raises(KeyError), await permit(breakers):
        raise KeyError("caller's fault")
    assert breakers.snapshot("openai")["success_count"] == 1
    assert await breakers.borrow("openai") is not None


async def test_only_the_first_word_of_a_permit_counts(breakers: Breakers) -> None:
    for _ in range(4):
        with await permit(breakers) as call:
            call.failure()
            call.failure()
            call.success()
    assert breakers.snapshot("openai")["failure_count"] == 4
    call = await permit(breakers)
    call.neutral()
    call.failure()
    assert breakers.state("openai") is BreakerState.CLOSED


async def test_a_probe_that_never_reports_back_frees_its_place(breakers: Breakers, clock: ManualClock) -> None:
    await fail(breakers, 5)
    clock.advance(60)
    lost = await permit(breakers)
    clock.advance(304.9)
    assert await breakers.borrow("openai") is None
    clock.advance(0.1)
    assert await breakers.borrow("openai") is not None
    lost.failure()  # late, but about this opening: it counts
    assert breakers.state("openai") is BreakerState.OPEN


async def test_late_words_of_calls_from_before_the_opening_change_nothing(
    breakers: Breakers, clock: ManualClock
) -> None:
    slow = [await permit(breakers) for _ in range(4)]
    await fail(breakers, 5)
    slow[0].failure()
    slow[1].success()
    assert breakers.snapshot("openai")["failure_count"] == 5
    clock.advance(60)
    slow[2].failure()
    slow[3].success()
    shown = breakers.snapshot("openai")
    assert (shown["state"], shown["success_count"]) == ("HALF_OPEN", 0)


async def test_concurrency_and_thresholds_may_differ_per_provider(clock: ManualClock) -> None:
    configs = {"groq": BreakerConfig(failures=2, cooldown_s=5, successes=1, half_open_concurrency=3)}
    breakers = Breakers(Settings(), clock, RedisLink(None, clock), configs)
    await fail(breakers, 2, "groq")
    await fail(breakers, 2, "openai")
    assert breakers.states() == {"groq": BreakerState.OPEN, "openai": BreakerState.CLOSED}
    clock.advance(5)
    probes = [await breakers.borrow("groq") for _ in range(4)]
    assert [probe is not None for probe in probes] == [True, True, True, False]
    assert probes[0] is not None
    probes[0].success()
    assert breakers.state("groq") is BreakerState.CLOSED
    breakers.configure("openai", BreakerConfig(failures=3))
    await fail(breakers, 1, "openai")
    assert breakers.state("openai") is BreakerState.OPEN
    assert breakers.snapshot("openai")["config"]["failures"] == 3


@pytest.mark.ac("AC-2.5.7", "AC-2.5.8")
async def test_resets_force_closed(breakers: Breakers, clock: ManualClock) -> None:
    for provider in ("a", "b", "c"):
        await fail(breakers, 5, provider)
    clock.advance(60)
    probe = await permit(breakers, "a")
    assert (await breakers.reset("a"))["state"] == "CLOSED"
    probe.failure()  # of an opening that is over
    assert breakers.state("a") is BreakerState.CLOSED
    assert breakers.state("b") is BreakerState.HALF_OPEN
    assert {shown["state"] for shown in await breakers.reset_all()} == {"CLOSED"}
    await fail(breakers, 5, "a")
    assert breakers.state("a") is BreakerState.OPEN


@pytest.mark.ac("AC-2.5.10")
async def test_each_transition_is_counted_and_told_once(breakers: Breakers, clock: ManualClock) -> None:
    heard: list[tuple[str, str, str]] = []
    breakers.on_transition(lambda provider, old, new: heard.append((provider, old.value, new.value)))
    await fail(breakers, 5)
    clock.advance(60)
    for _ in range(3):
        (await permit(breakers)).success()
    await fail(breakers, 5)
    await breakers.reset("openai")
    await breakers.reset("openai")
    assert heard == [
        ("openai", "CLOSED", "OPEN"),
        ("openai", "OPEN", "HALF_OPEN"),
        ("openai", "HALF_OPEN", "CLOSED"),
        ("openai", "CLOSED", "OPEN"),
        ("openai", "OPEN", "CLOSED"),
    ]
    assert breakers.transitions[("openai", BreakerState.CLOSED, BreakerState.OPEN)] == 2
    assert sum(breakers.transitions.values()) == len(heard)


@pytest.mark.slow
async def test_the_background_loop_makes_moves_by_time_alone(breakers: Breakers, clock: ManualClock) -> None:
    told = asyncio.Event()
    await fail(breakers, 5)
    breakers.on_transition(lambda *_: told.set())
    loop = asyncio.create_task(breakers.run())
    clock.advance(60)
    await asyncio.wait_for(told.wait(), 5)
    loop.cancel()
    assert breakers.transitions[("openai", BreakerState.OPEN, BreakerState.HALF_OPEN)] == 1


async def test_those_that_are_not_closed_are_known_without_looking(breakers: Breakers, clock: ManualClock) -> None:
    def troubled() -> list[str]:
        found = sorted(cell.provider for cell in breakers.troubled)
        not_closed = [name for name, state in breakers.states().items() if state is not BreakerState.CLOSED]
        assert set(not_closed) <= set(found)
        return found

    assert troubled() == []
    await fail(breakers, 4)
    assert troubled() == []
    await fail(breakers, 1)
    await fail(breakers, 5, "groq")
    assert troubled() == ["groq", "openai"]
    clock.advance(60)
    assert troubled() == ["groq", "openai"], "half open is not closed"
    for _ in range(3):
        (await permit(breakers)).success()
    assert troubled() == ["groq"]
    await breakers.reset("groq")
    assert troubled() == []
