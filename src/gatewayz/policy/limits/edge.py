"""Layer 1: requests without a valid key, counted per IP address and per header fingerprint in this process alone.

A window of one minute starts with an address's first request. Counters live in two generations of plain dictionaries:
turning a generation forgets everything older without looking at it, so a flood of addresses costs bounded memory.
"""

import ipaddress
from collections.abc import Hashable, Mapping
from functools import lru_cache

from gatewayz.core.errors import RateLimited
from gatewayz.policy.limits.state import LimitState, Mode, refusal, state_of, whole_seconds

WINDOW_US = 60_000_000
MAX_PER_GENERATION = 100_000


class EdgeCounters:
    """Counts of one process. `max_per_generation` bounds the addresses and fingerprints remembered (twice that)."""

    def __init__(self, max_per_generation: int = MAX_PER_GENERATION) -> None:
        self._ips = _Generations(max_per_generation)
        self._fingerprints = _Generations(max_per_generation)

    def admit(
        self, ip: str, fingerprint: Hashable, ip_limit: int, fingerprint_limit: int, now_us: int, mode: Mode
    ) -> LimitState:
        """Counts one request and returns the tighter of both limits; a refused request is not counted.

        Raises RateLimited if the address has used its minute, or if the fingerprint was seen from a second address and
        all of them together have used theirs.
        """
        source = network_of(ip) if ":" in ip else ip
        by_ip = self._ips.window_of(source, now_us)
        by_fingerprint = self._fingerprints.window_of(fingerprint, now_us)
        if by_fingerprint.source is None:
            by_fingerprint.source = source
        shared = by_fingerprint.shared or by_fingerprint.source != source
        ip_left = ip_limit - by_ip.requests
        fingerprint_left = fingerprint_limit - by_fingerprint.requests
        if ip_left <= 0 or (shared and fingerprint_left <= 0):
            raise _refused(by_ip, by_fingerprint if shared else None, ip_limit, fingerprint_limit, now_us, mode)
        by_fingerprint.shared = shared
        by_ip.requests += 1
        by_fingerprint.requests += 1
        if shared and fingerprint_left < ip_left:
            reset_at_s = -(-(by_fingerprint.started_us + WINDOW_US) // 1_000_000)
            return state_of(fingerprint_limit, fingerprint_left - 1, reset_at_s, "fingerprint", mode)
        return state_of(ip_limit, ip_left - 1, -(-(by_ip.started_us + WINDOW_US) // 1_000_000), "ip", mode)

    def __len__(self) -> int:
        return len(self._ips) + len(self._fingerprints)


class _Window:
    """One minute of an address or a fingerprint. `source` is the first address that showed the fingerprint."""

    __slots__ = ("requests", "shared", "source", "started_us")

    def __init__(self, started_us: int) -> None:
        self.started_us = started_us
        self.requests = 0
        self.source: str | None = None
        self.shared = False


class _Generations:
    """Windows by subject: a young and an old dictionary, exchanged every minute or when the young one is full."""

    __slots__ = ("_max", "_old", "_turn_at_us", "_young")

    def __init__(self, maximum: int) -> None:
        self._max = maximum
        self._young: dict[Hashable, _Window] = {}
        self._old: dict[Hashable, _Window] = {}
        self._turn_at_us = 0

    def window_of(self, subject: Hashable, now_us: int) -> _Window:
        """The subject's window; a new one if it has none, its minute is over or the wall clock went back."""
        if now_us >= self._turn_at_us or len(self._young) >= self._max or self._turn_at_us > now_us + WINDOW_US:
            self._young, self._old = {}, self._young
            self._turn_at_us = now_us + WINDOW_US
        window = self._young.get(subject)
        if window is not None and 0 <= now_us - window.started_us < WINDOW_US:
            return window
        window = self._old.get(subject) if window is None else None
        if window is None or not 0 <= now_us - window.started_us < WINDOW_US:
            window = _Window(now_us)
        self._young[subject] = window
        return window

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


@lru_cache(maxsize=4096)
def network_of(ip: str) -> str:
    """The /64 network of an IPv6 address, since one customer holds at least that; other texts unchanged."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 4:
        return ip
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def header_fingerprint(user_agent: bytes, accept_language: bytes, accept_encoding: bytes) -> int:
    """A number that is equal for equal headers, in this process only; it keeps long headers out of memory."""
    return hash((user_agent, accept_language, accept_encoding))


def fingerprint_of(headers: Mapping[bytes, bytes]) -> int:
    """The `header_fingerprint` of a request's headers (by lower-case name)."""
    said = headers.get
    return header_fingerprint(said(b"user-agent", b""), said(b"accept-language", b""), said(b"accept-encoding", b""))


def _refused(
    by_ip: _Window, shared: _Window | None, ip_limit: int, fingerprint_limit: int, now_us: int, mode: Mode
) -> RateLimited:
    """The refusal by whichever exhausted limit lasts longer, so that its Retry-After is true."""
    candidates: list[tuple[int, int, str, str]] = []
    if by_ip.requests >= ip_limit:
        what = f"{ip_limit} requests per minute from one IP address without a valid API key"
        candidates.append((by_ip.started_us + WINDOW_US, ip_limit, "ip", what))
    if shared is not None and shared.requests >= fingerprint_limit:
        what = f"{fingerprint_limit} requests per minute from clients that look alike, without a valid API key"
        candidates.append((shared.started_us + WINDOW_US, fingerprint_limit, "fingerprint", what))
    ends_us, limit, reason, what = max(candidates)
    state = state_of(limit, 0, -(-ends_us // 1_000_000), reason, mode, whole_seconds(ends_us - now_us))
    return refusal(state, what)
