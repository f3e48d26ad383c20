"""Request records added up by the hour, and what Hugging Face says of models."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "traffic_hours",
        sa.Column("hour_us", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("requests", "errors", "tokens", "latency_us", "first_token_us", "first_tokens")
        ),
        sa.PrimaryKeyConstraint("hour_us", "model", "provider", name=op.f("pk_traffic_hours")),
    )
    op.create_table(
        "huggingface_models",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("found", sa.Boolean(), nullable=False),
        sa.Column("facts", sa.Text(), server_default="{}", nullable=False),
        sa.Column("fetched_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_huggingface_models")),
    )
