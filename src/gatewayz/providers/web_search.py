"""Which of a provider's models search the web, how they are asked to, and what a search costs there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gatewayz.core.money import nano_from_usd
from gatewayz.core.usage import Usage
from gatewayz.dialects.web_search import FORMS

# What is billed: each search that ran, a prompt for which any ran, or every request, since the model always searches.
Counting = Literal["each", "prompt", "request"]
_MEMBERS = frozenset({"form", "models", "counts", "price_usd", "source"})


@dataclass(frozen=True, slots=True)
class WebSearch:
    """How models whose names match `models` (None: all) search. `price_nano_usd` is that of one search, None if unknown."""

    form: str
    counts: Counting = "each"
    price_nano_usd: int | None = None
    models: re.Pattern[str] | None = None
    source: str = ""

    @property
    def honours(self) -> frozenset[str]:
        """What of a client's wishes can be said there."""
        return FORMS[self.form].honours

    @property
    def dialect(self) -> str:
        """The dialect in which the search can be asked for."""
        return FORMS[self.form].dialect

    @property
    def always(self) -> bool:
        """Whether it searches unasked."""
        return self.counts == "request"

    def billed(self, usage: Usage, *, asked: bool) -> int:
        """The searches that the provider bills for an answer; `asked` says whether the request asked for one.

        Where the provider was silent about its usage, one that was asked for is taken to have taken place.
        """
        found = usage.web_searches
        if self.always:
            return max(1, found)
        if not found and asked and usage.estimated:
            return 1
        return min(1, found) if self.counts == "prompt" else found


def search_for(native_id: str, searches: tuple[WebSearch, ...]) -> WebSearch | None:
    """The first of these ways that is there for a model; None if it does not search."""
    for each in searches:
        if each.models is None or each.models.fullmatch(native_id) is not None:
            return each
    return None


def read_web_search(table: Any) -> WebSearch:
    """One `[[web_search]]` table of a profile. Raises ValueError saying what is wrong with it."""
    if not isinstance(table, Mapping) or not {"form", "source"} <= set(table) <= _MEMBERS:
        raise ValueError(f"must be a table of {', '.join(sorted(_MEMBERS))}; form and source are needed")
    if not all(isinstance(value, str) and value for value in table.values()):
        raise ValueError("must hold texts")
    counts = table.get("counts", "each")
    if counts not in get_args(Counting):
        raise ValueError(f"counts must be one of {', '.join(get_args(Counting))}")
    try:
        models = re.compile(table["models"]) if "models" in table else None
    except re.error as error:
        raise ValueError(f"models must be a regular expression: {error}") from error
    price = price_of_search(table["price_usd"]) if "price_usd" in table else None
    return WebSearch(known_form(table["form"]), counts, price, models, table["source"])


def known_form(form: Any) -> str:
    """The name of a way to ask for a search. Raises ValueError if it is none."""
    if not isinstance(form, str) or form not in FORMS:
        raise ValueError(f"must be one of {', '.join(sorted(FORMS))}, not {form!r}")
    return form


def price_of_search(value: Any) -> int:
    """Nano-USD of one search, from USD. Raises ValueError if it is no price."""
    try:
        amount = -1 if isinstance(value, bool) else nano_from_usd(value)
    except ValueError:
        amount = -1
    if amount < 0:
        raise ValueError(f"must be a price in USD, zero or more, not {value!r}")
    return amount
