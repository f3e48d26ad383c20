"""The benchmark's own arithmetic: statistics, tables, and the audit of the books, which must notice what it is there for."""

import http.server
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bench import native
from bench.figures import Sample, Spread, added, noise, ratios, series, spread, values_of
from bench.goals import AFTER_ANSWERS, GOALS, Goal, goals_table
from bench.ledger import audit_sqlite, complaints
from bench.machine import Place, session_of
from bench.report import Run, report
from bench.session import PAGE, ROWS, TRIALS, Session, idle_values, pressure_on, read_plan, takes_part, together
from bench.tables import BEGIN, END, Standing, cell, replace_between, summary_table, table, times, trial_table
from bench.targets import Bench, Target
from bench.trials import WORKER_ROWS, Call, Trial, body, last_bytes

TITLES = {"direct": "direct", "gatewayz": "gatewayz", "slow": "a slow one"}
BY_NAME = {trial.name: trial for trial in TRIALS}
EVERYWHERE = Place(os.sched_getaffinity(0), os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0))


def plain(row: str, repetition: int, cpu_us: float, rps: float = 100.0, faults: int = 0) -> Sample:
    return Sample(row, "plain", repetition, {"rps": rps, "cpu_us_request": cpu_us, "busy": 0.95}, faults)


def late(row: str, repetition: int, p50_us: float) -> Sample:
    return Sample(row, "latency", repetition, {"rps": 100.0, "p50_us": p50_us, "p99_us": 2 * p50_us}, 0)


def cells(line: str) -> list[str]:
    return [text.strip() for text in line.strip("|").split("|")]


# Statistics.


def test_a_spread_is_median_and_reach() -> None:
    assert spread([3, 1, 2]) == Spread(2, 1, 3)
    assert spread([4, 1, 2, 3]) == Spread(2.5, 1, 4)
    assert spread([]) is None
    assert Spread(2, 1, 3).swing == 1.0
    assert Spread(0, 0, 0).swing == 0.0


def test_a_ratio_is_taken_within_a_repetition() -> None:
    # The second repetition fell into a slow minute that struck both rows: the ratio does not move.
    own, base = {0: 200.0, 1: 800.0, 2: 5.0}, {0: 100.0, 1: 400.0, 3: 1.0}
    assert ratios(own, base) == {0: 2.0, 1: 2.0}
    assert ratios(own, {0: 0.0, 1: 400.0}) == {1: 2.0}


def test_what_a_row_adds_is_taken_within_a_repetition() -> None:
    assert added({0: 900.0, 1: 1300.0, 2: 7.0}, {0: 200.0, 1: 600.0}) == {0: 700.0, 1: 700.0}


def test_a_series_leaves_out_repetitions_without_the_figure() -> None:
    samples = [plain("gatewayz", 0, 120), Sample("gatewayz", "plain", 1, {"rps": 0.0}), plain("slow", 2, 9)]
    assert series(samples, "gatewayz", "plain", "cpu_us_request") == {0: 120}


def test_cpu_time_is_shared_among_all_that_was_served() -> None:
    told = {"rps": 50.0, "events_s": 100.0, "served": 400, "served_events": 800, "samples": 0}
    assert values_of(told, 0.2, 4.0) == {
        "rps": 50.0, "events_s": 100.0, "busy": 0.05, "cpu_us_request": 500.0, "cpu_us_event": 250.0,
    }  # fmt: skip
    nothing = {"rps": 0.0, "events_s": 0.0, "served": 0, "served_events": 0, "samples": 0}
    assert values_of(nothing, None, 4.0) == {"rps": 0.0, "events_s": 0.0}


def test_percentiles_exist_only_with_finished_requests() -> None:
    percentiles = {"p50_us": 1.0, "p99_us": 2.0, "first_p50_us": 3.0, "first_p99_us": 4.0}
    told = {"rps": 1.0, "events_s": 0.0, "served": 1, "served_events": 0, **percentiles}
    assert percentiles.items() <= values_of({**told, "samples": 1}, None, 1.0).items()
    assert "p50_us" not in values_of({**told, "samples": 0}, None, 1.0)


