"""Records by application, on both databases."""

import sqlalchemy as sa

from gatewayz.infra.db import Database
from gatewayz.operations import usage
from gatewayz.operations.records import RECORD_COLUMNS, RequestRecord, row
from gatewayz.operations.tables import activity_log

MINE, OTHER = 1, 2


async def test_requests_are_added_up_by_application(database: Database) -> None:
    records = [
        RequestRecord(1, MINE, 7, "a", "/v1/chat/completions", "m", app_origin="https://a.example", app_title="A",
                      prompt_tokens=3, cost_nano_usd=5),
        RequestRecord(2, MINE, 7, "b", "/v1/chat/completions", "m", app_origin="https://a.example", prompt_tokens=4),
        RequestRecord(3, MINE, 7, "c", "/v1/chat/completions", "m", app_title="Named ä"),
        RequestRecord(4, MINE, 7, "d", "/v1/chat/completions", "m"),
        RequestRecord(5, OTHER, 8, "e", "/v1/chat/completions", "m", app_title="Named ä"),
    ]  # fmt: skip
    async with database.begin() as connection:
        for record in records:
            values = dict(zip(RECORD_COLUMNS, row(record), strict=True))
            await connection.execute(sa.insert(activity_log), values)
    async with database.read() as connection:
        found = (await usage.totals(connection, usage.RecordFilter(MINE), "day"))["by_app"]
        some, total = await usage.page(connection, usage.RecordFilter(MINE, app="https://a.example"), 10, 0)
        named, _ = await usage.page(connection, usage.RecordFilter(MINE, app="Named ä"), 10, 0)
    told = {(each["app_origin"], each["app_title"]): each for each in found}
    assert told.keys() == {("https://a.example", "A"), (None, "Named ä"), (None, None)}
    first = told["https://a.example", "A"]
    assert (first["requests"], first["prompt_tokens"], first["cost_nano_usd"]) == (2, 7, 5)
    assert found[0] is first
    assert (total, {each["request_id"] for each in some}) == (2, {"a", "b"})
    assert [each["request_id"] for each in named] == ["c"]
