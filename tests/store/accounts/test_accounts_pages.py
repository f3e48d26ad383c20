"""The pages of keys, users, roles, allowlists, registration and audit, over HTTP."""

import asyncio
import json
import re
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from accounts_house import House

from gatewayz.accounts import audit, users
from gatewayz.accounts.audit import SYSTEM, Filters
from gatewayz.core.caller import SCOPES
from gatewayz.core.ids import KEY_PATTERN
from gatewayz.infra.clock import iso

ADMIN_ROUTES = [
    ("GET", "/admin/users"),
    ("GET", "/admin/users/1"),
    ("PATCH", "/admin/users/1/status"),
    ("POST", "/admin/roles/update"),
    ("GET", "/admin/roles"),
    ("GET", "/admin/roles/1"),
    ("GET", "/admin/roles/permissions/admin"),
    ("GET", "/admin/roles/audit/log"),
    ("GET", "/admin/audit-logs"),
    ("GET", "/admin/audit-logs/verify"),
    ("GET", "/admin/security-events"),
    ("GET", "/api/admin/ip-whitelist"),
    ("POST", "/api/admin/ip-whitelist"),
    ("POST", "/api/admin/ip-whitelist/check"),
    ("GET", "/api/admin/ip-whitelist/1"),
    ("PUT", "/api/admin/ip-whitelist/1"),
    ("DELETE", "/api/admin/ip-whitelist/1"),
]
BODIES: dict[str, dict[str, Any]] = {
    "/admin/users/1/status": {"status": "active"},
    "/admin/roles/update": {"user_id": 1, "new_role": "admin", "reason": "coup"},
    "/api/admin/ip-whitelist": {"ip": "10.0.0.1", "key_id": 1},
    "/api/admin/ip-whitelist/check": {"ip": "10.0.0.1", "key_id": 1},
}


async def customer(house: House, **chosen: Any) -> tuple[users.User, str]:
    """An account and the plain text of its key."""
    user = await house.user()
    return user, (await house.key(user.id, **chosen)).secret


# --- who may call -----------------------------------------------------------------------------------------------------


@pytest.mark.ac("AC-1.1.1")
async def test_a_key_is_taken_from_either_header(house: House) -> None:
    user, key = await customer(house)
    async with house.client() as client:
        for headers in (
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"bearer  {key} "},
            {"x-api-key": key},
            {"x-api-key": key, "Authorization": f"Bearer {key}"},
            {"x-api-key": key, "Authorization": "Basic abc"},
        ):
            answer = await client.get("/user/profile", headers=headers)
            assert (answer.status_code, answer.json()["user_id"]) == (200, user.id)


