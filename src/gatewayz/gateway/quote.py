"""What could this cost at most, and how is it put to one provider? Pure."""

from collections.abc import Sequence

import msgspec

from gatewayz.billing.pricing import ceiling, cost
from gatewayz.catalog.models import Model
from gatewayz.catalog.prices import WEB_SEARCH, PriceSnapshot
from gatewayz.catalog.transforms import force_params, upstream_id
from gatewayz.dialects.base import Glance, Target
from gatewayz.dialects.web_search import MOST_SEARCHES
from gatewayz.gateway.ceilings import UNKNOWN_MAX_TOKENS, ceiling_at
from gatewayz.gateway.trip import Course
from gatewayz.providers.web_search import WebSearch
from gatewayz.routing.plan import Candidate, Plan

# What one search adds to the prompt: the block that OpenAI charges for it with its small models.
TOKENS_PER_SEARCH = 8_000
_MAX_TOKENS_FIELDS = ("max_completion_tokens", "max_tokens")


def output_limit(glance: Glance, model: Model, candidate: Candidate) -> int:
    """The most tokens one choice may have there: the caller's maximum or the model's, within what the context leaves."""
    offer = candidate.offer
    limit = glance.max_tokens or offer.max_output_tokens or model.max_output_tokens or UNKNOWN_MAX_TOKENS
    context = offer.context_length or model.context_length
    if context is not None and limit > context - glance.prompt_tokens:
        return max(1, context - glance.prompt_tokens)
    return limit


def ceiling_of(ways: Sequence[Candidate], glance: Glance, model: Model, *, searches: bool = False) -> int:
    """Nano-USD to set aside: the dearest of these ways, so that failover never needs more.

    `searches`: the request asks for a search of the web.
    """
    if glance.counted is not None:
        counted = glance.counted.most
        return max(cost(each.offer.price, counted) for each in ways if each.offer.price is not None)
    dearest = None
    for candidate in ways:
        price = candidate.offer.price
        if price is None:
            continue
        if candidate.search is None:
            most = ceiling(price, glance.prompt_tokens, output_limit(glance, model, candidate), glance.n)
        else:
            most = _searching(price, candidate.search, candidate, glance, model, asked=searches)
        if dearest is None or most > dearest:
            dearest = most
    if dearest is None:
        raise ValueError("a plan without a price")
    return dearest


def dearest(courses: Sequence[Course], glance: Glance) -> int:
    """Nano-USD to set aside for a request that any of these models may answer."""
    if len(courses) > 1:
        return max(dearest((course,), glance) for course in courses)
    course = courses[0]
    if course.ceiling is not None:
        return course.ceiling.most(glance)
    ways = course.route.candidates if course.dear is None else course.dear
    return ceiling_of(ways, glance, course.found.model, searches=course.search is not None)


def may_be_dearest(plan: Plan, model: Model) -> tuple[Candidate, ...]:
    """The ways of a plan without those that never cost more than another one of them, whatever a chat asks for."""
    kept: list[Candidate] = []
    for candidate in plan.candidates:
        if any(_never_dearer(candidate, other, model) for other in kept):
            continue
        kept = [other for other in kept if not _never_dearer(other, candidate, model)]
        kept.append(candidate)
    return tuple(kept)


def _never_dearer(one: Candidate, other: Candidate, model: Model) -> bool:
    """Whether the first never costs more than the second. What is hard to compare is not compared."""
    if one.offer is other.offer and one.search is other.search:
        return True  # the same at another location
    here, there = ceiling_at(one, model), ceiling_at(other, model)
    return here is not None and there is not None and here.never_above(there)


def _searching(
    price: PriceSnapshot, search: WebSearch, candidate: Candidate, glance: Glance, model: Model, *, asked: bool
) -> int:
    """The same where the model may search: what it finds is read as prompt, and each search has its price."""
    limit = output_limit(glance, model, candidate)
    if not asked:
        most = ceiling(price, glance.prompt_tokens, limit, glance.n)
        return most + (price.units.get(WEB_SEARCH, 0) if search.always else 0)
    most_searches = MOST_SEARCHES if search.counts == "each" else 1
    prompt = glance.prompt_tokens + TOKENS_PER_SEARCH * MOST_SEARCHES
    context = candidate.offer.context_length or model.context_length
    if context is not None:
        prompt = max(glance.prompt_tokens, min(prompt, context))
    return ceiling(price, prompt, limit, glance.n) + most_searches * price.units.get(WEB_SEARCH, 0)


def target_for(candidate: Candidate, model: Model) -> Target:
    """How the request is put to this candidate: the name it knows the model by, its quirks, what must be forced."""
    provider, offer = candidate.provider, candidate.offer
    native_id = upstream_id(provider.slug, offer.native_id)
    forced = force_params(provider.slug, native_id)
    default = offer.max_output_tokens or model.max_output_tokens or UNKNOWN_MAX_TOKENS
    return Target(native_id, provider.quirks, default, forced.params, forced.unless, provider.slug)


def cap_output(glance: Glance, most: int) -> None:
    """Lowers the request's own maximum to `most` tokens, in place, whatever it said."""
    glance.max_tokens = min(glance.max_tokens or most, most)
    present = [name for name in _MAX_TOKENS_FIELDS if name in glance.fields] or ["max_tokens"]
    for name in present:
        glance.fields[name] = msgspec.Raw(b"%d" % glance.max_tokens)
