"""Prints what N nodes with group commit reach on one PostgreSQL, by the simulation of `bench/scale.py`, and where it breaks.

    python scripts/simulate_scale.py                                   the tables of docs/scaling.md
    python scripts/simulate_scale.py --rate 8000 --nodes 6 --hot 0.3   one load
    python scripts/simulate_scale.py --costs flush=900,handover=700    with your own costs; `measure_writer.py` finds them

The costs that stand here are round examples in the order of what a database in the same data centre costs, not measurements.
"""

import argparse
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.scale import Costs, Load, Outcome, simulate
from bench.tables import number, table

EXAMPLE = Costs(
    wire_before=225, wire_locked=375, node_batch=250, node_each=15, database_batch=200, database_each=25, flush=500,
    database_row=15, handover=300, database_cores=8,
)  # fmt: skip
PER_NODE = 2000.0  # requests a second that a node is given
ACCOUNTS = 100_000
_SATURATED = 0.97

HEADER = [
    "requests/s",
    "nodes",
    "hot account",
    "settled/s",
    "commits/s",
    "batch",
    "p50 ms",
    "p99 ms",
    "database busy",
    "waits for rows",
]


def row(load: Load, found: Outcome) -> list[str]:
    """One line: the load, and what became of it."""
    kept_up = found.settled_s >= _SATURATED * load.rate
    return [
        number(load.rate),
        number(load.nodes),
        f"{load.hot:.0%}" if load.hot else "–",
        number(found.settled_s) if kept_up else f"**{number(found.settled_s)}**",
        number(found.commits_s),
        number(found.batch, 1),
        number(found.p50_ms, 1),
        number(found.p99_ms, 1),
        f"{found.database_busy:.0%}",
        f"{found.lock_share:.0%}",
    ]


def tables(costs: Costs, seconds: float) -> str:
    """The two tables: many accounts and more and more requests; and one account that has a share of everything."""
    spread = [Load(max(1, round(rate / PER_NODE)), rate=rate, accounts=ACCOUNTS) for rate in (1e3, 1e4, 3e4, 6e4, 1e5)]
    hot = [
        Load(nodes, rate=nodes * PER_NODE, accounts=ACCOUNTS, hot=share)
        for nodes, share in ((2, 0.5), (5, 0.1), (5, 0.5), (10, 0.02), (10, 0.1), (10, 0.5), (30, 0.1))
    ]
    parts = [table(HEADER, [row(load, simulate(costs, load, seconds)) for load in loads]) for loads in (spread, hot)]
    return "\n\n".join(parts)


def read_costs(text: str) -> Costs:
    """The example costs with those of `name=value,…` in their place. Raises ValueError for a name that is none."""
    known = {item.name: item.type for item in fields(Costs)}
    given = {}
    for word in filter(None, text.split(",")):
        name, _, value = word.partition("=")
        if name not in known:
            raise ValueError(f"{name!r} is no cost; there are {', '.join(known)}")
        given[name] = int(value) if name == "database_cores" else float(value)
    return replace(EXAMPLE, **given)


def main() -> None:
    """Prints the tables, or the line of one load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", default="", help="name=microseconds,…")
    parser.add_argument("--rate", type=float, help="requests a second of all nodes together")
    parser.add_argument("--nodes", type=int, help=f"processes (default: one for {PER_NODE:,.0f} requests a second)")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--hot", type=float, default=0.0, help="share of the requests that one account makes")
    parser.add_argument("--seconds", type=float, default=1.0, help="simulated time (default 1)")
    options = parser.parse_args()
    try:
        costs = read_costs(options.costs)
    except ValueError as error:
        parser.error(str(error))
    print("Costs, microseconds: " + ", ".join(f"{name} {value:g}" for name, value in asdict(costs).items()) + "\n")
    if options.rate is None:
        print(tables(costs, options.seconds))
        return
    nodes = options.nodes or max(1, round(options.rate / PER_NODE))
    load = Load(nodes, rate=options.rate, accounts=options.accounts, hot=options.hot)
    print(table(HEADER, [row(load, simulate(costs, load, options.seconds))]))


if __name__ == "__main__":
    main()
