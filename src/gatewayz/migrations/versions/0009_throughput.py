"""How fast streams write, by the hour: tokens and time after the first token."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("streamed_tokens", "streamed_us"):
        op.add_column("traffic_hours", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
