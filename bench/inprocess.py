"""The path of a request without sockets: the real house and dispatcher on SQLite, in this process, and a canned provider.

What is left out is the server and the client for providers; everything between them is what serves in production.
"""

import asyncio
import base64
import gc
import io
import json
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.gateways import CREDIT_USD, config_text
from bench.targets import CHAT, MESSAGES
from bench.trials import Call, body
from gatewayz.accounts import keys, users
from gatewayz.accounts.audit import SYSTEM
from gatewayz.accounts.emails import Email
from gatewayz.api.app import build_app
from gatewayz.billing import grants
from gatewayz.billing.tables import credit_transactions
from gatewayz.core.money import nano_from_usd
from gatewayz.infra.clock import ManualClock
from gatewayz.infra.http_client import Timeouts
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import load_configuration
from gatewayz.wiring.house import House, build_house
from gatewayz.wiring.prepare import prepare, secret_keys_of

App = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
Ask = Callable[[], Awaitable[int]]

WORDS = (" the", " quick", " brown", " fox", " jumps", " over", " lazy", " dogs")
_EVENTS_STREAM, _JSON = {"content-type": "text/event-stream"}, {"content-type": "application/json"}
_STANDING_S = 1000.0


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be stopped: then no timer rings, however slowly the work gets on."""

    still = False

    def time(self) -> float:
        """Seconds; the same for ever while `still`."""
        return _STANDING_S if self.still else super().time()


def openai_events(count: int) -> list[bytes]:
    """A whole stream of OpenAI's with `count` words, one event a piece."""
    head = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"m",'

    def chunk(choices: list[Any], **more: Any) -> bytes:
        said = {"choices": choices, **more}
        return head + json.dumps(said, separators=(",", ":")).encode()[1:] + b"\n\n"

    def choice(delta: Mapping[str, str], finish: str | None = None) -> list[Any]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    usage = {"prompt_tokens": 25, "completion_tokens": count, "total_tokens": 25 + count}
    return [
        chunk(choice({"role": "assistant", "content": ""})),
        *(chunk(choice({"content": WORDS[at % 8]})) for at in range(count)),
        chunk(choice({}, "stop")),
        chunk([], usage=usage),
        b"data: [DONE]\n\n",
    ]


def anthropic_events(count: int) -> list[bytes]:
    """A whole stream of Anthropic's Messages with `count` words, one event a piece."""

    def event(kind: str, **members: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **members}, separators=(',', ':'))}\n\n".encode()

    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    return [
        event("message_start", message={**message, "usage": {"input_tokens": 25, "output_tokens": 1}}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": WORDS[at % 8]})
            for at in range(count)
        ),
        event("content_block_stop", index=0),
        event(
            "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": count}
        ),
        event("message_stop"),
    ]


_PLAIN = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1760000000, "model": "m", "system_fingerprint": "fp",
        "choices": [{
            "index": 0, "logprobs": None, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hello! This is a canned answer.", "refusal": None},
        }],
        "usage": {"prompt_tokens": 25, "completion_tokens": 16, "total_tokens": 41},
    },
    separators=(",", ":"),
).encode()  # fmt: skip


_PLAIN_ANTHROPIC = json.dumps(
    {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": "Hello! This is a canned answer."}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 25, "output_tokens": 16},
    },
    separators=(",", ":"),
).encode()  # fmt: skip


@dataclass(slots=True)
class CannedReply:
    """See `Reply`. Every piece is a wake-up of its own, as it is when a provider writes word by word."""

    headers: Mapping[str, str]
    pieces: list[bytes]
    status: int = 200

    async def read(self) -> bytes:
        """See `Reply.read`."""
        return b"".join(self.pieces)

    async def next_chunk(self) -> bytes:
        """See `Reply.next_chunk`."""
        await asyncio.sleep(0)
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        """See `Reply.close`."""


@dataclass(slots=True)
class Canned:
    """A `Transport` whose providers always answer at once. `words` is the length of their streams."""

    words: int = 64
    streams: dict[tuple[bool, int], list[bytes]] = field(default_factory=dict)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> CannedReply:
        """See `Transport.post`."""
        anthropic = url.endswith("/messages")
        if b'"stream":true' not in body:
            return CannedReply(_JSON, [_PLAIN_ANTHROPIC if anthropic else _PLAIN])
        kept = self.streams.get((anthropic, self.words))
        if kept is None:
            made = anthropic_events(self.words) if anthropic else openai_events(self.words)
            kept = self.streams[(anthropic, self.words)] = made
        return CannedReply(_EVENTS_STREAM, list(kept))

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> CannedReply:
        """See `Transport.get`."""
        return CannedReply(_JSON, [b'{"data":[]}'])

    async def close(self) -> None:
        """See `Transport.close`."""


