"""Trying offers that nobody has measured, for requests that go by speed: asked before the attempts, only of those."""

from collections.abc import Callable

from gatewayz.gateway.trip import Course, Trip
from gatewayz.operations.traffic import Usage
from gatewayz.routing.exploring import explore
from gatewayz.routing.plan import Plan


class Exploring:
    """The explorations of this process."""

    def __init__(
        self,
        share: float,
        records: Callable[[], Usage],
        is_healthy: Callable[[str], bool],
        chance: Callable[[], float],
    ) -> None:
        """`share` of eligible requests explore, 0 for none; `chance` draws evenly from 0 to 1, 1 excluded."""
        self._share = share
        self._records = records
        self._is_healthy = is_healthy
        self._chance = chance

    def ordered(self, trip: Trip, course: Course) -> Plan:
        """The ways of a course, perhaps with one in front that is to be measured; notes in the trip whose it is."""
        wanted = course.preferences
        if wanted is None or not wanted.explores or not self._share:
            return course.route
        route, trip.explored = explore(
            course.route, wanted, self._records(), self._share, self._chance(), self._is_healthy
        )
        return route
