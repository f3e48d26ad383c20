"""Drives real clients against a live gateway with a scripted provider behind it.

    python -m clients.run [names …] [--behind openai,anthropic]

Each client is installed from its registry into `clients/.work` and does its steps once for every dialect of provider.
Ends with 1 if a client that could be installed failed; what was said is in `clients/.work/<name>/*.log`.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from clients.catalog import CLIENTS, Client
from clients.house import DIALECTS, Failed, House, running
from clients.install import WORK, CannotInstall, Installed, install, pinned_version

Row = dict[str, str]
COLUMNS = ("client", "version", "surface", "chat", "stream", "tools", "note")


def main() -> int:
    """The exit code, after the table was printed."""
    parser = argparse.ArgumentParser(description="Drive real clients against a live gateway.")
    parser.add_argument("names", nargs="*", help="folders of clients; all if none is named")
    parser.add_argument("--behind", default="openai,anthropic", help=f"dialects of providers: {', '.join(DIALECTS)}")
    wanted = parser.parse_args()
    behind = [each.strip() for each in wanted.behind.split(",")]
    unknown = (set(wanted.names) - {each.folder for each in CLIENTS}) | (set(behind) - set(DIALECTS))
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the gateway is stopped then, too
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="gatewayz-clients-") as home, running(Path(home)) as house:
        for client in CLIENTS:
            if not wanted.names or client.folder in wanted.names:
                rows += _rows(house, client, behind)
    print(_table(rows))
    return any("FAILED" in row.values() for row in rows)


def _rows(house: House, client: Client, behind: list[str]) -> list[Row]:
    head = {"client": client.folder, "version": pinned_version(client.folder)}
    if client.surfaces == ("gemini",) and not house.serves("/v1beta/models"):
        return [_told({**head, "surface": "gemini", "note": "NOT DRIVEN: this gateway has no /v1beta"})]
    try:
        installed = install(client.folder)
    except CannotInstall as error:
        return [_told({**head, "note": f"cannot be installed here: {error}"})]
    rows = []
    for surface in client.surfaces:
        row, troubles = {**head, "surface": surface}, []
        for name in client.steps:
            found = _try(house, client, installed, surface, name, behind)
            troubles += found
            row["tools" if name == "edit" else name] = "FAILED" if found else "ok"
        row["note"] = "; ".join([client.note, *troubles] if client.note else troubles)
        rows.append(_told(row))
    return rows


def _try(house: House, client: Client, installed: Installed, surface: str, name: str, behind: list[str]) -> list[str]:
    """What went wrong with one step of a client, with each dialect of provider."""
    troubles = []
    for dialect in behind:
        folder = WORK / client.folder
        scratch = folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(scratch),
            "SCRATCH": str(scratch),
            "PROGRAMS": str(installed.programs),
        }
        argument = f"{surface}_{name}" if len(client.surfaces) > 1 else name
        try:
            log = folder / f"{argument}-{dialect}.log"
            house.try_step([*installed.command, argument], client.steps[name], dialect, environment, log)
        except Failed as error:
            troubles.append(f"{name}, provider of {dialect}: {error}")
    return troubles


def _told(row: Row) -> Row:
    print(" | ".join(filter(None, (row.get(name, "") for name in COLUMNS))), flush=True)
    return row


def _table(rows: list[Row]) -> str:
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *([row.get(name, "") for name in COLUMNS] for row in rows)]
    return "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
