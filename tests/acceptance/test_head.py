"""HEAD: whatever can be read answers it as GET, without a body, as uptime monitors and caches ask."""

import socket

import pytest

from tests.acceptance import spine
from tests.live import Customer, LiveGateway

OPEN = ("/", "/ping", "/health", "/health/quick", "/v1/models", "/api/v1/models", "/v1/gateways", "/openapi.json")


@pytest.fixture(scope="module")
def gateway() -> LiveGateway:
    """The shared house."""
    return spine.shared().gateway


@pytest.fixture(scope="module")
def upstream() -> object:
    """The scripted providers of the shared house."""
    return spine.shared().upstream


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """Somebody with a key."""
    return gateway.customer(1)


@pytest.mark.parametrize("path", OPEN)
def test_the_head_is_that_of_get(gateway: LiveGateway, path: str) -> None:
    whole, head = gateway.call("GET", path), gateway.call("HEAD", path)
    assert (head.status_code, head.content) == (200, b"") and whole.content
    for name in ("content-type", "etag", "cache-control", "x-content-type-options"):
        assert head.headers.get(name) == whole.headers.get(name), name
    if path not in ("/", "/ping", "/health"):  # which tell the time
        assert head.headers["content-length"] == str(len(whole.content))


def test_a_cache_asks_whether_its_page_is_still_right(gateway: LiveGateway) -> None:
    tag = gateway.call("HEAD", "/v1/models").headers["etag"]
    assert gateway.call("HEAD", "/v1/models", headers={"If-None-Match": tag}).status_code == 304


def test_refusals_are_those_of_get(gateway: LiveGateway, customer: Customer) -> None:
    for path, status in (("/user/balance", 401), ("/v1/models/no/such", 404), ("/nowhere", 404), ("/admin/users", 401)):
        answer = gateway.call("HEAD", path)
        assert (answer.status_code, answer.content) == (status, b""), path
    assert customer.call("HEAD", "/user/balance").status_code == 200
    assert customer.call("HEAD", "/admin/users").status_code == 403


def test_what_cannot_be_read_has_no_head(customer: Customer) -> None:
    for path in ("/v1/chat/completions", "/v1/responses", "/credits/add"):
        answer = customer.call("HEAD", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), path


def test_the_connection_goes_on_after_a_head(gateway: LiveGateway) -> None:
    asked = b"HEAD /v1/models HTTP/1.1\r\nHost: x\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        connection.sendall(asked)
        told = b""
        while more := connection.recv(65_536):
            told += more
    first, _, second = told.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200") and second.startswith(b"HTTP/1.1 200")
