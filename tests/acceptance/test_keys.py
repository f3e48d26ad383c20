"""API keys as their owner keeps them (CC.5, 1.1): made, listed, changed, rotated, deleted, remembered in the trail."""

import re
import time
from typing import Any

import pytest

from tests.acceptance.access_helpers import CHAT, chat_body, error_of, limit_of, soon
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

KEYS = "/user/api-keys"


def make(owner: Customer, name: str = "second", **settings: Any) -> dict[str, Any]:
    answer = owner.call("POST", KEYS, {"key_name": name, **settings})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def listed(owner: Customer, query: str = "") -> dict[str, dict[str, Any]]:
    """The owner's keys by name."""
    return {key["key_name"]: key for key in owner.call("GET", KEYS + query).json()["data"]}


def status_with(gateway: LiveGateway, key: str) -> int:
    return gateway.call("GET", "/user/profile", key=key).status_code


@pytest.mark.ac("AC-CC.5.1", "AC-1.1.7")
@pytest.mark.parametrize("environment", ["live", "test", "staging", "dev"])
def test_a_new_key_has_the_published_form_and_works(gateway: LiveGateway, environment: str) -> None:
    owner = gateway.customer()
    key = make(owner, environment_tag=environment)["api_key"]
    assert re.fullmatch(rf"gw_{environment}_[A-Za-z0-9_-]{{43}}", key)
    assert gateway.call("POST", CHAT, chat_body(), key=key).status_code == 200
    registered = gateway.admin(
        "POST",
        "/admin/create",
        {"username": "x", "email": f"{environment}@example.com", "environment": environment},
    )
    assert re.fullmatch(rf"gw_{environment}_[A-Za-z0-9_-]{{43}}", registered["api_key"])


@pytest.mark.ac("AC-1.1.7")
def test_keys_do_not_repeat_themselves(gateway: LiveGateway) -> None:
    owner = gateway.customer(0)
    secrets = [make(owner, f"k{number}")["api_key"].rpartition("gw_live_")[2] for number in range(10)]
    assert len(set(secrets)) == 10
    # 430 letters drawn evenly from 64 show nearly all of them; a counter or a clock would not.
    assert len(set("".join(secrets))) > 50
    assert len({secret[:4] for secret in secrets}) == 10


@pytest.mark.ac("AC-CC.5.1", "AC-1.1.8")
def test_the_plain_key_is_shown_once(gateway: LiveGateway) -> None:
    owner = gateway.customer()
    made = make(owner)
    key, key_id = made["api_key"], made["key_id"]
    assert made["last4"] == key[-4:]
    owner.chat("acme/single")
    later = [
        owner.call("GET", KEYS),
        owner.call("GET", f"{KEYS}?include_inactive=true"),
        owner.call("PUT", f"{KEYS}/{key_id}", {"key_name": "renamed"}),
        owner.call("GET", f"{KEYS}/audit-logs"),
        gateway.call("GET", f"/admin/users/{owner.user_id}", key=gateway.admin_key),
        gateway.call("GET", "/admin/audit-logs?limit=1000", key=gateway.admin_key),
        owner.call("DELETE", f"{KEYS}/{key_id}"),
    ]
    for answer in later:
        assert answer.status_code == 200, answer.text
        assert key[8:-4] not in answer.text
        assert "encrypted" not in answer.text and "key_hash" not in answer.text
    assert key[-4:] in later[0].text


@pytest.mark.ac("AC-CC.5.2")
def test_the_eleventh_key_within_an_hour_is_429(gateway: LiveGateway) -> None:
    owner = gateway.customer(0)
    for number in range(10):
        answer = owner.call("POST", KEYS, {"key_name": f"k{number}"})
        assert answer.status_code == 200
        found = limit_of(answer)
        assert (found["limit"], found["remaining"], found["reason"]) == ("10", str(9 - number), "key_creation")
    # A body that is refused anyway is no creation, and other accounts are not concerned.
    assert owner.call("POST", KEYS, {"key_name": ""}).status_code == 422
    refused = owner.call("POST", KEYS, {"key_name": "k10"})
    error_of(refused, 429, "rate_limit_exceeded")
    found = limit_of(refused)
    assert (found["limit"], found["reason"]) == ("10", "key_creation")
    assert 3000 < int(refused.headers["retry-after"]) <= 3600
    assert make(gateway.customer(0), "k10")
    assert "k10" not in listed(owner)


