"""A body that cannot be read is told to those who may call the page, and to nobody else."""

import re
from typing import Any

import pytest

from gatewayz.api import app
from gatewayz.api.auth import GUARDS
from gatewayz.api.guarded import GuardedRoute
from tests.acceptance import spine
from tests.live import Customer, LiveGateway

BODIES = [b"{", b'{"a": 1', b"\xff\xfe{}"]


def guarded_routes() -> list[Any]:
    """Every route with a guard that takes a body."""
    routes = [route for module in app._ROUTERS for route in module.router().routes]
    return [
        route for route in routes
        if getattr(route, "body_field", None) is not None
        and any(each.call in GUARDS for each in route.dependant.dependencies)
    ]  # fmt: skip


ROUTES = [(sorted(route.methods)[0], re.sub(r"\{\w+\}", "1", route.path)) for route in guarded_routes()]


@pytest.fixture(scope="module")
def gateway() -> LiveGateway:
    """The shared house."""
    return spine.shared().gateway


@pytest.fixture(scope="module")
def customer(gateway: LiveGateway) -> Customer:
    """Somebody who is no administrator."""
    return gateway.customer(1)


@pytest.fixture
def upstream() -> Any:
    """The scripted providers of the shared house."""
    return spine.shared().upstream


def test_no_guarded_page_with_a_body_was_forgotten() -> None:
    assert len(ROUTES) >= 10
    assert [route.path for route in guarded_routes() if not isinstance(route, GuardedRoute)] == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_who_is_calling_comes_first(gateway: LiveGateway, customer: Customer, method: str, path: str) -> None:
    for body in BODIES:
        stranger = gateway.call(method, path, body)
        assert (stranger.status_code, spine.error_of(stranger)["code"]) == (401, "missing_api_key"), stranger.text
        wrong = gateway.call(method, path, body, key="gw_live_" + "x" * 43)
        assert wrong.status_code == 401
        readable = customer.call(method, path, {}).status_code
        answer = customer.call(method, path, body)
        assert answer.status_code == (403 if readable == 403 else 400), answer.text
        if answer.status_code == 400:
            assert "x-ratelimit-limit" in answer.headers, "it counts against the limit of the key"
            continue
        assert spine.error_of(answer)["code"] == "admin_required"
        admin = gateway.call(method, path, body, key=gateway.admin_key)
        assert admin.status_code == 400, admin.text
