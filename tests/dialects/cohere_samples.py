"""Recorded chats of Cohere and a plain independent reading of them; requests taken to Cohere."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from dialect_samples import ABSENT, ANTHROPIC, folder

from gatewayz.core.usage import Usage
from gatewayz.dialects import PROVIDER_DIALECTS
from gatewayz.dialects.base import Dialect, ProviderDialect, Target

COHERE = PROVIDER_DIALECTS["cohere"]
THINKER = Target("command-a-reasoning-08-2025")
PLAIN = Target("command-r-plus-08-2024")


@dataclass(frozen=True)
class Recording:
    """One recorded answer of version 2."""

    name: str
    stream: bool
    status: int
    body: bytes
    request: dict[str, Any]
    dialect: ProviderDialect = COHERE


def recordings(*, stream: bool | None = None, ok: bool = True) -> list[Any]:
    """The recordings as test parameters; one that skips loudly if there are none."""
    found = []
    for path in sorted((folder() / "cohere").glob("cohere-v2*.json")):
        case = json.loads(path.read_bytes())
        reply = case["response"]
        if (stream is not None and case["stream"] != stream) or (reply["status"] < 400) != ok:
            continue
        name = f"{path.parent.name}/{path.stem}"
        recording = Recording(
            name, case["stream"], reply["status"], reply["body_text"].encode(), case["request"]["body"]
        )
        found.append(pytest.param(recording, id=name))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="ABSENT")]


@dataclass
class Said:
    """What an answer says, read without the code under test."""

    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    reason: str | None = None
    usage: Usage | None = None


def hear(recording: Recording) -> Said:
    """The recorded answer as its bytes say it."""
    said = Said()
    if not recording.stream:
        value = json.loads(recording.body)
        message = value["message"]
        for block in message.get("content") or ():
            said.text += block.get("text", "")
            said.thoughts += block.get("thinking", "")
        said.text += message.get("tool_plan") or ""
        for call in message.get("tool_calls") or ():
            said.calls.append((call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
        for citation in message.get("citations") or ():
            said.urls += [source["tool_output"]["url"] for source in citation["sources"]]
        said.reason, said.usage = value["finish_reason"], _billed(value["usage"])
        return said
    arguments: dict[int, str] = {}
    for line in recording.body.decode().split("\n"):
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        message = event.get("delta", {}).get("message", {})
        if event["type"] == "content-delta":
            said.text += message["content"].get("text", "")
            said.thoughts += message["content"].get("thinking", "")
        elif event["type"] == "tool-plan-delta":
            said.text += message["tool_plan"]
        elif event["type"] == "tool-call-start":
            said.calls.append((message["tool_calls"]["id"], message["tool_calls"]["function"]["name"], None))
            arguments[event["index"]] = message["tool_calls"]["function"]["arguments"]
        elif event["type"] == "tool-call-delta":
            arguments[event["index"]] += message["tool_calls"]["function"]["arguments"]
        elif event["type"] == "message-end":
            said.reason, said.usage = event["delta"]["finish_reason"], _billed(event["delta"]["usage"])
    said.calls = [(*call[:2], json.loads(arguments[place])) for place, call in enumerate(said.calls)]
    return said


def _billed(usage: dict[str, Any]) -> Usage:
    billed = usage["billed_units"]
    thought = min(usage["tokens"].get("reasoning_tokens", 0), billed["output_tokens"])
    return Usage(billed["input_tokens"], billed["output_tokens"], reasoning_tokens=thought)


def event(kind: str, **members: Any) -> bytes:
    """One event of a stream."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def content(index: int = 0, **inner: Any) -> bytes:
    """A delta of content."""
    return event("content-delta", index=index, delta={"message": {"content": inner}})


def end(reason: str = "COMPLETE", **delta: Any) -> bytes:
    """The last event."""
    return event("message-end", delta={"finish_reason": reason, **delta})


def read_all(body: bytes) -> list[Any]:
    """The canonical events of a whole stream."""
    reader = COHERE.reader()
    return reader.feed(body) + reader.close()


def to_cohere(client: Dialect, target: Target = THINKER, **fields: Any) -> dict[str, Any]:
    """The body for Cohere of a request in a client's dialect."""
    written: dict[str, Any] = json.loads(COHERE.write_request(read(client, fields), target))
    return written


def left_out(client: Dialect, target: Target = THINKER, **fields: Any) -> set[str]:
    """What of a request does not reach Cohere."""
    return set(COHERE.dropped(read(client, fields), target))


def read(client: Dialect, fields: dict[str, Any]) -> Any:
    """The canonical form of a request; model and messages need not be given."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    if client is ANTHROPIC:
        body.setdefault("max_tokens", 50)
    return client.read_request(client.glance(json.dumps(body).encode()))
