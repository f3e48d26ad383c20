"""The fake upstream does what its scripts say; spoken to with the client that the gateway uses."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gatewayz.dialects import DIALECTS
from gatewayz.infra.aiohttp_client import AiohttpTransport
from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http_client import Broken, ConnectFailed, Reply, Timeouts, Transport, TransportTimeout
from tests.fakes.handle import FakeUpstream

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
QUICK = Timeouts(1.0, 0.15)
USUAL = Timeouts(1.0, 5.0)


@pytest.fixture(scope="module")
def process() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(params=[Http1Transport, AiohttpTransport])
def transport(request: pytest.FixtureRequest) -> Transport:
    return request.param()


@dataclass
class Client:
    """Asks the fake as the gateway would; what was not read is closed at the end."""

    transport: Transport
    fake: FakeUpstream
    replies: list[Reply] = field(default_factory=list)

    async def ask(self, path: str = OPENAI, *, persona: str = "p", timeouts: Timeouts = USUAL, **members: Any) -> Reply:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}).encode()
        headers = {"content-type": "application/json", "x-test": "1"}
        self.replies.append(await self.transport.post(self.fake.url(persona, path), headers, body, timeouts))
        return self.replies[-1]

    async def json(self, path: str = OPENAI, **members: Any) -> Any:
        return json.loads(await (await self.ask(path, **members)).read())

    async def stream(self, path: str = OPENAI, **members: Any) -> str:
        return await text_of(await self.ask(path, stream=True, **members))

    async def closed_early(self) -> dict[str, Any]:
        """The last request, once the fake has seen its client leave; elsewhere, since this loop must do the leaving."""
        return await asyncio.to_thread(self.fake.wait_until, "p", "closed_early", True)

    def leave(self) -> None:
        """Closes what is open, as a caller that lost interest."""
        for reply in self.replies:
            reply.close()


@pytest.fixture
async def client(process: FakeUpstream, transport: Transport) -> AsyncIterator[Client]:
    process.reset()
    client = Client(transport, process)
    yield client
    client.leave()
    await client.transport.close()


async def text_of(reply: Reply) -> str:
    parts = []
    while part := await reply.next_chunk():
        parts.append(part)
    return b"".join(parts).decode()


async def test_defaults_and_journal(client: Client) -> None:
    reply = await client.ask(persona="groq")
    answer = json.loads(await reply.read())
    assert answer["choices"][0]["message"]["content"] == "Hello from groq"
    assert answer["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    answer = await client.json(ANTHROPIC)
    assert answer["content"] == [{"type": "text", "text": "Hello from p"}]
    assert answer["usage"] == {"input_tokens": 10, "output_tokens": 5}
    (entry,) = client.fake.journal("groq")
    assert entry["body"]["model"] == "m" and entry["headers"]["x-test"] == "1" and entry["path"].endswith(OPENAI)
    assert (entry["status"], entry["done"], entry["closed_early"], entry["model"]) == (200, True, False, "m")
    assert len(client.fake.journal()) == 2


@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC])
async def test_rich_streams_are_read_by_the_dialects(client: Client, path: str) -> None:
    calls = [
        {"id": "c1", "name": "f", "arguments": {"a": "äöü" * 5}},
        {"id": "c2", "name": "f", "arguments": '{"b":2}'},
    ]
    script = {"text": "Grüße 🌍", "thinking": "hm", "tool_calls": calls, "interleave": path == OPENAI,
              "usage": {"prompt": 20, "completion": 9, "cached": 8}, "chunk_chars": 2}  # fmt: skip
    dialect = DIALECTS["openai" if path == OPENAI else "anthropic"]
    seen = []
    for odd in ({}, {"split": 1}, {"split": 3, "crlf": True, "comments": True}):
        client.fake.script("p", {**script, **odd})
        reply = await client.ask(path, stream=True, stream_options={"include_usage": True})
        reader = dialect.reader()
        events = []
        while part := await reply.next_chunk():
            events += reader.feed(part)
        seen.append([event for event in events + reader.close() if type(event).__name__ != "Started"])
    assert seen[0] == seen[1] == seen[2]
    kinds = [type(event).__name__ for event in seen[0]]
    assert kinds.count("ToolCallStarted") == 2 and "ThinkingDelta" in kinds and kinds[-1] == "Ended"
    fragments: dict[int, str] = {}
    for event in seen[0]:
        if type(event).__name__ == "ToolCallDelta":
            fragments[event.block] = fragments.get(event.block, "") + event.fragment
    assert [json.loads(each) for each in fragments.values()] == [{"a": "äöü" * 5}, {"b": 2}]


async def test_a_queue_then_the_default_and_a_models_own_script(client: Client) -> None:
    client.fake.script("p", {"status": 500}, {"status": 429, "headers": {"Retry-After": "3"}}, default={"text": "ok"})
    client.fake.script("p", model="special", default={"status": 404})
    replies = [await client.ask() for _ in range(3)]
    assert [reply.status for reply in replies] == [500, 429, 200]
    assert replies[1].headers["Retry-After"] == "3"
    assert (await client.ask(model="special")).status == 404
    assert (await client.ask(persona="other")).status == 200
    for reply in replies:
        reply.close()


async def test_scripted_error_bodies_and_errors_in_200(client: Client) -> None:
    client.fake.script(
        "p", {"status": 418, "error": {"error": "tea"}}, {"error_in_200": {"error": {"code": 429}}}, {"body": "raw"}
    )
    assert await client.json() == {"error": "tea"}
    assert await client.json() == {"error": {"code": 429}}
    assert await (await client.ask()).read() == b"raw"
    client.fake.script("p", {"error_in_200": {"error": {"code": 429}}})
    assert (await client.stream()) == 'data: {"error":{"code":429}}\n\n'


async def test_trouble_inside_streams(client: Client) -> None:
    client.fake.script(
        "p", {"error_after": 1}, {"no_done": True}, {"empty": True}, {"extra": ["data: {}\n\n"], "huge": 9000}
    )
    said = await client.stream()
    assert said.count('"content":"Hello "') == 1 and '"error"' in said and "[DONE]" not in said
    assert "[DONE]" not in await client.stream()
    assert (await client.stream()) == "data: [DONE]\n\n"
    odd = await client.stream()
    assert odd.startswith("data: {}\n\n: xxx") and len(odd) > 9000
    client.fake.script(
        "p", {"malformed": True}, {"malformed": True}, {"close_after_chunks": 1}, {"frames": ["data: a\n\n"]}
    )
    assert '{"id":"broken"' in await client.stream()
    with pytest.raises(ValueError):
        await client.json()
    assert (await client.stream()).endswith('"finish_reason":null}]}\n\n')
    assert (await client.stream()) == "data: a\n\n"


async def test_usage_lies_and_silence(client: Client) -> None:
    client.fake.script(
        "p",
        {"usage": None},
        {"usage": {"prompt": 1, "completion": 1, "total": 99}},
        {"usage_when": "every"},
        {"usage_when": "own"},
    )
    assert "usage" not in await client.json()
    assert (await client.json())["usage"]["total_tokens"] == 99
    assert (await client.stream()).count('"usage"') > 3
    assert (await client.stream()).count('"usage"') == 1


@pytest.mark.parametrize(
    ("script", "stream"),
    [({"cut_after_bytes": 40}, True), ({"cut_after_chunks": 1}, True), ({"cut_after_bytes": 10}, False)],
)
async def test_cut_connections(client: Client, script: dict[str, Any], stream: bool) -> None:
    client.fake.script("p", script)
    reply = await client.ask(stream=stream)
    with pytest.raises(Broken):
        await text_of(reply)


async def test_no_reply_at_all(client: Client) -> None:
    client.fake.script("p", default={"status": 0})
    with pytest.raises(Broken):
        await client.ask()


@pytest.mark.parametrize(("hang", "path"), [("headers", OPENAI), ("first", OPENAI), ("middle", ANTHROPIC)])
async def test_endless_silence_and_the_client_leaving(client: Client, hang: str, path: str) -> None:
    client.fake.script("p", {"hang": hang})
    with pytest.raises(TransportTimeout):
        await client.stream(path, timeouts=QUICK)
    client.leave()
    assert (await client.closed_early())["done"] is False


async def test_a_client_that_closes_in_the_middle_is_noted(client: Client) -> None:
    client.fake.script("p", {"text": "x" * 600, "chunk_delay_s": 0.02})
    reply = await client.ask(stream=True)
    await reply.next_chunk()
    reply.close()
    assert await client.closed_early()


async def test_delays(client: Client) -> None:
    client.fake.script("p", {"delay_s": 0.05, "first_delay_s": 0.05, "chunk_delay_s": 0.02})
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    reply = await client.ask(stream=True)
    headers_s = loop.time() - started_s
    await text_of(reply)
    assert headers_s >= 0.05 and loop.time() - started_s >= 0.14


async def test_a_body_that_is_never_read(transport: Transport) -> None:
    with FakeUpstream() as fake:
        client = Client(transport, fake)
        fake.script("p", {"read_body": False})
        asking = asyncio.create_task(client.ask(filler="x" * 20_000_000))
        entry = await asyncio.to_thread(fake.wait_until, "p", "done", False, 30.0)
        assert entry["body"] is None
        await asyncio.sleep(0.1)
        assert not asking.done(), "it waits to be read"
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        # What is still buffered for a peer that never reads keeps the socket open until the peer is gone.
        fake.kill()
        await asyncio.sleep(0.05)
        await client.transport.close()


async def test_lists_counts_and_unknown_paths(client: Client) -> None:
    assert (await client.json("/v1/messages/count_tokens"))["input_tokens"] > 0
    assert (await client.json("/v1/models"))["data"][0]["id"] == "p-model"
    assert (await client.ask("/v1/nothing")).status == 404


def test_scripts_with_unknown_words_are_refused(process: FakeUpstream) -> None:
    with pytest.raises(ValueError, match="staus"):
        process.script("p", {"staus": 500})


async def test_killed_and_back_on_the_same_port(transport: Transport) -> None:
    with FakeUpstream() as fake:
        client = Client(transport, fake)
        port = fake.port
        fake.script("p", {"chunk_delay_s": 5})
        reply = await client.ask(stream=True)
        await reply.next_chunk()
        fake.kill()
        with pytest.raises(Broken):
            await text_of(reply)
        with pytest.raises(ConnectFailed):
            await client.ask()
        fake.start()
        assert fake.port == port and (await client.ask()).status == 200 and len(fake.journal()) == 1
        client.leave()
        await client.transport.close()