def test_noise_is_what_a_row_differs_from_itself() -> None:
    samples = [plain("gatewayz", 0, 100), plain("gatewayz", 1, 110), plain("slow", 0, 1000), plain("slow", 1, 1400)]
    found = noise(samples, "plain", "cpu_us_request")
    assert found is not None
    assert found.low == pytest.approx(10 / 105)
    assert found.high == pytest.approx(400 / 1200)
    assert noise(samples[:1], "plain", "cpu_us_request") is None


# Tables.


def test_a_cell_shows_the_reach_only_where_it_shows() -> None:
    assert cell(Spread(6900, 6500, 7100), 0) == "6,900 (6,500–7,100)"
    assert cell(Spread(6900.2, 6900.1, 6900.4), 0) == "6,900"
    assert cell(Spread(1850, 1700, 2000), 2, 1000) == "1.85 (1.70–2.00)"
    assert cell(None, 0) == "–"


def test_a_ratio_has_digits_where_they_matter() -> None:
    assert times(Spread(0.875, 0.85, 0.9)) == "0.88 (0.85–0.90)"
    assert times(Spread(96.2, 91.4, 102)) == "96 (91–102)"


def test_a_table_lines_up() -> None:
    assert table(["", "µs"], [["relay", "1"], ["x", "1,000"]]).splitlines() == [
        "|       |    µs |",
        "| ----- | ----: |",
        "| relay |     1 |",
        "| x     | 1,000 |",
    ]


def test_a_trial_is_told_with_paired_ratios() -> None:
    samples = [plain("gatewayz", 0, 100), plain("gatewayz", 1, 300), plain("slow", 0, 1000), plain("slow", 1, 3600)]
    lines = trial_table(BY_NAME["plain"], samples, TITLES).splitlines()
    assert cells(lines[0])[1:] == ["requests/s", "÷ gatewayz", "CPU µs per request", "÷ gatewayz", "core used"]
    assert [cells(line)[0] for line in lines[2:]] == ["gatewayz", "a slow one"]  # direct was not measured
    assert cells(lines[3])[3:5] == ["2,300 (1,000–3,600)", "11 (10–12)"]


def test_an_added_latency_is_counted_from_direct() -> None:
    samples = [late("direct", 0, 200), late("direct", 1, 900), late("gatewayz", 0, 1200), late("gatewayz", 1, 1900)]
    lines = trial_table(BY_NAME["latency"], samples, TITLES).splitlines()
    assert cells(lines[2])[1] == "(0.55 (0.20–0.90))"
    assert cells(lines[3])[1] == "1.00"


def test_failed_requests_get_a_column() -> None:
    quiet = trial_table(BY_NAME["plain"], [plain("gatewayz", 0, 100)], TITLES)
    loud = trial_table(BY_NAME["plain"], [plain("gatewayz", 0, 100), plain("gatewayz", 1, 100, faults=3)], TITLES)
    assert "failed" not in quiet
    assert cells(loud.splitlines()[0])[-1] == "failed"
    assert cells(loud.splitlines()[2])[-1] == "3"


def test_the_summary_has_a_line_a_row_and_no_column_that_was_not_measured() -> None:
    standings = {
        "gatewayz": Standing("gatewayz, SQLite", 0.43, (40.2, 44.9), 1234),
        "slow": Standing("slow", None, (), 0),
    }
    lines = summary_table([plain("gatewayz", 0, 120, rps=7000)], standings).splitlines()
    assert cells(lines[0]) == ["", "requests/s", "CPU µs", "memory MB", "after answers", "start s"]
    assert cells(lines[2]) == ["gatewayz, SQLite", "7,000", "120", "40 → 45", "1,234", "0.4"]
    assert cells(lines[3]) == ["slow", "–", "–", "–", "0", "–"]


def test_a_report_replaces_the_one_before_and_nothing_else() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    once = replace_between(page, "new\n")
    assert once == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"
    assert replace_between(once, "newer") == once.replace("new", "newer")


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="needs the marks"):
        replace_between(page, "new")


def a_run(**changed: object) -> Run:
    values: dict[str, object] = {
        "date": "2026-01-02", "commit": "abc1234", "machine": "a machine", "place": Place({0}, {1}, -10),
        "trials": [BY_NAME["plain"]], "samples": [plain("gatewayz", 0, 100), plain("gatewayz", 1, 120)],
        "standings": {"gatewayz": Standing("gatewayz, SQLite", 0.4, (40.0, 41.0), 4321)}, "repetitions": 2, "seconds": 2.0,
        "load_before": 0.3, "steal_share": 0.012, "notes": ["nginx: not installed"], "wrong": [],
    }  # fmt: skip
    return Run(**{**values, **changed})  # type: ignore[arg-type]