@pytest.mark.ac("AC-1.1.2")
async def test_no_key_two_keys_and_wrong_keys_are_401(house: House) -> None:
    (_, one), (_, two) = await customer(house), await customer(house)
    async with house.client() as client:
        for headers, code in (
            ({}, "missing_api_key"),
            ({"Authorization": "Basic abc"}, "missing_api_key"),
            ({"Authorization": "Bearer "}, "missing_api_key"),
            ({"x-api-key": two, "Authorization": f"Bearer {one}"}, "multiple_api_keys"),
            ({"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"}, "invalid_api_key"),
            ({"x-api-key": "gw_live_" + "a" * 43}, "invalid_api_key"),
            ({"x-api-key": b"gw_live_\xff\xfe"}, "invalid_api_key"),
        ):
            answer = await client.get("/user/profile", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


async def test_scopes_open_their_pages_only(house: House) -> None:
    _, reader = await customer(house, scopes=frozenset({"account:read"}))
    _, stranger = await customer(house, scopes=frozenset({"inference"}))
    async with house.client(reader) as client:
        assert (await client.get("/user/api-keys")).status_code == 200
        answer = await client.post("/user/api-keys", json={"key_name": "x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
    async with house.client(stranger) as client:
        assert (await client.get("/user/profile")).status_code == 403


async def test_pages_count_against_the_keys_limit_and_show_it(house: House) -> None:
    _, key = await customer(house, rpm_limit=2)
    async with house.client(key) as client:
        answer = await client.get("/user/profile")
        assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("2", "1")
        assert (await client.get("/user/api-keys/99/none")).status_code == 404
        answer = await client.delete("/user/api-keys/99")
        assert (answer.status_code, answer.headers["X-RateLimit-Remaining"]) == (404, "0")
        answer = await client.get("/user/profile")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")


@pytest.mark.ac("AC-1.2.1")
async def test_admin_pages_refuse_everybody_else(house: House) -> None:
    _, key = await customer(house)
    owner = await house.user()
    async with house.database.begin() as connection:
        await users.update_role(connection, owner.id, "admin", "r", SYSTEM, 1)
    weak = (await house.key(owner.id)).secret  # an administrator's key without the scope
    routes = {
        (method.upper(), re.sub(r"\{role\}", "admin", re.sub(r"\{(user|entry)_id\}", "1", path)))
        for path, methods in house.app().openapi()["paths"].items()
        if path.startswith(("/admin", "/api/admin"))
        for method in methods
    }
    assert routes == {*ADMIN_ROUTES, ("POST", "/admin/create")}
    for used in (key, weak):
        async with house.client(used) as client:
            for method, path in ADMIN_ROUTES:
                answer = await client.request(method, path, json=BODIES.get(path))
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_required"), path
    async with house.client() as client:
        for method, path in ADMIN_ROUTES:
            assert (await client.request(method, path, json=BODIES.get(path))).status_code == 401


@pytest.mark.ac("AC-1.2.2")
async def test_admin_pages_open_to_an_admin(house: House) -> None:
    await customer(house)
    async with house.client(await house.admin()) as client:
        for method, path in ADMIN_ROUTES:
            if path.endswith("whitelist/1"):
                continue
            answer = await client.request(method, path, json=BODIES.get(path))
            assert answer.status_code == 200, (path, answer.text)


@pytest.mark.ac("AC-1.2.3", "AC-CC.12.8")
async def test_a_refused_attempt_is_a_security_event(house: House) -> None:
    user, key = await customer(house)
    async with house.client(key, ip="198.51.100.7") as client:
        await client.get("/admin/users", headers={"User-Agent": "curl/8", "X-Request-ID": "attempt-1"})
    async with house.database.read() as connection:
        (event,), total = await audit.page(connection, "security", Filters(), 10, 0)
    assert total == 1
    assert event["action"] == "UNAUTHORIZED_ADMIN_ACCESS"
    assert (event["actor_user_id"], event["resource"]) == (user.id, "route:GET /admin/users")
    assert (event["ip"], event["user_agent"], event["request_id"]) == ("198.51.100.7", "curl/8", "attempt-1")
    assert (event["at_us"], event["severity"]) == (house.clock.now_us(), "high")
    async with house.client(await house.admin()) as client:
        listed = (await client.get(f"/admin/security-events?user_id={user.id}")).json()
        assert (listed["total"], listed["data"][0]["time"]) == (1, iso(house.clock.now_us()))
        assert (await client.get("/admin/audit-logs?chain=security&action=UNAUTHORIZED_ADMIN_ACCESS")).json()[
            "total"
        ] == 1


async def test_support_reads_users_and_nothing_more(house: House) -> None:
    user, key = await customer(house)
    async with house.database.begin() as connection:
        await users.update_role(connection, user.id, "support", "r", SYSTEM, 1)
    async with house.client(key) as client:
        for method, path in ADMIN_ROUTES:
            wanted = 200 if path in ("/admin/users", "/admin/users/1") else 403
            assert (await client.request(method, path, json=BODIES.get(path))).status_code == wanted, path


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.ac("AC-CC.5.1", "AC-1.1.7", "AC-1.1.8")
async def test_a_key_is_shown_once(house: House) -> None:
    _, key = await customer(house)
    async with house.client(key) as client:
        for environment in ("live", "test", "staging", "dev"):
            body = {"key_name": f"a {environment} key", "environment_tag": environment}
            made = (await client.post("/user/api-keys", json=body)).json()
            secret = made.pop("api_key")
            assert KEY_PATTERN.fullmatch(secret) and secret.startswith(f"gw_{environment}_")
            assert made["last4"] == secret[-4:]
            assert set(made["scopes"]) == set(SCOPES) - {"admin"}
            again = (await client.get("/user/api-keys")).json()
            assert again["data"][0] == made
            assert secret[:-4] not in repr(again)
            assert (await client.get("/user/profile", headers={"Authorization": f"Bearer {secret}"})).status_code == 200


async def test_every_restriction_is_stored_and_shown(house: House) -> None:
    _, key = await customer(house)
    body = {
        "key_name": "<script>alert(1)</script>",
        "environment_tag": "test",
        "scopes": ["inference", "account:read"],
        "ip_allowlist": ["10.0.0.0/24", "203.0.113.9"],
        "domain_referrers": ["https://App.Example.com:8443/", "bücher.example"],
        "model_allowlist": ["openai/gpt-4o"],
        "expires_at": "2027-01-01T00:00:00Z",
        "max_requests": 10,
        "daily_usd_cap": "0.000000001",
        "rate_limit": 60,
    }
    async with house.client(key) as client:
        made = (await client.post("/user/api-keys", json=body)).json()
        wanted = body | {
            "scopes": ["account:read", "inference"],
            "domain_referrers": ["app.example.com", "xn--bcher-kva.example"],
            "expires_at": "2027-01-01T00:00:00.000000Z",
            "daily_usd_cap": 1e-9,
        }
        assert {name: made[name] for name in body} == wanted
        answer = await client.get("/user/profile", headers={"Authorization": f"Bearer {made['api_key']}"})
        assert answer.status_code == 200
        days = (await client.post("/user/api-keys", json={"key_name": "d", "expires_in_days": 1})).json()
        assert days["expires_at"] == iso(house.clock.now_us() + 86_400_000_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"key_name": ""},
        {"key_name": "a\nb"},
        {"key_name": "x" * 101},
        {"key_name": "a\u202eb"},
        {"key_name": None},
        {"environment_tag": "prod"},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"ip_allowlist": ["::1"]},
        {"ip_allowlist": ["10.0.0.5/24"]},
        {"ip_allowlist": ["10.0.0.0/33"]},
        {"ip_allowlist": ["localhost"]},
        {"domain_referrers": ["*.example.com"]},
        {"domain_referrers": ["a b"]},
        {"model_allowlist": [""]},
        {"expires_at": "yesterday"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2027-01-01T00:00:00Z", "expires_in_days": 3},
        {"expires_in_days": 0},
        {"max_requests": 0},
        {"max_requests": 2**70},
        {"daily_usd_cap": -1},
        {"daily_usd_cap": "0.0000000001"},
        {"daily_usd_cap": "NaN"},
        {"rate_limit": 61},
        {"rate_limit": 0},
        {"ip_allow_list": ["10.0.0.1"]},
    ],
)
async def test_wrong_fields_are_422_and_make_nothing(house: House, wrong: dict[str, Any]) -> None:
    _, key = await customer(house)
    async with house.client(key) as client:
        answer = await client.post("/user/api-keys", json={"key_name": "fine"} | wrong)
        assert answer.status_code == 422, answer.text
        assert (await client.get("/user/api-keys?include_inactive=true")).json()["total"] == 1


@pytest.mark.ac("AC-CC.5.2")
async def test_the_11th_creation_within_an_hour_is_429(house: House) -> None:
    _, key = await customer(house)
    async with house.client(key) as client:
        for number in range(10):
            answer = await client.post("/user/api-keys", json={"key_name": f"k{number}"})
            assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (200, "10")
        answer = await client.post("/user/api-keys", json={"key_name": "k10"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
        assert (await client.get("/user/api-keys")).json()["total"] == 11


@pytest.mark.ac("AC-CC.5.3")
async def test_lists_show_active_keys_and_the_rest_on_request(house: House) -> None:
    user, key = await customer(house, key_name="calling")
    await house.key(user.id, key_name="off", is_active=False)
    await house.key(user.id, key_name="old", expires_at_us=house.clock.now_us())
    await house.authenticator.authenticate(key)
    await house.authenticator.flush_last_used()
    async with house.client(key) as client:
        shown = (await client.get("/user/api-keys")).json()
        assert [item["key_name"] for item in shown["data"]] == ["calling"]
        assert shown["data"][0]["last_used_at"] == iso(house.clock.now_us())
        rest = (await client.get("/user/api-keys?include_inactive=true&limit=2")).json()
        assert [(item["key_name"], item["status"]) for item in rest["data"]] == [
            ("old", "expired"),
            ("off", "inactive"),
        ]
        assert {name: rest[name] for name in ("total", "returned", "limit", "offset", "has_more")} == {
            "total": 3,
            "returned": 2,
            "limit": 2,
            "offset": 0,
            "has_more": True,
        }
        for wrong in ("limit=0", "limit=1001", "offset=-1", "limit=x", f"offset={2**64}"):
            assert (await client.get(f"/user/api-keys?{wrong}")).status_code == 422


@pytest.mark.ac("AC-CC.5.4", "AC-1.1.4")
async def test_changes_act_at_once(house: House) -> None:
    user, key = await customer(house)
    target = await house.key(user.id)
    used = {"Authorization": f"Bearer {target.secret}"}
    async with house.client(key) as client:
        path = f"/user/api-keys/{target.key.id}"
        assert (await client.get("/user/profile", headers=used)).status_code == 200
        answer = await client.put(path, json={"key_name": "new name", "ip_allowlist": ["10.0.0.1"]})
        assert (answer.json()["key_name"], answer.json()["ip_allowlist"]) == ("new name", ["10.0.0.1"])
        answer = await client.get("/user/profile", headers=used)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ip_not_allowed")
        await client.put(path, json={"ip_allowlist": [], "domain_referrers": ["a.example"]})
        answer = await client.get("/user/profile", headers=used | {"Referer": "https://b.example/"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "domain_not_allowed")
        assert (await client.get("/user/profile", headers=used | {"Origin": "https://A.example:81"})).status_code == 200
        await client.put(path, json={"domain_referrers": None, "is_active": False})
        answer = await client.get("/user/profile", headers=used)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "api_key_inactive")
        await client.put(path, json={"is_active": True, "expires_at": "2020-01-01T00:00:00Z"})
        answer = await client.get("/user/profile", headers=used)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "api_key_expired")
        answer = await client.put(path, json={"expires_at": None})
        assert answer.json()["expires_at"] is None
        assert (await client.get("/user/profile", headers=used)).status_code == 200
        for wrong in ({"key_name": None}, {"is_active": None}, {"scopes": None}, {"rate_limit": 61}, {"prefix": "x"}):
            assert (await client.put(path, json=wrong)).status_code == 422
        assert (await client.put("/user/api-keys/99999", json={"key_name": "x"})).status_code == 404
        assert (await client.put(f"/user/api-keys/{2**64}", json={"key_name": "x"})).status_code == 422


@pytest.mark.ac("AC-CC.5.5", "AC-CC.5.6")
async def test_a_key_can_delete_itself(house: House) -> None:
    _, key = await customer(house)
    async with house.client(key) as client:
        key_id = (await client.get("/user/api-keys")).json()["data"][0]["id"]
        assert (await client.delete(f"/user/api-keys/{key_id}")).json()["deleted"] is True
        answer = await client.get("/user/profile")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_foreign_keys_do_not_exist(house: House) -> None:
    (_, mine), (other, _) = await customer(house), await customer(house)
    theirs = await house.key(other.id)
    path = f"/user/api-keys/{theirs.key.id}"
    async with house.client(mine) as client:
        for method, where in (("PUT", path), ("DELETE", path), ("POST", f"{path}/rotate")):
            answer = await client.request(method, where, json={} if method != "DELETE" else None)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "key_not_found")
        assert theirs.key.id not in [key["id"] for key in (await client.get("/user/api-keys")).json()["data"]]


async def test_rotation_gives_a_new_secret_to_the_same_key(house: House) -> None:
    user, key = await customer(house)
    target = await house.key(user.id, rpm_limit=9)
    async with house.client(key) as client:
        path = f"/user/api-keys/{target.key.id}/rotate"
        graced = (await client.post(path, json={"grace_period_s": 60})).json()
        assert (graced["id"], graced["rate_limit"]) == (target.key.id, 9)
        assert graced["previous_secret_until"] == iso(house.clock.now_us() + 60_000_000)
        for secret in (target.secret, graced["api_key"]):
            assert (await client.get("/user/profile", headers={"Authorization": f"Bearer {secret}"})).status_code == 200
        fresh = (await client.post(path)).json()
        for secret in (target.secret, graced["api_key"]):
            assert (await client.get("/user/profile", headers={"Authorization": f"Bearer {secret}"})).status_code == 401
        used = {"Authorization": f"Bearer {fresh['api_key']}"}
        assert (await client.get("/user/profile", headers=used)).status_code == 200
        for wrong in (-1, 7 * 86_400 + 1):
            assert (await client.post(path, json={"grace_period_s": wrong})).status_code == 422


async def test_a_weak_key_cannot_make_a_stronger_one(house: House) -> None:
    user, _ = await customer(house)
    strong = await house.key(user.id)
    weak = (await house.key(user.id, scopes=frozenset({"account:read", "account:write"}))).secret
    async with house.client(weak) as client:
        made = (await client.post("/user/api-keys", json={"key_name": "a"})).json()
        assert made["scopes"] == ["account:read", "account:write"]
        for method, path, body in (
            ("POST", "/user/api-keys", {"key_name": "b", "scopes": ["inference"]}),
            ("POST", "/user/api-keys", {"key_name": "b", "scopes": ["admin"]}),
            ("PUT", f"/user/api-keys/{made['id']}", {"scopes": ["billing"]}),
            ("POST", f"/user/api-keys/{strong.key.id}/rotate", {}),
        ):
            answer = await client.request(method, path, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
    async with house.database.begin() as connection:
        await users.update_role(connection, user.id, "admin", "r", SYSTEM, 1)
    house.feed.tell("user", str(user.id))
    async with house.client(weak) as client:
        made = (await client.post("/user/api-keys", json={"key_name": "b", "scopes": ["admin", "account:read"]})).json()
        assert (
            await client.get("/admin/users", headers={"Authorization": f"Bearer {made['api_key']}"})
        ).status_code == 200


@pytest.mark.ac("AC-CC.5.7")
async def test_the_life_of_a_key_is_recorded(house: House) -> None:
    user, key = await customer(house)
    async with house.client(key, ip="198.51.100.4") as client:
        made = (await client.post("/user/api-keys", json={"key_name": "k"})).json()
        used = {"Authorization": f"Bearer {made['api_key']}", "test-ip": "198.51.100.5"}
        house.clock.advance(1)
        for _ in range(3):
            await client.get("/user/profile", headers=used)
        await house.authenticator.flush_last_used()
        path = f"/user/api-keys/{made['id']}"
        for method, where, body in (
            ("PUT", path, {"rate_limit": 5}),
            ("POST", f"{path}/rotate", {}),
            ("DELETE", path, None),
        ):
            house.clock.advance(1)
            assert (await client.request(method, where, json=body)).status_code == 200
        answer = (await client.get("/user/api-keys/audit-logs")).json()
        events = [event for event in answer["data"] if event["key_id"] == made["id"]]
        assert [event["action"] for event in events] == [
            "key.deleted",
            "key.rotated",
            "key.updated",
            "key.used",
            "key.created",
        ]
        assert all(event["actor"] == f"user:{user.id}" and event["time"] for event in events)
        assert [(event["ip"], event["count"]) for event in events] == [
            ("198.51.100.4", 1),
            ("198.51.100.4", 1),
            ("198.51.100.4", 1),
            ("198.51.100.5", 3),
            ("198.51.100.4", 1),
        ]
        assert (events[2]["before"], events[2]["after"]) == ({"rpm_limit": None}, {"rpm_limit": 5})
        assert answer["total"] == len(answer["data"]) == 7  # and the calling key: made, used
        page = (await client.get("/user/api-keys/audit-logs?limit=2&offset=2")).json()
        assert (page["data"], page["total"]) == (answer["data"][2:4], 7)
    _, foreign = await customer(house)
    async with house.client(foreign) as client:
        assert (await client.get("/user/api-keys/audit-logs")).json()["total"] == 1


# --- allowlists -------------------------------------------------------------------------------------------------------


@pytest.mark.ac("AC-1.3.1", "AC-1.3.2", "AC-1.3.3", "AC-1.3.4", "AC-1.3.6")
async def test_allowlists_act_at_once_on_the_key_they_name(house: House) -> None:
    user, key = await customer(house)
    free = (await house.key(user.id)).secret
    caller = await house.authenticator.authenticate(key)

    async def passes(secret: str, ip: str) -> bool:
        async with house.client(secret, ip) as client:
            answer = await client.get("/user/profile")
        assert answer.status_code == 200 or answer.json()["error"]["code"] == "ip_not_allowed"
        return answer.status_code == 200

    async with house.client(await house.admin()) as admin:
        where = "/api/admin/ip-whitelist"
        one = (await admin.post(where, json={"ip": "192.0.2.1", "key_id": caller.key_id, "label": "office"})).json()
        assert (one["ip"], one["key_id"], one["user_id"], one["enabled"]) == ("192.0.2.1", caller.key_id, user.id, True)
        assert await passes(key, "192.0.2.1")
        assert not await passes(key, "192.0.2.2")
        assert not await passes(key, "2001:db8::1")
        assert await passes(free, "192.0.2.2")
        two = (await admin.post(where, json={"ip": "10.0.0.0/24", "key_id": caller.key_id})).json()
        assert [await passes(key, ip) for ip in ("10.0.0.0", "10.0.0.255", "10.0.1.0")] == [True, True, False]
        listed = (await admin.get(f"{where}?key_id={caller.key_id}")).json()
        assert ([entry["id"] for entry in listed["data"]], listed["total"]) == ([one["id"], two["id"]], 2)
        assert (await admin.get(f"{where}?key_id=99")).json()["total"] == 0
        assert (await admin.get(f"{where}/{one['id']}")).json() == one
        changed = (await admin.put(f"{where}/{one['id']}", json={"ip": "192.0.2.9", "label": "moved"})).json()
        assert (changed["ip"], changed["label"]) == ("192.0.2.9", "moved")
        assert [await passes(key, ip) for ip in ("192.0.2.1", "192.0.2.9")] == [False, True]
        await admin.put(f"{where}/{one['id']}", json={"enabled": False})
        assert not await passes(key, "192.0.2.9")
        assert (await admin.delete(f"{where}/{two['id']}")).json()["deleted"] is True
        assert await passes(key, "8.8.8.8")  # the only entry left is disabled
        wide = (await admin.post(where, json={"ip": "172.16.0.0/12", "user_id": user.id})).json()
        assert wide["scope"] == "account"
        assert [await passes(secret, "172.31.0.1") for secret in (key, free)] == [True, True]
        assert [await passes(secret, "172.32.0.1") for secret in (key, free)] == [False, False]
        for wrong in (
            {"ip": "10.0.0.1"},
            {"ip": "::1", "key_id": 1},
            {"ip": "10.0.0.1/24", "key_id": 1},
            {"ip": "10.0.0.1; DROP TABLE users", "key_id": 1},
        ):
            assert (await admin.post(where, json=wrong)).status_code == 422
        for missing in ({"ip": "10.0.0.1", "key_id": 999}, {"ip": "10.0.0.1", "user_id": 999}):
            assert (await admin.post(where, json=missing)).status_code == 404
        assert (
            await admin.post(where, json={"ip": "10.0.0.1", "key_id": caller.key_id, "user_id": 99})
        ).status_code == 404
        assert (await admin.get(f"{where}/999")).status_code == 404
        actions = (await admin.get("/admin/audit-logs?action=allowlist.")).json()
    assert [entry["action"] for entry in actions["data"]] == [
        "allowlist.added",
        "allowlist.deleted",
        "allowlist.updated",
        "allowlist.updated",
        "allowlist.added",
        "allowlist.added",
    ]


@pytest.mark.ac("AC-1.3.6")
async def test_other_processes_hear_of_allowlists(house: House) -> None:
    other = House(house.database, clock=house.clock, ring=house.ring)
    await other.feed.start()
    user, key = await customer(house)
    caller = await other.authenticator.authenticate(key)
    async with house.client(await house.admin()) as admin:
        await admin.post("/api/admin/ip-whitelist", json={"ip": "192.0.2.1", "user_id": user.id})
    assert (await other.authenticator.authenticate(key)) is caller
    await other.feed.poll()
    assert (await other.authenticator.authenticate(key)).ip_allowlist == ("192.0.2.1",)


@pytest.mark.ac("AC-1.3.5")
async def test_the_check_says_who_would_pass_and_why(house: House) -> None:
    user, _ = await customer(house)
    key = await house.key(user.id)
    async with house.client(await house.admin()) as admin:

        async def check(ip: str) -> dict[str, Any]:
            answer = await admin.post("/api/admin/ip-whitelist/check", json={"ip": ip, "key_id": key.key.id})
            assert answer.status_code == 200
            return {name: answer.json()[name] for name in ("allowed", "restricted", "matched_entry")}

        assert await check("1.2.3.4") == {"allowed": True, "restricted": False, "matched_entry": None}
        entry = (await admin.post("/api/admin/ip-whitelist", json={"ip": "10.0.0.0/8", "key_id": key.key.id})).json()
        own = await house.key(user.id, ip_allowlist=("192.0.2.0/24",))
        assert await check("10.9.9.9") == {
            "allowed": True,
            "restricted": True,
            "matched_entry": {"id": entry["id"], "ip": "10.0.0.0/8"},
        }
        assert await check("11.0.0.1") == {"allowed": False, "restricted": True, "matched_entry": None}
        assert await check("::1") == {"allowed": False, "restricted": True, "matched_entry": None}
        answer = await admin.post("/api/admin/ip-whitelist/check", json={"ip": "192.0.2.7", "key_id": own.key.id})
        assert answer.json()["matched_entry"] == {"id": None, "ip": "192.0.2.0/24"}
        wrong = await admin.post("/api/admin/ip-whitelist/check", json={"ip": "nowhere", "key_id": own.key.id})
        assert wrong.status_code == 422


# --- registration -----------------------------------------------------------------------------------------------------

NEW = {"username": "Zoë", "email": "zoe@example.com", "auth_method": "email", "environment": "test"}


async def test_registration_gives_account_key_and_trial(house: House) -> None:
    async with house.client() as client:
        answer = await client.post("/admin/create", json=NEW)
        assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (200, "3")
        made = answer.json()
        assert (made["username"], made["email"], made["auth_method"], made["environment"]) == tuple(NEW.values())
        assert made["api_key"].startswith("gw_test_")
        assert (made["balance_usd"], made["credits"]) == (5.0, 500.0)
        assert made["trial"] == {
            "active": True,
            "ends_at": iso(house.clock.now_us() + 14 * 86_400_000_000),
            "days_left": 14,
        }
        assert house.billing.opened == [made["user_id"]]
        profile = (await client.get("/user/profile", headers={"x-api-key": made["api_key"]})).json()
        assert profile == {name: made[name] for name in profile}
        assert (await client.post("/admin/create", json=NEW | {"email": "ZOE@example.com"})).status_code == 409
    async with house.database.read() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM api_keys_new"))).scalar_one() == 1


async def test_concurrent_registration_makes_one_account(house: House) -> None:
    async with house.client(await house.admin()) as client:
        answers = await asyncio.gather(*(client.post("/admin/create", json=NEW) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_the_4th_registration_from_an_address_is_429_but_for_admins(house: House) -> None:
    _, ordinary = await customer(house)
    async with house.client() as client:
        for number in range(3):
            body = NEW | {"email": f"n{number}@example.com"}
            # A key that is not an administrator's makes no difference, be it good or bad.
            headers = ({}, {"x-api-key": ordinary}, {"x-api-key": "nonsense"})[number]
            assert (await client.post("/admin/create", json=body, headers=headers)).status_code == 200
        answer = await client.post("/admin/create", json=NEW)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
        assert (await client.post("/admin/create", json=NEW, headers={"test-ip": "192.0.2.2"})).status_code == 200
    async with house.client(await house.admin()) as client:
        answer = await client.post("/admin/create", json=NEW | {"email": "by-admin@example.com"})
        assert (answer.status_code, "X-RateLimit-Limit" in answer.headers) == (200, False)


@pytest.mark.ac("AC-CC.12.9")
async def test_throw_away_addresses_are_refused(house: House) -> None:
    house.settings = replace(house.settings, disposable_domains=("Junk.example",))
    async with house.client(await house.admin()) as client:
        for email in ("user@tempmail.com", "user@mx.TempMail.com", "user@mailinator.com", "a@junk.example"):
            answer = await client.post("/admin/create", json=NEW | {"email": email})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "disposable_email"), email
        assert (await client.post("/admin/create", json=NEW | {"email": "a@nottempmail.com"})).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": ""},
        {"username": "a\0b"},
        {"username": "\ud800"},
        {"username": "x" * 101},
        {"email": "nobody"},
        {"email": "a@b@c.example"},
        {"email": "a\nb@example.com"},
        {"email": "x" * 400 + "@example.com"},
        {"auth_method": "carrier pigeon"},
        {"environment": "prod"},
    ],
)
async def test_wrong_registrations_are_422(house: House, wrong: dict[str, Any]) -> None:
    async with house.client() as client:
        body = json.dumps(NEW | wrong).encode()
        answer = await client.post("/admin/create", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert house.billing.opened == []


@pytest.mark.parametrize("name", ["environment", "environment_name", "environment_tag"])
async def test_the_environment_has_three_names(house: House, name: str) -> None:
    body = {"username": "a", "email": "a@example.com", name: "dev"}
    async with house.client() as client:
        assert (await client.post("/admin/create", json=body)).json()["api_key"].startswith("gw_dev_")


async def test_a_failing_trial_leaves_no_account(house: House) -> None:
    class NoMoney:
        async def open_account(self, *_: object, **__: object) -> None:
            raise sa.exc.OperationalError("INSERT", {}, Exception("gone"))

    house.billing = NoMoney()  # type: ignore[assignment]
    async with house.client() as client:
        with pytest.raises(sa.exc.OperationalError):
            await client.post("/admin/create", json=NEW)
    async with house.database.read() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM users"))).scalar_one() == 0


# --- users, roles, audit ----------------------------------------------------------------------------------------------


@pytest.mark.ac("AC-1.2.4")
async def test_a_role_is_changed_with_reason_and_trail(house: House) -> None:
    user, key = await customer(house)
    async with house.client(await house.admin(), ip="192.0.2.50") as admin:
        admin_id = (await admin.get("/user/profile")).json()["id"]
        body = {"user_id": user.id, "new_role": "DEV", "reason": "writes code"}
        answer = (await admin.post("/admin/roles/update", json=body)).json()
        assert (answer["old_role"], answer["new_role"], answer["changed_by"]) == ("user", "developer", admin_id)
        assert (await house.authenticator.authenticate(key)).role == "developer"
        for wrong in ({"reason": ""}, {"reason": "   "}, {"reason": None}, {"new_role": "king"}, {"user_id": 0}):
            assert (await admin.post("/admin/roles/update", json=body | wrong)).status_code == 422
        assert (await admin.post("/admin/roles/update", json={"user_id": 1, "new_role": "dev"})).status_code == 422
        assert (await admin.post("/admin/roles/update", json=body | {"user_id": 999})).status_code == 404
        log = (await admin.get(f"/admin/audit-logs?action=role.updated&user_id={user.id}")).json()["data"]
        assert [(entry["before"], entry["after"], entry["reason"], entry["actor"], entry["ip"]) for entry in log] == [
            ({"role": "user"}, {"role": "developer"}, "writes code", f"user:{admin_id}", "192.0.2.50")
        ]
        answer = await admin.post("/admin/roles/update", json=body | {"user_id": admin_id})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "last_admin")
        assert (await admin.get(f"/admin/roles/{user.id}")).json()["role"] == "developer"


@pytest.mark.ac("AC-1.2.5")
async def test_permissions_of_each_role_and_alias(house: House) -> None:
    own = ["inference", "catalog:read", "account:read", "account:write", "billing"]
    reads = ["users:read", "usage:read", "incidents:read", "deliveries:read"]
    async with house.client(await house.admin()) as admin:

        async def permissions(role: str) -> list[str]:
            answer = await admin.get(f"/admin/roles/permissions/{role}")
            assert answer.status_code == 200
            found: list[str] = answer.json()["permissions"]
            return found

        for role in ("user", "free", "developer", "dev", "team"):
            assert await permissions(role) == own
        assert await permissions("support") == own + reads
        assert set(own + reads) < set(await permissions("admin"))
        assert {"roles:write", "credits:write", "audit:read"} <= set(await permissions("admin"))
        for unknown in ("king", "%3Cscript%3E", "..%2F..%2Fetc%2Fpasswd"):
            assert (await admin.get(f"/admin/roles/permissions/{unknown}")).status_code == 404
        everything = (await admin.get("/admin/roles")).json()["data"]
        assert {role["role"]: role["aliases"] for role in everything} == {
            "admin": [],
            "support": [],
            "developer": ["dev"],
            "team": [],
            "user": ["free"],
        }


@pytest.mark.ac("AC-1.2.6")
async def test_role_changes_are_listed_newest_first(house: House) -> None:
    user = await house.user()
    async with house.client(await house.admin()) as admin:
        for role in ("team", "support", "user"):
            house.clock.advance(1)
            body = {"user_id": user.id, "new_role": role, "reason": f"to {role}"}
            assert (await admin.post("/admin/roles/update", json=body)).status_code == 200
        log = (await admin.get("/admin/roles/audit/log?limit=2")).json()
        assert [(change["new_role"], change["reason"], change["user_id"]) for change in log["data"]] == [
            ("user", "to user", user.id),
            ("support", "to support", user.id),
        ]
        assert log["data"][0]["time"] == iso(house.clock.now_us())
        assert (log["total"], log["returned"], log["has_more"]) == (3, 2, True)


async def test_suspension_by_an_administrator(house: House) -> None:
    user, key = await customer(house)
    async with house.client(await house.admin()) as admin:
        used = {"Authorization": f"Bearer {key}"}
        assert (await admin.get("/user/profile", headers=used)).status_code == 200
        path = f"/admin/users/{user.id}/status"
        answer = await admin.patch(path, json={"status": "suspended", "reason": "fraud"})
        assert answer.json()["status"] == "suspended"
        answer = await admin.get("/user/profile", headers=used)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "account_suspended")
        assert (await admin.patch(path, json={"status": "active"})).status_code == 200
        assert (await admin.get("/user/profile", headers=used)).status_code == 200
        assert (await admin.patch(path, json={"status": "deleted"})).status_code == 422
        assert (await admin.patch("/admin/users/999/status", json={"status": "active"})).status_code == 404
        log = (await admin.get("/admin/audit-logs?action=user.status_changed")).json()["data"]
        assert [entry["reason"] for entry in log] == ["", "fraud"]


