"""Keys that work from named sites only (1.4)."""

import pytest

from tests.acceptance.access_helpers import CHAT, MESSAGES, chat_body, error_of
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

PATHS = [CHAT, MESSAGES, "/user/profile"]


def code_with(customer: Customer, path: str = CHAT, **headers: str) -> str | None:
    """None if the key works with these headers, else the code of the refusal."""
    method, body = ("GET", None) if path == "/user/profile" else ("POST", chat_body())
    answer = customer.gateway.call(method, path, body, key=customer.key, headers=headers)
    if answer.status_code == 200:
        return None
    error = error_of(answer, 403)
    assert error["type"] == "permission_error"
    code: str = error["code"]
    return code


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """A customer whose key names three sites."""
    return gateway.customer(10, domain_referrers=["app.example.com", "Shop.Example.org", "localhost"])


@pytest.mark.ac("AC-1.4.1")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "referer",
    [
        "https://evil.example/",
        "https://example.com/",
        "https://sub.app.example.com/",
        "https://app.example.com.evil.example/",
        "https://evil.example/app.example.com",
        "https://evil.example/?https://app.example.com/",
        "https://evil.example#@app.example.com",
        "https://app.example.com@evil.example/",
        "https://evil.example\\@app.example.com/",
        "app.example.com",
        "//app.example.com/",
        "javascript://app.example.com/%0aalert(1)",
        "not a site at all",
        "https://",
        "null",
    ],
)
def test_a_foreign_or_malformed_site_is_refused(customer: Customer, path: str, referer: str) -> None:
    assert code_with(customer, path, Referer=referer) == "domain_not_allowed"


@pytest.mark.ac("AC-1.4.1")
def test_a_refused_site_reaches_no_provider(customer: Customer, upstream: FakeUpstream) -> None:
    assert code_with(customer, Referer="https://evil.example/") == "domain_not_allowed"
    assert upstream.journal() == []
    assert code_with(customer, Referer="https://app.example.com/") is None
    assert len(upstream.journal()) == 1


@pytest.mark.ac("AC-1.4.2", "AC-1.4.4")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "referer",
    [
        "https://app.example.com/",
        "https://app.example.com",
        "http://app.example.com/deep/page?q=1#part",
        "https://app.example.com:8443/page",
        "https://APP.Example.COM/",
        "https://shop.example.org/",
        "http://localhost:3000/",
    ],
)
def test_every_listed_site_passes(customer: Customer, path: str, referer: str) -> None:
    assert code_with(customer, path, Referer=referer) is None


@pytest.mark.ac("AC-1.4.3")
@pytest.mark.parametrize("path", PATHS)
def test_without_referer_and_origin_the_check_does_not_apply(customer: Customer, path: str) -> None:
    assert code_with(customer, path) is None


def test_origin_counts_where_there_is_no_referer(customer: Customer) -> None:
    assert code_with(customer, Origin="https://evil.example") == "domain_not_allowed"
    assert code_with(customer, Origin="https://app.example.com") is None
    assert code_with(customer, Referer="https://app.example.com/", Origin="https://evil.example") is None
    assert code_with(customer, Referer="https://evil.example/", Origin="https://app.example.com") is not None


def test_a_key_without_a_list_works_from_everywhere(gateway: LiveGateway) -> None:
    assert code_with(gateway.customer(), Referer="https://evil.example/") is None