def test_the_report_says_where_how_noisy_and_that_the_money_is_right() -> None:
    text = report(a_run())
    for said in (
        "2026-01-02", "abc1234", "a machine", "gateways on core 0", "priority -10", "1.2%", "differed by 18%",
        "charged exactly once", "4,321 (gatewayz, SQLite)", "- nginx: not installed",
    ):  # fmt: skip
        assert said in text
    assert "on one core" in report(a_run(place=Place({0}, {0}, 0)))
    assert "take no difference for real" in report(a_run(samples=[plain("gatewayz", 0, 100)]))


def test_wrong_money_stands_in_the_report() -> None:
    text = report(a_run(wrong=["gatewayz: 3 charges are missing"]))
    assert "**The money is wrong:**" in text
    assert "gatewayz: 3 charges are missing" in text
    assert "exactly once" not in text


# Goals.


def met(samples: list[Sample], standings: dict[str, Standing], title: str) -> list[str]:
    """Must, aim, measured and verdict of one goal."""
    lines = goals_table(samples, standings).splitlines()[2:]
    assert len(lines) == len(GOALS)
    return next(cells(line)[1:] for line in lines if cells(line)[0] == title)


def test_every_goal_names_a_trial_and_rows_that_exist() -> None:
    """A goal that reads a figure nobody measures would stay "not measured" for ever."""
    standings = {row: Standing(row, 0.5, (40.0, 50.0), 200_000) for row in ROWS}
    samples = [
        Sample(row, trial.name, 0, {figure.key: 1000.0 for figure in trial.figures}, 0)
        for trial in TRIALS
        for row in ROWS
        if takes_part(row, trial)
    ]
    for goal in GOALS:
        assert met(samples, standings, goal.title)[2] != "not measured", goal.title
    assert all(goal.must <= goal.aim if goal.at_least else goal.must >= goal.aim for goal in GOALS)


def test_a_goal_is_met_at_its_bound_and_not_beyond() -> None:
    less = Goal("", 250, 150, "", 0, lambda _run: None)
    assert [less.verdict(value) for value in (150, 151, 250, 251)] == ["aim", "must", "must", "**no**"]
    more = Goal("", 0.6, 0.8, "", 0, lambda _run: None, at_least=True)
    assert [more.verdict(value) for value in (0.8, 0.79, 0.6, 0.59)] == ["aim", "must", "must", "**no**"]


def test_goals_take_ratios_within_a_repetition() -> None:
    fast = [plain("gatewayz", at, 100, rps=rps) for at, rps in ((0, 600), (1, 1200))]
    slow = [plain("relay", at, 100, rps=rps) for at, rps in ((0, 1000), (1, 2000))]
    title = "plain requests/s ÷ bare relay (aiohttp)"
    assert met(fast + slow, {}, title) == ["≥ 0.6 x", "≥ 0.8 x", "0.60 x", "must"]
    assert met(fast, {}, title)[2:] == ["not measured", "–"]


def test_workers_are_compared_with_one() -> None:
    figures = (("gatewayz-1", 100.0), ("gatewayz-4", 121.0))
    samples = [Sample(row, "workers", 0, {"cpu_us_request": cpu}, 0) for row, cpu in figures]
    assert met(samples, {}, "CPU per request, 4 workers ÷ 1 worker, 64 customers")[2:] == ["1.21 x", "**no**"]


def test_what_workers_share_is_compared_with_sharing_nothing() -> None:
    figures = (("gatewayz-1", 100.0), ("gatewayz-apart", 160.0), ("gatewayz-4-serving", 168.0))
    samples = [Sample(row, "workers", 0, {"cpu_us_request": cpu}, 0) for row, cpu in figures]
    title = "CPU per request, 4 workers all serving ÷ 4 gateways that share nothing"
    assert met(samples, {}, title)[2:] == ["1.05 x", "aim"]


