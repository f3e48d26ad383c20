"""Whether the books agreed, night after night, and what did not."""

from typing import Any, Protocol, cast

from fastapi import APIRouter, Request

from gatewayz.api.auth import AdminCaller
from gatewayz.api.paging import Paging, listed
from gatewayz.billing import nightly
from gatewayz.billing.reconcile import KINDS
from gatewayz.core.money import usd_text
from gatewayz.infra.clock import iso
from gatewayz.infra.db import Database


class House(Protocol):
    """What this page works with."""

    database: Database


def router() -> APIRouter:
    """GET /admin/reconciliation."""
    routes = APIRouter(tags=["admin"])
    routes.get("/admin/reconciliation", summary="Runs of the reconciliation, and what the last one found")(runs)
    return routes


async def runs(request: Request, page: Paging, caller: AdminCaller) -> dict[str, Any]:
    """Finished runs, newest first; `latest` is the last of all with its evidence, null before the first."""
    async with cast(House, request.app.state.house).database.read() as connection:
        rows, total = await nightly.page(connection, page.limit, page.offset)
        newest = rows if page.offset == 0 else (await nightly.page(connection, 1, 0))[0]
    answer = listed([_run(row) for row in rows], total, page)
    return answer | {"latest": _with_evidence(newest[0]) if newest else None}


def _run(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "nightly": row["night"] is not None,
        "started_at": iso(row["started_at_us"]),
        "finished_at": iso(row["finished_at_us"]),
        "since": iso(row["since_us"]),
        "accounts": row["accounts"],
        "rows": row["rows"],
        "drifts": row["drifts"],
        "clean": row["drifts"] == 0,
    }


def _with_evidence(row: dict[str, Any]) -> dict[str, Any]:
    kept = row["evidence"]
    return _run(row) | {
        "kinds": [{"kind": kind, "count": count, "meaning": KINDS[kind]} for kind, count in kept["kinds"].items()],
        "charges": kept["charges"],
        "charged_usd": usd_text(kept["charged_nano_usd"]),
        "metered_usd": usd_text(kept["metered_nano_usd"]),
        "balances_usd": usd_text(kept["balances_nano_usd"]),
        "counter_accounts_usd": {name: usd_text(total) for name, total in kept["contra_nano_usd"].items()},
        "evidence": kept["drifts"],
    }
