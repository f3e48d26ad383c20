"""What a process remembers of its conversations, for how long, and of whom it remembers nothing."""

import json
from typing import Any

import pytest

from gatewayz.catalog import Offer, PriceSnapshot
from gatewayz.core.caller import Caller
from gatewayz.core.usage import Usage
from gatewayz.dialects import DIALECTS
from gatewayz.gateway.ports import Call
from gatewayz.gateway.staying import Staying
from gatewayz.gateway.trip import Trip
from gatewayz.infra.clock import ManualClock
from gatewayz.providers.profile import Provider
from gatewayz.providers.ways import Way
from gatewayz.routing.plan import Candidate, Plan

LONG = "Be brief. " * 600
CALLER = Caller(7, 1, "user", "free", frozenset())


def candidate(slug: str) -> Candidate:
    price = PriceSnapshot(1, "t", 0, 10, 10)
    offer = Offer(1, "m/m", slug, "native", price, 1000, 100, frozenset())
    return Candidate(offer, Provider(slug, slug, "openai", "http://x", {}), Way("openai", "http://x"))


A, B = candidate("a"), candidate("b")
BOTH = Plan((A, B))


class Process:
    """One process with its clock: asks and answers turns."""

    def __init__(self, most: int = 100) -> None:
        self.clock = ManualClock()
        self.healthy = {"a", "b"}
        self.staying = Staying(most, self.clock, lambda slug: slug in self.healthy)

    def turn(
        self,
        route: Plan = BOTH,
        *,
        caller: Caller | None = CALLER,
        served_by: Candidate | None = None,
        text: str = LONG,
        **more: Any,
    ) -> tuple[str, str | None]:
        """Who is asked first and why; that one serves it, or `served_by`."""
        dialect = DIALECTS["openai"]
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more}).encode()
        call = Call(dialect, "/x", body, "r", None, (), "127.0.0.1", {}, 0.0)
        trip = Trip(call, 0, caller=caller, glance=dialect.glance(body), model_id="m/m")
        assert trip.glance is not None
        plan = self.staying.ordered(trip, trip.glance, route)
        trip.served_by = served_by or plan.candidates[0]
        self.staying.served(trip, Usage(2000, 10))
        return plan.candidates[0].provider.slug, trip.sticking


def test_it_stays_for_five_minutes_after_each_answer() -> None:
    process = Process()
    assert process.turn(served_by=B) == ("a", "new")
    for _ in range(4):
        process.clock.advance(299)
        assert process.turn() == ("b", "kept")
    process.clock.advance(301)
    assert process.turn() == ("a", "new")


def test_it_stays_for_an_hour_where_the_client_asked_for_a_long_retention() -> None:
    process = Process()
    process.turn(served_by=B, prompt_cache_retention="24h")
    process.clock.advance(3590)
    assert process.turn(prompt_cache_retention="24h") == ("b", "kept")
    process.clock.advance(3610)
    assert process.turn(prompt_cache_retention="24h") == ("a", "new")


def test_a_provider_that_is_not_well_is_left_and_the_new_one_kept() -> None:
    process = Process()
    process.turn(served_by=B)
    process.healthy.remove("b")
    assert process.turn() == ("a", "unable")
    process.healthy.add("b")
    assert process.turn() == ("a", "kept")


@pytest.mark.parametrize(
    "untouched",
    [{"caller": None}, {"text": "Hi."}, {"route": Plan((A,))}],
    ids=["a stranger", "a short prompt", "no choice"],
)
def test_of_what_nothing_is_remembered(untouched: dict[str, Any]) -> None:
    process = Process()
    assert process.turn(**{"served_by": B, **untouched}) == ("a", None)
    assert process.turn(**untouched) == ("a", None)


def test_nothing_is_remembered_where_nothing_may_be() -> None:
    process = Process(most=0)
    assert process.turn(served_by=B) == process.turn() == ("a", None)


def test_the_oldest_conversations_are_forgotten() -> None:
    process = Process(most=2)
    for number in range(3):
        process.turn(served_by=B, text=f"{number} {LONG}")
    assert [process.turn(served_by=B, text=f"{number} {LONG}")[0] for number in (2, 1, 0)] == ["b", "b", "a"]