def test_figures_of_parts_are_told_as_one() -> None:
    parts = [{"rps": 300.0, "busy": 0.3, "cpu_us_request": 100.0}, {"rps": 100.0, "busy": 0.2, "cpu_us_request": 200.0}]
    assert together(parts) == {"rps": 400.0, "busy": 0.5, "cpu_us_request": 125.0}
    assert together([]) is None


class Divided(Session):
    """A session whose parts answer with as many requests as they got connections."""

    def press(self, target: Target, trial: Trial, seconds: float) -> tuple[dict[str, float] | None, int]:
        if target.parts:
            return super().press(target, trial, seconds)
        target.served += trial.connections
        return {"rps": float(trial.connections), "busy": 0.25, "cpu_us_request": 100.0}, 1


def test_the_load_of_a_row_of_parts_is_divided(tmp_path: Path) -> None:
    parts = tuple(Target(f"part-{number}", "", number, {}) for number in range(4))
    whole = Target("whole", "", 1, {}, parts=parts)
    session = Divided(Bench(tmp_path, 9, EVERYWHERE), native.Programs(tmp_path, tmp_path), read_plan(["--quick"]))
    trial = next(trial for trial in TRIALS if trial.name == "workers")
    values, faults = session.press(whole, trial, 1.0)
    assert values == {"rps": 64.0, "busy": 1.0, "cpu_us_request": 100.0}
    assert faults == 4
    assert [part.served for part in parts] == [16] * 4 and whole.served == 64


def test_memory_counts_only_after_enough_answers() -> None:
    title = "memory of a worker after 100,000 requests"
    early = {"gatewayz": Standing("", 0.4, (40.0, 45.0), 99_999)}
    late_enough = {"gatewayz": Standing("", 0.4, (40.0, 65.0), 100_000)}
    assert met([], early, title)[2] == "not measured"
    assert met([], late_enough, title)[2:] == ["65 MB", "aim"]
    assert met([], early, "start-up, until the first answer")[2:] == ["0.4 s", "aim"]


def test_idle_streams_are_told_by_what_they_add() -> None:
    found = idle_values({"p50_us": 800.0}, {"p50_us": 1200.0}, grown_mb=150.0, streams=5000)
    assert found == {"kb_stream": 30.0, "alone_p50_us": 800.0, "p50_us": 1200.0, "p50_times": 1.5}
    assert idle_values(None, {}, 1.0, 0) == {}


# Plans and loads.


class Pressed(Session):
    """A session whose loads only note who was pressed with what."""

    def press(self, target: Target, trial: Trial, seconds: float) -> tuple[dict[str, float] | None, int]:
        target.served += 30_000
        self.notes.append(f"{target.name} {trial.name}")
        return {"rps": 1.0}, 0


def pressed(words: list[str], rows: tuple[str, ...], tmp_path: Path) -> Pressed:
    """The session of this plan after its repetitions."""
    plan = read_plan(words)
    session = Pressed(Bench(tmp_path, 9, EVERYWHERE), native.Programs(tmp_path, tmp_path), plan)
    session.rows = {row: Target(row, row, 1, {"chat": Call("/v1/chat/completions", "m")}) for row in rows}
    session.repeat()
    session.idle()
    return session


def test_a_repetition_presses_each_row_with_its_own_trials(tmp_path: Path) -> None:
    words = ["--tests", "plain,workers,idle", "--reps", "2"]
    session = pressed(words, ("direct", "gatewayz", "gatewayz-1", "gatewayz-4"), tmp_path)
    once = ["direct plain", "gatewayz plain", "gatewayz-1 workers", "gatewayz-4 workers"]
    again = ["gatewayz plain", "direct plain", "gatewayz-4 workers", "gatewayz-1 workers"]
    # None of these rows has a process or an idle model, so none is asked to hold streams.
    assert session.notes == once + again
    assert {sample.repetition for sample in session.samples} == {0, 1}


