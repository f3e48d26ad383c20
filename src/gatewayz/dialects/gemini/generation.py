"""What depends on the generation of a Gemini model: how it is told to think, and how calls travel back to it.

| effort | budget of thinking tokens (2.5) | level (3 and later) |
|---|---|---|
| none | 0, or the least that the model takes | the lowest that the model has, thoughts not shown |
| minimal | 1,024 | minimal |
| low | 1,024 | low |
| medium | 8,192 | medium |
| high | 24,576 | high |
| xhigh, max | the most that the model takes | high |

A level that a model lacks is replaced by the next higher one; a budget asked of a model with levels becomes the first level
whose figure covers it. Models that do not think (2.0 and before, Gemma, those for images and speech) are not told anything.
"""

import re
from dataclasses import dataclass
from typing import Any

from gatewayz.core.chat import Reasoning

LEVELS = ("minimal", "low", "medium", "high")
_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576}
_LEVEL_BUDGETS = ((2_048, "low"), (8_192, "medium"))  # up to so many thinking tokens; above: high
_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_SILENT = re.compile(r"image|tts|live|native-audio|embedding")
_LATEST = (3, 9)  # a name without a version, such as gemini-flash-latest, is the newest


@dataclass(frozen=True, slots=True)
class Thinker:
    """How one model may be told to think: `levels`, or budgets from `least` (0: `may_rest`) to `most` tokens."""

    levels: tuple[str, ...] = ()
    least: int = 0
    most: int = 0
    may_rest: bool = True


def version_of(native_id: str) -> tuple[int, int]:
    """(major, minor) of a Gemini model; (0, 0) for other families."""
    name = native_id.rpartition("/")[2].lower()
    found = _VERSION.match(name)
    if found is not None:
        return int(found[1]), int(found[2] or 0)
    return _LATEST if name.startswith("gemini-") and name.endswith("-latest") else (0, 0)


def wants_marked_calls(native_id: str) -> bool:
    """Whether calls go back with their ids, and the first of each turn with a signature or an excuse for its absence.

    From the third generation on both are wanted; before it no ids are given, and some endpoints refuse them.
    """
    return version_of(native_id) >= (3, 0)


def thinker(native_id: str) -> Thinker | None:
    """How the model may be told to think; None if it does not think."""
    version, name = version_of(native_id), native_id.lower()
    if version < (2, 5) or _SILENT.search(name):
        return None
    if version < (3, 0):
        if "pro" in name:
            return Thinker(least=128, most=32_768, may_rest=False)
        return Thinker(least=512 if "lite" in name else 1, most=24_576)
    if "pro" not in name:
        return Thinker(LEVELS)
    return Thinker(("low", "high") if version == (3, 0) else ("low", "medium", "high"))


def thinking_config(reasoning: Reasoning, model: Thinker) -> dict[str, Any]:
    """The `thinkingConfig` for what is asked of reasoning."""
    off = reasoning.off or reasoning.effort == "none"
    if model.levels:
        level = model.levels[0] if off else _level(reasoning, model.levels)
        config: dict[str, Any] = {"includeThoughts": not off}
        return {**config, "thinkingLevel": level} if level is not None else config
    if off:
        return {"includeThoughts": False, "thinkingBudget": 0 if model.may_rest else model.least}
    budget = _budget(reasoning, model.most)
    if budget is None:
        return {"includeThoughts": True, "thinkingBudget": -1}  # as much as the model sees fit
    return {"includeThoughts": True, "thinkingBudget": min(max(budget, model.least), model.most)}


def _level(reasoning: Reasoning, levels: tuple[str, ...]) -> str | None:
    wanted: str | None = reasoning.effort
    if wanted is None and reasoning.budget_tokens is not None:
        covered = (level for most, level in _LEVEL_BUDGETS if reasoning.budget_tokens <= most)
        wanted = next(covered, "high")
    if wanted is None:
        return None
    place = LEVELS.index(wanted) if wanted in LEVELS else len(LEVELS) - 1
    return next((level for level in levels if LEVELS.index(level) >= place), levels[-1])


def _budget(reasoning: Reasoning, most: int) -> int | None:
    if reasoning.budget_tokens is not None:
        return reasoning.budget_tokens
    return None if reasoning.effort is None else _BUDGETS.get(reasoning.effort, most)
