"""What a DATABASE_URL becomes for SQLAlchemy, and for the driver where it is used without."""

import pytest

from gatewayz.infra.db import Database, normal_url


@pytest.mark.parametrize("mode", ["require", "verify-full", "disable"])
def test_the_mode_of_encryption_reaches_both(mode: str) -> None:
    url = f"postgresql://me:p%40ss@db.example:5433/bills?sslmode={mode}"
    assert normal_url(url).query["ssl"] == mode
    assert Database(url).postgres_dsn == url


def test_a_driver_is_replaced_by_ours() -> None:
    assert normal_url("postgresql+psycopg://db/x").drivername == "postgresql+asyncpg"
    assert Database("postgres://db/x").postgres_dsn == "postgresql://db/x"


@pytest.mark.parametrize(
    "url", ["mysql://db/x", "sqlite://", "sqlite:///:memory:", "postgresql://db/x?channel_binding=require"]
)
def test_what_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL"):
        Database(url)


def test_a_binding_of_channels_that_is_only_preferred_is_done_without() -> None:
    assert Database("postgresql://db/x?channel_binding=prefer").postgres_dsn == "postgresql://db/x"
