"""Batches on PostgreSQL: what one does under a balance is seen by the one that waited for it, and one begins the next."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from gatewayz.billing import postgres_batch, store_postgres
from gatewayz.billing.books import Books
from gatewayz.billing.ops import Capture, Charge, HoldRef, PlaceHold, ReturnLease, TakeLease
from gatewayz.billing.store import INSERT_BATCH, INSERT_RECORD, UPDATE_BALANCE, AlreadyPosted, BadOperation, StoreAway
from gatewayz.billing.store_postgres import PostgresStore
from gatewayz.billing.tables import balances, credit_transactions, leases
from gatewayz.infra.db import Database
from gatewayz.operations.records import RequestRecord

NOW = 1_000
LATER = 10**15
USER, RICH = 7, 10**12
LEASE = "p:7"
on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
async def stores(database: Database) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    async with database.begin() as connection:
        await connection.execute(sa.insert(balances), [{"user_id": USER, "purchased_nano_usd": RICH}])
    both = tuple(PostgresStore(database.postgres_dsn, lambda: Books(NOW, 0, 0)) for _ in range(2))
    yield both[0], both[1]
    for store in both:
        await store.close()


def capture(hold: HoldRef, amount: int = 100) -> Capture:
    charge = Charge(amount, "acme/chat", "first", 10, 5, "{}", "{}")
    return Capture("7:r", hold, charge, RequestRecord(NOW, USER, 70, "r", "/v1/chat/completions", "acme/chat"))


async def rows(database: Database, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    async with database.read() as connection:
        return list((await connection.execute(sa.select(table))).all())


async def waiting_for_a_lock(dsn: str) -> None:
    """Returns as soon as some statement waits for a row."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(5):
            while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def apply_behind(
    database: Database, store: PostgresStore, first: tuple[str, ...], operation: Capture | TakeLease
) -> None:
    """The operation in a batch that waits while another transaction does `first` under the same balance."""
    holder = await asyncpg.connect(database.postgres_dsn)
    try:
        await holder.execute("BEGIN")
        await holder.execute("SELECT 1 FROM balances FOR UPDATE")
        behind = asyncio.create_task(store.apply("behind", [operation]))
        await waiting_for_a_lock(database.postgres_dsn)
        for statement in first:
            await holder.execute(statement)
        await holder.execute("COMMIT")
        await behind
    finally:
        await holder.close()


@on_postgres
async def test_a_lease_that_was_swept_meanwhile_stays_gone(
    stores: tuple[PostgresStore, PostgresStore], database: Database
) -> None:
    await stores[0].apply("lease", [TakeLease(LEASE, USER, 5_000, 0, 1, LATER)])
    swept = ("DELETE FROM leases", "UPDATE balances SET reserved_nano_usd = 0")
    await apply_behind(database, stores[1], swept, capture(HoldRef(USER, 70, 100, lease_id=LEASE)))
    assert await rows(database, leases) == []
    balance = (await rows(database, balances))[0]
    assert (balance.reserved_nano_usd, balance.purchased_nano_usd) == (0, RICH - 100)


@on_postgres
async def test_a_lease_that_was_lowered_meanwhile_is_read_as_it_is(
    stores: tuple[PostgresStore, PostgresStore], database: Database
) -> None:
    await stores[0].apply("lease", [TakeLease(LEASE, USER, 5_000, 0, 1, LATER)])
    lowered = ("UPDATE leases SET amount_nano_usd = 60", "UPDATE balances SET reserved_nano_usd = 60")
    await apply_behind(database, stores[1], lowered, capture(HoldRef(USER, 70, 100, lease_id=LEASE)))
    assert [row.amount_nano_usd for row in await rows(database, leases)] == [0]
    assert (await rows(database, balances))[0].reserved_nano_usd == 0


@on_postgres
async def test_a_hold_that_was_swept_meanwhile_is_not_given_back_twice(
    stores: tuple[PostgresStore, PostgresStore], database: Database
) -> None:
    await stores[0].apply(
        "hold", [PlaceHold("h", USER, 70, 900, None, LATER), PlaceHold("i", USER, 70, 50, None, LATER)]
    )
    swept = ("DELETE FROM holds WHERE id = 'h'", "UPDATE balances SET reserved_nano_usd = 50")
    await apply_behind(database, stores[1], swept, capture(HoldRef(USER, 70, 900, hold_id="h")))
    assert (await rows(database, balances))[0].reserved_nano_usd == 50


@on_postgres
async def test_opposite_batches_never_wait_in_a_circle(
    stores: tuple[PostgresStore, PostgresStore], database: Database
) -> None:
    users = [USER, 8, 9]
    async with database.begin() as connection:
        await connection.execute(
            sa.insert(balances), [{"user_id": user, "purchased_nano_usd": RICH} for user in users[1:]]
        )

    async def churn(store: PostgresStore, name: str, order: list[int]) -> None:
        for turn in range(40):
            took = [TakeLease(f"{name}:{user}", user, 10, 0, 1, LATER) for user in order]
            await store.apply(f"{name}:{turn}:take", took)
            await store.apply(f"{name}:{turn}:give", [ReturnLease(f"{name}:{user}", user, 0) for user in order])

    async with asyncio.timeout(20):
        await asyncio.gather(churn(stores[0], "a", users), churn(stores[1], "b", users[::-1]))
    assert [row.reserved_nano_usd for row in await rows(database, balances)] == [0, 0, 0]


