"""The pages of allowlists, users, roles and audit, over HTTP."""

from typing import Any

import pytest
import sqlalchemy as sa
from accounts_house import House, customer

from gatewayz.infra.clock import iso


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
