"""Rows of the matrix that are about trouble: what the client is told, what it costs, what the provider notices.

Each act does one cell in one form, on a fresh account, and returns what was seen; `wanted` says what that must be.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2 as httpx

from tests.conformance.talk import Reply, Talk, said

if TYPE_CHECKING:
    from tests.conformance.ask import Ingress
    from tests.conformance.hear import Upstream
    from tests.conformance.house import House

WORDS = "One two three four five six seven eight nine ten. "
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Trouble:
    """What is done, and what must be seen."""

    act: Callable[["House", "Ingress", "Upstream", bool], dict[str, Any]]
    wanted: dict[str, Any]


def _body(ingress: "Ingress", upstream: "Upstream", stream: bool) -> dict[str, Any]:
    return ingress.write(Talk((said("Hello!"),)), f"matrix/{upstream.name}", stream)


def _rows_of(house: "House", look: Callable[[list[tuple[str, float]]], bool]) -> list[tuple[str, float]]:
    """The ledger rows of a fresh account, once they are as wanted; as they are after a long wait."""
    until = time.monotonic() + _PATIENCE_S
    while not look(rows := house.spent_usd()) and time.monotonic() < until:
        time.sleep(0.02)
    return rows


def _told(ingress: "Ingress", answer: httpx.Response) -> dict[str, Any]:
    """The error that a client reads, whatever its form: as a status, or at the end of a stream."""
    if answer.status_code == 200:
        failure = ingress.check_failure(answer.text)
        assert not failure["like success"], "a failure must not look like a whole answer"
        error: dict[str, Any] = failure["error"]
    else:
        body = answer.json()
        assert ingress.dialect != "anthropic" or body["type"] == "error"
        error = body["error"]
    assert error["message"] and error["type"]
    if ingress.dialect == "gemini":  # whose `code` is the status
        assert error["code"] in (answer.status_code, 502) and error["status"]
        return {**error, "code": error["details"][0]["reason"]}
    return error


def silent_about_usage(house: "House", ingress: "Ingress", upstream: "Upstream", stream: bool) -> dict[str, Any]:
    """A provider that tells no tokens: they are counted, marked as estimated, and charged."""
    house.fake.script(upstream.slug, {**upstream.script(Reply(("x" * 400,))), "usage": None})
    answer = house.ask(ingress, _body(ingress, upstream, stream))
    message = ingress.message(answer)
    used = ingress.read(message).usage
    (kind, amount), *more = _rows_of(house, bool)
    cost = (used.prompt * 3 + used.completion * 15) / 1e6
    assert message["usage"]["usage_estimated"] is True and used.prompt > 0
    return {"counted": used.completion, "charged": (kind, abs(-amount - cost) < 1e-9), "rows": 1 + len(more)}


def picture_in_answer(house: "House", ingress: "Ingress", upstream: "Upstream", stream: bool) -> dict[str, Any]:
    """A picture beside the words: it is shown where it stood, or set aside in `gateway_raw`, or the log tells of it."""
    house.fake.script(upstream.slug, {**upstream.script(Reply(("Look.",))), "blocks": [upstream.picture]})
    log_from = house.log_size()
    answer = house.ask(ingress, _body(ingress, upstream, stream))
    reply = ingress.read(ingress.message(answer))
    assert reply.texts == ("Look.",) and reply.finish == "stop"
    there = "iVBORw0KGgo=" in answer.text
    aside = there and '"gateway_raw":' in answer.text
    until = time.monotonic() + _PATIENCE_S
    while not (logged := house.told_since(log_from, "stream_chunks_unrecognized")) and time.monotonic() < until:
        if there and not aside:
            break
        time.sleep(0.02)
    return {"shown": there and not aside, "set aside": aside, "logged": bool(logged)}


def refused_by_provider(house: "House", ingress: "Ingress", upstream: "Upstream", stream: bool) -> dict[str, Any]:
    """A provider that finds the request wrong: the client reads that, with the words of the provider, and pays nothing."""
    error = _worded(upstream.broken, "The temperature is too high for this model.")
    house.fake.script(upstream.slug, {"status": 400, "error": error})
    answer = house.ask(ingress, _body(ingress, upstream, stream))
    told = _told(ingress, answer)
    rows = _rows_of(house, lambda found: len(found) != 1)
    return {
        "status": answer.status_code,
        "code": told["code"],
        "words": "temperature is too high" in told["message"],
        "paid": round(sum(amount for _, amount in rows), 9),
    }


def error_with_status_200(house: "House", ingress: "Ingress", upstream: "Upstream", stream: bool) -> dict[str, Any]:
    """An error in the clothes of an answer: to the client it is an error, and costs nothing."""
    house.fake.script(upstream.slug, {"error_in_200": upstream.broken})
    answer = house.ask(ingress, _body(ingress, upstream, stream))
    told = _told(ingress, answer)
    rows = _rows_of(house, lambda found: len(found) != 1)
    return {"status": answer.status_code, "code": told["code"], "paid": round(sum(amount for _, amount in rows), 9)}


def error_in_stream(house: "House", ingress: "Ingress", upstream: "Upstream", stream: bool) -> dict[str, Any]:
    """An error after the first words: told in the stream, everything opened is closed, the hold is given back."""
    return _broken(house, ingress, upstream, {"error_after": 3, "stream_error": upstream.broken})


def silent_close(house: "House", ingress: "Ingress", upstream: "Upstream", stream: bool) -> dict[str, Any]:
    """A stream that ends without saying so is a failure, never a whole answer."""
    return _broken(house, ingress, upstream, {"close_after_chunks": 3})


def _broken(house: "House", ingress: "Ingress", upstream: "Upstream", how: dict[str, Any]) -> dict[str, Any]:
    house.fake.script(upstream.slug, {**upstream.script(Reply((WORDS,))), **how})
    answer = house.ask(ingress, _body(ingress, upstream, stream=True))
    told = _told(ingress, answer)
    rows = _rows_of(house, lambda found: len(found) == 2)
    return {
        "status": answer.status_code,
        "code": told["code"],
        "began": "One tw" in answer.text,
        "rows": [kind for kind, _ in rows],
        "paid": round(sum(amount for _, amount in rows), 9),
    }


def client_leaves(house: "House", ingress: "Ingress", upstream: "Upstream", stream: bool) -> dict[str, Any]:
    """A client that hangs up: the provider is stopped, and what was made until then is charged."""
    house.fake.script(upstream.slug, {**upstream.script(Reply((WORDS * 20,))), "chunk_delay_s": 0.03})
    body = _body(ingress, upstream, stream=True)
    path, body = ingress.put(body)
    address = house.gateway.base_url + path
    headers = {"Authorization": f"Bearer {house.customer.key}"}
    with httpx.stream("POST", address, json=body, headers=headers, timeout=30, verify=False) as answer:
        next(answer.iter_bytes())
    entry = house.fake.wait_until(upstream.slug, "closed_early", True, timeout_s=_PATIENCE_S)
    rows = _rows_of(house, bool)
    return {
        "stopped": entry["closed_early"] and not entry["done"],
        "rows": [kind for kind, _ in rows],
        "charged": all(amount < 0 for _, amount in rows),
    }


def _worded(error: dict[str, Any], message: str) -> dict[str, Any]:
    """The error object of a dialect with another message, and nothing that tells of a fault of the provider's."""
    inner = {**error["error"], "message": message}
    for name, value in (("type", "invalid_request_error"), ("status", "INVALID_ARGUMENT"), ("code", 400)):
        if name in inner:
            inner[name] = value
    return {**error, "error": inner}


_BROKEN_OFF = {"status": 200, "code": "provider_error", "began": True, "rows": ["hold", "refund"], "paid": 0.0}
SILENT_ABOUT_USAGE = Trouble(silent_about_usage, {"counted": 100, "charged": ("api_usage", True), "rows": 1})
REFUSED = Trouble(refused_by_provider, {"status": 400, "code": "invalid_request", "words": True, "paid": 0.0})
ERROR_WITH_STATUS_200 = Trouble(error_with_status_200, {"status": 502, "code": "provider_error", "paid": 0.0})
ERROR_IN_STREAM = Trouble(error_in_stream, _BROKEN_OFF)
SILENT_CLOSE = Trouble(silent_close, _BROKEN_OFF)
CLIENT_LEAVES = Trouble(client_leaves, {"stopped": True, "rows": ["api_usage"], "charged": True})
PICTURE = Trouble(picture_in_answer, {"shown": True, "set aside": False, "logged": False})
