"""The link to a real Redis that is stopped, killed, paused and brought back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from gatewayz.infra.clock import SystemClock
from gatewayz.infra.redis import LinkState, RedisAway, RedisLink, Script
from tests.servers import ServerHandle, free_port, start_redis

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, ServerHandle]]:
    url, handle = start_redis(own=True)
    yield url, handle
    handle.close()


@pytest.fixture
async def link(server: tuple[str, ServerHandle]) -> AsyncIterator[RedisLink]:
    server[1].restart()
    link = RedisLink(server[0], SystemClock())
    assert await link.start() == "up"
    await link.call("FLUSHALL")
    yield link
    await link.close()


async def until(link: RedisLink, state: LinkState) -> None:
    seen = asyncio.Event()
    link.on_state(lambda now: seen.set() if now == state else None)
    if link.state != state:
        await asyncio.wait_for(seen.wait(), 5)


async def test_commands_scripts_and_many_at_once(link: RedisLink) -> None:
    assert await link.call("SET", "a", 1) in (b"OK", True)
    assert await link.run_script(ADD, ["a"], [5]) == 6
    await link.call("SCRIPT", "FLUSH")
    assert await link.run_script(ADD, ["a"], [1]) == 7
    assert await link.call_many([("GET", "a"), ("MGET", "a", "nothing")]) == [b"7", [b"7", None]]
    assert link.failures == 0


async def test_without_a_url_the_link_is_off_for_good() -> None:
    link = RedisLink(None, SystemClock())
    assert await link.start() == "off"
    await link.run()
    with pytest.raises(RedisAway):
        await link.call("PING")
    await link.close()


async def test_a_server_that_is_not_there_leaves_the_link_down() -> None:
    link = RedisLink(f"redis://127.0.0.1:{free_port()}", SystemClock())
    assert await link.start() == "down"
    with pytest.raises(RedisAway):
        await link.call("PING")
    await link.close()


async def test_killed_and_back_is_told_in_both_directions(link: RedisLink, server: tuple[str, ServerHandle]) -> None:
    told: list[LinkState] = []
    link.on_state(told.append)
    watch = asyncio.create_task(link.run())
    server[1].kill()
    with pytest.raises(RedisAway):
        await link.call("GET", "a")
    assert link.state == "down"
    await asyncio.sleep(0.2)
    server[1].start()
    await until(link, "up")
    await link.call("SET", "a", 1)
    assert told == ["down", "up"]
    assert link.drops == 1
    watch.cancel()


async def test_the_watch_alone_notices_that_the_server_went(link: RedisLink, server: tuple[str, ServerHandle]) -> None:
    watch = asyncio.create_task(link.run())
    await asyncio.sleep(0)
    server[1].stop()
    await until(link, "down")
    server[1].start()
    await until(link, "up")
    watch.cancel()


async def test_a_restart_between_two_commands_is_told_although_no_command_failed(
    link: RedisLink, server: tuple[str, ServerHandle]
) -> None:
    told: list[LinkState] = []
    link.on_state(told.append)
    server[1].restart()
    await asyncio.sleep(0.05)  # the loop sees that the old connections have ended
    await link.call("SET", "a", 1)
    assert (link.state, link.failures) == ("up", 0)
    assert await link.start() == "up"
    assert told == ["down", "up"]


async def test_a_server_that_hangs_costs_one_short_wait_and_then_none(
    link: RedisLink, server: tuple[str, ServerHandle]
) -> None:
    server[1].pause()
    try:
        began = time.monotonic()
        answers = await asyncio.gather(*(link.call("GET", "a") for _ in range(50)), return_exceptions=True)
        assert time.monotonic() - began < 0.5
        assert all(isinstance(answer, RedisAway) for answer in answers)
        assert link.state == "down"
        began = time.monotonic()
        for _ in range(1000):
            with pytest.raises(RedisAway):
                await link.call("GET", "a")
        assert time.monotonic() - began < 0.1
    finally:
        server[1].resume()
    assert await link.start() == "up"


async def test_a_cancelled_command_does_not_hand_its_answer_to_the_next(link: RedisLink) -> None:
    for number in range(200):
        await link.call("SET", f"key{number}", number)
    for number in range(100):
        task = asyncio.create_task(link.call("GET", f"key{number}"))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await link.call("GET", f"key{number + 100}") == str(number + 100).encode()


async def test_a_refused_command_is_away_for_its_caller_and_leaves_the_link_up(link: RedisLink) -> None:
    await link.call("SET", "text", "no number")
    with pytest.raises(RedisAway):
        await link.run_script(ADD, ["text"], [1])
    assert link.state == "up"
    assert link.failures == 1


@pytest.mark.parametrize("in_script", [False, True])
async def test_a_server_that_refuses_writes_takes_the_link_down(link: RedisLink, in_script: bool) -> None:
    await link.call("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(RedisAway):
        await (link.run_script(ADD, ["a"], [1]) if in_script else link.call("SET", "a", 1))
    assert link.state == "down"
    assert await link.start() == "down"
