"""The small house around the room `accounts`, over a fresh database of each kind."""

import pytest
from accounts_house import House

from gatewayz.infra.db import Database


@pytest.fixture
async def house(database: Database) -> House:
    """The rooms that the pages of accounts need, over that database."""
    return House(database)
