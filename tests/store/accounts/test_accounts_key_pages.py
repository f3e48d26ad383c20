"""The pages of keys, over HTTP."""

from typing import Any

import pytest
from accounts_house import House, customer

from gatewayz.accounts import users
from gatewayz.accounts.audit import SYSTEM
from gatewayz.core.caller import SCOPES
from gatewayz.core.ids import KEY_PATTERN
from gatewayz.infra.clock import iso


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


WRONG_FIELDS: list[dict[str, Any]] = [
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
]


async def test_wrong_fields_are_422_and_make_nothing(house: House) -> None:
    _, key = await customer(house)
    async with house.client(key) as client:
        for wrong in WRONG_FIELDS:
            answer = await client.post("/user/api-keys", json={"key_name": "fine"} | wrong)
            assert answer.status_code == 422, (wrong, answer.text)
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
