"""A command that is wrongly used says what is wrong, in one line and with its exit code, never by a traceback."""

from pathlib import Path

import pytest

from gatewayz.cli import main

HUGE = "99999999999999999999999"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "PORT", "GATEWAYZ_SECRET_KEY", "GATEWAYZ_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GATEWAYZ_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["serve", "--port", "99999"], "--port"),
        (["serve", "--port", "-5"], "--port"),
        (["serve", "--port", HUGE], "--port"),
        (["doctor", "--port", "x"], "--port"),
        (["keys", "list", "--user-id", HUGE], "--user-id"),
        (["keys", "list", "--user-id", "0"], "--user-id"),
        (["keys", "create", "--user-id", HUGE], "--user-id"),
        (["keys", "revoke", HUGE], "key_id"),
        (["keys", "revoke", "²"], "key_id"),
        (["providers", "check", "--timeout", "soon"], "--timeout"),
    ],
)
def test_wrong_numbers(capsys: pytest.CaptureFixture[str], command: list[str], named: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(command)
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 2 and named in last and "must be" in last, last


@pytest.mark.parametrize(
    "command", [["migrate"], ["doctor"], ["serve", "--port", "0"], ["keys", "list", "--user-id", "1"]]
)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "mysql://gateway:hunter2@db/x"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("REDIS_URL", "hunter2@cache:6379"),
        ("REDIS_URL", "http://cache"),
        ("GATEWAYZ_SECRET_KEY", "hunter2"),
        ("GATEWAYZ_SECRET_KEY", "k" * 43 + "=,hunter2"),
    ],
)
def test_wrong_variables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(command) == 1
    told = "".join(capsys.readouterr())
    assert f"{variable}: must " in told
    assert "hunter2" not in told, "it may be a secret"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "sqlite:///own.db"),
        ("DATABASE_URL", "sqlite+aiosqlite:///own.db"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("GATEWAYZ_SECRET_KEY", "k" * 43 + "="),
    ],
)
def test_right_variables(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["migrate"]) == 0


def test_a_file_that_nests_without_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    deep = tmp_path / "deep.yaml"
    deep.write_text('{"model_list":' * 3_000, encoding="utf-8")
    assert main(["config", "import", "litellm", str(deep)]) == 1
    assert "nests too deep" in capsys.readouterr().err
