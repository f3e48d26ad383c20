"""Alembic's entry: runs the steps on the connection that `wiring.prepare` hands over."""

from alembic import context

import gatewayz.accounts.tables
import gatewayz.billing.tables
import gatewayz.catalog.tables
import gatewayz.infra.tables
import gatewayz.operations.tables  # noqa: F401  (tables register themselves)
from gatewayz.infra.db import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, render_as_batch=True, transaction_per_migration=False
)
with context.begin_transaction():
    context.run_migrations()
