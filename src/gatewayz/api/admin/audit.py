"""The audit trail for administrators: search, security events, and proof that nothing was bent."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from gatewayz.accounts import audit
from gatewayz.api.auth import AdminCaller, house_of
from gatewayz.api.models import Id, Line, us_of
from gatewayz.api.paging import Page, Paging, listed
from gatewayz.infra.clock import iso

Action = Annotated[Line | None, Query(description="an action, or a family of them ending in a dot, e.g. `key.`")]
From = Annotated[datetime | None, Query(alias="from", description="at or after this time")]
Until = Annotated[datetime | None, Query(alias="to", description="before this time")]


def router() -> APIRouter:
    """The routes of the audit trail."""
    routes = APIRouter(tags=["Administration"])
    routes.get("/admin/audit-logs")(audit_logs)
    routes.get("/admin/audit-logs/verify")(verify)
    routes.get("/admin/security-events")(security_events)
    return routes


async def audit_logs(
    request: Request,
    page: Paging,
    caller: AdminCaller,
    chain: audit.Chain = "audit",
    action: Action = None,
    actor_user_id: Annotated[Id | None, Query()] = None,
    user_id: Annotated[Id | None, Query(description="whose data was concerned")] = None,
    resource: Line | None = None,
    severity: audit.Severity | None = None,
    request_id: Line | None = None,
    since: From = None,
    until: Until = None,
) -> dict[str, Any]:
    """Entries of a chain, newest first."""
    wanted = audit.Filters(
        action=action,
        actor_user_id=actor_user_id,
        owner_user_id=user_id,
        resource=resource,
        severity=severity,
        request_id=request_id,
        from_us=us_of(since) if since else None,
        until_us=us_of(until) if until else None,
    )
    return await _entries(request, chain, wanted, page)


async def security_events(
    request: Request,
    page: Paging,
    caller: AdminCaller,
    action: Action = None,
    user_id: Annotated[Id | None, Query(description="who tried")] = None,
    severity: audit.Severity | None = None,
    since: From = None,
    until: Until = None,
) -> dict[str, Any]:
    """What was attempted without right, newest first."""
    wanted = audit.Filters(
        action=action,
        actor_user_id=user_id,
        severity=severity,
        from_us=us_of(since) if since else None,
        until_us=us_of(until) if until else None,
    )
    return await _entries(request, "security", wanted, page)


async def verify(request: Request, caller: AdminCaller) -> dict[str, Any]:
    """Whether each chain is whole, and its first broken link if not."""
    chains: dict[str, Any] = {}
    async with house_of(request).database.read() as connection:
        for chain in audit.CHAINS:
            verdict = await audit.verify(connection, chain)
            broken = verdict.broken
            chains[chain] = {
                "valid": broken is None,
                "entries_checked": verdict.sound,
                "first_broken": {"seq": broken.seq, "reason": broken.reason} if broken else None,
            }
    return {"valid": all(found["valid"] for found in chains.values()), "chains": chains}


async def _entries(request: Request, chain: audit.Chain, wanted: audit.Filters, page: Page) -> dict[str, Any]:
    async with house_of(request).database.read() as connection:
        rows, total = await audit.page(connection, chain, wanted, page.limit, page.offset)
    return listed([{"time": iso(row.pop("at_us"))} | row for row in rows], total, page)
