"""What the acceptance tests of access, limits and errors share: visitors, the shape of errors, the limit headers."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from tests.acceptance.conftest import MODELS, SETTINGS, providers
from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway

LIMIT_HEADERS = ("limit", "remaining", "reset", "reason", "mode")
# In these gateways a visitor's X-Forwarded-For is believed, so that one machine can play many addresses.
BEHIND_A_PROXY = 'trusted_proxies = ["127.0.0.1/32"]\n'
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


def config_of(upstream: FakeUpstream, **settings: Any) -> str:
    """The shared configuration behind a proxy, with these settings changed or added."""
    text = SETTINGS + BEHIND_A_PROXY
    for name, value in settings.items():
        text = "\n".join(line for line in text.splitlines() if not line.startswith(f"{name} =")) + "\n"
        text += f"{name} = {json.dumps(value)}\n"
    return text + providers(upstream) + MODELS


def chat_body(model: str = "acme/single", text: str = "Hello!", **more: Any) -> dict[str, Any]:
    """A body that is valid for both inference dialects."""
    return {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": text}], **more}


@dataclass
class Visitor:
    """Somebody at an address, with or without a key, over one connection that is kept open."""

    client: httpx.Client

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """One request; `_` in header names is `-`; bytes and text are sent as they are, other bodies as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        if content is not None:
            sent.setdefault("content-type", "application/json")
        return self.client.request(method, path, content=content, headers=sent)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """One GET."""
        return self.send("GET", path, **headers)

    def infer(self, path: str, model: str = "acme/single", **headers: str) -> httpx.Response:
        """One inference request in the dialect of the path."""
        return self.send("POST", path, chat_body(model), **headers)


@contextmanager
def visitor(gateway: LiveGateway, key: str | None = None, ip: str | None = None, agent: str = "") -> Iterator[Visitor]:
    """A visitor; `ip` needs a gateway behind a proxy. Each address has its own user agent unless one is given."""
    headers = {"user-agent": agent or f"visitor/{ip}"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    if ip is not None:
        headers["x-forwarded-for"] = ip
    with httpx.Client(base_url=gateway.base_url, headers=headers, timeout=30, verify=False) as client:
        yield Visitor(client)


def error_of(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The error object of an answer that must have this status (and code) and the published shape of its dialect."""
    assert answer.status_code == status, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    path, sent = answer.request.url.path, answer.request.headers
    if "/messages" in path or ("anthropic-version" in sent and not path.endswith("/chat/completions")):
        assert set(body) == {"type", "error", "request_id"}, body
        assert body["type"] == "error"
        request_id = body["request_id"]
    else:
        assert set(body) == {"error"}, body
        request_id = body["error"]["request_id"]
    error: dict[str, Any] = body["error"]
    assert {"type", "message", "code", "param"} <= error.keys()
    assert isinstance(error["message"], str) and error["message"].strip()
    assert isinstance(error["type"], str) and isinstance(error["code"], str)
    assert error["param"] is None or isinstance(error["param"], str)
    assert request_id == answer.headers["x-request-id"]
    assert len(answer.headers["x-trace-id"]) == 32
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    if code is not None:
        assert error["code"] == code, body
    return error


def limit_of(answer: httpx.Response) -> dict[str, str]:
    """The five `X-RateLimit-*` values of an answer; all must be there and make sense. With a 429 also `Retry-After`."""
    found = {name: answer.headers[f"x-ratelimit-{name}"] for name in LIMIT_HEADERS}
    assert int(found["remaining"]) in range(int(found["limit"]) + 1)
    assert found["mode"] in ("normal", "velocity")
    assert int(found["reset"]) > time.time() - 2
    if answer.status_code == 429:
        assert found["remaining"] == "0"
        wait_s = int(answer.headers["retry-after"])
        assert 1 <= wait_s <= int(found["reset"]) - time.time() + 2
    else:
        assert "retry-after" not in answer.headers
    return found


def refused_by_limit(answer: httpx.Response, reason: str, limit: int) -> None:
    """The answer is a 429 of this layer with all six headers and the error shape of its dialect."""
    error = error_of(answer, 429, "rate_limit_exceeded")
    assert error["type"] == "rate_limit_error"
    found = limit_of(answer)
    assert (found["reason"], found["limit"]) == (reason, str(limit))


def early_in_the_minute(needed_s: float = 3.0) -> None:
    """Waits for the next minute if this one ends too soon: limits of keys are counted per minute of the clock."""
    left_s = 60 - time.time() % 60
    if left_s < needed_s:
        time.sleep(left_s + 0.05)


def soon(found: Callable[[], Any], within_s: float = 3.0) -> Any:
    """The first true value of `found`. Raises AssertionError if there is none in time."""
    until = time.monotonic() + within_s
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < until, f"did not happen within {within_s} s"
        time.sleep(0.02)


def sqlite(gateway: LiveGateway) -> sqlite3.Connection:
    """The gateway's own database file, as somebody with access to the disk would open it."""
    return sqlite3.connect(gateway.home / "gatewayz.db", timeout=10)


def operations(gateway: LiveGateway) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path template, description) of every route in the served OpenAPI document."""
    document = gateway.call("GET", "/openapi.json").json()
    return [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
