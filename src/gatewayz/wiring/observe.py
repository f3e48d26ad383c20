"""What is counted when a request ends, and when a breaker moves."""

from typing import Any

import structlog

from gatewayz.core.money import usd_number
from gatewayz.gateway.trip import CLIENT_CLOSED, Trip
from gatewayz.infra.clock import Clock
from gatewayz.infra.telemetry import Metrics, RequestLog
from gatewayz.policy.limits import Limiter
from gatewayz.routing.breaker_state import BreakerState

log = structlog.get_logger(__name__)

_GAUGE = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class Observer:
    """Turns finished trips into metrics, velocity samples and one log line."""

    def __init__(self, metrics: Metrics, limiter: Limiter, clock: Clock, requests: RequestLog) -> None:
        self._requests = requests
        self._metrics = metrics
        self._limiter = limiter
        self._clock = clock
        self._children: dict[tuple[str, ...], Any] = {}

    def finished(self, trip: Trip, status: int, error_code: str | None) -> None:
        """Counts a request that has ended."""
        took_s = self._clock.monotonic_s() - trip.call.received_s
        self._limiter.velocity.observe(status, took_s if status == CLIENT_CLOSED else None)
        metrics = self._metrics
        provider = trip.served_by.provider.slug if trip.served_by else "none"
        model = metrics.model_label(trip.model_id)
        self._child(metrics.inference, model, provider, str(status)).inc()
        self._child(metrics.inference_duration, provider).observe(took_s)
        for attempt in trip.attempts:
            slug, _, outcome = attempt.rpartition(":")
            self._child(metrics.attempts, slug, outcome).inc()
        if trip.first_token_s is not None:
            self._child(metrics.first_token, provider).observe(trip.first_token_s - trip.call.received_s)
        if trip.cost:
            cost_usd = usd_number(trip.cost)
            self._child(metrics.cost, provider).inc(cost_usd)
            metrics.credits.inc(cost_usd)
        if trip.usage.total_tokens:
            self._child(metrics.tokens, provider, "prompt").inc(trip.usage.prompt_tokens)
            self._child(metrics.tokens, provider, "completion").inc(trip.usage.completion_tokens)
            if not trip.usage.estimated:  # a guess about the prompt says nothing about a cache
                self._child(metrics.prompt_tokens, model, provider).inc(trip.usage.prompt_tokens)
                self._child(metrics.cached_prompt_tokens, model, provider).inc(trip.usage.cached_tokens)
        if trip.sticking is not None:
            self._child(metrics.sticking, trip.sticking).inc()
        if trip.hold is not None and error_code is not None and status >= 500:
            metrics.refunds.inc()
        if trip.unknown_events:
            self._child(metrics.unknown_chunks, provider).inc(trip.unknown_events)
            log.warning(
                "stream_chunks_unrecognized",
                request_id=trip.call.request_id,
                provider=provider,
                model=trip.model_id,
                count=trip.unknown_events,
                excerpt=trip.unknown_excerpt,
            )
        self._requests.write(
            trip.started_at_us,
            {
                "request_id": trip.call.request_id,
                "endpoint": trip.call.endpoint,
                "user_id": trip.caller.user_id if trip.caller else None,
                "model": trip.model_id,
                "provider": provider,
                "status": status,
                "code": error_code,
                "stream": trip.stream,
                "prompt_tokens": trip.usage.prompt_tokens,
                "completion_tokens": trip.usage.completion_tokens,
                "cost_nano_usd": trip.cost,
                "took_ms": round(took_s * 1000, 2),
            },
        )

    def breaker_moved(self, provider: str, before: BreakerState, after: BreakerState) -> None:
        """Counts a breaker's move and shows its state."""
        self._metrics.breaker_moves.labels(provider, before.value, after.value).inc()
        self._metrics.breaker_state.labels(provider).set(_GAUGE[after])
        log.warning("breaker_moved", provider=provider, before=before.value, after=after.value)

    def _child(self, family: Any, *labels: str) -> Any:
        """The family's child, held: looking it up by labels costs more than counting."""
        key = (family._name, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = family.labels(*labels)
        return child
