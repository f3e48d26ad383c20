"""What was searched for, best first: words in any order, with any punctuation, whole or in part."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gatewayz.catalog.listing import Served, folded, squashed, words_of

# A number with its decimals is one word: 3.3 is another version than 3.1.
_SPLIT = re.compile(r"[^\W_]+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class _Text:
    row: Served
    whole: str  # id and name without punctuation
    bare: str  # the id behind the organisation, without punctuation
    words: frozenset[str]


class SearchIndex:
    """An index over models; building it costs a few microseconds per model."""

    __slots__ = ("_texts",)

    def __init__(self, rows: Iterable[Served]) -> None:
        self._texts = tuple(_text(row) for row in rows)

    def find(self, query: str, used: Callable[[str], int] = lambda _: 0) -> list[tuple[Served, float]]:
        """Rows with all words of the query and their scores, best first; empty for a query without words.

        Equal scores are ordered by how much a model is `used`, then newest first.
        """
        words = tuple(_SPLIT.findall(folded(query)))
        parts = words_of(query)
        if not words:
            return []
        joined = "".join(parts)
        hits = [text for text in self._texts if all(part in text.whole for part in parts)]
        scored = [(text.row, _score(text, words, joined)) for text in hits]
        scored.sort(key=lambda hit: (-hit[1], -used(hit[0].model.id), -hit[0].model.created_at_us, hit[0].model.id))
        return scored


def _text(row: Served) -> _Text:
    model = row.model
    return _Text(
        row,
        # The organisation at the end as well, so that words joined across the slash are found in either order.
        squashed(f"{model.id} {model.name} {model.vendor}"),
        squashed(model.id.rpartition("/")[2]),
        frozenset(_SPLIT.findall(folded(f"{model.id} {model.name}"))),
    )


def _score(text: _Text, words: tuple[str, ...], joined: str) -> float:
    """From 0 to 1: exact names first, then names that begin so, then whole words, then parts of words."""
    if text.bare == joined or squashed(text.row.model.id) == joined:
        return 1.0
    bare = text.bare
    whole = sum(word in text.words for word in words) / len(words)
    begun = sum(any(own.startswith(word) for own in text.words) for word in words) / len(words)
    # Of names that hold the words the shorter ones say less else.
    held = sum(len(part) for part in map(squashed, words) if part in bare)
    share = min(1.0, held / max(len(bare), 1))
    start = 0.2 if bare.startswith(joined) else 0.1 if any(bare.startswith(squashed(word)) for word in words) else 0.0
    return round(0.3 * whole + 0.2 * begun + 0.25 * share + start, 4)
