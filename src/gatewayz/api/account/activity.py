"""What the account has been doing: its request log and its totals."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Protocol, cast

from fastapi import APIRouter, Depends, Path, Query, Request

from gatewayz.accounts import keys
from gatewayz.api.auth import needs
from gatewayz.api.models import Id, Line
from gatewayz.api.paging import Paging, listed
from gatewayz.api.times import optional_time_us
from gatewayz.core.caller import Caller
from gatewayz.core.errors import InvalidFields
from gatewayz.core.money import usd_number, usd_text
from gatewayz.infra.clock import US_PER_DAY, Clock, iso
from gatewayz.infra.db import Database
from gatewayz.operations import usage
from gatewayz.operations.apps import app_id

MAX_DAYS = 366


class House(Protocol):
    """What these pages work with."""

    database: Database
    clock: Clock


Reader = Annotated[Caller, Depends(needs("account:read"))]
App = Annotated[Line | None, Query(description="the origin of an application, or its name where it has none")]
From = Annotated[str | None, Query(alias="from", description="ISO 8601 time, included")]
To = Annotated[str | None, Query(description="ISO 8601 time, excluded")]


def router() -> APIRouter:
    """GET /user/activity/log, /user/activity/stats, /user/api-keys/{key_id}/usage."""
    routes = APIRouter(tags=["account"])
    routes.get("/user/activity/log", summary="The account's requests, newest first")(read_log)
    routes.get("/user/activity/stats", summary="Totals by time, model, provider and key")(read_stats)
    routes.get("/user/api-keys/{key_id}/usage", summary="What one key has used")(read_key_usage)
    return routes


async def read_log(
    request: Request,
    caller: Reader,
    page: Paging,
    model: Line | None = None,
    provider: Line | None = None,
    key_id: Id | None = None,
    status: Annotated[str | None, Query(description="success, error, or an HTTP status")] = None,
    app: App = None,
    from_: From = None,
    to: To = None,
) -> dict[str, Any]:
    """Records of the caller's account, newest first; the serving provider and the attempts are shown here only."""
    house = cast(House, request.app.state.house)
    wanted = _wanted(caller, model, provider, key_id, status, from_, to, app)
    async with house.database.read() as connection:
        rows, total = await usage.page(connection, wanted, page.limit, page.offset)
    return listed([_shown(row) for row in rows], total, page)


async def read_stats(
    request: Request,
    caller: Reader,
    days: Annotated[int, Query(ge=1, le=MAX_DAYS, description="the last days, unless `from` is given")] = 30,
    group_by: Literal["hour", "day"] = "day",
    model: Line | None = None,
    provider: Line | None = None,
    key_id: Id | None = None,
    app: App = None,
    from_: From = None,
    to: To = None,
) -> dict[str, Any]:
    """Requests, tokens and spend of the caller's account, in total and by time, model, provider, key, environment, app."""
    house = cast(House, request.app.state.house)
    wanted = _wanted(caller, model, provider, key_id, None, from_, to, app)
    if wanted.from_us is None:
        wanted = replace(wanted, from_us=_since(house.clock.now_us(), days))
    async with house.database.read() as connection:
        found = await usage.totals(connection, wanted, group_by)
    total = _sums(found["total"])
    return {
        **total,
        "error_rate": total["errors"] / total["requests"] if total["requests"] else 0.0,
        "from": iso(wanted.from_us),
        "to": iso(wanted.until_us),
        "group_by": group_by,
        "by_date": [{"start": iso(row["start_us"]), **_sums(row)} for row in found["by_time"]],
        "by_model": [{"model": row["model"], **_sums(row)} for row in found["by_model"]],
        "by_provider": [{"provider": row["provider"], **_sums(row)} for row in found["by_provider"]],
        "by_key": [{"key_id": row["api_key_id"], **_sums(row)} for row in found["by_key"]],
        "by_environment": [{"environment": row["environment"], **_sums(row)} for row in found["by_environment"]],
        "by_app": [{"app": _app(row), **_sums(row)} for row in found["by_app"]],
    }


