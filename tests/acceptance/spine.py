"""The house in which the acceptance tests of the request path live: one gateway in front of many scripted providers.

Starting a process costs more than most tests, so all modules of one test process share this house; its settings are
small waits and thresholds that never trip. Tests about the thresholds start a gateway of their own.
"""

import atexit
import json
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import anthropic
import httpx2 as httpx
import openai

from tests.events import Event as Event
from tests.events import events
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway, fresh_home

SETTINGS = {
    "ip_limit_per_min": 100000,
    "fingerprint_limit_per_min": 100000,
    "registrations_per_hour": 100000,
    "admin_grant_cap_24h_usd": 1000000,
    "anonymous_per_day": 1000,
    "rpm_free": 100000,
    "first_token_timeout_s": 1.5,
    "idle_timeout_s": 1.0,
    "connect_timeout_s": 1,
    "commit_gate_s": 0.5,
    "request_deadline_s": 6,
    "breaker_failures": 1000,
    "velocity_min_requests": 1000000,
    "explore_share": 0,  # who serves is for the test to say
}

# Slugs that the gateway knows come with their profiles; the others are known to this operator only.
OPENAI_LIKE = (
    "openai", "openrouter", "groq", "fireworks", "together", "first", "second", "third", "fourth", "fifth", "sixth",
)  # fmt: skip
ANTHROPIC_LIKE = ("anthropic", "ant", "anttwo")

GPT = "openai/gpt-4o"  # its chain: openai, openrouter
CLAUDE = "anthropic/claude-sonnet-4.5"  # its chain: anthropic, openrouter
LLAMA = "meta-llama/llama-3.3-70b-instruct"  # open weights: groq, fireworks, together, openrouter
CHAT = "acme/chat"  # first, then second
SINGLE = "acme/single"  # first
MESSAGES = "acme/messages"  # ant, then anttwo
MIXED = "acme/mixed"  # first, then ant
WIDE = "acme/wide"  # six providers
BARE = "acme/bare"  # text only, at first
FREE = "acme/tiny:free"

T = TypeVar("T")


def settings_toml(**changed: Any) -> str:
    """The `[settings]` table of this house with some values changed."""
    return "[settings]\n" + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in {**SETTINGS, **changed}.items()
    )


def provider_toml(upstream: FakeUpstream, slug: str, dialect: str = "openai", **more: Any) -> str:
    """One provider, played by the persona of the same name."""
    members = {"slug": slug, "base_url": upstream.base_url(slug), "dialect": dialect, "api_key": f"sk-{slug}", **more}
    return "[[providers]]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in members.items())


def model_toml(model: str, offers: Iterable[str], *, price: tuple[float, float] = (2, 8), **more: Any) -> str:
    """One model with an offer at each provider; prices are USD per million tokens, of prompt and completion."""
    able = {"supports_tools": True, "supports_json_object": True, "supports_json_schema": True}
    members = {"id": model, "name": model, "context_length": 128000, "modality": "text+image->text", **able, **more}
    lines = ["[[models]]", *(f"{name} = {_toml(value)}" for name, value in members.items())]
    for provider in offers:
        lines += ["[[models.offers]]", f'provider = "{provider}"', f'native_id = "native-{provider}"']
        lines += [f"price_prompt_usd_per_mtok = {price[0]}", f"price_completion_usd_per_mtok = {price[1]}"]
        if provider in ANTHROPIC_LIKE:
            lines += [f"price_cache_read_usd_per_mtok = {price[0] / 10}"]
            lines += [f"price_cache_write_usd_per_mtok = {price[0] * 1.25}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


def _config(upstream: FakeUpstream) -> str:
    texts = [settings_toml()]
    texts += [provider_toml(upstream, slug) for slug in OPENAI_LIKE[:5]]
    texts += [provider_toml(upstream, slug, priority=300 + at) for at, slug in enumerate(OPENAI_LIKE[5:])]
    texts += [
        provider_toml(upstream, slug, "anthropic", priority=400 + at) for at, slug in enumerate(ANTHROPIC_LIKE[1:])
    ]
    texts.append(provider_toml(upstream, "anthropic", "anthropic"))
    texts.append(model_toml(CHAT, ("first", "second"), supports_logprobs=True))
    texts.append(model_toml(SINGLE, ("first",)))
    texts.append(model_toml(MESSAGES, ("ant", "anttwo"), price=(3, 15), supports_reasoning=True))
    texts.append(model_toml(MIXED, ("first", "ant"), supports_reasoning=True))
    texts.append(model_toml(WIDE, OPENAI_LIKE[5:]))
    bare = {"supports_tools": False, "supports_json_schema": False, "supports_logprobs": False}
    texts.append(model_toml(BARE, ("first",), modality="text->text", **bare))
    texts.append(model_toml(FREE, ("first",), price=(0, 0)))
    return "".join(texts)


@dataclass(frozen=True)
class Spine:
    """The running house."""

    upstream: FakeUpstream
    gateway: LiveGateway


@cache
def shared() -> Spine:
    """The house of this test process, started at the first call and stopped when the interpreter ends."""
    upstream = FakeUpstream().start()
    atexit.register(upstream.stop)
    home = fresh_home()
    atexit.register(shutil.rmtree, home, ignore_errors=True)  # after the gateway has stopped: last in, first out
    gateway = LiveGateway(home, _config(upstream))
    gateway.start()
    atexit.register(gateway.stop)
    return Spine(upstream, gateway)


_clients: list[openai.OpenAI | anthropic.Anthropic] = []


def openai_client(customer: Customer, **more: Any) -> openai.OpenAI:
    """The official client, with nothing but address and key changed (and no retries unless asked for)."""
    base_url = f"{customer.gateway.base_url}/v1"
    client = openai.OpenAI(base_url=base_url, api_key=customer.key, **{"max_retries": 0, **more})
    _clients.append(client)
    return client


def anthropic_client(customer: Customer, *, path: str = "", **more: Any) -> anthropic.Anthropic:
    """The official client, with nothing but address and key changed (and no retries unless asked for)."""
    client = anthropic.Anthropic(
        base_url=f"{customer.gateway.base_url}{path}", api_key=customer.key, **{"max_retries": 0, **more}
    )
    _clients.append(client)
    return client


def close_clients() -> None:
    """Closes the official clients that were made here: left to the collector, their sockets may go before they do."""
    while _clients:
        _clients.pop().close()


def chat_body(model: str, **more: Any) -> dict[str, Any]:
    """A Chat Completions body."""
    return {"model": model, "messages": [{"role": "user", "content": "Hello!"}], **more}


def messages_body(model: str, **more: Any) -> dict[str, Any]:
    """A Messages body."""
    return {"max_tokens": 100, **chat_body(model), **more}


BODIES: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "openai": ("/v1/chat/completions", chat_body),
    "anthropic": ("/v1/messages", messages_body),
}


