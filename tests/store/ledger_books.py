"""A small shop over a real database: accounts that are funded, answered, failed and refunded as the gateway does it."""

from typing import Any

import sqlalchemy as sa
from msgspec import structs

from gatewayz.billing import grants
from gatewayz.billing.books import Books
from gatewayz.billing.cashier import Cashier
from gatewayz.billing.ops import Charge
from gatewayz.billing.pricing import cost, price_json, usage_json
from gatewayz.billing.reconcile import Report, reconcile
from gatewayz.billing.reconcile_store import snapshot
from gatewayz.billing.store_postgres import PostgresStore
from gatewayz.billing.store_sqlite import SqliteStore
from gatewayz.billing.sweep import Sweeper
from gatewayz.billing.writer import Writer
from gatewayz.catalog import PriceSnapshot
from gatewayz.core.caller import SCOPES, Caller
from gatewayz.core.usage import Usage
from gatewayz.infra.clock import US_PER_S, ManualClock
from gatewayz.infra.db import Database
from gatewayz.operations.records import RequestRecord
from gatewayz.settings import Settings

USD = 1_000_000_000
CENT = USD // 100
# USD 2 and 8 per million tokens: a prompt token costs 2,000 nano-USD, a token of the answer 8,000.
PRICE = PriceSnapshot(1, "test", 0, 2 * USD, 8 * USD, cache_read=USD // 5)
FREE = PriceSnapshot(2, "test", 0, 0, 0)
USAGE = Usage(100, 50)
COST = 600_000


class Shop:
    """One gateway process as far as money is concerned; several over one database are several processes."""

    def __init__(self, database: Database, clock: ManualClock, name: str = "p") -> None:
        def books() -> Books:
            return Books(clock.now_us(), USD, 5 * USD)

        self.database = database
        self.clock = clock
        self.store = (
            SqliteStore(database.sqlite_path, books)
            if database.is_sqlite
            else PostgresStore(database.postgres_dsn, books)
        )
        self.writer = Writer(self.store)
        self.cashier = Cashier(self.writer, Settings(), clock, name)
        self.sweeper = Sweeper(database, self.writer, clock)

    async def close(self) -> None:
        await self.cashier.close()
        await self.writer.close()

    async def open(self, user_id: int, amount: int = 0, *, trial: bool = False) -> None:
        """An account with this much purchased credit, and the trial credit if wanted."""
        async with self.database.begin() as connection:
            await grants.open_account(connection, Settings(), user_id, self.clock.now_us(), trial=trial)
        if amount:
            await self.give(user_id, amount, f"fund:{user_id}")

    async def give(self, user_id: int, amount: int, key: str) -> None:
        async with self.database.begin() as connection:
            order = grants.Order(user_id, amount, key, "test", "system", self.clock.now_us())
            await grants.grant(connection, order)

    async def refund(self, user_id: int, request_id: str, amount: int | None = None) -> None:
        async with self.database.begin() as connection:
            order = grants.Order(user_id, 0, f"sorry:{user_id}:{request_id}", "sorry", "user:1", self.clock.now_us())
            await grants.refund_charge(connection, order, request_id, amount)

    async def answer(
        self,
        user_id: int,
        request_id: str,
        usage: Usage = USAGE,
        price: PriceSnapshot = PRICE,
        *,
        attempt: int = 1,
        status: int = 200,
        model: str = "acme/chat",
        provider: str = "first",
    ) -> int:
        """An answer that is charged; returns what it cost."""
        amount = cost(price, usage)
        ledger_id = _ledger_id(user_id, request_id, attempt)
        hold = await self.cashier.hold(caller_of(user_id), ledger_id, amount)
        charge = Charge(
            amount, model, provider, usage.prompt_tokens, usage.completion_tokens, usage_json(usage), price_json(price)
        )
        record = structs.replace(self.record(user_id, request_id, status), cost_nano_usd=amount)
        await self.cashier.capture(hold, ledger_id, charge, record)
        return amount

    async def fail(self, user_id: int, request_id: str, *, attempt: int = 1, hold: int = CENT) -> None:
        """A request that the provider failed: hold and refund."""
        ledger_id = _ledger_id(user_id, request_id, attempt)
        held = await self.cashier.hold(caller_of(user_id), ledger_id, hold)
        await self.cashier.void(held, ledger_id, "provider_error", self.record(user_id, request_id, 502))

    async def refuse(self, user_id: int | None, request_id: str, status: int = 400) -> None:
        """A request for which nothing is owed."""
        await self.cashier.release(None, self.record(user_id, request_id, status))

    def record(self, user_id: int | None, request_id: str, status: int) -> RequestRecord:
        began_us = self.clock.now_us() - 2 * US_PER_S
        return RequestRecord(began_us, user_id, 70, request_id, "/v1/chat/completions", "acme/chat", status=status)

    async def later(self, seconds: float) -> None:
        """Time passes, and what is left of expired promises is swept."""
        self.clock.advance(seconds)
        await self.sweeper.sweep()

    async def check(self, since_us: int | None = None) -> Report:
        """The reconciliation of this moment."""
        async with snapshot(self.database) as connection:
            return await reconcile(connection, self.clock.now_us(), since_us)

    async def run(self, statement: str, **values: Any) -> None:
        """What nobody should do to a ledger."""
        async with self.database.begin() as connection:
            await connection.execute(sa.text(statement), values)

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self.database.read() as connection:
            return list((await connection.execute(sa.text(statement), values)).all())


def caller_of(user_id: int) -> Caller:
    return Caller(user_id, 70, "user", "free", frozenset(SCOPES))


def _ledger_id(user_id: int, request_id: str, attempt: int) -> str:
    return f"{user_id}:{request_id}" if attempt == 1 else f"{user_id}:{request_id}:{attempt}"
