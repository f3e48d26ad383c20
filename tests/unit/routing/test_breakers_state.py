"""The breaker as a value: its rules, against a naive model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.infra.clock import ManualClock
from gatewayz.routing.breaker_state import (
    CLOSED,
    Breaker,
    BreakerConfig,
    BreakerState,
    Event,
    after,
    at,
    moved,
    stricter,
)
from gatewayz.settings import Settings

CONFIG = BreakerConfig()
T0 = ManualClock().now_us()
S = 1_000_000


def opened(at_us: int = T0) -> Breaker:
    return Breaker(BreakerState.OPEN, 5, 0, at_us)


def test_the_defaults_are_those_of_the_settings() -> None:
    assert BreakerConfig.from_settings(Settings()) == CONFIG == BreakerConfig(5, 60.0, 3, 1)
    chosen = Settings(breaker_failures=2, breaker_cooldown_s=7, breaker_successes=4, breaker_half_open_concurrency=6)
    assert BreakerConfig.from_settings(chosen) == BreakerConfig(2, 7, 4, 6)


@pytest.mark.ac("AC-2.5.2")
def test_five_failures_in_a_row_open_it_and_a_success_starts_the_row_again() -> None:
    breaker = CLOSED
    for verdict in ("failure", "failure", "failure", "failure", "success"):
        breaker = after(breaker, CONFIG, verdict, 0, T0)  # type: ignore[arg-type]
    assert breaker == CLOSED
    for number in range(1, 5):
        breaker = after(breaker, CONFIG, "failure", 0, T0)
        assert breaker == Breaker(BreakerState.CLOSED, number)
    assert after(breaker, CONFIG, "failure", 0, T0) == opened()


@pytest.mark.ac("AC-2.5.4")
def test_after_the_cool_down_it_is_half_open_by_time_alone() -> None:
    assert at(opened(), CONFIG, T0 + 60 * S - 1) == opened()
    assert at(opened(), CONFIG, T0 + 60 * S).state is BreakerState.HALF_OPEN


@pytest.mark.ac("AC-2.5.5")
def test_three_successes_in_a_row_close_it() -> None:
    now_us = T0 + 60 * S
    breaker = after(opened(), CONFIG, "success", T0, now_us)
    assert (breaker.state, breaker.success_count) == (BreakerState.HALF_OPEN, 1)
    breaker = after(breaker, CONFIG, "success", T0, now_us)
    assert (breaker.state, breaker.success_count) == (BreakerState.HALF_OPEN, 2)
    assert after(breaker, CONFIG, "success", T0, now_us) == CLOSED


@pytest.mark.ac("AC-2.5.6")
def test_one_failure_while_half_open_opens_it_again_and_restarts_the_cool_down() -> None:
    now_us = T0 + 75 * S
    breaker = after(opened(), CONFIG, "success", T0, now_us)
    breaker = after(breaker, CONFIG, "failure", T0, now_us)
    assert (breaker.state, breaker.opened_at_us, breaker.success_count) == (BreakerState.OPEN, now_us, 0)
    assert at(breaker, CONFIG, now_us + 60 * S - 1).state is BreakerState.OPEN
    assert at(breaker, CONFIG, now_us + 60 * S).state is BreakerState.HALF_OPEN


@pytest.mark.parametrize("verdict", ["success", "failure"])
def test_verdicts_of_an_earlier_condition_change_nothing(verdict: str) -> None:
    half_open = at(opened(), CONFIG, T0 + 60 * S)
    for breaker in (opened(), half_open):
        now_us = T0 + 30 * S if breaker is not half_open else T0 + 61 * S
        assert after(breaker, CONFIG, verdict, 0, now_us) == breaker  # type: ignore[arg-type]
        assert after(breaker, CONFIG, verdict, T0 - 1, now_us) == breaker  # type: ignore[arg-type]
    assert after(CLOSED, CONFIG, verdict, T0, T0) == CLOSED  # type: ignore[arg-type]


def test_a_clock_set_back_does_not_hold_a_provider_for_ever() -> None:
    assert at(opened(), CONFIG, T0 - 59 * S).state is BreakerState.OPEN
    assert at(opened(), CONFIG, T0 - 3600 * S).state is BreakerState.HALF_OPEN


@pytest.mark.ac("AC-2.5.10")
def test_each_move_between_states_is_reported_once_and_in_order() -> None:
    events = [Event("failure", 0, T0)] * 6
    breaker, moves = moved(CLOSED, CONFIG, events, T0)
    assert moves == [("CLOSED", "OPEN")]
    later = T0 + 60 * S
    breaker, moves = moved(breaker, CONFIG, [Event("success", T0, later)] * 3, later)
    assert (breaker, moves) == (CLOSED, [("OPEN", "HALF_OPEN"), ("HALF_OPEN", "CLOSED")])
    assert moved(opened(), CONFIG, [Event("reset", 0, T0)], T0) == (CLOSED, [("OPEN", "CLOSED")])
    assert moved(CLOSED, CONFIG, [Event("reset", 0, T0)], T0) == (CLOSED, [])
    assert moved(opened(), CONFIG, [], later)[1] == [("OPEN", "HALF_OPEN")]


BREAKERS = st.one_of(
    st.builds(Breaker, st.just(BreakerState.CLOSED), st.integers(0, 4), st.just(0), st.just(0)),
    st.builds(Breaker, st.just(BreakerState.OPEN), st.integers(5, 9), st.just(0), st.integers(T0, T0 + 9)),
    st.builds(Breaker, st.just(BreakerState.HALF_OPEN), st.integers(5, 9), st.integers(0, 2), st.integers(T0, T0 + 9)),
)


@given(BREAKERS, BREAKERS)
def test_the_stricter_of_two_is_one_of_them_whatever_the_order(one: Breaker, other: Breaker) -> None:
    chosen = stricter(one, other)
    assert chosen in (one, other)
    assert stricter(other, one) == chosen
    ranks = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
    assert ranks[chosen.state] == max(ranks[one.state], ranks[other.state])


def test_the_stricter_opening_is_the_later_and_the_stricter_row_the_longer() -> None:
    assert stricter(opened(T0), opened(T0 + 1)) == opened(T0 + 1)
    assert stricter(Breaker(failure_count=3), CLOSED) == Breaker(failure_count=3)


class Model:
    """Written the long way: remembers all verdicts since the last opening or closing."""

    def __init__(self, config: BreakerConfig) -> None:
        self.config = config
        self.row: list[str] = []
        self.opened_at: int | None = None

    def state(self, now_us: int) -> str:
        if self.opened_at is None:
            return "CLOSED"
        return "HALF_OPEN" if now_us - self.opened_at >= self.config.cooldown_s * S else "OPEN"

    def hear(self, verdict: str, now_us: int) -> None:
        state = self.state(now_us)
        if state == "OPEN":
            return
        self.row.append(verdict)
        if (state == "CLOSED" and self.row[-self.config.failures :] == ["failure"] * self.config.failures) or (
            state == "HALF_OPEN" and verdict == "failure"
        ):
            self.row, self.opened_at = [], now_us
        elif state == "HALF_OPEN" and self.row.count("success") == self.config.successes:
            self.row, self.opened_at = [], None


@given(
    st.builds(BreakerConfig, st.integers(1, 4), st.sampled_from([1.0, 5.0]), st.integers(1, 4)),
    st.lists(st.tuples(st.sampled_from(["success", "failure"]), st.integers(0, 3000)), max_size=80),
)
def test_the_machine_agrees_with_a_naive_model(config: BreakerConfig, verdicts: list[tuple[str, int]]) -> None:
    breaker, model, now_us = CLOSED, Model(config), T0
    for verdict, pause_ms in verdicts:
        now_us += pause_ms * 1000
        assert at(breaker, config, now_us).state == model.state(now_us)
        breaker = after(breaker, config, verdict, breaker.opened_at_us, now_us)  # type: ignore[arg-type]
        model.hear(verdict, now_us)
        assert at(breaker, config, now_us).state == model.state(now_us)
