"""Request records added up by the hour: each once, late ones too, and nothing where there is none."""

import sqlalchemy as sa

from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.operations.records import RECORD_COLUMNS as COLUMNS
from gatewayz.operations.records import RequestRecord, row
from gatewayz.operations.tables import activity_log, traffic_hours
from gatewayz.operations.traffic import HOUR_US, SHORTEST_PAUSE_S, Traffic


async def note(database: Database, at_us: int, model: str | None = "acme/m", **more: object) -> None:
    """One request record."""
    facts = {
        "provider": "p",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "latency_us": 2_000_000,
        "first_token_us": 500_000,
    }
    record = RequestRecord(at_us, 1, 1, "r", "chat", "m", model, **{**facts, **more})  # type: ignore[arg-type]
    async with database.begin() as connection:
        await connection.execute(sa.insert(activity_log), dict(zip(COLUMNS, row(record), strict=True)))


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
        if traffic.current.of("month", "acme/older", "p") and traffic.current.of("hour", "acme/m", "p"):
            break
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
