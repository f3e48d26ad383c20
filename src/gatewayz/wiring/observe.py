"""What is counted when a request ends, and when a breaker moves."""

from dataclasses import dataclass

import structlog

from gatewayz.core.money import usd_number
from gatewayz.gateway.trip import CLIENT_CLOSED, Trip
from gatewayz.infra.clock import Clock
from gatewayz.infra.tally import Bins, Count
from gatewayz.infra.telemetry import LogLine, Metrics, RequestLog
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
        self._kinds: dict[tuple[str | None, str, int], _Kind] = {}
        self._attempts: dict[str, Count] = {}

    def finished(self, trip: Trip, status: int, error_code: str | None) -> None:
        """Counts a request that has ended."""
        call, usage, served = trip.call, trip.usage, trip.served_by
        took_s = self._clock.monotonic_s() - call.received_s
        self._limiter.velocity.observe(status, took_s if status == CLIENT_CLOSED else None)
        provider = served.provider.slug if served is not None else "none"
        kind = self._kinds.get((trip.model_id, provider, status)) or self._kind(trip.model_id, provider, status)
        kind.requests.value += 1
        kind.took.add(took_s)
        for attempt in trip.attempts:
            (self._attempts.get(attempt) or self._attempt(attempt)).value += 1
        if trip.first_token_s is not None:
            kind.first_token.add(trip.first_token_s - call.received_s)
        if trip.cost:
            cost_usd = usd_number(trip.cost)
            kind.cost.value += cost_usd
            kind.credits.value += cost_usd
        if usage.prompt_tokens or usage.completion_tokens:
            kind.prompt.value += usage.prompt_tokens
            kind.completion.value += usage.completion_tokens
            if not usage.estimated:  # a guess about the prompt says nothing about a cache
                kind.model_prompt.value += usage.prompt_tokens
                kind.model_cached.value += usage.cached_tokens
        self._seldom(trip, provider, status, error_code)
        self._requests.write(trip.started_at_us, _line(trip, provider, status, error_code, took_s))

    def breaker_moved(self, provider: str, before: BreakerState, after: BreakerState) -> None:
        """Counts a breaker's move and shows its state."""
        self._metrics.breaker_moves.labels(provider, before.value, after.value).inc()
        self._metrics.breaker_state.labels(provider).set(_GAUGE[after])
        log.warning("breaker_moved", provider=provider, before=before.value, after=after.value)

    def _seldom(self, trip: Trip, provider: str, status: int, error_code: str | None) -> None:
        """What most requests have nothing of."""
        metrics = self._metrics
        if trip.sticking is not None:
            metrics.tally.count(metrics.sticking, trip.sticking).value += 1
        if trip.hold is not None and error_code is not None and status >= 500:
            metrics.refunds.inc()
        if trip.unknown_events:
            metrics.tally.count(metrics.unknown_chunks, provider).value += trip.unknown_events
            log.warning(
                "stream_chunks_unrecognized",
                request_id=trip.call.request_id,
                provider=provider,
                model=trip.model_id,
                count=trip.unknown_events,
                excerpt=trip.unknown_excerpt,
            )

    def _kind(self, model_id: str | None, provider: str, status: int) -> "_Kind":
        metrics, tally = self._metrics, self._metrics.tally
        model = metrics.model_label(model_id)
        kind = _Kind(
            requests=tally.count(metrics.inference, model, provider, str(status)),
            took=tally.bins(metrics.inference_duration, provider),
            first_token=tally.bins(metrics.first_token, provider),
            cost=tally.count(metrics.cost, provider),
            credits=tally.count(metrics.credits),
            prompt=tally.count(metrics.tokens, provider, "prompt"),
            completion=tally.count(metrics.tokens, provider, "completion"),
            model_prompt=tally.count(metrics.prompt_tokens, model, provider),
            model_cached=tally.count(metrics.cached_prompt_tokens, model, provider),
        )
        if model == model_id:  # models that share a label are too many to be remembered one by one
            self._kinds[(model_id, provider, status)] = kind
        return kind

    def _attempt(self, attempt: str) -> Count:
        slug, _, outcome = attempt.rpartition(":")
        count = self._attempts[attempt] = self._metrics.tally.count(self._metrics.attempts, slug, outcome)
        return count


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where requests of one model, provider and status are counted; some of it is shared with other kinds."""

    requests: Count
    took: Bins
    first_token: Bins
    cost: Count
    credits: Count
    prompt: Count
    completion: Count
    model_prompt: Count
    model_cached: Count


class _Line(LogLine):
    """The log line of a request."""

    request_id: str
    endpoint: str
    user_id: int | None
    model: str | None
    provider: str
    status: int
    code: str | None
    stream: bool
    prompt_tokens: int
    completion_tokens: int
    cost_nano_usd: int
    took_ms: float


def _line(trip: Trip, provider: str, status: int, error_code: str | None, took_s: float) -> _Line:
    call, caller, usage = trip.call, trip.caller, trip.usage
    return _Line(
        "request",
        "info",
        "",
        call.request_id,
        call.endpoint,
        caller.user_id if caller is not None else None,
        trip.model_id,
        provider,
        status,
        error_code,
        trip.stream,
        usage.prompt_tokens,
        usage.completion_tokens,
        trip.cost,
        round(took_s * 1000, 2),
    )
