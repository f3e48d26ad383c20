"""Records of a key are found in the index of its account's records, so that a request writes one index less."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_activity_log_user_time_key", "activity_log", ["user_id", "created_at_us", "api_key_id"])
    op.drop_index("ix_activity_log_user_time", table_name="activity_log")
    op.drop_index("ix_activity_log_key_time", table_name="activity_log")
