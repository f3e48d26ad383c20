"""Who may open which page, over HTTP: keys, scopes, limits, roles, and the trail of refusals."""

import re
from typing import Any

import pytest
from accounts_house import House, customer

from gatewayz.accounts import audit, users
from gatewayz.accounts.audit import SYSTEM, Filters
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
