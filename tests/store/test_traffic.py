"""Request records added up by the hour: each once, late ones too, and nothing where there is none."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.infra.tables import meta
from gatewayz.operations import traffic_sums
from gatewayz.operations.records import RECORD_COLUMNS as COLUMNS
from gatewayz.operations.records import RequestRecord, row
from gatewayz.operations.tables import activity_log, traffic_hours
from gatewayz.operations.traffic import HOUR_US, SHORTEST_PAUSE_S, Traffic


async def note(
    database: Database, at_us: int, model: str | None = "acme/m", *, id: int | None = None, **more: object
) -> None:
    """One request record; its id is the next one unless it is given."""
    facts = {
        "provider": "p",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "latency_us": 2_000_000,
        "first_token_us": 500_000,
    }
    record = RequestRecord(at_us, 1, 1, "r", "chat", "m", model, **{**facts, **more})  # type: ignore[arg-type]
    async with database.begin() as connection:
        values = dict(zip(COLUMNS, row(record), strict=True))
        await connection.execute(sa.insert(activity_log), values if id is None else {**values, "id": id})


async def test_without_records_there_are_no_figures(database: Database, clock: ManualClock) -> None:
    traffic = Traffic(database, clock)
    assert await traffic.tick()
    assert not any(traffic.current.windows.values())


async def test_records_are_added_up_by_window(database: Database, clock: ManualClock) -> None:
    now = clock.now_us()
    await note(database, now)
    await note(database, now, latency_us=4_000_000, first_token_us=None)
    await note(database, now, status=502, latency_us=9_000_000)
    await note(database, now, model=None, provider=None)
    await note(database, now - 3 * HOUR_US, "acme/old")
    await note(database, now - 500 * HOUR_US, "acme/older")
    traffic = Traffic(database, clock)
    for _ in range(30):
        await traffic.tick()
        if traffic.current.of("month", "acme/older", "p") and traffic.current.of("day", "acme/old", "p"):
            break
        assert traffic.current.of("hour", "acme/m", "p") is not None  # what is new does not wait for what is old
        clock.advance(60)
    figures = traffic.current.of("hour", "acme/m", "p")
    assert figures is not None
    assert (figures.requests, figures.errors, figures.tokens) == (3, 1, 45)
    assert (figures.latency_ms, figures.first_token_ms) == (3000.0, 500.0)
    assert traffic.current.of("hour", "acme/old", "p") is None
    assert traffic.current.of("day", "acme/old", "p") is not None
    assert traffic.current.of("week", "acme/older", "p") is None


async def test_how_fast_streams_write_is_measured_after_their_first_token(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now_us()
    await note(database, now, completion_tokens=30, stream=True)  # in 1.5 s
    await note(database, now, completion_tokens=60, stream=True, latency_us=2_000_000)  # in 1.5 s
    await note(database, now, completion_tokens=900)  # a plain answer comes at once
    await note(database, now, completion_tokens=900, stream=True, status=502)
    await note(database, now, "acme/plain")
    traffic = Traffic(database, clock)
    await traffic.tick()
    figures, plain = traffic.current.of("hour", "acme/m", "p"), traffic.current.of("hour", "acme/plain", "p")
    assert figures is not None and plain is not None
    assert (figures.tokens_per_s, plain.tokens_per_s) == (30.0, None)


async def test_each_record_counts_once_however_often_it_is_looked_at(database: Database, clock: ManualClock) -> None:
    traffic, other = Traffic(database, clock), Traffic(database, clock)
    for number in range(1, 4):
        await note(database, clock.now_us())
        clock.advance(SHORTEST_PAUSE_S + 60)
        for each in (traffic, other):
            await each.tick()
            figures = each.current.of("day", "acme/m", "p")
            assert figures is not None and figures.requests == number
    before = traffic.current
    clock.advance(SHORTEST_PAUSE_S + 60)
    await traffic.tick()
    assert traffic.current is before
    assert before.digest == other.current.digest


async def test_a_record_that_was_committed_late_is_counted(database: Database, clock: ManualClock) -> None:
    clock.advance((HOUR_US - clock.now_us() % HOUR_US) / 1e6 - 10)
    traffic, late_us = Traffic(database, clock), clock.now_us()
    await note(database, late_us)
    await traffic.tick()
    clock.advance(120)  # into the next hour
    await note(database, clock.now_us())
    await traffic.tick()
    await note(database, late_us)
    clock.advance(120)
    await traffic.tick()
    figures = traffic.current.of("day", "acme/m", "p")
    assert figures is not None and figures.requests == 3
    async with database.read() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(traffic_hours)) == 2


async def test_processes_share_the_adding_up(database: Database, clock: ManualClock) -> None:
    one, other = Traffic(database, clock), Traffic(database, clock)
    await note(database, clock.now_us())
    assert await one.tick()
    await note(database, clock.now_us())
    clock.advance(SHORTEST_PAUSE_S / 2)
    assert await other.tick()
    figures = other.current.of("hour", "acme/m", "p")
    assert figures is not None and figures.requests == 1  # as the first has just added up
    clock.advance(SHORTEST_PAUSE_S)
    assert await other.tick() and await one.tick()
    for traffic in (one, other):
        figures = traffic.current.of("hour", "acme/m", "p")
        assert figures is not None and figures.requests == 2


async def count_of(traffic: Traffic, clock: ManualClock) -> int:
    """Requests of the day, after adding up."""
    clock.advance(SHORTEST_PAUSE_S + 60)
    await traffic.tick()
    figures = traffic.current.of("day", "acme/m", "p")
    return figures.requests if figures else 0


async def test_a_record_with_an_earlier_id_is_counted_when_its_hour_is_closed(
    database: Database, clock: ManualClock
) -> None:
    clock.advance((HOUR_US - clock.now_us() % HOUR_US) / 1e6 + 60)
    traffic, at_us = Traffic(database, clock), clock.now_us()
    await note(database, at_us, id=100)
    assert await count_of(traffic, clock) == 1
    await note(database, at_us, id=50)
    await note(database, at_us, id=101)
    assert await count_of(traffic, clock) == 2
    clock.advance(2 * 3600)
    await note(database, at_us, id=102)  # later than anything is
    await note(database, clock.now_us(), id=103)
    assert await count_of(traffic, clock) == 5
    await note(database, at_us, id=104)
    await note(database, clock.now_us(), id=105)
    assert await count_of(traffic, clock) == 6  # a closed hour stays as it is


async def test_sums_of_a_version_that_knew_no_ids_are_not_added_to(database: Database, clock: ManualClock) -> None:
    traffic = Traffic(database, clock)
    await note(database, clock.now_us())
    assert await count_of(traffic, clock) == 1
    async with database.begin() as connection:
        await connection.execute(sa.delete(meta).where(meta.c.name == "traffic_seen"))
    await note(database, clock.now_us())
    assert await count_of(traffic, clock) == 2
    assert await count_of(Traffic(database, clock), clock) == 2


async def test_charges_are_not_held_up_while_records_are_read(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote = []

    def writing(read: Any) -> Any:
        async def meanwhile(*arguments: Any) -> Any:
            sums = await read(*arguments)
            async with asyncio.timeout(2):
                await note(database, clock.now_us())
            wrote.append(read.__name__)
            return sums

        return meanwhile

    for name in ("of_hour", "of_records"):
        monkeypatch.setattr(traffic_sums, name, writing(getattr(traffic_sums, name)))
    traffic = Traffic(database, clock)
    await note(database, clock.now_us() - 2 * HOUR_US)
    assert await count_of(traffic, clock) == 2
    assert wrote == ["of_hour", "of_records"]
    monkeypatch.undo()
    assert await count_of(traffic, clock) == 3  # what came meanwhile counts once


@pytest.mark.parametrize("earlier", [0, 1])
async def test_of_two_that_add_the_same_one_does(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, earlier: int
) -> None:
    slow, fast = Traffic(database, clock), Traffic(database, clock)
    of_records, overtook = traffic_sums.of_records, []
    for _ in range(earlier):
        await note(database, clock.now_us())
        assert await slow._add_up()

    async def overtaken(*arguments: Any) -> Any:
        sums = await of_records(*arguments)
        if not overtook:
            overtook.append(True)
            assert await fast._add_up()
        return sums

    await note(database, clock.now_us())
    monkeypatch.setattr(traffic_sums, "of_records", overtaken)
    assert await slow._add_up() is False
    assert await count_of(Traffic(database, clock), clock) == earlier + 1
