"""Prints the CPU time of one event of a streamed answer, in microseconds, for every pairing of dialects.

A typical stream of 70 events is fed as a provider sends it, one event a piece or all at once, through the bridge that
relays it, from its making to the charged end. In process, without a network; the least of several rounds is told, because
all else that a machine does only adds to it. Usage: python scripts/measure_events.py [rounds] [repeats]
"""

import json
import struct
import sys
import time
import zlib

from gatewayz.core.services import CHATS
from gatewayz.core.usage import Usage
from gatewayz.dialects import CLIENT_DIALECTS, PROVIDER_DIALECTS, bridge
from gatewayz.dialects.base import ClientDialect, ProviderDialect, Target, Voice

EVENTS = 70
WORDS = ["The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", "."]
VOICE = Voice("org/model", "req_7", 1_700_000_000, include_usage=True)
TARGET = Target("native-model")


def openai_stream() -> list[bytes]:
    """A role, words, the reason, usage and the terminator."""

    def chunk(choices: list[object], **more: object) -> bytes:
        frame = {"id": "chatcmpl-123", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "native"}
        return b"data: " + json.dumps({**frame, "choices": choices, **more}, separators=(",", ":")).encode() + b"\n\n"

    def choice(delta: dict[str, str], finish: str | None = None) -> list[object]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    words = [chunk(choice({"content": WORDS[n % 10]}), usage=None) for n in range(EVENTS - 4)]
    usage = {"prompt_tokens": 20, "completion_tokens": 66, "total_tokens": 86}
    first = chunk(choice({"role": "assistant", "content": ""}), usage=None)
    return [first, *words, chunk(choice({}, "stop"), usage=None), chunk([], usage=usage), b"data: [DONE]\n\n"]


def anthropic_stream() -> list[bytes]:
    """A message with one block of text."""

    def event(kind: str, **members: object) -> bytes:
        body = json.dumps({"type": kind, **members}, separators=(",", ":"))
        return f"event: {kind}\ndata: {body}\n\n".encode()

    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "native", "content": []}
    words = [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": WORDS[n % 10]})
        for n in range(EVENTS - 5)
    ]
    return [
        event("message_start", message={**message, "usage": {"input_tokens": 20, "output_tokens": 1}}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *words,
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 65}),
        event("message_stop"),
    ]


def gemini_stream() -> list[bytes]:
    """Chunks of text, each with the usage so far, as Gemini sends them."""

    def chunk(number: int) -> bytes:
        candidate: dict[str, object] = {
            "content": {"parts": [{"text": WORDS[number % 10]}], "role": "model"},
            "index": 0,
        }
        if number == EVENTS - 1:
            candidate["finishReason"] = "STOP"
        usage = {"promptTokenCount": 20, "candidatesTokenCount": number, "totalTokenCount": 20 + number}
        body = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "native", "responseId": "r1"}
        return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\r\n\r\n"

    return [chunk(number) for number in range(EVENTS)]


