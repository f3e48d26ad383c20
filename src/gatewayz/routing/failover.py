"""What to do about a failed attempt: one small table. What a failure *is*, is known in `providers/failures.py`.

| failure | next step | breaker | the client sees, if it was the last |
|---|---|---|---|
| the caller's own fault | stop | neutral | 400/413 |
| our credentials, unknown there | next provider | failure | 503 |
| our credit there | next provider | neutral | 503 |
| model gone there | next provider | neutral | 404, or 503 if others have it |
| silent too long | next provider | failure | 504 |
| rate limited there | same provider, backoff | neutral | 429 |
| fault, broken, empty | next provider | failure | 502 / 503 |
| broken after first content | stop | failure | error event, everything refunded |
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from gatewayz.core.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    ProviderTrouble,
    RateLimited,
    TimedOut,
    TooLarge,
    Unavailable,
)
from gatewayz.providers.failures import Failure, FailureKind


class Step(Enum):
    """What follows an attempt."""

    STOP = "stop"
    NEXT = "next"
    RETRY = "retry"


Verdict = Literal["success", "failure", "neutral"]


@dataclass(frozen=True, slots=True)
class Rule:
    """The row of the table for one kind of failure."""

    step: Step
    breaker: Verdict


RULES: dict[FailureKind, Rule] = {
    FailureKind.CALLER: Rule(Step.STOP, "neutral"),
    FailureKind.CONTEXT_LENGTH: Rule(Step.STOP, "neutral"),
    FailureKind.CONTENT_POLICY: Rule(Step.STOP, "neutral"),
    FailureKind.CREDENTIALS: Rule(Step.NEXT, "failure"),
    FailureKind.CREDIT: Rule(Step.NEXT, "neutral"),
    FailureKind.MODEL_GONE: Rule(Step.NEXT, "neutral"),
    FailureKind.TIMEOUT: Rule(Step.NEXT, "failure"),
    FailureKind.BUSY: Rule(Step.RETRY, "neutral"),
    FailureKind.FAULT: Rule(Step.NEXT, "failure"),
    FailureKind.OVERLOADED: Rule(Step.NEXT, "failure"),
    FailureKind.CONNECTION: Rule(Step.NEXT, "failure"),
    FailureKind.EMPTY: Rule(Step.NEXT, "failure"),
    FailureKind.MALFORMED: Rule(Step.NEXT, "failure"),
    FailureKind.MID_STREAM: Rule(Step.STOP, "failure"),
}


def another_model_may_help(kind: FailureKind) -> bool:
    """Whether a model that the caller named to stand in is tried after a failure of this kind."""
    return kind is not FailureKind.CALLER


_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 20.0


def backoff_s(retry: int, retry_after_s: float | None, luck: float) -> float:
    """Seconds to wait before try `retry` (0 is the first repetition); `luck` is uniform in 0..1.

    The provider's own word is honoured with up to 10 % more, so that waiting callers do not return all at once; without
    one the pause doubles, with full jitter over its upper half.
    """
    if retry_after_s is not None:
        return retry_after_s * (1 + 0.1 * luck)
    pause: float = min(_FIRST_PAUSE_S * 2**retry, _LONGEST_PAUSE_S)
    return pause * (0.5 + 0.5 * luck)


def final_error(failure: Failure, asked_for: str, others: bool, alternatives: tuple[str, ...] = ()) -> GatewayError:
    """What the client is told when nothing else can be tried.

    `asked_for` is the model as the caller named it, `others` whether further providers had been tried, `alternatives` are
    models to suggest. Providers are never named.
    """
    match failure.kind:
        case FailureKind.CALLER:
            if failure.status == 413:
                return TooLarge(failure.safe_message or "The request is too large for this model.")
            message = failure.safe_message or "The provider refused the request as invalid. Check its parameters."
            return InvalidRequest(message, param=failure.param)
        case FailureKind.CONTEXT_LENGTH:
            return InvalidRequest(
                failure.safe_message or f"The conversation is longer than the context of {asked_for}. Shorten it.",
                code="context_length_exceeded",
                param="messages",
            )
        case FailureKind.CONTENT_POLICY:
            message = failure.safe_message or "The provider refused this content under its usage policy."
            return InvalidRequest(message, code="content_policy_violation", param=failure.param or "messages")
        case FailureKind.MODEL_GONE if not others:
            return NotFound(
                f"The model {asked_for} is not available at present.",
                code="model_not_found",
                param="model",
                suggestions=alternatives,
            )
        case FailureKind.BUSY:
            wait_s = max(1, round(failure.retry_after_s or 5))
            return RateLimited(
                f"{asked_for} is rate limited upstream. Try again in {wait_s} s.",
                code="provider_rate_limited",
                headers={"Retry-After": str(wait_s)},
                suggestions=alternatives,
            )
        case FailureKind.TIMEOUT:
            return TimedOut(f"{asked_for} did not answer in time. Try again.", suggestions=alternatives)
        case FailureKind.CREDENTIALS | FailureKind.CREDIT | FailureKind.MODEL_GONE:
            return Unavailable(
                f"No provider can serve {asked_for} at the moment. Try again later or choose another model.",
                suggestions=alternatives,
            )
        case FailureKind.OVERLOADED:
            return Unavailable(
                f"{asked_for} is overloaded at the moment. Try again shortly.",
                code="provider_overloaded",
                suggestions=alternatives,
                headers={"Retry-After": "5"},
            )
        case _:
            return ProviderTrouble(
                f"{asked_for} could not be reached or gave no usable answer. Nothing was charged; try again.",
                suggestions=alternatives,
            )
