"""Roles (1.2): administrative pages are closed to everybody else, route by route, and every attempt is written down."""

import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.access_helpers import Visitor, config_of, error_of, operations, sqlite, visitor
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

# Where administrative routes live; a new route under one of these is checked without being named anywhere.
ADMIN_PREFIXES = ("/admin", "/api/admin/", "/credits/add", "/credits/adjust", "/credits/refund", "/api/monitoring")
PUBLIC_REGISTRATION = ("POST", "/admin/create")
# What anybody may call. A route that is neither here nor refused without a key fails a test below: a new public page
# is put into this list on purpose.
PUBLIC = {
    ("GET", "/"),
    ("GET", "/ping"),
    ("GET", "/health"),
    ("GET", "/health/quick"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model_id}"),
    ("GET", "/v1/models/unique"),
    ("GET", "/v1/models/search"),
    ("GET", "/v1/models/trending"),
    ("GET", "/v1/models/low-latency"),
    ("GET", "/v1/models/{model_id}/compare"),
    ("POST", "/v1/models/batch-compare"),
    ("GET", "/v1/gateways"),
    ("GET", "/v1/gateways/summary"),
    ("GET", "/v1/provider"),
    ("GET", "/v1/developers"),
    ("GET", "/v1/developers/{name}/models"),
    ("GET", "/api/models/detail"),
    ("GET", "/catalog/models-db"),
    ("GET", "/catalog/models-db/{model_id}"),
    ("GET", "/catalog/models-db/{model_id}/prices"),
    ("GET", "/catalog/models-db/health/{health_status}"),
    ("GET", "/huggingface/discovery"),
    ("GET", "/huggingface/search"),
    ("GET", "/huggingface/authors/{author}/models"),
    ("GET", "/huggingface/models/{model_id}/details"),
    ("GET", "/huggingface/models/{model_id}/card"),
    ("GET", "/huggingface/models/{model_id}/files"),
    ("GET", "/v1beta/models"),
    ("GET", "/v1beta/models/{model_id}"),
    ("GET", "/v1/models/{author}/{slug}/endpoints"),
    ("GET", "/api/v1/models"),
    ("GET", "/api/v1/models/count"),
    ("GET", "/api/v1/models/{author}/{slug}"),
    ("GET", "/api/v1/models/{author}/{slug}/endpoints"),
    ("GET", "/api/v1/providers"),
    ("GET", "/velocity-mode-status"),
    ("GET", "/circuit-breakers"),
    ("GET", "/circuit-breakers/{provider}"),
    ("POST", "/circuit-breakers/{provider}/reset"),
    ("POST", "/circuit-breakers/reset-all"),
    PUBLIC_REGISTRATION,
}


# Strangers may ask for free models there, so what they send is looked at.
SEEN_BY_STRANGERS = (
    *("/completions", "/messages", "/count_tokens", "/responses", "/responses/compact", "/estimate"),
    *(":generateContent", ":streamGenerateContent", ":countTokens"),
)


@dataclass
class Walk:
    """Every administrative route of the served description, with a path that exists."""

    routes: list[tuple[str, str]]

    def paths(self, method: str | None = None) -> list[tuple[str, str]]:
        return [(verb, path) for verb, path in self.routes if method in (None, verb)]