def responses_stream() -> list[bytes]:
    """A response with one message of one text."""
    pieces: list[bytes] = []

    def event(kind: str, **members: object) -> None:
        body = json.dumps({"type": kind, "sequence_number": len(pieces), **members}, separators=(",", ":"))
        pieces.append(f"event: {kind}\ndata: {body}\n\n".encode())

    def response(status: str, output: list[object], usage: dict[str, int] | None) -> dict[str, object]:
        frame = {"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "model": "native"}
        return {**frame, "status": status, "output": output, "usage": usage}

    def part(text: str) -> dict[str, object]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def message(status: str, content: list[object]) -> dict[str, object]:
        return {"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content}

    words = [WORDS[n % 10] for n in range(EVENTS - 8)]
    whole = message("completed", [part("".join(words))])
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    for kind in ("response.created", "response.in_progress"):
        event(kind, response=response("in_progress", [], None))
    event("response.output_item.added", output_index=0, item=message("in_progress", []))
    event("response.content_part.added", **at, part=part(""))
    for word in words:
        event("response.output_text.delta", **at, delta=word, logprobs=[])
    event("response.output_text.done", **at, text="".join(words), logprobs=[])
    event("response.content_part.done", **at, part=part("".join(words)))
    event("response.output_item.done", output_index=0, item=whole)
    usage = {"input_tokens": 20, "output_tokens": 62, "total_tokens": 82}
    event("response.completed", response=response("completed", [whole], usage))
    return pieces


def bedrock_stream() -> list[bytes]:
    """Frames of AWS's binary framing: one block of text, the reason, usage."""

    def event(kind: str, payload: dict[str, object]) -> bytes:
        pairs = ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event"))
        head = b"".join(
            bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
            for name, value in pairs
        )
        body = json.dumps({**payload, "p": "abcdefghij"}, separators=(",", ":")).encode()
        prelude = struct.pack(">II", 16 + len(head) + len(body), len(head))
        data = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + body
        return data + struct.pack(">I", zlib.crc32(data))

    words = [
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": WORDS[n % 10]}})
        for n in range(EVENTS - 4)
    ]
    usage = {"inputTokens": 20, "outputTokens": 66, "totalTokens": 86}
    return [
        event("messageStart", {"role": "assistant"}),
        *words,
        event("contentBlockStop", {"contentBlockIndex": 0}),
        event("messageStop", {"stopReason": "end_turn"}),
        event("metadata", {"usage": usage, "metrics": {"latencyMs": 5}}),
    ]


def cohere_stream() -> list[bytes]:
    """A message with one block of text."""

    def event(kind: str, **members: object) -> bytes:
        body = json.dumps({"type": kind, **members}, separators=(",", ":"))
        return f"event: {kind}\ndata: {body}\n\n".encode()

    def content(text: str) -> dict[str, object]:
        return {"message": {"content": {"text": text}}}

    counts = {"input_tokens": 20, "output_tokens": 65}
    end = {"finish_reason": "COMPLETE", "usage": {"billed_units": counts, "tokens": counts}}
    return [
        event("message-start", id="c1", delta={"message": {"role": "assistant"}}),
        event("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}}),
        *(event("content-delta", index=0, delta=content(WORDS[n % 10])) for n in range(EVENTS - 5)),
        event("content-end", index=0),
        event("message-end", delta=end),
        b"data: [DONE]\n\n",
    ]


STREAMS = {
    "openai": openai_stream,
    "anthropic": anthropic_stream,
    "gemini": gemini_stream,
    "openai_responses": responses_stream,
    "bedrock": bedrock_stream,
    "cohere": cohere_stream,
}


def price(usage: Usage) -> int:
    """A price of 1,000 nano-USD a token."""
    return 1_000 * usage.total_tokens


def relay(client: ClientDialect, provider: ProviderDialect, pieces: list[bytes]) -> None:
    """One stream from its first byte to its end."""
    way = bridge(client, provider, VOICE, TARGET, price)
    for piece in pieces:
        way.feed(piece)
    way.close()
    if way.facts.usage is None or not way.facts.ended:
        raise RuntimeError(f"{provider.name} to {client.name}: the stream was not read to its end")
    way.finish(way.facts.usage, price(way.facts.usage))


def microseconds(
    client: ClientDialect, provider: ProviderDialect, rounds: int, repeats: int, *, at_once: bool = False
) -> float:
    """CPU time of one event, each fed as a piece of its own, or the whole stream `at_once`."""
    pieces = STREAMS[provider.name]()
    events = len(pieces)
    if at_once:
        pieces = [b"".join(pieces)]
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time_ns()
        for _ in range(repeats):
            relay(client, provider, pieces)
        best = min(best, (time.process_time_ns() - started) / repeats / events / 1_000)
    return best


def main(rounds: int, repeats: int) -> None:
    """Prints one line for each pairing."""
    print("| provider | client | way | µs per event | when all come at once |\n|---|---|---|---|---|")
    for provider in (each for each in PROVIDER_DIALECTS.values() if each.service in CHATS):
        for client in (each for each in CLIENT_DIALECTS.values() if each.service in CHATS):
            way = "forward" if client.name == provider.name else "translate"
            cost = microseconds(client, provider, rounds, repeats)
            burst = microseconds(client, provider, rounds, repeats, at_once=True)
            print(f"| {provider.name} | {client.name} | {way} | {cost:.2f} | {burst:.2f} |")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    main(*(given + [7, 200][len(given) :]))
