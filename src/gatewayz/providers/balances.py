"""Where a provider says how much credit is left there, as far as that is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MEMBERS = frozenset({"url", "field", "unit", "note"})


@dataclass(frozen=True, slots=True)
class BalanceSource:
    """A GET that tells what is left. `field` says where in the answer it stands, `unit` of what; "" where nobody told.

    `note` says what else must be known: another key than that of inference, or a second way.
    """

    url: str
    field: str = ""
    unit: str = ""
    note: str = ""


def read_balance(table: Any) -> BalanceSource:
    """The `[balance]` table of a profile. Raises ValueError saying what is wrong with it."""
    if not isinstance(table, Mapping) or not {"url"} <= set(table) <= _MEMBERS:
        raise ValueError(f"must be a table of {', '.join(sorted(_MEMBERS))}; url is needed")
    if not all(isinstance(value, str) and value for value in table.values()):
        raise ValueError("must hold texts")
    if not table["url"].startswith("https://"):
        raise ValueError("url must begin with https://")
    return BalanceSource(**table)
