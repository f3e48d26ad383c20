"""The index of what a ledger row refers to holds only rows that refer to one: a charge, the usual row, refers to none."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    refers = sa.text("refers_to IS NOT NULL")
    op.drop_index(op.f("ix_credit_transactions_refers_to"), table_name="credit_transactions")
    op.create_index(
        op.f("ix_credit_transactions_refers_to"),
        "credit_transactions",
        ["refers_to"],
        sqlite_where=refers,
        postgresql_where=refers,
    )
