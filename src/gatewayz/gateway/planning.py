"""Plans that are made once: requests for the same model with the same wish go the same ways until something changes.

What a plan rests on is replaced as a whole when it changes: the catalog, the providers. Breakers move by themselves and are
asked every time.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from msgspec import structs

from gatewayz.billing.basis import billed_by
from gatewayz.catalog.keeper import CatalogKeeper
from gatewayz.catalog.models import Model
from gatewayz.catalog.premium import guard
from gatewayz.catalog.prices import WEB_SEARCH
from gatewayz.catalog.snapshot import Catalog, Resolved
from gatewayz.core.errors import Unavailable
from gatewayz.core.services import BY_TOKEN, Service
from gatewayz.dialects.base import Glance, Need
from gatewayz.gateway.ceilings import ceiling_at
from gatewayz.gateway.quote import may_be_dearest
from gatewayz.gateway.trip import Course
from gatewayz.operations.traffic import Usage
from gatewayz.providers.registry import Providers
from gatewayz.routing.plan import Excluded, Plan, Wish, passable, ranked
from gatewayz.routing.preferences import Preferences

_MAX_PLANS = 4096
_MOST_SUGGESTED = 5
_LONGEST_NAME = 256


class Planner:
    """The plans of one process."""

    def __init__(
        self,
        catalog: CatalogKeeper,
        providers: Callable[[], Providers],
        known_slugs: frozenset[str],
        is_paused: Callable[[str], bool],
        usage: Callable[[], Usage],
        troubled: Collection[object],
    ) -> None:
        """`is_paused` tells whether a provider's breaker lets nothing through, `usage` what was recorded.

        While `troubled` is empty no provider is paused.
        """
        self._catalog = catalog
        self._providers = providers
        self._known_slugs = known_slugs
        self._is_paused = is_paused
        self._usage = usage
        self._troubled = troubled
        self._made_for: tuple[Catalog | None, Providers | None] = (None, None)
        self._plans: dict[tuple[str, Wish, str], Plan] = {}
        # By the model's name as callers write it, for requests that ask nothing of the gateway.
        self._usual: dict[tuple[str, frozenset[Need], Service], tuple[Course]] = {}

    def plan(
        self,
        found: Resolved,
        glance: Glance,
        service: Service,
        preferences: Preferences | None = None,
        search: frozenset[str] | None = None,
    ) -> Plan:
        """The ordered attempts for a request. Prices of services beside chats are those of what it asks for; `search` as in
        `Wish`.

        Raises InvalidRequest if no offer can do what is asked; NotFound if the caller's preferences leave nobody;
        Unavailable if nobody can be asked now, or no offer has a price (`pricing_unavailable`).
        """
        variant = glance.counted.variant if glance.counted is not None else ""
        wish = Wish(glance.needs, found.provider_pin, found.preferred_provider, service, variant, preferences, search)
        records = self._usage().digest if preferences is not None and preferences.measured else ""
        self._keep_up()
        plan = None
        if not variant:  # callers make these up: what is remembered of them would push out all else
            plan = self._plans.get((found.model.id, wish, records))
        if plan is None:
            plan = self._ranked(found, wish)
            if not variant:
                self._plans[(found.model.id, wish, records)] = plan
        return passable(found.model, plan, self._is_paused) if self._troubled else plan

    def usual(self, glance: Glance, service: Service) -> tuple[Course] | None:
        """The course of a request for this model that asks nothing of the gateway; None if it is not known, or varies now."""
        catalog, providers = self._made_for
        if self._troubled or catalog is not self._catalog.current or providers is not self._providers():
            return None
        if glance.counted is not None and glance.counted.variant:
            return None  # its price is another one
        return self._usual.get((glance.model, glance.needs, service))

    def kept_as_usual(self, glance: Glance, service: Service, course: Course) -> tuple[Course]:
        """The course of a request that asks nothing of the gateway; kept for others like it, if it is the same for them."""
        # What goes by measures changes with them; of a retired name the log is told each time; and who writes a name with
        # a thousand blanks need not be remembered.
        varies = course.preferences is not None or course.found.redirected_from is not None
        made_up = (glance.counted is not None and glance.counted.variant) or len(glance.model) > _LONGEST_NAME
        if varies or made_up or self._troubled:
            return (course,)
        if len(self._usual) >= _MAX_PLANS:
            self._usual.clear()
        dear = may_be_dearest(course.route, course.found.model) if glance.counted is None else None
        ceiling = ceiling_at(dear[0], course.found.model) if dear is not None and len(dear) == 1 else None
        kept = (structs.replace(course, dear=dear, ceiling=ceiling),)
        self._usual[(glance.model, glance.needs, service)] = kept
        return kept

    def searchers(self, near: Model) -> tuple[str, ...]:
        """Models that can search the web here now, those of the same maker first."""
        catalog, providers = self._catalog.current, self._providers()
        able = [
            model
            for model in catalog.models.values()
            if model.kind == near.kind
            and any(
                WEB_SEARCH in each.capabilities and each.usable and providers.get(each.provider)
                for each in catalog.offers_of(model.id)
            )
        ]
        able.sort(key=lambda model: (model.vendor != near.vendor, -model.created_at_us, model.id))
        return tuple(model.id for model in able[:_MOST_SUGGESTED])

    def _ranked(self, found: Resolved, wish: Wish) -> Plan:
        providers = self._providers()
        reachable = [offer for offer in found.offers if providers.get(offer.provider) is not None]
        if not reachable:
            raise Unavailable(
                f"No configured provider serves {found.model.id}. Set the key of one that does, or choose another"
                " model; GET /v1/models lists what can be used now."
            )
        if len(self._plans) >= _MAX_PLANS:
            self._forget()
        usable = guard(found.model, reachable)
        if wish.service in BY_TOKEN:
            return ranked(found.model, usable, providers, self._known_slugs, wish, self._usage())
        priced = [(offer, billed_by(offer.price, wish.service, wish.variant)) for offer in usable if offer.price]
        pinned = [replace(offer, price=price) for offer, price in priced if price is not None]
        if not pinned:
            raise _no_price_of_that(found.model.id, wish)
        plan = ranked(found.model, pinned, providers, self._known_slugs, wish, self._usage())
        unpriced = (Excluded(offer.provider, "no_price_for_service") for offer, price in priced if price is None)
        return replace(plan, excluded=(*plan.excluded, *unpriced))

    def _keep_up(self) -> None:
        """Forgets what rests on a catalog or on providers that have been replaced."""
        catalog, providers = self._made_for
        if catalog is not self._catalog.current or providers is not self._providers():
            self._forget()

    def _forget(self) -> None:
        self._plans.clear()
        self._usual.clear()
        self._made_for = (self._catalog.current, self._providers())


def _no_price_of_that(model_id: str, wish: Wish) -> Unavailable:
    what = f" in {wish.variant.strip('/')}" if wish.variant else ""
    return Unavailable(
        f"The model {model_id} has no confirmed price for this service{what}, so it cannot be used for it.",
        code="pricing_unavailable",
        param="model",
        details={"model": model_id, "service": wish.service},
    )
