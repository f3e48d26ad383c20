"""The caller's own profile and API keys: create, list, change, rotate, delete, and what happened to them."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field, field_validator, model_validator

from gatewayz.accounts import audit, keys, users
from gatewayz.api.auth import House, house_of, needs, origin_of, show_limit
from gatewayz.api.guarded import GuardedRoute
from gatewayz.api.models import Host, ModelName, Name, Network, StrictBody, us_of
from gatewayz.api.paging import Paging, listed
from gatewayz.api.views import key_view, user_view
from gatewayz.core.caller import Caller, Scope
from gatewayz.core.errors import Forbidden, InvalidFields
from gatewayz.core.money import nano_from_usd
from gatewayz.infra.clock import US_PER_DAY, iso
from gatewayz.policy.limits import plan_rpm

_MAX_GRACE_S = 7 * 86_400
_MAX_LISTED = 100

Reader = Annotated[Caller, Depends(needs("account:read"))]
Writer = Annotated[Caller, Depends(needs("account:write"))]
KeyId = Annotated[int, Path(ge=1, le=2**63 - 1)]


class _Restrictions(StrictBody):
    """What a key may do, and where. A field that is null or empty does not restrict."""

    scopes: Annotated[list[Scope], Field(min_length=1)] | None = None
    ip_allowlist: Annotated[list[Network], Field(max_length=_MAX_LISTED)] | None = None
    domain_referrers: Annotated[list[Host], Field(max_length=_MAX_LISTED)] | None = None
    model_allowlist: Annotated[list[ModelName], Field(max_length=_MAX_LISTED)] | None = None
    expires_at: datetime | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    max_requests: Annotated[int, Field(ge=1, le=10**12)] | None = None
    daily_usd_cap: Annotated[Decimal, Field(ge=0, le=1_000_000_000, decimal_places=9)] | None = None
    rate_limit: Annotated[int, Field(ge=1, le=10**9)] | None = None

    @model_validator(mode="after")
    def _one_expiry(self) -> Self:
        if self.expires_at is not None and self.expires_in_days is not None:
            raise ValueError("give expires_at or expires_in_days, not both")
        return self

    def choices(self, now_us: int) -> dict[str, Any]:
        """The fields that were sent, as names and values of KeySettings."""
        sent = self.model_fields_set
        found: dict[str, Any] = {}
        for name in ("ip_allowlist", "domain_referrers", "model_allowlist"):
            if name in sent:
                found[name] = tuple(sorted(set(getattr(self, name) or ())))
        if self.scopes is not None:
            found["scopes"] = frozenset(self.scopes)
        if self.expires_in_days is not None:
            found["expires_at_us"] = now_us + self.expires_in_days * US_PER_DAY
        elif "expires_at" in sent or "expires_in_days" in sent:
            found["expires_at_us"] = us_of(self.expires_at) if self.expires_at else None
        if "max_requests" in sent:
            found["max_requests"] = self.max_requests
        if "daily_usd_cap" in sent:
            cap = self.daily_usd_cap
            found["daily_cap_nano_usd"] = None if cap is None else nano_from_usd(cap)
        if "rate_limit" in sent:
            found["rpm_limit"] = self.rate_limit
        return found


class NewKey(_Restrictions):
    """Body of a creation."""

    key_name: Name
    environment_tag: Literal["live", "test", "staging", "dev"] = "live"


class KeyChange(_Restrictions):
    """Body of a change; what is absent stays as it is. An `expires_at` in the past ends the key now."""

    key_name: Name | None = None
    is_active: bool | None = None

    @field_validator("key_name", "is_active", "scopes")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null")
        return value

    def choices(self, now_us: int) -> dict[str, Any]:
        found = _Restrictions.choices(self, now_us)
        found |= {name: getattr(self, name) for name in ("key_name", "is_active") if name in self.model_fields_set}
        return found


class Rotation(StrictBody):
    """Body of a rotation: how many seconds the old secret still works."""

    grace_period_s: Annotated[int, Field(ge=0, le=_MAX_GRACE_S)] = 0


def router() -> APIRouter:
    """The routes of keys and profile."""
    routes = APIRouter(tags=["Account"], route_class=GuardedRoute)
    routes.get("/user/profile")(profile)
    routes.post("/user/api-keys")(create_key)
    routes.get("/user/api-keys")(list_keys)
    routes.get("/user/api-keys/audit-logs")(key_events)
    routes.put("/user/api-keys/{key_id}")(change_key)
    routes.delete("/user/api-keys/{key_id}")(delete_key)
    routes.post("/user/api-keys/{key_id}/rotate")(rotate_key)
    return routes


async def profile(request: Request, caller: Reader) -> dict[str, Any]:
    """The caller's own account."""
    house = house_of(request)
    async with house.database.read() as connection:
        return user_view(await users.get(connection, caller.user_id), house.clock.now_us())


