"""The circuit breakers, open to read and to reset: a reset is limited per address and written down.

With the setting `breaker_admin_only` every page here wants an administrator's key.
"""

from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, Protocol, cast

from fastapi import APIRouter, Depends, Path, Request, Response

from gatewayz.accounts.audit import Origin
from gatewayz.api.auth import Limiter, admin_caller, current_caller, origin_of, show_limit
from gatewayz.api.paging import Paging, listed
from gatewayz.core.caller import Caller
from gatewayz.routing.breakers import Breakers
from gatewayz.settings import Settings

_HOUR_S = 3600

Slug = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="provider, e.g. openai")]


class Providers(Protocol):
    """What the list asks of the configured providers."""

    def active_slugs(self) -> frozenset[str]: ...


class AuditHook(Protocol):
    """Writes one entry of the audit trail; raises if it cannot."""

    def __call__(
        self, action: str, *, resource: str, origin: Origin, before: Mapping[str, Any] | None = None
    ) -> Awaitable[None]: ...


class House(Protocol):
    """What these pages need of `app.state.house`."""

    @property
    def settings(self) -> Settings: ...

    @property
    def limiter(self) -> Limiter: ...

    @property
    def breakers(self) -> Breakers: ...

    @property
    def providers(self) -> Providers: ...

    @property
    def audit(self) -> AuditHook: ...


def router() -> APIRouter:
    """The routes of breakers."""
    routes = APIRouter(tags=["Circuit breakers"])
    routes.get("/circuit-breakers")(list_breakers)
    routes.post("/circuit-breakers/reset-all")(reset_all_breakers)
    routes.get("/circuit-breakers/{provider}")(get_breaker)
    routes.post("/circuit-breakers/{provider}/reset")(reset_breaker)
    return routes


async def _visitor(request: Request, response: Response) -> Caller | None:
    """None for everyone, or the administrator if the setting asks for one. Raises Unauthenticated, Forbidden."""
    if not _house_of(request).settings.breaker_admin_only:
        return None
    return await admin_caller(request, response, await current_caller(request))


Visitor = Annotated[Caller | None, Depends(_visitor)]


async def list_breakers(request: Request, page: Paging, _: Visitor) -> dict[str, Any]:
    """The breakers of all configured providers and of all that were called, by name."""
    house = _house_of(request)
    names = sorted(house.providers.active_slugs() | house.breakers.states().keys())
    shown = names[page.offset : page.offset + page.limit]
    return listed([house.breakers.snapshot(name) for name in shown], len(names), page)


async def get_breaker(request: Request, provider: Slug, _: Visitor) -> dict[str, Any]:
    """One breaker; a provider that was never called is CLOSED."""
    return _house_of(request).breakers.snapshot(provider)


async def reset_breaker(request: Request, response: Response, provider: Slug, visitor: Visitor) -> dict[str, Any]:
    """The breaker after it was forced CLOSED."""
    house = _house_of(request)
    await _count_reset(request, response)
    before = house.breakers.snapshot(provider)
    await house.audit(
        "breaker.reset", resource=f"breaker:{provider}", origin=origin_of(request, visitor), before=_standing(before)
    )
    return await house.breakers.reset(provider)


async def reset_all_breakers(request: Request, response: Response, visitor: Visitor) -> dict[str, Any]:
    """All breakers after they were forced CLOSED."""
    house = _house_of(request)
    await _count_reset(request, response)
    before = {item["provider"]: _standing(item) for item in house.breakers.snapshots()}
    await house.audit("breaker.reset_all", resource="breaker:*", origin=origin_of(request, visitor), before=before)
    after = await house.breakers.reset_all()
    return {"data": after, "total": len(after)}


async def _count_reset(request: Request, response: Response) -> None:
    """Counts one reset of this address. Raises RateLimited."""
    house = _house_of(request)
    state = await house.limiter.admit_named(
        "breaker_reset", request.state.client_ip, house.settings.breaker_resets_per_hour, _HOUR_S
    )
    show_limit(request, response, state)


def _standing(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    return {name: snapshot[name] for name in ("state", "failure_count", "success_count", "opened_at")}


def _house_of(request: Request) -> House:
    return cast(House, request.app.state.house)