def test_a_whole_run_goes_on_until_there_are_answers_enough(tmp_path: Path) -> None:
    whole = pressed(["--reps", "1"], ("gatewayz",), tmp_path)
    own = [trial for trial in TRIALS if takes_part("gatewayz", trial) and not trial.beside]
    assert whole.notes[: len(own)] == [f"gatewayz {trial.name}" for trial in own]
    few = pressed(["--reps", "1", "--tests", "plain"], ("gatewayz",), tmp_path)
    assert few.notes == ["gatewayz plain"]
    needed = read_plan(["--reps", "1"])
    short = Pressed(Bench(tmp_path, 9, EVERYWHERE), native.Programs(tmp_path, tmp_path), replace(needed, trials=()))
    short.rows = {"gatewayz": Target("gatewayz", "", 1, {})}
    short.repeat()
    assert short.notes == ["gatewayz plain"] * 4
    assert short.rows["gatewayz"].served >= AFTER_ANSWERS


def test_rows_made_for_one_trial_are_in_no_other() -> None:
    for trial in TRIALS:
        assert takes_part("gatewayz", trial) is not trial.name.startswith("workers")
        for row in WORKER_ROWS:
            # One customer is one account in one database, so gateways apart cannot share it.
            for_workers = trial.name.startswith("workers") and (row, trial.name) != ("gatewayz-apart", "workers-one")
            assert takes_part(row, trial) is for_workers


def test_only_a_whole_run_waits_for_the_answers_that_memory_is_told_after() -> None:
    assert read_plan([]).fill
    assert not read_plan(["--quick"]).fill


def test_only_a_whole_run_writes_the_page() -> None:
    assert read_plan([]).page == PAGE
    assert read_plan(["--reps", "9"]).page == PAGE
    for partial in (["--quick"], ["--rows", "direct,gatewayz"], ["--tests", "plain"]):
        assert read_plan(partial).page is None


def test_the_page_of_this_repository_can_be_written() -> None:
    assert PAGE.exists()
    replace_between(PAGE.read_text(encoding="utf-8"), "x")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> native.Programs:
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        pytest.skip("NO C COMPILER: the load client and the mock upstream are not tested")
    return native.build(tmp_path_factory.mktemp("programs"))


@pytest.mark.parametrize(("shown", "name"), [("/autogroup-77 nice -5\n", "/autogroup-77"), ("", None), (None, None)])
def test_a_process_may_have_no_session_of_the_scheduler(tmp_path: Path, shown: str | None, name: str | None) -> None:
    (tmp_path / "42").mkdir()
    if shown is not None:
        (tmp_path / "42" / "autogroup").write_text(shown)
    assert session_of(42, tmp_path) == name


@pytest.mark.slow
def test_idle_streams_are_held_until_the_block_ends(programs: native.Programs, tmp_path: Path) -> None:
    told: dict[str, float] = {}
    call = Call("/v1/chat/completions", "idle")
    with native.mock_upstream(programs, EVERYWHERE) as port:
        with native.idle_streams(programs, EVERYWHERE, tmp_path, port, call, 150, told) as begun:
            assert begun == 150
            pressure = native.Pressure(4, 100.0, 0.3, 0.1)
            beside = native.load(
                programs, EVERYWHERE, tmp_path, port, Call(call.path, "m"), BY_NAME["latency"], pressure
            )
        assert beside["served"] > 0 and beside["errors"] == beside["refused"] == beside["broken"] == 0
    assert told["abandoned"] == 150
    assert told["served"] == told["errors"] == told["refused"] == 0
    assert told["served_events"] >= 300  # the role and one word of each came at once


