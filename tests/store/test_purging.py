"""What is deleted or emptied by the clock: all of it, in short transactions, and found without reading what stays."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.billing.store import no_more
from gatewayz.billing.sweep import BATCH_LIFE_US, Sweeper
from gatewayz.billing.tables import idempotency, ledger_batches
from gatewayz.billing.writer import Writer
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import US_PER_S, ManualClock
from gatewayz.infra.db import PAGE, Database
from gatewayz.infra.tables import changes

_MANY = 2 * PAGE + 7


class NoStore:
    """Nothing is settled here."""

    async def apply(self, batch_id: str, batch: object, more: object = no_more) -> list[None]:
        raise AssertionError("nothing is settled here")

    async def is_committed(self, batch_id: str) -> bool:
        return False

    async def close(self) -> None: ...


@pytest.fixture
def sweeper(database: Database, clock: ManualClock) -> Sweeper:
    return Sweeper(database, Writer(NoStore()), clock)  # type: ignore[arg-type]


def claim(number: int, now_us: int, **facts: object) -> dict[str, object]:
    return {
        "user_id": 1, "request_id": f"r{number}", "body_hash": "h", "state": "done", "attempt": 1, "answer": b"sealed",
        "created_at_us": now_us, "expires_at_us": now_us, **facts,
    }  # fmt: skip


async def count(database: Database, *conditions: sa.ColumnElement[bool]) -> int:
    async with database.read() as connection:
        found = await connection.scalar(sa.select(sa.func.count()).select_from(idempotency).where(*conditions))
        assert found is not None
        return found


async def test_answers_past_their_day_are_emptied_and_their_claims_stay(
    database: Database, clock: ManualClock, sweeper: Sweeper
) -> None:
    now_us = clock.now_us()
    claims = [claim(number, now_us) for number in range(_MANY)]
    claims.append(claim(-1, now_us, expires_at_us=now_us + 1))
    claims.append(claim(-2, now_us, state="running"))
    async with database.begin() as connection:
        await connection.execute(sa.insert(idempotency), claims)
    await sweeper.purge()
    assert await count(database) == _MANY + 2
    assert await count(database, idempotency.c.answer.is_not(None)) == 2
    clock.advance(1)
    await sweeper.purge()
    async with database.read() as connection:
        kept = await connection.execute(sa.select(idempotency.c.state).where(idempotency.c.answer.is_not(None)))
        assert kept.scalars().all() == ["running"]  # its request is under way


async def test_old_batch_ids_are_forgotten(database: Database, clock: ManualClock, sweeper: Sweeper) -> None:
    old_us = clock.now_us() - BATCH_LIFE_US
    ids = [{"id": f"b{number}", "created_at_us": old_us - 1} for number in range(_MANY)]
    async with database.begin() as connection:
        await connection.execute(sa.insert(ledger_batches), [*ids, {"id": "young", "created_at_us": old_us}])
    await sweeper.purge()
    async with database.read() as connection:
        assert (await connection.execute(sa.select(ledger_batches.c.id))).scalars().all() == ["young"]


async def test_changes_that_all_have_heard_are_forgotten(database: Database, clock: ManualClock) -> None:
    old_us = clock.now_us() - 3601 * US_PER_S
    rows = [{"topic": "t", "subject": str(number), "created_at_us": old_us} for number in range(_MANY)]
    async with database.begin() as connection:
        await connection.execute(sa.insert(changes), rows)
        await connection.execute(sa.insert(changes).values(topic="t", subject="new", created_at_us=clock.now_us()))
    await ChangeFeed(database, clock).purge()
    async with database.read() as connection:
        assert (await connection.execute(sa.select(changes.c.subject))).scalars().all() == ["new"]


async def test_others_write_between_the_pages_of_much_work(database: Database) -> None:
    pages, turns = [7, PAGE, PAGE, PAGE], []

    async def slow_page(connection: AsyncConnection, limit: int) -> int:
        await connection.execute(sa.insert(ledger_batches).values(id=f"page{len(pages)}", created_at_us=1))
        await asyncio.sleep(0.15)
        return pages.pop()

    async def other() -> None:
        while pages:
            async with database.begin() as connection:
                await connection.execute(sa.delete(ledger_batches).where(ledger_batches.c.id == "none"))
            turns.append(len(pages))
            await asyncio.sleep(0.01)

    done, _ = await asyncio.gather(database.in_pages(slow_page), other())
    assert done == 3 * PAGE + 7 and not pages
    assert len(set(turns)) >= 3  # it had its turn, again and again


async def test_claims_without_an_answer_are_not_read(database: Database, clock: ManualClock) -> None:
    async with database.read() as connection:
        if not database.is_sqlite:
            await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        plan = await connection.execute(
            sa.text(
                f"{explain} SELECT request_id FROM idempotency WHERE answer IS NOT NULL AND expires_at_us <= 5"
                " AND state = 'done' LIMIT 500"
            )
        )
        assert "ix_idempotency_answers" in " ".join(str(row) for row in plan)
