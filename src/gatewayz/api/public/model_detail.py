"""One model with all that is known of it, and what Hugging Face says; each answer of theirs is kept for an hour."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse

from gatewayz.api.public.model_entry import offer_entry, openai_entry, standing_of
from gatewayz.api.public.shelf import House
from gatewayz.catalog import find, not_found
from gatewayz.catalog.listing import Served
from gatewayz.core.errors import Conflict, InvalidRequest, NotFound, Unavailable

_routes = APIRouter(tags=["Hugging Face"])
Limit = Annotated[int, Query(ge=1, le=100, description="rows in the answer")]


@_routes.get("/api/models/detail", summary="One model: facts, offers, health, Hugging Face", tags=["models"])
async def detail(
    request: Request,
    model_id: Annotated[str, Query(min_length=1, max_length=256, description="id or alias")],
) -> dict[str, Any]:
    """`huggingface` is null where there is nothing, or where Hugging Face does not answer. Raises NotFound."""
    house: House = request.app.state.house
    catalog, slugs = house.catalog.current, house.providers.active_slugs()
    found = find(catalog, model_id)
    offers = catalog.within(found.model, house.providers.reach()) if found is not None else ()
    if found is None or not offers:
        raise not_found(catalog, model_id, slugs)
    standing = standing_of(house.breakers.states(), house.traffic.current, house.huggingface.facts)
    return {
        **openai_entry(Served(found.model, offers), standing),
        "premium": found.model.premium,
        "aliases": sorted(name for name, target in catalog.aliases.items() if target == found.model.id.lower()),
        "offers": [offer_entry(offer, standing) for offer in offers],
        "huggingface": await _huggingface(house, found.model.huggingface_id),
    }


@_routes.get("/huggingface/discovery", summary="Popular models at Hugging Face")
async def discovery(
    request: Request,
    task: Annotated[str | None, Query(pattern=r"^[a-z0-9-]{1,64}$", description="e.g. text-generation")] = None,
    sort: Literal["downloads", "likes", "trendingScore", "createdAt", "lastModified"] = "downloads",
    limit: Limit = 50,
) -> dict[str, Any]:
    """In Hugging Face's own order."""
    return _listed(await _house_of(request).huggingface.discovery(task, sort, limit))


@_routes.get("/huggingface/search", summary="Search at Hugging Face")
async def search(
    request: Request, q: Annotated[str, Query(min_length=1, max_length=200)], limit: Limit = 20
) -> dict[str, Any]:
    """What its search finds, most downloaded first."""
    return _listed(await _house_of(request).huggingface.search(q, limit))


@_routes.get("/huggingface/authors/{author}/models", summary="Models of an author at Hugging Face")
async def authors_models(request: Request, author: str, limit: Limit = 50) -> dict[str, Any]:
    """Most downloaded first."""
    return _listed(await _house_of(request).huggingface.models_of(author, limit))


@_routes.get("/huggingface/models/{model_id:path}/details", summary="Figures of a model at Hugging Face")
async def details(request: Request, model_id: str) -> dict[str, Any]:
    """Downloads, likes, parameters, task, author with avatar, inference providers."""
    return await _house_of(request).huggingface.details(model_id)


@_routes.get("/huggingface/models/{model_id:path}/card", summary="Model card at Hugging Face, in Markdown")
async def card(request: Request, model_id: str) -> PlainTextResponse:
    """As its author wrote it: text of a stranger."""
    text = await _house_of(request).huggingface.card(model_id)
    return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")


@_routes.get("/huggingface/models/{model_id:path}/files", summary="Files of a model at Hugging Face")
async def files(request: Request, model_id: str) -> dict[str, Any]:
    """Paths and sizes."""
    return _listed(await _house_of(request).huggingface.files(model_id))


async def _huggingface(house: House, name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    try:
        return await house.huggingface.details(name)
    except (NotFound, Unavailable, Conflict, InvalidRequest):
        # The page is about our model; what is stored of theirs is better than nothing.
        stored = house.huggingface.facts.get(name.lower())
        return dict(stored) if stored is not None else None


def _listed(rows: list[Any]) -> dict[str, Any]:
    return {"data": rows, "total": len(rows), "returned": len(rows)}


def _house_of(request: Request) -> House:
    house: House = request.app.state.house
    return house


def router() -> APIRouter:
    """GET /api/models/detail and the routes under /huggingface."""
    return _routes
