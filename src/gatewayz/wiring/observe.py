"""What is counted when a request ends, and when a breaker moves."""

from collections import Counter

import structlog

from gatewayz.core.money import usd_number
from gatewayz.core.usage import Usage
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
        self._velocity = limiter.velocity
        self._now = clock.monotonic_s
        self._kinds: dict[tuple[str | None, str, int], _Kind] = {}
        self._attempts: list[str] = []  # `provider:outcome` of each since the last flush
        metrics.tally.before_flush(self)

    def finished(self, trip: Trip, status: int, error_code: str | None) -> None:
        """Counts a request that has ended."""
        call, usage, served = trip.call, trip.usage, trip.served_by
        took_s = self._now() - call.received_s
        self._velocity.observe(status, took_s if status == CLIENT_CLOSED else None)
        provider = served.provider.slug if served is not None else "none"
        kind = self._kinds.get((trip.model_id, provider, status)) or self._kind(trip.model_id, provider, status)
        kind.took(took_s)
        if trip.first_token_s is not None:
            kind.answered((trip.first_token_s - call.received_s, trip.cost, usage))
        self._attempts += trip.attempts
        if error_code is not None or trip.unknown_events or trip.sticking is not None:
            self._seldom(trip, provider, status, error_code)
        if self._requests.enabled:
            caller, glance = trip.caller, trip.glance
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
                round(took_s * 100_000) / 100,  # to hundredths; `round(…, 2)` takes five times as long
            )
            self._requests.write(trip.started_at_us, line)

    def flush(self) -> None:
        """Hands over how attempts have ended since the last flush."""
        attempts, self._attempts = self._attempts, []
        for attempt, times in Counter(attempts).items():
            slug, _, outcome = attempt.rpartition(":")
            self._metrics.tally.count(self._metrics.attempts, slug, outcome).value += times

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


class _Kind:
    """What requests of one model, provider and status have been since the last flush.

    Call `took` with the seconds of each, and `answered` with the seconds until the first token, the cost in nano-USD and the
    usage of each that was answered.
    """

    __slots__ = ("_answers", "_counts", "_durations_s", "_first_token", "_took", "answered", "took")

    def __init__(self, metrics: Metrics, model: str, provider: str, status: int) -> None:
        tally = metrics.tally
        self._took = tally.bins(metrics.inference_duration, provider)
        self._first_token = tally.bins(metrics.first_token, provider)
        self._counts: tuple[Count, ...] = (
            tally.count(metrics.inference, model, provider, str(status)),
            tally.count(metrics.cost, provider),
            tally.count(metrics.credits),
            tally.count(metrics.tokens, provider, "prompt"),
            tally.count(metrics.tokens, provider, "completion"),
            tally.count(metrics.prompt_tokens, model, provider),
            tally.count(metrics.cached_prompt_tokens, model, provider),
        )
        self._durations_s: list[float] = []
        self._answers: list[tuple[float, int, Usage]] = []
        self.took = self._durations_s.append
        self.answered = self._answers.append

    def flush(self) -> None:
        """Hands over what was noted; some of the counts are shared with other kinds."""
        requests = len(self._durations_s)
        if not requests:
            return
        self._took.extend(self._durations_s)
        self._durations_s.clear()
        cost = prompt = completion = reported = cached = 0
        for first_token_s, cost_nano_usd, usage in self._answers:
            self._first_token.add(first_token_s)
            cost += cost_nano_usd
            prompt += usage.prompt_tokens
            completion += usage.completion_tokens
            if not usage.estimated:  # a guess about the prompt says nothing about a cache
                reported += usage.prompt_tokens
                cached += usage.cached_tokens
        self._answers.clear()
        cost_usd = usd_number(cost)
        amounts = (requests, cost_usd, cost_usd, prompt, completion, reported, cached)
        for count, amount in zip(self._counts, amounts, strict=True):
            count.value += amount


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
