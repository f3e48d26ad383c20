"""Other ways to look at the models: each once, by search, by use, by speed, and offers side by side."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gatewayz.api.models import ModelName, StrictBody
from gatewayz.api.public.model_entry import fastest, offer_entry, openai_entry, priced, pricing, recorded
from gatewayz.api.public.models import Limit, Offset, Wanted
from gatewayz.api.public.shelf import House, View, cut, listing, page
from gatewayz.catalog import Catalog, Offer, find, not_found
from gatewayz.catalog.listing import Served, blended, cheapest, narrowed
from gatewayz.core.errors import NotFound
from gatewayz.operations.traffic import Usage, Window

_routes = APIRouter(tags=["models"])

PageLimit = Annotated[int, Query(ge=1, le=1000, description="rows in the answer")]
WindowName = Literal["hour", "day", "week", "month", "1h", "24h", "7d", "30d"]
_WINDOWS: dict[str, Window] = {"1h": "hour", "24h": "day", "7d": "week", "30d": "month"}
_UNIQUE_SORTS = {
    "id": lambda entry: entry["id"],
    "name": lambda entry: (entry["name"].lower(), entry["id"]),
    "provider_count": lambda entry: (-entry["provider_count"], entry["id"]),
    "cheapest_price": lambda entry: (entry["_blended"], entry["id"]),
}
MAX_COMPARED = 50


class Compared(StrictBody):
    """Models to compare."""

    models: Annotated[list[ModelName], Field(min_length=1, max_length=MAX_COMPARED, description="ids or aliases")]


@_routes.get("/v1/models/unique", summary="Each model once, with its providers, cheapest and fastest offer")
async def unique(
    request: Request,
    wanted: Wanted,
    sort: Literal["id", "name", "provider_count", "cheapest_price"] = "id",
    min_providers: Annotated[int, Query(ge=1, le=1000)] = 1,
    limit: Limit = None,
    offset: Offset = 0,
) -> Response:
    """The fastest offer is the one with the lowest recorded time to the first token in the last day; null without records."""

    def build(view: View) -> dict[str, Any]:
        rows = narrowed(view.rows, wanted, view.standing.of_model)
        entries = [_unique(row, view.standing.usage) for row in rows]
        entries = [entry for entry in entries if entry["provider_count"] >= min_providers]
        entries.sort(key=_UNIQUE_SORTS[sort])
        shown = [{name: value for name, value in e.items() if name != "_blended"} for e in cut(entries, limit, offset)]
        return listing(shown, len(entries), limit, offset)

    key = (wanted, sort, min_providers, limit, offset)
    return await page(request, "unique", key, build, figures=True)


@_routes.get("/v1/models/search", summary="Models by words, best first")
async def search(
    request: Request,
    wanted: Wanted,
    q: Annotated[str, Query(max_length=200, description="words in any order; punctuation does not matter")] = "",
    limit: PageLimit = 50,
    offset: Offset = 0,
) -> Response:
    """Each entry carries its `score`, from 0 to 1. With nothing found, `suggestions` holds names that look alike."""

    def build(view: View) -> dict[str, Any]:
        usage = view.standing.usage.windows["month"]
        used: dict[str, int] = {}
        for (model, _), figures in usage.items():
            used[model] = used.get(model, 0) + figures.requests
        kept = {row.model.id: row for row in narrowed(view.rows, wanted, view.standing.of_model)}
        hits = view.shelf.index().find(q, lambda model: used.get(model, 0))
        found = [(kept[row.model.id], score) for row, score in hits if row.model.id in kept]
        rows = [openai_entry(row, view.standing) | {"score": score} for row, score in cut(found, limit, offset)]
        suggestions = [] if found else [n for n in view.shelf.catalog.near(q, 12) if view.shelf.row(n) is not None][:5]
        return listing(rows, len(found), limit, offset) | {"query": q, "suggestions": suggestions}

    return await page(request, "search", (wanted, q, limit, offset), build, shared=False)


@_routes.get("/v1/models/trending", summary="Models by recorded use, most used first")
async def trending(
    request: Request,
    wanted: Wanted,
    window: WindowName = "day",
    limit: PageLimit = 50,
    offset: Offset = 0,
) -> Response:
    """Requests and tokens of all accounts in the window; a model that nobody used is not in the list."""
    name: Window = _WINDOWS.get(window, window)  # type: ignore[arg-type]  # one of the windows, by its other name

    def build(view: View) -> dict[str, Any]:
        sums: dict[str, list[int]] = {}
        for (model, _), figures in view.standing.usage.windows[name].items():
            row = sums.setdefault(model, [0, 0, 0])
            row[0] += figures.requests
            row[1] += figures.tokens
            row[2] += figures.errors
        rows = [
            (row, sums[row.model.id])
            for row in narrowed(view.rows, wanted, view.standing.of_model)
            if row.model.id in sums
        ]
        rows.sort(key=lambda each: (-each[1][0], -each[1][1], each[0].model.id))
        shown = [
            {"rank": offset + place, **_brief(row), "requests": used[0], "tokens": used[1], "errors": used[2]}
            for place, (row, used) in enumerate(cut(rows, limit, offset), 1)
        ]
        return listing(shown, len(rows), limit, offset) | {"window": name}

    return await page(request, "trending", (wanted, name, limit, offset), build, figures=True)


@_routes.get("/v1/models/low-latency", summary="Offers by recorded time to the first token, fastest first")
async def low_latency(request: Request, wanted: Wanted, limit: PageLimit = 50, offset: Offset = 0) -> Response:
    """Means of the last day; an offer without a recorded answer is not in the list."""

    def build(view: View) -> dict[str, Any]:
        timed = []
        for row in narrowed(view.rows, wanted, view.standing.of_model):
            best = fastest(row.offers, view.standing.usage)
            if best is not None:
                timed.append((best[1], row, best[0]))
        timed.sort(key=lambda each: (each[0], each[1].model.id))
        usage = view.standing.usage
        shown = [
            {**_brief(row), "provider_slug": offer.provider, **recorded(usage.of("day", row.model.id, offer.provider))}
            for _, row, offer in cut(timed, limit, offset)
        ]
        return listing(shown, len(timed), limit, offset)

    return await page(request, "low-latency", (wanted, limit, offset), build, figures=True)


@_routes.get("/v1/models/{model_id:path}/compare", summary="One model at all its providers")
async def compare(request: Request, model_id: str) -> Response:
    """Price, limits, health and recorded latency of each offer. Raises NotFound `model_not_found`."""
    row = _row_of(request, model_id)

    def build(view: View) -> dict[str, Any]:
        return _comparison(row, view)

    return await page(request, "compare", row.model.id, build, figures=True)


@_routes.post("/v1/models/batch-compare", summary="Several models at all their providers")
async def batch_compare(request: Request, body: Compared) -> Response:
    """One comparison per model, in the order asked; unknown names stand in `not_found`."""
    rows: list[Served] = []
    missing: list[str] = []
    for name in dict.fromkeys(body.models):
        try:
            rows.append(_row_of(request, name))
        except NotFound:
            missing.append(name)

    def build(view: View) -> dict[str, Any]:
        data = [_comparison(row, view) for row in rows]
        return {"object": "list", "data": data, "total": len(data), "not_found": missing}

    key = ([row.model.id for row in rows], missing)
    answer = await page(request, "batch-compare", key, build, figures=True)
    del answer.headers["cache-control"], answer.headers["etag"]
    return answer


def _row_of(request: Request, name: str) -> Served:
    house: House = request.app.state.house
    catalog: Catalog = house.catalog.current
    slugs = house.providers.active_slugs()
    found = find(catalog, name)
    # A provider in front of the name is how it was found, not a wish to see that one alone.
    offers = catalog.within(found.model, house.providers.reach()) if found is not None else ()
    if found is None or not offers:
        raise not_found(catalog, name, slugs)
    return Served(found.model, offers)


def _comparison(row: Served, view: View) -> dict[str, Any]:
    best = fastest(row.offers, view.standing.usage)
    return {
        "id": row.model.id,
        "name": row.model.name,
        "modality": row.model.modality,
        "health_status": view.standing.of_model(row),
        "cheapest_provider": cheapest(row.offers).provider,
        "fastest_provider": best[0].provider if best else None,
        "offers": [offer_entry(offer, view.standing) for offer in sorted(row.offers, key=blended)],
    }


def _unique(row: Served, usage: Usage) -> dict[str, Any]:
    low, best = cheapest(row.offers), fastest(row.offers, usage)
    providers = list(dict.fromkeys(offer.provider for offer in row.offers))
    return {
        **_brief(row),
        "providers": providers,
        "provider_count": len(providers),
        "cheapest_offer": _place(low),
        "fastest_offer": None if best is None else {**_place(best[0]), "first_token_ms": best[1]},
        "_blended": blended(low),
    }


def _brief(row: Served) -> dict[str, Any]:
    first = row.offers[0]
    return {
        "id": row.model.id,
        "object": "model",
        "name": row.model.name,
        "owned_by": row.model.vendor,
        "provider_slug": first.provider,
        "context_length": first.context_length,
        "modality": row.model.modality,
        "pricing": pricing(priced(first)),
        "is_free": row.model.is_free,
    }


def _place(offer: Offer) -> dict[str, Any]:
    return {"provider": offer.provider, "native_id": offer.native_id, "pricing": pricing(priced(offer))}


def router() -> APIRouter:
    """GET /v1/models/unique, search, trending, low-latency, compare; POST batch-compare."""
    return _routes
