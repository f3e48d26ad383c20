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
