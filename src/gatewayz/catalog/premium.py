"""Which models must never run without a price of their own?

Anything is refused without a price: there is no default rate. For the models below a slip would be dear, so they carry
a mark that the refusal names and operators are alerted by.
"""

import re
from collections.abc import Sequence

from gatewayz.catalog.models import Model
from gatewayz.catalog.offers import Offer
from gatewayz.core.errors import Unavailable

PREMIUM_PATTERNS: tuple[str, ...] = (
    r"gpt-4",
    r"gpt-5",
    r"\bo1\b",
    r"\bo3\b",
    r"\bo4\b",
    r"claude",
    r"gemini-1\.5-pro",
    r"gemini-pro",
    r"gemini-(?:[2-9]|[1-9]\d)\b",
    r"command-r-plus",
    r"mixtral-8x22b",
    r"\bgrok\b",
)
_PREMIUM = re.compile("|".join(PREMIUM_PATTERNS), re.IGNORECASE)


def is_premium(model_id: str) -> bool:
    """True if the model belongs to the families that are never served at anything but their own price."""
    return _PREMIUM.search(model_id) is not None


def guard(model: Model, offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """The offers that have a price of their own, in their order.

    Raises Unavailable `pricing_unavailable` naming the model if there are offers and none of them has one.
    """
    priced = tuple(offer for offer in offers if offer.usable)
    if offers and not priced:
        raise Unavailable(
            f"The model {model.id} has no confirmed price at the moment, so it cannot be used. Choose another model or "
            "try again later.",
            code="pricing_unavailable",
            param="model",
            details={"model": model.id, "premium": model.premium},
        )
    return priced
