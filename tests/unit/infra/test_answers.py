"""Answers that many readers share: one build, stale while it is made anew, bounded, forgotten when told."""

import asyncio

import pytest

from gatewayz.infra.answers import FALLBACK_S, AnswerCache, key_of
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.redis import RedisLink


class Builder:
    """Builds bodies that tell which build they are; waits for the gate if there is one."""

    def __init__(self, size: int = 1) -> None:
        self.builds = 0
        self.size = size
        self.gate: asyncio.Event | None = None
        self.failure: Exception | None = None

    async def __call__(self) -> bytes:
        self.builds += 1
        number = self.builds
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return f"{number}".encode() * self.size


def cache(clock: ManualClock, redis: RedisLink | None = None, **more: int) -> AnswerCache:
    return AnswerCache("t", redis or RedisLink(None, clock), clock, **{"entries": 10, "life_s": 300, **more})


@pytest.mark.ac("AC-4.4.5")
async def test_many_readers_of_a_cold_entry_cause_one_build() -> None:
    answers, build = cache(ManualClock()), Builder()
    build.gate = asyncio.Event()
    readers = [asyncio.create_task(answers.get("k", build)) for _ in range(50)]
    await asyncio.sleep(0)
    readers[0].cancel()  # who goes away does not take the answer of the others along
    await asyncio.sleep(0)
    build.gate.set()
    found = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {answer.body for answer in found[1:]} == {b"1"} and build.builds == 1  # type: ignore[union-attr]
    assert (answers.misses, answers.hits) == (50, 0)
    assert (await answers.get("k", build)).body == b"1" and answers.hits == 1


@pytest.mark.ac("AC-4.4.5")
async def test_a_stale_answer_is_given_while_the_next_is_made() -> None:
    clock = ManualClock()
    answers, build = cache(clock), Builder()
    await answers.get("k", build)
    clock.advance(301)
    build.gate = asyncio.Event()
    assert [(await answers.get("k", build)).body for _ in range(5)] == [b"1"] * 5
    await asyncio.sleep(0)
    assert build.builds == 2
    build.gate.set()
    while (await answers.get("k", build)).body != b"2":
        await asyncio.sleep(0.01)
    assert build.builds == 2


async def test_a_build_that_fails_is_told_and_not_kept() -> None:
    answers, build = cache(ManualClock()), Builder()
    build.failure = ValueError("no")
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await answers.get("k", build)
    build.failure = None
    assert (await answers.get("k", build)).body == b"3"


async def test_memory_is_bounded_by_number_and_size() -> None:
    clock = ManualClock()
    answers, build = cache(clock, entries=3, max_bytes=250), Builder(100)
    for key in "abab":
        await answers.get(key, build)
    assert (len(answers), answers.bytes_kept, build.builds) == (2, 200, 2)
    await answers.get("c", build)
    assert (len(answers), answers.bytes_kept) == (2, 200)
    await answers.get("b", build)
    assert build.builds == 3, "the one not asked for longest went"
    await answers.get("huge", Builder(1000))
    assert answers.bytes_kept == 200


async def test_forgetting_reaches_a_build_under_way() -> None:
    answers, build = cache(ManualClock()), Builder()
    build.gate = asyncio.Event()
    early = asyncio.create_task(answers.get("k", build))
    await asyncio.sleep(0)
    answers.forget()
    late = asyncio.create_task(answers.get("k", build))
    await asyncio.sleep(0)
    build.gate.set()
    assert [(await early).body, (await late).body] == [b"1", b"2"]
    assert (await answers.get("k", build)).body == b"2"
    answers.forget()
    assert len(answers) == answers.bytes_kept == 0


@pytest.mark.ac("AC-4.4.3")
async def test_without_redis_entries_live_longer_here() -> None:
    clock = ManualClock()
    away = RedisLink("redis://127.0.0.1:1/0", clock)
    answers, build = cache(clock, away, shared_life_s=1000), Builder()
    assert answers.is_fallback and not cache(clock).is_fallback
    await answers.get("k", build)
    clock.advance(FALLBACK_S - 1)
    await answers.get("k", build)
    assert build.builds == 1
    assert await answers.clear_shared() == 0
    await away.close()


def test_keys_tell_values_apart() -> None:
    assert len({key_of(1), key_of("1"), key_of(None), key_of([1]), key_of(1, None)}) == 5
