"""The first minutes: a fresh directory, one command, and what it prints works as printed."""

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

SOURCES = str(Path(__file__).resolve().parents[2] / "src")


class FirstRun:
    """`gatewayz serve` as a newcomer starts it: no configuration, no keys, nothing in the environment."""

    def __init__(self, home: Path, **env: str) -> None:
        self._env = {"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES, "GATEWAYZ_HOME": str(home), **env}
        self._home = home
        self.printed = ""

    def __enter__(self) -> "FirstRun":
        self._log = (self._home.parent / "first.log").open("a")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gatewayz", "serve", "--port", "0"],
            cwd=self._home.parent, env=self._env, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        timer = threading.Timer(30, self._process.kill)
        timer.start()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.printed += line
            if "print(answer" in line:
                break
        timer.cancel()
        assert "print(answer" in self.printed, self.printed
        self.base_url = re.search(r"http://localhost:\d+", self.printed)[0]  # type: ignore[index]
        self.key = re.search(r"gw_live_[\w-]{43}", self.printed)[0]  # type: ignore[index]
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def line(self, word: str) -> str:
        """The printed line that holds this word."""
        return next(line for line in self.printed.splitlines() if word in line)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstRun]:
    """A first run."""
    with FirstRun(tmp_path_factory.mktemp("newcomer") / "home") as run:
        yield run


@pytest.fixture(autouse=True)
def _fresh_upstream() -> None:
    """No scripted provider here."""


def test_the_printed_curl_line_works(first: FirstRun) -> None:
    command = shlex.split(first.line("curl "))
    assert command[0] == "curl"
    if shutil.which("curl") is None:
        headers = dict(command[at + 1].split(": ", 1) for at, word in enumerate(command) if word == "-H")
        answer = httpx.post(
            command[1], content=command[command.index("-d") + 1], headers=headers, timeout=30, verify=False
        )
        text = answer.text
    else:
        text = subprocess.run([*command, "-sS"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert "Simulated answer" in text and "Hello!" in text


def test_the_printed_sdk_snippet_works(first: FirstRun) -> None:
    lines = first.printed.splitlines()
    begin = lines.index("  from openai import OpenAI")
    end = next(at for at, line in enumerate(lines) if "print(answer" in line)
    snippet = "\n".join(line.removeprefix("  ") for line in lines[begin : end + 1])
    ran = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Simulated answer")


def test_the_key_has_credit_and_the_secrets_are_private(first: FirstRun, tmp_path_factory: Any) -> None:
    headers = {"Authorization": f"Bearer {first.key}"}
    balance = httpx.get(f"{first.base_url}/user/balance", headers=headers, timeout=30, verify=False).json()
    assert 99 < balance["balance_usd"] <= 100
    home = Path(first._env["GATEWAYZ_HOME"])
    for secret in ("secret.key", "ready.key"):
        assert stat.S_IMODE((home / secret).stat().st_mode) == 0o600
    assert first.key not in (home.parent / "first.log").read_text()


def test_the_next_start_has_the_same_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with FirstRun(home) as once:
        pass
    with FirstRun(home) as again:
        assert again.key == once.key
        models = httpx.get(f"{again.base_url}/v1/models?limit=5", timeout=30, verify=False).json()
        assert models["data"]


def test_with_a_providers_key_the_real_provider_is_named(tmp_path: Path) -> None:
    with FirstRun(tmp_path / "home", OPENAI_API_KEY="sk-x", OPENAI_BASE_URL="http://127.0.0.1:9/v1") as run:
        assert "providers: openai" in run.printed
        assert '"openai/gpt-4o-mini"' in run.line("curl ")
        assert "sk-x" not in run.printed
