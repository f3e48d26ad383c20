"""The public list of models, for OpenAI and for Anthropic clients: what this installation can really serve, priced.

Answers are built once per catalog and set of configured providers and kept as bytes; a client that has them gets 304.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from weakref import WeakKeyDictionary

import msgspec
from fastapi import APIRouter, Query, Request, Response

from gatewayz.catalog import SERVED_KINDS, Catalog, CatalogKeeper, Model, Offer, find, not_found, usd_per_token_text
from gatewayz.catalog.models import CAPABILITIES, media_of, modality_of
from gatewayz.catalog.prices import PriceSnapshot
from gatewayz.core.errors import InvalidRequest
from gatewayz.core.money import usd_text
from gatewayz.infra.clock import US_PER_S, iso, parse_time_us

_routes = APIRouter(tags=["models"])

_CACHE_CONTROL = "public, max-age=300"
_KEPT_PAGES = 64
_ANTHROPIC_LIMIT = 20
_TOKEN_PRICES = (
    ("prompt", "prompt"),
    ("completion", "completion"),
    ("cache_read", "cache_read"),
    ("cache_write_5m", "cache_write"),
    ("cache_write_1h", "cache_write_1h"),
    ("reasoning", "reasoning"),
    ("audio_input", "audio_input"),
    ("audio_output", "audio_output"),
    ("image_input", "image_input_tokens"),
    ("image_output", "image_output_tokens"),
)
Reach = frozenset[tuple[str, str]]


class Providers(Protocol):
    """What the page asks of the configured providers."""

    def active_slugs(self) -> frozenset[str]: ...

    def reach(self) -> frozenset[tuple[str, str]]:
        """Each provider that can be called with each kind of model that it can be asked for."""
        ...


class House(Protocol):
    """What the page needs of `app.state.house`."""

    @property
    def catalog(self) -> CatalogKeeper: ...

    @property
    def providers(self) -> Providers: ...


@dataclass(frozen=True, slots=True)
class Filters:
    """Which models are wanted; None does not restrict. `all` lists what unconfigured providers offer, too."""

    provider: str | None = None
    gateway: str | None = None
    modality: str | None = None
    region: str | None = None
    q: str | None = None
    is_free: bool | None = None
    all: bool = False
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A finished answer."""

    body: bytes
    etag: str


# Pages die with the catalog that they show.
_pages: "WeakKeyDictionary[Catalog, dict[Any, Page]]" = WeakKeyDictionary()


@_routes.get("/v1/models", summary="List the models that can be used")
@_routes.get("/models", include_in_schema=False)
@_routes.get("/v1/v1/models", include_in_schema=False)
async def list_models(
    request: Request,
    provider: Annotated[str | None, Query(description="only what this provider serves, at its price")] = None,
    gateway: Annotated[str | None, Query(description="the same as provider")] = None,
    modality: Annotated[str | None, Query(description="`text+image->text`, or one medium such as `image`")] = None,
    region: Annotated[str | None, Query(description="only what is offered in this region")] = None,
    q: Annotated[str | None, Query(max_length=200, description="words of the id or name")] = None,
    is_free: Annotated[bool | None, Query(description="only models that cost nothing, or only others")] = None,
    all: Annotated[bool, Query(description="also what providers offer that are not configured here")] = False,
    limit: Annotated[int | None, Query(ge=1, le=20_000)] = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    before_id: Annotated[str | None, Query(description="Anthropic's paging")] = None,
    after_id: Annotated[str | None, Query(description="Anthropic's paging")] = None,
) -> Response:
    """OpenAI's list with prices, limits and capabilities; Anthropic's list if the client sends `anthropic-version`."""
    house: House = request.app.state.house
    catalog, reach = house.catalog.current, house.providers.reach()
    if "anthropic-version" in request.headers:
        body = await asyncio.to_thread(_anthropic_list, catalog, reach, limit or _ANTHROPIC_LIMIT, before_id, after_id)
        return _response(request, _page(body))
    filters = Filters(provider, gateway, modality, region, q, is_free, all, limit, offset)
    kept = _pages.setdefault(catalog, {})
    page = kept.get((reach, filters))
    if page is None:
        page = _page(await asyncio.to_thread(_openai_list, catalog, reach, filters))
        if len(kept) < _KEPT_PAGES:
            kept[reach, filters] = page
    return _response(request, page)


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
    anthropic = "anthropic-version" in request.headers
    entry = _anthropic_entry(found.model, offers[0]) if anthropic else _openai_entry(found.model, offers)
    return _response(request, _page(msgspec.json.encode(entry)))


def _openai_list(catalog: Catalog, reach: Reach, filters: Filters) -> bytes:
    """The matching models, by id."""
    found = []
    for model, offers in _served(catalog, None if filters.all else reach):
        offers = _matching(model, offers, filters)
        if offers:
            found.append((model, offers))
    end = None if filters.limit is None else filters.offset + filters.limit
    rows = found[filters.offset : end]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [_openai_entry(model, offers) for model, offers in rows],
            "total": len(found),
            "returned": len(rows),
            "limit": filters.limit,
            "offset": filters.offset,
            "has_more": filters.offset + len(rows) < len(found),
        }
    )


def _served(catalog: Catalog, reach: Reach | None) -> Iterable[tuple[Model, list[Offer]]]:
    """Models of the kinds that are served with their offers that may be charged, as far as providers reach."""
    for model in catalog.models.values():
        if model.kind in SERVED_KINDS:
            offers = [offer for offer in catalog.offers_of(model.id) if offer.usable]
            if reach is not None:
                offers = [offer for offer in offers if (offer.provider, model.kind) in reach]
            if offers:
                yield model, offers


