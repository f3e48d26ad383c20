"""Tables of the catalog. Each source owns its rows, so that what one withdraws lets another's show again."""

import sqlalchemy as sa

from gatewayz.infra.db import BigId, metadata

models_catalog = sa.Table(
    "models_catalog",
    metadata,
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("vendor", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("context_length", sa.BigInteger),
    sa.Column("max_output_tokens", sa.BigInteger),
    sa.Column("modality", sa.Text),
    # Words of what the source says the model can do; a leading ! says that it cannot.
    sa.Column("capabilities", sa.Text, nullable=False, server_default=""),
    sa.Column("released_at_us", sa.BigInteger),
    sa.Column("huggingface_id", sa.Text),
    sa.Column("status", sa.Text),
    sa.Column("deprecation_date", sa.Text),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.Column("updated_at_us", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("id", "source"),
)

offers = sa.Table(
    "offers",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False, index=True),
    sa.Column("native_id", sa.Text, nullable=False),
    # Comma separated, in order; part of the key, since one name may cost differently in another region.
    sa.Column("regions", sa.Text, nullable=False, server_default=""),
    sa.Column("variant", sa.Text, nullable=False, server_default=""),
    sa.Column("context_length", sa.BigInteger),
    sa.Column("max_output_tokens", sa.BigInteger),
    sa.Column("capabilities", sa.Text, nullable=False, server_default=""),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    sa.Column("suspect", sa.Boolean, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column("confidence", sa.Text),
    sa.Column("stated_by", sa.Text, nullable=False, server_default=""),
    # False with the reason: what a source lists and this catalog keeps without using it.
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("created_at_us", sa.BigInteger, nullable=False),
    sa.Column("updated_at_us", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["model_id", "source"], ["models_catalog.id", "models_catalog.source"]),
    sa.UniqueConstraint("source", "model_id", "provider", "native_id", "regions", "variant"),
    sqlite_autoincrement=True,
)

# Prices are nano-USD per million tokens, `request_nano_usd` per request; see `prices.PriceSnapshot` for each kind.
price_history = sa.Table(
    "price_history",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("offer_id", sa.BigInteger, sa.ForeignKey("offers.id"), nullable=False, index=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("effective_from_us", sa.BigInteger, nullable=False),
    sa.Column("effective_until_us", sa.BigInteger),
    sa.Column("prompt", sa.BigInteger, nullable=False),
    sa.Column("completion", sa.BigInteger, nullable=False),
    sa.Column("cache_read", sa.BigInteger),
    sa.Column("cache_write_5m", sa.BigInteger),
    sa.Column("cache_write_1h", sa.BigInteger),
    sa.Column("reasoning", sa.BigInteger),
    sa.Column("audio_input", sa.BigInteger),
    sa.Column("audio_output", sa.BigInteger),
    sa.Column("image_input", sa.BigInteger),
    sa.Column("image_output", sa.BigInteger),
    sa.Column("batch_prompt", sa.BigInteger),
    sa.Column("batch_completion", sa.BigInteger),
    sa.Column("request_nano_usd", sa.BigInteger, nullable=False),
    sa.Column("tiers", sa.Text, nullable=False, server_default="[]"),
    sa.Column("units", sa.Text, nullable=False, server_default="{}"),
    sqlite_autoincrement=True,
)

# At most one price of an offer is in force.
sa.Index(
    "uq_price_history_in_force",
    price_history.c.offer_id,
    unique=True,
    sqlite_where=price_history.c.effective_until_us.is_(None),
    postgresql_where=price_history.c.effective_until_us.is_(None),
)

# What a provider's own list says of one of its models, and what became of it; see `intake.py`.
feed_entries = sa.Table(
    "feed_entries",
    metadata,
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("native_id", sa.Text, nullable=False),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    # The `ModelRecord` that was accepted last, the price that waits, the price that an administrator confirmed: JSON.
    sa.Column("record", sa.Text),
    sa.Column("pending", sa.Text),
    sa.Column("approved", sa.Text),
    sa.Column("had_price", sa.Boolean, nullable=False),
    sa.Column("missed", sa.Integer, nullable=False),
    sa.Column("first_seen_us", sa.BigInteger, nullable=False),
    sa.Column("last_seen_us", sa.BigInteger, nullable=False),
    sa.Column("changed_at_us", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("provider", "native_id"),
    sa.Index("ix_feed_entries_reason", "reason"),
)

sync_runs = sa.Table(
    "sync_runs",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("started_at_us", sa.BigInteger, nullable=False),
    sa.Column("finished_at_us", sa.BigInteger),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("dry_run", sa.Boolean, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("added", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("changed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("removed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rejected", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("failed", sa.BigInteger, nullable=False, server_default="0"),
    # JSON: one outcome per provider.
    sa.Column("outcomes", sa.Text, nullable=False, server_default="[]"),
    sqlite_autoincrement=True,
)

# The administrator's word on whether a model is shown and served at all; it counts above every source.
model_switches = sa.Table(
    "model_switches",
    metadata,
    sa.Column("model_id", sa.Text, primary_key=True),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("changed_by", sa.BigInteger),
    sa.Column("changed_at_us", sa.BigInteger, nullable=False),
)

# What Hugging Face says of a model that lives there, by its name there.
huggingface_models = sa.Table(
    "huggingface_models",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("found", sa.Boolean, nullable=False),
    sa.Column("facts", sa.Text, nullable=False, server_default="{}"),
    sa.Column("fetched_at_us", sa.BigInteger, nullable=False),
)
