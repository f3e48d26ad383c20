"""The public list of models, for OpenAI and for Anthropic clients: what this installation can really serve, priced."""

from typing import Annotated, Any, Literal, get_args

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from gatewayz.api.public.gemini_models import google_list
from gatewayz.api.public.model_entry import anthropic_entry, gemini_entry, openai_entry, standing_of
from gatewayz.api.public.shelf import House, View, cut, listing, page, respond
from gatewayz.catalog import find, not_found
from gatewayz.catalog.listing import SORTS, Filters, Served, narrowed
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.money import price_per_mtok
from gatewayz.infra.answers import Answer, tag_of

_routes = APIRouter(tags=["models"])

_ANTHROPIC_LIMIT = 20
_LARGEST_PRICE = 10.0**9
Sort = Literal["id", "name", "created", "price", "context", "providers", "popularity", "latency"]
Order = Literal["asc", "desc"]
Limit = Annotated[int | None, Query(ge=1, le=20_000)]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1)]
assert set(SORTS) < set(get_args(Sort))


def _filters(
    provider: Annotated[str | None, Query(description="only what this provider serves, at its price")] = None,
    gateway: Annotated[str | None, Query(description="the same as provider")] = None,
    developer: Annotated[str | None, Query(description="only models of this organisation")] = None,
    modality: Annotated[str | None, Query(description="`text+image->text`, or one medium such as `image`")] = None,
    region: Annotated[str | None, Query(description="only what is offered in this region")] = None,
    q: Annotated[str | None, Query(max_length=200, description="words of the id or name")] = None,
    is_free: Annotated[bool | None, Query(description="only models that cost nothing, or only others")] = None,
    capability: Annotated[
        list[str] | None, Query(description="only offers that can do this, e.g. tools; may be repeated")
    ] = None,
    min_context: Annotated[int | None, Query(ge=0, le=2**53, description="tokens")] = None,
    max_context: Annotated[int | None, Query(ge=0, le=2**53, description="tokens")] = None,
    min_price: Annotated[
        float | None, Query(ge=0, le=_LARGEST_PRICE, description="USD per million prompt tokens")
    ] = None,
    max_price: Annotated[
        float | None, Query(ge=0, le=_LARGEST_PRICE, description="USD per million prompt tokens")
    ] = None,
    health: Annotated[str | None, Query(description="healthy, degraded, unhealthy or unknown")] = None,
) -> Filters:
    return Filters(
        provider=provider,
        gateway=gateway,
        developer=developer,
        modality=modality,
        region=region,
        q=q,
        is_free=is_free,
        capabilities=tuple(word for text in capability or () for word in text.split(",") if word.strip()),
        min_context=min_context,
        max_context=max_context,
        min_price=None if min_price is None else price_per_mtok(min_price),
        max_price=None if max_price is None else price_per_mtok(max_price),
        health=health,
    )


Wanted = Annotated[Filters, Depends(_filters)]


@_routes.get("/v1/models", summary="List the models that can be used")
@_routes.get("/models", include_in_schema=False)
@_routes.get("/v1/v1/models", include_in_schema=False)
async def list_models(
    request: Request,
    wanted: Wanted,
    all: Annotated[bool, Query(description="also what providers offer that are not configured here")] = False,
    sort: Annotated[Sort, Query(description="popularity and latency rest on recorded use of the last day")] = "id",
    order: Annotated[Order | None, Query(description="the other way round")] = None,
    limit: Limit = None,
    offset: Offset = 0,
    before_id: Annotated[str | None, Query(description="Anthropic's paging")] = None,
    after_id: Annotated[str | None, Query(description="Anthropic's paging")] = None,
    page_size: Annotated[int, Query(alias="pageSize", ge=0, le=2**31 - 1, description="Google's paging")] = 0,
    page_token: Annotated[str | None, Query(alias="pageToken", max_length=1_000, description="Google's paging")] = None,
) -> Response:
    """OpenAI's list with prices, limits and capabilities.

    Anthropic's list if the client sends `anthropic-version`, Google's if it sends `x-goog-api-key`.
    """
    if "x-goog-api-key" in request.headers:
        return await google_list(request, page_size, page_token)
    if "anthropic-version" in request.headers:
        count = limit or _ANTHROPIC_LIMIT
        return await page(
            request,
            "anthropic",
            (count, before_id, after_id),
            lambda view: _anthropic_list(view.rows, count, before_id, after_id),
            shared=False,
        )

    def build(view: View) -> dict[str, Any]:
        found = ordered(view, narrowed(view.rows, wanted, view.standing.of_model), sort, order)
        rows = cut(found, limit, offset)
        return listing([view.shelf.entry(row) for row in rows], len(found), limit, offset)

    figures = sort in ("popularity", "latency")
    key = (wanted, sort, order, limit, offset)
    return await page(request, "models", key, build, everything=all, figures=figures, shared=wanted.q is None)


