"""`gatewayz keys` as an operator runs it, on a database of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def gatewayz(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT / "src"),
        "APP_ENV": "test",
        "GATEWAYZ_HOME": str(home),
    }
    command = [sys.executable, "-m", "gatewayz", *words]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=60)


def account_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    found = re.search(r"^account (\d+) ", done.stdout, re.M)
    assert found
    return found[1]


def test_an_address_names_one_person_and_never_a_part_of_another(tmp_path: Path) -> None:
    ada = account_of(gatewayz(tmp_path, "keys", "create", "--email", "ada@example.com"))
    other = gatewayz(tmp_path, "keys", "create", "--email", "da@example.com", "--admin", "--name", "second")
    assert account_of(other) != ada
    again = gatewayz(tmp_path, "keys", "create", "--email", "ADA@example.com", "--name", "third")
    assert account_of(again) == ada
    listed = gatewayz(tmp_path, "keys", "list", "--user-id", ada).stdout
    assert "third" in listed and "second" not in listed


def test_what_is_no_address_is_told_in_a_sentence(tmp_path: Path) -> None:
    done = gatewayz(tmp_path, "keys", "create", "--email", "nobody")
    assert done.returncode == 1
    assert done.stderr.startswith("--email: nobody is not an e-mail address")
    assert "Traceback" not in done.stderr
