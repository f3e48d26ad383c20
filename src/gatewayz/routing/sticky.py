"""Should a conversation stay at the provider that served it last? Yes, while its prompt is cached there and that pays. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from gatewayz.catalog.prices import PriceSnapshot
from gatewayz.core.usage import Usage
from gatewayz.routing.plan import Candidate, Plan

# No provider caches less: OpenAI and most others begin at 1,024 tokens, some models of Anthropic and Google later.
LEAST_CACHED_TOKENS = 1024
# How long providers keep a prompt after its last use, unless it was written for longer.
SHORT_LIFE_S = 300.0
LONG_LIFE_S = 3600.0

Decision = Literal["new", "kept", "unable", "dearer"]


@dataclass(frozen=True, slots=True)
class Stay:
    """Where a conversation was served last, until when its prompt may be cached there (monotonic seconds), and how much.

    `warm_tokens` of its prompt may be cached; the last answer had `completion_tokens`.
    """

    provider: str
    location: str | None
    until_s: float
    life_s: float
    warm_tokens: int
    completion_tokens: int


def stay_after(
    candidate: Candidate, usage: Usage, now_s: float, before: Stay | None, *, kept_long: bool
) -> Stay | None:
    """The stay that an answer begins or prolongs; None if nothing of its prompt can be cached there.

    `before` is the stay until then, `kept_long` that the client asked the provider to keep the prompt for longer than usual.
    """
    provider = candidate.provider
    warm = usage.cached_tokens + usage.cache_write_tokens
    # Anthropic caches what is marked and reports each write; the others cache by themselves and report reads only.
    if provider.dialect != "anthropic" and usage.prompt_tokens >= LEAST_CACHED_TOKENS:
        warm = usage.prompt_tokens
    if warm == 0:
        return None
    life_s = LONG_LIFE_S if kept_long or usage.cache_write_1h_tokens else SHORT_LIFE_S
    if before is not None and (before.provider, before.location) == (provider.slug, provider.location):
        life_s = max(life_s, before.life_s)  # reading prolongs a long life by itself
    return Stay(provider.slug, provider.location, now_s + life_s, life_s, warm, usage.completion_tokens)


def stick(
    plan: Plan, stay: Stay | None, prompt_tokens: int, is_healthy: Callable[[str], bool]
) -> tuple[Plan, Decision]:
    """The plan with the conversation's provider in front, if it should stay there, and what was decided.

    Candidates are never added: pins, abilities and open breakers were regarded when the plan was made. A provider that is
    dearer even with its cache than the first of the plan without one is not kept: the order has its reasons.
    """
    if stay is None:
        return plan, "new"
    here = _at(plan, stay)
    if here is None or not is_healthy(stay.provider):
        return plan, "unable"
    first = plan.candidates[0]
    if here is first:
        return plan, "kept"
    if first.provider.slug != stay.provider and not _pays(here, first, stay, prompt_tokens):
        return plan, "dearer"
    same = [each for each in plan.candidates if each.provider.slug == stay.provider and each is not here]
    others = [each for each in plan.candidates if each.provider.slug != stay.provider]
    # A provider's locations stay together: the attempts move on to the next one when a quota is used up.
    return replace(plan, candidates=(here, *same, *others)), "kept"


def _at(plan: Plan, stay: Stay) -> Candidate | None:
    for candidate in plan.candidates:
        if candidate.provider.slug == stay.provider and candidate.provider.location == stay.location:
            return candidate
    return None


def _pays(here: Candidate, first: Candidate, stay: Stay, prompt_tokens: int) -> bool:
    """Whether this turn costs the customer no more here, its beginning read from the cache, than there without."""
    price, other = here.offer.price, first.offer.price
    if price is None or other is None:
        return False
    warm = min(stay.warm_tokens, prompt_tokens)
    read = price.prompt if price.cache_read is None else price.cache_read
    saved = warm * (price.prompt - read)
    return _cost(price, prompt_tokens, stay) - saved <= _cost(other, prompt_tokens, stay)


def _cost(price: PriceSnapshot, prompt_tokens: int, stay: Stay) -> int:
    """10^-6 nano-USD of a turn without a cache, at the price for prompts of ordinary length."""
    return price.prompt * prompt_tokens + price.completion * stay.completion_tokens + price.request_nano_usd * 1_000_000
