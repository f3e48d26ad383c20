"""A local OpenAI-compatible server is one setting."""

import time
from pathlib import Path

from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway


def test_one_variable_brings_the_local_servers_models(upstream: FakeUpstream, tmp_path: Path) -> None:
    with LiveGateway(tmp_path, env={"OLLAMA_BASE_URL": upstream.base_url("ollama"), "APP_ENV": "production",
                                    "GATEWAYZ_SECRET_KEY": "x" * 43 + "="}) as live:  # fmt: skip
        until = time.monotonic() + 5
        while not (models := live.call("GET", "/v1/models").json()["data"]):
            assert time.monotonic() < until, "the local server's models were not found"
            time.sleep(0.1)
        assert models[0]["provider_slug"] == "ollama"
        assert models[0]["is_free"]
        native = models[0]["name"]
        customer = live.customer(0)
        for name in (models[0]["id"], f"ollama/{native}"):
            answer = customer.chat(name)
            assert answer.status_code == 200, answer.text
            assert answer.json()["usage"]["cost"] == 0
        assert {entry["body"]["model"] for entry in upstream.journal("ollama") if entry["model"]} == {native}
