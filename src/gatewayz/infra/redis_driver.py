"""redis-py as the link uses it. Imported only where a REDIS_URL is set: six megabytes in every process otherwise."""

from typing import Any

import redis.asyncio as redis_client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

__all__ = ["UNUSABLE", "NoScriptError", "RedisError", "ResponseError", "connect", "server_of"]

MAX_CONNECTIONS = 16

# Answers by which the server refuses to serve us as a whole, although the connection works: a replica, a full memory, a
# failing disk, a missing permission.
UNUSABLE = (ReadOnlyError, OutOfMemoryError, NoPermissionError, MasterDownError, ClusterDownError)


async def server_of(client: Any) -> str | None:
    """What tells one run of the server from the next; None if we may not know. Raises RedisError."""
    try:
        found = await client.info("server")
    except ResponseError:
        return None
    return str(found.get("run_id"))


def connect(url: str, wait_s: float, socket_timeout_s: float) -> "redis_client.Redis":
    """A client that waits at most `wait_s` for a free connection. Raises ValueError for another scheme than Redis's."""
    # Retries inside the client would multiply the longest wait, and its greeting to the server costs a round trip each.
    pool = redis_client.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=wait_s,
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=socket_timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
    )
    return redis_client.Redis.from_pool(pool)
