"""Velocity mode as everyone may see it: whether limits are reduced now, why, and until when."""

from typing import Any, Protocol, cast

from fastapi import APIRouter, Request

from gatewayz.core.caller import TIERS
from gatewayz.infra.clock import iso
from gatewayz.policy.limits import Limiter, Velocity, anonymous_daily_limit, plan_rpm
from gatewayz.settings import Settings


class House(Protocol):
    """What this page needs of `app.state.house`."""

    @property
    def settings(self) -> Settings: ...

    @property
    def limiter(self) -> Limiter: ...


def router() -> APIRouter:
    """The route of velocity mode."""
    routes = APIRouter(tags=["Limits"])
    routes.get("/velocity-mode-status")(velocity_mode_status)
    return routes


async def velocity_mode_status(request: Request) -> dict[str, Any]:
    """The mode, the share of failed requests behind it, and the limits with and without it (null: no limit)."""
    house = cast(House, request.app.state.house)
    settings, velocity = house.settings, house.limiter.velocity
    status = velocity.status()
    return {
        "active": status.active,
        "mode": velocity.mode,
        "until": iso(status.until_us),
        "rate": round(status.failure_rate, 6),
        "failures": status.failures,
        "sample_size": status.requests,
        "threshold": settings.velocity_threshold,
        "window_s": settings.velocity_window_s,
        "cooldown_s": settings.velocity_cooldown_s,
        "minimum_sample_size": settings.velocity_min_requests,
        "factor": settings.velocity_factor,
        "normal_limits": _limits(settings, None),
        "reduced_limits": _limits(settings, velocity),
    }


def _limits(settings: Settings, velocity: Velocity | None) -> dict[str, Any]:
    def shown(limit: int) -> int | None:
        return (velocity.reduced(limit) if velocity else limit) or None

    return {
        "ip_per_minute": shown(settings.ip_limit_per_min),
        "fingerprint_per_minute": shown(settings.fingerprint_limit_per_min),
        "anonymous_per_day": shown(anonymous_daily_limit(settings)) or 0,
        "key_per_minute": {tier: shown(plan_rpm(tier, settings)) for tier in TIERS},
    }