@pytest.mark.ac("AC-CC.5.3")
def test_the_list_shows_active_keys_masked_with_restrictions_and_last_use(gateway: LiveGateway) -> None:
    owner = gateway.customer()
    restrictions = {
        "scopes": ["inference", "account:read"],
        "ip_allowlist": ["127.0.0.1", "10.0.0.0/24"],
        "domain_referrers": ["App.Example"],
        "model_allowlist": ["acme/single"],
        "expires_at": "2090-01-01T00:00:00Z",
        "max_requests": 1000,
        "daily_usd_cap": 2.5,
        "rate_limit": 50,
    }
    made = make(owner, "restricted", environment_tag="test", **restrictions)
    off, expired = make(owner, "off"), make(owner, "expired")
    assert owner.call("PUT", f"{KEYS}/{off['key_id']}", {"is_active": False}).status_code == 200
    past = {"expires_at": "2020-01-01T00:00:00Z"}
    assert owner.call("PUT", f"{KEYS}/{expired['key_id']}", past).status_code == 200
    assert set(listed(owner)) == {"restricted", "Default"}
    everything = listed(owner, "?include_inactive=true")
    assert {name: key["status"] for name, key in everything.items()} == {
        "restricted": "active",
        "Default": "active",
        "off": "inactive",
        "expired": "expired",
    }
    shown = everything["restricted"]
    for name, value in restrictions.items():
        expected = {
            "scopes": sorted(restrictions["scopes"]),
            "ip_allowlist": sorted(restrictions["ip_allowlist"]),
            "domain_referrers": ["app.example"],
            "expires_at": "2090-01-01T00:00:00.000000Z",
        }.get(name, value)
        assert shown[name] == expected, name
    assert shown["key_preview"] == f"gw_test_…{made['api_key'][-4:]}"
    assert (shown["last4"], shown["last_used_at"]) == (made["api_key"][-4:], None)
    assert gateway.call("POST", CHAT, chat_body(), key=made["api_key"]).status_code == 200
    used = soon(lambda: listed(owner)["restricted"]["last_used_at"], within_s=5)
    assert used >= shown["created_at"]


def test_the_list_is_paged_with_a_true_total_and_holds_nobody_elses(gateway: LiveGateway) -> None:
    owner, other = gateway.customer(0), gateway.customer(0)
    for number in range(4):
        make(owner, f"k{number}")
    make(other, "foreign")
    page = owner.call("GET", f"{KEYS}?limit=2&offset=1").json()
    assert [key["key_name"] for key in page["data"]] == ["k2", "k1"]
    assert (page["total"], page["returned"], page["has_more"]) == (5, 2, True)


