"""IP allowlists of keys and accounts (1.3)."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.access_helpers import CHAT, MESSAGES, config_of, error_of, soon, visitor
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

LIST = "/api/admin/ip-whitelist"


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A live gateway behind a proxy, so that visitors can come from anywhere."""
    with LiveGateway(tmp_path_factory.mktemp("addresses"), config_of(upstream)) as live:
        yield live


@pytest.fixture
def customer(gateway: LiveGateway) -> Customer:
    return gateway.customer()


def key_id_of(customer: Customer) -> int:
    found: int = customer.gateway.admin("GET", f"/admin/users/{customer.user_id}")["keys"][0]["key_id"]
    return found


def add(customer: Customer, ip: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = customer.gateway.admin("POST", LIST, {"ip": ip, "key_id": key_id_of(customer), **more})
    return found


def code_from(customer: Customer, ip: str, path: str = CHAT) -> str | None:
    """None if the key works from this address, else the code of the refusal."""
    with visitor(customer.gateway, customer.key, ip=ip) as caller:
        answer = caller.infer(path) if path in (CHAT, MESSAGES) else caller.get(path)
    if answer.status_code == 200:
        return None
    code: str = error_of(answer, 403)["code"]
    return code


@pytest.mark.ac("AC-1.3.1", "AC-1.3.3", "AC-1.3.4")
@pytest.mark.parametrize("path", [CHAT, MESSAGES, "/user/profile"])
def test_a_key_with_one_address_works_from_there_only(customer: Customer, upstream: FakeUpstream, path: str) -> None:
    assert code_from(customer, "198.51.100.7", path) is None
    entry = add(customer, "203.0.113.7", label="office")
    assert (entry["ip"], entry["label"], entry["enabled"], entry["scope"]) == ("203.0.113.7", "office", True, "key")
    upstream.reset()
    assert code_from(customer, "203.0.113.7", path) is None
    asked = len(upstream.journal())
    for other in ("203.0.113.8", "203.0.113.70", "10.203.0.113", "2001:db8::7"):
        assert code_from(customer, other, path) == "ip_not_allowed"
    assert len(upstream.journal()) == asked
    assert code_from(customer, "::ffff:203.0.113.7", path) is None


@pytest.mark.ac("AC-1.3.2", "AC-1.3.4")
def test_a_range_holds_its_addresses(customer: Customer) -> None:
    assert add(customer, "10.0.0.0/24")["ip"] == "10.0.0.0/24"
    for inside in ("10.0.0.0", "10.0.0.1", "10.0.0.255"):
        assert code_from(customer, inside) is None
    for outside in ("10.0.1.0", "9.255.255.255", "10.0.0.256", "127.0.0.1"):
        assert code_from(customer, outside) == "ip_not_allowed"


@pytest.mark.ac("AC-1.3.3")
def test_the_refusal_comes_before_any_further_work(customer: Customer, upstream: FakeUpstream) -> None:
    add(customer, "10.0.0.1")
    with visitor(customer.gateway, customer.key, ip="10.0.0.2") as outside:
        # Neither a body that is no JSON nor an unknown record is looked at.
        error_of(outside.send("POST", CHAT, "{"), 403, "ip_not_allowed")
        error_of(outside.send("PUT", "/user/api-keys/999999", {"nonsense": 1}), 403, "ip_not_allowed")
        error = error_of(outside.infer(MESSAGES), 403, "ip_not_allowed")
        assert error["type"] == "permission_error"
        assert "10.0.0.1" not in error["message"]
    assert upstream.journal() == []


def test_the_address_is_believed_from_a_trusted_proxy_only(gateway: LiveGateway, customer: Customer) -> None:
    add(customer, "10.0.0.1")
    # The left part of the header is what anybody could have written.
    assert code_from(customer, "10.0.0.1, 198.51.100.1") == "ip_not_allowed"
    assert code_from(customer, "198.51.100.1, 10.0.0.1") is None
    real = gateway.call("GET", "/user/profile", key=customer.key, headers={"X-Real-IP": "10.0.0.1"})
    assert real.status_code == 200


@pytest.mark.ac("AC-1.3.5")
def test_the_check_says_whether_an_address_passes_and_by_what(gateway: LiveGateway, customer: Customer) -> None:
    key_id = key_id_of(customer)

    def asked(ip: str) -> dict[str, Any]:
        found: dict[str, Any] = gateway.admin("POST", f"{LIST}/check", {"ip": ip, "key_id": key_id})
        assert (found["ip"], found["key_id"]) == (ip, key_id)
        assert (code_from(customer, ip, "/user/profile") is None) is found["allowed"]
        return found

    free = asked("198.51.100.1")
    assert (free["allowed"], free["restricted"], free["matched_entry"]) == (True, False, None)
    one, wide = add(customer, "203.0.113.7"), add(customer, "10.0.0.0/8")
    off = add(customer, "192.0.2.1", enabled=False)
    assert asked("203.0.113.7")["matched_entry"] == {"id": one["id"], "ip": "203.0.113.7"}
    assert asked("10.77.1.2")["matched_entry"] == {"id": wide["id"], "ip": "10.0.0.0/8"}
    for outside in ("203.0.113.8", off["ip"], "2001:db8::1"):
        found = asked(outside)
        assert (found["allowed"], found["restricted"], found["matched_entry"]) == (False, True, None)
    body = {"ip": "somewhere", "key_id": key_id}
    error_of(gateway.call("POST", f"{LIST}/check", body, key=gateway.admin_key), 422)
    body = {"ip": "10.0.0.1", "key_id": 10**9}
    error_of(gateway.call("POST", f"{LIST}/check", body, key=gateway.admin_key), 404, "key_not_found")


@pytest.mark.ac("AC-1.3.6")
def test_entries_can_be_listed_changed_and_removed(gateway: LiveGateway, customer: Customer) -> None:
    key_id = key_id_of(customer)
    first, second = add(customer, "10.0.0.1"), add(customer, "10.0.0.2", label="b")
    add(gateway.customer(0), "10.0.0.3")
    page = gateway.admin("GET", f"{LIST}?key_id={key_id}&limit=1")
    assert ([row["id"] for row in page["data"]], page["total"], page["has_more"]) == ([first["id"]], 2, True)
    assert gateway.admin("GET", f"{LIST}?user_id={customer.user_id}")["total"] == 2
    assert gateway.admin("GET", f"{LIST}/{second['id']}")["label"] == "b"

    path = f"{LIST}/{first['id']}"
    started = time.monotonic()
    changed = gateway.admin("PUT", path, {"ip": "10.0.1.0/24", "label": "new"})
    assert (changed["ip"], changed["label"], changed["enabled"]) == ("10.0.1.0/24", "new", True)
    soon(lambda: code_from(customer, "10.0.1.9") is None, within_s=1)
    assert code_from(customer, "10.0.0.1") == "ip_not_allowed"
    gateway.admin("PUT", path, {"enabled": False})
    soon(lambda: code_from(customer, "10.0.1.9") == "ip_not_allowed", within_s=1)
    assert gateway.admin("DELETE", path) == {"id": first["id"], "deleted": True}
    assert gateway.admin("GET", f"{LIST}?key_id={key_id}")["total"] == 1
    gateway.admin("DELETE", f"{LIST}/{second['id']}")
    soon(lambda: code_from(customer, "198.51.100.1") is None, within_s=1)
    assert time.monotonic() - started < 5
    for method in ("GET", "PUT", "DELETE"):
        body = {} if method == "PUT" else None
        answer = gateway.call(method, path, body, key=gateway.admin_key)
        error_of(answer, 404, "allowlist_entry_not_found")
    actions = gateway.admin("GET", f"/admin/audit-logs?resource=allowlist:{first['id']}")["data"]
    assert [row["action"] for row in actions] == [
        "allowlist.deleted",
        "allowlist.updated",
        "allowlist.updated",
        "allowlist.added",
    ]


def test_an_entry_for_the_account_concerns_all_its_keys(gateway: LiveGateway) -> None:
    owner = gateway.customer(0)
    second = owner.call("POST", "/user/api-keys", {"key_name": "second"}).json()["api_key"]
    entry = gateway.admin("POST", LIST, {"ip": "10.0.0.1", "user_id": owner.user_id})
    assert entry["scope"] == "account"
    for key in (owner.key, second):
        for ip, status in (("10.0.0.1", 200), ("10.0.0.2", 403)):
            with visitor(gateway, key, ip=ip) as caller:
                assert caller.get("/user/profile").status_code == status


def test_owners_keep_a_list_of_their_own(gateway: LiveGateway) -> None:
    owner = gateway.customer(0)
    made = owner.call("POST", "/user/api-keys", {"key_name": "second"}).json()
    path = f"/user/api-keys/{made['key_id']}"
    assert owner.call("PUT", path, {"ip_allowlist": ["10.0.0.0/30"]}).status_code == 200
    gateway.admin("POST", LIST, {"ip": "192.0.2.1", "key_id": made["key_id"]})
    for ip, status in (("10.0.0.3", 200), ("192.0.2.1", 200), ("10.0.0.4", 403)):
        with visitor(gateway, made["api_key"], ip=ip) as caller:
            assert caller.get("/user/profile").status_code == status, ip


@pytest.mark.parametrize(
    "ip",
    ["10.0.0.1/24", "10.0.0.0/33", "300.1.1.1", "10.0.0", "::1", "2001:db8::/32", "*", "", "10.0.0.1 OR 1=1", None],
)
def test_what_is_no_ipv4_address_or_range_is_refused(gateway: LiveGateway, customer: Customer, ip: Any) -> None:
    body = {"ip": ip, "key_id": key_id_of(customer)}
    assert error_of(gateway.call("POST", LIST, body, key=gateway.admin_key), 422)["param"] == "ip"
    assert gateway.admin("GET", f"{LIST}?user_id={customer.user_id}")["total"] == 0


def test_an_entry_is_for_somebody_who_exists(gateway: LiveGateway) -> None:
    for body, status in (
        ({"ip": "10.0.0.1"}, 422),
        ({"ip": "10.0.0.1", "key_id": 10**9}, 404),
        ({"ip": "10.0.0.1", "user_id": 10**9}, 404),
        ({"ip": "10.0.0.1", "user_id": 1, "note": "x"}, 422),
    ):
        error_of(gateway.call("POST", LIST, body, key=gateway.admin_key), status)
