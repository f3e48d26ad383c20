"""Alarms: they ring late rather than early, cleared ones never, and a deadline behaves as asyncio's own."""

import asyncio

import pytest

from gatewayz.infra.alarms import TICK_S, Alarms


async def test_an_alarm_rings_after_its_time_and_once() -> None:
    alarms, rang, loop = Alarms(), [], asyncio.get_running_loop()
    at_s = loop.time() + 0.12
    alarms.set(at_s, lambda: rang.append(loop.time()))
    while not rang:
        await asyncio.sleep(0.01)
    await asyncio.sleep(3 * TICK_S)
    (rung_s,) = rang
    assert rung_s >= at_s


async def test_a_cleared_alarm_never_rings_and_leaves_nothing_behind() -> None:
    alarms, rang, loop = Alarms(), [], asyncio.get_running_loop()
    alarm = alarms.set(loop.time() + 0.06, lambda: rang.append("cleared"))
    alarms.set(loop.time() + 0.06, lambda: rang.append("kept"))
    alarms.clear(alarm)
    alarms.clear(alarm)
    while not rang:
        await asyncio.sleep(0.01)
    assert rang == ["kept"]
    await asyncio.sleep(3 * TICK_S)
    assert alarms._timer is None, "nothing ticks while nothing is set"


async def test_an_alarm_that_has_seen_ticks_can_be_cleared_and_leaves_nothing_behind() -> None:
    alarms, rang, loop = Alarms(), [], asyncio.get_running_loop()
    alarm = alarms.set(loop.time() + 0.4, lambda: rang.append("cleared"))
    with alarms.until(loop.time() + 30):
        while not alarms._sorted:
            await asyncio.sleep(0.01)
        assert alarms._fresh == set()
        assert len(alarms._sorted) == 2
        alarms.clear(alarm)
        alarms.clear(alarm)
    assert alarms._sorted == {}
    await asyncio.sleep(0.4 + 3 * TICK_S)
    assert rang == []
    assert alarms._timer is None, "nothing ticks while nothing is set"


async def test_a_deadline_far_away_is_kept_to_the_tick() -> None:
    alarms, loop = Alarms(), asyncio.get_running_loop()
    at_s = loop.time() + 0.3
    with pytest.raises(TimeoutError), alarms.within(30, at_s):
        await asyncio.sleep(30)
    assert loop.time() >= at_s


async def test_alarms_of_the_past_ring_at_the_next_tick() -> None:
    alarms, rang = Alarms(), asyncio.Event()
    alarms.set(0.0, rang.set)
    async with asyncio.timeout(10):
        await rang.wait()


async def test_an_alarm_may_set_another() -> None:
    alarms, loop, rang = Alarms(), asyncio.get_running_loop(), asyncio.Event()
    alarms.set(loop.time(), lambda: alarms.set(loop.time(), rang.set) and None)
    async with asyncio.timeout(10):
        await rang.wait()


async def test_a_deadline_ends_what_takes_too_long() -> None:
    alarms, loop = Alarms(), asyncio.get_running_loop()
    with pytest.raises(TimeoutError), alarms.until(loop.time() + 0.05):
        await asyncio.sleep(30)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_deadline_that_is_met_changes_nothing() -> None:
    alarms, loop = Alarms(), asyncio.get_running_loop()
    with alarms.until(loop.time() + 30):
        await asyncio.sleep(0)
    with pytest.raises(KeyError), alarms.until(loop.time() + 30):
        raise KeyError
    await asyncio.sleep(0)
    assert alarms._fresh == set()
    assert alarms._sorted == {}


async def test_who_is_cancelled_by_somebody_else_is_cancelled() -> None:
    alarms, loop = Alarms(), asyncio.get_running_loop()

    async def work() -> None:
        with alarms.until(loop.time() + 30):
            await asyncio.sleep(30)

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_of_two_deadlines_the_nearer_one_ends_only_its_own_part() -> None:
    alarms, loop = Alarms(), asyncio.get_running_loop()
    reached = False
    with alarms.until(loop.time() + 30):
        with pytest.raises(TimeoutError), alarms.until(loop.time() + 0.05):
            await asyncio.sleep(30)
        await asyncio.sleep(0)
        reached = True
    assert reached


async def test_soon_is_one_to_two_ticks_from_now() -> None:
    alarms, loop = Alarms(), asyncio.get_running_loop()
    rang: list[float] = []
    for _ in range(3):  # whether or not a timer is already under way
        set_s = loop.time()
        alarms.soon(lambda: rang.append(loop.time()))
        while not rang:
            await asyncio.sleep(0.005)
        assert rang.pop() - set_s >= TICK_S * 0.98
        alarms.set(loop.time() + 3 * TICK_S, lambda: None)
        await asyncio.sleep(TICK_S / 3)
    await asyncio.sleep(5 * TICK_S)
    assert rang == []
    assert alarms._timer is None


async def test_what_was_to_ring_soon_can_be_forgotten_at_any_time() -> None:
    alarms, rang = Alarms(), []

    def ring() -> None:
        rang.append("forgotten")

    waiting = alarms.soon(ring)
    waiting.discard(ring)
    waiting = alarms.soon(ring)
    while alarms._next is not waiting:
        await asyncio.sleep(0.005)
    waiting.discard(ring)  # a tick has passed since
    alarms.soon(lambda: rang.append("kept"))
    while not rang:
        await asyncio.sleep(0.01)
    waiting.discard(ring)
    await asyncio.sleep(3 * TICK_S)
    assert rang == ["kept"]
    assert alarms._timer is None, "nothing ticks while nothing is set"
