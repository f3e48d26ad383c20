"""The rows that the catalog is made of: read by everybody, written by administrators.

What an administrator writes counts above the configuration, the providers' lists and the packaged catalog; what he switches
off is neither shown nor served.
"""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict

from gatewayz.accounts import audit
from gatewayz.api.auth import AdminCaller, origin_of
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import Line, Reason, StrictBody, one_line
from gatewayz.api.paging import Paging, listed
from gatewayz.api.public.model_entry import standing_of
from gatewayz.api.public.shelf import House as ShelfHouse
from gatewayz.api.public.shelf import View
from gatewayz.api.public.shelf import page as shelf_page
from gatewayz.catalog import ModelRecord, read_models, rows, usd_per_token_text
from gatewayz.catalog.listing import Served
from gatewayz.catalog.seed import TOPIC
from gatewayz.core.caller import Caller
from gatewayz.core.errors import Conflict, InvalidFields, NotFound
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import Clock, iso
from gatewayz.infra.db import Database
from gatewayz.providers.registry import Providers
from gatewayz.settings import Settings

_routes = APIRouter(tags=["catalog rows"], route_class=GuardedRoute)

RowId = Annotated[str, Path(max_length=300), AfterValidator(one_line)]


class House(ShelfHouse, Protocol):
    """What these pages need besides."""

    database: Database
    clock: Clock
    feed: ChangeFeed
    settings: Settings

    @property
    def providers(self) -> Providers: ...


class ModelBody(BaseModel):
    """A model as in `[[models]]` of the configuration, with its `offers`; every mistake in it is named at once."""

    model_config = ConfigDict(extra="allow")

    id: str | None = None


class Switch(StrictBody):
    """Why a model is shown or hidden."""

    reason: Reason | None = None


@_routes.get("/catalog/models-db", summary="Stored rows of models")
async def list_rows(
    request: Request,
    page: Paging,
    source: Annotated[Line | None, Query(description="seed, feed, feed:openrouter, config or manual")] = None,
    q: Annotated[Line | None, Query(description="part of the id")] = None,
    active: bool | None = None,
) -> dict[str, Any]:
    """One row per model and source; what one source leaves open is filled from the next."""
    async with _house_of(request).database.read() as connection:
        found, total = await rows.page(connection, rows.Wanted(source, q, active), page.limit, page.offset)
    return listed([_row(row) for row in found], total, page)


@_routes.get("/catalog/models-db/health/{health_status}", summary="Served models by health")
async def by_health(request: Request, health_status: str, page: Paging) -> Any:
    """Health rests on breakers and on recorded requests of the last hour; a model that nobody used is `unknown`.

    Another word than healthy, degraded, unhealthy and unknown matches nothing.
    """

    def build(view: View) -> dict[str, Any]:
        found = [row for row in view.rows if view.standing.of_model(row) == health_status]
        shown = found[page.offset : page.offset + page.limit]
        return listed([view.shelf.entry(row) for row in shown], len(found), page)

    return await shelf_page(request, "health", (health_status, page.limit, page.offset), build)


@_routes.get("/catalog/models-db/{model_id:path}/prices", summary="Every price of a model there was")
async def get_prices(request: Request, model_id: RowId, page: Paging) -> dict[str, Any]:
    """Newest first, with who stated it and from when until when it was in force; USD per token as decimal strings."""
    async with _house_of(request).database.read() as connection:
        found = await rows.prices_of(connection, model_id)
    shown = found[page.offset : page.offset + page.limit]
    return listed([_price(row) for row in shown], len(found), page)


@_routes.get("/catalog/models-db/{model_id:path}", summary="All rows of one model")
async def get_rows(request: Request, model_id: RowId) -> dict[str, Any]:
    """Rows of the model and of its offers, each with its source, and its health. Raises NotFound."""
    house = _house_of(request)
    async with house.database.read() as connection:
        models, offers = await rows.rows_of(connection, model_id)
    if not models:
        raise NotFound(f"No source states a model {model_id[:200]}.", code="model_not_found", param="model_id")
    standing = standing_of(house.breakers.states(), house.traffic.current, house.huggingface.facts)
    catalog = house.catalog.current
    served = catalog.served_by(models[0]["id"], house.providers.active_slugs())
    model = catalog.model(models[0]["id"])
    return {
        "id": models[0]["id"],
        "served": bool(served),
        "switched_off": models[0]["switched_off"],
        "health_status": standing.of_model(Served(model, served)) if served and model else "unknown",
        "rows": [_row(row) for row in models],
        "offers": [_offer(row) for row in offers],
    }


@_routes.post("/catalog/models-db", status_code=201, summary="State a model by hand")
async def create(request: Request, body: ModelBody, caller: AdminCaller) -> dict[str, Any]:
    """Raises Conflict if an administrator already states this model, InvalidFields naming every mistake."""
    record = _record(request, body.model_dump(exclude_none=True))
    house = _house_of(request)
    async with house.database.begin() as connection:
        if await rows.has_manual(connection, record.id):
            raise Conflict(f"{record.id} is stated by hand already; PUT changes it.", code="model_exists", param="id")
        await rows.write_manual(connection, record, house.clock.now_us())
        await _note(request, connection, caller, "model.create", record.id)
    house.feed.tell(TOPIC, "manual")
    return await get_rows(request, record.id)


