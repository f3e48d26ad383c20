"""The pages of breakers, velocity mode and rate limits, over HTTP with real rooms behind them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from gatewayz.accounts import emails, keys, users
from gatewayz.accounts.audit import SYSTEM, Origin
from gatewayz.api import errors
from gatewayz.api.account import rate_limits
from gatewayz.api.public import breakers as breaker_pages
from gatewayz.api.public import velocity as velocity_page
from gatewayz.core.caller import SCOPES, Caller
from gatewayz.core.errors import Unauthenticated
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.crypto import KeyRing, derive_pepper, new_fernet_key
from gatewayz.infra.db import Database, metadata
from gatewayz.infra.redis import RedisLink
from gatewayz.policy.limits import Limiter
from gatewayz.routing.breakers import Breakers
from gatewayz.settings import Settings


@dataclass
class Callers:
    """Knows keys by their text."""

    known: dict[str, Caller] = field(default_factory=dict)

    async def authenticate(self, api_key: str, client_ip: str = "") -> Caller:
        if api_key not in self.known:
            raise Unauthenticated("unknown key")
        return self.known[api_key]


@dataclass
class Audited:
    """Remembers what was written down."""

    entries: list[tuple[str, str, str, Any]] = field(default_factory=list)

    async def __call__(self, action: str, *, resource: str, origin: Origin, before: Any = None) -> None:
        self.entries.append((action, resource, origin.ip, before))


@dataclass
class Site:
    """The app, its house and a client."""

    house: SimpleNamespace
    client: httpx2.AsyncClient

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, **headers: str) -> httpx2.Response:
        return await self.client.post(path, headers=headers)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    clock, settings = ManualClock(), Settings()
    link = RedisLink(None, clock)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    house = SimpleNamespace(
        settings=settings,
        clock=clock,
        database=database,
        feed=ChangeFeed(database, clock),
        limiter=Limiter(settings, clock, link, salt=b"salt"),
        breakers=Breakers(settings, clock, link),
        providers=SimpleNamespace(active_slugs=lambda: frozenset({"openai", "groq"})),
        authenticator=Callers(),
        audit=Audited(),
    )
    app = FastAPI()
    app.state.house = house

    @app.middleware("http")
    async def outer(request: Request, call_next: Any) -> Response:
        request.state.client_ip = request.headers.get("x-test-ip", "203.0.113.7")
        request.state.request_id = "request-1"
        return await call_next(request)

    errors.install(app)
    for module in (breaker_pages, velocity_page, rate_limits):
        app.include_router(module.router())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://gateway") as client:
        yield Site(house, client)
    await database.close()


async def open_breaker(site: Site, provider: str) -> None:
    for _ in range(5):
        permit = await site.house.breakers.borrow(provider)
        permit.failure()


@pytest.mark.ac("AC-2.5.1", "AC-2.5.9")
async def test_breakers_are_read_without_a_key(site: Site) -> None:
    shown = (await site.get("/circuit-breakers/never-seen")).json()
    assert shown["state"] == "CLOSED"
    await open_breaker(site, "openai")
    shown = (await site.get("/circuit-breakers/openai")).json()
    assert (shown["state"], shown["failure_count"], shown["config"]["failures"]) == ("OPEN", 5, 5)
    site.house.clock.advance(60)
    assert (await site.get("/circuit-breakers/openai")).json()["state"] == "HALF_OPEN"
    everything = (await site.get("/circuit-breakers")).json()
    assert [(item["provider"], item["state"]) for item in everything["data"]] == [
        ("groq", "CLOSED"),
        ("openai", "HALF_OPEN"),
    ]
    assert (everything["total"], everything["has_more"]) == (2, False)
    assert (await site.get("/circuit-breakers?limit=1&offset=1")).json()["data"][0]["provider"] == "openai"
    assert (await site.get("/circuit-breakers/%20")).status_code == 422


@pytest.mark.ac("AC-2.5.7", "AC-2.5.8", "AC-2.5.9")
async def test_resets_force_closed_and_are_written_down(site: Site) -> None:
    await open_breaker(site, "openai")
    await open_breaker(site, "groq")
    answer = await site.post("/circuit-breakers/openai/reset")
    assert answer.status_code == 200
    assert answer.json()["state"] == "CLOSED"
    assert answer.headers["x-ratelimit-remaining"] == "9"
    action, resource, ip, before = site.house.audit.entries[0]
    assert (action, resource, ip) == ("breaker.reset", "breaker:openai", "203.0.113.7")
    assert (before["state"], before["failure_count"]) == ("OPEN", 5)
    answer = await site.post("/circuit-breakers/reset-all")
    assert {item["state"] for item in answer.json()["data"]} == {"CLOSED"}
    assert site.house.audit.entries[1][:2] == ("breaker.reset_all", "breaker:*")
    assert (await site.get("/circuit-breakers/groq")).json()["state"] == "CLOSED"


@pytest.mark.ac("AC-2.5.9")
async def test_resets_are_limited_per_address(site: Site) -> None:
    for number in range(10):
        path = "/circuit-breakers/reset-all" if number % 2 else "/circuit-breakers/openai/reset"
        assert (await site.post(path)).status_code == 200
    await open_breaker(site, "openai")
    refused = await site.post("/circuit-breakers/openai/reset")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "3600"
    assert refused.headers["x-ratelimit-reason"] == "breaker_reset"
    assert (await site.get("/circuit-breakers/openai")).json()["state"] == "OPEN"
    assert len(site.house.audit.entries) == 10
    other = await site.post("/circuit-breakers/openai/reset", **{"x-test-ip": "203.0.113.8"})
    assert other.status_code == 200


@pytest.mark.ac("AC-2.5.9")
async def test_a_setting_makes_breakers_admin_only(site: Site) -> None:
    site.house.settings = replace(site.house.settings, breaker_admin_only=True)
    everyone = {"role": "user", "tier": "free", "scopes": frozenset(SCOPES)}
    site.house.authenticator.known = {
        "user-key": Caller(user_id=1, key_id=1, **everyone),
        "admin-key": Caller(user_id=2, key_id=2, **everyone | {"role": "admin"}),
    }
    paths = [("GET", "/circuit-breakers"), ("GET", "/circuit-breakers/openai")]
    paths += [("POST", "/circuit-breakers/openai/reset"), ("POST", "/circuit-breakers/reset-all")]
    for method, path in paths:
        for key, status in ((None, 401), ("user-key", 403), ("admin-key", 200)):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            assert (await site.client.request(method, path, headers=headers)).status_code == status, (path, key)
    assert [entry[0] for entry in site.house.audit.entries] == ["breaker.reset", "breaker.reset_all"]


@pytest.mark.ac("AC-1.5.9", "AC-1.5.10")
async def test_velocity_mode_is_shown_with_its_figures_and_both_sets_of_limits(site: Site) -> None:
    normal = (await site.get("/velocity-mode-status")).json()
    assert (normal["active"], normal["until"], normal["rate"], normal["sample_size"]) == (False, None, 0, 0)
    for number in range(100):
        site.house.limiter.velocity.observe(502 if number < 40 else 200)
    shown = (await site.get("/velocity-mode-status")).json()
    assert (shown["active"], shown["mode"], shown["rate"], shown["sample_size"]) == (True, "velocity", 0.4, 100)
    assert shown["until"] == "2026-01-01T00:03:00.000000Z"
    assert shown["normal_limits"] == {
        "ip_per_minute": 300,
        "fingerprint_per_minute": 100,
        "anonymous_per_day": 3,
        "key_per_minute": {"free": 60, "starter": 250, "pro": 1000, "enterprise": None},
    }
    assert shown["reduced_limits"] == {
        "ip_per_minute": 150,
        "fingerprint_per_minute": 50,
        "anonymous_per_day": 1,
        "key_per_minute": {"free": 30, "starter": 125, "pro": 500, "enterprise": None},
    }
    site.house.clock.advance(60 + 180)
    assert (await site.get("/velocity-mode-status")).json()["active"] is False


@dataclass
class Account:
    """An account with two keys, signed in by the first."""

    caller: Caller
    first: keys.Key
    second: keys.Key


@pytest.fixture
async def account(site: Site) -> Account:
    secret = new_fernet_key()
    ring, now_us = KeyRing([secret], derive_pepper(secret)), site.house.clock.now_us()
    async with site.house.database.begin() as connection:
        user = await users.create(
            connection,
            username="ann",
            email=emails.read_email("ann@example.org"),
            auth_method="email",
            environment="live",
            origin=SYSTEM,
            now_us=now_us,
        )
        issued = [
            await keys.create(connection, ring, user.id, "live", keys.KeySettings(key_name=name), SYSTEM, now_us)
            for name in ("first", "second")
        ]
    caller = Caller(
        user_id=user.id, key_id=issued[0].key.id, role="user", tier="free", scopes=frozenset(SCOPES) - {"admin"}
    )
    site.house.authenticator.known = {"my-key": caller}
    return Account(caller, issued[0].key, issued[1].key)


MY_KEY = {"Authorization": "Bearer my-key"}


@pytest.mark.ac("AC-1.5.11")
async def test_limits_and_use_are_shown_for_account_and_keys(site: Site, account: Account) -> None:
    for _ in range(7):
        await site.house.limiter.admit_key(account.second.id, 60)
    shown = (await site.get("/user/rate-limits", **MY_KEY)).json()
    by_name = {row["key_name"]: row for row in shown["data"]}
    assert by_name["second"] == {
        "key_id": account.second.id,
        "key_name": "second",
        "rate_limit": None,
        "requests_per_minute": 60,
        "limit": 60,
        "used": 7,
        "remaining": 53,
        "reset_at": "2026-01-01T00:01:00.000000Z",
        "mode": "normal",
    }
    assert by_name["first"]["used"] == 1  # this very request
    assert shown["account"] == {"tier": "free", "requests_per_minute_per_key": 60, "mode": "normal", "used": 8}
    assert shown["total"] == 2
    assert (await site.get("/user/rate-limits")).status_code == 401


@pytest.mark.ac("AC-1.5.12")
async def test_a_key_gets_a_limit_of_its_own_up_to_the_plan(site: Site, account: Account) -> None:
    path = f"/user/rate-limits/{account.second.id}"
    told: list[str] = []
    site.house.feed.on("key", told.append)
    answer = await site.client.put(path, json={"rate_limit": 2}, headers=MY_KEY)
    assert answer.status_code == 200
    assert (answer.json()["requests_per_minute"], answer.json()["remaining"]) == (2, 2)
    assert told == [str(account.second.id)]
    async with site.house.database.read() as connection:
        stored = await keys.get(connection, account.caller.user_id, account.second.id)
    assert stored.settings.rpm_limit == 2
    above = await site.client.put(path, json={"rate_limit": 61}, headers=MY_KEY)
    assert above.status_code == 422
    assert above.json()["error"]["code"] == "rate_limit_above_plan"
    for wrong in ({"rate_limit": 0}, {"rate_limit": "many"}, {}, {"rate_limit": 5, "other": 1}):
        assert (await site.client.put(path, json=wrong, headers=MY_KEY)).status_code == 422
    back = await site.client.put(path, json={"requests_per_minute": None}, headers=MY_KEY)
    assert (back.json()["rate_limit"], back.json()["requests_per_minute"]) == (None, 60)
    unknown = await site.client.put("/user/rate-limits/999", json={"rate_limit": 2}, headers=MY_KEY)
    assert unknown.status_code == 404