def filled(path: str, entry_id: int) -> str:
    """The path template with values for which the record exists."""
    known = {"role": "user", "entry_id": str(entry_id), "slug": "first"}
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "1"), path)


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A live gateway of its own, since the order of the trail is looked at; behind a proxy."""
    with LiveGateway(tmp_path_factory.mktemp("roles"), config_of(upstream)) as live:
        yield live


@pytest.fixture(scope="module")
def walk(gateway: LiveGateway) -> Walk:
    entry = gateway.admin("POST", "/api/admin/ip-whitelist", {"ip": "10.0.0.1", "user_id": 1, "enabled": False})
    gateway.admin("POST", "/admin/model-sync/full?dry_run=true")
    routes = [
        (method, filled(path, entry["id"]))
        for method, path, _ in operations(gateway)
        if path.startswith(ADMIN_PREFIXES) and (method, path) != PUBLIC_REGISTRATION
    ]
    assert len(routes) > 15
    return Walk(routes)


@pytest.fixture
def user(gateway: LiveGateway) -> Iterator[tuple[Customer, Visitor]]:
    customer = gateway.customer(0)
    with visitor(gateway, customer.key, ip="203.0.113.9") as at_home:
        yield customer, at_home


def events(gateway: LiveGateway, user_id: int) -> list[dict[str, Any]]:
    path = f"/admin/security-events?user_id={user_id}&action=UNAUTHORIZED_ADMIN_ACCESS&limit=1000"
    found: list[dict[str, Any]] = gateway.admin("GET", path)["data"]
    return found


@pytest.mark.ac("AC-1.2.1", "AC-CC.11.1")
def test_every_admin_route_is_401_without_a_key(gateway: LiveGateway, walk: Walk) -> None:
    with visitor(gateway) as stranger:
        for method, path in walk.paths():
            error_of(stranger.send(method, path, None if method == "GET" else {}), 401, "missing_api_key")


@pytest.mark.ac("AC-1.2.1", "AC-1.2.3", "AC-CC.11.1", "AC-CC.12.8")
def test_every_admin_route_is_403_for_an_ordinary_key_and_each_attempt_is_written_down(
    gateway: LiveGateway, walk: Walk, user: tuple[Customer, Visitor]
) -> None:
    customer, at_home = user
    before = time.time()
    for method, path in walk.paths():
        error = error_of(at_home.send(method, path, None if method == "GET" else {}), 403, "admin_required")
        assert error["type"] == "permission_error"
    found = events(gateway, customer.user_id)
    assert [row["resource"] for row in reversed(found)] == [f"route:{method} {path}" for method, path in walk.paths()]
    for row in found:
        assert (row["actor"], row["ip"]) == (f"user:{customer.user_id}", "203.0.113.9")
        assert row["severity"] == "high"
        at_s = datetime.fromisoformat(row["time"]).timestamp()
        assert before - 1 < at_s < time.time() + 1
    file = sqlite(gateway)
    query = "SELECT count(*) FROM security_audit_log WHERE actor_user_id = ? AND action = 'UNAUTHORIZED_ADMIN_ACCESS'"
    assert file.execute(query, (customer.user_id,)).fetchone() == (len(found),)
    file.close()


@pytest.mark.ac("AC-1.2.2")
def test_every_admin_page_is_200_for_an_administrator(gateway: LiveGateway, walk: Walk) -> None:
    pages = walk.paths("GET")
    assert ("GET", "/admin/users") in pages
    with visitor(gateway, gateway.admin_key) as admin:
        for _, path in pages:
            answer = admin.get(path)
            assert answer.status_code == 200, (path, answer.text)
        for method, path in walk.paths():
            if method not in ("GET", "DELETE"):
                assert admin.send(method, path, {}).status_code in (200, 202, 400, 409, 422), path


def test_every_other_route_is_public_on_purpose_or_needs_a_key(gateway: LiveGateway) -> None:
    with visitor(gateway) as stranger:
        for method, path, _ in operations(gateway):
            if (method, path) in PUBLIC:
                continue
            body = None if method == "GET" else {"model": "acme/single", "max_tokens": 1, "messages": []}
            answer = stranger.send(method, filled(path, 1), body)
            assert answer.status_code in (400, 401), (method, path, answer.status_code)
            if answer.status_code == 400:
                assert path.endswith(SEEN_BY_STRANGERS), path


def test_the_key_of_an_administrator_needs_the_admin_scope(gateway: LiveGateway) -> None:
    body = {"key_name": f"weak {time.time()}", "scopes": ["account:read", "inference"]}
    weak = gateway.admin("POST", "/user/api-keys", body)["api_key"]
    error_of(gateway.call("GET", "/admin/users", key=weak), 403, "admin_required")
    error_of(gateway.call("POST", "/credits/add", {}, key=weak), 403, "admin_required")
    assert gateway.call("GET", "/user/profile", key=weak).status_code == 200


def test_support_reads_accounts_and_nothing_more(gateway: LiveGateway, walk: Walk) -> None:
    helper = gateway.customer(0)
    gateway.admin("POST", "/admin/roles/update", role_change(helper, "support"))
    allowed = {("GET", "/admin/users"), ("GET", "/admin/users/1")}
    with visitor(gateway, helper.key) as support:
        for method, path in walk.paths():
            answer = support.send(method, path, None if method == "GET" else {})
            assert answer.status_code == (200 if (method, path) in allowed else 403), (method, path)
    assert len(events(gateway, helper.user_id)) == len(walk.paths()) - len(allowed)


def role_change(customer: Customer, role: str, reason: str = "because") -> dict[str, Any]:
    return {"user_id": customer.user_id, "new_role": role, "reason": reason}


@pytest.mark.ac("AC-1.2.4")
def test_a_change_of_role_acts_at_once_and_is_logged(gateway: LiveGateway) -> None:
    customer = gateway.customer(0)
    assert customer.call("GET", "/admin/users").status_code == 403
    changed = gateway.admin("POST", "/admin/roles/update", role_change(customer, "support", "joined the desk"))
    assert (changed["old_role"], changed["new_role"]) == ("user", "support")
    assert customer.call("GET", "/admin/users").status_code == 200
    row = gateway.admin("GET", f"/admin/audit-logs?action=role.updated&user_id={customer.user_id}")["data"][0]
    assert (row["before"], row["after"]) == ({"role": "user"}, {"role": "support"})
    assert (row["reason"], row["actor"], row["ip"]) == ("joined the desk", "user:1", "127.0.0.1")
    back = gateway.admin("POST", "/admin/roles/update", role_change(customer, "free", "left the desk"))
    assert back["new_role"] == "user"
    assert customer.call("GET", "/admin/users").status_code == 403


@pytest.mark.ac("AC-1.2.4")
@pytest.mark.parametrize("reason", ["", "   ", None, "\n", "forged\nline", 7])
def test_a_change_of_role_needs_a_reason(gateway: LiveGateway, reason: Any) -> None:
    customer = gateway.customer(0)
    body = role_change(customer, "support") | {"reason": reason}
    answer = gateway.call("POST", "/admin/roles/update", body, key=gateway.admin_key)
    assert error_of(answer, 422)["param"] == "reason"
    del body["reason"]
    answer = gateway.call("POST", "/admin/roles/update", body, key=gateway.admin_key)
    assert error_of(answer, 422, "missing_field")["param"] == "reason"
    assert gateway.admin("GET", f"/admin/roles/{customer.user_id}")["role"] == "user"


def test_unknown_roles_and_accounts_are_refused(gateway: LiveGateway) -> None:
    customer = gateway.customer(0)
    for body, status in (
        (role_change(customer, "root"), 422),
        (role_change(customer, "user") | {"user_id": 10**9}, 404),
        (role_change(customer, "user") | {"user_id": "1 OR 1=1"}, 422),
        (role_change(customer, "user") | {"extra": 1}, 422),
    ):
        error_of(gateway.call("POST", "/admin/roles/update", body, key=gateway.admin_key), status)


def test_the_last_administrator_cannot_demote_itself(gateway: LiveGateway) -> None:
    body = {"user_id": 1, "new_role": "user", "reason": "tired"}
    error_of(gateway.call("POST", "/admin/roles/update", body, key=gateway.admin_key), 409, "last_admin")
    body = {"status": "suspended", "reason": "tired"}
    error_of(gateway.call("PATCH", "/admin/users/1/status", body, key=gateway.admin_key), 409, "last_admin")
    assert gateway.admin("GET", "/admin/roles/1")["role"] == "admin"


OWN = ["inference", "catalog:read", "account:read", "account:write", "billing"]
SUPPORT = [*OWN, "users:read", "usage:read", "incidents:read", "deliveries:read"]


@pytest.mark.ac("AC-1.2.5")
@pytest.mark.parametrize(
    ("name", "role", "expected"),
    [
        ("user", "user", OWN),
        ("free", "user", OWN),
        ("developer", "developer", OWN),
        ("dev", "developer", OWN),
        ("team", "team", OWN),
        ("support", "support", SUPPORT),
        ("Support", "support", SUPPORT),
    ],
)
def test_permissions_of_each_role_and_alias(gateway: LiveGateway, name: str, role: str, expected: list[str]) -> None:
    found = gateway.admin("GET", f"/admin/roles/permissions/{name}")
    assert (found["role"], found["permissions"]) == (role, expected)


@pytest.mark.ac("AC-1.2.5")
def test_permissions_of_administrators_hold_all_others_and_unknown_roles_are_404(gateway: LiveGateway) -> None:
    found = gateway.admin("GET", "/admin/roles/permissions/admin")["permissions"]
    assert set(found) > set(SUPPORT)
    assert {"roles:write", "credits:write", "audit:read", "allowlists:write"} <= set(found)
    assert {row["role"] for row in gateway.admin("GET", "/admin/roles")["data"]} == {
        "admin",
        "support",
        "developer",
        "team",
        "user",
    }
    for name in ("root", "superuser", "admin%20", "..%2F", "'"):
        answer = gateway.call("GET", f"/admin/roles/permissions/{name}", key=gateway.admin_key)
        if name == "admin%20":
            assert answer.json()["role"] == "admin"
        else:
            error_of(answer, 404)


@pytest.mark.ac("AC-1.2.6")
def test_the_log_of_role_changes_is_newest_first_and_paged(gateway: LiveGateway) -> None:
    customer = gateway.customer(0)
    steps = ["developer", "team", "support", "user"]
    for number, role in enumerate(steps):
        gateway.admin("POST", "/admin/roles/update", role_change(customer, role, f"step {number}"))
    page = gateway.admin("GET", "/admin/roles/audit/log?limit=3")
    assert [row["new_role"] for row in page["data"]] == ["user", "support", "team"]
    assert [row["reason"] for row in page["data"]] == ["step 3", "step 2", "step 1"]
    assert [row["old_role"] for row in page["data"]] == ["support", "team", "developer"]
    assert {row["user_id"] for row in page["data"]} == {customer.user_id}
    assert (page["returned"], page["has_more"]) == (3, True)
    assert page["total"] >= 4
    rest = gateway.admin("GET", f"/admin/roles/audit/log?limit=1000&offset={page['total'] - 1}")
    assert (rest["returned"], rest["has_more"], rest["total"]) == (1, False, page["total"])
    newest = datetime.fromisoformat(page["data"][0]["time"])
    assert datetime.now(UTC) - newest < timedelta(minutes=1)


def test_the_trail_is_whole_after_all_this_and_shows_a_bent_entry(gateway: LiveGateway) -> None:
    verdict = gateway.admin("GET", "/admin/audit-logs/verify")
    assert verdict["valid"] is True
    assert verdict["chains"]["security"]["entries_checked"] > 0
    file = sqlite(gateway)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        file.execute("UPDATE security_audit_log SET ip = '1.2.3.4' WHERE seq = 1")
    for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        file.execute(f'DROP TRIGGER "{name}"')
    file.execute("UPDATE security_audit_log SET ip = '1.2.3.4' WHERE seq = 1")
    file.commit()
    file.close()
    verdict = gateway.admin("GET", "/admin/audit-logs/verify")
    assert verdict["valid"] is False
    assert verdict["chains"]["security"]["first_broken"]["seq"] == 1
    assert verdict["chains"]["audit"]["valid"] is True
