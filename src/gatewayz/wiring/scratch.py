"""The catalog as a first start would make it, without the operator's database: for commands that only look."""

import tempfile
from pathlib import Path

from gatewayz.catalog import Catalog, build
from gatewayz.catalog.merge import merged
from gatewayz.catalog.seed import apply_seed, packaged_seed
from gatewayz.catalog.store import read_in_use
from gatewayz.infra.clock import SystemClock
from gatewayz.infra.db import Database
from gatewayz.wiring.configuration import Configuration
from gatewayz.wiring.prepare import apply_models, migrate


async def scratch_catalog(configuration: Configuration) -> Catalog:
    """The packaged models and those of this configuration, as they would be on offer. Takes about half a second."""
    now_us = SystemClock().now_us()
    with tempfile.TemporaryDirectory(prefix="gatewayz-") as folder:
        database = Database(f"sqlite:///{Path(folder) / 'scratch.db'}")
        try:
            await migrate(database)
            async with database.begin() as connection:
                await apply_seed(connection, packaged_seed(), now_us)
                await apply_models(connection, configuration, now_us)
            async with database.read() as connection:
                rows = await read_in_use(connection)
        finally:
            await database.close()
    return build(*merged(*rows, frozenset(configuration.settings.free_model_allowlist)))
