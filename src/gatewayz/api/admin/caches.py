"""The caches of all processes: how they do, and how they are emptied."""

from typing import Any, Protocol, cast

from fastapi import APIRouter, Request

from gatewayz.accounts import audit
from gatewayz.accounts.authenticate import Authenticator
from gatewayz.api.auth import AdminCaller, origin_of
from gatewayz.catalog import CatalogKeeper
from gatewayz.infra.answers import AnswerCache
from gatewayz.infra.changes import ChangeFeed, announce
from gatewayz.infra.clock import Clock
from gatewayz.infra.db import Database
from gatewayz.infra.redis import RedisLink

TOPIC = "cache"


class House(Protocol):
    """What these pages work with."""

    database: Database
    clock: Clock
    feed: ChangeFeed
    redis: RedisLink
    catalog: CatalogKeeper
    authenticator: Authenticator
    answers: AnswerCache
    huggingface_answers: AnswerCache


def router() -> APIRouter:
    """The routes under /admin/cache, and /admin/refresh-providers."""
    routes = APIRouter(tags=["caches"])
    routes.get("/admin/cache/status", summary="Hits, misses and sizes of this process's caches")(status)
    routes.post("/admin/cache/clear", summary="Empty all caches of all processes")(clear)
    routes.post("/admin/cache/refresh", summary="Empty all caches and load the catalog anew")(clear)
    for path in ("/admin/refresh-providers", "/admin/model-sync/providers-only"):
        routes.post(path, summary="Read providers and their models anew in all processes")(refresh)
    return routes


async def status(request: Request, caller: AdminCaller) -> dict[str, Any]:
    """Figures since this process started; `fallback` while Redis is configured and away."""
    house = _house_of(request)
    auth = house.authenticator
    data = [
        {
            "name": cache.name,
            "entries": len(cache),
            "bytes": cache.bytes_kept,
            "hits": cache.hits,
            "shared_hits": cache.shared_hits,
            "misses": cache.misses,
            "builds": cache.builds,
            "fallback": cache.is_fallback,
        }
        for cache in (house.answers, house.huggingface_answers)
    ]
    data.append({"name": "auth", "entries": auth.size, "hits": auth.hits, "misses": auth.misses})
    return {"data": data, "total": len(data), "redis": house.redis.state}


async def clear(request: Request, caller: AdminCaller) -> dict[str, Any]:
    """What Redis kept is gone and every process is told; this one has emptied its own before the answer."""
    house = _house_of(request)
    async with house.database.begin() as connection:
        now_us = house.clock.now_us()
        await announce(connection, TOPIC, "clear", now_us)
        entry = audit.Entry(now_us, "cache.clear", "cache:*", origin_of(request, caller))
        await audit.append(connection, "audit", entry)
    shared = 0
    for cache in (house.answers, house.huggingface_answers):
        shared += await cache.clear_shared()
    house.feed.tell(TOPIC, "clear")
    await house.catalog.load()
    return {"cleared": ["catalog", "huggingface", "auth"], "shared_entries": shared, "redis": house.redis.state}


async def refresh(request: Request, caller: AdminCaller) -> dict[str, Any]:
    """As after `gatewayz config apply`: the configuration is read again and the caches are emptied."""
    house = _house_of(request)
    async with house.database.begin() as connection:
        await announce(connection, "config", "applied", house.clock.now_us())
    house.feed.tell("config", "applied")
    return await clear(request, caller)


def _house_of(request: Request) -> House:
    return cast(House, request.app.state.house)
