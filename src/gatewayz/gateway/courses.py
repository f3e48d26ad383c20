"""The models that may answer a request, each with the ways to it: named, permitted, planned, in the caller's order."""

from dataclasses import replace

import structlog

from gatewayz.catalog.keeper import CatalogKeeper
from gatewayz.catalog.resolve import pin, resolve
from gatewayz.catalog.snapshot import Resolved
from gatewayz.core.caller import Caller
from gatewayz.core.errors import GatewayError, InvalidRequest, NotFound, Unavailable
from gatewayz.core.services import CHATS, KIND_OF
from gatewayz.dialects.base import Glance
from gatewayz.dialects.parameters import unsupported
from gatewayz.dialects.web_search import SearchWish
from gatewayz.gateway.asked import NOTHING, Asked
from gatewayz.gateway.entry import Doorkeeper, no_key
from gatewayz.gateway.planning import Planner
from gatewayz.gateway.trip import Course, Trip
from gatewayz.routing.preferences import Preferences
from gatewayz.routing.searching import UNAVAILABLE

log = structlog.get_logger(__name__)

# What is wrong with one model and may be right with the next.
_PASSED_OVER = (NotFound, InvalidRequest, Unavailable)


class Courses:
    """Finds what may answer. Nothing is held or sent here."""

    def __init__(self, catalog: CatalogKeeper, planner: Planner, doorkeeper: Doorkeeper) -> None:
        self._catalog = catalog
        self._planner = planner
        self._doorkeeper = doorkeeper

    async def of(self, trip: Trip, glance: Glance, asked: Asked) -> tuple[Course, ...]:
        """The model that was asked for, and those that may stand in for it, each with its plan; at least one.

        A model that nobody can serve is passed over if another one is named. For most requests `usual` is the same, quicker.
        Raises Forbidden if the key may not use one of them, else what is wrong with the first if none is left.
        """
        if not asked.models:
            found = self._named(trip, glance.model, asked)
            await self._doorkeeper.permit(trip, found)
            return (self._planned(trip, glance, found, asked),)
        courses: list[Course] = []
        refusal: GatewayError | None = None
        counted = False
        for name in (glance.model, *asked.models):
            try:
                found = self._named(trip, name, asked)
                if counted:
                    self._doorkeeper.check(trip, found)
                else:
                    await self._doorkeeper.permit(trip, found)
                    counted = True
                courses.append(self._planned(trip, glance, found, asked))
            except _PASSED_OVER as error:
                refusal = refusal or error
                trip.passed_over.append((name, error.message))
        if not courses:
            raise refusal or Unavailable(f"Nobody can serve {glance.model} now.")
        trip.model_id = courses[0].found.model.id
        return tuple(courses)

    def usual(self, trip: Trip, glance: Glance, caller: Caller) -> tuple[Course]:
        """The same for a known caller who asks `NOTHING` of the gateway: nearly all, so what is found is kept."""
        service = trip.call.dialect.service
        known = self._planner.usual(glance, service)
        if known is None:
            found = self._named(trip, glance.model, NOTHING)
            self._doorkeeper.check(trip, found)
            known = self._planner.kept_as_usual(glance, service, self._planned(trip, glance, found, NOTHING))
        else:
            trip.model_id = known[0].found.model.id
            if caller.model_allowlist:
                self._doorkeeper.check(trip, known[0].found)
        return known

    def _named(self, trip: Trip, name: str, asked: Asked) -> Resolved:
        catalog = self._catalog.current
        try:
            found = resolve(catalog, name, kind=KIND_OF[trip.call.dialect.service])
        except GatewayError:
            if trip.caller is None:
                raise no_key(name[:200]) from None
            raise
        trip.model_id = found.model.id
        if found.redirected_from:
            log.info("model_redirected", asked_for=found.redirected_from, model=found.model.id)
        return pin(catalog, found, asked.pin, name) if asked.pin else found

    def _planned(self, trip: Trip, glance: Glance, found: Resolved, asked: Asked) -> Course:
        wanted = asked.preferences
        if found.sort is not None and (wanted is None or (wanted.sort is None and not wanted.order)):
            wanted = replace(wanted or Preferences(), sort=found.sort)
        service = trip.call.dialect.service
        if asked.search is None and not found.online:
            return Course(found, self._planner.plan(found, glance, service, wanted), wanted)
        search = asked.search or SearchWish()
        if service not in CHATS:
            raise unsupported(
                "model" if found.online else "plugins", "asks for a search of the web, which only chats have"
            )
        try:
            plan = self._planner.plan(found, glance, service, wanted, search.members)
        except InvalidRequest as refused:
            raise self._with_searchers(refused, found) from None
        return Course(found, plan, wanted, search)

    def _with_searchers(self, refused: InvalidRequest, found: Resolved) -> InvalidRequest:
        """A refusal to search, with the models that can; any other as it is."""
        if refused.code != UNAVAILABLE:
            return refused
        able = self._planner.searchers(found.model)
        told = f" Models that search the web here: {', '.join(able)}." if able else " No model here searches the web."
        return InvalidRequest(
            refused.message + told,
            code="web_search_unavailable",
            param=refused.param,
            suggestions=able,
            details=refused.details,
        )
