"""`gatewayz reconcile` and `gatewayz ledger verify|rerate`: the books, for those who answer for them."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gatewayz.billing import nightly, pricebooks, rerate
from gatewayz.billing.reconcile import KINDS, Drift, Report, reconcile, verify
from gatewayz.billing.reconcile_store import ledger_row, offers_of_prices, snapshot
from gatewayz.catalog import CatalogKeeper
from gatewayz.core.errors import Unavailable
from gatewayz.core.money import usd_text
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import SystemClock, iso
from gatewayz.infra.db import Database
from gatewayz.infra.telemetry import configure_logging
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import load_configuration
from gatewayz.wiring.prepare import current_revision, newest_revision

_SHOWN_PER_KIND = 10
# Their numbers are counts; those of all other kinds are money.
_COUNTED = frozenset({"tokens", "repeated_id"})
_LEFT_ALONE = {
    "refunded": "were refunded and are left alone",
    "unreadable": "have no readable usage or price",
    "no_price": "have no price in these prices",
}


def reconcile_books(options: argparse.Namespace) -> int:
    """Looks at everything, keeps the outcome for GET /admin/reconciliation, prints it; exit code 1 on drift."""
    configure_logging("warning", as_json=False)
    return asyncio.run(_reconcile(options.since))


def verify_ledger(_options: argparse.Namespace) -> int:
    """Looks at the form of every ledger row and prints the first broken one; exit code 1 if there is any."""
    return asyncio.run(_verify())


def rerate_ledger(options: argparse.Namespace) -> int:
    """Prints what charges should have been at other prices; with --apply writes the corrections."""
    if options.apply and not (options.reason or "").strip():
        print("--apply needs --reason: it stands in every correction and in the audit trail", file=sys.stderr)
        return 2
    return asyncio.run(_rerate(options))


async def _reconcile(since_us: int | None) -> int:
    clock = SystemClock()
    async with _opened() as database:
        async with snapshot(database) as connection:
            report = await reconcile(connection, clock.now_us(), since_us)
        async with database.begin() as connection:
            run_id = await nightly.keep(connection, report, clock.now_us())
    stretch = "every row" if since_us is None else f"rows since {iso(since_us)}"
    print(f"reconciliation {run_id} at {iso(report.at_us)}: all sums, {stretch}")
    _print_figures(report)
    print(f"charges priced again: {report.charges}")
    print(f"  charged             {usd_text(report.charged)} USD")
    print(f"  usage at its price  {usd_text(report.metered)} USD")
    if report.drifts:
        _print_drifts(report)
        return 1
    print("the books agree")
    return 0


async def _verify() -> int:
    async with _opened() as database, snapshot(database) as connection:
        report = await verify(connection, SystemClock().now_us())
        broken = [drift for drift in report.evidence if drift.row_id is not None]
        first = min(broken, key=lambda drift: drift.row_id or 0, default=None)
        row = None if first is None or first.row_id is None else await ledger_row(connection, first.row_id)
    _print_figures(report)
    if not report.drifts:
        print("the ledger is whole")
        return 0
    _print_drifts(report)
    if first is not None and row is not None:
        print(f"first broken row ({first.kind}):")
        for name, value in row.items():
            if value is not None:
                print(f"  {name:<24}{value}")
    return 1


async def _rerate(options: argparse.Namespace) -> int:
    clock = SystemClock()
    stretch = rerate.Stretch(options.start, options.end, options.model, options.provider)
    async with _opened() as database:
        book = await _book(options.prices, database)
        if options.apply:
            outcome = await rerate.apply(database, stretch, book, options.reason.strip(), clock)
        else:
            outcome = await rerate.rerate(database, stretch, book)
    _print_lines(outcome)
    for why, count in sorted(outcome.left_alone.items()):
        print(f"{count} charge(s) {_LEFT_ALONE[why]}")
    if not options.apply:
        print(f"{outcome.differing} charge(s) differ; nothing was changed (--apply --reason TEXT writes corrections)")
        return 0
    print(
        f"{outcome.corrected} correction(s): {usd_text(outcome.credited)} USD credited,"
        f" {usd_text(outcome.debited)} USD debited"
    )
    if outcome.uncollected:
        print(
            f"{outcome.uncollected} debit(s) of {usd_text(outcome.uncollected_nano_usd)} USD were not made:"
            " the accounts have not that much purchased credit"
        )
    return 1 if outcome.uncollected else 0


async def _book(prices: str, database: Database) -> pricebooks.PriceBook:
    if prices == "pinned":
        return pricebooks.PinnedPrices()
    if prices != "current":
        return await asyncio.to_thread(pricebooks.read_prices, Path(prices))
    free = load_configuration(read_environment()).settings.free_model_allowlist
    clock = SystemClock()
    catalog = await CatalogKeeper(database, clock, ChangeFeed(database, clock), free_model_allowlist=free).load()
    async with database.read() as connection:
        offers_by_price = await offers_of_prices(connection)
    return pricebooks.CurrentPrices((offer for group in catalog.offers.values() for offer in group), offers_by_price)


@asynccontextmanager
async def _opened() -> AsyncIterator[Database]:
    """The database, if it has the shape of this version. Raises Unavailable otherwise."""
    database = Database(read_environment().database_url)
    try:
        if await current_revision(database) != newest_revision():
            raise Unavailable("The database has another shape than this version wants: run `gatewayz migrate`.")
        yield database
    finally:
        await database.close()


def _print_figures(report: Report) -> None:
    print(f"accounts: {report.accounts}, ledger rows: {report.rows}")
    print(f"  balances            {usd_text(report.balances)} USD")
    for name, total in report.contra.items():
        print(f"  {name:<19} {usd_text(total)} USD")


def _print_drifts(report: Report) -> None:
    print(f"{report.drifts} drift(s)")
    for kind, count in report.kinds.items():
        print(f"{kind}: {count} - {KINDS[kind]}")
        shown = [drift for drift in report.evidence if drift.kind == kind][:_SHOWN_PER_KIND]
        for drift in shown:
            print(f"  {_told(drift)}")
        if count > len(shown):
            print(f"  and {count - len(shown)} more")


def _told(drift: Drift) -> str:
    account = "all accounts" if drift.user_id is None else f"account {drift.user_id}"
    what = f"{account} {' '.join(drift.ids)}".rstrip()
    return f"{what}: expected {_figure(drift, drift.expected)}, found {_figure(drift, drift.found)}"


def _figure(drift: Drift, value: int | None) -> str:
    if value is None:
        return "none"
    return str(value) if drift.kind in _COUNTED else f"{usd_text(value)} USD"


def _print_lines(outcome: rerate.Outcome) -> None:
    head = ("account", "model", "rows", "charged USD", "should be USD", "difference USD")
    total = rerate.Line()
    rows: list[tuple[Any, ...]] = []
    for (user_id, model), line in sorted(outcome.lines.items()):
        rows.append((user_id, model, *_line_figures(line)))
        total.rows += line.rows
        total.charged += line.charged
        total.should_be += line.should_be
    rows.append(("all", "", *_line_figures(total)))
    widths = [max(len(str(row[place])) for row in (head, *rows)) for place in range(len(head))]
    for row in (head, *rows):
        cells = (
            f"{cell:<{width}}" if place == 1 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def _line_figures(line: rerate.Line) -> tuple[int, str, str, str]:
    return line.rows, usd_text(line.charged), usd_text(line.should_be), usd_text(line.should_be - line.charged)
