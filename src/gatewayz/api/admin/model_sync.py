"""The sync of providers' model lists: started by hand, watched, and its refusals reviewed."""

from typing import Annotated, Any, Protocol, cast

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from gatewayz.accounts import audit
from gatewayz.accounts.audit import Entry
from gatewayz.api.auth import AdminCaller, origin_of
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import Id, Line, StrictBody
from gatewayz.api.paging import Paging, listed
from gatewayz.catalog import PriceRecord, sync_store, usd_per_token_text
from gatewayz.catalog.sync import LEASE, Busy, Syncer
from gatewayz.core.caller import Caller
from gatewayz.core.errors import Conflict, NotFound
from gatewayz.infra.clock import Clock, iso
from gatewayz.infra.db import Database
from gatewayz.infra.leases import is_held
from gatewayz.providers.registry import Providers
from gatewayz.settings import Settings


class House(Protocol):
    """What these pages work with."""

    database: Database
    clock: Clock
    settings: Settings
    syncer: Syncer
    providers: Providers

    async def look_at_local_servers(self) -> bool: ...


class Approval(StrictBody):
    """The entry of a provider's list whose price is confirmed."""

    provider: Annotated[Line, Field(min_length=1)]
    native_id: Annotated[Line, Field(min_length=1)]


DryRun = Annotated[bool, Query(description="decide and report, write nothing")]


def router() -> APIRouter:
    """The routes under /admin/model-sync."""
    routes = APIRouter(tags=["model sync"], route_class=GuardedRoute)
    routes.get("/admin/model-sync/providers", summary="Providers, their lists, and what came of them")(providers)
    routes.get("/admin/model-sync/status", summary="Whether a sync runs, the last one, and counts")(status)
    routes.get("/admin/model-sync/runs", summary="Runs of the sync, newest first")(runs)
    routes.get("/admin/model-sync/runs/{run_id}", summary="One run with its outcome per provider")(run)
    routes.get("/admin/model-sync/rejected", summary="What was not taken as listed, with the reason")(rejected)
    routes.post("/admin/model-sync/rejected/approve", summary="Confirm the price of an entry")(approve)
    for name, act in (("trigger", trigger), ("incremental", trigger), ("all", sync_all)):
        routes.post(f"/admin/model-sync/{name}", status_code=202, summary="Start a sync in the background")(act)
    for name in ("full", "reset-and-resync", "flush"):
        routes.post(f"/admin/model-sync/{name}", summary="Remove and import anew in one transaction")(full)
    routes.post("/admin/model-sync/provider/{slug}", summary="Sync one provider and report")(sync_provider)
    return routes


async def trigger(request: Request, caller: AdminCaller, response: Response) -> dict[str, Any]:
    """A run over all providers' lists has begun. Raises Conflict while another is under way."""
    return await _start(request, caller, response, "trigger")


async def sync_all(request: Request, caller: AdminCaller, response: Response) -> dict[str, Any]:
    """As trigger, and local servers are asked as well."""
    await _house_of(request).look_at_local_servers()
    return await _start(request, caller, response, "all")


async def full(request: Request, caller: AdminCaller, dry_run: DryRun = False) -> dict[str, Any]:
    """What is listed no more is gone at once; readers see the catalog before or after, never between."""
    house = _house_of(request)
    try:
        done = await house.syncer.run("full", dry_run=dry_run)
    except Busy as error:
        raise _busy() from error
    await _note(request, caller, "full", done.run_id)
    return await _finished(house, done.run_id)


async def sync_provider(request: Request, caller: AdminCaller, slug: str, dry_run: DryRun = False) -> dict[str, Any]:
    """The finished run. Raises NotFound for a provider that is not active, Conflict if it has no list or a sync runs."""
    house = _house_of(request)
    provider = house.providers.get(slug)
    if provider is None:
        known = dict(house.providers.inactive())
        why = f" It is not active: {known[slug]}." if slug in known else ""
        raise NotFound(f"There is no provider {slug[:64]} here.{why}", code="provider_not_found", param="slug")
    if provider.local and not dry_run:
        changed = await house.look_at_local_servers()
        return {"provider": slug, "status": "succeeded", "changed": int(changed), "dry_run": False}
    if provider.feed is None:
        raise Conflict(f"The provider {slug} has no model list that can be read.", code="feature_unavailable")
    try:
        done = await house.syncer.run("provider", [slug], dry_run=dry_run)
    except Busy as error:
        raise _busy() from error
    if not dry_run:
        await _note(request, caller, f"provider:{slug}", done.run_id)
    return await _finished(house, done.run_id)


async def runs(request: Request, page: Paging, caller: AdminCaller) -> dict[str, Any]:
    """Runs of all processes, with their counts."""
    async with _house_of(request).database.read() as connection:
        rows, total = await sync_store.runs_page(connection, page.limit, page.offset)
    return listed([_run(row) for row in rows], total, page)


async def run(request: Request, run_id: Id, caller: AdminCaller) -> dict[str, Any]:
    """One run. Raises NotFound."""
    return await _finished(_house_of(request), run_id)


