"""What kind of trouble is this? One classifier over all that providers are known to say (see `failure_rules.py`)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gatewayz.core.stream import StreamError
from gatewayz.dialects import error_text
from gatewayz.infra.http_client import TransportError, TransportTimeout
from gatewayz.providers.failure_rules import RULES, FailureKind, by_status, word
from gatewayz.providers.retry_after import retry_after_s
from gatewayz.providers.safe_text import client_text, param_of

__all__ = ["Failure", "FailureKind", "classify"]

# What these kinds say concerns the caller's own request; all else is none of a client's business.
_FOR_THE_CALLER = frozenset({FailureKind.CALLER, FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_POLICY})
_MAY_NAME_A_TIME = frozenset({FailureKind.BUSY, FailureKind.OVERLOADED})
_RELAYED = "Provider returned error: "  # OpenRouter, before the words of the provider behind it
_OF_MODEL = "The model returned the following errors: "  # Bedrock, before the words of the model's maker
_AWS_NAME = "x-amzn-errortype"  # the name of an exception, with an address behind a colon
_GROQ_TOO_LARGE = (
    "The request is larger than the provider of this model accepts. Shorten it or lower the maximum of tokens."
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt.

    `status` is the provider's (None: there was none), `retry_after_s` when it wants to be asked again. `reason` is for
    logs: why it was classified so; never the provider's sentences, which may hold secrets or the prompt. `safe_message`
    may be shown to the client (None: nothing in the provider's words was fit for that); `param` is the request field at
    fault, in the provider's naming.
    """

    kind: FailureKind
    status: int | None = None
    retry_after_s: float | None = None
    reason: str = ""
    param: str | None = None
    safe_message: str | None = None


def classify(
    status: int | None,
    error: StreamError | None,
    headers: Mapping[str, str],
    exception: TransportError | None,
    *,
    now_s: float | None = None,
    started: bool = False,
) -> Failure:
    """The failure behind an error status, an error inside an answer, or an exception of the transport.

    `status` is that of the reply (None or below 300: the error's own status counts). `now_s` (seconds since the epoch)
    serves for points in time in headers when the reply carries no Date. `started`: content was seen before, so whatever
    happened, the answer broke off.
    """
    failure = _of_transport(exception) if exception is not None else _of_reply(status, error, headers, now_s)
    return replace(failure, kind=FailureKind.MID_STREAM, retry_after_s=None) if started else failure


def _of_transport(exception: TransportError) -> Failure:
    kind = FailureKind.TIMEOUT if isinstance(exception, TransportTimeout) else FailureKind.CONNECTION
    return Failure(kind, reason=f"{type(exception).__name__}: {exception}"[:200])


def _of_reply(
    status: int | None, error: StreamError | None, headers: Mapping[str, str], now_s: float | None
) -> Failure:
    told = _unwrapped(error) if error is not None else StreamError("")
    known = status if status is not None and status >= 300 else told.status
    named = headers.get(_AWS_NAME, "").partition(":")[0]
    words = frozenset(word(text) for text in (told.code, told.kind, named) if text)
    rule = next((rule for rule in RULES if rule.fits(known, words, told.message)), None)
    kind, reason = (rule.kind, rule.reason) if rule is not None else by_status(known)
    param = safe_message = None
    if kind in _FOR_THE_CALLER:
        param = param_of(told.message, told.param)
        safe_message = client_text(told.message)
        if kind is FailureKind.CALLER and "rate_limit_exceeded" in words:
            safe_message = _GROQ_TOO_LARGE
    wait_s = retry_after_s(headers, told.message, now_s) if kind in _MAY_NAME_A_TIME else None
    return Failure(kind, known, wait_s, _for_logs(reason, known, words), param, safe_message)


def _for_logs(reason: str, status: int | None, words: frozenset[str]) -> str:
    """Codes only: a message may quote the prompt or part of a key."""
    parts = [f"status {status}" if status is not None else "", *sorted(text[:60] for text in words)]
    told = ", ".join(part for part in parts if part)
    return f"{reason} [{told}]" if told else reason


def _unwrapped(error: StreamError) -> StreamError:
    """The words of the provider behind a relaying one, as far as they are there."""
    if error.message.startswith(_OF_MODEL):
        return replace(error, message=error.message.removeprefix(_OF_MODEL))
    if not error.message.startswith(_RELAYED):
        return error
    raw = error.message.removeprefix(_RELAYED)
    if not raw.startswith("{"):
        return replace(error, message=raw)
    inner = error_text.read_error(raw.encode())
    return replace(
        inner, kind=inner.kind or error.kind, code=inner.code or error.code, status=error.status or inner.status
    )
