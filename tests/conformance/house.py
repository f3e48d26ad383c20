"""The house of the matrix: one live gateway with one provider for each column, played by the fake upstream."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.conformance.ask import Ingress
from tests.conformance.hear import Upstream
from tests.conformance.talk import Usage
from tests.conformance.upstreams import UPSTREAMS
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

ABILITIES = ("tools", "vision", "reasoning", "json_object", "json_schema", "logprobs", "audio", "documents")
SETTINGS = {
    "ip_limit_per_min": 100000,
    "fingerprint_limit_per_min": 100000,
    "rpm_free": 100000,
    "registrations_per_hour": 100000,
    "admin_grant_cap_24h_usd": 1000000,
    "breaker_failures": 1000,
    "velocity_min_requests": 1000000,
    "rate_limit_retries": 0,
}


def toml(head: str, **members: Any) -> str:
    """One table of the configuration."""
    return f"{head}\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in members.items())


def model_toml(model: str, provider: str, native_id: str) -> str:
    """A model that can do everything, with one offer."""
    able = {f"supports_{name}": True for name in ABILITIES}
    prices = {"price_prompt_usd_per_mtok": 3, "price_completion_usd_per_mtok": 15}
    cache = {"price_cache_read_usd_per_mtok": 0.3, "price_cache_write_usd_per_mtok": 3.75}
    modality = "text+image+audio+file->text"
    return toml("[[models]]", id=model, name=model, context_length=200000, modality=modality, **able) + toml(
        "[[models.offers]]", provider=provider, native_id=native_id, **prices, **cache
    )


def cost_usd(used: Usage) -> float:
    """What a usage costs at the prices of `model_toml`."""
    fresh = used.prompt - used.cached - used.written
    return (fresh * 3 + used.cached * 0.3 + used.written * 3.75 + used.completion * 15) / 1e6


def model_of(upstream: Upstream) -> str:
    """The model that only this column serves."""
    return f"matrix/{upstream.name}"


def configuration(fake: FakeUpstream) -> str:
    """The text of gatewayz.toml."""
    texts = [toml("[settings]", **SETTINGS)]
    for upstream in UPSTREAMS.values():
        base = fake.url(upstream.slug, {"gemini": "/v1beta", "bedrock": ""}.get(upstream.dialect, "/v1"))
        members = {"base_url": base, "dialect": upstream.dialect, "api_key": f"sk-{upstream.slug}"}
        texts.append(toml("[[providers]]", slug=upstream.slug, **members))
    texts += [model_toml(model_of(each), each.slug, each.native_id) for each in UPSTREAMS.values()]
    return "".join(texts)


@dataclass(frozen=True)
class House:
    """The running house, and the account that pays."""

    fake: FakeUpstream
    gateway: LiveGateway
    customer: Customer

    def ask(self, ingress: Ingress, body: dict[str, Any]) -> httpx.Response:
        """One request, with blanks where few would put them, so that forwarded bytes can be told from written ones."""
        path, sent = ingress.put(body)
        return self.customer.call("POST", path, self.text_of(sent))

    @staticmethod
    def text_of(body: dict[str, Any]) -> str:
        """A body as `ask` sends it."""
        return json.dumps(body, separators=(" ,", " : "))

    def log_size(self) -> int:
        """How long the gateway's log is."""
        return self.gateway.log_path.stat().st_size

    def left_out_since(self, log_from: int) -> set[str]:
        """The parameters that the log, from this place on, names as left out. A line is written before the provider is called."""
        return {name for line in self.told_since(log_from, "parameters_dropped") for name in line["names"]}

    def told_since(self, log_from: int, event: str) -> list[dict[str, Any]]:
        """The whole lines of the log from this place on that tell of this event."""
        with self.gateway.log_path.open("rb") as log:
            log.seek(log_from)
            whole = log.read().decode().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def spent_usd(self) -> list[tuple[str, float]]:
        """Type and amount of the ledger rows that requests wrote, oldest first."""
        kinds = ("api_usage", "hold", "refund")
        return [
            (row["type"], row["amount_usd"]) for row in reversed(self.customer.transactions()) if row["type"] in kinds
        ]


@contextmanager
def running(home: Path) -> Iterator[House]:
    """The house, while it stands."""
    with FakeUpstream() as fake, LiveGateway(home, configuration(fake)) as gateway:
        yield House(fake, gateway, gateway.customer(100))