@on_postgres
async def test_a_text_that_no_record_of_a_batch_has_is_null(
    stores: tuple[PostgresStore, PostgresStore], database: Database
) -> None:
    captures = [capture(HoldRef(USER, 70, 1), 1) for _ in range(2)]
    first, second = captures[0], captures[1]
    await stores[0].apply("two", [first, Capture("7:s", second.hold, second.charge, second.record)])
    async with database.read() as connection:
        found = (await connection.execute(sa.text("SELECT user_tag, requested_model, stream FROM activity_log"))).all()
    assert found == [(None, "acme/chat", False)] * 2


@pytest.mark.parametrize("wrong", ["a\0b", "a\ud800b", 2**63], ids=["no character", "half a character", "too large"])
@on_postgres
async def test_what_no_column_holds_is_refused_and_nothing_is_written(
    stores: tuple[PostgresStore, PostgresStore], database: Database, wrong: str | int
) -> None:
    good = capture(HoldRef(USER, 70, 1), 1)
    fields = {"model": wrong} if isinstance(wrong, str) else {"prompt_tokens": wrong}
    bad = replace(good, ledger_id="7:bad", charge=replace(good.charge, **fields))
    with pytest.raises(BadOperation):
        await stores[0].apply("bad", [good, bad])
    assert await rows(database, credit_transactions) == []
    await stores[0].apply("good", [good])
    assert len(await rows(database, credit_transactions)) == 1


def test_one_statement_writes_all_tables_with_a_parameter_for_each() -> None:
    statement = postgres_batch.write_statement((INSERT_BATCH, UPDATE_BALANCE, INSERT_RECORD))
    assert [f"${number}::jsonb" in statement for number in range(1, 5)] == [True, True, True, False]
    assert "?" not in statement


async def said(database: Database) -> list[tuple[str, str]]:
    """State and last statement of the stores' connections (those of the pool end their statements with a semicolon)."""
    connection = await asyncpg.connect(database.postgres_dsn)
    try:
        found = await connection.fetch(
            "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query IN ('COMMIT', 'COMMIT AND CHAIN', 'ROLLBACK')"
        )
        return [(row["state"], row["query"]) for row in found]
    finally:
        await connection.close()


def more() -> bool:
    return True


@on_postgres
async def test_a_batch_that_is_followed_is_committed_and_begins_the_next(
    stores: tuple[PostgresStore, PostgresStore], database: Database
) -> None:
    for number in range(4):
        one = capture(HoldRef(USER, 70, 1), 1)
        await stores[0].apply(f"b{number}", [replace(one, ledger_id=f"7:{number}")], more)
        assert len(await rows(database, credit_transactions)) == number + 1
        assert await said(database) == [("idle in transaction", "COMMIT AND CHAIN")]
        assert await stores[0].is_committed(f"b{number}")
    # What others did meanwhile is seen, and their locks are waited for.
    taken = TakeLease(LEASE, USER, 5_000, 0, 1, LATER)
    await stores[1].apply("other", [taken])
    lowered = ("UPDATE leases SET amount_nano_usd = 60", "UPDATE balances SET reserved_nano_usd = 60")
    await apply_behind(database, stores[0], lowered, capture(HoldRef(USER, 70, 100, lease_id=LEASE)))
    assert (await rows(database, balances))[0].reserved_nano_usd == 0
    assert {state for state, _ in await said(database)} == {"idle"}


@on_postgres
async def test_a_chain_ends_now_and_then(
    stores: tuple[PostgresStore, PostgresStore], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_postgres, "LONGEST_CHAIN_S", 0.0)
    await stores[0].apply("b", [capture(HoldRef(USER, 70, 1), 1)], more)
    assert await said(database) == [("idle", "COMMIT")]


@on_postgres
async def test_a_refused_batch_in_a_chain_leaves_nothing(
    stores: tuple[PostgresStore, PostgresStore], database: Database
) -> None:
    good = capture(HoldRef(USER, 70, 1), 1)
    await stores[0].apply("good", [good], more)
    with pytest.raises(AlreadyPosted):
        await stores[0].apply("again", [good], more)
    with pytest.raises(BadOperation):
        await stores[0].apply(
            "bad", [replace(good, ledger_id="7:bad", charge=replace(good.charge, model="a\0b"))], more
        )
    assert await said(database) == [("idle", "ROLLBACK")]
    await stores[0].apply("next", [replace(good, ledger_id="7:next")])
    assert len(await rows(database, credit_transactions)) == 2


@on_postgres
async def test_a_connection_lost_in_a_chain_loses_no_batch(
    stores: tuple[PostgresStore, PostgresStore], database: Database
) -> None:
    good = capture(HoldRef(USER, 70, 1), 1)
    await stores[0].apply("first", [good], more)
    connection = await asyncpg.connect(database.postgres_dsn)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query = 'COMMIT AND CHAIN'"
    )
    await connection.close()
    following = [replace(good, ledger_id="7:second")]
    try:
        await stores[0].apply("second", following, more)
    except StoreAway:  # or it was known already that the connection is gone
        assert not await stores[0].is_committed("second")
        await stores[0].apply("second", following)
    assert await stores[0].is_committed("first")
    assert len(await rows(database, credit_transactions)) == 2
