"""The books from the command line, and the page that shows what reconciliation found (6.1)."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import MODELS, SETTINGS, providers
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

SOURCE = Path(__file__).resolve().parents[2] / "src"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A live gateway of its own, since its books are bent here."""
    with LiveGateway(tmp_path_factory.mktemp("books"), SETTINGS + providers(upstream) + MODELS) as live:
        yield live


@pytest.fixture
def customer(gateway: LiveGateway, upstream: FakeUpstream) -> Customer:
    """Somebody with two answers, a failed request and its repetition."""
    customer = gateway.customer(10)
    assert customer.chat("acme/chat").status_code == 200
    assert customer.chat("acme/chat", stream=True).status_code == 200
    upstream.script("first", default={"status": 500})
    assert customer.chat("acme/single", headers={"X-Request-ID": "again"}).status_code >= 500
    upstream.reset()
    assert customer.chat("acme/single", headers={"X-Request-ID": "again"}).status_code == 200
    return customer


@pytest.fixture
def command(gateway: LiveGateway) -> Command:
    """`gatewayz …` at the machine of the gateway."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(SOURCE),
            "APP_ENV": "test",
            "GATEWAYZ_HOME": str(gateway.home),
            "GATEWAYZ_CONFIG": str(gateway.home / "gatewayz.toml"),
        }
        return subprocess.run(
            [sys.executable, "-m", "gatewayz", *words],
            env=environment, cwd=gateway.home, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


@contextmanager
def bent(gateway: LiveGateway, statement: str, mend: str) -> Iterator[None]:
    """The database with a change that nobody should make, and without it afterwards."""

    def execute(text: str) -> int:
        with closing(sqlite3.connect(gateway.home / "gatewayz.db", timeout=10)) as file, file:
            return file.execute(text).rowcount

    assert execute(statement) == 1
    try:
        yield
    finally:
        assert execute(mend) == 1


def charge_of(customer: Customer) -> dict[str, Any]:
    """The charge of the request that was repeated after its failure."""
    (row,) = [row for row in customer.transactions(type="api_usage") if row["request_id"].endswith(":2")]
    return row


def balance(customer: Customer) -> str:
    return str(customer.balance()["balance_usd_exact"])


def test_books_that_agree(customer: Customer, command: Command, gateway: LiveGateway) -> None:
    done = command("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("the books agree\n")
    figures = dict(re.findall(r"^  (\w[\w ]*?) +(-?[\d.]+) USD$", done.stdout, re.M))
    assert figures["charged"] == figures["usage at its price"] == figures["revenue"]
    assert figures["holds"] == "0"
    answer = gateway.admin("GET", "/admin/reconciliation")
    assert answer["total"] >= answer["returned"] >= 1
    latest = answer["latest"]
    assert (latest["clean"], latest["drifts"], latest["evidence"], latest["nightly"]) == (True, 0, [], False)
    assert latest["charged_usd"] == figures["charged"]
    assert answer["data"][0]["id"] == latest["id"]
    assert "evidence" not in answer["data"][0]


def test_a_stretch_leaves_older_rows_out(customer: Customer, command: Command) -> None:
    done = command("reconcile", "--since", "2100-01-01")
    assert done.returncode == 0
    assert "rows since 2100-01-01T00:00:00.000000Z" in done.stdout
    assert "ledger rows: 0" in done.stdout
    assert command("reconcile", "--since", "yesterday").returncode == 2


def test_drift_is_told_kept_and_fails_the_command(customer: Customer, command: Command, gateway: LiveGateway) -> None:
    more = "UPDATE balances SET purchased_nano_usd = purchased_nano_usd {} 1 WHERE user_id = " + str(customer.user_id)
    with bent(gateway, more.format("+"), more.format("-")):
        done = command("reconcile")
    assert done.returncode == 1
    assert "2 drift(s)" in done.stdout
    told = re.search(
        rf"^  account {customer.user_id} purchased: expected ([\d.]+) USD, found ([\d.]+) USD$", done.stdout, re.M
    )
    assert told and round((float(told[2]) - float(told[1])) * 1e9) == 1
    assert "reconciliation_drift" in done.stderr
    answer = gateway.admin("GET", "/admin/reconciliation?limit=1")
    assert answer["returned"] == 1 and answer["latest"]["clean"] is False
    assert {found["kind"] for found in answer["latest"]["kinds"]} == {"balance", "double_entry"}
    evidence = answer["latest"]["evidence"][0]
    assert (evidence["kind"], evidence["user_id"], evidence["ids"]) == ("balance", customer.user_id, ["purchased"])
    older = gateway.admin("GET", "/admin/reconciliation?limit=1&offset=1")
    assert older["latest"] == answer["latest"] and older["data"][0]["id"] < answer["data"][0]["id"]
    entries = gateway.admin("GET", "/admin/audit-logs?action=ledger.drift")["data"]
    assert entries[0]["resource"] == f"reconciliation:{answer['latest']['id']}"
    assert command("reconcile").returncode == 0


def test_the_first_broken_row_is_printed(customer: Customer, command: Command, gateway: LiveGateway) -> None:
    done = command("ledger", "verify")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "the ledger is whole")
    ledger_id = f"{customer.user_id}:again:2"
    change = (
        "UPDATE credit_transactions SET balance_after_nano_usd = balance_after_nano_usd {} 7 WHERE request_id = '{}'"
    )
    with bent(gateway, change.format("+", ledger_id), change.format("-", ledger_id)):
        done = command("ledger", "verify")
    assert done.returncode == 1
    _, _, row = done.stdout.partition("first broken row (running):\n")
    shown = dict(line.split(maxsplit=1) for line in row.splitlines())
    assert (shown["request_id"], shown["user_id"]) == (ledger_id, str(customer.user_id))


def rerate(command: Command, *more: str) -> subprocess.CompletedProcess[str]:
    return command("ledger", "rerate", "--from", "2020-01-01", "--to", "2100-01-01", *more)


def line_of(customer: Customer, model: str, printed: str) -> list[str]:
    (words,) = [line.split() for line in printed.splitlines() if line.split()[:2] == [str(customer.user_id), model]]
    return words[2:]


def test_a_price_list_is_applied_once(
    customer: Customer, command: Command, gateway: LiveGateway, tmp_path: Path
) -> None:
    before = charge_of(customer)
    assert line_of(customer, "acme/single", rerate(command).stdout)[3] == "0"
    # USD 2 and 8 per million tokens were charged; 1 and 4 are half of it.
    prices = tmp_path / "list.toml"
    prices.write_text(
        '[[prices]]\nmodel = "acme/single"\nprice_prompt_usd_per_mtok = 1\nprice_completion_usd_per_mtok = 4\n'
    )
    had = balance(customer)
    dry = rerate(command, "--prices", str(prices))
    assert dry.returncode == 0, dry.stderr
    rows, charged, should_be, difference = line_of(customer, "acme/single", dry.stdout)
    assert rows == "1"
    assert float(charged) == pytest.approx(2 * float(should_be)) == pytest.approx(-2 * float(difference))
    assert float(charged) == pytest.approx(-before["amount_usd"])
    assert "nothing was changed" in dry.stdout and balance(customer) == had

    assert rerate(command, "--prices", str(prices), "--apply").returncode == 2
    options = ("--prices", str(prices), "--model", "acme/single", "--apply", "--reason", "list of May")
    done = rerate(command, *options)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^[1-9]\d* correction\(s\)", done.stdout, re.M)
    assert float(balance(customer)) == pytest.approx(float(had) - float(difference))
    (row,) = customer.transactions(type="admin_credit")[:1]
    assert (row["reason"], row["amount_usd"]) == ("list of May", pytest.approx(-float(difference)))
    again = rerate(command, *options)
    assert "0 correction(s): 0 USD credited, 0 USD debited" in again.stdout
    assert command("reconcile").returncode == 0
    actions = [entry["action"] for entry in gateway.admin("GET", "/admin/audit-logs?action=ledger.")["data"]]
    assert "ledger.rerate_begun" in actions


def test_todays_prices_are_those_that_were_charged(customer: Customer, command: Command) -> None:
    done = rerate(command, "--prices", "current", "--provider", "first", "--model", "acme/chat")
    assert done.returncode == 0, done.stderr
    rows, charged, _, difference = line_of(customer, "acme/chat", done.stdout)
    assert (rows, difference) == ("2", "0") and float(charged) > 0
    assert done.stdout.endswith("0 charge(s) differ; nothing was changed (--apply --reason TEXT writes corrections)\n")


def test_mistakes_of_a_price_file_are_named(command: Command, gateway: LiveGateway, tmp_path: Path) -> None:
    prices = tmp_path / "bad.toml"
    prices.write_text('[[prices]]\nmodel = "acme/single"\n')
    done = rerate(command, "--prices", str(prices))
    assert done.returncode == 1
    assert "bad.toml:1: [[prices]] 1: give both price_prompt_usd_per_mtok" in done.stderr
    assert rerate(command, "--prices", str(tmp_path / "none.toml")).returncode == 1


def test_a_database_of_another_shape_is_not_touched(command: Command, tmp_path: Path) -> None:
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(SOURCE), "GATEWAYZ_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "gatewayz", "reconcile"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "run `gatewayz migrate`" in done.stderr


def test_the_page_is_for_administrators(customer: Customer) -> None:
    assert customer.call("GET", "/admin/reconciliation").status_code == 403


def test_drift_is_a_metric_of_every_process(customer: Customer, command: Command, gateway: LiveGateway) -> None:
    """Whoever found it, and however long ago: a process that starts shows what the last run over everything found."""
    more = "UPDATE balances SET purchased_nano_usd = purchased_nano_usd {} 1 WHERE user_id = " + str(customer.user_id)
    with bent(gateway, more.format("+"), more.format("-")):
        assert command("reconcile").returncode == 1
    assert command("reconcile", "--since", "2100-01-01").returncode == 0
    for found in ("2.0", "0.0"):
        gateway.stop()
        gateway.start()
        until = time.monotonic() + 5
        while f"\nreconciliation_drifts {found}\n" not in gateway.call("GET", "/metrics").text:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert command("reconcile").returncode == 0
