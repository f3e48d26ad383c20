"""A live gateway with one model for each dialect of provider, all played by the scripted fake upstream."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.catalog import Step
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

# Dialects of providers, each with the path at which such a provider is expected.
PATHS = {
    "openai": "/v1",
    "anthropic": "/v1",
    "gemini": "/v1beta",
    "openai_responses": "/v1",
    "bedrock": "",
    "cohere": "/v2",
}
DIALECTS = tuple(PATHS)
STEP_S = 180.0
ANSWER_USD = (10 * 3 + 5 * 15) / 1e6  # the fake's usage at the prices below
PREFIX = "tide/"

_SETTINGS = """[settings]
ip_limit_per_min = 100000
fingerprint_limit_per_min = 100000
admin_grant_cap_24h_usd = 1000000
rpm_free = 100000
"""
_PROVIDER = """
[[providers]]
slug = "{slug}"
base_url = "{url}"
dialect = "{dialect}"
api_key = "sk-{slug}"
"""
_MODEL = """
[[models]]
id = "tide/{name}"
name = "{name}"
context_length = 200000
modality = "text+image->text"
supports_tools = true
supports_json_object = true
supports_json_schema = true
supports_reasoning = true
[[models.offers]]
provider = "{slug}"
native_id = "{native}"
price_prompt_usd_per_mtok = 3
price_completion_usd_per_mtok = 15
"""


class Failed(Exception):
    """A step did not end as it was scripted; the text says how."""


@dataclass(frozen=True)
class House:
    """The running gateway and the upstream behind it."""

    fake: FakeUpstream
    gateway: LiveGateway

    def serves(self, path: str) -> bool:
        """Whether the gateway has this page at all."""
        return self.gateway.call("GET", path, key=self.gateway.admin_key).status_code != 404

    def try_step(self, command: list[str], step: Step, dialect: str, environment: dict[str, str], log: Path) -> None:
        """Runs a client's step with a fresh account and a provider of this dialect. Raises Failed."""
        persona = _slug(dialect)
        self.fake.reset()
        self.fake.script(persona, *_filled(step.answers, environment), model=_native(dialect, "main"))
        self.fake.script(persona, model=_native(dialect, "side"), default={"text": "Tides"})
        customer = self.gateway.customer(1)
        given = {
            **environment,
            "GATEWAY_URL": self.gateway.base_url,
            "GATEWAY_KEY": customer.key,
            "MODEL": f"{PREFIX}{dialect}-main",
            "SIDE_MODEL": f"{PREFIX}{dialect}-side",
        }
        try:
            code, told, complaint = _run(command, given)
        finally:
            asked = [entry for entry in self.fake.journal(persona) if entry["model"]]
        text = json.dumps(asked, indent=1)
        log.write_text(f"{told}\n--- stderr\n{complaint}\n--- asked of the provider\n{text}\n", encoding="utf-8")
        if code:
            last = [line for line in complaint.splitlines() if line.strip()][-1:]
            raise Failed(last[0] if last else f"ended with {code}")
        self._judge(step, told, asked, customer, _native(dialect, "main"))

    def _judge(self, step: Step, told: str, asked: list[dict[str, Any]], customer: Customer, model: str) -> None:
        if step.prints not in told:
            raise Failed(f"printed {told[-200:]!r}, not {step.prints!r}")
        main = [entry for entry in asked if entry["model"] == model and "count" not in entry["path"].lower()]
        if len(main) != len(step.answers):
            raise Failed(f"asked {len(main)} times, not {len(step.answers)}")
        if step.brings is not None and step.brings not in json.dumps(main[-1]["body"]):
            raise Failed(f"the last request does not bring {step.brings!r}")
        answered = [entry for entry in asked if entry["status"] == 200 and "count" not in entry["path"].lower()]
        until = time.monotonic() + 10
        while (charged := _charged(customer)) != [-ANSWER_USD] * len(answered):
            if time.monotonic() > until:
                raise Failed(f"{len(answered)} answers, charged {charged}")
            time.sleep(0.1)


@contextmanager
def running(home: Path) -> Iterator[House]:
    """The house, while it stands."""
    with FakeUpstream() as fake, LiveGateway(home, _configuration(fake)) as gateway:
        yield House(fake, gateway)


def _configuration(fake: FakeUpstream) -> str:
    parts = [_SETTINGS]
    for dialect in DIALECTS:
        slug = _slug(dialect)
        url = fake.url(slug, PATHS[dialect])
        parts.append(_PROVIDER.format(slug=slug, url=url, dialect=dialect))
        parts += [
            _MODEL.format(name=f"{dialect}-{part}", slug=slug, native=_native(dialect, part))
            for part in ("main", "side")
        ]
    return "".join(parts)


def _native(dialect: str, part: str) -> str:
    """The provider's name of a model; at Bedrock it tells which abilities the model has."""
    return f"anthropic.claude-sonnet-4-5-{part}" if dialect == "bedrock" else f"{dialect}-{part}"


def _slug(dialect: str) -> str:
    return f"tide-{dialect.replace('_', '-')}"


def _filled(answers: tuple[dict[str, Any], ...], environment: dict[str, str]) -> list[dict[str, Any]]:
    text = json.dumps(answers).replace("{scratch}", environment["SCRATCH"])
    filled: list[dict[str, Any]] = json.loads(text)
    return filled


def _charged(customer: Customer) -> list[float]:
    """What requests cost the account, in USD."""
    return [row["amount_usd"] for row in customer.transactions() if row["type"] == "api_usage"]


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    """Exit code, output and complaints of a client in a session of its own, which ends with it. Raises Failed."""
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=environment["SCRATCH"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told, complaint = process.communicate(timeout=STEP_S)
        return process.returncode, told, complaint
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than {STEP_S:.0f} s") from None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # what it left running, too
        except ProcessLookupError:
            pass
        process.communicate()