def ask(customer: Customer, dialect: str, model: str, *, stream: bool = False, **more: Any) -> httpx.Response:
    """One request in a dialect; a stream is read to its end."""
    path, body = BODIES[dialect]
    return customer.call("POST", path, body(model, stream=stream, **more))


def text_of(dialect: str, answer: httpx.Response) -> str:
    """All text of an answer, plain or streamed."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        parts = (each.data for each in events(answer.text) if each.data != "[DONE]")
        if dialect == "anthropic":
            deltas = (part["delta"] for part in parts if part["type"] == "content_block_delta")
            return "".join(delta.get("text", "") for delta in deltas)
        chunks = (part["choices"] for part in parts if part.get("choices"))
        return "".join(choices[0]["delta"].get("content") or "" for choices in chunks)
    body = answer.json()
    if dialect == "anthropic":
        return "".join(block.get("text", "") for block in body["content"])
    return body["choices"][0]["message"]["content"] or ""


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error object of an answer, or of the last event of a stream that failed."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        told = [each.data for each in events(answer.text) if isinstance(each.data, dict) and each.data.get("error")]
        assert len(told) == 1, answer.text
        return told[0]["error"]
    error: dict[str, Any] = answer.json()["error"]
    return error


def eventually(look: Callable[[], T], what: str, timeout_s: float = 5.0) -> T:
    """The first truthy value that `look` gives. Fails when it takes too long."""
    until = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.02)
    return found


def only_record(customer: Customer) -> dict[str, Any]:
    """The one record in the request log of a fresh account, as soon as it is written."""
    path = "/user/activity/log"
    rows = eventually(lambda: customer.call("GET", path).json()["data"], "a record in the request log")
    assert len(rows) == 1, rows
    row: dict[str, Any] = rows[0]
    return row


def ledger(customer: Customer) -> list[tuple[str, float]]:
    """Type and amount in USD of all ledger rows that requests wrote, oldest first."""
    kinds = ("api_usage", "hold", "refund")
    return [(row["type"], row["amount_usd"]) for row in reversed(customer.transactions()) if row["type"] in kinds]


def asked(upstream: FakeUpstream) -> list[str]:
    """The personas that were called, in order."""
    return [entry["persona"] for entry in upstream.journal()]


def log_lines(gateway: LiveGateway, event: str) -> Iterator[dict[str, Any]]:
    """The lines of the gateway's log that tell of this event."""
    for line in gateway.log_path.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and (told := json.loads(line)).get("event") == event:
            yield told


def metric(gateway: LiveGateway, name: str, **labels: str) -> float:
    """The value of one series of GET /metrics; 0 if it does not exist yet."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    for line in gateway.call("GET", "/metrics").text.splitlines():
        shape = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if shape and shape[1] == name and wanted <= set(re.findall(r'\w+="[^"]*"', shape[2] or "")):
            return float(shape[3])
    return 0.0
