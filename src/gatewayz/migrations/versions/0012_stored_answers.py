"""Stored answers are found by an index of their own: claims without one, which are kept for ever, stay out of it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    stored = sa.text("answer IS NOT NULL")
    op.create_index(
        "ix_idempotency_answers", "idempotency", ["expires_at_us"], sqlite_where=stored, postgresql_where=stored
    )
    op.drop_index("ix_idempotency_expires_at_us", table_name="idempotency")
