"""A fresh database per test, on SQLite and on PostgreSQL, and the small house around it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from accounts_house import House

from gatewayz.accounts import tables as _account_tables  # noqa: F401
from gatewayz.infra import tables as _infra_tables  # noqa: F401
from gatewayz.infra.db import Database, metadata

sys.path.insert(0, str(Path(__file__).parents[2]))
from servers import postgres_database, shared_postgres


async def _create(url: str) -> None:
    database = Database(url)
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await database.close()


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str]:
    """Name of a PostgreSQL database that has the schema."""
    with postgres_database(shared_postgres()) as dsn:
        asyncio.run(_create(dsn))
        yield dsn.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of an empty database with the schema. Not a coroutine, since starting a server needs no loop to run."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/accounts.db"
        asyncio.run(_create(url))
        yield url
        return
    with postgres_database(shared_postgres(), request.getfixturevalue("postgres_template")) as dsn:
        yield dsn


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty database with the schema."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def house(database: Database) -> House:
    """The rooms that the pages of accounts need, over that database."""
    return House(database)
