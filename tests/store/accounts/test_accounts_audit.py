"""The audit chains: joined, append-only, masked, serialised, and broken visibly."""

import asyncio
import hashlib
import json

import pytest
import sqlalchemy as sa
from accounts_house import House
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import audit
from gatewayz.accounts.audit import SYSTEM, BrokenLink, Entry, Filters, Origin
from gatewayz.accounts.tables import audit_heads, audit_log
from gatewayz.core.ids import new_key


async def write(house: House, count: int = 1, chain: audit.Chain = "audit", **fields: object) -> None:
    async with house.database.begin() as connection:
        for number in range(count):
            given = {"action": "thing.done", "resource": f"thing:{number}", "origin": SYSTEM} | fields
            await audit.append(connection, chain, Entry(house.clock.now_us(), **given))  # type: ignore[arg-type]


async def verdict(house: House, chain: audit.Chain = "audit") -> audit.Verdict:
    async with house.database.read() as connection:
        return await audit.verify(connection, chain)


async def without_guards(connection: AsyncConnection, *statements: str) -> None:
    """What somebody with the rights of the database's owner can do."""
    on_sqlite = connection.dialect.name == "sqlite"
    for event in ("update", "delete"):
        name = f"audit_log_no_{event}"
        await connection.execute(sa.text(f"DROP TRIGGER {name}" if on_sqlite else f"DROP TRIGGER {name} ON audit_log"))
    for statement in statements:
        await connection.execute(sa.text(statement))


async def test_each_entry_is_bound_to_the_one_before(house: House) -> None:
    await write(house, 3, before={"a": 1}, after={"a": 2}, reason="because", severity="high")
    async with house.database.read() as connection:
        rows = [dict(row) for row in (await connection.execute(sa.select(audit_log).order_by("seq"))).mappings()]
    previous = "0" * 64
    for number, row in enumerate(rows, start=1):
        stored = row.pop("hash")
        assert (row["seq"], row.pop("prev_hash")) == (number, previous)
        canonical = json.dumps(row, sort_keys=True, separators=(",", ":"))
        assert stored == hashlib.sha256((previous + canonical).encode()).hexdigest()
        previous = stored
    assert await verdict(house) == audit.Verdict(3, None)


async def test_an_empty_chain_is_whole(house: House) -> None:
    assert await verdict(house) == audit.Verdict(0, None)


async def test_the_chains_are_separate(house: House) -> None:
    await write(house, 2)
    await write(house, 1, "security")
    assert await verdict(house) == audit.Verdict(2, None)
    assert await verdict(house, "security") == audit.Verdict(1, None)


@pytest.mark.parametrize("statement", ["UPDATE {} SET reason = 'x'", "DELETE FROM {}"])
@pytest.mark.parametrize("table", ["audit_log", "security_audit_log"])
async def test_written_entries_cannot_be_changed(house: House, statement: str, table: str) -> None:
    await write(house, 1)
    await write(house, 1, "security")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        async with house.database.begin() as connection:
            await connection.execute(sa.text(statement.format(table)))


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["UPDATE audit_log SET reason = 'no reason' WHERE seq = 19"], BrokenLink(19, "altered")),
        (["UPDATE audit_log SET at_us = at_us + 1 WHERE seq = 1"], BrokenLink(1, "altered")),
        (["UPDATE audit_log SET owner_user_id = 7 WHERE seq = 3"], BrokenLink(3, "altered")),
        (["UPDATE audit_log SET hash = prev_hash WHERE seq = 5"], BrokenLink(5, "altered")),
        (["UPDATE audit_log SET prev_hash = hash WHERE seq = 5"], BrokenLink(5, "unlinked")),
        (["DELETE FROM audit_log WHERE seq = 12"], BrokenLink(12, "missing")),
        (["DELETE FROM audit_log WHERE seq = 1"], BrokenLink(1, "missing")),
        (["DELETE FROM audit_log WHERE seq > 15"], BrokenLink(16, "missing")),
        (["DELETE FROM audit_log"], BrokenLink(1, "missing")),
        (["UPDATE audit_heads SET hash = 'x'"], BrokenLink(20, "unlinked")),
        (["UPDATE audit_heads SET seq = 0"], BrokenLink(1, "unlinked")),
    ],
)
async def test_the_first_broken_link_is_named(house: House, statements: list[str], broken: BrokenLink) -> None:
    await write(house, 20)
    async with house.database.begin() as connection:
        await without_guards(connection, *statements)
    assert (await verdict(house)).broken == broken


