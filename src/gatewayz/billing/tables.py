"""Tables of money. All amounts are nano-USD (BIGINT), all times microseconds since the epoch (BIGINT).

`credit_transactions` is the ledger: append-only, double entry. Each row moves `amount_nano_usd` between the account's three
buckets (the split columns, whose sum is the amount) and one named counter-account (`contra`): what one side gains the
other side loses, so a row cannot be out of balance. Holds and leases are promises, not movements: they live apart.
"""

import sqlalchemy as sa

from gatewayz.infra.db import BigId, metadata

balances = sa.Table(
    "balances",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("trial_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("trial_ends_at_us", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("trial_day", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("trial_day_spent_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("allowance_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("allowance_ends_at_us", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("purchased_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reserved_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("day", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("day_spent_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("daily_cap_nano_usd", sa.BigInteger),
    sa.Column("last_topup_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("reserved_nano_usd >= 0", name="reserved_not_negative"),
)

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("key_id", sa.BigInteger),
    sa.Column("amount_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("key_metered", sa.Boolean, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.Column("expires_at_us", sa.BigInteger, nullable=False, index=True),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("amount_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("expires_at_us", sa.BigInteger, nullable=False, index=True),
)

key_usage = sa.Table(
    "key_usage",
    metadata,
    sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("spent_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("held_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("held_requests", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("day", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("day_spent_nano_usd", sa.BigInteger, nullable=False, server_default="0"),
)

credit_transactions = sa.Table(
    "credit_transactions",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("key_id", sa.BigInteger),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("contra", sa.Text, nullable=False),
    sa.Column("amount_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("trial_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("allowance_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("purchased_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("balance_after_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("provider", sa.Text),
    sa.Column("prompt_tokens", sa.BigInteger),
    sa.Column("completion_tokens", sa.BigInteger),
    sa.Column("usage", sa.Text),
    sa.Column("price", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("refers_to", sa.Text),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.CheckConstraint(
        "amount_nano_usd = trial_nano_usd + allowance_nano_usd + purchased_nano_usd", name="split_is_whole"
    ),
    sa.Index("ix_credit_transactions_user_time", "user_id", "created_at_us"),
    # A charge, the usual row, refers to none and stays out of the index.
    sa.Index(
        "ix_credit_transactions_refers_to",
        "refers_to",
        sqlite_where=sa.text("refers_to IS NOT NULL"),
        postgresql_where=sa.text("refers_to IS NOT NULL"),
    ),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("body_hash", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt", sa.BigInteger, nullable=False),
    sa.Column("content_type", sa.Text),
    sa.Column("answer", sa.LargeBinary),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.Column("expires_at_us", sa.BigInteger, nullable=False),
    # Claims are kept for ever, their answers for a day: only those are looked for.
    sa.Index(
        "ix_idempotency_answers",
        "expires_at_us",
        sqlite_where=sa.text("answer IS NOT NULL"),
        postgresql_where=sa.text("answer IS NOT NULL"),
    ),
)

ledger_batches = sa.Table(
    "ledger_batches",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("created_at_us", sa.BigInteger, nullable=False, index=True),
)

# One row per run. `night` is the UTC day of a nightly run: whoever inserts it first runs it, for the whole deployment.
# `since_us`: from where single rows were looked at (NULL: all); `evidence` is JSON of `reconcile.Report.evidence`.
reconciliations = sa.Table(
    "reconciliations",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("night", sa.BigInteger, unique=True),
    sa.Column("started_at_us", sa.BigInteger, nullable=False),
    sa.Column("finished_at_us", sa.BigInteger),
    sa.Column("since_us", sa.BigInteger),
    sa.Column("accounts", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rows", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("drifts", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("evidence", sa.Text, nullable=False, server_default="{}"),
)
