"""Is it well? Always 200; bad news is in the body."""

import asyncio
import time
from typing import Any, Protocol, cast

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response

from gatewayz import __version__
from gatewayz.billing.writer import Writer
from gatewayz.infra.clock import Clock, iso
from gatewayz.infra.db import Database
from gatewayz.infra.redis import RedisLink
from gatewayz.providers.registry import Providers
from gatewayz.routing.breaker_state import BreakerState
from gatewayz.routing.breakers import Breakers

DATABASE_WAIT_S = 2.0
_QUICK = b'{"status":"ok"}'


class House(Protocol):
    """What these pages work with."""

    database: Database
    redis: RedisLink
    clock: Clock
    writer: Writer
    breakers: Breakers
    providers: Providers
    started_at_us: int


def router() -> APIRouter:
    """GET /, /ping, /health, /health/quick."""
    routes = APIRouter(tags=["health"])
    routes.get("/", summary="What this is")(greet)
    routes.get("/ping", summary="Is the process there, and since when")(ping)
    routes.get("/health", summary="State of the whole and of each component")(health)
    routes.get("/health/quick", summary="Is the process there")(quick)
    return routes


async def greet() -> dict[str, str]:
    """Name, version, and where to look next."""
    return {"name": "gatewayz", "version": __version__, "openapi": "/openapi.json", "health": "/health"}


async def ping(request: Request) -> dict[str, Any]:
    """Uptime of this process in seconds."""
    house = cast(House, request.app.state.house)
    return {"status": "ok", "uptime_s": (house.clock.now_us() - house.started_at_us) / 1e6}


async def quick() -> Response:
    """A static answer."""
    return Response(_QUICK, media_type="application/json")


async def health(request: Request) -> dict[str, Any]:
    """Overall status `healthy` or `degraded`, and each component with its own."""
    house = cast(House, request.app.state.house)
    components = {
        "database": await _database(house),
        "redis": {"status": {"up": "healthy", "down": "degraded", "off": "not_configured"}[house.redis.state]},
        "billing": {"status": "degraded" if house.writer.is_away else "healthy", "waiting": house.writer.depth},
        "providers": _providers(house),
    }
    degraded = [name for name, part in components.items() if part["status"] not in ("healthy", "not_configured")]
    return {
        "status": "degraded" if degraded else "healthy",
        "version": __version__,
        "timestamp": iso(house.clock.now_us()),
        "degraded": degraded,
        "components": components,
    }


async def _database(house: House) -> dict[str, Any]:
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(DATABASE_WAIT_S):
            await house.database.ping()
    except (sa.exc.SQLAlchemyError, OSError, TimeoutError) as error:
        return {"status": "unavailable", "error": type(error).__name__}
    return {"status": "healthy", "latency_ms": round((time.monotonic() - started_s) * 1000, 2)}


def _providers(house: House) -> dict[str, Any]:
    slugs = sorted(house.providers.active_slugs())
    paused = [slug for slug in slugs if house.breakers.state(slug) is BreakerState.OPEN]
    status = "healthy" if slugs and not paused else "degraded"
    return {"status": status, "active": len(slugs), "paused": paused}
