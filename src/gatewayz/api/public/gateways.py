"""Who serves, and whose models are they? Providers (also called gateways) and developers."""

from typing import Any, Protocol

from fastapi import APIRouter, Request, Response

from gatewayz.api.paging import Page, Paging
from gatewayz.api.public.models import Limit, Offset, Wanted
from gatewayz.api.public.shelf import House as ShelfHouse
from gatewayz.api.public.shelf import View, cut, listing, page
from gatewayz.catalog.listing import Served, blended, cheapest, narrowed
from gatewayz.core.money import usd_text
from gatewayz.infra.clock import iso
from gatewayz.operations.traffic import Figures
from gatewayz.providers.profile import load_profiles
from gatewayz.providers.registry import Providers

_routes = APIRouter(tags=["models"])


class House(ShelfHouse, Protocol):
    """What these pages need besides."""

    @property
    def providers(self) -> Providers: ...


@_routes.get("/v1/gateways", summary="All gateways that can be called, with name, colour and place in the chain")
async def gateways(request: Request, paging: Paging) -> Response:
    """Lower `priority` comes first; `color` and `site_url` are null where nobody stated them."""
    return await _providers_page(request, paging, "gateways")


@_routes.get("/v1/provider", summary="Providers with the number of their models")
@_routes.get("/v1/providers", include_in_schema=False)
async def providers(request: Request, paging: Paging) -> Response:
    """The same as the gateways, with counts."""
    return await _providers_page(request, paging, "providers")


@_routes.get("/v1/gateways/summary", summary="Statistics per gateway")
async def summary(request: Request, paging: Paging) -> Response:
    """Models, prices and recorded use of the last day; figures are null or zero where nothing was recorded."""
    known = _known(request)

    def build(view: View) -> dict[str, Any]:
        offered = _offered(view)
        day: dict[str, list[Figures]] = {}
        for (_, slug), figures in view.standing.usage.windows["day"].items():
            day.setdefault(slug, []).append(figures)
        rows = [_summary(each, offered.get(each["slug"], []), day.get(each["slug"], []), view) for each in known]
        shown = cut(rows, paging.limit, paging.offset)
        return listing(shown, len(rows), paging.limit, paging.offset)

    return await page(request, "gateways-summary", (known, paging.limit, paging.offset), build, figures=True)


@_routes.get("/v1/developers", summary="Organisations whose models are served")
async def developers(request: Request, paging: Paging) -> Response:
    """Each with the number of its models and their providers, most models first."""

    def build(view: View) -> dict[str, Any]:
        by_vendor: dict[str, list[Served]] = {}
        for row in view.rows:
            by_vendor.setdefault(row.model.vendor, []).append(row)
        rows = [
            {
                "id": vendor,
                "name": vendor,
                "model_count": len(models),
                "providers": sorted({offer.provider for row in models for offer in row.offers}),
                "newest_model_at": iso(max(row.model.created_at_us for row in models)),
            }
            for vendor, models in sorted(by_vendor.items(), key=lambda each: (-len(each[1]), each[0]))
        ]
        return listing(cut(rows, paging.limit, paging.offset), len(rows), paging.limit, paging.offset)

    return await page(request, "developers", (paging.limit, paging.offset), build)


@_routes.get("/v1/developers/{name}/models", summary="Models of an organisation")
async def developer_models(
    request: Request, name: str, wanted: Wanted, limit: Limit = None, offset: Offset = 0
) -> Response:
    """As GET /v1/models with `developer`; an unknown organisation has none."""

    def build(view: View) -> dict[str, Any]:
        own = [row for row in view.rows if row.model.vendor.lower() == name.strip().lower()]
        rows = narrowed(own, wanted, view.standing.of_model)
        return listing([view.shelf.entry(row) for row in cut(rows, limit, offset)], len(rows), limit, offset)

    return await page(request, "developer", (name.strip().lower(), wanted, limit, offset), build)


async def _providers_page(request: Request, paging: Page, kind: str) -> Response:
    known = _known(request)

    def build(view: View) -> dict[str, Any]:
        offered = _offered(view)
        rows = []
        for each in known:
            slug = each["slug"]
            rows.append({**each, "model_count": len(offered.get(slug, [])), "health_status": _health(slug, view)})
        shown = cut(rows, paging.limit, paging.offset)
        return listing(shown, len(rows), paging.limit, paging.offset)

    return await page(request, kind, (known, paging.limit, paging.offset), build)


def _known(request: Request) -> list[dict[str, Any]]:
    """The active providers in the order in which they are tried."""
    house: House = request.app.state.house
    profiles = load_profiles()
    found = []
    for provider in house.providers.all():
        profile = profiles.get(provider.slug)
        found.append(
            {
                "id": provider.slug,
                "slug": provider.slug,
                "name": provider.name,
                "color": provider.color or (profile.color if profile else None),
                "priority": provider.priority,
                "site_url": provider.site_url or (profile.site_url if profile else None),
                "dialect": provider.dialect,
                "regions": list(provider.regions),
            }
        )
    return found


def _offered(view: View) -> dict[str, list[Served]]:
    found: dict[str, list[Served]] = {}
    for row in view.rows:
        for slug in dict.fromkeys(offer.provider for offer in row.offers):
            own = tuple(offer for offer in row.offers if offer.provider == slug)
            found.setdefault(slug, []).append(Served(row.model, own))
    return found


def _health(slug: str, view: View) -> str:
    if slug in view.standing.paused:
        return "unhealthy"
    if slug in view.standing.probed:
        return "degraded"
    seen = [f for (_, provider), f in view.standing.usage.windows["hour"].items() if provider == slug]
    if not sum(figures.requests for figures in seen):
        return "unknown"
    return "healthy" if any(figures.errors < figures.requests for figures in seen) else "unhealthy"


def _summary(known: dict[str, Any], rows: list[Served], day: list[Figures], view: View) -> dict[str, Any]:
    paid = [row for row in rows if not row.model.is_free]
    low = min(paid, key=lambda row: blended(cheapest(row.offers)), default=None)
    requests = sum(each.requests for each in day)
    errors = sum(each.errors for each in day)
    timed = [(each.first_token_ms, each.requests - each.errors) for each in day if each.first_token_ms is not None]
    weight = sum(count for _, count in timed)
    return {
        **{name: known[name] for name in ("id", "slug", "name", "priority")},
        "health_status": _health(known["slug"], view),
        "model_count": len(rows),
        "free_model_count": len(rows) - len(paid),
        "cheapest_model": low.model.id if low else None,
        "cheapest_blended_usd_per_mtok": usd_text(blended(cheapest(low.offers))) if low else None,
        "requests_24h": requests,
        "error_rate_24h": round(errors / requests, 4) if requests else None,
        "tokens_24h": sum(each.tokens for each in day),
        "first_token_ms": round(sum(ms * count for ms, count in timed) / weight, 1) if weight else None,
    }


def router() -> APIRouter:
    """GET /v1/gateways, /v1/gateways/summary, /v1/provider, /v1/developers."""
    return _routes