async def test_users_are_listed_with_true_totals(house: House) -> None:
    made = [await house.user(f"person{number}@example.com") for number in range(5)]
    await house.key(made[0].id)
    async with house.client(await house.admin()) as admin:
        answer = (await admin.get("/admin/users?email=PERSON&limit=2&offset=1")).json()
        assert [user["id"] for user in answer["data"]] == [made[3].id, made[2].id]
        assert (answer["total"], answer["has_more"], answer["statistics"]["by_role"]) == (5, True, {"user": 5})
        assert (await admin.get("/admin/users?role=free&search=person")).json()["total"] == 5
        assert (await admin.get("/admin/users?role=king")).status_code == 422
        assert (await admin.get("/admin/users?status=sleeping")).status_code == 422
        assert (await admin.get("/admin/users", params={"search": "'; DROP TABLE users; --"})).json()["total"] == 0
        assert (await admin.get("/admin/users", params={"search": "a\0b"})).status_code == 422
        one = (await admin.get(f"/admin/users/{made[0].id}")).json()
        assert (one["email"], one["key_count"], one["keys"][0]["status"]) == ("person0@example.com", 1, "active")
        assert "encrypted" not in repr(one) and "hash" not in repr(one)
        assert (await admin.get("/admin/users/999")).status_code == 404


async def test_verification_over_http(house: House) -> None:
    async with house.client(await house.admin()) as admin:
        answer = (await admin.get("/admin/audit-logs/verify")).json()
        assert answer == {
            "valid": True,
            "chains": {
                "audit": {"valid": True, "entries_checked": 2, "first_broken": None},
                "security": {"valid": True, "entries_checked": 0, "first_broken": None},
            },
        }
        async with house.database.begin() as connection:
            await connection.execute(sa.text("UPDATE audit_heads SET seq = 3"))
        answer = (await admin.get("/admin/audit-logs/verify")).json()
        assert (answer["valid"], answer["chains"]["audit"]["first_broken"]) == (False, {"seq": 3, "reason": "missing"})


async def test_audit_times_filter(house: House) -> None:
    async with house.client(await house.admin()) as admin:
        now = iso(house.clock.now_us())
        assert (await admin.get("/admin/audit-logs", params={"from": now})).json()["total"] == 2
        assert (await admin.get("/admin/audit-logs", params={"to": now})).json()["total"] == 0
        assert (await admin.get("/admin/audit-logs", params={"from": "soon"})).status_code == 422
        assert (await admin.get("/admin/audit-logs", params={"chain": "other"})).status_code == 422