async def test_long_chains_are_walked_in_batches(house: House) -> None:
    await write(house, 505)
    assert await verdict(house) == audit.Verdict(505, None)
    async with house.database.begin() as connection:
        await without_guards(connection, "DELETE FROM audit_log WHERE seq = 501")
    assert await verdict(house) == audit.Verdict(500, BrokenLink(501, "missing"))


async def test_writers_queue_at_the_head(house: House) -> None:
    await asyncio.gather(*(write(house, 3) for _ in range(10)))
    assert await verdict(house) == audit.Verdict(30, None)


async def test_a_rolled_back_entry_leaves_no_gap(house: House) -> None:
    await write(house, 1)
    with pytest.raises(RuntimeError):
        async with house.database.begin() as connection:
            await audit.append(connection, "audit", Entry(1, "a", "b", SYSTEM))
            raise RuntimeError
    await write(house, 1)
    assert await verdict(house) == audit.Verdict(2, None)


async def test_secrets_are_masked_and_wild_text_is_kept_harmless(house: House) -> None:
    secret = new_key("live")
    wild = Origin("user:1", 1, "203.0.113.9", f"agent\r\nX-Evil: 1\0\ud800 {secret} " + "x" * 9999, "req")
    after = {"password": "hunter2", "nested": {"api_key": "abc", "list": [f"the key {secret}"]}, "bad": "\0\ud800é"}
    await write(house, 1, origin=wild, after=after, reason=f"pasted {secret}")
    async with house.database.read() as connection:
        (row,), total = await audit.page(connection, "audit", Filters(), 10, 0)
    assert total == 1
    assert row["after"] == {
        "password": "***",
        "nested": {"api_key": "***", "list": ["the key gw_live_***"]},
        "bad": "\0\ud800é",
    }
    assert row["reason"] == "pasted gw_live_***"
    assert row["user_agent"].startswith("agent  X-Evil: 1 ? gw_live_***")
    assert len(row["user_agent"]) <= 512
    assert (await verdict(house)).broken is None


async def test_filters_and_pages(house: House) -> None:
    await write(house, 3, action="key.created", owner_user_id=7)
    house.clock.advance(60)
    await write(house, 2, action="key_ring.turned", severity="critical", origin=Origin("user:9", 9, request_id="r9"))
    start_us = house.clock.now_us()

    async def found(**filters: object) -> list[int]:
        async with house.database.read() as connection:
            rows, total = await audit.page(connection, "audit", Filters(**filters), 100, 0)  # type: ignore[arg-type]
        assert total == len(rows)
        return [row["seq"] for row in rows]

    assert await found() == [5, 4, 3, 2, 1]
    assert await found(action="key.") == await found(action="key.created") == [3, 2, 1]
    assert await found(owner_user_id=7, resource="thing:1") == [2]
    assert await found(severity="critical") == await found(actor_user_id=9) == await found(request_id="r9") == [5, 4]
    assert await found(from_us=start_us) == [5, 4]
    assert await found(until_us=start_us) == [3, 2, 1]
    async with house.database.read() as connection:
        rows, total = await audit.page(connection, "audit", Filters(), 2, 1)
    assert ([row["seq"] for row in rows], total) == ([4, 3], 5)


async def test_the_head_remembers_the_last_link(house: House) -> None:
    await write(house, 4)
    async with house.database.read() as connection:
        head = (await connection.execute(sa.select(audit_heads.c.seq, audit_heads.c.hash))).one()
        last = (await connection.execute(sa.select(audit_log.c.hash).where(audit_log.c.seq == 4))).scalar_one()
    assert tuple(head) == (4, last)
