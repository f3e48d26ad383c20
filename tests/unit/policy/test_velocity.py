"""Velocity mode: when it begins, when it ends, and what counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.infra.clock import ManualClock
from gatewayz.infra.redis import RedisLink
from gatewayz.policy.limits.velocity import Velocity, VelocityMeter
from gatewayz.settings import Settings

START_S = 1_767_225_600


def new_velocity(clock: ManualClock, settings: Settings | None = None) -> Velocity:
    return Velocity(settings or Settings(), clock, RedisLink(None, clock), "p1")


@pytest.mark.ac("AC-1.5.9")
def test_above_a_quarter_of_errors_it_turns_on_and_shows_why_and_until_when() -> None:
    clock = ManualClock()
    velocity = new_velocity(clock)
    for _ in range(75):
        velocity.observe(200)
    for _ in range(25):
        velocity.observe(503)
    assert not velocity.status().active  # exactly a quarter is not above it
    velocity.observe(500)
    status = velocity.status()
    assert velocity.active
    assert status.active
    assert (status.requests, status.failures) == (101, 26)
    assert status.failure_rate == pytest.approx(26 / 101)
    assert status.until_us == clock.now_us() + 180_000_000
    assert velocity.entered == 1
    assert (velocity.reduced(300), velocity.reduced(3), velocity.reduced(1), velocity.reduced(0)) == (150, 1, 1, 0)


@pytest.mark.ac("AC-1.5.10")
def test_after_three_minutes_below_the_threshold_it_turns_off() -> None:
    clock = ManualClock()
    velocity = new_velocity(clock)
    for _ in range(100):
        velocity.observe(503)
    for _ in range(400):
        velocity.observe(200)
    assert velocity.active
    until_us = velocity.status().until_us
    for _ in range(179):
        clock.advance(1)
        velocity.observe(200)
        assert velocity.active
    clock.advance(1)
    velocity.observe(200)
    assert not velocity.active
    assert clock.now_us() == until_us
    assert velocity.left == 1
    assert velocity.status().until_us is None


def test_errors_in_between_start_the_three_minutes_again() -> None:
    clock = ManualClock()
    velocity = new_velocity(clock)
    for _ in range(100):
        velocity.observe(503)
    clock.advance(200)
    assert velocity.status().active  # the failures were in the window for its first 60 s
    for _ in range(100):
        velocity.observe(503)
    clock.advance(179)
    assert velocity.status().active
    clock.advance(61)
    assert not velocity.status().active


def test_fewer_requests_than_the_sample_never_turn_it_on() -> None:
    velocity = new_velocity(ManualClock())
    for _ in range(99):
        velocity.observe(503)
    assert not velocity.active
    velocity.observe(200)
    assert velocity.active


@pytest.mark.parametrize(
    ("status", "aborted_after_s", "fails"),
    [
        (200, None, False),
        (400, None, False),
        (402, None, False),
        (429, None, False),
        (499, 5.0, False),
        (499, 5.001, True),
        (200, 6.0, True),
        (500, None, True),
        (504, None, True),
    ],
)
def test_what_counts_as_failure(status: int, aborted_after_s: float | None, fails: bool) -> None:
    velocity = new_velocity(ManualClock())
    velocity.observe(status, aborted_after_s)
    assert velocity.status().failures == int(fails)


def test_it_ends_by_time_alone_and_old_requests_leave_the_window() -> None:
    clock = ManualClock()
    velocity = new_velocity(clock)
    for _ in range(100):
        velocity.observe(503)
    clock.advance(60)
    status = velocity.status()
    assert (status.requests, status.failures, status.failure_rate) == (0, 0, 0.0)
    assert status.active
    clock.advance(100_000)
    assert not velocity.status().active


def test_all_thresholds_come_from_the_settings() -> None:
    settings = Settings(
        velocity_threshold=0.5,
        velocity_window_s=10,
        velocity_cooldown_s=20,
        velocity_factor=0.1,
        velocity_min_requests=4,
    )
    clock = ManualClock()
    velocity = new_velocity(clock, settings)
    for status in (500, 500, 200, 200):
        velocity.observe(status)
    assert not velocity.active
    velocity.observe(500)
    assert velocity.active
    assert velocity.reduced(300) == 30
    clock.advance(10)
    assert velocity.status().requests == 0
    clock.advance(19)
    assert not velocity.status().active


class Model:
    """Keeps every request and looks at each second anew."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool]] = []
        self.looked_s = START_S
        self.last_above_s: int | None = None
        self.active = False

    def above(self, second: int) -> bool:
        window = [failed for at, failed in self.seen if second - 10 < at <= second]
        return len(window) >= 5 and sum(window) / len(window) > 0.4

    def look(self, second: int) -> bool:
        for each in range(self.looked_s, second + 1):
            if self.above(each):
                self.active, self.last_above_s = True, each
            elif self.last_above_s is not None and each >= self.last_above_s + 15:
                self.active = False
        self.looked_s = second
        return self.active


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=120))
def test_the_meter_agrees_with_a_naive_model(requests: list[tuple[int, bool]]) -> None:
    meter = VelocityMeter(threshold=0.4, window_s=10, cooldown_s=15, min_requests=5)
    model, second = Model(), START_S
    for pause_s, failed in requests:
        # Mostly close together, sometimes far apart.
        second += 0 if pause_s < 15 else pause_s - 14
        model.look(second)
        model.seen.append((second, failed))
        meter.observe(second, failed)
        assert meter.active == model.look(second)
        window = [item for item in model.seen if second - 10 < item[0] <= second]
        assert (meter.requests, meter.failures) == (len(window), sum(failed for _, failed in window))
    for later in (1, 5, 9, 14, 15, 26, 60):
        meter.advance(second + later)
        assert meter.active == model.look(second + later)


def test_a_clock_set_far_back_forgets_rather_than_counting_for_ever() -> None:
    clock = ManualClock()
    velocity = new_velocity(clock)
    for _ in range(100):
        velocity.observe(503)
    clock.step_wall(-86_400)
    assert velocity.status().requests == 0
    clock.advance(180)
    assert not velocity.status().active
