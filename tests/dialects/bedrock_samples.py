"""Recorded Converse traffic and a plain independent reading of it; requests taken to Bedrock."""

import base64
import json
import struct
from dataclasses import dataclass, field
from typing import Any

import pytest
from dialect_samples import ABSENT, ANTHROPIC, folder

from gatewayz.core.usage import Usage
from gatewayz.dialects import PROVIDER_DIALECTS
from gatewayz.dialects.base import Dialect, ProviderDialect, Target

BEDROCK = PROVIDER_DIALECTS["bedrock"]
CLAUDE = Target("anthropic.claude-sonnet-4-5-20250929-v1:0")
OLD_CLAUDE = Target("anthropic.claude-3-haiku-20240307-v1:0")
NOVA = Target("us.amazon.nova-2-lite-v1:0")
LLAMA = Target("meta.llama3-3-70b-instruct-v1:0")
OPEN = Target("openai.gpt-oss-120b-1:0")


@dataclass(frozen=True)
class Recording:
    """One recorded answer of Converse."""

    name: str
    stream: bool
    status: int
    body: bytes
    request: dict[str, Any]
    dialect: ProviderDialect = BEDROCK


def recordings(*, stream: bool | None = None, ok: bool = True) -> list[Any]:
    """The recordings of Converse as test parameters; one that skips loudly if there are none."""
    found = []
    for path in sorted((folder() / "bedrock").glob("bedrock-converse*.json")):
        case = json.loads(path.read_bytes())
        reply = case["response"]
        streamed = case["api"] == "bedrock-converse-stream"
        if (stream is not None and streamed != stream) or (reply["status"] < 400) != ok:
            continue
        body = base64.b64decode(reply["body_base64"]) if "body_base64" in reply else reply["body_text"].encode()
        name = f"{path.parent.name}/{path.stem}"
        found.append(pytest.param(Recording(name, streamed, reply["status"], body, case["request"]["body"]), id=name))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="ABSENT")]


@dataclass
class Said:
    """What an answer says, read without the code under test; `blocks` are text, thinking, redacted, call or another kind."""

    blocks: list[list[Any]] = field(default_factory=list)
    cited: list[dict[str, Any]] = field(default_factory=list)
    stop: str | None = None
    usage: Usage | None = None

    def texts(self, kind: str) -> str:
        """All of one kind, joined."""
        return "".join(block[1] for block in self.blocks if block[0] == kind)

    def of(self, kind: str) -> list[list[Any]]:
        """The blocks of one kind."""
        return [block for block in self.blocks if block[0] == kind]


def hear(recording: Recording) -> Said:
    """The recorded answer as its bytes say it."""
    said = Said()
    if not recording.stream:
        value = json.loads(recording.body)
        for block in value["output"]["message"]["content"]:
            _block(said, block)
        said.stop, said.usage = value["stopReason"], _usage(value["usage"])
        return said
    open_: dict[int, list[Any]] = {}
    for headers, payload in frames_of(recording.body):
        value = json.loads(payload)
        place = value.get("contentBlockIndex")
        match headers[":event-type"]:
            case "contentBlockStart":
                (start,) = value["start"].values()
                server = start.get("type", "tool_use") != "tool_use"
                open_[place] = ["other"] if server else ["call", start["toolUseId"], start["name"], ""]
            case "contentBlockDelta":
                _delta(said, open_, place, value["delta"])
            case "contentBlockStop":
                if place in open_:
                    said.blocks.append(open_.pop(place))
            case "messageStop":
                said.stop = value["stopReason"]
            case "metadata":
                said.usage = _usage(value["usage"])
    return said


def _delta(said: Said, open_: dict[int, list[Any]], place: int, delta: dict[str, Any]) -> None:
    ((kind, value),) = delta.items()
    if kind == "text" and value:
        open_.setdefault(place, ["text", ""])[1] += value
    elif kind == "toolUse" and open_[place][0] == "call":
        open_[place][3] += value["input"]
    elif kind == "citation":
        said.cited.append(value)
    elif kind == "reasoningContent":
        ((what, told),) = value.items()
        block = open_.setdefault(place, ["redacted", ""] if what == "redactedContent" else ["thinking", "", ""])
        block[2 if what == "signature" else 1] += told


def _block(said: Said, block: dict[str, Any]) -> None:
    ((kind, value),) = block.items()
    if kind == "text":
        said.blocks.append(["text", value])
    elif kind == "citationsContent":
        said.blocks.append(["text", "".join(each["text"] for each in value["content"])])
        said.cited += value["citations"]
    elif kind == "toolUse" and value.get("type", "tool_use") == "tool_use":
        said.blocks.append(["call", value["toolUseId"], value["name"], json.dumps(value["input"])])
    elif kind == "reasoningContent" and "redactedContent" in value:
        said.blocks.append(["redacted", value["redactedContent"]])
    elif kind == "reasoningContent":
        told = value["reasoningText"]
        said.blocks.append(["thinking", told["text"], told.get("signature", "")])
    else:
        said.blocks.append(["other"])


def _usage(counts: dict[str, Any]) -> Usage:
    read, written = counts.get("cacheReadInputTokens", 0), counts.get("cacheWriteInputTokens", 0)
    usage = Usage(
        counts["inputTokens"] + read + written,
        counts["outputTokens"],
        cached_tokens=read,
        cache_write_5m_tokens=written,
    )
    assert usage.total_tokens == counts["totalTokens"], "the provider's own sum"
    return usage


def frames_of(body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """The frames of a whole stream."""
    frames = []
    while body:
        size, head_size = struct.unpack_from(">II", body)
        head, headers = body[12 : 12 + head_size], {}
        while head:
            name_size = head[0]
            (value_size,) = struct.unpack_from(">H", head, name_size + 2)
            start = name_size + 4
            headers[head[1 : 1 + name_size].decode()] = head[start : start + value_size].decode()
            head = head[start + value_size :]
        frames.append((headers, body[12 + head_size : size - 4]))
        body = body[size:]
    return frames


def read_all(body: bytes) -> list[Any]:
    """The canonical events of a whole stream."""
    reader = BEDROCK.reader()
    return reader.feed(body) + reader.close()


def to_bedrock(client: Dialect, target: Target = CLAUDE, **fields: Any) -> dict[str, Any]:
    """The body for Bedrock of a request in a client's dialect."""
    written: dict[str, Any] = json.loads(BEDROCK.write_request(read(client, fields), target))
    return written


def left_out(client: Dialect, target: Target = CLAUDE, **fields: Any) -> set[str]:
    """What of a request does not reach Bedrock."""
    return set(BEDROCK.dropped(read(client, fields), target))


def read(client: Dialect, fields: dict[str, Any]) -> Any:
    """The canonical form of a request; model and messages need not be given."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    if client is ANTHROPIC:
        body.setdefault("max_tokens", 50)
    return client.read_request(client.glance(json.dumps(body).encode()))
