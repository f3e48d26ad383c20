"""`gatewayz sync`: read the providers' model lists now, without a running gateway."""

import argparse
import asyncio
import sys

from gatewayz.catalog.sync import Busy, RunResult, Syncer
from gatewayz.catalog.sync_store import Outcome
from gatewayz.core.errors import Conflict
from gatewayz.infra.clock import SystemClock
from gatewayz.infra.db import Database
from gatewayz.infra.telemetry import configure_logging
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import Configuration, load_configuration
from gatewayz.wiring.house import choose_transport
from gatewayz.wiring.prepare import prepare

_HEAD = ("provider", "status", "seen", "added", "changed", "removed", "rejected", "ms")


def sync_models(options: argparse.Namespace) -> int:
    """Syncs the named providers, or all that have a list; prints each as it is done, then a table. Exit code 1 on failure."""
    configure_logging("error", as_json=False)
    configuration = load_configuration(read_environment())
    active = {provider.slug: provider for provider in configuration.providers.all()}
    unknown = [slug for slug in options.slugs if slug not in active]
    if unknown:
        inactive = dict(configuration.providers.inactive())
        for slug in unknown:
            print(f"{slug}: {inactive.get(slug, 'there is no such provider')}", file=sys.stderr)
        return 1
    for slug in options.slugs:
        if active[slug].feed is None:
            what = "a local server, which the running gateway asks" if active[slug].local else "without a list to read"
            print(f"{slug}: {what}", file=sys.stderr)
    wanted = [slug for slug in options.slugs or active if active[slug].feed is not None]
    if not wanted:
        if not options.slugs:
            print("no active provider has a model list: set a provider's key, e.g. OPENROUTER_API_KEY")
        return 1 if options.slugs else 0
    result = asyncio.run(_sync(configuration, wanted, options.dry_run))
    _print_table(result)
    if options.dry_run:
        print("dry run: nothing was written")
    else:
        print(f"run {result.run_id}; what was left out and why: GET /admin/model-sync/rejected")
    return 1 if any(outcome.status == "failed" for outcome in result.outcomes) else 0


async def _sync(configuration: Configuration, wanted: list[str], dry_run: bool) -> RunResult:
    await prepare(configuration)
    settings = configuration.settings
    database = Database(configuration.environment.database_url)
    transport = choose_transport(settings, configuration.environment.variables)
    syncer = Syncer(
        database,
        transport,
        SystemClock(),
        lambda: configuration.providers,
        free_model_allowlist=settings.free_model_allowlist,
        largest_step=settings.model_price_step,
    )
    done: list[str] = []

    def told(outcome: Outcome) -> None:
        done.append(outcome.provider)
        word = outcome.error or f"{outcome.seen} models, {outcome.changed} rows changed"
        print(f"[{len(done)}/{len(wanted)}] {outcome.provider}: {word}", flush=True)

    try:
        return await syncer.run("command", wanted, dry_run=dry_run, told=told)
    except Busy as error:
        raise Conflict("another model sync is under way; try again when it has ended") from error
    finally:
        await transport.close()
        await database.close()


def _print_table(result: RunResult) -> None:
    rows = [
        (each.provider, each.status, each.seen, each.added, each.changed, each.removed, each.rejected, each.duration_ms)
        for each in sorted(result.outcomes, key=lambda each: each.provider)
    ]
    totals = [sum(row[place] for row in rows) for place in range(2, len(_HEAD) - 1)]  # type: ignore[misc]
    table: list[tuple[object, ...]] = [_HEAD, *rows, ("all", "", *totals, "")]
    widths = [max(len(str(row[place])) for row in table) for place in range(len(_HEAD))]
    for row in table:
        cells = (
            f"{cell!s:<{width}}" if place < 2 else f"{cell!s:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