@_routes.get("/v1/models/{model_id:path}", summary="One model")
@_routes.get("/v1/v1/models/{model_id:path}", include_in_schema=False)
async def get_model(request: Request, model_id: str) -> Response:
    """The model that an id or alias stands for. Raises NotFound `model_not_found` with near matches."""
    house: House = request.app.state.house
    catalog, reach = house.catalog.current, house.providers.reach()
    found = find(catalog, model_id)
    offers = [o for o in found.offers if o.usable and (o.provider, found.model.kind) in reach] if found else []
    if found is None or not offers:
        raise not_found(catalog, model_id, house.providers.active_slugs())
    if "x-goog-api-key" in request.headers:
        entry = gemini_entry(found.model, offers[0])
    elif "anthropic-version" in request.headers:
        entry = anthropic_entry(found.model, offers[0])
    else:
        standing = standing_of(house.breakers.states(), house.traffic.current, house.huggingface.facts)
        entry = openai_entry(Served(found.model, tuple(offers)), standing)
    body = msgspec.json.encode(entry)
    return respond(request, Answer(body, tag_of(body)))


def ordered(view: View, rows: list[Served], sort: Sort, order: Order | None) -> list[Served]:
    """The rows sorted; by popularity and latency those without records come last, whatever the order."""
    if sort in SORTS:
        rows = sorted(rows, key=SORTS[sort])
        return rows[::-1] if order == "desc" else rows
    usage = view.standing.usage
    measured: list[tuple[float, str, Served]] = []
    others: list[Served] = []
    for row in rows:
        figures = [f for o in row.offers if (f := usage.of("day", o.model_id, o.provider)) is not None]
        if sort == "popularity":
            value: float | None = -sum(each.requests for each in figures) or None
        else:
            value = min((f.first_token_ms or f.latency_ms or 0 for f in figures if f.latency_ms), default=None)
        if value is None:
            others.append(row)
        else:
            measured.append((value, row.model.id, row))
    measured.sort(key=lambda each: each[:2], reverse=order == "desc")
    return [row for _, _, row in measured] + others


def _anthropic_list(
    rows: tuple[Served, ...], limit: int, before_id: str | None, after_id: str | None
) -> dict[str, Any]:
    """Models that chat, newest first. Raises InvalidRequest for a paging id that is not in the list."""
    found = sorted(
        (row for row in rows if row.model.kind == "chat"), key=lambda row: (-row.model.created_at_us, row.model.id)
    )
    ids = [row.model.id for row in found]
    start, end = 0, len(found)
    for name, anchor in (("after_id", after_id), ("before_id", before_id)):
        if anchor is not None and anchor not in ids:
            raise InvalidRequest(f"{name} names no model of this list.", param=name)
    if after_id is not None:
        start = ids.index(after_id) + 1
    if before_id is not None:
        end = ids.index(before_id)
    between = found[start:end]
    # Before an id the page ends at it; otherwise it begins where the last one ended.
    shown = between[-limit:] if before_id is not None and after_id is None else between[:limit]
    return {
        "data": [anthropic_entry(row.model, row.offers[0]) for row in shown],
        "has_more": len(between) > len(shown),
        "first_id": shown[0].model.id if shown else None,
        "last_id": shown[-1].model.id if shown else None,
    }


def router() -> APIRouter:
    """GET /v1/models, /v1/models/{id}."""
    return _routes