@_routes.put("/catalog/models-db/{model_id:path}", summary="State a model by hand, whether or not it was before")
async def put(request: Request, model_id: RowId, body: ModelBody, caller: AdminCaller) -> dict[str, Any]:
    """May be repeated. Raises InvalidFields naming every mistake."""
    stated = body.model_dump(exclude_none=True)
    if stated.setdefault("id", model_id) != model_id:
        raise InvalidFields("The id in the body is not the one in the path.", param="id")
    record = _record(request, stated)
    house = _house_of(request)
    async with house.database.begin() as connection:
        await rows.write_manual(connection, record, house.clock.now_us())
        await _note(request, connection, caller, "model.update", record.id)
    house.feed.tell(TOPIC, "manual")
    return await get_rows(request, record.id)


@_routes.delete("/catalog/models-db/{model_id:path}", summary="Withdraw what was stated by hand")
async def remove(request: Request, model_id: RowId, caller: AdminCaller) -> dict[str, Any]:
    """What other sources say shows again. Raises NotFound if nothing was stated by hand."""
    house = _house_of(request)
    async with house.database.begin() as connection:
        if not await rows.remove_manual(connection, model_id, house.clock.now_us()):
            raise NotFound(f"Nothing was stated by hand of {model_id[:200]}.", code="model_not_found", param="model_id")
        await _note(request, connection, caller, "model.delete", model_id)
    house.feed.tell(TOPIC, "manual")
    return {"id": model_id, "deleted": True}


@_routes.post("/catalog/models-db/{model_id:path}/activate", summary="Show and serve a model again")
async def activate(
    request: Request, model_id: RowId, caller: AdminCaller, body: Switch | None = None
) -> dict[str, Any]:
    """Takes a deactivation back; what no source offers does not appear by it. Raises NotFound."""
    return await _switched(request, model_id, caller, body, active=True)


@_routes.post("/catalog/models-db/{model_id:path}/deactivate", summary="Hide a model and serve it no more")
async def deactivate(
    request: Request, model_id: RowId, caller: AdminCaller, body: Switch | None = None
) -> dict[str, Any]:
    """Whatever lists and configuration say, until it is activated. Raises NotFound."""
    return await _switched(request, model_id, caller, body, active=False)


async def _switched(
    request: Request, model_id: RowId, caller: Caller, body: Switch | None, *, active: bool
) -> dict[str, Any]:
    house = _house_of(request)
    reason = body.reason if body else None
    async with house.database.begin() as connection:
        models, _ = await rows.rows_of(connection, model_id)
        if not models:
            raise NotFound(f"No source states a model {model_id[:200]}.", code="model_not_found", param="model_id")
        name, now_us = models[0]["id"], house.clock.now_us()
        new = await rows.switch(connection, name, active=active, reason=reason, by=caller.user_id, now_us=now_us)
        if new:
            await _note(request, connection, caller, "model.activate" if active else "model.deactivate", name)
    house.feed.tell(TOPIC, "switch")
    return {"id": name, "active": active, "changed": new}


def _record(request: Request, stated: dict[str, Any]) -> ModelRecord:
    house = _house_of(request)
    slugs = {provider.slug for provider in house.providers.all()} | {slug for slug, _ in house.providers.inactive()}
    found, mistakes = read_models(
        [stated],
        lambda _: None,
        where="body",
        providers=slugs,
        free_model_allowlist=house.settings.free_model_allowlist,
    )
    if mistakes:
        problems = [mistake.problem for mistake in mistakes]
        raise InvalidFields("; ".join(problems)[:2000], details={"mistakes": problems})
    return found[0]


async def _note(request: Request, connection: Any, caller: Caller, action: str, model_id: str) -> None:
    entry = audit.Entry(
        _house_of(request).clock.now_us(),
        action,
        f"model:{model_id[:200]}",
        origin_of(request, caller),
        severity="medium",
    )
    await audit.append(connection, "audit", entry)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    names = (
        "id", "source", "name", "vendor", "kind", "context_length", "max_output_tokens", "modality", "huggingface_id",
        "status", "deprecation_date", "active", "switched_off",
    )  # fmt: skip
    return {name: row[name] for name in names} | {
        "capabilities": row["capabilities"].split(),
        "created_at": iso(row["created_at_us"]),
        "updated_at": iso(row["updated_at_us"]),
    }


def _offer(row: dict[str, Any]) -> dict[str, Any]:
    names = (
        "source",
        "provider",
        "native_id",
        "context_length",
        "max_output_tokens",
        "suspect",
        "active",
        "reason",
        "stated_by",
    )
    return {name: row[name] for name in names} | {
        "regions": [part for part in row["regions"].split(",") if part],
        "updated_at": iso(row["updated_at_us"]),
    }


def _price(row: dict[str, Any]) -> dict[str, Any]:
    kinds = ("prompt", "completion", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning")
    return {
        "provider": row["provider"],
        "native_id": row["native_id"],
        "source": row["stated_in"],
        "stated_by": row["source"],
        "from": iso(row["effective_from_us"]),
        "until": iso(row["effective_until_us"]),
        "pricing": {name: usd_per_token_text(row[name]) for name in kinds if row[name] is not None},
    }


def _house_of(request: Request) -> House:
    house: House = request.app.state.house
    return house


def router() -> APIRouter:
    """The routes under /catalog/models-db."""
    return _routes
