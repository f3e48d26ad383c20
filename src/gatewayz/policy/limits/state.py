"""What a limit says: the state that every limited answer carries in its headers, and the refusal."""

from functools import lru_cache
from typing import Literal

import msgspec

from gatewayz.core.errors import RateLimited

Mode = Literal["normal", "velocity"]
HeaderPairs = list[tuple[bytes, bytes]]

_Pairs = tuple[tuple[bytes, bytes], tuple[bytes, bytes], tuple[bytes, bytes], tuple[bytes, bytes]]


# Structs rather than frozen dataclasses: a state is made per request, and this costs a tenth.
class Terms(msgspec.Struct, frozen=True, gc=False):
    """A limit in one window: `limit` requests, which return at the epoch second `reset_at_s`.

    `reason` is the limit's name, `mode` whether limits are reduced, `pairs` what the headers of all requests under it have in
    common. Make one with `terms_of`.
    """

    limit: int
    reset_at_s: int
    reason: str
    mode: Mode
    pairs: _Pairs


class LimitState(msgspec.Struct, frozen=True, gc=False):
    """Where the caller stands with the limit that is nearest to refusing.

    `terms` are the limit's (limit 0: unlimited, no headers), `remaining` requests of it are left, `retry_after_s` whole
    seconds after which a refused request passes (0: was not refused).
    """

    terms: Terms
    remaining: int
    retry_after_s: int = 0

    @property
    def limit(self) -> int:
        """Requests per window; 0: unlimited."""
        return self.terms.limit

    @property
    def reset_at_s(self) -> int:
        """The epoch second at which they return."""
        return self.terms.reset_at_s

    @property
    def reason(self) -> str:
        """The limit's name."""
        return self.terms.reason

    @property
    def mode(self) -> Mode:
        """Whether limits are reduced."""
        return self.terms.mode

    def header_pairs(self) -> HeaderPairs:
        """The `x-ratelimit-*` headers (and `retry-after` of a refusal) as ASGI wants them."""
        terms = self.terms
        if not terms.limit:
            return []
        limit, reset, reason, mode = terms.pairs
        pairs = [limit, (b"x-ratelimit-remaining", b"%d" % self.remaining), reset, reason, mode]
        if self.retry_after_s:
            pairs.append((b"retry-after", b"%d" % self.retry_after_s))
        return pairs

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


@lru_cache(maxsize=1024)
def terms_of(limit: int, reset_at_s: int, reason: str, mode: Mode) -> Terms:
    """The terms of a limit in the window that ends at `reset_at_s`."""
    pairs = (
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-reset", b"%d" % reset_at_s),
        (b"x-ratelimit-reason", reason.encode()),
        (b"x-ratelimit-mode", mode.encode()),
    )
    return Terms(limit, reset_at_s, reason, mode, pairs)


def state_of(
    limit: int, remaining: int, reset_at_s: int, reason: str, mode: Mode, retry_after_s: int = 0
) -> LimitState:
    """Where a caller stands with a limit; see `LimitState`."""
    return LimitState(terms_of(limit, reset_at_s, reason, mode), remaining, retry_after_s)


UNLIMITED = state_of(0, 0, 0, "unlimited", "normal")


def whole_seconds(duration_us: int) -> int:
    """Seconds rounded up, at least 1: waiting this long is always enough."""
    return max(1, -(-duration_us // 1_000_000))


def refusal(state: LimitState, what: str) -> RateLimited:
    """The error that tells which limit was reached and when to come back; `what` is e.g. `60 requests per minute`."""
    seconds = state.retry_after_s
    reduced = " Limits are reduced while an unusual share of requests fails." if state.mode == "velocity" else ""
    message = f"Rate limit reached: {what}. Try again in {seconds} second{'' if seconds == 1 else 's'}.{reduced}"
    return RateLimited(message, headers=state.headers())