async def read_key_usage(
    request: Request,
    caller: Reader,
    key_id: Annotated[int, Path(ge=1, lt=2**63)],
    days: Annotated[int, Query(ge=1, le=MAX_DAYS, description="the last days, unless `from` is given")] = 30,
    from_: From = None,
    to: To = None,
) -> dict[str, Any]:
    """Requests, errors, tokens, cost and last use of one key of the caller's account, by day and by model.

    The figures of all keys of an account add up to those of `/user/activity/stats` over the same time.
    """
    house = cast(House, request.app.state.house)
    wanted = _wanted(caller, None, None, key_id, None, from_, to)
    if wanted.from_us is None:
        wanted = replace(wanted, from_us=_since(house.clock.now_us(), days))
    async with house.database.read() as connection:
        key = await keys.get(connection, caller.user_id, key_id)
        found = await usage.totals(connection, wanted, "day")
    return {
        "key_id": key.id,
        "key_name": key.settings.key_name,
        "last4": key.last4,
        **_sums(found["total"]),
        "last_used_at": iso(found["total"]["last_at_us"]),
        "from": iso(wanted.from_us),
        "to": iso(wanted.until_us),
        "by_date": [{"start": iso(row["start_us"]), **_sums(row)} for row in found["by_time"]],
        "by_model": [{"model": row["model"], **_sums(row)} for row in found["by_model"]],
    }


def _since(now_us: int, days: int) -> int:
    """Midnight UTC at the start of the last `days` days, today included."""
    return now_us - now_us % US_PER_DAY - (days - 1) * US_PER_DAY


def _wanted(
    caller: Caller,
    model: str | None,
    provider: str | None,
    key_id: int | None,
    status: str | None,
    from_: str | None,
    to: str | None,
    app: str | None = None,
) -> usage.RecordFilter:
    if (
        status is not None
        and status not in ("success", "error")
        and not (status.isascii() and status.isdigit() and len(status) == 3)
    ):
        raise InvalidFields("status must be success, error, or an HTTP status such as 429.", param="status")
    return usage.RecordFilter(
        user_id=caller.user_id,
        model=model,
        provider=provider,
        key_id=key_id,
        status=status,
        from_us=optional_time_us(from_, "from"),
        until_us=optional_time_us(to, "to"),
        app=app,
    )


def _sums(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "requests": row["requests"],
        "errors": row["errors"],
        "prompt_tokens": row["prompt_tokens"],
        "completion_tokens": row["completion_tokens"],
        "total_tokens": row["prompt_tokens"] + row["completion_tokens"],
        "cost_usd": usd_number(row["cost_nano_usd"]),
        "cost_usd_exact": usd_text(row["cost_nano_usd"]),
    }


def _app(row: dict[str, Any]) -> dict[str, Any] | None:
    """The application of a record, as it said of itself; None if it said nothing."""
    origin, title = row["app_origin"], row["app_title"]
    number = app_id(origin, title)
    return None if number is None else {"id": number, "origin": origin, "title": title}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    first_token_us = row["first_token_us"]
    return {
        "id": row["id"],
        "created_at": iso(row["created_at_us"]),
        "request_id": row["request_id"],
        "key_id": row["api_key_id"],
        "endpoint": row["endpoint"],
        "requested_model": row["requested_model"],
        "model": row["model"],
        "provider": row["provider"],
        "attempts": row["attempts"].split(",") if row["attempts"] else [],
        "upstream_id": row["upstream_id"],
        "stream": row["stream"],
        "status": row["status"],
        "error_code": row["error_code"],
        "finish_reason": row["finish_reason"],
        "prompt_tokens": row["prompt_tokens"],
        "completion_tokens": row["completion_tokens"],
        "cached_tokens": row["cached_tokens"],
        "reasoning_tokens": row["reasoning_tokens"],
        "usage_estimated": row["usage_estimated"],
        "cost_usd": usd_number(row["cost_nano_usd"]),
        "cost_usd_exact": usd_text(row["cost_nano_usd"]),
        "latency_ms": row["latency_us"] / 1000,
        "time_to_first_token_ms": None if first_token_us is None else first_token_us / 1000,
        "environment": row["environment"],
        "user": row["user_tag"],
        "app": _app(row),
    }
