"""The sync on real databases: history of prices, incremental writes, the schedule, and one run at a time."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from gatewayz.catalog import CatalogKeeper, apply_config, resolve
from gatewayz.catalog.records import ModelRecord, OfferRecord, PriceRecord
from gatewayz.catalog.sync import Busy, Syncer
from gatewayz.catalog.sync_store import runs_page
from gatewayz.catalog.tables import price_history
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.infra.http_client import ConnectFailed, Timeouts
from gatewayz.infra.leases import Held, is_held, lease
from gatewayz.providers.model_feeds import ModelFeed
from gatewayz.providers.profile import Provider

MTOK = 10**9


@dataclass
class AReply:
    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        return self.content

    async def next_chunk(self) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        pass


@dataclass
class Lists:
    """A transport that answers with lists; a provider without one cannot be reached."""

    by_host: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> AReply:
        self.asked.append(url)
        if self.gate is not None:
            await self.gate.wait()
        host = url.split("/")[2]
        if self.by_host.get(host) == "a mistake of ours":
            raise RuntimeError(host)
        if host not in self.by_host:
            raise ConnectFailed("refused")
        return AReply(200, json.dumps({"data": self.by_host[host]}).encode())

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> AReply:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Some:
    def __init__(self, *slugs: str) -> None:
        self._all = tuple(
            Provider(
                slug=slug, name=slug, dialect="openai", url=f"http://{slug}/v1/chat/completions", headers={},
                feed=ModelFeed(f"http://{slug}/v1/models", "openai", "usd_per_mtok", True),
            )
            for slug in slugs
        )  # fmt: skip

    def all(self) -> tuple[Provider, ...]:
        return self._all


def entry(name: str, prompt: float = 2, completion: float = 8) -> dict[str, Any]:
    return {"id": name, "context_length": 1000, "pricing": {"prompt": prompt, "completion": completion}}


KNOWN = [f"acme/m{number}" for number in range(4)]


async def prepared(database: Database, clock: ManualClock, lists: Lists, *slugs: str, **more: Any) -> Syncer:
    """A syncer, with a few models that another provider has at 2 and 8 USD per million tokens."""
    price = PriceRecord(prompt=2 * MTOK, completion=8 * MTOK)
    records = [
        ModelRecord(id=name, kind="chat", offers=(OfferRecord(provider="other", native_id=name, price=price),))
        for name in KNOWN
    ]
    async with database.begin() as connection:
        await apply_config(connection, records, clock.now_us())
    return Syncer(database, lists, clock, lambda: Some(*slugs), jitter=lambda: 0.0, **more)


async def history(database: Database) -> list[tuple[int, str, bool]]:
    query = sa.select(price_history).where(price_history.c.source.like("% model list")).order_by(price_history.c.id)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return [(row.prompt // MTOK, row.source, row.effective_until_us is None) for row in rows]


async def test_prices_have_a_history(database: Database) -> None:
    clock, lists = ManualClock(), Lists()
    syncer = await prepared(database, clock, lists, "a")
    for prompt in (2, 3, 4):
        clock.advance(10)
        lists.by_host["a"] = [*map(entry, KNOWN), entry("acme/new", prompt)]
        result = await syncer.run("trigger")
        assert result.outcomes[0].error is None
    rows = [row for row in await history(database) if row[1] == "a model list"]
    changing = [row for row in rows if row[0] != 2 or not row[2]]
    assert changing == [(2, "a model list", False), (3, "a model list", False), (4, "a model list", True)]
    again = await syncer.run("trigger")
    assert again.outcomes[0].changed == 0
    keeper = CatalogKeeper(database, clock, ChangeFeed(database, clock))
    offer = next(o for o in resolve(await keeper.load(), "acme/new").offers if o.provider == "a")
    assert offer.price is not None and (offer.price.prompt, offer.price.source) == (4 * MTOK, "a model list")
    assert offer.context_length == 1000


async def test_providers_are_isolated(database: Database) -> None:
    lists = Lists({"a": [*map(entry, KNOWN)], "broken": "a mistake of ours"})
    syncer = await prepared(database, ManualClock(), lists, "a", "away", "broken")
    outcomes = {each.provider: each for each in (await syncer.run("all")).outcomes}
    assert outcomes["a"].status == "succeeded" and outcomes["a"].added == 4
    assert outcomes["broken"].status == "failed" and outcomes["broken"].error == "internal error: RuntimeError"
    assert outcomes["away"].status == "failed" and "ConnectFailed" in str(outcomes["away"].error)
    async with database.read() as connection:
        (row,), total = await runs_page(connection, 5, 0)
    assert (row["status"], row["failed"], row["added"], total) == ("partly_failed", 2, 4, 1)


async def test_two_processes_never_run_at_once(database: Database) -> None:
    lists, clock = Lists({"a": [*map(entry, KNOWN)]}, gate=asyncio.Event()), ManualClock()
    first = await prepared(database, clock, lists, "a")
    second = Syncer(database, lists, clock, lambda: Some("a"))
    run_id = await first.start("trigger")
    with pytest.raises(Busy):
        await second.run("trigger")
    with pytest.raises(Busy):
        await second.start("all")
    assert lists.gate is not None
    lists.gate.set()
    await asyncio.gather(*first._tasks)
    assert (await second.run("trigger")).run_id > run_id


async def test_a_lease_of_the_dead_runs_out(database: Database) -> None:
    clock = ManualClock()
    holder = lease(database, clock, "work")
    await holder.__aenter__()
    with pytest.raises(Held):
        async with lease(database, clock, "work"):
            pass
    clock.advance(61)
    assert not await is_held(database, clock, "work")
    async with lease(database, clock, "work"):
        assert await is_held(database, clock, "work")
        await holder.__aexit__(None, None, None)  # the dead one's end takes nothing away from the living
        assert await is_held(database, clock, "work")
    assert not await is_held(database, clock, "work")


async def test_the_schedule(database: Database) -> None:
    clock, lists = ManualClock(), Lists({"a": [*map(entry, KNOWN)]})
    syncer = await prepared(database, clock, lists, "a", interval_s=3600.0)
    assert not await syncer.tick()
    clock.advance(61)
    assert await syncer.tick()
    other = Syncer(database, lists, clock, lambda: Some("a"), interval_s=3600.0, jitter=lambda: 0.0)
    clock.advance(61)
    assert not await other.tick(), "another process has done it"
    clock.advance(1800)
    assert not await syncer.tick()
    clock.advance(1800)
    assert await syncer.tick()
    del lists.by_host["a"]
    clock.advance(3600)
    assert await syncer.tick()
    clock.advance(301)
    assert await syncer.tick(), "nobody answered, so it is tried again soon"
    never = Syncer(database, lists, clock, lambda: Some("a"), interval_s=0.0)
    clock.advance(10**6)
    assert not await never.tick()


async def test_a_full_import_keeps_the_last_good_price(database: Database) -> None:
    clock, lists = ManualClock(), Lists({"a": [*map(entry, KNOWN), entry("acme/new", 1, 3)]})
    syncer = await prepared(database, clock, lists, "a")
    await syncer.run("full")
    lists.by_host["a"] = [entry(name, 2000, 8000) for name in KNOWN] + [entry("acme/new", 1000, 3000)]
    await syncer.run("full")
    keeper = CatalogKeeper(database, clock, ChangeFeed(database, clock))
    catalog = await keeper.load()
    (offer,) = resolve(catalog, "acme/new").offers
    assert offer.price is not None and (offer.price.prompt, offer.price.completion) == (MTOK, 3 * MTOK)
