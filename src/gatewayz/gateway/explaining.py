"""What was decided for a request, in words and figures: for the caller of this very request, if it asks.

Nothing here is secret: prices are those of the public list, and what was recorded is shown there, too. Credentials and
addresses of providers are in none of these values.
"""

from collections.abc import Mapping
from typing import Any

from gatewayz.billing.pricing import cost
from gatewayz.catalog.prices import WEB_SEARCH, PriceSnapshot, usd_per_token_text
from gatewayz.core.money import usd_text
from gatewayz.core.usage import Usage
from gatewayz.dialects.base import Glance
from gatewayz.dialects.explained import MEMBER
from gatewayz.gateway.quote import ceiling_of, dearest, output_limit
from gatewayz.gateway.trip import Course, Trip
from gatewayz.operations.traffic import Usage as Records
from gatewayz.routing.plan import Candidate, Excluded
from gatewayz.routing.preferences import REASONS, latency_s, notes_on, recorded
from gatewayz.routing.searching import SEARCH_REASONS

_MEANING: Mapping[str, str] = {
    **REASONS,
    **SEARCH_REASONS,
    "provider_not_configured": "has no credentials here",
    "other_provider_pinned": "is not the provider that the request pins",
    "not_in_vendor_chain": "does not serve models of this vendor",
    "retired": "has retired the model",
    "service_not_offered": "does not offer this endpoint",
    "breaker_open": "is paused after repeated failures",
}
_BILLED = {"each": "each search", "prompt": "a request that searched", "request": "every request"}
_EXPLORED = (
    "too few answers of it are recorded to compare it; a small share of the requests sorted by speed try it first"
)
_STICKING = {
    "new": "the conversation has no provider yet",
    "kept": "the conversation stays where its prompt is cached",
    "unable": "the conversation's provider cannot serve it now",
    "dearer": "the conversation's provider would be dearer, its cache included",
}


def revealed(trip: Trip, records: Records) -> dict[str, Any]:
    """The members that an answer has besides for this caller, by name."""
    members: dict[str, Any] = {}
    if trip.call.explain:
        members[MEMBER] = explanation(trip, records)
    if trip.call.router_metadata and trip.served_by is not None:
        members["openrouter_metadata"] = router_metadata(trip)
    return members


def router_metadata(trip: Trip) -> dict[str, Any]:
    """Who was considered and who answered, in OpenRouter's words; for requests that were answered."""
    served = trip.served_by
    available = [
        {
            "model": course.found.model.id,
            "provider": candidate.provider.slug,
            "selected": candidate is served,
        }
        for course in trip.courses
        for candidate in course.route.candidates
    ]
    first = trip.courses[0].found.model.id
    named = "direct" if trip.asked_for.lower() == first.lower() else "alias"
    metadata: dict[str, Any] = {
        "requested": trip.asked_for[:200],
        "strategy": named if trip.model_id == first else "fallback",
        "region": served.provider.location if served is not None else None,
        "summary": f"available={len(available)}, selected={served.provider.slug if served is not None else 'none'}",
        "attempt": max(1, len(trip.attempts)),
        "is_byok": False,
        "endpoints": {"total": len(available), "available": available},
    }
    if len(trip.courses) == 1:
        tried = (each.partition(":") for each in trip.attempts)
        metadata["attempts"] = [
            {"model": first, "provider": slug, "status": int(outcome)}
            for slug, _, outcome in tried
            if outcome.isdigit()
        ]
    return metadata


def explanation(trip: Trip, records: Records) -> dict[str, Any]:
    """The decision so far: of a request that was answered with its attempts, cost and who served it."""
    glance = trip.glance
    if glance is None:
        raise RuntimeError("a request that was not read has no explanation")
    served = trip.served_by
    hold = trip.hold
    plans = [_course(course, glance, records) for course in trip.courses]
    found: dict[str, Any] = {
        "request_id": trip.call.request_id,
        "requested_model": trip.asked_for[:200],
        "model": trip.model_id,
        "prompt_tokens_estimated": glance.prompt_tokens,
        "plans": plans,
    }
    if trip.passed_over:
        found["passed_over"] = [{"model": name[:200], "reason": reason} for name, reason in trip.passed_over]
    notes = [*trip.asked.notes, *(note for course in trip.courses for note in _notes(course, records))]
    if notes:
        found["notes"] = list(dict.fromkeys(notes))
    if trip.sticking is not None:
        found["conversation"] = {"decision": trip.sticking, "meaning": _STICKING[trip.sticking]}
    if trip.explored is not None:
        found["exploration"] = {"provider": trip.explored, "meaning": _EXPLORED}
    if hold is not None:
        found["hold_usd"] = usd_text(hold.ref.amount)
    if trip.attempts:
        found["attempts"] = [_attempt(each) for each in trip.attempts]
    if served is not None:
        found["served_by"] = _named(served)
        found["cost_usd"] = usd_text(trip.cost)
    return found


