"""How the ledger's own connection is set: what it reports as committed is on the disk."""

from pathlib import Path

import pytest

from gatewayz.infra.db import open_sqlite


@pytest.mark.parametrize(
    ("setting", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 10_000), ("wal_autocheckpoint", 4000)],
)  # fmt: skip
def test_the_ledger_is_written_through_and_copied_seldom(tmp_path: Path, setting: str, value: str | int) -> None:
    connection = open_sqlite(str(tmp_path / "ledger.db"))
    try:
        assert connection.execute(f"PRAGMA {setting}").fetchone() == (value,)
        assert not connection.in_transaction
    finally:
        connection.close()
