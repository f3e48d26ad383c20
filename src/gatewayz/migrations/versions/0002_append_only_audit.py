"""The audit trails refuse UPDATE and DELETE.

SQLite drops a table's triggers when a later step rebuilds the table (batch_alter_table): such a step must make them
again.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TRAILS = ("audit_log", "security_audit_log")


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    if not on_sqlite:
        op.execute(
            "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RAISE EXCEPTION ''the audit trail is append-only''; END'"
        )
    for trail in _TRAILS:
        for event in ("UPDATE", "DELETE"):
            trigger = f"CREATE TRIGGER {trail}_no_{event.lower()} BEFORE {event} ON {trail}"
            if on_sqlite:
                op.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END")
            else:
                op.execute(f"{trigger} FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()")