@pytest.mark.slow
def test_each_connection_is_a_customer_of_its_own(programs: native.Programs, tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    class Ear(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.headers["Authorization"], self.headers["Content-Type"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Silent."""

    keys = [f"Authorization: Bearer k{number}" for number in range(3)]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ear) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            call = Call("/v1/chat/completions", "m", ("Authorization: Bearer not-this",))
            pressure = native.Pressure(6, None, 0.3, 0.0)
            told = native.load(
                programs, EVERYWHERE, tmp_path, server.server_port, call, BY_NAME["workers"], pressure, keys
            )
        finally:
            server.shutdown()
            thread.join()
    assert told["served"] == len(asked) > 0
    assert set(asked) == {(f"Bearer k{number}", "application/json") for number in range(3)}


@pytest.mark.parametrize(
    "words", [["--rows", "direct,nobody"], ["--tests", ""], ["--reps", "-1"], ["--seconds", "100"]], ids=" ".join
)
def test_nonsense_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_plan(words)
    assert "error" in capsys.readouterr().err


def test_a_slow_row_is_pressed_less() -> None:
    fast = Target("fast", "", 1, {})
    slow = Target("slow", "", 1, {}, gentle={"connections": 32, "rate": 20, "stream_rate": 4})
    assert pressure_on(fast, BY_NAME["plain"], 2).connections == 64
    assert pressure_on(slow, BY_NAME["plain"], 2).connections == 32
    assert pressure_on(slow, BY_NAME["plain"], 2).rate is None
    assert [pressure_on(slow, BY_NAME[name], 2).rate for name in ("latency", "ttft")] == [20, 4]
    assert [pressure_on(fast, BY_NAME[name], 2).rate for name in ("latency", "ttft")] == [100, 20]


def test_bodies_speak_the_dialect_of_the_path() -> None:
    openai, anthropic = Call("/v1/chat/completions", "m"), Call("/v1/messages", "m")
    plain_body, stream = json.loads(body(openai, stream=False)), json.loads(body(openai, stream=True))
    assert "stream" not in plain_body
    assert stream["stream"] is True and stream["stream_options"] == {"include_usage": True}
    message = json.loads(body(anthropic, stream=True))
    assert [each["role"] for each in message["messages"]] == ["user"]
    assert message["system"] and "stream_options" not in message
    assert last_bytes(openai, stream=True) != last_bytes(anthropic, stream=True)


def test_a_long_prompt_is_as_long_as_asked_for() -> None:
    call = Call("/v1/chat/completions", "m")
    grown = len(body(call, stream=False, prompt_bytes=100_000)) - len(body(call, stream=False))
    assert grown == 100_000


# The audit.


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Path]:
    """The tables that the audit reads, with two answers charged rightly."""
    path = tmp_path / "books.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(
            """
            CREATE TABLE credit_transactions (request_id, user_id, type, amount_nano_usd, prompt_tokens, completion_tokens);
            CREATE TABLE activity_log (user_id, request_id, status, cost_nano_usd);
            CREATE TABLE balances (user_id, trial_nano_usd, allowance_nano_usd, purchased_nano_usd, reserved_nano_usd);
            CREATE TABLE holds (id);
            CREATE TABLE leases (id);
            INSERT INTO credit_transactions VALUES
                ('grant', 7, 'admin_credit', 1000000, NULL, NULL),
                ('7:a', 7, 'api_usage', -2100, 10, 1), ('7:b', 7, 'api_usage', -2100, 10, 1);
            INSERT INTO activity_log VALUES (7, 'a', 200, 2100), (7, 'b', 200, 2100);
            INSERT INTO balances VALUES (7, 0, 0, 995800, 0);
            """
        )
    yield path


def test_right_books_pass(books: Path) -> None:
    assert audit_sqlite(books, 2, 0) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("UPDATE credit_transactions SET amount_nano_usd = -2099 WHERE request_id = '7:a'", "not tokens times price"),
        ("UPDATE balances SET purchased_nano_usd = 995801", "not the sum of their ledger"),
        ("INSERT INTO holds VALUES ('x')", "not given back"),
        ("INSERT INTO leases VALUES ('x')", "not given back"),
        ("UPDATE balances SET reserved_nano_usd = 5", "not given back"),
        ("DELETE FROM credit_transactions WHERE request_id = '7:b'", "have no charge"),
        ("INSERT INTO credit_transactions VALUES ('7:c', 7, 'api_usage', -2100, 10, 1)", "but 3 are charged"),
    ],
)
def test_each_mistake_in_the_books_is_noticed(books: Path, change: str, complaint: str) -> None:
    with closing(sqlite3.connect(books)) as database, database:
        database.execute(change)
    assert any(complaint in each for each in audit_sqlite(books, 2, 0))


def test_an_answer_given_up_may_be_charged_or_not() -> None:
    # In the order of the questions: charged, of them in part, mispriced, unbalanced, promised, uncharged.
    for charged, partial in ((10, 0), (11, 0), (12, 1), (12, 2)):
        assert complaints([charged, partial, 0, 0, 0, 0], served=10, abandoned=2) == []
    assert complaints([9, 0, 0, 0, 0, 0], served=10, abandoned=2)
    assert complaints([13, 0, 0, 0, 0, 0], served=10, abandoned=2)
    assert complaints([13, 3, 0, 0, 0, 0], served=10, abandoned=2)
