"""What might have been meant? Near matches of a name among thousands, by shared groups of three letters."""

import difflib
import heapq
from array import array
from collections import Counter
from collections.abc import Sequence

_CANDIDATES = 40
_LEAST_LIKENESS = 0.5


class NearMatches:
    """An index over names; building it costs a few microseconds per name."""

    __slots__ = ("_grams", "_names", "_sizes")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._sizes = array("I")
        self._grams: dict[str, array[int]] = {}
        for position, name in enumerate(self._names):
            grams = _grams(name.lower())
            self._sizes.append(len(grams))
            for gram in grams:
                found = self._grams.get(gram)
                if found is None:
                    found = self._grams[gram] = array("I")
                found.append(position)

    def near(self, typed: str, limit: int = 3) -> tuple[str, ...]:
        """Up to `limit` names that look like `typed`, best first; empty if none does."""
        wanted = typed.lower()[:100]
        grams = _grams(wanted)
        shared: Counter[int] = Counter()
        for gram in grams:
            positions = self._grams.get(gram)
            if positions is not None:
                shared.update(positions)
        best = heapq.nsmallest(_CANDIDATES, shared.items(), key=lambda hit: (-self._overlap(hit, len(grams)), hit[0]))
        scored = []
        for position, count in best:
            name = self._names[position]
            # Half by letters in order, half by how much of what was typed stands in the name: people leave out ends.
            score = (_likeness(wanted, name.lower()) + count / len(grams)) / 2
            if score >= _LEAST_LIKENESS:
                scored.append((-score, name))
        return tuple(name for _, name in sorted(scored)[:limit])

    def _overlap(self, hit: tuple[int, int], size: int) -> float:
        position, count = hit
        return count / (size + self._sizes[position])


def _grams(name: str) -> set[str]:
    # The name after the slash counts as a start of its own, since most people leave the organisation out.
    words = {name, name.rpartition("/")[2]}
    return {
        padded[start : start + 3] for word in words for padded in (f"^{word}$",) for start in range(len(padded) - 2)
    }


def _likeness(typed: str, name: str) -> float:
    pairs = ((typed, name), (typed.rpartition("/")[2], name.rpartition("/")[2]))
    return max(difflib.SequenceMatcher(None, *pair, autojunk=False).ratio() for pair in pairs)
