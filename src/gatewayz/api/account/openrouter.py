"""OpenRouter's pages about a caller's own things: a generation, the key, the credits."""

from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, cast

from fastapi import APIRouter, Depends, Query, Request

from gatewayz.api.auth import needs
from gatewayz.api.models import Line
from gatewayz.billing import ledger
from gatewayz.core.caller import Caller
from gatewayz.core.errors import NotFound
from gatewayz.core.money import nano_from_usd, usd_number
from gatewayz.infra.clock import US_PER_DAY, US_PER_S, Clock, iso
from gatewayz.infra.db import Database
from gatewayz.operations import generations
from gatewayz.operations.apps import app_id
from gatewayz.policy.limits import key_rpm
from gatewayz.settings import Settings

_CLIENT_CLOSED = 499
# Providers' words for why an answer ended, in OpenAI's.
_FINISHES = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter",
    "function_call": "tool_calls", "STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter",
    "pause_turn": "stop", "eos": "stop", "eos_token": "stop",
}  # fmt: skip


class House(Protocol):
    """What these pages work with."""

    database: Database
    clock: Clock
    settings: Settings


Inferring = Annotated[Caller, Depends(needs("inference"))]
Reader = Annotated[Caller, Depends(needs("account:read"))]


def router() -> APIRouter:
    """GET /v1/generation, /v1/key and /api/v1/credits, in OpenRouter's form."""
    routes = APIRouter(tags=["openrouter"])
    for prefix in ("/v1", "/api/v1"):
        routes.get(f"{prefix}/generation", summary="What became of one request")(read_generation)
        routes.get(f"{prefix}/key", summary="The key that is asking: limits and spend")(read_key)
        routes.get(f"{prefix}/auth/key", include_in_schema=False)(read_key)
    routes.get("/api/v1/credits", summary="What was ever put in, and what was ever spent")(read_credits)
    return routes


async def read_generation(
    request: Request,
    caller: Inferring,
    id: Annotated[Line, Query(description="the id in the answer, or its X-Request-ID header")],
) -> dict[str, Any]:
    """Model, provider, tokens, times and cost of one request of the caller's account. Raises NotFound.

    A key without the scope `account:read` finds its own requests only.
    """
    house = cast(House, request.app.state.house)
    async with house.database.read() as connection:
        charged = await ledger.charged_at_us(connection, caller.user_id, generations.request_ids(id))
        row = await generations.find(connection, caller.user_id, id, charged)
    own = row is not None and (row["api_key_id"] == caller.key_id or "account:read" in caller.scopes)
    if row is None or not own:
        raise NotFound(
            "There is no generation with this id. Ask with the id in the answer, or with its X-Request-ID header.",
            code="generation_not_found",
            param="id",
        )
    return {"data": _generation(row, id)}


async def read_key(request: Request, caller: Inferring) -> dict[str, Any]:
    """Label, limit and spend of the key in USD; days, weeks (from Monday) and months begin at midnight UTC."""
    house = cast(House, request.app.state.house)
    now_us = house.clock.now_us()
    today = now_us // US_PER_DAY
    week, month = _starts(now_us)
    async with house.database.read() as connection:
        ever, this_day = await ledger.spent_by_key(connection, caller.key_id, today)
        this_week, this_month = await generations.spent_since(connection, caller.key_id, (week, month))
        free = await generations.free_requests_since(connection, caller.user_id, today * US_PER_DAY)
    cap = caller.daily_cap_nano_usd
    left = None if cap is None else max(0, cap - this_day)
    rpm = key_rpm(caller.tier, caller.rpm_limit, house.settings)
    budgets = [] if cap is None or left is None else [_budget(cap, left, this_day, (today + 1) * US_PER_DAY)]
    return {
        "data": {
            "label": caller.key_name or caller.key_hint,
            "limit": None if cap is None else usd_number(cap),
            "limit_remaining": None if left is None else usd_number(left),
            "limit_reset": None if cap is None else "daily",
            "usage": usd_number(ever),
            "usage_daily": usd_number(this_day),
            "usage_weekly": usd_number(this_week),
            "usage_monthly": usd_number(this_month),
            **dict.fromkeys(("byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly"), 0),
            "include_byok_in_limit": False,
            "is_free_tier": caller.tier == "free",
            "is_management_key": caller.is_admin,
            "is_provisioning_key": caller.is_admin,
            "rate_limit": {
                "requests": rpm or -1,
                "interval": "60s",
                "note": "Requests per minute of this key; -1 means no limit.",
            },
            "free_model_daily_requests": {"limit": -1, "remaining": -1, "used": free},
            "budgets": budgets,
            "effective_budget": budgets[0] if budgets else None,
            "allowed_data_regions": ["global"],
            "creator_user_id": str(caller.user_id),
            "organization_id": None,
            "workspace_id": None,
            "expires_at": iso(caller.expires_at_us),
        }
    }


