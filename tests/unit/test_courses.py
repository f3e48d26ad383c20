"""What is remembered of requests that ask nothing of the gateway, and what is noticed all the same."""

import json
from typing import Any

import pytest

from gatewayz.catalog import Catalog, build
from gatewayz.catalog.aliases import AliasTables
from gatewayz.core.caller import SCOPES, Caller
from gatewayz.core.errors import Forbidden, NotFound, Unavailable
from gatewayz.dialects import DIALECTS
from gatewayz.dialects.base import Counted, Glance
from gatewayz.gateway.asked import NOTHING, asked_of
from gatewayz.gateway.courses import Courses
from gatewayz.gateway.entry import Doorkeeper
from gatewayz.gateway.planning import Planner
from gatewayz.gateway.ports import Call
from gatewayz.gateway.trip import Course, Trip
from gatewayz.operations.traffic import NOTHING as NO_TRAFFIC
from gatewayz.providers.profile import Provider
from gatewayz.settings import Settings
from tests.unit.catalog.catalog_values import a_model, an_offer

CALLER = Caller(7, 1, "user", "free", frozenset(SCOPES))
TABLES = AliasTables({"quick": "m/one"}, {"m/old": "m/one"}, {}, frozenset())


def a_catalog(*providers: str) -> Catalog:
    offers = [an_offer(model, slug) for model in ("m/one", "m/two") for slug in providers]
    return build([a_model("m/one"), a_model("m/two")], offers, TABLES)


class Keeper:
    """Stands for the catalog's keeper."""

    def __init__(self, catalog: Catalog) -> None:
        self.current = catalog


class Process:
    """The courses of one process, whose world can be changed."""

    def __init__(self) -> None:
        self.keeper: Any = Keeper(a_catalog("a", "b"))
        self.providers: Any = self.served_by("a", "b")
        self.paused: set[str] = set()
        self.ranked = 0
        planner = Planner(
            self.keeper,
            self.asked_for,
            frozenset({"a", "b"}),
            self.paused.__contains__,
            lambda: NO_TRAFFIC,
            self.paused,
        )
        nobody: Any = None
        self.courses = Courses(self.keeper, planner, Doorkeeper(nobody, nobody, Settings()))

    @staticmethod
    def served_by(*slugs: str) -> dict[str, Provider]:
        return {slug: Provider(slug, slug, "openai", "http://x", {}) for slug in slugs}

    def asked_for(self) -> Any:
        return self.providers

    async def trip(self, model: str = "m/one", caller: Caller | None = CALLER, **more: Any) -> Trip:
        dialect = DIALECTS["openai"]
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}).encode()
        trip = Trip(Call(dialect, "/x", body, "r", None, (), "127.0.0.1", {}, 0.0), 0, caller)
        glance = trip.glance = dialect.glance(body)
        trip.courses = await self.found(trip, glance)
        return trip

    async def found(self, trip: Trip, glance: Glance) -> tuple[Course, ...]:
        """The courses as the pipeline finds them."""
        asked = asked_of(glance)
        if asked is NOTHING and trip.caller is not None:
            return self.courses.usual(trip, glance, trip.caller)
        return await self.courses.of(trip, glance, asked)

    async def course(self, model: str = "m/one", caller: Caller = CALLER, **more: Any) -> Course:
        trip = await self.trip(model, caller, **more)
        (course,) = trip.courses
        assert trip.model_id == course.found.model.id
        return course


def slugs(course: Course) -> list[str]:
    return [each.provider.slug for each in course.route.candidates]


async def test_the_same_question_has_the_same_course() -> None:
    process = Process()
    first = await process.course()
    assert await process.course() is first
    assert await process.course("M/One ") == first
    assert await process.course("quick") == first
    assert (await process.course("m/two")).found.model.id == "m/two"
    assert await process.course() is first


async def test_what_a_key_may_use_is_asked_each_time() -> None:
    process = Process()
    await process.course()
    narrow = Caller(8, 2, "user", "free", frozenset(SCOPES), model_allowlist=("m/two",))
    with pytest.raises(Forbidden):
        await process.course(caller=narrow)
    await process.course("m/two", caller=narrow)


async def test_a_new_catalog_and_new_providers_are_noticed_at_once() -> None:
    process = Process()
    assert slugs(await process.course()) == ["a", "b"]
    process.providers = process.served_by("b")
    assert slugs(await process.course()) == ["b"]
    process.providers = process.served_by("a", "b")
    process.keeper.current = a_catalog("a")
    assert slugs(await process.course("m/two")) == ["a"], "asked first, so that the new catalog is known"
    assert slugs(await process.course()) == ["a"]
    process.keeper.current = build([a_model("m/two")], [an_offer("m/two", "a")], TABLES)
    with pytest.raises(NotFound):
        await process.course()


async def test_a_breaker_that_opens_and_closes_is_noticed_at_once() -> None:
    process = Process()
    usual = await process.course()
    process.paused.add("a")
    course = await process.course()
    assert (slugs(course), [each.reason for each in course.route.excluded]) == (["b"], ["breaker_open"])
    process.paused.add("b")
    with pytest.raises(Unavailable):
        await process.course()
    process.paused.clear()
    assert slugs(await process.course()) == slugs(usual)


async def test_a_course_found_while_a_breaker_was_open_is_not_kept() -> None:
    process = Process()
    process.paused.add("a")
    assert slugs(await process.course()) == ["b"]
    process.paused.clear()
    assert slugs(await process.course()) == ["a", "b"]


async def test_wishes_and_needs_of_one_request_are_not_those_of_another() -> None:
    process = Process()
    assert slugs(await process.course(provider={"order": ["b"]}))[0] == "b"
    assert slugs(await process.course())[0] == "a"
    assert slugs(await process.course(provider="b")) == ["b"]
    assert slugs(await process.course()) == ["a", "b"]


async def test_a_request_with_a_price_of_its_own_is_planned_for_itself() -> None:
    process = Process()
    usual = await process.course()
    trip = await process.trip()
    glance = trip.glance
    assert glance is not None
    for variant in ("hd", "", "hd"):
        glance.counted = Counted(variant=variant)
        (course,) = await process.found(trip, glance)
        assert (course is usual) == (not variant)


async def test_what_goes_by_measures_is_planned_anew() -> None:
    process = Process()
    course = await process.course("m/one:nitro")
    assert course.preferences is not None
    assert await process.course("m/one:nitro") is not course


async def test_a_retired_name_is_told_each_time_and_long_names_are_not_remembered() -> None:
    process = Process()
    assert (await process.course("m/old")).found.redirected_from == "m/old"
    assert (await process.course("m/old")).found.redirected_from == "m/old"
    blank = " " * 300 + "m/one"
    assert await process.course(blank) is not await process.course(blank)
