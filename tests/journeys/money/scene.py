"""The stage of the money journeys: scripted providers, short lives for promises, and databases to break."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

# `make soak` runs the same journeys many times over.
SOAK = bool(os.environ.get("GATEWAYZ_SOAK"))

LEASE_S = 2
HOLD_EXPIRY_S = 4
LIFE_S = max(LEASE_S, HOLD_EXPIRY_S)
# Between two sweeps; an orphan is gone after its life and one of these.
SWEEP_S = 5
# Between two looks for the journals of dead processes.
ADOPT_S = 15

PROMPT_TOKENS = 10
COMPLETION_TOKENS = 5
PROMPT_NANO = 2_000  # nano-USD a token: 2 USD per million
COMPLETION_NANO = 8_000
FULL_COST_NANO = PROMPT_TOKENS * PROMPT_NANO + COMPLETION_TOKENS * COMPLETION_NANO
MAX_TOKENS = 100

QUICK, SLOW, CLAUDE, BROKEN = "acme/quick", "acme/slow", "acme/claude", "acme/broken"
MODELS = {QUICK: "openai", SLOW: "openai", CLAUDE: "anthropic", BROKEN: "openai"}
_USAGE = {"prompt": PROMPT_TOKENS, "completion": COMPLETION_TOKENS}
# What the client leaves behind in mid-stream is counted by its length, so no text may be longer than its usage says.
_TEXT = "Money is exact."
SCRIPTS: dict[str, dict[str, Any]] = {
    QUICK: {"text": _TEXT, "usage": _USAGE},
    SLOW: {"text": _TEXT, "usage": _USAGE, "chunk_chars": 1, "delay_s": 0.05, "chunk_delay_s": 0.02},
    CLAUDE: {"text": _TEXT, "usage": _USAGE, "chunk_chars": 2, "chunk_delay_s": 0.01},
    BROKEN: {"text": _TEXT, "usage": _USAGE, "chunk_chars": 2, "cut_after_bytes": 400},
}

_SETTINGS = {
    "ip_limit_per_min": 1_000_000,
    "fingerprint_limit_per_min": 1_000_000,
    "registrations_per_hour": 1_000_000,
    "admin_grant_cap_24h_usd": 1_000_000,
    "rpm_free": 1_000_000,
    "first_token_timeout_s": 5,
    "idle_timeout_s": 5,
    "request_deadline_s": 30,
    "breaker_failures": 1_000_000,
    "velocity_min_requests": 1_000_000,
    "trial_credit_usd": 0,
    "lease_s": LEASE_S,
    "hold_expiry_s": HOLD_EXPIRY_S,
    "log_level": '"warning"',
}


def config(upstream: FakeUpstream, **changed: Any) -> str:
    """The text of gatewayz.toml: one provider and one price for each model."""
    text = "[settings]\n" + "".join(f"{name} = {value}\n" for name, value in {**_SETTINGS, **changed}.items())
    for model, dialect in MODELS.items():
        slug = model.partition("/")[2]
        text += (
            f'[[providers]]\nslug = "{slug}"\nbase_url = "{upstream.base_url(slug)}"\ndialect = "{dialect}"\n'
            f'api_key = "sk-{slug}"\n'
            f'[[models]]\nid = "{model}"\nname = "{slug}"\ncontext_length = 100000\nmodality = "text->text"\n'
            f'[[models.offers]]\nprovider = "{slug}"\nnative_id = "{slug}"\n'
            f"price_prompt_usd_per_mtok = {PROMPT_NANO // 1000}\n"
            f"price_completion_usd_per_mtok = {COMPLETION_NANO // 1000}\n"
        )
    return text


@dataclass
class Stage:
    """A gateway with its upstream and its database. `served` are the request ids that a provider was asked for."""

    upstream: FakeUpstream
    gateway: LiveGateway
    database_url: str
    served: set[str] = field(default_factory=set)

    def set_scripts(self) -> None:
        """Tells the providers what to do; forgets what they were asked, after noting it in `served`."""
        self.note_served()
        self.upstream.reset()
        for model, script in SCRIPTS.items():
            self.upstream.script(model.partition("/")[2], default=script)

    def note_served(self) -> int:
        """Adds the provider calls so far to `served`; returns how many there are in all."""
        self.served |= {entry["headers"]["x-request-id"] for entry in self.upstream.journal()}
        return len(self.served)

    def customers(self) -> list[Customer]:
        """One account of each kind: with slices, with direct holds since it is poor, with direct holds since its key is capped."""
        return [self.gateway.customer(50), self.gateway.customer("0.02"), self.gateway.customer(50, daily_usd_cap=20)]


@contextmanager
def stage(
    home: Path, database_url: str | None = None, *, workers: int = 1, env: dict[str, str] | None = None, **changed: Any
) -> Iterator[Stage]:
    """A running stage; `database_url` None is a fresh SQLite file, `changed` are settings."""
    url = database_url or f"sqlite:///{home / 'money.db'}"
    with FakeUpstream() as upstream:
        gateway = LiveGateway(
            home / "home", config(upstream, **changed), {"DATABASE_URL": url, **(env or {})}, workers=workers
        )
        made = Stage(upstream, gateway, url)
        made.set_scripts()
        with gateway:
            yield made