async def read_credits(request: Request, caller: Reader) -> dict[str, Any]:
    """`total_credits` less `total_usage` is the balance, in USD."""
    house = cast(House, request.app.state.house)
    trial_daily = nano_from_usd(house.settings.trial_daily_usd)
    async with house.database.read() as connection:
        view = await ledger.view(connection, caller.user_id, house.clock.now_us(), trial_daily)
        spent = await ledger.spent_by_account(connection, caller.user_id)
    return {"data": {"total_credits": usd_number(view.total + spent), "total_usage": usd_number(spent)}}


def _starts(now_us: int) -> tuple[int, int]:
    """Microseconds of this week's Monday and of the first of this month."""
    today = now_us - now_us % US_PER_DAY
    moment = datetime.fromtimestamp(today // US_PER_S, UTC)
    return today - moment.weekday() * US_PER_DAY, today - (moment.day - 1) * US_PER_DAY


def _budget(cap: int, left: int, spent: int, resets_at_us: int) -> dict[str, Any]:
    return {
        "scope": "key_limit",
        "budget_id": None,
        "guardrail_id": None,
        "include_byok": False,
        "limit_usd": usd_number(cap),
        "remaining_usd": usd_number(left),
        "spend_usd": usd_number(spent),
        "reset_interval": "daily",
        "resets_at": iso(resets_at_us),
    }


def _generation(row: dict[str, Any], wanted: str) -> dict[str, Any]:
    """A record in OpenRouter's words; what is not recorded is null, and `""` where null is not allowed."""
    first_us, whole_us = row["first_token_us"], row["latency_us"]
    cost = usd_number(row["cost_nano_usd"])
    native, tokens_in, tokens_out = row["finish_reason"], row["prompt_tokens"], row["completion_tokens"]
    not_recorded = (
        "cache_discount", "moderation_latency", "native_tokens_completion_images", "num_fetches",
        "num_input_audio_prompt", "num_media_completion", "num_media_prompt", "num_search_results",
        "user_agent", "preset_id", "router", "service_tier", "upstream_inference_cost", "web_search_engine",
        "workspace_id", "session_id", "response_cache_source_id",
    )  # fmt: skip
    return {
        **dict.fromkeys(not_recorded),
        "id": wanted,
        "request_id": row["request_id"],
        "upstream_id": row["upstream_id"],
        "model": row["model"] or row["requested_model"],
        "provider_name": row["provider"],
        "created_at": iso(row["created_at_us"]),
        "streamed": row["stream"],
        "cancelled": row["status"] == _CLIENT_CLOSED,
        "latency": None if first_us is None else first_us / 1000,
        "generation_time": (whole_us - first_us) / 1000 if row["stream"] and first_us is not None else whole_us / 1000,
        "finish_reason": _FINISHES.get(native, native),
        "native_finish_reason": native,
        "tokens_prompt": tokens_in,
        "tokens_completion": tokens_out,
        "native_tokens_prompt": tokens_in,
        "native_tokens_completion": tokens_out,
        "native_tokens_reasoning": row["reasoning_tokens"],
        "native_tokens_cached": row["cached_tokens"],
        "total_cost": cost,
        "usage": cost,
        "is_byok": False,
        "external_user": row["user_tag"],
        "app_id": app_id(row["app_origin"], row["app_title"]),
        "http_referer": row["app_origin"],
        "origin": row["app_origin"] or "",
        "data_region": "global",
        "api_type": "completions" if row["endpoint"] in _CHATS else None,
        "provider_responses": [_tried(each) for each in row["attempts"].split(",")] if row["attempts"] else [],
    }


_CHATS = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"})


def _tried(attempt: str) -> dict[str, Any]:
    """One attempt: who was asked, and the status that came back; null where none did."""
    provider, _, outcome = attempt.partition(":")
    return {"provider_name": provider, "status": int(outcome) if outcome.isdigit() else None, "is_byok": False}