async def rejected(
    request: Request,
    page: Paging,
    caller: AdminCaller,
    provider: Annotated[Line | None, Query(description="slug")] = None,
    reason: Annotated[Line | None, Query(description="e.g. no_price, price_implausible")] = None,
) -> dict[str, Any]:
    """Entries of the lists that are left out, or whose new price waits while the last good one is served."""
    async with _house_of(request).database.read() as connection:
        rows, total = await sync_store.rejected_page(connection, provider, reason, page.limit, page.offset)
    return listed([_entry(row) for row in rows], total, page)


async def approve(request: Request, body: Approval, caller: AdminCaller) -> dict[str, Any]:
    """The provider's list is read again and the price, as it stands there now, is taken without further proof."""
    house = _house_of(request)
    provider = house.providers.get(body.provider)
    if provider is None or provider.feed is None:
        raise NotFound(f"There is no provider {body.provider} with a model list.", code="provider_not_found")
    try:
        price, done = await house.syncer.approve(body.provider, body.native_id)
    except Busy as error:
        raise _busy() from error
    except LookupError as error:
        raise NotFound(str(error).strip("'"), code="entry_not_found", param="native_id") from error
    await _note(request, caller, f"approve:{body.provider}:{body.native_id}", done.run_id)
    return {"approved": _price(price), "run": await _finished(house, done.run_id)}


async def providers(request: Request, caller: AdminCaller) -> dict[str, Any]:
    """Every provider that is active, whether it has a list with prices, and how its entries stand."""
    house = _house_of(request)
    async with house.database.read() as connection:
        counts = await sync_store.entry_counts(connection)
    data = [
        {
            "slug": provider.slug,
            "name": provider.name,
            "has_list": provider.feed is not None or provider.local,
            "shape": provider.feed.shape if provider.feed else None,
            "price_unit": provider.feed.unit if provider.feed else None,
            "last_list_at": iso(counts.get(provider.slug, {}).get("last_seen_us")),
            "entries": {name: n for name, n in counts.get(provider.slug, {}).items() if name != "last_seen_us"},
        }
        for provider in house.providers.all()
    ]
    inactive = [{"slug": slug, "reason": reason} for slug, reason in house.providers.inactive()]
    return {"data": data, "total": len(data), "inactive": inactive}


async def status(request: Request, caller: AdminCaller) -> dict[str, Any]:
    """Whether a run is under way in any process, the newest run, and the counts of entries."""
    house = _house_of(request)
    running = await is_held(house.database, house.clock, LEASE)
    async with house.database.read() as connection:
        rows, total = await sync_store.runs_page(connection, 1, 0)
        counts = await sync_store.entry_counts(connection)
    states: dict[str, int] = {}
    for entry in counts.values():
        for name, count in entry.items():
            if name != "last_seen_us":
                states[name] = states.get(name, 0) + count
    return {
        "running": running,
        "interval_s": house.settings.model_sync_interval_s,
        "runs": total,
        "latest": _run(rows[0]) if rows else None,
        "entries": states,
    }


async def _start(request: Request, caller: Caller, response: Response, kind: Any) -> dict[str, Any]:
    house = _house_of(request)
    try:
        run_id = await house.syncer.start(kind)
    except Busy as error:
        raise _busy() from error
    await _note(request, caller, kind, run_id)
    response.headers["Location"] = f"/admin/model-sync/runs/{run_id}"
    return {"run_id": run_id, "status": "running", "providers": [each.slug for each in house.syncer.syncable()]}


async def _finished(house: House, run_id: int) -> dict[str, Any]:
    async with house.database.read() as connection:
        row = await sync_store.run_of(connection, run_id)
    if row is None:
        raise NotFound(f"There is no sync run {run_id}.", param="run_id")
    return _run(row)


async def _note(request: Request, caller: Caller, what: str, run_id: int) -> None:
    house = _house_of(request)
    entry = Entry(
        house.clock.now_us(), "model_sync.run", f"model-sync:{what}", origin_of(request, caller), after={"run": run_id}
    )
    async with house.database.begin() as connection:
        await audit.append(connection, "audit", entry)


def _run(row: dict[str, Any]) -> dict[str, Any]:
    finished = row["finished_at_us"]
    return {
        "id": row["id"],
        "kind": row["kind"],
        "status": row["status"],
        "dry_run": row["dry_run"],
        "started_at": iso(row["started_at_us"]),
        "finished_at": iso(finished),
        "duration_ms": None if finished is None else (finished - row["started_at_us"]) // 1000,
        **{name: row[name] for name in ("seen", "added", "changed", "removed", "rejected", "failed")},
        "providers": row["outcomes"],
    }


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "provider": row["provider"],
        "native_id": row["native_id"],
        "model_id": row["model_id"] or None,
        "state": row["state"],
        "reason": row["reason"],
        "detail": row["detail"],
        "waiting_price": _price(row["pending"]),
        "first_seen_at": iso(row["first_seen_us"]),
        "last_seen_at": iso(row["last_seen_us"]),
        "since": iso(row["changed_at_us"]),
    }


def _price(price: PriceRecord | None) -> dict[str, str] | None:
    if price is None:
        return None
    return {"prompt": usd_per_token_text(price.prompt), "completion": usd_per_token_text(price.completion)}


def _busy() -> Conflict:
    return Conflict("Another model sync is under way; GET /admin/model-sync/status tells of it.", code="sync_running")


def _house_of(request: Request) -> House:
    return cast(House, request.app.state.house)