@dataclass(slots=True)
class Inside:
    """A house that serves in this process. `app` is the ASGI application; a wrapped one may stand in its place."""

    house: House
    app: App
    transport: Canned
    key: str

    def ask(self, model: str, *, path: str = CHAT, stream: bool = False, prompt_bytes: int = 0) -> Ask:
        """A function that sends this request once and returns the size of its answer in bytes.

        It raises RuntimeError for an answer that is not a whole 200.
        """
        sent = body(Call(path, f"bench/{model}"), stream=stream, prompt_bytes=prompt_bytes)
        headers = [
            (b"host", b"127.0.0.1:8000"),
            (b"content-type", b"application/json"),
            (b"accept", b"*/*"),
            (b"user-agent", b"bench-load"),
            (b"authorization", f"Bearer {self.key}".encode()),
            (b"content-length", str(len(sent)).encode()),
        ]
        last = (b"message_stop" if path == MESSAGES else b"[DONE]") if stream else b"}"

        async def once() -> int:
            scope = {
                "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
                "headers": headers, "client": ("127.0.0.1", 50000), "http_version": "1.1", "scheme": "http",
            }  # fmt: skip
            status, size, tail, told = 0, 0, b"", False

            async def receive() -> dict[str, Any]:
                nonlocal told
                if told:
                    await asyncio.Event().wait()
                told = True
                return {"type": "http.request", "body": sent, "more_body": False}

            async def send(message: dict[str, Any]) -> None:
                nonlocal status, size, tail
                if message["type"] == "http.response.start":
                    status = message["status"]
                else:
                    size += len(message["body"])
                    tail = message["body"][-40:] or tail

            await self.app(scope, receive, send)
            if status != 200 or last not in tail:
                raise RuntimeError(f"{model}: {status}, {size} bytes that end with {tail!r}")
            return size

        return once

    async def charges(self) -> int:
        """How many answers stand in the ledger."""
        query = sa.select(sa.func.count()).where(credit_transactions.c.type == "api_usage")
        async with self.house.database.read() as connection:
            found: int = await connection.scalar(query)
        return found


@asynccontextmanager
async def inside(home: Path) -> AsyncIterator[Inside]:
    """A house in `home`, prepared and loaded, with one funded customer; its background loops do not run."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "gatewayz.toml"
    config.write_text(config_text(9), encoding="utf-8")
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    named = {"GATEWAYZ_HOME": str(home), "GATEWAYZ_CONFIG": str(config), "GATEWAYZ_SECRET_KEY": secret}
    configuration = load_configuration(read_environment({"APP_ENV": "production", **named}))
    clock, transport = ManualClock(), Canned()
    await prepare(configuration, clock)
    # The request log is written as in production, only nobody reads it.
    unread = io.TextIOWrapper(io.BytesIO())
    with redirect_stderr(unread):
        house = build_house(configuration, secret_keys_of(configuration.environment), clock=clock, transport=transport)
    try:
        await house.feed.start()
        await house.catalog.load()
        yield Inside(house, build_app(house), transport, await _customer(house))
    finally:
        await house.stop()
        unread.close()


async def _customer(house: House) -> str:
    now_us = house.clock.now_us()
    email = Email("bench@gatewayz.invalid", "bench@gatewayz.invalid")
    async with house.database.begin() as connection:
        user = await users.create(
            connection, username="bench", email=email, auth_method="email", environment="live", origin=SYSTEM,
            now_us=now_us,
        )  # fmt: skip
        await grants.open_account(connection, house.settings, user.id, now_us, trial=False)
        amount = nano_from_usd(CREDIT_USD)
        await grants.grant(connection, grants.Order(user.id, amount, "bench", "bench", "system", now_us))
        issued = await keys.create(connection, house.ring, user.id, "live", keys.KeySettings("bench"), SYSTEM, now_us)
    return issued.secret


def run_inside(home: Path, act: Callable[[Inside], Awaitable[None]], *, still: bool) -> None:
    """Runs `act` in a house in `home`, on an event loop of its own and without the collector; `still` stops its clock."""
    loop = StillLoop()

    async def whole() -> None:
        async with inside(home) as opened:
            loop.still = still
            try:
                await act(opened)
            finally:
                loop.still = False
                await asyncio.sleep(0)

    collecting = gc.isenabled()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(whole())
    finally:
        if collecting:
            gc.enable()


def ledger_threads() -> list[int]:
    """Identifiers of the threads that write the ledger."""
    return [thread.ident for thread in threading.enumerate() if thread.name.startswith("ledger") and thread.ident]
