"""The feed of changes on both databases: each change is heard once, by every process, also after a lost connection."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from gatewayz.infra.changes import ChangeFeed, announce
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.db import Database
from gatewayz.infra.glances import GlanceFailed
from gatewayz.infra.tables import changes
from tests.servers import postgres_database, shared_postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/feed.db"
        return
    with postgres_database(shared_postgres()) as dsn:
        yield dsn


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    async with database.begin() as connection:
        await connection.run_sync(lambda sync: changes.metadata.create_all(sync, tables=[changes]))
    yield database
    await database.close()


async def say(database: Database, subject: str, clock: ManualClock) -> None:
    async with database.begin() as connection:
        await announce(connection, "topic", subject, clock.now_us())


async def test_each_change_is_heard_once_by_each_process(database: Database, url: str) -> None:
    clock = ManualClock()
    other = Database(url)
    feeds, heard = [], []
    for mine in (database, other):
        feed, list_ = ChangeFeed(mine, clock), []
        feed.on("topic", list_.append)
        await feed.start()
        feeds.append(feed)
        heard.append(list_)
    for number in range(5):
        await say(database, str(number), clock)
        for feed in feeds:
            assert await feed.poll() == 1
            assert await feed.poll() == 0
    assert heard == [["0", "1", "2", "3", "4"]] * 2
    await other.close()
    await other.close()


async def test_a_row_that_is_not_committed_is_heard_when_it_is(database: Database) -> None:
    clock = ManualClock()
    feed = ChangeFeed(database, clock)
    await feed.start()
    async with database.begin() as connection:
        await announce(connection, "topic", "late", clock.now_us())
        assert await feed.poll() == 0
    assert await feed.poll() == 1


async def test_a_lost_connection_is_one_failed_look(database: Database, url: str) -> None:
    if not url.startswith("postgres"):
        assert database.is_sqlite  # there is no connection to lose
        return
    clock = ManualClock()
    feed = ChangeFeed(database, clock)
    await feed.start()
    assert await feed.poll() == 0
    mine = await asyncpg.connect(url)
    await mine.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await mine.close()
    with pytest.raises(GlanceFailed):
        await feed.poll()
    await say(database, "after", clock)
    assert await feed.poll() == 1


async def test_the_connection_of_the_feed_is_kept_without_a_transaction(database: Database, url: str) -> None:
    if not url.startswith("postgres"):
        assert database.is_sqlite  # a statement there is a transaction that ends
        return
    feed = ChangeFeed(database, ManualClock())
    for _ in range(3):
        await feed.poll()
    mine = await asyncpg.connect(url)
    states = await mine.fetch(
        "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%FROM changes%'"
        " AND pid <> pg_backend_pid()"
    )
    await mine.close()
    assert [row["state"] for row in states] == ["idle"]
