"""Reading money: the balance of an account, and its ledger a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.billing.account import Balance, allowance_left, day_spent, standing, trial_left
from gatewayz.billing.tables import balances, credit_transactions, key_usage
from gatewayz.core.errors import NotFound

TYPES = (
    "trial", "purchase", "api_usage", "admin_credit", "admin_debit", "refund", "bonus", "coupon", "referral",
    "subscription_allowance", "sla_credit", "hold", "release",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BalanceView:
    """What an account has and may spend now; nano-USD. `status` is active, trial, trial_expired or depleted.

    `spendable` is what buckets and caps allow; `reserved` the part of it that is promised to running requests or kept
    ready by the servers that serve this account.
    """

    total: int
    spendable: int
    reserved: int
    trial: int
    trial_spendable: int
    trial_ends_at_us: int | None
    allowance: int
    purchased: int
    spent_today: int
    daily_cap: int | None
    status: str
    blocked_by: str | None


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which rows of one account are wanted; None does not filter. Times are microseconds, `until_us` is exclusive."""

    user_id: int | None
    type: str | None = None
    key_id: int | None = None
    from_us: int | None = None
    until_us: int | None = None
    include_holds: bool = True


async def view(connection: AsyncConnection, user_id: int, now_us: int, trial_daily: int) -> BalanceView:
    """The balance of an account. Raises NotFound."""
    row = (await connection.execute(sa.select(balances).where(balances.c.user_id == user_id))).one_or_none()
    if row is None:
        raise NotFound("There is no such account.", param="user_id")
    balance = Balance(*row)
    now = standing(balance, now_us, trial_daily)
    return BalanceView(
        total=balance.total,
        spendable=now.spendable,
        reserved=balance.reserved,
        trial=balance.trial,
        trial_spendable=trial_left(balance, now_us, trial_daily),
        trial_ends_at_us=balance.trial_ends_at_us or None,
        allowance=allowance_left(balance, now_us),
        purchased=balance.purchased,
        spent_today=day_spent(balance, now_us),
        daily_cap=balance.daily_cap,
        status=_status(balance, now_us),
        blocked_by=now.blocked_by if now.spendable <= 0 else None,
    )


async def page(
    connection: AsyncConnection, wanted: LedgerFilter, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Rows newest first, and the number of all that match."""
    table = credit_transactions.c
    conditions = []
    if wanted.user_id is not None:
        conditions.append(table.user_id == wanted.user_id)
    if wanted.type is not None:
        conditions.append(table.type == wanted.type)
    if wanted.key_id is not None:
        conditions.append(table.key_id == wanted.key_id)
    if wanted.from_us is not None:
        conditions.append(table.created_at_us >= wanted.from_us)
    if wanted.until_us is not None:
        conditions.append(table.created_at_us < wanted.until_us)
    if not wanted.include_holds:
        conditions.append(table.type != "hold")
    query = sa.select(credit_transactions).where(*conditions).order_by(table.id.desc()).limit(limit).offset(offset)
    rows = (await connection.execute(query)).mappings().all()
    total = await connection.scalar(sa.select(sa.func.count()).select_from(credit_transactions).where(*conditions))
    return [dict(row) for row in rows], int(total or 0)


async def charged_at_us(connection: AsyncConnection, user_id: int, request_ids: Sequence[str]) -> int | None:
    """When the account was charged, or refunded, for one of these requests; None if it never was."""
    ids = [f"{user_id}:{each}{mark}" for each in request_ids for mark in ("", ":hold")]
    query = sa.select(sa.func.max(credit_transactions.c.created_at_us)).where(credit_transactions.c.request_id.in_(ids))
    found = await connection.scalar(query)
    return None if found is None else int(found)


async def spent_by_account(connection: AsyncConnection, user_id: int) -> int:
    """Nano-USD that all keys of the account have ever spent."""
    query = sa.select(sa.func.coalesce(sa.func.sum(key_usage.c.spent_nano_usd), 0)).where(
        key_usage.c.user_id == user_id
    )
    return int(await connection.scalar(query) or 0)


async def spent_by_key(connection: AsyncConnection, key_id: int, day: int) -> tuple[int, int]:
    """Nano-USD that a key has ever spent, and on this UTC day (days since the epoch)."""
    columns = key_usage.c.spent_nano_usd, key_usage.c.day, key_usage.c.day_spent_nano_usd
    row = (await connection.execute(sa.select(*columns).where(key_usage.c.key_id == key_id))).one_or_none()
    if row is None:
        return 0, 0
    return row.spent_nano_usd, row.day_spent_nano_usd if row.day == day else 0


def _status(balance: Balance, now_us: int) -> str:
    if balance.trial_ends_at_us and balance.purchased <= 0 and allowance_left(balance, now_us) == 0:
        return "trial" if now_us < balance.trial_ends_at_us else "trial_expired"
    return "active" if balance.total > 0 else "depleted"
