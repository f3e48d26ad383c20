"""Money that people move: opening accounts, granting, correcting and refunding. One function, one transaction, one unique key.

Every function works in the caller's transaction, so that the audit entry of the same act commits or fails with it. The
balance row is locked first, as in the batches of the request path, so neither can overwrite the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.billing.account import Balance, Split
from gatewayz.billing.tables import balances, credit_transactions
from gatewayz.core.errors import Conflict, InvalidRequest, NotFound
from gatewayz.core.money import nano_from_usd, usd_text
from gatewayz.infra.clock import US_PER_DAY
from gatewayz.settings import Settings


@dataclass(frozen=True, slots=True)
class OpenedAccount:
    """What a new account was given."""

    balance_nano_usd: int
    trial_ends_at_us: int | None


@dataclass(frozen=True, slots=True)
class Movement:
    """A finished movement; `repeated` if the same unique key had moved it before and nothing moved now."""

    transaction_id: int
    amount: int
    balance_after: int
    repeated: bool


@dataclass(frozen=True, slots=True)
class Order:
    """Who moves what, and why. `key` makes the movement unique: the same key again returns the first result.

    `refers_to` is the ledger id of the charge that a refund belongs to.
    """

    user_id: int
    amount: int
    key: str
    reason: str
    actor: str
    now_us: int
    refers_to: str | None = None


async def open_account(
    connection: AsyncConnection, settings: Settings, user_id: int, now_us: int, *, trial: bool
) -> OpenedAccount:
    """Makes the balance row of a new account, with the trial credit if `trial`. The only place that grants a trial.

    Called again for an account that has a balance row it changes nothing and says what there is.
    """
    found = await _locked(connection, user_id)
    if found is not None:
        return OpenedAccount(found.total, found.trial_ends_at_us or None)
    credit = nano_from_usd(settings.trial_credit_usd) if trial else 0
    ends_at_us = now_us + settings.trial_days * US_PER_DAY if credit else 0
    await connection.execute(
        sa.insert(balances).values(user_id=user_id, trial_nano_usd=credit, trial_ends_at_us=ends_at_us)
    )
    if credit:
        order = Order(user_id, credit, f"trial:{user_id}", "registration", "system", now_us)
        await _write(connection, order, "trial", "promotions", Split(trial=credit), credit)
    return OpenedAccount(credit, ends_at_us or None)


async def grant(connection: AsyncConnection, order: Order) -> Movement:
    """Adds purchased credit (`admin_credit`). Raises NotFound for an unknown account, InvalidRequest for amounts <= 0."""
    if order.amount <= 0:
        raise InvalidRequest("The amount must be above zero.", code="parameter_out_of_range", param="amount_usd")

    def move(balance: Balance) -> Split:
        balance.purchased += order.amount
        balance.last_topup = order.amount
        return Split(purchased=order.amount)

    return await _move(connection, order, "admin_credit", "grants", move)


async def adjust(connection: AsyncConnection, order: Order) -> Movement:
    """Corrects purchased credit up or down. A debit may not exceed what is purchased."""
    if order.amount == 0:
        raise InvalidRequest("The amount must not be zero.", code="parameter_out_of_range", param="amount_usd")

    def move(balance: Balance) -> Split:
        if order.amount < 0 and balance.purchased + order.amount < 0:
            raise InvalidRequest(
                f"The account has only {usd_text(max(0, balance.purchased))} USD of purchased credit.",
                code="parameter_out_of_range",
                param="amount_usd",
            )
        balance.purchased += order.amount
        return Split(purchased=order.amount)

    kind = "admin_credit" if order.amount > 0 else "admin_debit"
    return await _move(connection, order, kind, "corrections", move)


async def refund_charge(
    connection: AsyncConnection, order: Order, charge_request_id: str, amount: int | None
) -> Movement:
    """Gives a charge back, in whole or in part (`amount` None: what is left of it), to the buckets that paid.

    Raises NotFound for an unknown charge, InvalidRequest if more than the rest of the charge is asked for.
    """
    locked = await _locked(connection, order.user_id)
    charge = await _charge(connection, order.user_id, charge_request_id)
    if locked is None or charge is None:
        raise NotFound("There is no charge with this request id on this account.", param="request_id")
    done = await _by_key(connection, order.key)
    if done is not None:
        return Movement(done.id, done.amount_nano_usd, done.balance_after_nano_usd, True)
    earlier = await connection.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(credit_transactions.c.amount_nano_usd), 0)).where(
            credit_transactions.c.user_id == order.user_id,
            credit_transactions.c.type == "refund",
            credit_transactions.c.refers_to == charge.request_id,
        )
    )
    left = -charge.amount_nano_usd - int(earlier or 0)
    wanted = left if amount is None else amount
    if wanted <= 0 or wanted > left:
        raise InvalidRequest(
            f"At most {usd_text(max(0, left))} USD of this charge can still be refunded.",
            code="parameter_out_of_range",
            param="amount_usd",
        )
    paid = Split(charge.trial_nano_usd, charge.allowance_nano_usd, charge.purchased_nano_usd)
    split = _back_to_payers(wanted, paid)
    full = replace(order, amount=wanted, refers_to=charge.request_id)
    return await _move(connection, full, "refund", "revenue", lambda balance: _add(balance, split))


async def correct_charge(connection: AsyncConnection, order: Order, paid: Split) -> Movement:
    """Puts right what a charge (`order.refers_to`) took: credit returns to the buckets that paid, parts of `paid` below zero.

    A negative amount is taken from purchased credit. Raises NotFound for an unknown account, InvalidRequest if its
    purchased credit does not cover the debit; then nothing moved and the transaction may go on.
    """
    split = _back_to_payers(order.amount, paid) if order.amount > 0 else Split(purchased=order.amount)

    def move(balance: Balance) -> Split:
        if order.amount < 0 and balance.purchased + order.amount < 0:
            raise InvalidRequest("The purchased credit does not cover this debit.", code="parameter_out_of_range")
        return _add(balance, split)

    kind = "admin_credit" if order.amount > 0 else "admin_debit"
    return await _move(connection, order, kind, "corrections", move)


async def granted_by(connection: AsyncConnection, actor: str, since_us: int) -> int:
    """Nano-USD that this actor has granted since then."""
    total = await connection.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(credit_transactions.c.amount_nano_usd), 0)).where(
            credit_transactions.c.actor == actor,
            credit_transactions.c.type == "admin_credit",
            credit_transactions.c.created_at_us >= since_us,
        )
    )
    return int(total or 0)


async def set_daily_cap(connection: AsyncConnection, user_id: int, cap_nano_usd: int | None) -> None:
    """Sets the account's own cap per UTC day (None: none). Raises NotFound for an unknown account."""
    result = await connection.execute(
        sa.update(balances).where(balances.c.user_id == user_id).values(daily_cap_nano_usd=cap_nano_usd)
    )
    if result.rowcount == 0:
        raise NotFound("There is no such account.", param="user_id")


