"""Who calls this page, and may they? Dependencies of every guarded route outside inference.

The order is that of the specification: key, its address and site, scope, then the key's rate limit; a missing role is
told after the limit, since each such refusal is written down. The outer dispatcher has put `client_ip` and `request_id`
into `request.state`; what a limit says is left there as `limit_headers`, so that an error raised later can carry it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from typing import Annotated, NoReturn, Protocol, cast

import sqlalchemy as sa
import structlog
from fastapi import Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import Authenticator, audit, roles
from gatewayz.core.caller import Caller, Scope
from gatewayz.core.errors import Forbidden, Unauthenticated
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import Clock
from gatewayz.infra.crypto import KeyRing
from gatewayz.infra.db import Database
from gatewayz.policy import access
from gatewayz.policy.limits import key_rpm
from gatewayz.settings import Settings

log = structlog.get_logger(__name__)

UNAUTHORIZED_ADMIN_ACCESS = "UNAUTHORIZED_ADMIN_ACCESS"


class LimitState(Protocol):
    """What a limit says of an accepted request."""

    def headers(self) -> Mapping[str, str]: ...


class Limiter(Protocol):
    """The limits that pages ask; both raise RateLimited carrying its headers."""

    async def admit_key(self, key_id: int, rpm: int | None) -> LimitState: ...

    async def admit_named(self, name: str, subject: str, limit: int, window_s: float) -> LimitState: ...


class OpenedAccount(Protocol):
    """What a new account was given."""

    @property
    def balance_nano_usd(self) -> int: ...

    @property
    def trial_ends_at_us(self) -> int | None: ...


class Billing(Protocol):
    """The one code path that grants a trial."""

    async def open_account(
        self, connection: AsyncConnection, user_id: int, now_us: int, *, trial: bool
    ) -> OpenedAccount: ...


class House(Protocol):
    """What the pages of accounts, keys and roles work with."""

    @property
    def database(self) -> Database: ...

    @property
    def ring(self) -> KeyRing: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def feed(self) -> ChangeFeed: ...

    @property
    def authenticator(self) -> Authenticator: ...

    @property
    def limiter(self) -> Limiter: ...

    @property
    def billing(self) -> Billing: ...


def house_of(request: Request) -> House:
    """The connected rooms."""
    return cast(House, request.app.state.house)


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The API key of a request, from `Authorization: Bearer …` or `x-api-key`; `headers` are lower-case ASGI pairs.

    Raises Unauthenticated missing_api_key, or multiple_api_keys if two different ones were sent.
    """
    found: str | None = None
    for name, value in headers:
        if name == b"x-api-key":
            key = value.decode("latin-1").strip()
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            key = value[7:].decode("latin-1").strip()
        else:
            continue
        if not key or key == found:
            continue
        if found is not None:
            raise Unauthenticated("Two different API keys were sent; send exactly one.", code="multiple_api_keys")
        found = key
    if found is None:
        raise Unauthenticated(
            "No API key was sent; put it into the header `Authorization: Bearer gw_…` or `x-api-key`.",
            code="missing_api_key",
        )
    return found


async def current_caller(request: Request) -> Caller:
    """The holder of the key, calling from an allowed address and site.

    Raises Unauthenticated, Forbidden (account_suspended, ip_not_allowed, domain_not_allowed), Unavailable.
    """
    client_ip: str = request.state.client_ip
    # The dispatcher has asked already, to tell strangers from callers; its answer is used.
    if (refusal := getattr(request.state, "refusal", None)) is not None:
        raise refusal
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        key = presented_key(request.scope["headers"])
        caller = await house_of(request).authenticator.authenticate(key, client_ip)
    access.check_ip(client_ip, caller.ip_allowlist)
    access.check_domain(request.headers.get("referer"), request.headers.get("origin"), caller.domain_referrers)
    return caller


CurrentCaller = Annotated[Caller, Depends(current_caller)]
Guard = Callable[..., Awaitable[Caller]]
# Everything that may stand between a caller and a page; all of them take (request, response, caller).
GUARDS: set[Guard] = set()


def _guard(function: Guard) -> Guard:
    GUARDS.add(function)
    return function


@cache
def needs(scope: Scope) -> Guard:
    """A dependency: the caller, if the key holds the scope and is within its rate limit."""

    @_guard
    async def scoped_caller(request: Request, response: Response, caller: CurrentCaller) -> Caller:
        access.check_scope(caller.scopes, scope)
        await _admit(request, response, caller)
        return caller

    return scoped_caller


@_guard
async def admin_caller(request: Request, response: Response, caller: CurrentCaller) -> Caller:
    """The caller, if an administrator. Raises Forbidden admin_required and leaves a security event otherwise."""
    await _admit(request, response, caller)
    if not caller.is_admin:
        await _refuse(request, caller)
    return caller


@cache
def staff(permission: str) -> Guard:
    """A dependency: the caller, if an administrator or of a role that holds the permission; else as `admin_caller`."""

    @_guard
    async def permitted_caller(request: Request, response: Response, caller: CurrentCaller) -> Caller:
        await _admit(request, response, caller)
        by_role = caller.role != "admin" and roles.allows(caller.role, permission) and "account:read" in caller.scopes
        if not (caller.is_admin or by_role):
            await _refuse(request, caller)
        return caller

    return permitted_caller


AdminCaller = Annotated[Caller, Depends(admin_caller)]


def origin_of(request: Request, caller: Caller | None) -> audit.Origin:
    """Who acts in this request, for the audit trail."""
    return audit.Origin(
        actor=f"user:{caller.user_id}" if caller else "anonymous",
        user_id=caller.user_id if caller else None,
        ip=request.state.client_ip,
        user_agent=request.headers.get("user-agent", ""),
        request_id=request.state.request_id,
    )


def show_limit(request: Request, response: Response, state: LimitState) -> None:
    """Puts what a limit says on the answer, and where errors raised later find it; the last one asked is shown."""
    headers = dict(state.headers())
    request.state.limit_headers = headers
    response.headers.update(headers)


async def _admit(request: Request, response: Response, caller: Caller) -> None:
    house = house_of(request)
    rpm = key_rpm(caller.tier, caller.rpm_limit, house.settings)
    show_limit(request, response, await house.limiter.admit_key(caller.key_id, rpm))


async def _refuse(request: Request, caller: Caller) -> NoReturn:
    house = house_of(request)
    event = audit.Entry(
        at_us=house.clock.now_us(),
        action=UNAUTHORIZED_ADMIN_ACCESS,
        resource=f"route:{request.method} {request.url.path}",
        origin=origin_of(request, caller),
        owner_user_id=caller.user_id,
        after={"role": caller.role, "key_id": caller.key_id},
        severity="high",
    )
    try:
        async with house.database.begin() as connection:
            await audit.append(connection, "security", event)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        # The refusal stands whether or not it can be written down.
        log.error("security_event_lost", action=event.action, resource=event.resource, error=type(error).__name__)
    raise Forbidden("This needs the key of an administrator, with the scope admin.", code="admin_required")
