"""Where a pairing is not faithful: what becomes of the row there instead, exactly, and why.

The suite fails where something is lost that stands not here, and where something stands here that is not lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

DOWNGRADED: Literal["downgraded"] = "downgraded"
REFUSED: Literal["refused"] = "refused"


@dataclass(frozen=True)
class Note:
    """One way in which a row is not faithful. `heard`, `got` and `later` are the facts that differ: at the provider, at the
    client, and at the provider in the second request; a function is asked about (seen, wanted). `param`: the field that a
    refusal names.
    """

    rows: tuple[str, ...]
    ingresses: tuple[str, ...]
    upstreams: tuple[str, ...]
    reason: str
    kind: Literal["downgraded", "refused"] = DOWNGRADED
    param: str = ""
    heard: dict[str, Any] = field(default_factory=dict)
    got: dict[str, Any] = field(default_factory=dict)
    later: dict[str, Any] = field(default_factory=dict)


def note_for(row: str, ingress: str, upstream: str) -> Note | None:
    """The note on a cell, None if it is faithful."""
    found = [n for n in NOTES if row in n.rows and ingress in n.ingresses and upstream in n.upstreams]
    assert len(found) < 2, "two notes on one cell"
    return found[0] if found else None


NOTES: tuple[Note, ...] = ()
