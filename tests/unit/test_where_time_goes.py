"""The table of where time goes has every room, and its parts add up to its whole."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_time_is_shared_out_to_rooms() -> None:
    # In a process of its own, since the script needs the timer that ends tests which hang.
    command = [
        sys.executable,
        ROOT / "scripts" / "where_time_goes.py",
        "--requests",
        "1500",
        "--kinds",
        "plain,translated",
    ]
    told = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, cwd=ROOT).stdout
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines() if line.startswith("|")
    ]
    rows = {
        line[0]: [float(cell.replace(",", "")) if cell not in ("–", "") else 0.0 for cell in line[1:]]
        for line in lines[2:]
    }
    rooms = {path.name for path in (ROOT / "src" / "gatewayz").iterdir() if (path / "__init__.py").exists()}
    assert rooms - {"cli", "migrations"} <= rows.keys()
    for column in (0, 2):
        parts = sum(row[column] for name, row in rows.items() if name != "**all**")
        assert parts == pytest.approx(rows["**all**"][column], rel=0.05, abs=2)
        assert rows["**all**"][column] > 0
    # Each event of a translated stream is parsed and written anew; a plain answer is looked through once.
    assert rows["dialects"][2] > 2 * rows["dialects"][0] > 0
    # The dispatcher is at the bottom of every request, so hardly anything happens outside of it.
    assert rows["api"][1] > rows["gateway"][1] > rows["dialects"][0]
    assert rows["ledger's thread"][0] > 0