@pytest.mark.ac("AC-CC.5.4")
def test_changes_hold_from_the_next_request_on(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    owner = gateway.customer()
    made = make(owner)
    path = f"{KEYS}/{made['key_id']}"

    def ask(**headers: str) -> tuple[int, str | None]:
        answer = gateway.call("POST", CHAT, chat_body(), key=made["api_key"], headers=headers)
        return answer.status_code, answer.json().get("error", {}).get("code")

    def change(**fields: Any) -> dict[str, Any]:
        answer = owner.call("PUT", path, fields)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    assert ask() == (200, None)
    for fields, back, code in (
        ({"ip_allowlist": ["10.0.0.1"]}, {"ip_allowlist": []}, "ip_not_allowed"),
        ({"domain_referrers": ["a.example"]}, {"domain_referrers": []}, "domain_not_allowed"),
        ({"model_allowlist": ["acme/chat"]}, {"model_allowlist": None}, "model_not_allowed"),
        ({"scopes": ["billing"]}, {"scopes": ["inference"]}, "insufficient_scope"),
        ({"is_active": False}, {"is_active": True}, "api_key_inactive"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": None}, "api_key_expired"),
        ({"daily_usd_cap": 0}, {"daily_usd_cap": None}, "daily_usage_cap"),
    ):
        change(**fields)
        asked = len(upstream.journal())
        assert ask(referer="https://b.example/")[1] == code
        assert len(upstream.journal()) == asked
        change(**back)
        assert ask(referer="https://b.example/") == (200, None), fields
    assert change(key_name="renamed")["key_name"] == "renamed"
    assert set(listed(owner)) == {"renamed", "Default"}


def test_a_key_may_be_limited_to_so_many_requests(gateway: LiveGateway) -> None:
    customer = gateway.customer(10, max_requests=2)
    assert [customer.chat("acme/single").status_code for _ in range(2)] == [200, 200]
    refused = customer.chat("acme/single")
    assert refused.status_code in (402, 403, 429)
    error_of(refused, refused.status_code)


def test_a_key_cannot_give_what_it_does_not_hold(gateway: LiveGateway) -> None:
    owner = gateway.customer(0)
    weak = make(owner, "weak", scopes=["account:read", "account:write"])["api_key"]
    body = {"key_name": "stronger", "scopes": ["billing"]}
    error_of(gateway.call("POST", KEYS, body, key=weak), 403, "insufficient_scope")
    body = {"key_name": "admin", "scopes": ["admin"]}
    error_of(owner.call("POST", KEYS, body), 403, "insufficient_scope")
    default = listed(owner)["Default"]["key_id"]
    error_of(gateway.call("POST", f"{KEYS}/{default}/rotate", {}, key=weak), 403, "insufficient_scope")
    inherits = gateway.call("POST", KEYS, {"key_name": "same"}, key=weak).json()
    assert inherits["scopes"] == ["account:read", "account:write"]


def test_the_scope_of_a_page_is_asked_for(gateway: LiveGateway) -> None:
    owner = gateway.customer(10)
    reader = make(owner, "reader", scopes=["account:read"])["api_key"]
    assert gateway.call("GET", KEYS, key=reader).status_code == 200
    for method, path, body in (
        ("POST", KEYS, {"key_name": "x"}),
        ("PUT", f"{KEYS}/1", {"key_name": "x"}),
        ("DELETE", f"{KEYS}/1", None),
        ("POST", CHAT, chat_body()),
    ):
        error_of(gateway.call(method, path, body, key=reader), 403, "insufficient_scope")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "key_name"),
        ({"key_name": "   "}, "key_name"),
        ({"key_name": "x" * 101}, "key_name"),
        ({"key_name": "line\nbreak"}, "key_name"),
        ({"key_name": "k", "environment_tag": "prod"}, "environment_tag"),
        ({"key_name": "k", "scopes": ["everything"]}, "scopes.0"),
        ({"key_name": "k", "scopes": []}, "scopes"),
        ({"key_name": "k", "ip_allowlist": ["10.0.0.300"]}, "ip_allowlist.0"),
        ({"key_name": "k", "ip_allowlist": ["::1"]}, "ip_allowlist.0"),
        ({"key_name": "k", "domain_referrers": ["*.example.com"]}, "domain_referrers.0"),
        ({"key_name": "k", "expires_at": "tomorrow"}, "expires_at"),
        ({"key_name": "k", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"key_name": "k", "max_requests": 0}, "max_requests"),
        ({"key_name": "k", "daily_usd_cap": -1}, "daily_usd_cap"),
        ({"key_name": "k", "rate_limit": 10**8}, "rate_limit"),
        ({"key_name": "k", "allowed_ips": ["10.0.0.1"]}, "allowed_ips"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(gateway: LiveGateway, body: dict[str, Any], param: str) -> None:
    owner = gateway.customer(0)
    assert error_of(owner.call("POST", KEYS, body), 422)["param"] == param
    assert set(listed(owner)) == {"Default"}


def test_names_are_unique_per_account(gateway: LiveGateway) -> None:
    owner, other = gateway.customer(0), gateway.customer(0)
    made = make(owner, "twin")
    error_of(owner.call("POST", KEYS, {"key_name": "twin"}), 409, "key_name_taken")
    error_of(owner.call("PUT", f"{KEYS}/{made['key_id']}", {"key_name": "Default"}), 409, "key_name_taken")
    assert make(other, "twin")
    assert owner.call("DELETE", f"{KEYS}/{made['key_id']}").status_code == 200
    assert make(owner, "twin")


def test_nobody_reaches_the_keys_of_others(gateway: LiveGateway) -> None:
    owner, thief = gateway.customer(0), gateway.customer(0)
    path = f"{KEYS}/{listed(owner)['Default']['key_id']}"
    for method, route, body in (
        ("PUT", path, {"is_active": False}),
        ("DELETE", path, None),
        ("POST", f"{path}/rotate", {}),
        ("PUT", path.replace("api-keys", "rate-limits"), {"rate_limit": 1}),
    ):
        error_of(thief.call(method, route, body), 404, "key_not_found")
    assert status_with(gateway, owner.key) == 200


@pytest.mark.ac("AC-CC.5.5", "AC-CC.5.6")
def test_a_deleted_key_is_401_at_once(gateway: LiveGateway) -> None:
    owner = gateway.customer()
    made = make(owner)
    assert status_with(gateway, made["api_key"]) == 200
    answer = owner.call("DELETE", f"{KEYS}/{made['key_id']}")
    assert (answer.status_code, answer.json()["deleted"]) == (200, True)
    for method, path, body in (("POST", CHAT, chat_body()), ("GET", "/user/profile", None)):
        error_of(gateway.call(method, path, body, key=made["api_key"]), 401, "invalid_api_key")
    assert set(listed(owner, "?include_inactive=true")) == {"Default"}
    error_of(owner.call("DELETE", f"{KEYS}/{made['key_id']}"), 404, "key_not_found")


@pytest.mark.ac("AC-CC.5.5")
def test_a_key_can_delete_itself(gateway: LiveGateway) -> None:
    owner = gateway.customer()
    other = make(owner, "other")["api_key"]
    key_id = listed(owner)["Default"]["key_id"]
    assert owner.call("DELETE", f"{KEYS}/{key_id}").status_code == 200
    error_of(owner.call("GET", "/user/profile"), 401, "invalid_api_key")
    assert status_with(gateway, other) == 200


def test_a_rotated_key_keeps_its_settings(gateway: LiveGateway) -> None:
    owner = gateway.customer()
    made = make(owner, rate_limit=77, model_allowlist=["acme/single"])
    answer = owner.call("POST", f"{KEYS}/{made['key_id']}/rotate", {})
    assert answer.status_code == 200, answer.text
    rotated = answer.json()
    assert rotated["api_key"] != made["api_key"]
    kept = ("key_id", "key_name", "rate_limit", "model_allowlist", "scopes", "environment_tag")
    assert {name: rotated[name] for name in kept} == {name: made[name] for name in kept}
    assert rotated["last4"] == rotated["api_key"][-4:]
    error_of(gateway.call("POST", CHAT, chat_body(), key=made["api_key"]), 401, "invalid_api_key")
    assert gateway.call("POST", CHAT, chat_body(), key=rotated["api_key"]).status_code == 200


def test_the_old_secret_works_during_the_grace_period(gateway: LiveGateway) -> None:
    owner = gateway.customer()
    made = make(owner)
    answer = owner.call("POST", f"{KEYS}/{made['key_id']}/rotate", {"grace_period_s": 1})
    until = time.monotonic() + 1
    assert answer.json()["previous_secret_until"] is not None
    assert status_with(gateway, made["api_key"]) == status_with(gateway, answer.json()["api_key"]) == 200
    soon(lambda: status_with(gateway, made["api_key"]) == 401)
    assert time.monotonic() > until - 0.2
    assert status_with(gateway, answer.json()["api_key"]) == 200


@pytest.mark.ac("AC-CC.5.7")
def test_the_trail_tells_the_life_of_a_key(gateway: LiveGateway) -> None:
    owner, stranger = gateway.customer(), gateway.customer()
    made = make(owner, "watched")
    path = f"{KEYS}/{made['key_id']}"
    for _ in range(3):
        assert gateway.call("GET", "/user/profile", key=made["api_key"]).status_code == 200
    assert owner.call("PUT", path, {"key_name": "seen", "rate_limit": 9}).status_code == 200
    assert owner.call("POST", f"{path}/rotate", {}).status_code == 200
    assert owner.call("DELETE", path).status_code == 200

    def events() -> list[dict[str, Any]]:
        rows = owner.call("GET", f"{KEYS}/audit-logs?limit=1000").json()["data"]
        return [row for row in rows if row["key_id"] == made["key_id"]]

    soon(lambda: any(row["action"] == "key.used" for row in events()), within_s=5)
    found = {row["action"]: row for row in events()}
    assert set(found) == {"key.created", "key.used", "key.updated", "key.rotated", "key.deleted"}
    assert found["key.used"]["count"] == 3
    assert found["key.updated"]["before"] == {"key_name": "watched", "rpm_limit": None}
    assert found["key.updated"]["after"] == {"key_name": "seen", "rpm_limit": 9}
    for row in found.values():
        assert (row["actor"], row["ip"]) == (f"user:{owner.user_id}", "127.0.0.1")
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["time"])
    times = [row["time"] for row in events()]
    assert times == sorted(times, reverse=True)
    foreign = stranger.call("GET", f"{KEYS}/audit-logs?limit=1000").json()
    assert made["key_id"] not in {row["key_id"] for row in foreign["data"]}
