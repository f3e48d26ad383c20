"""Finding one request's record again: by either id, near its charge or among the newest, never another account's."""

from typing import Any

import sqlalchemy as sa

from gatewayz.accounts import keys, users
from gatewayz.accounts.audit import SYSTEM
from gatewayz.accounts.emails import Email
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.crypto import KeyRing, derive_pepper, new_fernet_key
from gatewayz.infra.db import Database
from gatewayz.operations import generations
from gatewayz.operations.records import RECORD_COLUMNS, RequestRecord, row
from gatewayz.operations.tables import activity_log

MINUTE_US = 60_000_000


async def note(database: Database, at_us: int, request_id: str, *, user: int = 1, key: int = 7, **more: Any) -> None:
    record = RequestRecord(at_us, user, key, request_id, "/v1/chat/completions", "m/m", **more)
    async with database.begin() as connection:
        await connection.execute(sa.insert(activity_log), dict(zip(RECORD_COLUMNS, row(record), strict=True)))


async def found(database: Database, wanted: str, *, user: int = 1, charged: int | None = None) -> str | None:
    async with database.read() as connection:
        record = await generations.find(connection, user, wanted, charged)
    return None if record is None else record["request_id"]


async def test_either_id_finds_the_record_of_the_own_account(database: Database, clock: ManualClock) -> None:
    now = clock.now_us()
    await note(database, now, "r-1", upstream_id="chatcmpl-up")
    await note(database, now, "r-2", user=2, upstream_id="chatcmpl-other")
    for wanted in ("r-1", "chatcmpl-up", "chatcmpl-r-1", "msg_r-1", "gen-r-1"):
        assert await found(database, wanted) == "r-1"
    for wanted in ("r-2", "chatcmpl-other", "nothing", "-1"):
        assert await found(database, wanted) is None


async def test_the_time_of_the_charge_leads_to_old_records(database: Database, clock: ManualClock) -> None:
    now = clock.now_us()
    await note(database, now - 5 * MINUTE_US, "old", upstream_id="up-old")
    await note(database, now, "new")
    assert await found(database, "old", charged=now) == "old"
    assert await found(database, "old", charged=now - 100 * generations.LONGEST_REQUEST_US) == "old", "else by looking"


async def test_of_several_the_newest_is_meant(database: Database, clock: ManualClock) -> None:
    now = clock.now_us()
    await note(database, now - MINUTE_US, "again", status=502)
    await note(database, now, "again", status=200)
    async with database.read() as connection:
        record = await generations.find(connection, 1, "again", None)
    assert record is not None and record["status"] == 200


async def own_key(database: Database, name: str) -> tuple[int, int]:
    """A new account and its key, by their ids."""
    secret, address = new_fernet_key(), f"{name}@example.com"
    ring = KeyRing([secret], derive_pepper(secret))
    async with database.begin() as connection:
        user = await users.create(
            connection,
            username=name,
            email=Email(address, address),
            auth_method="email",
            environment="live",
            origin=SYSTEM,
            now_us=1,
        )
        issued = await keys.create(connection, ring, user.id, "live", keys.KeySettings(name), SYSTEM, 1)
    return user.id, issued.key.id


async def test_spend_of_a_key_is_added_up_from_each_beginning(database: Database, clock: ManualClock) -> None:
    now = clock.now_us()
    user, key = await own_key(database, "a")
    _, other = await own_key(database, "b")
    await note(database, now - 10 * MINUTE_US, "a", user=user, key=key, cost_nano_usd=5)
    await note(database, now, "b", user=user, key=key, cost_nano_usd=7, model="acme/tiny:free")
    await note(database, now, "of the account's other key", user=user, key=key + 100, cost_nano_usd=100)
    async with database.read() as connection:
        assert await generations.spent_since(connection, key, (now - MINUTE_US, now - 20 * MINUTE_US)) == (7, 12)
        assert await generations.spent_since(connection, other, (now, now)) == (0, 0)
        assert await generations.spent_since(connection, 10**9, (now, now)) == (0, 0)
        assert await generations.free_requests_since(connection, user, now - MINUTE_US) == 1


async def test_a_keys_records_are_looked_up_by_account_time_and_key(database: Database) -> None:
    query = "SELECT sum(cost_nano_usd) FROM activity_log WHERE user_id = 1 AND created_at_us >= 5 AND api_key_id = 7"
    async with database.read() as connection:
        if database.is_sqlite:
            plan = repr((await connection.execute(sa.text(f"EXPLAIN QUERY PLAN {query}"))).all())
            assert "ix_activity_log_user_time_key (user_id=? AND created_at_us>?)" in plan
        else:
            for scan in ("seqscan", "bitmapscan"):
                await connection.execute(sa.text(f"SET LOCAL enable_{scan} = off"))
            plan = repr((await connection.execute(sa.text(f"EXPLAIN {query}"))).all())
            assert "ix_activity_log_user_time_key" in plan
            assert "Index Cond: ((user_id = 1) AND (created_at_us >= 5) AND (api_key_id = 7))" in plan
