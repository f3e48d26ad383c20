"""The measurement of events reads every pairing's stream to its end and prints a line for each."""

import runpy
from pathlib import Path

import pytest
from dialect_samples import CHAT_CLIENTS, CHAT_PROVIDERS

SCRIPT = Path(__file__).parents[2] / "scripts" / "measure_events.py"


def test_every_pairing_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    measure = runpy.run_path(str(SCRIPT))
    assert {name: len(stream()) for name, stream in measure["STREAMS"].items()} == dict.fromkeys(CHAT_PROVIDERS, 70)
    measure["main"](1, 1)
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    pairs = [(provider.strip(), client.strip()) for provider, client, *_ in rows]
    assert pairs == [(provider, client) for provider in CHAT_PROVIDERS for client in CHAT_CLIENTS]
    assert all(float(cost) > 0 for _, _, _, *costs in rows for cost in costs)
