"""Figures for scrapers: GET /metrics in Prometheus or OpenMetrics text."""

from typing import Protocol, cast

from fastapi import APIRouter, Request, Response

from gatewayz.accounts.authenticate import Authenticator
from gatewayz.billing.cashier import Cashier
from gatewayz.billing.writer import Writer
from gatewayz.core.errors import Unauthenticated
from gatewayz.gateway.pipeline import Gateway
from gatewayz.infra.answers import AnswerCache
from gatewayz.infra.crypto import equal_secret
from gatewayz.infra.redis import RedisLink
from gatewayz.infra.telemetry import Metrics
from gatewayz.policy.limits import Limiter
from gatewayz.settings import Settings

_RESULTS = {"hits": "hit", "shared_hits": "shared_hit", "misses": "miss"}


class House(Protocol):
    """What this page works with."""

    settings: Settings
    metrics: Metrics
    limiter: Limiter
    authenticator: Authenticator
    writer: Writer
    cashier: Cashier
    redis: RedisLink
    gateway: Gateway
    answers: AnswerCache
    huggingface_answers: AnswerCache


def router() -> APIRouter:
    """GET /metrics."""
    routes = APIRouter(tags=["metrics"])
    routes.get("/metrics", summary="Prometheus or OpenMetrics text")(expose)
    return routes


async def expose(request: Request) -> Response:
    """All metric families of all worker processes; open unless a scrape token is configured."""
    house = cast(House, request.app.state.house)
    token = house.settings.metrics_token
    given = request.headers.get("authorization", "")
    if token and not equal_secret(given.removeprefix("Bearer ").strip(), token):
        raise Unauthenticated("Metrics need the scrape token as Authorization: Bearer.", code="invalid_token")
    refresh(house)
    body, content_type = house.metrics.expose(request.headers.get("accept"))
    return Response(body, headers={"content-type": content_type})


def refresh(house: House) -> None:
    """Brings the gauges of this process up to date; called at each scrape and once a second in the background."""
    metrics = house.metrics
    metrics.tally.flush()
    metrics.in_flight.set(house.gateway.in_flight)
    metrics.ledger_queue.set(house.writer.depth)
    metrics.ledger_batches.set(house.writer.batches)
    metrics.ledger_away.set(house.writer.is_away)
    metrics.leases.set(house.cashier.open_slices)
    metrics.velocity.set(house.limiter.velocity.active)
    for layer, count in house.limiter.refused.items():
        metrics.refused.labels(layer).set(count)
    metrics.auth_cache.labels("hit").set(house.authenticator.hits)
    metrics.auth_cache.labels("miss").set(house.authenticator.misses)
    for cache in (house.answers, house.huggingface_answers):
        for result, label in _RESULTS.items():
            metrics.cache_lookups.labels(cache.name, label).set(getattr(cache, result))
        metrics.cache_entries.labels(cache.name).set(len(cache))
        metrics.cache_bytes.labels(cache.name).set(cache.bytes_kept)
        metrics.cache_fallback.labels(cache.name).set(cache.is_fallback)
    metrics.redis_up.set(house.redis.state == "up")
