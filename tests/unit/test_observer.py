"""What is counted of finished requests is what they amount to, whenever the metrics are asked."""

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog import Offer, PriceSnapshot
from gatewayz.core.usage import Usage
from gatewayz.dialects import DIALECTS
from gatewayz.gateway.ports import Call
from gatewayz.gateway.trip import Trip
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.redis import RedisLink
from gatewayz.infra.telemetry import Metrics, RequestLog
from gatewayz.policy.limits import Limiter
from gatewayz.providers.profile import Provider
from gatewayz.providers.ways import Way
from gatewayz.routing.plan import Candidate
from gatewayz.settings import Settings
from gatewayz.wiring.observe import Observer

BODY = b'{"model":"m","messages":[]}'


def candidate(slug: str) -> Candidate:
    offer = Offer(1, "m/m", slug, "native", PriceSnapshot(1, "t", 0, 10, 10), 1000, 100, frozenset())
    return Candidate(offer, Provider(slug, slug, "openai", "http://x", {}), Way("openai", "http://x"))


def a_trip(model: str | None, slug: str | None, usage: Usage, cost: int) -> Trip:
    call = Call(DIALECTS["openai"], "/v1/x", BODY, "r-1", None, (), "::1", {}, 999.0)
    served = candidate(slug) if slug is not None else None
    trip = Trip(call, 1_764_330_617_004_999, model_id=model, served_by=served)
    if slug is not None:
        trip.first_token_s, trip.usage, trip.cost, trip.attempts = 999.5, usage, cost, [f"{slug}:200"]
    return trip


def watched(log: RequestLog) -> tuple[Metrics, Observer]:
    clock, metrics = ManualClock(), Metrics()
    limiter = Limiter(Settings(), clock, RedisLink(None, clock), salt=b"s")
    return metrics, Observer(metrics, limiter, clock, log)


def told(metrics: Metrics) -> dict[str, float]:
    lines = metrics.expose(None)[0].decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


usages = st.builds(
    Usage, st.integers(0, 1000), st.integers(0, 1000), cached_tokens=st.integers(0, 1000), estimated=st.booleans()
)
trips = st.tuples(
    st.sampled_from(["m/one", "m/two", None]), st.sampled_from(["a", "b", None]), usages, st.integers(0, 10**9)
)


@given(st.lists(trips | st.none(), max_size=12))
def test_sums_are_those_of_the_requests(events: list[tuple[str | None, str | None, Usage, int] | None]) -> None:
    """`None` is a flush in between."""
    metrics, observer = watched(RequestLog(io.BytesIO(), "warning", as_json=True))
    wanted: dict[str, float] = {}

    def count(name: str, amount: float, **labels: str) -> None:
        shown = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
        key = f"{name}{{{shown}}}" if shown else name
        wanted[key] = wanted.get(key, 0) + amount

    for event in events:
        if event is None:
            metrics.tally.flush()
            continue
        model, slug, usage, cost = event
        observer.finished(a_trip(model, slug, usage, cost), 200, None)
        labels = {"model": model or "unresolved", "provider": slug or "none"}
        count("model_inference_requests_total", 1, status="200", **labels)
        if slug is None:
            continue
        count("provider_attempts_total", 1, outcome="200", provider=slug)
        count("gateway_cost_per_provider_usd_total", cost / 1e9, provider=slug)
        count("credits_deducted_usd_total", cost / 1e9)
        count("tokens_total", usage.prompt_tokens, kind="prompt", provider=slug)
        count("tokens_total", usage.completion_tokens, kind="completion", provider=slug)
        count("prompt_tokens_total", 0 if usage.estimated else usage.prompt_tokens, **labels)
        count("cached_prompt_tokens_total", 0 if usage.estimated else usage.cached_tokens, **labels)
        count("time_to_first_token_seconds_count", 1, provider=slug)
        count("model_inference_duration_seconds_count", 1, provider=slug)
    found = told(metrics)
    for name, value in wanted.items():
        assert abs(found[name] - value) <= 1e-9 * max(1.0, value), name
    assert found == told(metrics)


async def test_a_request_has_one_line_in_the_log() -> None:
    stream = io.BytesIO()
    log = RequestLog(stream, "info", as_json=True)
    _, observer = watched(log)
    observer.finished(a_trip("m/one", "a", Usage(3, 4), 50), 200, None)
    refused: Any = a_trip(None, None, Usage(), 0)
    observer.finished(refused, 404, "model_not_found")
    log.flush()
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["request_id"], first["model"], first["provider"], first["status"]) == ("r-1", "m/one", "a", 200)
    assert (first["prompt_tokens"], first["completion_tokens"], first["cost_nano_usd"]) == (3, 4, 50)
    assert (first["took_ms"], first["stream"], first["user_id"], first["code"]) == (1000.0, False, None, None)
    assert (second["model"], second["provider"], second["status"], second["code"]) == (
        None, "none", 404, "model_not_found",
    )  # fmt: skip


async def test_a_quiet_log_is_told_nothing() -> None:
    stream = io.BytesIO()
    log = RequestLog(stream, "warning", as_json=True)
    _, observer = watched(log)
    observer.finished(a_trip("m/one", "a", Usage(3, 4), 50), 200, None)
    log.flush()
    assert stream.getvalue() == b""
