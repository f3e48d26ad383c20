"""Tasks end when they are told to, also those whose library swallows the first word."""

import asyncio

import structlog.testing

from gatewayz.infra.tasks import end


async def deaf(times: int, heard: list[int]) -> None:
    """Swallows so many cancellations."""
    for number in range(times):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append(number)
    await asyncio.sleep(60)


async def failing() -> None:
    try:
        await asyncio.sleep(60)
    finally:
        raise ValueError("on its way out")


async def begun(*loops: asyncio.Task[None]) -> None:
    await asyncio.sleep(0)
    assert not any(loop.done() for loop in loops)


async def test_all_end_whatever_they_raise() -> None:
    heard: list[int] = []
    tasks = [asyncio.create_task(work) for work in (asyncio.sleep(60), failing(), deaf(2, heard))]
    await begun(*tasks)
    await end(tasks, patience_s=0.01)
    assert all(task.done() for task in tasks) and heard == [0, 1]
    await end(tasks)
    await end(())


async def test_what_does_not_end_is_left_and_named() -> None:
    heard: list[int] = []
    task = asyncio.create_task(deaf(100, heard), name="deaf")
    await begun(task)
    with structlog.testing.capture_logs() as logs:
        await end([task], patience_s=0.01)
    assert not task.done()
    assert [entry["tasks"] for entry in logs if entry["event"] == "tasks_do_not_end"] == [["deaf"]]
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
