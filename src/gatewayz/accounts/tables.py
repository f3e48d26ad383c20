"""Tables of accounts, their keys and the audit trail. Times are microseconds since the epoch, money is nano-USD.

Lists and snapshots are JSON text: they are read whole and never searched inside. The two audit tables refuse UPDATE and
DELETE by triggers (made by a migration), so that not even our own code can bend a written entry.
"""

import sqlalchemy as sa

from gatewayz.infra.db import BigId, metadata

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("email_normalised", sa.Text, nullable=False, unique=True),
    sa.Column("auth_method", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False, server_default="live"),
    sa.Column("role", sa.Text, nullable=False, server_default="user"),
    sa.Column("tier", sa.Text, nullable=False, server_default="free"),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column("trial_ends_at_us", sa.BigInteger),
    sa.Column("created_at_us", sa.BigInteger, nullable=False, index=True),
    sa.CheckConstraint("role IN ('admin', 'support', 'developer', 'team', 'user')", name="role_known"),
    sa.CheckConstraint("tier IN ('free', 'starter', 'pro', 'enterprise')", name="tier_known"),
    sa.CheckConstraint("status IN ('active', 'suspended', 'deleted')", name="status_known"),
    sqlite_autoincrement=True,
)

api_keys = sa.Table(
    "api_keys_new",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("user_id", sa.BigInteger, sa.ForeignKey("users.id"), nullable=False),
    sa.Column("key_name", sa.Text, nullable=False),
    sa.Column("encrypted_key", sa.Text, nullable=False),
    sa.Column("key_hash", sa.Text, nullable=False, unique=True),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("last4", sa.Text, nullable=False),
    sa.Column("environment_tag", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("ip_allowlist", sa.Text, nullable=False, server_default="[]"),
    sa.Column("domain_referrers", sa.Text, nullable=False, server_default="[]"),
    sa.Column("model_allowlist", sa.Text, nullable=False, server_default="[]"),
    sa.Column("expires_at_us", sa.BigInteger),
    sa.Column("max_requests", sa.BigInteger),
    sa.Column("daily_cap_nano_usd", sa.BigInteger),
    sa.Column("rpm_limit", sa.BigInteger),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("deleted_at_us", sa.BigInteger),
    sa.Column("previous_key_hash", sa.Text, unique=True),
    sa.Column("previous_expires_at_us", sa.BigInteger),
    sa.Column("last_used_at_us", sa.BigInteger),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
# A deleted key keeps its row, since usage points at it, but gives its name back.
sa.Index(
    "uq_api_keys_new_user_name",
    api_keys.c.user_id,
    api_keys.c.key_name,
    unique=True,
    sqlite_where=api_keys.c.deleted_at_us.is_(None),
    postgresql_where=api_keys.c.deleted_at_us.is_(None),
)

ip_allowlist = sa.Table(
    "ip_allowlist",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("ip", sa.Text, nullable=False),
    sa.Column("user_id", sa.BigInteger, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("key_id", sa.BigInteger, sa.ForeignKey("api_keys_new.id")),
    sa.Column("label", sa.Text, nullable=False, server_default=""),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

key_use_hours = sa.Table(
    "key_use_hours",
    metadata,
    sa.Column("key_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("uses", sa.BigInteger, nullable=False),
    sa.Column("last_used_at_us", sa.BigInteger, nullable=False),
    sa.Column("ip", sa.Text, nullable=False),
)


def _trail(name: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False, index=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("actor_user_id", sa.BigInteger, index=True),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("owner_user_id", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("ip", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Index(f"ix_{name}_action_seq", "action", "seq"),
        sa.Index(f"ix_{name}_owner_seq", "owner_user_id", "seq"),
    )


audit_log = _trail("audit_log")
security_audit_log = _trail("security_audit_log")

# The last link of each chain: the row that writers queue at, and the proof that no entry was cut off at the end.
audit_heads = sa.Table(
    "audit_heads",
    metadata,
    sa.Column("chain", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)
