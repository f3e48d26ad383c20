"""Layers 2 and 3 and the named limits in one process without Redis."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.core.caller import TIERS
from gatewayz.core.errors import RateLimited, Unauthenticated
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.redis import RedisLink
from gatewayz.policy.limits import Limiter, anonymous_daily_limit, key_rpm, plan_rpm
from gatewayz.settings import Settings

ALL_SIX = {
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Reason",
    "X-RateLimit-Mode",
    "Retry-After",
}
SETTINGS = Settings()


def new_limiter(clock: ManualClock, settings: Settings = SETTINGS) -> Limiter:
    return Limiter(settings, clock, RedisLink(None, clock), salt=b"salt")


async def passes(limiter: Limiter, key_id: int, rpm: int | None, times: int) -> int:
    """How many of these requests pass."""
    passed = 0
    for _ in range(times):
        try:
            await limiter.admit_key(key_id, rpm)
        except RateLimited:
            continue
        passed += 1
    return passed


@pytest.mark.ac("AC-1.5.3")
@pytest.mark.parametrize("tier", ["free", "starter", "pro"])
async def test_a_key_gets_exactly_its_plan_per_minute(tier: str) -> None:
    clock = ManualClock()
    limiter = new_limiter(clock)
    rpm = plan_rpm(tier, SETTINGS)  # type: ignore[arg-type]
    assert await passes(limiter, 1, rpm, rpm + 50) == rpm
    assert await passes(limiter, 2, rpm, 1) == 1
    clock.advance(59.999)
    assert await passes(limiter, 1, rpm, 1) == 0
    clock.advance(0.001)
    assert await passes(limiter, 1, rpm, rpm + 1) == rpm


@pytest.mark.ac("AC-1.5.6")
async def test_the_refusal_of_a_key_carries_all_six_headers_and_a_true_promise() -> None:
    clock = ManualClock()
    limiter = new_limiter(clock)
    clock.advance(20.5)
    await passes(limiter, 1, 60, 60)
    with pytest.raises(RateLimited) as refused:
        await limiter.admit_key(1, 60)
    headers = refused.value.headers
    assert headers.keys() == ALL_SIX
    assert headers["Retry-After"] == "40"
    assert int(headers["X-RateLimit-Reset"]) == clock.now_us() // 1_000_000 + 40
    assert "60 requests per minute for this API key" in refused.value.message
    clock.advance(40)
    assert (await limiter.admit_key(1, 60)).remaining == 59


async def test_accepted_requests_carry_the_headers_in_both_forms() -> None:
    clock = ManualClock()
    state = await new_limiter(clock).admit_key(1, 60)
    reset = str(clock.now_us() // 1_000_000 + 60)
    assert state.header_pairs() == [
        (b"x-ratelimit-limit", b"60"),
        (b"x-ratelimit-remaining", b"59"),
        (b"x-ratelimit-reset", reset.encode()),
        (b"x-ratelimit-reason", b"key"),
        (b"x-ratelimit-mode", b"normal"),
    ]
    pairs = {name.lower().encode(): value.encode() for name, value in state.headers().items()}
    assert pairs == dict(state.header_pairs())
    refused = replace_state(state)
    assert refused.header_pairs()[-1] == (b"retry-after", b"7")
    assert refused.headers()["Retry-After"] == "7"


def replace_state(state):  # type: ignore[no-untyped-def]
    from msgspec.structs import replace as changed

    return changed(state, retry_after_s=7)


@pytest.mark.parametrize("rpm", [None, 0])
async def test_a_key_without_limit_has_no_headers_and_is_never_refused(rpm: int | None) -> None:
    limiter = new_limiter(ManualClock())
    assert await passes(limiter, 1, rpm, 5000) == 5000
    state = await limiter.admit_key(1, rpm)
    assert state.header_pairs() == []
    assert state.headers() == {}


@pytest.mark.ac("AC-1.5.12")
async def test_a_changed_limit_measures_the_next_request() -> None:
    limiter = new_limiter(ManualClock())
    assert await passes(limiter, 1, 60, 40) == 40
    assert await passes(limiter, 1, 50, 20) == 10
    assert await passes(limiter, 1, 30, 5) == 0
    assert await passes(limiter, 1, 60, 20) == 10


async def test_peeking_counts_nothing() -> None:
    limiter = new_limiter(ManualClock())
    await passes(limiter, 1, 60, 25)
    for _ in range(3):
        state = await limiter.peek_key(1, 60)
        assert (state.limit, state.remaining) == (60, 35)
    assert (await limiter.peek_key(99, 60)).remaining == 60
    assert (await limiter.peek_key(1, None)).limit == 0
    await passes(limiter, 1, 60, 35)
    assert (await limiter.peek_key(1, 60)).retry_after_s == 60


async def test_a_clock_set_back_a_little_does_not_open_the_minute_again() -> None:
    clock = ManualClock()
    limiter = new_limiter(clock)
    clock.advance(1)
    assert await passes(limiter, 1, 60, 60) == 60
    clock.step_wall(-2)
    assert await passes(limiter, 1, 60, 1) == 0
    clock.step_wall(-3600)
    assert await passes(limiter, 1, 60, 1) == 1


async def test_a_hundred_requests_at_once_share_one_budget() -> None:
    limiter = new_limiter(ManualClock())
    answers = await asyncio.gather(*(limiter.admit_key(1, 60) for _ in range(100)), return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == 60
    assert sum(isinstance(answer, RateLimited) for answer in answers) == 40


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([3, 5, 8]), st.integers(0, 20_000)), max_size=150))
def test_memory_is_exact(requests: list[tuple[int, int, int]]) -> None:
    """Against a model that counts admitted requests per key and minute of the clock."""

    async def run() -> None:
        clock = ManualClock()
        limiter = new_limiter(clock)
        counts: dict[tuple[int, int], int] = {}
        for key_id, rpm, pause_ms in requests:
            clock.advance(pause_ms / 1000)
            slot = (key_id, clock.now_us() // 60_000_000)
            expected = counts.get(slot, 0) < rpm
            assert await passes(limiter, key_id, rpm, 1) == int(expected)
            counts[slot] = counts.get(slot, 0) + int(expected)

    asyncio.run(run())


@pytest.mark.ac("AC-1.5.7")
async def test_the_fourth_anonymous_request_of_a_day_is_refused_with_headers() -> None:
    clock = ManualClock()
    limiter = new_limiter(clock)
    clock.advance(3600)
    for left in (2, 1, 0):
        assert (await limiter.admit_anonymous("203.0.113.7")).remaining == left
    with pytest.raises(RateLimited) as refused:
        await limiter.admit_anonymous("203.0.113.7")
    headers = refused.value.headers
    assert headers.keys() == ALL_SIX
    assert headers["X-RateLimit-Reason"] == "anonymous"
    assert headers["Retry-After"] == str(23 * 3600)
    assert "3 requests per day without an API key" in refused.value.message
    assert (await limiter.admit_anonymous("203.0.113.8")).remaining == 2
    clock.advance(23 * 3600)
    assert (await limiter.admit_anonymous("203.0.113.7")).remaining == 2


async def test_no_anonymous_requests_at_all_is_an_invitation_to_send_a_key() -> None:
    limiter = new_limiter(ManualClock(), Settings(anonymous_per_day=0))
    with pytest.raises(Unauthenticated) as refused:
        await limiter.admit_anonymous("203.0.113.7")
    assert refused.value.code == "missing_api_key"


@pytest.mark.ac("AC-1.5.4")
@given(
    st.integers(0, 10**9), st.integers(1, 10**4), st.integers(1, 10**4), st.integers(1, 10**4), st.integers(0, 10**4)
)
def test_anonymous_thresholds_are_lower_than_those_of_any_tier(
    anonymous: int, free: int, starter: int, pro: int, enterprise: int
) -> None:
    settings = Settings(
        anonymous_per_day=anonymous, rpm_free=free, rpm_starter=starter, rpm_pro=pro, rpm_enterprise=enterprise
    )
    per_day = anonymous_daily_limit(settings)
    assert per_day <= anonymous
    for tier in TIERS:
        rpm = plan_rpm(tier, settings)
        assert rpm == 0 or per_day < rpm * 24 * 60


def test_a_key_never_gets_more_than_its_plan() -> None:
    assert key_rpm("free", None, SETTINGS) == 60
    assert key_rpm("free", 30, SETTINGS) == 30
    assert key_rpm("free", 5000, SETTINGS) == 60
    assert key_rpm("enterprise", None, SETTINGS) == 0
    assert key_rpm("enterprise", 5000, SETTINGS) == 5000
    assert key_rpm("enterprise", 5000, replace(SETTINGS, rpm_enterprise=100)) == 100


async def try_named(limiter: Limiter, name: str, limit: int, window_s: float, subject: str = "203.0.113.7") -> int:
    try:
        await limiter.admit_named(name, subject, limit, window_s)
    except RateLimited as refused:
        return int(refused.headers["Retry-After"])
    return 0


async def test_the_eleventh_sign_in_within_any_quarter_of_an_hour_is_refused() -> None:
    clock = ManualClock()
    limiter = new_limiter(clock)
    assert await try_named(limiter, "sign_in", 10, 900) == 0
    clock.advance(800)
    for _ in range(9):
        assert await try_named(limiter, "sign_in", 10, 900) == 0
    assert await try_named(limiter, "sign_in", 10, 900) == 100
    clock.advance(100)
    assert await try_named(limiter, "sign_in", 10, 900) == 0
    # The nine of 100 s ago and this one still count, although a window has passed since the first.
    assert await try_named(limiter, "sign_in", 10, 900) == 800


@pytest.mark.ac("AC-1.5.14")
async def test_the_fourth_registration_within_an_hour_is_refused_with_the_headers() -> None:
    clock = ManualClock()
    limiter = new_limiter(clock)
    for left in (2, 1, 0):
        state = await limiter.admit_named("registration", "203.0.113.7", 3, 3600)
        assert (state.limit, state.remaining) == (3, left)
        clock.advance(600)
    with pytest.raises(RateLimited) as refused:
        await limiter.admit_named("registration", "203.0.113.7", 3, 3600)
    headers = refused.value.headers
    assert headers.keys() == ALL_SIX
    assert headers["Retry-After"] == "1800"
    assert headers["X-RateLimit-Reason"] == "registration"
    assert "3 registration attempts per hour" in refused.value.message
    assert await try_named(limiter, "registration", 3, 3600, "203.0.113.8") == 0
    assert await try_named(limiter, "sign_in", 10, 900) == 0
    assert limiter.refused["named"] == 1


@given(st.lists(st.integers(0, 1500), max_size=80))
def test_waiting_as_told_is_enough_and_nothing_less_is(pauses_ms: list[int]) -> None:
    """Named limits against a model that keeps every admitted attempt."""

    async def run() -> None:
        clock = ManualClock()
        limiter = new_limiter(clock)
        admitted: list[int] = []
        for pause_ms in pauses_ms:
            clock.advance(pause_ms / 1000)
            now_us = clock.now_us()
            recent = [at for at in admitted if at > now_us - 3_000_000]
            wait_s = await try_named(limiter, "sign_in", 4, 3)
            assert (wait_s == 0) == (len(recent) < 4)
            if wait_s:
                assert now_us + wait_s * 1_000_000 >= recent[-4] + 3_000_000 > now_us + (wait_s - 1) * 1_000_000
            else:
                admitted.append(now_us)

    asyncio.run(run())


async def test_velocity_mode_halves_the_limits_of_all_layers_and_gives_them_back() -> None:
    clock = ManualClock()
    limiter = new_limiter(clock)
    for _ in range(100):
        limiter.velocity.observe(502)
    state = await limiter.admit_key(1, 60)
    assert (state.limit, state.mode) == (30, "velocity")
    assert await passes(limiter, 1, 60, 60) == 29
    assert (await limiter.admit_ip("203.0.113.7", "me")).limit == 150
    assert (await limiter.admit_anonymous("203.0.113.7")).limit == 1
    with pytest.raises(RateLimited) as refused:
        await limiter.admit_anonymous("203.0.113.7")
    assert refused.value.headers["X-RateLimit-Mode"] == "velocity"
    assert "reduced" in refused.value.message
    assert (await limiter.admit_named("sign_in", "203.0.113.7", 10, 900)).limit == 10
    clock.advance(60 + 180)
    state = await limiter.admit_key(1, 60)
    assert (state.limit, state.mode) == (60, "normal")
    assert (await limiter.admit_ip("203.0.113.7", "me")).mode == "normal"


async def test_what_is_admitted_at_once_follows_limit_mode_and_window() -> None:
    clock = ManualClock()
    limiter = new_limiter(clock, replace(SETTINGS, velocity_factor=1.0))
    assert limiter.at_once(1, 60) is None  # of a new window nothing is known
    assert (await limiter.admit_key(1, 60)).remaining == 59
    state = limiter.at_once(1, 60)
    assert state is not None and (state.limit, state.remaining, state.mode) == (60, 58, "normal")
    assert limiter.at_once(1, 50) is None
    assert (await limiter.admit_key(1, 50)).header_pairs()[0] == (b"x-ratelimit-limit", b"50")
    assert limiter.at_once(1, 60) is None  # nothing was counted
    assert (await limiter.admit_key(1, 60)).remaining == 56
    for _ in range(100):
        limiter.velocity.observe(502)
    state = await limiter.admit_key(1, 60)
    assert (state.limit, state.remaining, state.mode) == (60, 55, "velocity")
    clock.advance(60)
    assert limiter.at_once(1, 60) is None
    state = await limiter.admit_key(1, 60)
    assert state.reset_at_s == clock.now_us() // 1_000_000 + 60
    assert await passes(limiter, 1, 60, 60) == 59
    assert limiter.at_once(1, 60) is None
    assert limiter.at_once(1, None) is not None


async def test_a_limit_in_force_shrinks_in_the_middle_of_a_minute() -> None:
    limiter = new_limiter(ManualClock())
    assert await passes(limiter, 1, 60, 40) == 40
    for _ in range(100):
        limiter.velocity.observe(502)
    assert await passes(limiter, 1, 60, 10) == 0
