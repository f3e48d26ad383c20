"""Layer 1: addresses and fingerprints without a key, in one process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core.errors import RateLimited
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.redis import RedisLink
from gatewayz.policy.limits import Limiter, header_fingerprint
from gatewayz.policy.limits.edge import EdgeCounters, network_of
from gatewayz.settings import Settings

ALL_SIX = {
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Reason",
    "X-RateLimit-Mode",
    "Retry-After",
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def limiter(clock: ManualClock) -> Limiter:
    return Limiter(Settings(), clock, RedisLink(None, clock), salt=b"salt")


async def admitted(limiter: Limiter, times: int, ip: str, fingerprint: object = "a browser") -> int:
    """How many of these requests pass."""
    passed = 0
    for _ in range(times):
        try:
            await limiter.admit_ip(ip, fingerprint)
        except RateLimited:
            continue
        passed += 1
    return passed


@pytest.mark.ac("AC-1.5.1")
async def test_the_301st_request_within_a_minute_is_refused(limiter: Limiter, clock: ManualClock) -> None:
    clock.advance(59.5)  # a minute of the clock ends in the middle
    for number in range(300):
        state = await limiter.admit_ip("203.0.113.7", "a browser")
        assert state.remaining == 299 - number
        clock.advance(0.1)
    with pytest.raises(RateLimited) as refused:
        await limiter.admit_ip("203.0.113.7", "a browser")
    assert refused.value.status == 429
    assert limiter.refused["ip"] == 1
    assert (await limiter.admit_ip("203.0.113.8", "another one")).remaining == 299


@pytest.mark.ac("AC-1.5.5")
async def test_the_refusal_carries_all_six_headers_and_a_true_promise(limiter: Limiter, clock: ManualClock) -> None:
    assert await admitted(limiter, 300, "203.0.113.7") == 300
    clock.advance(12.25)
    with pytest.raises(RateLimited) as refused:
        await limiter.admit_ip("203.0.113.7", "a browser")
    headers = refused.value.headers
    assert headers.keys() == ALL_SIX
    assert headers["X-RateLimit-Limit"] == "300"
    assert headers["X-RateLimit-Remaining"] == "0"
    assert headers["X-RateLimit-Reason"] == "ip"
    assert headers["X-RateLimit-Mode"] == "normal"
    assert headers["Retry-After"] == "48"
    assert "300 requests per minute" in refused.value.message
    assert "48 seconds" in refused.value.message
    clock.advance(48)
    assert clock.now_us() // 1_000_000 >= int(headers["X-RateLimit-Reset"])
    await limiter.admit_ip("203.0.113.7", "a browser")


async def test_refused_requests_neither_count_nor_extend_the_window(limiter: Limiter, clock: ManualClock) -> None:
    assert await admitted(limiter, 300, "203.0.113.7") == 300
    clock.advance(59)
    assert await admitted(limiter, 500, "203.0.113.7") == 0
    clock.advance(1)
    assert await admitted(limiter, 301, "203.0.113.7") == 300


async def test_one_fingerprint_from_two_addresses_is_held_to_its_own_limit(limiter: Limiter) -> None:
    bot = header_fingerprint(b"bot/1", b"", b"gzip")
    assert await admitted(limiter, 60, "198.51.100.1", bot) == 60
    assert await admitted(limiter, 60, "198.51.100.2", bot) == 40
    with pytest.raises(RateLimited) as refused:
        await limiter.admit_ip("198.51.100.3", bot)
    assert refused.value.headers["X-RateLimit-Reason"] == "fingerprint"
    assert refused.value.headers["X-RateLimit-Limit"] == "100"
    assert await admitted(limiter, 1, "198.51.100.1", bot) == 0
    # A refused visit must not use up the address: with other headers it still has its whole minute.
    assert await admitted(limiter, 301, "198.51.100.3", header_fingerprint(b"bot/2", b"", b"gzip")) == 300


async def test_one_address_alone_is_not_held_to_the_fingerprint_limit(limiter: Limiter) -> None:
    assert await admitted(limiter, 301, "198.51.100.1") == 300


async def test_a_refused_second_address_does_not_mark_the_fingerprint_as_shared(limiter: Limiter) -> None:
    assert await admitted(limiter, 150, "198.51.100.1") == 150
    assert await admitted(limiter, 5, "198.51.100.2") == 0
    assert await admitted(limiter, 151, "198.51.100.1") == 150


async def test_the_longer_of_two_waits_is_told(limiter: Limiter, clock: ManualClock) -> None:
    assert await admitted(limiter, 100, "198.51.100.1", "bot") == 100
    clock.advance(30)
    assert await admitted(limiter, 300, "198.51.100.2", "other") == 300
    with pytest.raises(RateLimited) as refused:
        await limiter.admit_ip("198.51.100.2", "bot")
    assert refused.value.headers["X-RateLimit-Reason"] == "ip"
    assert refused.value.headers["Retry-After"] == "60"


def test_memory_is_bounded_however_many_addresses_come() -> None:
    counters = EdgeCounters(max_per_generation=1000)
    now_us = ManualClock().now_us()
    for number in range(20_000):
        counters.admit(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", number, 300, 100, now_us, "normal")
    assert len(counters) <= 2 * 2 * 1000


def test_an_address_that_keeps_coming_is_remembered_through_a_flood_of_others() -> None:
    counters = EdgeCounters(max_per_generation=100)
    now_us = ManualClock().now_us()
    for number in range(299):
        counters.admit("203.0.113.7", "me", 300, 100, now_us, "normal")
        for other in range(50):
            counters.admit(f"10.0.{number & 255}.{other}", (number, other), 300, 100, now_us, "normal")
    assert counters.admit("203.0.113.7", "me", 300, 100, now_us, "normal").remaining == 0


def test_a_wall_clock_set_back_opens_a_new_window_rather_than_locking_the_address_out() -> None:
    counters, clock = EdgeCounters(), ManualClock()
    for _ in range(300):
        counters.admit("203.0.113.7", "me", 300, 100, clock.now_us(), "normal")
    clock.step_wall(-3600)
    assert counters.admit("203.0.113.7", "me", 300, 100, clock.now_us(), "normal").remaining == 299


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("not an address:", "not an address:"),
    ],
)
def test_an_ipv6_address_stands_for_its_network(ip: str, network: str) -> None:
    assert network_of(ip) == network


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"]), st.integers(0, 9_000_000)),
        max_size=120,
    )
)
def test_counts_are_those_of_a_naive_model(visits: list[tuple[str, str, int]]) -> None:
    """The model keeps every admitted visit and counts anew each time."""
    counters, now_us = EdgeCounters(), ManualClock().now_us()
    starts: dict[str, int] = {}
    by_ip: dict[str, int] = {}
    seen_from: dict[str, str] = {}
    shared: set[str] = set()
    for ip, fingerprint, pause_us in visits:
        now_us += pause_us
        for subject in (ip, fingerprint):
            if subject not in starts or now_us - starts[subject] >= 60_000_000:
                starts[subject], by_ip[subject] = now_us, 0
                seen_from.pop(subject, None)
                shared.discard(subject)
        seen_from.setdefault(fingerprint, ip)
        is_shared = fingerprint in shared or seen_from[fingerprint] != ip
        expected = by_ip[ip] < 7 and not (is_shared and by_ip[fingerprint] >= 4)
        try:
            counters.admit(ip, fingerprint, 7, 4, now_us, "normal")
        except RateLimited:
            assert not expected
            continue
        assert expected
        by_ip[ip] += 1
        by_ip[fingerprint] += 1
        if is_shared:
            shared.add(fingerprint)
