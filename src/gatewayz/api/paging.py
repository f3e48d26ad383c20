"""Lists: one way to ask for a page and one shape of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query


@dataclass(frozen=True, slots=True)
class Page:
    """How many rows are wanted, and how many to leave out before them."""

    limit: int
    offset: int


def _page(
    limit: Annotated[int, Query(ge=1, le=1000, description="rows in the answer")] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1, description="rows to leave out first")] = 0,
) -> Page:
    return Page(limit, offset)


Paging = Annotated[Page, Depends(_page)]


def listed(data: Sequence[Any], total: int, page: Page) -> dict[str, Any]:
    """The answer of a list; `total` counts all rows that match, not those of this page."""
    return {
        "data": list(data),
        "total": total,
        "returned": len(data),
        "limit": page.limit,
        "offset": page.offset,
        "has_more": page.offset + len(data) < total,
    }
