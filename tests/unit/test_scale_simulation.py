"""The simulation of many writers on one database agrees with arithmetic where arithmetic can tell, and keeps its invariants."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from bench.scale import MAX_BATCH, Costs, Load, simulate

SCRIPTS = Path(__file__).parents[2] / "scripts"
# Round numbers: a batch takes 100 + 400 + 100 + 300 = 900 µs of waiting and fixed work, 50 µs more for each settlement.
COSTS = Costs(
    wire_before=100, wire_locked=400, node_batch=100, node_each=10, database_batch=0, database_each=40, flush=300,
    database_cores=8,
)  # fmt: skip


def test_one_writer_takes_as_long_as_its_parts() -> None:
    found = simulate(COSTS, Load(1, in_flight=1))
    assert found.batch == 1
    assert found.p50_ms == pytest.approx(0.95)
    assert found.commits_s == pytest.approx(1e6 / 950, rel=0.01)
    full = simulate(COSTS, Load(1, in_flight=64))
    assert full.batch == pytest.approx(64)
    assert full.settled_s == pytest.approx(64e6 / (900 + 64 * 50), rel=0.01)


def test_a_saturated_writer_fills_its_batches() -> None:
    found = simulate(COSTS, Load(1, in_flight=2 * MAX_BATCH))
    assert found.batch == MAX_BATCH
    # Whoever came while a commit ran waits for it, and then for its own.
    assert found.p50_ms == pytest.approx(2 * (0.9 + MAX_BATCH * 0.05), rel=0.01)


def test_an_open_load_is_settled_as_it_comes() -> None:
    found = simulate(COSTS, Load(4, rate=4000.0), seconds=3)
    assert found.settled_s == pytest.approx(4000, rel=0.05)
    assert 0.95 <= found.p50_ms < 3
    # Little's law, for the writers of the nodes: they are busy for as long as their commits last.
    assert 1 < found.batch < 4


def test_accounts_apart_scale_with_nodes_until_the_database_is_busy() -> None:
    one, eight = (simulate(COSTS, Load(nodes, in_flight=32, accounts=10**6), seconds=1) for nodes in (1, 8))
    assert eight.settled_s == pytest.approx(8 * one.settled_s, rel=0.1)
    many = simulate(replace(COSTS, database_cores=1), Load(64, in_flight=32, accounts=10**6), seconds=1)
    assert many.database_busy > 0.97
    assert many.settled_s == pytest.approx(1e6 / 40, rel=0.05)  # 40 µs of one core each, and nothing else


def test_one_account_is_settled_in_a_line() -> None:
    """While one batch has the row, no other can commit: only what happens before the lock overlaps."""
    serial_us = 400 + 50 + 32 * 10 + 32 * 40 + 300
    for nodes in (2, 8):
        found = simulate(COSTS, Load(nodes, in_flight=32, accounts=1), seconds=2)
        assert found.commits_s == pytest.approx(1e6 / serial_us, rel=0.02)
        assert found.p50_ms == pytest.approx(nodes * serial_us / 1000, rel=0.1)
    slower = simulate(replace(COSTS, handover=1000.0), Load(8, in_flight=32, accounts=1), seconds=2)
    assert slower.commits_s == pytest.approx(1e6 / (serial_us + 1000), rel=0.02)
    assert slower.lock_share > 0.8


def test_an_account_in_every_batch_holds_up_the_others() -> None:
    apart = simulate(COSTS, Load(10, rate=20_000.0), seconds=1)
    mixed = simulate(COSTS, Load(10, rate=20_000.0, hot=0.2), seconds=1)
    assert mixed.p50_ms > 5 * apart.p50_ms
    assert mixed.batch > 5 * apart.batch


def test_commits_share_a_flush() -> None:
    """With a slow disk the flush is what all wait for, and it serves all who wait."""
    slow = replace(COSTS, flush=10_000.0)
    one, eight = (simulate(slow, Load(nodes, in_flight=1, accounts=10**6), seconds=2) for nodes in (1, 8))
    assert eight.commits_s > 3.5 * one.commits_s  # at worst every other flush, as for whoever came just too late


def test_accounts_in_a_batch_cost_too() -> None:
    costs = replace(COSTS, database_row=100.0)
    apart = simulate(costs, Load(1, in_flight=64, accounts=10**6))
    together = simulate(costs, Load(1, in_flight=64, accounts=1))
    assert 1e6 / apart.commits_s - 1e6 / together.commits_s == pytest.approx(63 * 100, rel=0.03)


@pytest.mark.parametrize("hot", [0.0, 0.3])
@pytest.mark.parametrize("one_machine", [False, True])
def test_nothing_is_lost_or_settled_twice(hot: float, one_machine: bool) -> None:
    load = Load(6, rate=9000.0, accounts=50, hot=hot, one_machine=one_machine)
    found = simulate(COSTS, load, seconds=1)
    under_way = found.arrived - found.posted - found.waiting
    assert 0 <= under_way <= 6 * MAX_BATCH
    assert found.posted > 0.9 * found.arrived


def test_the_same_seed_gives_the_same_run() -> None:
    load = Load(3, rate=3000.0, hot=0.1)
    assert simulate(COSTS, load, seed=7) == simulate(COSTS, load, seed=7)
    assert simulate(COSTS, load, seed=7) != simulate(COSTS, load, seed=8)


def test_costs_are_read_by_name() -> None:
    script = runpy.run_path(str(SCRIPTS / "simulate_scale.py"))
    costs = script["read_costs"]("flush=900,database_cores=4")
    assert (costs.flush, costs.database_cores) == (900, 4)
    assert costs.wire_locked == script["EXAMPLE"].wire_locked
    with pytest.raises(ValueError, match="is no cost"):
        script["read_costs"]("speed=1")


def test_the_page_shows_what_the_script_prints() -> None:
    """The tables of docs/scaling.md are computed; whoever changes the model or its example writes them anew."""
    script = runpy.run_path(str(SCRIPTS / "simulate_scale.py"))
    page = (SCRIPTS.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    for computed in script["tables"](script["EXAMPLE"], 1.0).split("\n\n"):
        assert computed in page


def test_costs_are_found_from_measurements() -> None:
    """What the script measures of the simulation itself is what the simulation was given."""
    script = runpy.run_path(str(SCRIPTS / "measure_writer.py"))
    assert script["line"]([(1, 12.0), (3, 16.0), (5, 20.0)]) == (pytest.approx(10), pytest.approx(2))

    def measured(costs: Costs, in_flight: int) -> object:
        found = simulate(costs, Load(1, in_flight=in_flight, accounts=10**6))
        node = costs.node_batch + costs.node_each * found.batch
        database = costs.database_batch + costs.database_each * found.batch
        return script["Reached"](found.settled_s, found.commits_s, found.batch, found.p50_ms, node, database, {})

    alone = {count: measured(COSTS, count) for count in (1, 8, 64)}
    fitted = script["fit"](alone, measured(replace(COSTS, flush=0.0), 1), 8)
    for name in ("node_batch", "node_each", "database_each", "flush"):
        assert getattr(fitted, name) == pytest.approx(getattr(COSTS, name), rel=0.05), name
    assert fitted.wire_before + fitted.wire_locked == pytest.approx(500, rel=0.05)
