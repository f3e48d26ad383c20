"""A thread that works for a loop: in order, one at a time, and whatever goes wrong is told to who asked."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from gatewayz.infra.own_thread import OwnThread


@pytest.fixture
def own() -> Iterator[OwnThread]:
    thread = OwnThread("own")
    yield thread
    thread.stop()


async def test_calls_are_made_in_order_in_one_other_thread(own: OwnThread) -> None:
    made: list[tuple[int, int]] = []

    def note(number: int) -> int:
        made.append((number, threading.get_ident()))
        return 2 * number

    assert await asyncio.gather(*(own.run(note, number) for number in range(50))) == [
        2 * number for number in range(50)
    ]
    assert [number for number, _ in made] == list(range(50))
    assert len({thread for _, thread in made}) == 1 and made[0][1] != threading.get_ident()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
async def test_a_failure_goes_to_who_asked_and_the_thread_goes_on(own: OwnThread, kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("x")

    asked = own.run(fail)
    await asyncio.wait({asked})
    assert isinstance(asked.exception(), kind)
    assert await own.run(int, "7") == 7


async def test_the_loop_goes_on_meanwhile(own: OwnThread) -> None:
    done = own.run(time.sleep, 0.2)
    await asyncio.sleep(0.02)
    assert not done.done()
    await done


async def test_what_is_cancelled_before_its_turn_is_not_done(own: OwnThread) -> None:
    done: list[int] = []
    may_end = threading.Event()
    first = own.run(may_end.wait)
    second, third = own.run(done.append, 2), own.run(done.append, 3)
    second.cancel()
    may_end.set()
    await asyncio.gather(first, third)
    assert done == [3]


async def test_who_stops_waiting_for_a_running_call_disturbs_nothing(own: OwnThread) -> None:
    started, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        may_end.wait()

    running = own.run(slow)
    await asyncio.to_thread(started.wait)
    running.cancel()
    may_end.set()
    assert await own.run(int, "7") == 7


async def test_stop_waits_for_what_was_asked_and_then_nothing_is_taken(own: OwnThread) -> None:
    done: list[int] = []
    own.run(time.sleep, 0.05)
    last = own.run(done.append, 1)
    await asyncio.to_thread(own.stop)
    assert done == [1]
    await last
    own.stop()
    with pytest.raises(RuntimeError):
        own.run(done.append, 2)


def test_a_loop_that_was_closed_meanwhile_does_not_end_the_thread(own: OwnThread) -> None:
    may_end = threading.Event()

    async def ask() -> None:
        own.run(may_end.wait)

    asyncio.run(ask())
    may_end.set()

    async def ask_again() -> int:
        return await own.run(int, "7")

    assert asyncio.run(ask_again()) == 7


def test_a_thread_that_never_worked_is_stopped() -> None:
    OwnThread("idle").stop()
