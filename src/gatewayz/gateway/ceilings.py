"""The most that a chat can cost on one way: what of it does not depend on the request is worked out once. Pure."""

import msgspec

from gatewayz.billing.pricing import ceiling
from gatewayz.catalog.models import Model
from gatewayz.core.money import TOKENS_PER_PRICE_UNIT, divide_half_even
from gatewayz.dialects.base import Glance
from gatewayz.routing.plan import Candidate

# What a model of unknown limits is assumed to write when the caller names no maximum (spec 9.1).
UNKNOWN_MAX_TOKENS = 4096
_UNBOUNDED = 2**62


class Ceiling(msgspec.Struct, frozen=True):
    """What a ceiling grows with: nano-USD of a request, of a million tokens of prompt and of answer; and two limits in tokens.

    `longest` is the answer where the caller names no maximum, `context` what prompt and answer must fit into.
    """

    once: int
    prompt: int
    answer: int
    longest: int
    context: int

    def most(self, glance: Glance) -> int:
        """Nano-USD that a chat can cost: to the last as `billing.pricing.ceiling` of the same prompt and longest answer."""
        prompt_tokens = glance.prompt_tokens
        limit = glance.max_tokens or self.longest
        room = self.context - prompt_tokens
        if limit > room:
            limit = max(1, room)
        micro = prompt_tokens * self.prompt + limit * glance.n * self.answer
        return divide_half_even(micro, TOKENS_PER_PRICE_UNIT) + self.once

    def never_above(self, other: "Ceiling") -> bool:
        """Whether no chat can cost more here than there."""
        return (
            self.once <= other.once
            and self.prompt <= other.prompt
            and self.answer <= other.answer
            and self.longest <= other.longest
            and self.context <= other.context
        )


def ceiling_at(candidate: Candidate, model: Model) -> Ceiling | None:
    """The ceiling of a way; None where it is no such sum: without a price, with one by tiers, or where the web is searched."""
    offer, price = candidate.offer, candidate.offer.price
    if price is None or price.tiers or candidate.search is not None:
        return None
    once = price.request_nano_usd
    # Of a million tokens no rounding loses anything.
    prompt = ceiling(price, TOKENS_PER_PRICE_UNIT, 0) - once
    answer = ceiling(price, 0, TOKENS_PER_PRICE_UNIT) - once
    longest = offer.max_output_tokens or model.max_output_tokens or UNKNOWN_MAX_TOKENS
    context = offer.context_length or model.context_length
    return Ceiling(once, prompt, answer, longest, _UNBOUNDED if context is None else context)
