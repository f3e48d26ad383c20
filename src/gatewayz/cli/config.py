"""`gatewayz config check|apply`."""

import argparse
import asyncio

from gatewayz.infra.changes import announce
from gatewayz.infra.clock import SystemClock
from gatewayz.infra.db import Database
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import Configuration, load_configuration
from gatewayz.wiring.prepare import apply_models, migrate


def check_config(_options: argparse.Namespace) -> int:
    """Names every mistake; says what the configuration amounts to if there is none."""
    _summary(load_configuration(read_environment()))
    return 0


def apply_config(_options: argparse.Namespace) -> int:
    """Applies models and providers to this database and to every process that runs on it, as a whole or not at all."""
    configuration = load_configuration(read_environment())
    changed = asyncio.run(_apply(configuration))
    _summary(configuration)
    print(
        "applied" if changed else "models are as they were",
        "- running processes take up providers and models within a second;",
    )
    print("[settings] take effect when a process starts.")
    return 0


async def _apply(configuration: Configuration) -> bool:
    database = Database(configuration.environment.database_url)
    now_us = SystemClock().now_us()
    try:
        await migrate(database)
        async with database.begin() as connection:
            changed = await apply_models(connection, configuration, now_us)
            await announce(connection, "config", "applied", now_us)
    finally:
        await database.close()
    return changed


def _summary(configuration: Configuration) -> None:
    for warning in configuration.warnings:
        print(f"warning: {warning}")
    chosen = {name: source for name, source in configuration.sources.items() if source != "default"}
    print(f"file: {configuration.path or 'none'}")
    print(f"settings chosen: {', '.join(f'{name} ({source})' for name, source in sorted(chosen.items())) or 'none'}")
    print(f"providers active: {', '.join(provider.slug for provider in configuration.providers.all()) or 'none'}")
    print(f"models configured: {len(configuration.models)}")