def estimate(trip: Trip, glance: Glance, records: Records) -> dict[str, Any]:
    """What the request would cost, and which way it would go; the hold is what an account must be able to pay."""
    first = trip.courses[0]
    candidate = first.route.candidates[0]
    least = cost(_priced(candidate), Usage(prompt_tokens=glance.prompt_tokens))
    most = ceiling_of((candidate,), glance, first.found.model, searches=first.search is not None)
    return {
        "object": "estimate",
        "dialect": trip.call.dialect.name,
        "endpoint": trip.call.endpoint,
        "stream": glance.stream,
        "choices": glance.n,
        "prompt_cost_usd": usd_text(least),
        "ceiling_usd": usd_text(most),
        "would_hold_usd": usd_text(dearest(trip.courses, glance)),
        **explanation(trip, records),
    }


def _course(course: Course, glance: Glance, records: Records) -> dict[str, Any]:
    model = course.found.model
    plan: dict[str, Any] = {
        "model": model.id,
        "order": _order(course),
        "candidates": [_candidate(each, course, glance, records) for each in course.route.candidates],
        "excluded": [_excluded(each) for each in course.route.excluded],
    }
    if course.found.provider_pin is not None:
        plan["pinned_provider"] = course.found.provider_pin
    return plan


def _order(course: Course) -> str:
    wanted = course.preferences
    if wanted is None or not course.ordered:
        return "default"
    if wanted.order:
        return "order"
    return wanted.sort or "measured"


def _candidate(candidate: Candidate, course: Course, glance: Glance, records: Records) -> dict[str, Any]:
    offer, price = candidate.offer, _priced(candidate)
    shown = {
        **_named(candidate),
        "dialect": candidate.way.dialect,
        "price_usd_per_token": {
            "prompt": usd_per_token_text(price.prompt),
            "completion": usd_per_token_text(price.completion),
        },
        "prompt_cost_usd": usd_text(cost(price, Usage(prompt_tokens=glance.prompt_tokens))),
        "max_output_tokens": output_limit(glance, course.found.model, candidate),
        "ceiling_usd": usd_text(
            ceiling_of((candidate,), glance, course.found.model, searches=course.search is not None)
        ),
        "priority": candidate.provider.priority,
    }
    if course.search is not None and candidate.search is not None:
        shown["web_search"] = {
            "form": candidate.search.form,
            "price_usd": usd_text(price.units[WEB_SEARCH]),
            "billed": _BILLED[candidate.search.counts],
        }
    figures = recorded(offer, records)
    if figures is not None:
        shown["measured"] = {
            "answers": figures.requests - figures.errors,
            "latency_s": latency_s(figures),
            "tokens_per_s": figures.tokens_per_s,
        }
    return shown


def _priced(candidate: Candidate) -> PriceSnapshot:
    price = candidate.offer.price
    if price is None:
        raise RuntimeError("an offer without a price was planned")
    return price


def _named(candidate: Candidate) -> dict[str, Any]:
    named: dict[str, Any] = {"provider": candidate.provider.slug, "native_model": candidate.offer.native_id}
    if candidate.provider.location is not None:
        named["location"] = candidate.provider.location
    return named


def _excluded(excluded: Excluded) -> dict[str, str]:
    reason = excluded.reason
    if reason.startswith("cannot_"):
        meaning = "cannot do what the request needs: " + reason.removeprefix("cannot_").replace("_", " ")
    else:
        meaning = _MEANING.get(reason, reason.replace("_", " "))
    return {"provider": excluded.provider, "reason": reason, "meaning": meaning}


def _attempt(attempt: str) -> dict[str, str]:
    provider, _, outcome = attempt.partition(":")
    return {"provider": provider, "outcome": outcome}


def _notes(course: Course, records: Records) -> list[str]:
    if course.preferences is None:
        return []
    return notes_on(course.preferences, tuple(each.offer for each in course.route.candidates), records)
