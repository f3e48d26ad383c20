"""Every list tells how many rows there are, not how many it shows."""

from typing import Any

import pytest

from tests.acceptance.access_helpers import operations
from tests.live import LiveGateway

# Lists whose rows are made below; a new list is checked as soon as it is served, with whatever rows it has.
FILLED = {
    "/user/api-keys",
    "/user/api-keys/audit-logs",
    "/user/rate-limits",
    "/user/activity/log",
    "/credits/transactions",
    "/admin/users",
    "/admin/audit-logs",
    "/admin/security-events",
    "/admin/roles/audit/log",
    "/api/admin/ip-whitelist",
    "/circuit-breakers",
    "/v1/models",
}


@pytest.fixture(scope="module")
def lists(gateway: LiveGateway) -> list[str]:
    """The paths of all lists that are served, each with three rows or more for the administrator."""
    gateway.admin("POST", "/credits/add", {"user_id": 1, "amount_usd": "10", "reason": "test"})
    for number in range(3):
        gateway.admin("POST", "/user/api-keys", {"key_name": f"k{number}"})
        customer = gateway.customer(0)
        customer.call("GET", "/admin/users")
        body = {"user_id": customer.user_id, "new_role": "team", "reason": "test"}
        gateway.admin("POST", "/admin/roles/update", body)
        gateway.admin("POST", "/api/admin/ip-whitelist", {"ip": f"10.0.0.{number}", "user_id": customer.user_id})
        chat = {"model": "acme/single", "messages": [{"role": "user", "content": "x"}]}
        assert gateway.call("POST", "/v1/chat/completions", chat, key=gateway.admin_key).status_code == 200
    return [
        path
        for method, path, operation in operations(gateway)
        if method == "GET" and {"limit", "offset"} <= {each["name"] for each in operation.get("parameters", [])}
    ]


def page(gateway: LiveGateway, path: str, limit: int, offset: int) -> dict[str, Any]:
    answer = gateway.call("GET", f"{path}?limit={limit}&offset={offset}", key=gateway.admin_key)
    assert answer.status_code == 200, (path, answer.text)
    found: dict[str, Any] = answer.json()
    assert (found["limit"], found["offset"]) == (limit, offset), path
    assert found["returned"] == len(found["data"]) <= limit, path
    assert found["has_more"] is (offset + found["returned"] < found["total"]), path
    return found


def test_no_list_is_missing(lists: list[str]) -> None:
    assert set(lists) >= FILLED


def test_totals_count_all_rows_and_pages_add_up(gateway: LiveGateway, lists: list[str]) -> None:
    for path in lists:
        everything = page(gateway, path, 1000, 0)
        assert everything["total"] == everything["returned"] <= 1000, path
        if path in FILLED:
            assert everything["total"] >= 3, path
        one = page(gateway, path, 1, 0)
        assert one["total"] == everything["total"], path
        halves = [page(gateway, path, 2, offset)["data"] for offset in range(0, everything["total"], 2)]
        rows = [row for half in halves for row in half]
        assert len(rows) == everything["total"], path
        assert [identity(row) for row in rows] == [identity(row) for row in everything["data"]], path
        beyond = page(gateway, path, 5, everything["total"] + 7)
        assert (beyond["total"], beyond["returned"], beyond["has_more"]) == (everything["total"], 0, False), path


def identity(row: dict[str, Any]) -> Any:
    """What stays the same of a row while others look at it."""
    return [row.get(name) for name in ("id", "key_id", "seq", "provider", "request_id", "action", "time", "new_role")]