async def create_key(request: Request, response: Response, body: NewKey, caller: Writer) -> dict[str, Any]:
    """A new key; its plain text is in this answer and in no other."""
    house = house_of(request)
    now_us = house.clock.now_us()
    chosen = body.choices(now_us)
    if body.expires_at is not None and chosen["expires_at_us"] <= now_us:
        raise InvalidFields("expires_at lies in the past.", param="expires_at")
    scopes = chosen.setdefault("scopes", _default_scopes(caller))
    _check_grant(caller, scopes)
    _check_plan(house, caller, chosen)
    state = await house.limiter.admit_named(
        "key_creation", str(caller.user_id), house.settings.key_creations_per_hour, 3600
    )
    show_limit(request, response, state)
    settings = keys.KeySettings(key_name=body.key_name, **chosen)
    async with house.database.begin() as connection:
        issued = await keys.create(
            connection,
            house.ring,
            caller.user_id,
            body.environment_tag,
            settings,
            origin_of(request, caller),
            now_us,
        )
    house.feed.tell("key", str(issued.key.id))
    return key_view(issued.key, now_us) | {"api_key": issued.secret}


async def list_keys(
    request: Request, page: Paging, caller: Reader, include_inactive: Annotated[bool, Query()] = False
) -> dict[str, Any]:
    """The caller's keys, newest first; those switched off or expired only on request."""
    house = house_of(request)
    now_us = house.clock.now_us()
    async with house.database.read() as connection:
        found, total = await keys.page(
            connection,
            caller.user_id,
            active_at_us=None if include_inactive else now_us,
            limit=page.limit,
            offset=page.offset,
        )
    return listed([key_view(key, now_us) for key in found], total, page)


async def change_key(request: Request, key_id: KeyId, body: KeyChange, caller: Writer) -> dict[str, Any]:
    """The key after the change, which holds from the next request on."""
    house = house_of(request)
    now_us = house.clock.now_us()
    chosen = body.choices(now_us)
    if "scopes" in chosen:
        _check_grant(caller, chosen["scopes"])
    _check_plan(house, caller, chosen)
    async with house.database.begin() as connection:
        key = await keys.update(connection, caller.user_id, key_id, chosen, origin_of(request, caller), now_us)
    house.feed.tell("key", str(key.id))
    return key_view(key, now_us)


async def delete_key(request: Request, key_id: KeyId, caller: Writer) -> dict[str, Any]:
    """Removes the key, the calling one too."""
    house = house_of(request)
    async with house.database.begin() as connection:
        key = await keys.delete(connection, caller.user_id, key_id, origin_of(request, caller), house.clock.now_us())
    house.feed.tell("key", str(key.id))
    return {"id": key.id, "key_id": key.id, "key_name": key.settings.key_name, "deleted": True}


async def rotate_key(request: Request, key_id: KeyId, caller: Writer, body: Rotation | None = None) -> dict[str, Any]:
    """The same key with a new secret, shown in this answer only."""
    house = house_of(request)
    now_us = house.clock.now_us()
    async with house.database.begin() as connection:
        # A weaker key must not learn the secret of a stronger one.
        _check_grant(caller, (await keys.get(connection, caller.user_id, key_id)).settings.scopes)
        issued = await keys.rotate(
            connection,
            house.ring,
            caller.user_id,
            key_id,
            grace_s=body.grace_period_s if body else 0,
            origin=origin_of(request, caller),
            now_us=now_us,
        )
    house.feed.tell("key", str(issued.key.id))
    return key_view(issued.key, now_us) | {"api_key": issued.secret}


async def key_events(request: Request, page: Paging, caller: Reader) -> dict[str, Any]:
    """What happened to the caller's keys, newest first; use is one row per key and hour."""
    async with house_of(request).database.read() as connection:
        rows, total = await audit.page_of_key_events(connection, caller.user_id, page.limit, page.offset)
    return listed([_event_view(row) for row in rows], total, page)


def _event_view(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": iso(row["at_us"]),
        "action": row["action"],
        "key_id": int(row["resource"].removeprefix("key:")),
        "actor": row["actor"],
        "ip": row["ip"],
        "user_agent": row["user_agent"],
        "request_id": row["request_id"],
        "before": row["before"],
        "after": row["after"],
        "count": row["count"],
    }


def _default_scopes(caller: Caller) -> frozenset[str]:
    """All but admin; of a limited key, what it holds of those."""
    return keys.DEFAULT_SCOPES if caller.role == "admin" else keys.DEFAULT_SCOPES & caller.scopes


def _check_grant(caller: Caller, scopes: frozenset[str]) -> None:
    """A key hands on what it holds itself; an administrator's may hand on everything."""
    beyond = sorted(scopes - caller.scopes)
    if beyond and caller.role != "admin":
        raise Forbidden(
            f"This API key cannot give a key the scope {', '.join(beyond)}, which it does not hold.",
            code="insufficient_scope",
            param="scopes",
        )


def _check_plan(house: House, caller: Caller, chosen: dict[str, Any]) -> None:
    wanted, plan = chosen.get("rpm_limit"), plan_rpm(caller.tier, house.settings)
    if wanted and plan and wanted > plan:
        raise InvalidFields(
            f"rate_limit is above the {plan} requests per minute of this account's plan.",
            code="rate_limit_above_plan",
            param="rate_limit",
        )
