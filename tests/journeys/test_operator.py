"""An operator's day: mistakes named at once, changes applied to running processes, keys made at the machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.acceptance import spine
from tests.each_worker import at_each_worker, workers_of
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

SOURCES = str(Path(__file__).resolve().parents[2] / "src")
SECRET = "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMTI="


def command(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs `gatewayz` in a home of its own."""
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": SOURCES, "APP_ENV": "test", "GATEWAYZ_HOME": str(home),
        "GATEWAYZ_CONFIG": str(home / "gatewayz.toml"), **env,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "gatewayz", *words],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def upstream() -> FakeUpstream:
    """Scripted providers."""
    return spine.shared().upstream


@pytest.fixture(autouse=True)
def _fresh_upstream(upstream: FakeUpstream) -> None:
    upstream.reset()


def test_production_refuses_what_is_for_trying(tmp_path: Path) -> None:
    (tmp_path / "gatewayz.toml").write_text("")
    without_secret = command(tmp_path, "serve", "--port", "0", APP_ENV="production", TESTING="1", PORT="high")
    assert without_secret.returncode == 1
    for name in ("GATEWAYZ_SECRET_KEY", "TESTING", "PORT"):  # all at once
        assert name in without_secret.stderr
    (tmp_path / "gatewayz.toml").write_text('[settings]\nsimulated_provider = "on"\n')
    simulated = command(tmp_path, "serve", "--port", "0", APP_ENV="production", GATEWAYZ_SECRET_KEY=SECRET)
    assert simulated.returncode == 1
    assert re.search(r"gatewayz\.toml:2: .*simulated_provider", simulated.stderr)
    by_variable = {"APP_ENV": "production", "GATEWAYZ_SECRET_KEY": SECRET, "GATEWAYZ_SIMULATED_PROVIDER": "on"}
    (tmp_path / "gatewayz.toml").write_text("")
    assert "environment: simulated_provider" in command(tmp_path, "config", "check", **by_variable).stderr


def test_production_has_no_simulated_answers(tmp_path: Path) -> None:
    live = LiveGateway(tmp_path, "", env={"APP_ENV": "production", "GATEWAYZ_SECRET_KEY": SECRET})
    with live:
        customer = live.customer(1)
        answer = customer.chat("sim/chat")
        assert answer.status_code in (404, 503), answer.text
        assert live.call("GET", "/v1/models/sim/chat").status_code == 404
        assert live.call("GET", "/health").json()["components"]["providers"]["active"] == 0


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "gatewayz.toml").write_text(
        '[settings]\nrpm_free = "many"\nbreaker_failurs = 3\nvelocity_threshold = 7\n'
        '[[providers]]\nslug = "Bad Slug"\n'
        '[[providers]]\nslug = "mine"\ndialect = "klingon"\nbase_url = "not a url"\n'
        '[[models]]\nid = "acme/chat"\n[[models.offers]]\nprovider = "nobody"\nnative_id = "x"\n'
        "price_prompt_usd_per_mtok = -1\n[extra]\n"
    )
    for words in (("config", "check"), ("config", "apply"), ("serve", "--port", "0")):
        ran = command(tmp_path, *words)
        assert ran.returncode == 1, words
        lines = set(re.findall(r"gatewayz\.toml:(\d+): ", ran.stderr))
        assert lines >= {"2", "3", "4", "6", "9", "10", "14", "16", "17"}, ran.stderr
        assert "breaker_failures" in ran.stderr  # what was probably meant
        assert "Traceback" not in ran.stderr
    assert not (tmp_path / "gatewayz.db").exists()


