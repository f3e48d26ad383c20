"""Watching a stream's cost against what was set aside for it, and stopping it when the account cannot pay for more.

The hold covers the longest answer that was asked for, so this concerns providers that write on beyond it, and models whose
limit nobody knows. What was produced is counted low on purpose: a stream is never stopped for an estimate's sake.
"""

from collections.abc import Callable

from gatewayz.billing.cashier import Cashier, Hold
from gatewayz.core.caller import Caller
from gatewayz.core.errors import GatewayError, PaymentRequired
from gatewayz.core.usage import Usage
from gatewayz.dialects.base import StreamFacts

# Twice the usual four: even dense prose has fewer characters a token.
FEW_TOKENS_CHARS = 8


class Budget:
    """What one stream may still cost. `price` is nano-USD of a usage at the pinned price.

    Until its answer has `next_look_chars` characters there is no need to ask.
    """

    def __init__(
        self,
        cashier: Cashier,
        caller: Caller,
        ledger_id: str,
        hold: Hold,
        prompt_tokens: int,
        price: Callable[[Usage], int],
    ) -> None:
        self._cashier = cashier
        self._caller = caller
        self._ledger_id = ledger_id
        self._prompt_tokens = prompt_tokens
        self._price = price
        self._held = hold.ref.amount
        self._further: list[Hold] = []
        self.next_look_chars = 0

    async def allows(self, facts: StreamFacts) -> bool:
        """Whether the stream may go on; sets more aside where it must."""
        if facts.finish is not None:
            return True  # an answer whose end is known costs what it costs: stopping it now would save nothing
        spent = self._at_least(facts)
        if spent > self._held and not await self._set_aside(spent):
            return False
        # Until the answer has grown by half of what the hold still pays for, there is nothing to look at.
        growth = max(1024, facts.output_chars // 4)
        self.next_look_chars = facts.output_chars + growth
        return True

    def close(self) -> None:
        """Gives back what was set aside beyond the first hold. May be called twice."""
        further, self._further = self._further, []
        for hold in further:
            self._cashier.release(hold, None)

    def _at_least(self, facts: StreamFacts) -> int:
        counted = facts.output_chars // FEW_TOKENS_CHARS
        reported = facts.usage.completion_tokens if facts.usage is not None else 0
        return self._price(Usage(self._prompt_tokens, max(counted, reported)))

    async def _set_aside(self, spent: int) -> bool:
        wanted = max(spent - self._held, self._held // 2)
        try:
            hold = await self._cashier.hold(self._caller, f"{self._ledger_id}:more{len(self._further) + 1}", wanted)
        except GatewayError:
            return False
        self._further.append(hold)
        self._held += wanted
        return True


def used_up(model: str) -> PaymentRequired:
    """What a client is told whose stream was stopped because its credit is used up."""
    return PaymentRequired(
        f"The answer of {model} was stopped: it grew beyond what was set aside and the balance does not cover more."
        " What was produced until here is charged.",
        code="credit_used_up",
    )
