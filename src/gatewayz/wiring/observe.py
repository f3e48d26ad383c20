"""What is counted when a request ends, and when a breaker moves."""

import structlog

from gatewayz.core.money import usd_number
from gatewayz.gateway.trip import CLIENT_CLOSED, Trip
from gatewayz.infra.clock import Clock
from gatewayz.infra.tally import Count
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
        call, glance, usage, served = trip.call, trip.glance, trip.usage, trip.served_by
        took_s = self._clock.monotonic_s() - call.received_s
        self._limiter.velocity.observe(status, took_s if status == CLIENT_CLOSED else None)
        provider = served.provider.slug if served is not None else "none"
        kind = self._kinds.get((trip.model_id, provider, status)) or self._kind(trip.model_id, provider, status)
        kind.requests += 1
        kind.took(took_s)
        for attempt in trip.attempts:
            (self._attempts.get(attempt) or self._attempt(attempt)).value += 1
        if trip.first_token_s is not None:
            kind.first_token(trip.first_token_s - call.received_s)
            kind.cost += trip.cost
            kind.prompt += usage.prompt_tokens
            kind.completion += usage.completion_tokens
            if usage.estimated:  # a guess about the prompt says nothing about a cache
                kind.guessed_prompt += usage.prompt_tokens
            else:
                kind.cached += usage.cached_tokens
        if error_code is not None or trip.unknown_events or trip.sticking is not None:
            self._seldom(trip, provider, status, error_code)
        if self._requests.enabled:
            caller = trip.caller
            line = _Line(
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
                glance is not None and glance.stream,
                usage.prompt_tokens,
                usage.completion_tokens,
                trip.cost,
                round(took_s * 1000, 2),
            )
            self._requests.write(trip.started_at_us, line)

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
        model = self._metrics.model_label(model_id)
        kind = self._kinds.get((model, provider, status))
        if kind is None:
            kind = _Kind(self._metrics, model, provider, status)
            self._metrics.tally.before_flush(kind)
            # Models that share a label are too many to be remembered one by one.
            self._kinds[(model, provider, status)] = kind
        if model_id is None:
            self._kinds[(None, provider, status)] = kind
        return kind

    def _attempt(self, attempt: str) -> Count:
        slug, _, outcome = attempt.rpartition(":")
        count = self._attempts[attempt] = self._metrics.tally.count(self._metrics.attempts, slug, outcome)
        return count


class _Kind:
    """What requests of one model, provider and status have amounted to since the last flush; `cost` is nano-USD."""

    __slots__ = (
        *("cached", "completion", "cost", "first_token", "guessed_prompt", "prompt", "requests", "took"),
        "_counts",
    )

    def __init__(self, metrics: Metrics, model: str, provider: str, status: int) -> None:
        tally = metrics.tally
        self.took = tally.bins(metrics.inference_duration, provider).add
        self.first_token = tally.bins(metrics.first_token, provider).add
        self._counts: tuple[Count, ...] = (
            tally.count(metrics.inference, model, provider, str(status)),
            tally.count(metrics.cost, provider),
            tally.count(metrics.credits),
            tally.count(metrics.tokens, provider, "prompt"),
            tally.count(metrics.tokens, provider, "completion"),
            tally.count(metrics.prompt_tokens, model, provider),
            tally.count(metrics.cached_prompt_tokens, model, provider),
        )
        self._begin()

    def _begin(self) -> None:
        self.requests = self.cost = 0
        self.prompt = self.completion = self.guessed_prompt = self.cached = 0

    def flush(self) -> None:
        """Hands over what was counted; some of it is shared with other kinds."""
        if not self.requests:
            return
        cost_usd = usd_number(self.cost)
        reported = self.prompt - self.guessed_prompt
        amounts = (self.requests, cost_usd, cost_usd, self.prompt, self.completion, reported, self.cached)
        for count, amount in zip(self._counts, amounts, strict=True):
            count.value += amount
        self._begin()


class _Line(LogLine, gc=False):
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
