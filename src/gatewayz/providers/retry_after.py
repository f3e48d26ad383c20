"""When does a provider want to be asked again? Read from headers and, failing that, from its own sentence."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# No provider means to be asked again after more than a day; larger figures are timestamps or nonsense.
_LONGEST_S = 86_400.0
_EPOCH_S = 1_000_000_000
_EPOCH_MS = 1_000_000_000_000
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
# OpenAI, Groq: "Please try again in 7m34.5s"; Google: "Please retry in 34.07s"; others: "try again in 3 seconds".
_SENTENCE = re.compile(
    r"\b(?:try again|retry)(?: after| in)(?: about)? ((?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+\b|\d+(?:\.\d+)?(?= ?sec))",
    re.IGNORECASE,
)
_RESET = re.compile(r"(?:x-ratelimit|anthropic-ratelimit|ratelimitbysize)-?(?:reset-?(.*)|(.*)-reset)")


def retry_after_s(headers: Mapping[str, str], message: str = "", now_s: float | None = None) -> float | None:
    """Seconds until the provider wants to be asked again, at most a day; None if it does not say.

    `now_s` is seconds since the epoch, for values that are points in time; the reply's own Date header is preferred,
    since it comes from the same clock.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    now_s = _date_s(lowered.get("date", "")) or now_s
    millis = _number(lowered.get("retry-after-ms", ""))
    if millis is not None:
        return _bounded(millis / 1000)
    stated = _seconds(lowered.get("retry-after", ""), now_s)
    if stated is not None:
        return stated
    said = _SENTENCE.search(message)
    if said is not None:
        found = _seconds(said[1], None)
        if found is not None:
            return found
    return _from_windows(lowered, now_s)


def _from_windows(headers: Mapping[str, str], now_s: float | None) -> float | None:
    """From the rate windows: until the last exhausted one starts anew, or until the first one does if none says so."""
    exhausted: list[float] = []
    open_still: list[float] = []
    for name, value in headers.items():
        window = _RESET.fullmatch(name)
        seconds = _seconds(value, now_s) if window else None
        if seconds is None:
            continue
        left = _number(headers.get(name.replace("reset", "remaining"), ""))
        (exhausted if left == 0 else open_still).append(seconds)
    return max(exhausted) if exhausted else min(open_still, default=None)


def _seconds(value: str, now_s: float | None) -> float | None:
    value = value.strip()
    number = _number(value)
    if number is not None:
        if number < _EPOCH_S:
            return _bounded(number)
        moment_s = number / 1000 if number >= _EPOCH_MS else number
        return _bounded(moment_s - now_s) if now_s is not None else None
    if _DURATION.fullmatch(value):
        return _bounded(sum(float(amount) * _UNIT_S[unit] for amount, unit in _PART.findall(value)))
    date_s = _date_s(value)
    return _bounded(date_s - now_s) if date_s is not None and now_s is not None else None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _date_s(value: str) -> float | None:
    """Seconds since the epoch of an HTTP date or an RFC 3339 time (Anthropic's resets); None if it is neither."""
    try:
        moment = datetime.fromisoformat(value) if value[:4].isdecimal() else parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST_S)
