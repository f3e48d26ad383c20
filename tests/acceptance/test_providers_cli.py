"""`gatewayz providers list|check`, run as a process in front of scripted providers."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import spine
from tests.acceptance.spine import provider_toml
from tests.acceptance.test_gemini import service_account
from tests.fakes.handle import FakeUpstream

SOURCE = Path(__file__).resolve().parents[2] / "src"
Command = Callable[..., subprocess.CompletedProcess[str]]
KEY = "sk-very-secret-value"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


def model(model_id: str, provider: str, native: str, price: float | None = 2, **more: Any) -> str:
    text = spine.model_toml(model_id, (), **more)
    prices = (
        f"price_prompt_usd_per_mtok = {price}\nprice_completion_usd_per_mtok = {price}\n" if price is not None else ""
    )
    return f'{text}[[models.offers]]\nprovider = "{provider}"\nnative_id = "{native}"\n{prices}'


@pytest.fixture
def config(upstream: FakeUpstream) -> str:
    """Two providers of two dialects."""
    texts = [provider_toml(upstream, "acme", priority=1, api_key=KEY)]
    texts += [provider_toml(upstream, "claudish", "anthropic", priority=2, api_key=KEY)]
    texts += [model("acme/dear", "acme", "dear", 30, supports_reasoning=False)]
    texts += [model("acme/cheap", "acme", "cheap", 1, supports_reasoning=False)]
    texts += [model("acme/thinker", "acme", "thinker", 0.5, supports_reasoning=True)]
    texts += [model("acme/messages", "claudish", "claudish-1", 3)]
    return "".join(texts)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """`gatewayz providers …` with a configuration and an environment of its own."""

    def run(*words: str, config: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        (tmp_path / "gatewayz.toml").write_text(config, encoding="utf-8")
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(SOURCE),
            "GATEWAYZ_HOME": str(tmp_path / "home"),
            "GATEWAYZ_CONFIG": str(tmp_path / "gatewayz.toml"),
            **(env or {}),
        }
        ran = subprocess.run(
            [sys.executable, "-m", "gatewayz", "providers", *words],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert "Traceback" not in ran.stderr, ran.stderr
        assert KEY not in ran.stdout + ran.stderr
        assert not (tmp_path / "home").exists(), "nothing of the installation is touched"
        return ran

    return run


def told(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(ran.stdout)
    return value


def steps(report: dict[str, Any]) -> dict[str, bool | None]:
    return {step["name"]: step["ok"] for step in report["steps"]}


def test_everything_is_well(command: Command, upstream: FakeUpstream, config: str) -> None:
    ran = command("check", config=config)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "all 2 passed" in ran.stdout and "WRONG" not in ran.stdout
    before, _, after = ran.stdout.partition("sending them now")
    # Twice 32 tokens of prompt and 16 of answer, at 1 USD and at 3 USD a million.
    assert "at most 0.000384 USD altogether" in before and "first content after" in after
    assert "cheap: 10 + 5 tokens" in after and "1 listed" in after
    paths = [entry["path"].rpartition("/v1")[2] for entry in upstream.journal("acme")]
    assert paths == ["/models", "/chat/completions", "/chat/completions"]
    plain, stream = (entry["body"] for entry in upstream.journal("acme")[1:])
    assert plain["model"] == "cheap" and plain["max_tokens"] == 16 and not plain.get("stream")
    assert stream["stream"] is True and stream["stream_options"] == {"include_usage": True}
    assert [entry["path"].rpartition("/v1")[2] for entry in upstream.journal("claudish")[1:]] == ["/messages"] * 2


def test_json_says_the_same(command: Command, config: str) -> None:
    ran = command("check", "acme", "--json", config=config)
    value = told(ran)
    (report,) = value["providers"]
    assert ran.returncode == 0 and value["ok"] and report["ok"] and report["usage_reported"]
    assert (report["slug"], report["model"]) == ("acme", "cheap")
    assert steps(report) == {"address": True, "models": True, "plain": True, "stream": True}
    assert report["cost_usd"] == pytest.approx(2 * 15 / 1e6) and value["at_most_usd"] == pytest.approx(2 * 48 / 1e6)
    assert report["first_token_ms"] >= 0 and all(step["took_ms"] >= 0 for step in report["steps"])


def test_a_dry_run_sends_nothing(command: Command, upstream: FakeUpstream, config: str) -> None:
    ran = command("check", "acme", "--dry-run", "--model", "acme/dear", config=config)
    assert ran.returncode == 0 and upstream.journal() == []
    assert '"model": "dear"' in ran.stdout and f"POST {upstream.base_url('acme')}/chat/completions" in ran.stdout
    assert "at most 0.00288 USD" in ran.stdout and "Nothing was sent" in ran.stdout
    value = told(command("check", "acme", "--dry-run", "--json", config=config))
    assert [request["body"].get("stream", False) for request in value["requests"]] == [False, True]
    assert value["at_most_usd"] == pytest.approx(0.000096)


FAILURES = {
    "401": ({"status": 401, "error": {"error": {"message": f"Incorrect API key provided: {KEY}"}}}, "credential was refused"),
    "402": ({"status": 402}, "no credit left"),
    "404": ({"status": 404, "error": {"error": {"message": "The model does not exist", "code": "model_not_found"}}}, "does not serve cheap"),
    "429": ({"status": 429}, "rate limit or quota"),
    "500": ({"status": 500}, "it failed"),
    "nonsense": ({"body": "<html>hello</html>"}, "cannot be read"),
    "empty": ({"empty": True}, "without a word"),
    "cut": ({"status": 0}, "connection broke off"),
    "error in a 200": ({"error_in_200": {"error": {"message": "no", "code": "insufficient_quota"}}}, "no credit left"),
}  # fmt: skip


def test_what_is_wrong_is_said_in_words(command: Command, upstream: FakeUpstream, config: str) -> None:
    texts = [config]
    for number, (script, _) in enumerate(FAILURES.values()):
        upstream.script(f"p{number}", default=script, model="cheap")
        texts += [provider_toml(upstream, f"p{number}", api_key=KEY), model(f"m/m{number}", f"p{number}", "cheap")]
    ran = command("check", config="".join(texts))
    assert ran.returncode == 1 and f"{len(FAILURES)} of {len(FAILURES) + 2} failed" in ran.stdout, ran.stdout
    parts = {part.split(None, 1)[0]: part.splitlines() for part in ran.stdout.split("\n\n")}
    for number, (name, (_, words)) in enumerate(FAILURES.items()):
        (at,) = [at for at, line in enumerate(parts[f"p{number}"]) if "WRONG" in line]
        wrong, remedy = parts[f"p{number}"][at : at + 2]
        assert "plain" in wrong and words in wrong, ran.stdout
        assert remedy.strip().startswith("-> ")
        methods = [entry["method"] for entry in upstream.journal(f"p{number}")]
        # A kept-alive connection that ends at once is replaced; there is no second chat in any case.
        assert methods.count("POST") == (2 if name == "cut" else 1)
    assert "Incorrect API key provided: ***" in "".join(parts["p0"])
    assert "ok    stream" in "".join(parts["acme"])


def test_a_key_that_cannot_even_list_is_refused_before_any_chat(
    command: Command, upstream: FakeUpstream, config: str
) -> None:
    upstream.script("acme", {"status": 401, "error": {"error": {"message": "who are you"}}})
    (report,) = told(command("check", "acme", "--json", config=config))["providers"]
    assert steps(report) == {"address": True, "models": False}
    assert [entry["method"] for entry in upstream.journal("acme")] == ["GET"]


def test_a_stream_that_breaks_and_usage_that_is_not_told(command: Command, upstream: FakeUpstream, config: str) -> None:
    upstream.script(
        "acme", {}, {"error_after": 1, "stream_error": {"error": {"message": "x", "code": 503}}}, model="cheap"
    )
    upstream.script("claudish", default={"usage": None}, model="claudish-1")
    acme, claudish = told(command("check", "--json", config=config))["providers"]
    assert steps(acme)["plain"] is True and steps(acme)["stream"] is False
    assert claudish["ok"] and claudish["usage_reported"] is False and claudish["cost_usd"] is None
    assert all("estimate" in step["remedy"] for step in claudish["steps"] if step["name"] in ("plain", "stream"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_addresses_that_lead_nowhere(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        addresses = {
            "dns": ("http://nowhere.invalid/v1", "DNS: the name nowhere.invalid is not known"),
            "refused": (f"http://127.0.0.1:{free_port()}/v1", "refuses the connection"),
            "tls": (f"https://127.0.0.1:{deaf.getsockname()[1]}/v1", "TLS: "),
        }
        texts = ["[settings]\nconnect_timeout_s = 2\n"]
        for slug, (base_url, _) in addresses.items():
            texts.append(f'[[providers]]\nslug = "{slug}"\nbase_url = "{base_url}"\napi_key = "{KEY}"\n')
        ran = command("check", config="".join(texts))
    assert ran.returncode == 1 and "sending them now" not in ran.stdout
    assert "3 of 3 failed" in ran.stdout
    assert all(words in ran.stdout for _, words in addresses.values()), ran.stdout


def test_the_model_can_be_chosen_and_need_not_be_in_the_catalog(
    command: Command, upstream: FakeUpstream, config: str
) -> None:
    ran = command("check", "acme", "--model", "something-new", config=config)
    assert ran.returncode == 0 and "the price of a model is not known" in ran.stdout
    assert {entry["body"]["model"] for entry in upstream.journal("acme")[1:]} == {"something-new"}


def test_a_local_server_is_asked_for_what_it_has(command: Command, upstream: FakeUpstream) -> None:
    ran = command("check", config="", env={"OLLAMA_BASE_URL": upstream.base_url("ollama")})
    assert ran.returncode == 0, ran.stdout
    assert {entry["body"]["model"] for entry in upstream.journal("ollama")[1:]} == {"ollama-model"}


def test_each_location_is_tried_and_a_token_that_is_refused_is_said(command: Command, upstream: FakeUpstream) -> None:
    entry = f'[[providers]]\nslug = "google-vertex"\nregions = ["loc-a", "loc-b"]\nbase_url = "{upstream.url("{location}", "/v1")}"\n'
    env = {"GOOGLE_VERTEX_CREDENTIALS_JSON": service_account(upstream)}
    upstream.script("loc-b", default={"status": 503})
    first, second = told(command("check", "google-vertex", "--json", config=entry, env=env))["providers"]
    assert (first["location"], first["ok"]) == ("loc-a", True) and (second["location"], second["ok"]) == (
        "loc-b",
        False,
    )
    upstream.script("issuer", default={"status": 400, "error": {"error": "invalid_grant"}})
    ran = command("check", "google-vertex", config=entry, env=env)
    assert ran.returncode == 1 and "no access token was issued" in ran.stdout


def test_who_is_there_and_who_is_not(command: Command, config: str) -> None:
    ran = command("list", config=config, env={"GOOGLE_VERTEX_CREDENTIALS_JSON": "{"})
    assert ran.returncode == 0
    assert ran.stdout.index("acme ") < ran.stdout.index("claudish ")
    assert "no key: set OPENAI_API_KEY" in ran.stdout and "GOOGLE_VERTEX_CREDENTIALS_JSON: is not JSON" in ran.stdout
    value = told(command("list", "--json", config=config))
    assert [(each["slug"], each["by"]) for each in value["active"]] == [
        ("acme", "configuration"),
        ("claudish", "configuration"),
    ]
    assert {"slug": "ollama", "reason": "is a local server: set OLLAMA_BASE_URL or OLLAMA_API_BASE"} in value[
        "inactive"
    ]


def test_what_was_begun_and_is_not_active_fails_the_check(command: Command, config: str) -> None:
    ran = command("check", config=config, env={"GOOGLE_VERTEX_CREDENTIALS_JSON": "{"})
    assert ran.returncode == 1 and "WRONG google-vertex is not active: GOOGLE_VERTEX_CREDENTIALS_JSON" in ran.stdout
    assert "1 of 3 failed" in ran.stdout
    named = command("check", "openai", config=config)
    assert named.returncode == 1 and "openai is not active: no key: set OPENAI_API_KEY" in named.stdout
    nobody = command("check", "opemai", config=config)
    assert nobody.returncode == 2 and "no provider opemai" in nobody.stderr
    alone = command("check", config="")
    assert alone.returncode == 1 and "No provider can be called" in alone.stdout
    assert command("check", "sim", config="").returncode == 0


def test_a_provider_without_chats_is_only_looked_at(command: Command, upstream: FakeUpstream) -> None:
    upstream.reset()
    config = f'[[providers]]\nslug = "voyage"\nbase_url = "{upstream.base_url("voyage")}"\napi_key = "{KEY}"\n'
    ran = command("check", config=config)
    assert ran.returncode == 0, ran.stdout
    assert "not tried: it is not asked for chats, but for embeddings, rerank" in ran.stdout
    assert {entry["method"] for entry in upstream.journal("voyage")} == {"GET"}