def test_a_change_reaches_running_processes_whole_or_not_at_all(upstream: FakeUpstream, tmp_path: Path) -> None:
    def text(price: float, *more: str) -> str:
        providers = spine.provider_toml(upstream, "first") + spine.provider_toml(upstream, "second")
        return (
            spine.settings_toml()
            + providers
            + spine.model_toml("acme/one", ("first",), price=(price, 8))
            + "".join(more)
        )

    def statuses(model: str) -> set[int]:
        return {each.chat(model).status_code for each in everywhere}

    def costs() -> list[float]:
        return [each.chat("acme/one").json()["usage"]["cost"] for each in everywhere]

    with LiveGateway(tmp_path, text(2), workers=2) as live, at_each_worker(live) as workers:
        customer = live.customer(10)
        everywhere = [customer.at(worker) for worker in workers]
        assert costs() == [pytest.approx(10 * 2e-6 + 5 * 8e-6)] * 2
        assert statuses("acme/two") == {404}
        (tmp_path / "gatewayz.toml").write_text(text(4, spine.model_toml("acme/two", ("second",)), "[oops]\n"))
        refused = command(tmp_path, "config", "apply")
        assert refused.returncode == 1 and "oops" in refused.stderr
        assert statuses("acme/two") == {404}
        (tmp_path / "gatewayz.toml").write_text(text(4, spine.model_toml("acme/two", ("second",))))
        applied = command(tmp_path, "config", "apply")
        assert applied.returncode == 0, applied.stderr

        spine.eventually(lambda: statuses("acme/two") == {200}, "the new model in both processes")
        assert costs() == [pytest.approx(10 * 4e-6 + 5 * 8e-6)] * 2
        (tmp_path / "gatewayz.toml").write_text(text(4).replace(upstream.base_url("first"), upstream.base_url("moved")))
        assert command(tmp_path, "config", "apply").returncode == 0

        def moved() -> bool:
            said = {spine.text_of("openai", each.chat("acme/one")) for each in everywhere}
            return said == {"Hello from moved"} and statuses("acme/two") == {404}

        spine.eventually(moved, "the provider at its new address, the model gone")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such scheduling")
def test_several_workers_take_turns_on_their_cores_and_one_does_not(tmp_path: Path) -> None:
    allow = "import os; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))"
    allowed = subprocess.run([sys.executable, "-c", allow], stderr=subprocess.DEVNULL).returncode == 0
    for workers, policy in ((2, os.SCHED_BATCH if allowed else os.SCHED_OTHER), (1, os.SCHED_OTHER)):
        with LiveGateway(tmp_path, spine.settings_toml(), workers=workers) as live:
            serving = workers_of(live) or [psutil.Process(live.pid)]
            assert len(serving) == workers
            assert {os.sched_getscheduler(process.pid) for process in serving} == {policy}


def test_keys_are_made_at_the_machine_and_doctor_looks_at_everything(upstream: FakeUpstream, tmp_path: Path) -> None:
    config = spine.settings_toml() + spine.provider_toml(upstream, "first") + spine.model_toml("acme/one", ("first",))
    with LiveGateway(tmp_path, config) as live:
        made = command(tmp_path, "keys", "create", "--email", "ann@example.com", "--credit-usd", "3")
        assert made.returncode == 0, made.stderr
        key = re.search(r"^gw_live_[\w-]{43}$", made.stdout, re.M)
        assert key
        customer = Customer(live, 0, key[0])
        assert customer.chat("acme/one").status_code == 200
        assert customer.balance()["balance_usd"] == pytest.approx(3 - 6e-5)
        well = command(tmp_path, "doctor", "--port", str(live.port))
        assert well.returncode == 0 and "nothing is wrong" in well.stdout, well.stdout
        assert "is healthy" in well.stdout and "first" in well.stdout and "sk-first" not in well.stdout
        shown = command(tmp_path, "keys", "list", "--user-id", re.findall(r"account (\d+)", made.stdout)[0])
        assert key[0] not in shown.stdout and key[0][-4:] in shown.stdout
        key_id = re.findall(r"key (\d+)", made.stdout)[0]
        assert command(tmp_path, "keys", "revoke", key_id).returncode == 0
        spine.eventually(lambda: customer.chat("acme/one").status_code == 401, "the key to be refused")


def test_doctor_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "gatewayz.toml").write_text('[settings]\nsimulated_provider = "off"\n')
    (tmp_path / "secret.key").write_text(SECRET)
    (tmp_path / "secret.key").chmod(0o644)
    ran = command(tmp_path, "doctor", REDIS_URL="redis://127.0.0.1:1/0", AZURE_OPENAI_API_KEY="k")
    assert ran.returncode == 1
    wrong = "\n".join(line for line in ran.stdout.splitlines() if line.startswith("WRONG"))
    for word in ("no provider can be called", "can be read by others", "Redis does not answer", "azure-openai"):
        assert word in wrong, ran.stdout


def test_a_taken_port_is_said_plainly(upstream: FakeUpstream, tmp_path: Path) -> None:
    (tmp_path / "gatewayz.toml").write_text("")
    ran = command(tmp_path, "serve", "--port", str(upstream.port), "--host", "127.0.0.1")
    assert ran.returncode == 1 and f"127.0.0.1:{upstream.port}" in ran.stderr and "Traceback" not in ran.stderr
