"""What the whole suite shares: options, real servers, databases of both kinds."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import gatewayz.accounts.tables
import gatewayz.billing.tables
import gatewayz.catalog.tables
import gatewayz.infra.tables
import gatewayz.operations.tables  # noqa: F401
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.wiring.prepare import migrate
from tests.servers import postgres_database, shared_postgres, shared_redis

# How fast examples are made and run tells of the machine and its neighbours, not of the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-servers",
        action="store_true",
        help="fail instead of skipping when no PostgreSQL or Redis can be started",
    )


@pytest.fixture(scope="session")
def postgres_dsn(request: pytest.FixtureRequest) -> str:
    """DSN of a real PostgreSQL server, one per worker process."""
    try:
        return shared_postgres()
    except (OSError, RuntimeError, ImportError) as error:
        if request.config.getoption("--require-servers"):
            raise
        pytest.skip(f"no PostgreSQL can be started here: {error}")


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """URL of a real Redis server, one per worker process."""
    try:
        return shared_redis()
    except (OSError, RuntimeError, ImportError) as error:
        if request.config.getoption("--require-servers"):
            raise
        pytest.skip(f"no Redis can be started here: {error}")


async def _shape(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file in the newest shape, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    asyncio.run(_shape(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_dsn: str) -> Iterator[str]:
    """Name of a PostgreSQL database in the newest shape, to be copied."""
    with postgres_database(postgres_dsn) as url:
        asyncio.run(_shape(url))
        yield url.rpartition("/")[2]


@pytest.fixture
def postgres_url(postgres_dsn: str) -> Iterator[str]:
    """A fresh, empty PostgreSQL database, dropped afterwards."""
    with postgres_database(postgres_dsn) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database of each kind in the newest shape, without rows."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "test.db")
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    template = request.getfixturevalue("postgres_template")
    with postgres_database(request.getfixturevalue("postgres_dsn"), template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh database of each kind in the newest shape."""
    opened = Database(database_url)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until it is moved."""
    return ManualClock()
