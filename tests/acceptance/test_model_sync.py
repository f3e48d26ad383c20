"""The sync of providers' lists, seen from outside: what comes in, what does not and why, and what is charged meanwhile."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.spine import eventually, model_toml, provider_toml, settings_toml
from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway

PER_TOKEN = {"shape": "openai", "unit": "usd_per_token"}
MODELS = 12


def listed(native: str, prompt: float | None = 2, completion: float = 8, **more: Any) -> dict[str, Any]:
    """One entry of OpenRouter's form; prices are USD per million tokens and written per token, as it does."""
    entry: dict[str, Any] = {"id": native, "context_length": 64_000, "supported_parameters": ["tools"], **more}
    if prompt is not None:
        entry["pricing"] = {"prompt": f"{prompt / 1e6:.12f}", "completion": f"{completion / 1e6:.12f}"}
    return entry


def others(scale: float = 1) -> list[dict[str, Any]]:
    """Models that the configuration also has at another provider, priced as there: they bear a list out."""
    return [listed(f"acme/known-{number}", 2 * scale, 8 * scale) for number in range(MODELS)]


def config(upstream: FakeUpstream) -> str:
    texts = [settings_toml(free_model_allowlist=["acme/gift"])]
    texts += [provider_toml(upstream, slug, models_feed=PER_TOKEN) for slug in ("alpha", "beta", "gamma")]
    texts += [provider_toml(upstream, "plain"), provider_toml(upstream, "mute", models_feed={"shape": "none"})]
    texts += [model_toml(f"acme/known-{number}", ("plain",)) for number in range(MODELS)]
    return "".join(texts)


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with LiveGateway(tmp_path_factory.mktemp("sync"), config(upstream)) as live:
        yield live