def _matching(model: Model, offers: list[Offer], filters: Filters) -> list[Offer]:
    """The offers that the filters leave; none if the model itself does not match."""
    if filters.is_free is not None and model.is_free is not filters.is_free:
        return []
    if filters.modality is not None and not _has_modality(model, filters.modality):
        return []
    if filters.q is not None and not _has_words(model, filters.q):
        return []
    for slug in (filters.provider, filters.gateway):
        if slug is not None:
            offers = [offer for offer in offers if offer.provider == slug.strip().lower()]
    if filters.region is not None:
        offers = [offer for offer in offers if filters.region.strip().lower() in offer.regions]
    return offers


def _has_modality(model: Model, wanted: str) -> bool:
    wanted = wanted.strip().lower()
    if "->" not in wanted:
        return any(wanted in side for side in media_of(model.modality))
    try:
        return modality_of(*media_of(wanted)) == model.modality
    except ValueError:
        return False


def _has_words(model: Model, query: str) -> bool:
    # Without punctuation, so that "gpt4o", "gpt 4o" and "GPT-4o" all find gpt-4o.
    text = re.sub(r"[^a-z0-9]", "", f"{model.id}{model.name}".lower())
    return all(word in text for word in re.findall(r"[a-z0-9]+", query.lower()))


def _openai_entry(model: Model, offers: Sequence[Offer]) -> dict[str, Any]:
    """One model as its first offer serves it; `offers` is not empty and all of them are priced."""
    first = offers[0]
    price = first.price
    if price is None:
        raise ValueError("an offer without price is not for show")
    before, after = media_of(model.modality)
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_at_us // US_PER_S,
        "owned_by": model.vendor,
        "kind": model.kind,
        "name": model.name,
        "provider_slug": first.provider,
        "source_gateway": first.provider,
        "providers": list(dict.fromkeys(offer.provider for offer in offers)),
        "context_length": first.context_length,
        "max_output_tokens": first.max_output_tokens,
        "modality": model.modality,
        "architecture": {
            "modality": model.modality,
            "input_modalities": sorted(before),
            "output_modalities": sorted(after),
        },
        "pricing": _pricing(price),
        **{f"supports_{name}": name in first.capabilities for name in CAPABILITIES if name != "json_object"},
        "supports_function_calling": "tools" in first.capabilities,
        "supports_json_mode": "json_object" in first.capabilities,
        "is_free": model.is_free,
        "regions": sorted({region for offer in offers for region in offer.regions}),
        "huggingface_id": model.huggingface_id,
        "status": model.status,
        "shutdown_date": model.deprecation_date,
    }


def _pricing(price: PriceSnapshot) -> dict[str, str]:
    """USD per token, per request and per piece, as decimal strings; kinds without a price of their own are left out."""
    shown = {name: getattr(price, kind) for kind, name in _TOKEN_PRICES}
    pricing = {name: usd_per_token_text(value) for name, value in shown.items() if value is not None}
    if price.request_nano_usd:
        pricing["request"] = usd_text(price.request_nano_usd)
    return pricing | {unit: usd_text(value) for unit, value in price.units.items()}


def _anthropic_list(catalog: Catalog, reach: Reach, limit: int, before_id: str | None, after_id: str | None) -> bytes:
    """Models that chat, newest first. Raises InvalidRequest for a paging id that is not in the list."""
    chats = (pair for pair in _served(catalog, reach) if pair[0].kind == "chat")
    served = sorted(chats, key=lambda pair: (-pair[0].created_at_us, pair[0].id))
    ids = [model.id for model, _ in served]
    start, end = 0, len(served)
    for name, anchor in (("after_id", after_id), ("before_id", before_id)):
        if anchor is not None and anchor not in ids:
            raise InvalidRequest(f"{name} names no model of this list.", param=name)
    if after_id is not None:
        start = ids.index(after_id) + 1
    if before_id is not None:
        end = ids.index(before_id)
    rows = served[start:end]
    # Before an id the page ends at it; otherwise it begins where the last one ended.
    shown = rows[-limit:] if before_id is not None and after_id is None else rows[:limit]
    return msgspec.json.encode(
        {
            "data": [_anthropic_entry(model, offers[0]) for model, offers in shown],
            "has_more": len(rows) > len(shown),
            "first_id": shown[0][0].id if shown else None,
            "last_id": shown[-1][0].id if shown else None,
        }
    )


def _anthropic_entry(model: Model, offer: Offer) -> dict[str, Any]:
    """Anthropic's form of one model. What is listed can be called, so it is never `retired`."""
    retires_at = None if model.deprecation_date is None else iso(parse_time_us(model.deprecation_date))
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": iso(model.created_at_us),
        "lifecycle": "active" if retires_at is None else "deprecated",
        "retires_at": retires_at,
        "max_input_tokens": offer.context_length,
        "max_tokens": offer.max_output_tokens,
    }


def _page(body: bytes) -> Page:
    return Page(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _response(request: Request, page: Page) -> Response:
    headers = {"ETag": page.etag, "Cache-Control": _CACHE_CONTROL, "Vary": "anthropic-version"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if page.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(page.body, media_type="application/json", headers=headers)


def router() -> APIRouter:
    """GET /v1/models, /v1/models/{id}."""
    return _routes
