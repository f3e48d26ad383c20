"""The servers that other tests run against: they keep their port and data through stops, and leave nothing behind."""

import os
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.servers import postgres_database, redis_program, start_postgres, start_redis


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_postgres_keeps_committed_rows_through_stop_and_kill() -> None:
    before = children()
    dsn, server = start_postgres(durable=True)
    home = server.home
    with postgres_database(dsn) as database:
        connection = await asyncpg.connect(database)
        await connection.execute("CREATE TABLE kept (number int)")
        await connection.execute("INSERT INTO kept VALUES (1)")
        await connection.close()
        for end in (server.stop, server.kill):
            end()
            assert not server.running
            with pytest.raises(OSError):
                await asyncpg.connect(database)
            server.start()
            connection = await asyncpg.connect(database)
            assert await connection.fetchval("SELECT sum(number) FROM kept") == 1
            assert await connection.fetchval("SHOW fsync") == "on"
            await connection.close()
    server.close()
    assert not home.exists()
    assert children() <= before


async def test_databases_are_copies_of_a_template_and_go_away_again() -> None:
    dsn, server = start_postgres()
    with postgres_database(dsn) as template:
        connection = await asyncpg.connect(template)
        await connection.execute("CREATE TABLE seed (number int)")
        await connection.close()
        with postgres_database(dsn, template.rpartition("/")[2]) as copy:
            connection = await asyncpg.connect(copy)
            assert await connection.fetchval("SELECT count(*) FROM seed") == 0
            await connection.close()
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(copy)
    server.close()


def test_redis_is_gone_with_its_data_when_closed() -> None:
    assert os.access(redis_program(), os.X_OK)
    _, server = start_redis(own=True)
    assert server.answers()
    home: Path = server.home
    server.close()
    assert not server.answers()
    assert not home.exists()
