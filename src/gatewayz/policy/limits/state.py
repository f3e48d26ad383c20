"""What a limit says: the state that every limited answer carries in its headers, and the refusal."""

from typing import Literal

import msgspec

from gatewayz.core.errors import RateLimited

Mode = Literal["normal", "velocity"]
HeaderPairs = list[tuple[bytes, bytes]]

# What the headers of all requests under one limit have in common, by that limit and the end of its window.
_Common = tuple[tuple[bytes, bytes], tuple[bytes, bytes], tuple[bytes, bytes], tuple[bytes, bytes]]
_COMMON: dict[tuple[int, int, str, Mode], _Common] = {}
_MAX_COMMON = 1024


# A struct rather than a frozen dataclass: one is made per request, and this costs a tenth.
class LimitState(msgspec.Struct, frozen=True, gc=False):
    """Where the caller stands with the limit that is nearest to refusing.

    `limit` requests per window (0: unlimited, no headers), `remaining` of them, `reset_at_s` the epoch second at which
    they return, `reason` the limit's name, `mode` whether limits are reduced, `retry_after_s` whole seconds after which
    a refused request passes (0: was not refused).
    """

    limit: int
    remaining: int
    reset_at_s: int
    reason: str
    mode: Mode
    retry_after_s: int = 0

    def header_pairs(self) -> HeaderPairs:
        """The `x-ratelimit-*` headers (and `retry-after` of a refusal) as ASGI wants them."""
        if not self.limit:
            return []
        common = _COMMON.get((self.limit, self.reset_at_s, self.reason, self.mode)) or self._common()
        limit, reset, reason, mode = common
        pairs = [limit, (b"x-ratelimit-remaining", b"%d" % self.remaining), reset, reason, mode]
        if self.retry_after_s:
            pairs.append((b"retry-after", b"%d" % self.retry_after_s))
        return pairs

    def _common(self) -> _Common:
        if len(_COMMON) >= _MAX_COMMON:
            _COMMON.clear()
        common = _COMMON[(self.limit, self.reset_at_s, self.reason, self.mode)] = (
            (b"x-ratelimit-limit", b"%d" % self.limit),
            (b"x-ratelimit-reset", b"%d" % self.reset_at_s),
            (b"x-ratelimit-reason", self.reason.encode()),
            (b"x-ratelimit-mode", self.mode.encode()),
        )
        return common

    def headers(self) -> dict[str, str]:
        """The same headers as a mapping with their usual spelling."""
        if not self.limit:
            return {}
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_at_s),
            "X-RateLimit-Reason": self.reason,
            "X-RateLimit-Mode": self.mode,
        }
        if self.retry_after_s:
            headers["Retry-After"] = str(self.retry_after_s)
        return headers


UNLIMITED = LimitState(0, 0, 0, "unlimited", "normal")


def whole_seconds(duration_us: int) -> int:
    """Seconds rounded up, at least 1: waiting this long is always enough."""
    return max(1, -(-duration_us // 1_000_000))


def refusal(state: LimitState, what: str) -> RateLimited:
    """The error that tells which limit was reached and when to come back; `what` is e.g. `60 requests per minute`."""
    seconds = state.retry_after_s
    reduced = " Limits are reduced while an unusual share of requests fails." if state.mode == "velocity" else ""
    message = f"Rate limit reached: {what}. Try again in {seconds} second{'' if seconds == 1 else 's'}.{reduced}"
    return RateLimited(message, headers=state.headers())
