"""Which application made a request, as it says of itself."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("app_origin", "app_title"):
        op.add_column("activity_log", sa.Column(name, sa.Text(), nullable=True))
