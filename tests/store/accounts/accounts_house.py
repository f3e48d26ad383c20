"""A small house around the room `accounts`: a real database, fakes for limits and money, and the pages over HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import Authenticator, emails, ensure_bootstrap_admin, keys, users
from gatewayz.accounts.audit import SYSTEM
from gatewayz.api.account import keys as key_pages
from gatewayz.api.admin import audit as audit_pages
from gatewayz.api.admin import ip_allowlist, registration, roles
from gatewayz.api.admin import users as user_pages
from gatewayz.core.errors import GatewayError, RateLimited
from gatewayz.core.ids import new_key
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import US_PER_DAY, ManualClock
from gatewayz.infra.crypto import KeyRing, derive_pepper, new_fernet_key
from gatewayz.infra.db import Database
from gatewayz.settings import Settings

FERNET_KEY = new_fernet_key()


@dataclass(frozen=True)
class Allowed:
    """The state of a limit that let a request pass."""

    limit: int
    remaining: int

    def headers(self) -> Mapping[str, str]:
        return {"X-RateLimit-Limit": str(self.limit), "X-RateLimit-Remaining": str(self.remaining)}


@dataclass
class CountingLimiter:
    """Counts without windows: the first `limit` of each subject pass."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    async def admit_key(self, key_id: int, rpm: int | None) -> Allowed:
        return self._admit("key", str(key_id), rpm or 10**9)

    async def admit_named(self, name: str, subject: str, limit: int, window_s: float) -> Allowed:
        assert window_s == 3600
        return self._admit(name, subject, limit)

    def _admit(self, name: str, subject: str, limit: int) -> Allowed:
        used = self.counts[name, subject] = self.counts.get((name, subject), 0) + 1
        if used > limit:
            raise RateLimited("too many", headers={"Retry-After": "60", "X-RateLimit-Limit": str(limit)})
        return Allowed(limit, limit - used)


@dataclass(frozen=True)
class Opened:
    balance_nano_usd: int
    trial_ends_at_us: int | None


@dataclass
class FakeBilling:
    """Grants the trial of the default settings."""

    opened: list[int] = field(default_factory=list)

    async def open_account(self, connection: AsyncConnection, user_id: int, now_us: int, *, trial: bool) -> Opened:
        assert trial
        self.opened.append(user_id)
        return Opened(5_000_000_000, now_us + 14 * US_PER_DAY)


@dataclass
class House:
    """What the pages find in `app.state.house`, and short ways to make accounts and keys."""

    database: Database
    settings: Settings = field(default_factory=Settings)
    clock: ManualClock = field(default_factory=ManualClock)
    ring: KeyRing = field(default_factory=lambda: KeyRing([FERNET_KEY], derive_pepper(FERNET_KEY)))
    limiter: CountingLimiter = field(default_factory=CountingLimiter)
    billing: FakeBilling = field(default_factory=FakeBilling)
    made: int = 0

    def __post_init__(self) -> None:
        self.feed = ChangeFeed(self.database, self.clock)
        self.authenticator = Authenticator(self.database, self.ring, self.clock, self.settings)
        self.authenticator.listen(self.feed)

    async def user(self, email: str = "") -> users.User:
        """A fresh account."""
        self.made += 1
        async with self.database.begin() as connection:
            return await users.create(
                connection,
                username="somebody",
                email=emails.read_email(email or f"user{self.made}@example.com"),
                auth_method="email",
                environment="live",
                origin=SYSTEM,
                now_us=self.clock.now_us(),
            )

    async def key(self, user_id: int, **chosen: Any) -> keys.IssuedKey:
        """A fresh key of that account."""
        self.made += 1
        settings = keys.KeySettings(**({"key_name": f"key {self.made}"} | chosen))
        async with self.database.begin() as connection:
            issued = await keys.create(connection, self.ring, user_id, "live", settings, SYSTEM, self.clock.now_us())
        self.feed.tell("key", str(issued.key.id))
        return issued

    async def admin(self) -> str:
        """The key of the bootstrap administrator."""
        secret = new_key("live")
        async with self.database.begin() as connection:
            await ensure_bootstrap_admin(connection, self.ring, secret, self.clock.now_us())
        return secret

    def app(self) -> FastAPI:
        """The pages of the room, with the client address taken from a header of the test."""
        app = FastAPI()
        app.state.house = self
        for pages in (key_pages, registration, user_pages, roles, ip_allowlist, audit_pages):
            app.include_router(pages.router())

        @app.exception_handler(GatewayError)
        async def render(request: Request, error: GatewayError) -> JSONResponse:
            body = {"code": error.code, "message": error.message, "param": error.param}
            headers = getattr(request.state, "limit_headers", {}) | error.headers
            return JSONResponse({"error": body}, error.status, headers)

        @app.exception_handler(RequestValidationError)
        async def render_fields(request: Request, error: RequestValidationError) -> JSONResponse:
            fields = [str(item["loc"]) for item in error.errors()]
            return JSONResponse({"error": {"code": "validation_error", "fields": fields}}, 422)

        return app

    @asynccontextmanager
    async def client(self, key: str = "", ip: str = "203.0.113.9") -> AsyncIterator[httpx2.AsyncClient]:
        """A client that sends the key and comes from the address."""
        app = self.app()

        async def dispatcher(scope: Any, receive: Any, send: Any) -> None:
            headers = dict(scope["headers"])
            scope["state"] = {
                "client_ip": headers.get(b"test-ip", ip.encode()).decode(),
                "request_id": headers.get(b"x-request-id", b"req-1").decode(),
            }
            await app(scope, receive, send)

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx2.ASGITransport(app=dispatcher)
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            yield client


async def customer(house: House, **chosen: Any) -> tuple[users.User, str]:
    """An account and the plain text of its key."""
    user = await house.user()
    return user, (await house.key(user.id, **chosen)).secret
