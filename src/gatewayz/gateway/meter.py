"""What was consumed? The provider's word if it gave one; otherwise the gateway counts and says so."""

from collections.abc import Sequence

from msgspec.structs import replace

from gatewayz.billing.basis import counts_tokens
from gatewayz.catalog.prices import PriceSnapshot
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects.base import Glance
from gatewayz.gateway.trip import Course
from gatewayz.routing.plan import Candidate

# The same rule of thumb as for prompts, see `dialects/tokens.py`.
CHARS_PER_TOKEN = 4


def final_usage(glance: Glance, reported: Usage | None, output_chars: int, price: PriceSnapshot | None) -> Usage:
    """The usage of a complete answer at the pinned price."""
    if glance.counted is None:
        return settled_usage(reported, glance.prompt_tokens, output_chars)
    return piece_usage(glance.counted.known, reported, output_chars, price)


def unfinished_usage(glance: Glance, reported: Usage | None, output_chars: int, price: PriceSnapshot | None) -> Usage:
    """The usage of an answer that the client did not wait for."""
    if glance.counted is None:
        return partial_usage(reported, glance.prompt_tokens, output_chars)
    known = glance.counted.known
    if known.images > 1:  # the one that was being made; those before it are reported
        made = known.image_output_tokens // known.images
        known = replace(known, images=1, completion_tokens=made, image_output_tokens=made)
    return piece_usage(known, reported, output_chars, price)


def with_searches(usage: Usage, candidate: Candidate, courses: Sequence[Course]) -> Usage:
    """The usage of a chat with its searches of the web as the provider bills them."""
    search = candidate.search
    if search is None:
        return usage
    asked = any(course.search is not None and candidate in course.route.candidates for course in courses)
    billed = search.billed(usage, asked=asked)
    return usage if billed == usage.web_searches else replace(usage, web_searches=billed)


def piece_usage(known: Usage, reported: Usage | None, output_chars: int, price: PriceSnapshot | None) -> Usage:
    """The usage of a service beside chats: what the provider tells, each count it is silent about as the request tells it.

    It is marked as estimated if what it is charged by was.
    """
    told = reported if reported is not None else NOTHING
    units = price.units if price is not None else {}
    by_token = price is not None and counts_tokens(price)
    guessed_length = known.estimated and (
        (not told.audio_input_ms and "second_input" in units) or (not told.audio_output_ms and "second_output" in units)
    )
    tokens = told
    if not told.total_tokens and by_token:
        written = -(-output_chars // CHARS_PER_TOKEN) if output_chars else known.completion_tokens
        tokens = replace(known, completion_tokens=written)
    return replace(
        tokens,
        images=told.images or known.images,
        audio_input_ms=told.audio_input_ms or known.audio_input_ms,
        audio_output_ms=told.audio_output_ms or known.audio_output_ms,
        characters=told.characters or known.characters,
        searches=told.searches or known.searches,
        estimated=guessed_length or (by_token and not told.total_tokens),
    )


def settled_usage(reported: Usage | None, prompt_estimate: int, output_chars: int) -> Usage:
    """The usage to charge: as reported, else estimated from the prompt and the characters of the answer.

    A report of nothing at all beside an answer with text is silence, too: some providers send zeros when they do not know.
    """
    if reported is not None and (reported.prompt_tokens or reported.completion_tokens or output_chars == 0):
        return reported
    if output_chars == 0:
        return NOTHING
    return Usage(prompt_estimate, -(-output_chars // CHARS_PER_TOKEN), estimated=True)


def partial_usage(reported: Usage | None, prompt_estimate: int, output_chars: int) -> Usage:
    """The usage of an answer that the client did not wait for: the prompt, and what had been produced until then.

    Providers report usage at the end, so at best the prompt is known; the output is counted.
    """
    counted = -(-output_chars // CHARS_PER_TOKEN)
    if reported is None:
        return Usage(prompt_estimate, counted, estimated=True)
    return replace(reported, completion_tokens=max(reported.completion_tokens, counted), estimated=True)
