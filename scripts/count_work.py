"""Prints how many bytecodes and calls a request takes inside, beside the limits of the table; `--write` sets them anew.

Run it when a change of the hot path is meant to cost more (say why in the change), or has made it cheaper, so that the gain
is kept.
"""

import argparse
import sys
import tempfile
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.tables import number, table
from bench.work import LIMITS, Limits, cpu_ratios, limits_text, measure, over, over_time, read_limits, version


def main() -> int:
    """Returns 1 if something costs more than its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the numbers into {LIMITS.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = measure(Path(home) / "counted")
        timed = cpu_ratios(Path(home) / "timed")
    limits = read_limits() or Limits({}, {})
    known = limits.work
    rows = []
    for kind, work in found.items():
        limit = known.get(kind)
        rows.append(
            [kind, number(work.bytecodes, 1), number(limit and limit.bytecodes, 1), number(work.calls, 1),
             number(limit and limit.calls, 1)]
        )  # fmt: skip
    print(table([f"Python {version()}", "bytecodes", "limit", "calls", "limit"], rows))
    shares = [[kind, number(share, 2), number(limits.cpu_ratios.get(kind), 2)] for kind, share in timed.items()]
    print("\n" + table(["CPU time over the reference's", "now", "table"], shares) + "\n")
    if options.write:
        tables = tomllib.loads(LIMITS.read_text(encoding="utf-8")) if LIMITS.exists() else {}
        LIMITS.write_text(limits_text(Limits(found, timed), tables), encoding="utf-8")
        print(f"written to {LIMITS}")
        return 0
    told = over(found, known) + over_time(timed, limits.cpu_ratios)
    print("\n".join(told) or "within the limits")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
