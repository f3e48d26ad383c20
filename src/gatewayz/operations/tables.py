"""Tables of request records and of kept answers. Records are read by analytics and never on the request path."""

import sqlalchemy as sa

from gatewayz.infra.db import BigId, metadata

activity_log = sa.Table(
    "activity_log",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger),
    sa.Column("api_key_id", sa.BigInteger),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("requested_model", sa.Text, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("provider", sa.Text),
    sa.Column("native_model", sa.Text),
    sa.Column("upstream_id", sa.Text),
    sa.Column("attempts", sa.Text),
    sa.Column("stream", sa.Boolean, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("error_code", sa.Text),
    sa.Column("finish_reason", sa.Text),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
    sa.Column("usage_estimated", sa.Boolean, nullable=False),
    sa.Column("cost_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("latency_us", sa.BigInteger, nullable=False),
    sa.Column("first_token_us", sa.BigInteger),
    sa.Column("environment", sa.Text),
    sa.Column("user_tag", sa.Text),
    sa.Column("app_origin", sa.Text),
    sa.Column("app_title", sa.Text),
    # An index of keys would cost every request a page of its own: those of an account are told apart in this one.
    sa.Index("ix_activity_log_user_time_key", "user_id", "created_at_us", "api_key_id"),
    sa.Index("ix_activity_log_time", "created_at_us"),
)

# Request records added up by hour, model and provider; written by `traffic.py` alone.
traffic_hours = sa.Table(
    "traffic_hours",
    metadata,
    sa.Column("hour_us", sa.BigInteger, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    # Sums over answers that succeeded, and how many of them told the time.
    sa.Column("latency_us", sa.BigInteger, nullable=False),
    sa.Column("first_token_us", sa.BigInteger, nullable=False),
    sa.Column("first_tokens", sa.BigInteger, nullable=False),
    # Sums over streams that succeeded: what they wrote, and how long that took after their first token.
    sa.Column("streamed_tokens", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("streamed_us", sa.BigInteger, nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("hour_us", "model", "provider"),
)

# Answers that clients want kept (the Responses API's `store`). Written with the settlement; encrypted.
kept_answers = sa.Table(
    "kept_answers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("previous_id", sa.Text),
    sa.Column("sealed_input", sa.LargeBinary, nullable=False),
    sa.Column("sealed_response", sa.LargeBinary, nullable=False),
    sa.Column("plain_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.Column("expires_at_us", sa.BigInteger, nullable=False),
    sa.Index("ix_kept_answers_expires_at_us", "expires_at_us"),
    sa.Index("ix_kept_answers_user_time", "user_id", "created_at_us"),
)
