"""Which charges have no record, and which records no charge? Pure, over sorted groups, in memory of constant size.

A record carries the request id as the client knows it; a charge of a further attempt carries `:2`, `:3`, … behind it. A client
may choose an id that looks like such an attempt, so a charge is matched under its whole id first, and only what is left over
is tried under the id without its last part. The groups come sorted by account and by the bytes of the id: all ids that begin
with `abc` follow `abc` directly, so what may still find its partner is never more than a chain of prefixes.
"""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Literal

_ATTEMPT = re.compile(r"(.+):([2-9]|[1-9][0-9]+)", re.S)


@dataclass(frozen=True, slots=True)
class Group:
    """Charges and records of one account, request id and cost whose numbers differ.

    `charge_id` is the ledger id of one of the charges. Times are those of the latest charge and record, 0 without one.
    """

    user_id: int | None
    request_id: str
    cost: int
    charges: int
    records: int
    charge_id: str | None
    charge_at_us: int
    record_at_us: int


@dataclass(frozen=True, slots=True)
class Unmatched:
    """One charge or record without its partner, or a pair whose costs differ.

    `charged` and `recorded` are nano-USD, None for what is missing. `at_us` is the time of the charge, else of the record.
    """

    kind: Literal["record_missing", "record_differs", "charge_missing"]
    user_id: int | None
    id: str
    charged: int | None
    recorded: int | None
    at_us: int


@dataclass(slots=True)
class _Charge:
    ledger_id: str
    cost: int
    at_us: int


@dataclass(slots=True)
class _Open:
    """An id that may still be the beginning of others."""

    user_id: int | None
    request_id: str
    charges: list[_Charge] = field(default_factory=list)
    records: dict[int, list[int]] = field(default_factory=dict)  # cost -> times

    def take(self, cost: int) -> bool:
        """Takes one record of this cost, if there is one left."""
        times = self.records.get(cost)
        if not times:
            return False
        times.pop()
        return True


async def unmatched(groups: AsyncIterator[Group]) -> AsyncIterator[Unmatched]:
    """Everything that does not match. A record that cost nothing needs no charge: failures and cached answers leave such."""
    chain: list[_Open] = []
    async for group in groups:
        while chain and not _continues(chain[-1], group):
            for found in _close(chain):
                yield found
        if not chain or chain[-1].request_id != group.request_id:
            chain.append(_Open(group.user_id, group.request_id))
        last, surplus = chain[-1], group.records - group.charges
        if surplus > 0:
            last.records.setdefault(group.cost, []).extend([group.record_at_us] * surplus)
        else:
            charge = _Charge(group.charge_id or group.request_id, group.cost, group.charge_at_us)
            last.charges.extend([charge] * -surplus)
    while chain:
        for found in _close(chain):
            yield found


def _continues(last: _Open, group: Group) -> bool:
    return last.user_id == group.user_id and group.request_id.startswith(last.request_id)


def _close(chain: list[_Open]) -> Iterator[Unmatched]:
    """Ends the last id of the chain: what its charges lack is looked for in the ids that they may be an attempt of."""
    last = chain.pop()
    bases = [other for name in _bases(last.request_id) for other in chain if other.request_id == name]
    left = [charge for charge in last.charges if not any(base.take(charge.cost) for base in bases)]
    others = sorted(((at_us, cost) for cost, times in last.records.items() for at_us in times), reverse=True)
    if bases and not others:
        bases[0].charges.extend(left)
        return
    for charge in left:
        if others:
            _, cost = others.pop()
            yield Unmatched("record_differs", last.user_id, charge.ledger_id, charge.cost, cost, charge.at_us)
        else:
            yield Unmatched("record_missing", last.user_id, charge.ledger_id, charge.cost, None, charge.at_us)
    for at_us, cost in others:
        if cost:
            yield Unmatched("charge_missing", last.user_id, last.request_id, None, cost, at_us)


def _bases(request_id: str) -> Iterator[str]:
    """The ids of which this one may name an attempt, the nearest first: where numbers look alike it may be any of them."""
    while attempt := _ATTEMPT.fullmatch(request_id):
        request_id = attempt[1]
        yield request_id
