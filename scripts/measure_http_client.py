"""CPU time of the two clients side by side: per POST with 64 in flight, and per relayed chunk of paced streams.

A tiny server in a process of its own answers; only the client's process is counted. Rounds alternate between the clients and
the best of each counts, since a busy machine only adds. Compare the ratio; the microseconds belong to the machine.
"""

import argparse
import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection

import uvloop

from gatewayz.infra.aiohttp_client import AiohttpTransport
from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http_client import Timeouts, Transport

IN_FLIGHT, STREAMS, CHUNKS = 64, 64, 100
PAUSE_S = 0.01
BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 340 + b'"}]}'
HEADERS = {
    "Content-Type": "application/json", "Authorization": "Bearer sk-0123456789abcdef", "Accept": "application/json",
    "X-Request-ID": "0b8f6f2e-6d9f-4f0a-9e0e-3a1b2c3d4e5f",
}  # fmt: skip
TIMEOUTS = Timeouts(5.0, 60.0, 300.0)
ANSWER = b'{"id":"c","choices":[{"message":{"role":"assistant","content":"' + b"y" * 500 + b'"}}],"usage":{}}'
PLAIN = (
    b"HTTP/1.1 200 OK\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nServer: tiny\r\n"
    b"X-Request-Id: req_0123456789\r\nX-RateLimit-Limit-Requests: 1000\r\nX-RateLimit-Remaining-Requests: 999\r\n"
    b"Cache-Control: no-store\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
)
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"c","choices":[{"delta":{"content":"word "}}]}\n\n'
FRAME = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


class Tiny(asyncio.Protocol):
    """Answers as soon as a body of the known length has come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.received.endswith(BODY[-3:]):
            return
        streamed = self.received.startswith(b"POST /stream")
        self.received = b""
        if streamed:
            self.wire.write(STREAM)  # type: ignore[attr-defined]
            asyncio.get_running_loop().call_later(PAUSE_S, self.event, CHUNKS)
        else:
            self.wire.write(PLAIN)  # type: ignore[attr-defined]

    def event(self, left: int) -> None:
        self.wire.write(FRAME if left else b"0\r\n\r\n")  # type: ignore[attr-defined]
        if left:
            asyncio.get_running_loop().call_later(PAUSE_S, self.event, left - 1)


def serve(tell: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Tiny, "127.0.0.1", 0)
        tell.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(run())


async def posts(transport: Transport, url: str, count: int) -> float:
    """CPU microseconds per POST."""

    async def one_after_another() -> None:
        for _ in range(count // IN_FLIGHT):
            reply = await transport.post(url, HEADERS, BODY, TIMEOUTS)
            await reply.read()
            reply.close()

    started_s = time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))
    return (time.process_time() - started_s) / (count // IN_FLIGHT * IN_FLIGHT) * 1e6


async def streams(transport: Transport, url: str) -> float:
    """CPU microseconds per chunk, the share of opening the stream included."""

    async def one() -> int:
        reply = await transport.post(url, HEADERS, BODY, TIMEOUTS)
        seen = 0
        while await reply.next_chunk():
            seen += 1
        reply.close()
        return seen

    started_s = time.process_time()
    seen = sum(await asyncio.gather(*(one() for _ in range(STREAMS))))
    return (time.process_time() - started_s) / seen * 1e6


async def measure(port: int, rounds: int, count: int) -> dict[str, tuple[float, float]]:
    best: dict[str, tuple[float, float]] = {}
    clients: dict[str, Transport] = {"aiohttp": AiohttpTransport(), "http1": Http1Transport()}
    base = f"http://127.0.0.1:{port}"
    for transport in clients.values():
        await posts(transport, base + "/v1", IN_FLIGHT * 4)
    for _ in range(rounds):
        for name, transport in clients.items():
            found = await posts(transport, base + "/v1", count), await streams(transport, base + "/stream")
            post, chunk = best.get(name, found)
            best[name] = min(post, found[0]), min(chunk, found[1])
    for transport in clients.values():
        await transport.close()
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=6400, help="POSTs per round")
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        best = uvloop.run(measure(ours.recv(), options.rounds, options.count))
    finally:
        server.terminate()
        server.join()
    for name, (post, chunk) in best.items():
        print(f"{name:8} {post:7.1f} us CPU per POST   {chunk:7.1f} us CPU per chunk")
    (post_a, chunk_a), (post_h, chunk_h) = best["aiohttp"], best["http1"]
    print(f"ratio    {post_a / post_h:7.2f}                  {chunk_a / chunk_h:7.2f}")


if __name__ == "__main__":
    main()