def _back_to_payers(amount: int, paid: Split) -> Split:
    """The buckets are filled in the reverse order of deduction, each up to what it paid."""
    purchased = min(amount, max(0, -paid.purchased))
    allowance = min(amount - purchased, max(0, -paid.allowance))
    return Split(amount - purchased - allowance, allowance, purchased)


def _add(balance: Balance, split: Split) -> Split:
    balance.trial += split.trial
    balance.allowance += split.allowance
    balance.purchased += split.purchased
    return split


async def _move(
    connection: AsyncConnection, order: Order, kind: str, contra: str, move: Callable[[Balance], Split]
) -> Movement:
    balance = await _locked(connection, order.user_id)
    if balance is None:
        raise NotFound("There is no such account.", param="user_id")
    done = await _by_key(connection, order.key)
    if done is not None:
        if done.user_id != order.user_id or done.type != kind:
            raise Conflict("This request id was used for another movement.", code="idempotency_conflict")
        return Movement(done.id, done.amount_nano_usd, done.balance_after_nano_usd, True)
    split = move(balance)
    await connection.execute(
        sa.update(balances)
        .where(balances.c.user_id == order.user_id)
        .values(
            trial_nano_usd=balance.trial,
            allowance_nano_usd=balance.allowance,
            purchased_nano_usd=balance.purchased,
            last_topup_nano_usd=balance.last_topup,
        )
    )
    row_id = await _write(connection, order, kind, contra, split, balance.total)
    return Movement(row_id, split.total, balance.total, False)


async def _write(
    connection: AsyncConnection, order: Order, kind: str, contra: str, split: Split, balance_after: int
) -> int:
    result = await connection.execute(
        sa.insert(credit_transactions)
        .values(
            request_id=order.key,
            user_id=order.user_id,
            type=kind,
            contra=contra,
            amount_nano_usd=split.total,
            trial_nano_usd=split.trial,
            allowance_nano_usd=split.allowance,
            purchased_nano_usd=split.purchased,
            balance_after_nano_usd=balance_after,
            reason=order.reason,
            actor=order.actor,
            refers_to=order.refers_to,
            created_at_us=order.now_us,
        )
        .returning(credit_transactions.c.id)
    )
    return int(result.scalar_one())


async def _locked(connection: AsyncConnection, user_id: int) -> Balance | None:
    query = sa.select(balances).where(balances.c.user_id == user_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return Balance(*row) if row is not None else None


async def _by_key(connection: AsyncConnection, key: str) -> Any:
    query = sa.select(credit_transactions).where(credit_transactions.c.request_id == key)
    return (await connection.execute(query)).one_or_none()


async def _charge(connection: AsyncConnection, user_id: int, request_id: str) -> Any:
    names = (request_id, f"{user_id}:{request_id}")
    query = sa.select(credit_transactions).where(
        credit_transactions.c.user_id == user_id,
        credit_transactions.c.type == "api_usage",
        credit_transactions.c.request_id.in_(names),
    )
    return (await connection.execute(query)).first()
