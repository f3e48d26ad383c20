"""Tables of the infrastructure itself."""

import sqlalchemy as sa

from gatewayz.infra.db import BigId, metadata

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("created_at_us", sa.BigInteger, nullable=False, index=True),
    sqlite_autoincrement=True,
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

# Who does something that only one process at a time may do, and until when; see `leases.py`.
process_leases = sa.Table(
    "process_leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until_us", sa.BigInteger, nullable=False),
)
