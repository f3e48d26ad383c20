"""What a trip tells at its end, and how its time is told."""

from typing import Any

import pytest

from gatewayz.core.caller import Caller
from gatewayz.core.usage import Usage
from gatewayz.dialects import DIALECTS
from gatewayz.gateway.ports import Call
from gatewayz.gateway.telling import plain_headers
from gatewayz.gateway.trip import Trip
from gatewayz.operations.apps import App

BODY = b'{"model":"m/asked","user":"u-1","stream":true,"messages":[{"role":"user","content":"Hi"}]}'


def a_trip(**more: Any) -> Trip:
    call = Call(DIALECTS["openai"], "/v1/x", BODY, "r", None, (), "::1", {}, 100.0, app=App("https://a.example", "A"))
    return Trip(call, 5, **more)


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ([], None),
        ([100.001], b"auth;dur=1.00"),
        ([100.001, 100.003, 100.0035], b"auth;dur=1.00, plan;dur=2.00, hold;dur=0.50"),
        (
            [100.001, 100.003, 100.0035, 101.0035, 101.004],
            b"auth;dur=1.00, plan;dur=2.00, hold;dur=0.50, upstream;dur=1000.00, settle;dur=0.50",
        ),
    ],
)
def test_time_is_told_by_phase_as_far_as_they_have_ended(ended: list[float], told: bytes | None) -> None:
    trip = a_trip()
    for phase, ended_s in zip(
        ("identified_s", "planned_s", "held_s", "first_token_s", "settled_s"), ended, strict=False
    ):
        setattr(trip, phase, ended_s)
    assert dict(plain_headers(trip, None)).get(b"server-timing") == told


def test_a_record_says_what_is_known_at_the_end() -> None:
    bare = a_trip().record(401, "invalid_api_key", 100.25)
    assert (bare.user_id, bare.api_key_id, bare.environment, bare.requested_model, bare.user_tag) == (
        None, None, None, "", None,
    )  # fmt: skip
    assert (bare.provider, bare.native_model, bare.attempts, bare.first_token_us) == (None, None, None, None)
    assert (bare.status, bare.error_code, bare.latency_us, bare.stream) == (401, "invalid_api_key", 250_000, False)
    trip = a_trip(
        caller=Caller(7, 3, "user", "free", frozenset(), environment="test"),
        glance=DIALECTS["openai"].glance(BODY),
        model_id="m/served",
        attempts=["a:502", "b:200"],
        first_token_s=100.1,
        usage=Usage(11, 12, cached_tokens=4, reasoning_tokens=5, estimated=True),
        finish="stop",
        upstream_id="up-1",
        cost=99,
    )
    whole = trip.record(200, None, 100.5)
    assert (whole.created_at_us, whole.user_id, whole.api_key_id, whole.environment) == (5, 7, 3, "test")
    assert (whole.request_id, whole.endpoint, whole.requested_model, whole.model) == (
        "r",
        "/v1/x",
        "m/asked",
        "m/served",
    )
    assert (whole.attempts, whole.stream, whole.status, whole.error_code) == ("a:502,b:200", True, 200, None)
    assert (whole.prompt_tokens, whole.completion_tokens, whole.cached_tokens, whole.reasoning_tokens) == (11, 12, 4, 5)
    assert (whole.usage_estimated, whole.cost_nano_usd) == (True, 99)
    assert (whole.latency_us, whole.first_token_us) == (500_000, 100_000)
    assert (whole.finish_reason, whole.upstream_id, whole.user_tag) == ("stop", "up-1", "u-1")
    assert (whole.app_origin, whole.app_title) == ("https://a.example", "A")
