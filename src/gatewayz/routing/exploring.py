"""Who was measured too little to be found the fastest? A small share of what goes by speed tries him first. Pure."""

from collections.abc import Callable
from dataclasses import replace

from gatewayz.operations.traffic import Usage
from gatewayz.routing.plan import Candidate, Plan
from gatewayz.routing.preferences import Preferences, recorded


def explore(
    plan: Plan, wanted: Preferences, usage: Usage, share: float, draw: float, is_healthy: Callable[[str], bool]
) -> tuple[Plan, str | None]:
    """The plan with an offer in front that has too few records, and its provider's slug; mostly the plan as it is, and None.

    `share` of the requests explore: those whose `draw`, evenly distributed over 0 to 1, falls below it; where in that part it
    falls decides who is tried. Nobody is added: the others of the plan stand in if the trial fails. Who sorts by price or names
    an order gets what he asks for; who fails more often than he answers is no secret that is worth finding out.
    """
    if not wanted.explores or draw >= share or len(plan.candidates) < 2:
        return plan, None
    first = plan.candidates[0].provider.slug
    others = {each.provider.slug: each for each in plan.candidates if each.provider.slug != first}
    unknown = [slug for slug, each in others.items() if is_healthy(slug) and _is_unknown(each, usage)]
    if not unknown:
        return plan, None
    slug = unknown[min(int(draw / share * len(unknown)), len(unknown) - 1)]
    # A provider's locations stay together: the attempts move on to the next one when a quota is used up.
    tried = [each for each in plan.candidates if each.provider.slug == slug]
    rest = [each for each in plan.candidates if each.provider.slug != slug]
    return replace(plan, candidates=(*tried, *rest)), slug


def _is_unknown(candidate: Candidate, usage: Usage) -> bool:
    offer = candidate.offer
    if recorded(offer, usage) is not None:
        return False
    figures = usage.of("hour", offer.model_id, offer.provider)
    return figures is None or figures.errors <= figures.requests - figures.errors
