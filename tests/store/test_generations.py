"""Finding one request's record again: by either id, near its charge or among the newest, never another account's."""

from typing import Any

import sqlalchemy as sa

from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.operations import generations
from gatewayz.operations.records import RECORD_COLUMNS, RequestRecord, row
from gatewayz.operations.tables import activity_log

MINUTE_US = 60_000_000


async def note(database: Database, at_us: int, request_id: str, *, user: int = 1, **more: Any) -> None:
    record = RequestRecord(at_us, user, 7, request_id, "/v1/chat/completions", "m/m", **more)
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


async def test_spend_of_a_key_is_added_up_from_each_beginning(database: Database, clock: ManualClock) -> None:
    now = clock.now_us()
    await note(database, now - 10 * MINUTE_US, "a", cost_nano_usd=5)
    await note(database, now, "b", cost_nano_usd=7, model="acme/tiny:free")
    async with database.read() as connection:
        assert await generations.spent_since(connection, 7, (now - MINUTE_US, now - 20 * MINUTE_US)) == (7, 12)
        assert await generations.spent_since(connection, 8, (now, now)) == (0, 0)
        assert await generations.free_requests_since(connection, 1, now - MINUTE_US) == 1
