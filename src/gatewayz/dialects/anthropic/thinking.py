"""How much may the model think? From an effort or budget to what an Anthropic model takes.

| effort | budget of thinking tokens | adaptive models |
|---|---|---|
| none | no thinking | no thinking |
| minimal | 1,024 | low |
| low | 2,048 | low |
| medium | 8,192 | medium |
| high | 16,384 | high |
| xhigh | 32,768 | xhigh |
| max | 65,536 | max |

A budget counts towards `max_tokens` and must stay below it. One that follows from an effort shrinks to half of the
caller's maximum; if that would be less than 1,024, and for a budget that the caller named, the maximum is raised by it.
"""

from typing import Any

from gatewayz.core.chat import Reasoning
from gatewayz.dialects.anthropic.glance import SMALLEST_BUDGET

BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_768, "max": 65_536}
_ADAPTIVE_DEFAULT = "high"


def plan_thinking(reasoning: Reasoning | None, max_tokens: int, caller_set_max: bool, adaptive: bool) -> dict[str, Any]:
    """Body members that ask for thinking, with `max_tokens` as it must then be; just `max_tokens` without thinking."""
    if reasoning is None or reasoning.off or reasoning.effort == "none":
        return {"max_tokens": max_tokens}
    if adaptive:
        effort = _effort(reasoning)
        members: dict[str, Any] = {"max_tokens": max_tokens, "thinking": {"type": "adaptive"}}
        return {**members, "output_config": {"effort": effort}} if effort is not None else members
    asked = reasoning.budget_tokens
    budget = max(SMALLEST_BUDGET, asked if asked is not None else BUDGETS[reasoning.effort or _ADAPTIVE_DEFAULT])
    if budget >= max_tokens or not caller_set_max:
        if asked is None and caller_set_max:
            budget = max(SMALLEST_BUDGET, max_tokens // 2)
        if budget >= max_tokens or not caller_set_max:
            max_tokens += budget
    return {"max_tokens": max_tokens, "thinking": {"type": "enabled", "budget_tokens": budget}}


def _effort(reasoning: Reasoning) -> str | None:
    """The effort for an adaptive model: as asked, or the first whose budget covers the one asked for."""
    if reasoning.effort is not None:
        return "low" if reasoning.effort == "minimal" else reasoning.effort
    if reasoning.budget_tokens is None:
        return None
    for effort in ("low", "medium", "high", "xhigh"):
        if reasoning.budget_tokens <= BUDGETS[effort]:
            return effort
    return "max"