@pytest.fixture(autouse=True)
def _quiet(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    """Every provider has a list that says nothing new, unless the test tells another."""
    for slug in ("alpha", "beta", "gamma", "plain"):
        upstream.feed(slug, {"data": [{"id": "acme/known-0"}]})


def sync(gateway: LiveGateway, slug: str, query: str = "") -> dict[str, Any]:
    return gateway.admin("POST", f"/admin/model-sync/provider/{slug}{query}")


def shown(gateway: LiveGateway, model: str, provider: str | None = None) -> dict[str, Any] | None:
    query = f"&provider={provider}" if provider else ""
    data = gateway.call("GET", f"/v1/models?q={model}{query}").json()["data"]
    return next((entry for entry in data if entry["id"] == model), None)


def per_mtok(entry: dict[str, Any] | None) -> tuple[float, float] | None:
    if entry is None:
        return None
    return tuple(round(float(entry["pricing"][kind]) * 1e6, 6) for kind in ("prompt", "completion"))  # type: ignore[return-value]


def refused(gateway: LiveGateway, provider: str) -> dict[str, str]:
    rows = gateway.admin("GET", f"/admin/model-sync/rejected?provider={provider}&limit=1000")["data"]
    return {row["native_id"]: row["reason"] for row in rows}


def until(gateway: LiveGateway, model: str, price: tuple[float, float] | None, provider: str | None = None) -> None:
    eventually(lambda: per_mtok(shown(gateway, model, provider)) == price, f"{model} at {price}", 20)


@pytest.mark.ac("AC-5.1.1")
@pytest.mark.parametrize("act", ["trigger", "all", "incremental"])
def test_a_sync_of_everything_brings_new_models(gateway: LiveGateway, upstream: FakeUpstream, act: str) -> None:
    upstream.feed("alpha", {"data": [*others(), listed(f"acme/new-by-{act}", 1, 4)]})
    answer = gateway.call("POST", f"/admin/model-sync/{act}", key=gateway.admin_key)
    assert answer.status_code == 202 and answer.json()["status"] == "running"
    where = answer.headers["location"]
    run = eventually(
        lambda: (found := gateway.admin("GET", where))["status"] != "running" and found, "the end of the run", 30
    )
    assert run["status"] == "succeeded" and run["kind"] == ("trigger" if act == "incremental" else act)
    alpha = next(each for each in run["providers"] if each["provider"] == "alpha")
    assert alpha["seen"] == MODELS + 1 and alpha["added"] >= 1 and alpha["changed"] >= 1
    assert run["duration_ms"] >= 0 and run["failed"] == 0 and {"changed", "rejected"} <= set(run)
    until(gateway, f"acme/new-by-{act}", (1, 4))
    model = shown(gateway, f"acme/new-by-{act}")
    assert model is not None
    assert (model["provider_slug"], model["context_length"]) == ("alpha", 64_000)
    assert model["supports_function_calling"] is True
    answer = gateway.customer(1).chat(f"acme/new-by-{act}")
    assert answer.status_code == 200 and answer.json()["usage"]["cost"] == pytest.approx(10e-6 * 1 + 5e-6 * 4)


def test_a_second_run_over_the_same_list_changes_nothing(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("beta", {"data": [*others(), listed("acme/twice", 3, 9)]})
    assert sync(gateway, "beta")["changed"] > 0
    again = sync(gateway, "beta")
    assert (again["changed"], again["added"], again["seen"]) == (0, 0, MODELS + 1)


@pytest.mark.ac("AC-5.1.2")
@pytest.mark.parametrize(
    "trouble",
    [
        {"body": "", "status": 503}, {"body": "<html>down</html>"}, {"body": {"data": []}}, {"body": {"error": "no"}},
        {"body": {"data": [{"id": 1}]}},
    ],
)  # fmt: skip
def test_a_provider_in_trouble_keeps_its_models(
    gateway: LiveGateway, upstream: FakeUpstream, trouble: dict[str, Any]
) -> None:
    upstream.feed("beta", {"data": [*others(), listed("acme/steady", 1, 5)]})
    sync(gateway, "beta")
    until(gateway, "acme/steady", (1, 5))
    upstream.feed("beta", **trouble)
    for _ in range(4):
        run = sync(gateway, "beta")
        assert run["status"] == "failed" and run["providers"][0]["error"]
        assert run["changed"] == 0
    full = gateway.admin("POST", "/admin/model-sync/full")
    assert full["status"] == "partly_failed"
    assert per_mtok(shown(gateway, "acme/steady")) == (1, 5)
    assert gateway.customer(1).chat("acme/steady").status_code == 200


@pytest.mark.ac("AC-5.1.3")
def test_one_provider_is_synced_or_only_tried(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("gamma", {"data": [*others(), listed("acme/tried", 1, 2)]})
    tried = sync(gateway, "gamma", "?dry_run=true")
    assert tried["dry_run"] is True and tried["changed"] > 0 and tried["providers"][0]["provider"] == "gamma"
    assert gateway.admin("GET", "/admin/model-sync/status")["running"] is False
    assert shown(gateway, "acme/tried") is None and "acme/known-1" not in refused(gateway, "gamma")
    done = sync(gateway, "gamma")
    assert done["changed"] == tried["changed"] and done["dry_run"] is False
    until(gateway, "acme/tried", (1, 2))
    answer = gateway.call("POST", "/admin/model-sync/provider/nobody", key=gateway.admin_key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "provider_not_found")
    assert gateway.call("POST", "/admin/model-sync/provider/openai", key=gateway.admin_key).status_code == 404
    answer = gateway.call("POST", "/admin/model-sync/provider/mute", key=gateway.admin_key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "feature_unavailable")


@pytest.mark.ac("AC-5.1.4")
def test_a_full_import_never_shows_an_empty_catalog(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("gamma", {"data": [*others(), listed("acme/stays", 1, 2), listed("acme/leaves", 1, 2)]})
    sync(gateway, "gamma")
    until(gateway, "acme/leaves", (1, 2))
    upstream.feed("gamma", {"data": [*others(), listed("acme/stays", 1, 2)]}, delay_s=0.3)
    seen: list[bool] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            data = gateway.call("GET", "/v1/models?provider=gamma").json()["data"]
            seen.append("acme/stays" in {entry["id"] for entry in data})

    reader = threading.Thread(target=read)
    reader.start()
    try:
        run = gateway.admin("POST", "/admin/model-sync/full")
        until(gateway, "acme/leaves", None)
    finally:
        ended.set()
        reader.join()
    assert run["kind"] == "full" and run["removed"] >= 1
    assert len(seen) > 1 and all(seen)


def test_a_model_that_is_listed_no_more_goes_with_the_third_list(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("beta", {"data": [*others(), listed("acme/fading", 1, 3)]})
    sync(gateway, "beta")
    until(gateway, "acme/fading", (1, 3))
    upstream.feed("beta", {"data": others()})
    for _ in range(2):
        assert sync(gateway, "beta")["removed"] == 0
    assert per_mtok(shown(gateway, "acme/fading")) == (1, 3)
    assert sync(gateway, "beta")["removed"] == 1
    until(gateway, "acme/fading", None)
    upstream.feed("beta", {"data": [*others(), listed("acme/fading", 1, 3)]})
    sync(gateway, "beta")
    until(gateway, "acme/fading", (1, 3))


@pytest.mark.ac("AC-5.3.1")
def test_a_model_without_price_stays_outside_with_its_reason(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    entries = [
        *others(),
        listed("acme/unpriced", None),
        listed("acme/zero", 0, 0),
        listed("acme/gift", 0, 0),
        listed("acme/present:free", 0, 0),
        listed("acme/embedder", 1, 1, type="embedding"),
        listed("acme/riddle", 1, 1, type="riddle"),
        listed("acme/Twin", 1, 1),
        listed("acme/twin", 1, 1),
        listed("not a name", 1, 1),
    ]
    upstream.feed("alpha", {"data": entries})
    sync(gateway, "alpha")
    until(gateway, "acme/gift", (0, 0))
    found = refused(gateway, "alpha")
    assert found["acme/unpriced"] == "no_price" and found["acme/zero"] == "no_price"
    assert found["acme/embedder"] == "kind_not_served" and found["acme/riddle"] == "modality_unknown"
    assert found["acme/twin"] == "duplicate" and found["not a name"] == "name_unusable"
    assert not {"acme/gift", "acme/present:free", "acme/Twin"} & set(found)
    gift = shown(gateway, "acme/present:free")
    assert gift is not None and gift["is_free"] is True
    customer = gateway.customer(1)
    for model in ("acme/unpriced", "acme/zero", "acme/embedder", "acme/riddle"):
        assert shown(gateway, model) is None
        assert customer.chat(model).status_code == 404


@pytest.mark.ac("AC-5.3.3")
def test_a_premium_model_without_a_price_of_its_own_is_blocked(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed(
        "alpha", {"data": [*others(), listed("openai/gpt-4-imaginary", None), listed("anthropic/claude-none", 0, 0)]}
    )
    sync(gateway, "alpha")
    found = refused(gateway, "alpha")
    for model in ("openai/gpt-4-imaginary", "anthropic/claude-none"):
        assert found[model] == "premium_without_price"
        assert shown(gateway, model) is None
        answer = gateway.customer(1).chat(model)
        assert answer.status_code in (404, 503) and answer.json()["error"]["code"] in (
            "model_not_found",
            "pricing_unavailable",
        )
    assert [entry for entry in upstream.journal() if entry["path"].endswith("/chat/completions")] == []


def test_a_model_that_loses_its_price_is_withdrawn_at_once(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("beta", {"data": [*others(), listed("acme/losing", 1, 3)]})
    sync(gateway, "beta")
    until(gateway, "acme/losing", (1, 3))
    upstream.feed("beta", {"data": [*others(), listed("acme/losing", None)]})
    sync(gateway, "beta")
    until(gateway, "acme/losing", None)
    assert refused(gateway, "beta")["acme/losing"] == "price_lost"
    assert gateway.customer(1).chat("acme/losing").status_code == 404


@pytest.mark.parametrize("scale", [1e6, 1e3, 100, 1e-2, 1e-3, 1e-6])
def test_a_list_in_another_unit_never_becomes_a_bill(
    gateway: LiveGateway, upstream: FakeUpstream, scale: float
) -> None:
    upstream.feed("gamma", {"data": [*others(), listed("acme/only-here", 1, 3)]})
    gateway.admin("POST", "/admin/model-sync/full")
    until(gateway, "acme/only-here", (1, 3))
    upstream.feed("gamma", {"data": [*others(scale), listed("acme/only-here", 1 * scale, 3 * scale)]})
    for _ in range(3):  # a wrong unit is wrong every time
        run = sync(gateway, "gamma")
    assert run["changed"] == 0 and "times those known" in run["providers"][0]["error"]
    found = refused(gateway, "gamma")
    assert found["acme/only-here"] == "list_unit_suspect" and len(found) == MODELS + 1
    customer = gateway.customer(1)
    answer = customer.chat("acme/only-here")
    assert answer.status_code == 200
    (charge,) = [row for row in customer.transactions() if row["type"] == "api_usage"]
    assert charge["amount_usd"] == pytest.approx(-(10 * 1 + 5 * 3) / 1e6)
    assert per_mtok(shown(gateway, "acme/known-3", "plain")) == (2, 8)


def test_one_price_far_from_all_others_is_not_used(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("alpha", {"data": others()})
    sync(gateway, "alpha")
    until(gateway, "acme/known-0", (2, 8), "alpha")
    wrong = [*others()[1:], listed("acme/known-0", 2000, 8000)]
    upstream.feed("alpha", {"data": wrong})
    sync(gateway, "alpha")
    assert refused(gateway, "alpha")["acme/known-0"] == "price_implausible"
    assert per_mtok(shown(gateway, "acme/known-0", "alpha")) == (2, 8)


def test_a_large_step_waits_for_a_second_sighting_or_for_a_word(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    def told(*entries: dict[str, Any]) -> dict[str, Any]:
        upstream.feed("beta", {"data": [*others(), *entries]})
        return sync(gateway, "beta")

    told(listed("acme/moving", 1, 4), listed("acme/doubtful", 1, 4))
    until(gateway, "acme/moving", (1, 4))
    told(listed("acme/moving", 5, 20), listed("acme/doubtful", 1.5, 6))
    until(gateway, "acme/doubtful", (1.5, 6))  # a small step needs no second look
    assert refused(gateway, "beta")["acme/moving"] == "price_step"
    assert per_mtok(shown(gateway, "acme/moving")) == (1, 4)
    told(listed("acme/moving", 5, 20), listed("acme/doubtful", 1.5, 6))
    until(gateway, "acme/moving", (5, 20))
    history = gateway.call("GET", "/catalog/models-db/acme/moving/prices").json()["data"]
    assert [(row["pricing"]["prompt"], row["until"] is None) for row in history] == [
        ("0.000005", True),
        ("0.000001", False),
    ]
    assert {row["stated_by"] for row in history} == {"beta model list"} and history[0]["from"] == history[1]["until"]
    told(listed("acme/moving", 5, 20), listed("acme/doubtful", 9, 36))
    body = {"provider": "beta", "native_id": "acme/doubtful"}
    assert gateway.admin("POST", "/admin/model-sync/rejected/approve", body)["run"]["status"] == "succeeded"
    until(gateway, "acme/doubtful", (9, 36))
    answer = gateway.call(
        "POST", "/admin/model-sync/rejected/approve", {**body, "native_id": "x"}, key=gateway.admin_key
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "entry_not_found")


def test_nothing_to_compare_with_means_no_price_yet(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("alpha", {"data": [listed("acme/alone", 1, 3)]})
    sync(gateway, "alpha")
    assert refused(gateway, "alpha")["acme/alone"] == "price_unconfirmed"
    assert shown(gateway, "acme/alone") is None
    gateway.admin("POST", "/admin/model-sync/rejected/approve", {"provider": "alpha", "native_id": "acme/alone"})
    until(gateway, "acme/alone", (1, 3))


def test_one_sync_at_a_time(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("alpha", {"data": others()}, delay_s=1.5)
    assert gateway.call("POST", "/admin/model-sync/trigger", key=gateway.admin_key).status_code == 202
    for path in ("trigger", "provider/beta", "full"):
        answer = gateway.call("POST", f"/admin/model-sync/{path}", key=gateway.admin_key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "sync_running")
    assert gateway.admin("GET", "/admin/model-sync/status")["running"] is True
    eventually(lambda: not gateway.admin("GET", "/admin/model-sync/status")["running"], "the end of the run", 30)


def test_the_command_line_syncs_and_tells(gateway: LiveGateway, upstream: FakeUpstream) -> None:
    upstream.feed("gamma", {"data": [*others(), listed("acme/by-command", 1, 3)]})

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": "", "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"), "APP_ENV": "test",
            "GATEWAYZ_HOME": str(gateway.home), "GATEWAYZ_CONFIG": str(gateway.home / "gatewayz.toml"),
        }  # fmt: skip
        command = [sys.executable, "-m", "gatewayz", "sync", *words]
        return subprocess.run(command, env=environment, cwd=gateway.home, capture_output=True, text=True, timeout=60)

    tried = run("gamma", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "[1/1] gamma: 13 models" in tried.stdout and "nothing was written" in tried.stdout
    assert shown(gateway, "acme/by-command") is None
    done = run("gamma")
    assert done.returncode == 0 and "succeeded" in done.stdout and "rejected" in done.stdout
    until(gateway, "acme/by-command", (1, 3))
    upstream.feed("gamma", "no", status=500)
    failed = run("gamma")
    assert failed.returncode == 1 and "HTTP status 500" in failed.stdout
    assert run("nobody").returncode == 1


def test_runs_are_listed_newest_first(gateway: LiveGateway) -> None:
    sync(gateway, "plain")
    page = gateway.admin("GET", "/admin/model-sync/runs?limit=2")
    assert page["data"][0]["id"] > page["data"][1]["id"] and page["data"][0]["kind"] == "provider"
    rows = gateway.admin("GET", "/admin/model-sync/providers")
    plain = next(row for row in rows["data"] if row["slug"] == "plain")
    assert plain["has_list"] and plain["price_unit"] == "none" and plain["last_list_at"]
    assert json.dumps(rows["inactive"])
