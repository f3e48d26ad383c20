"""Recorded traffic, and a plain independent reading of it, to compare the dialects with."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gatewayz.core.services import CHATS
from gatewayz.core.usage import Usage
from gatewayz.dialects import CLIENT_DIALECTS, DIALECTS, PROVIDER_DIALECTS
from gatewayz.dialects.base import Dialect, Target, Voice

# What is said in chats; the services beside them have tests of their own.
CHAT_CLIENTS = {name: each for name, each in CLIENT_DIALECTS.items() if each.service in CHATS}
CHAT_PROVIDERS = {name: each for name, each in PROVIDER_DIALECTS.items() if each.service in CHATS}

OPENAI = DIALECTS["openai"]
ANTHROPIC = DIALECTS["anthropic"]
RESPONSES = DIALECTS["openai_responses"]
VOICE = Voice("org/model", "req_7", 1_700_000_000, include_usage=True)
QUIET = Voice("org/model", "req_7", 1_700_000_000, include_usage=False)
TARGET = Target("native-model")
ABSENT = (
    "RECORDINGS ARE ABSENT: set GATEWAYZ_RECORDINGS to their folder; the dialects are not checked against real traffic"
)
_DIALECT_BY_API = {"openai-chat": OPENAI, "anthropic-messages": ANTHROPIC, "vertex-anthropic-messages": ANTHROPIC}


def price(usage: Usage) -> int:
    """A price of 1,000 nano-USD a token."""
    return 1_000 * usage.total_tokens


@dataclass(frozen=True)
class Recording:
    """One recorded answer of a provider."""

    name: str
    dialect: Dialect
    stream: bool
    status: int
    body: bytes
    request: dict[str, Any]

    def __str__(self) -> str:
        return self.name


def folder() -> Path:
    """Where the recordings are expected."""
    given = os.environ.get("GATEWAYZ_RECORDINGS")
    return Path(given) if given else Path(__file__).parents[2].parent / "shared" / "data" / "recordings"


def recordings(*, stream: bool | None = None, ok: bool | None = True) -> list[Any]:
    """The recordings of the two dialects as test parameters; one that skips loudly if there are none."""
    found = []
    for path in sorted(folder().glob("*/*.json")):
        case = json.loads(path.read_bytes())
        dialect = _DIALECT_BY_API.get(case["api"])
        body = case["response"].get("body_text")
        if dialect is None or body is None:
            continue
        status = case["response"]["status"]
        if (stream is not None and case["stream"] != stream) or (ok is not None and (status < 400) != ok):
            continue
        name = f"{path.parent.name}/{path.stem}"
        request = case["request"].get("body") or {}
        recording = Recording(name, dialect, case["stream"], status, body.encode(), request)
        found.append(pytest.param(recording, id=name))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="ABSENT")]


@dataclass
class Call:
    """A tool call as a client puts it together."""

    name: str = ""
    arguments: str = ""


@dataclass
class Heard:
    """What a client makes of an answer."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    signatures: str = ""
    redacted: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] | None = None
    ids: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    error: Any = None
    done: int = 0

    def inputs(self) -> list[tuple[str, Any]]:
        """Names and parsed arguments of the calls."""
        return [(call.name, json.loads(call.arguments or "{}")) for call in self.calls]


def payloads(body: bytes) -> list[Any]:
    """The data of each event, parsed; the terminator stays a string."""
    text = body.decode().replace("\r\n", "\n")
    lines = [line[5:].strip() for line in text.split("\n") if line.startswith("data:")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def hear_openai_stream(body: bytes, index: int = 0) -> Heard:
    """An OpenAI stream as a simple client reads it."""
    heard = Heard()
    calls: dict[int, Call] = {}
    for chunk in payloads(body):
        if chunk == "[DONE]":
            heard.done += 1
            continue
        if chunk.get("error"):
            heard.error = chunk["error"]
        _common(heard, chunk, (chunk.get("x_groq") or {}).get("usage"))
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) != index:
                continue
            _openai_delta(heard, calls, choice.get("delta") or {})
            heard.finish = choice.get("finish_reason") or heard.finish
    heard.calls = [calls[key] for key in sorted(calls)]
    return heard


def _common(heard: Heard, chunk: dict[str, Any], second_usage: Any) -> None:
    if chunk.get("id"):
        heard.ids.add(chunk["id"])
    if chunk.get("model"):
        heard.models.add(chunk["model"])
    heard.usage = chunk.get("usage") or second_usage or heard.usage


def _openai_delta(heard: Heard, calls: dict[int, Call], delta: dict[str, Any]) -> None:
    content = delta.get("content")
    for part in content if isinstance(content, list) else [{"text": content}]:
        if "thinking" in part:
            heard.reasoning += "".join(piece["text"] for piece in part["thinking"])
        else:
            heard.text += part.get("text") or ""
    heard.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
    heard.refusal += delta.get("refusal") or ""
    told = delta.get("reasoning_content") or delta.get("reasoning")
    for detail in delta.get("reasoning_details") or []:
        heard.reasoning += "" if told else detail.get("text") or detail.get("summary") or ""
        heard.signatures += detail.get("signature") or ""
        if detail.get("type") == "reasoning.encrypted":
            heard.redacted.append(detail["data"])
    for call in delta.get("tool_calls") or []:
        known = calls.setdefault(call.get("index", 0), Call())
        function = call.get("function") or {}
        known.name = known.name or function.get("name") or ""
        known.arguments += function.get("arguments") or ""


def hear_openai_answer(body: bytes) -> Heard:
    """A plain OpenAI answer as a simple client reads it."""
    answer = json.loads(body)
    heard = Heard()
    _common(heard, answer, None)
    choice = answer["choices"][0]
    calls: dict[int, Call] = {}
    message = dict(choice.get("message") or {})
    message["tool_calls"] = [{**call, "index": n} for n, call in enumerate(message.get("tool_calls") or [])]
    _openai_delta(heard, calls, message)
    heard.calls = [calls[key] for key in sorted(calls)]
    if not heard.calls and message.get("function_call"):
        heard.calls = [Call(message["function_call"]["name"], message["function_call"]["arguments"])]
    heard.finish = choice["finish_reason"]
    return heard


def hear_anthropic_stream(body: bytes) -> Heard:
    """An Anthropic stream as a simple client reads it; blocks must come one after the other."""
    heard = Heard(usage={})
    block: dict[str, Any] = {}
    opened = -1
    for event in payloads(body):
        kind = event["type"]
        if kind == "message_start":
            _common(heard, {**event["message"], "usage": None}, None)
            heard.usage = dict(event["message"].get("usage") or {})
        elif kind == "content_block_start":
            assert event["index"] == opened + 1, "blocks are numbered without gaps"
            assert not block, "one block at a time"
            opened, block = event["index"], event["content_block"]
            _anthropic_block(heard, block)
        elif kind == "content_block_delta":
            assert block and event["index"] == opened, "deltas belong to the open block"
            _anthropic_delta(heard, block, event["delta"])
        elif kind == "content_block_stop":
            assert block and event["index"] == opened, "the open block is closed"
            block = {}
        elif kind == "message_delta":
            heard.finish = event["delta"].get("stop_reason") or heard.finish
            heard.usage.update({key: value for key, value in (event.get("usage") or {}).items() if value is not None})
        elif kind == "message_stop":
            assert not block, "no block is left open"
            heard.done += 1
        elif kind == "error":
            assert not block, "no block is left open"
            heard.error = event["error"]
    return heard


def _anthropic_block(heard: Heard, block: dict[str, Any]) -> None:
    heard.text += (block.get("text") or "") if block["type"] == "text" else ""
    if block["type"] == "tool_use":
        heard.calls.append(Call(block["name"], json.dumps(block["input"]) if block.get("input") else ""))
    elif block["type"] == "redacted_thinking":
        heard.redacted.append(block["data"])
    elif block["type"] == "thinking":
        heard.reasoning += block.get("thinking") or ""
        heard.signatures += block.get("signature") or ""


def _anthropic_delta(heard: Heard, block: dict[str, Any], delta: dict[str, Any]) -> None:
    kind = delta["type"]
    if kind == "text_delta":
        heard.text += delta["text"]
    elif kind == "thinking_delta":
        heard.reasoning += delta["thinking"]
    elif kind == "signature_delta":
        heard.signatures += delta["signature"]
    elif kind == "input_json_delta" and block["type"] == "tool_use":
        heard.calls[-1].arguments += delta["partial_json"]


def hear_anthropic_answer(body: bytes) -> Heard:
    """A plain Anthropic answer as a simple client reads it."""
    answer = json.loads(body)
    heard = Heard()
    _common(heard, answer, None)
    for block in answer["content"]:
        _anthropic_block(heard, block)
    heard.finish = answer["stop_reason"]
    return heard


def relayed(bridge: Any, pieces: list[bytes], *, finish: bool = True) -> bytes:
    """Everything that the client receives of a stream, with the charge of the usage that was reported."""
    out = b"".join(bridge.feed(piece) for piece in pieces) + bridge.close()
    if finish and bridge.facts.error is None:
        usage = bridge.facts.usage or Usage(1, 1, estimated=True)
        out += bridge.finish(usage, price(usage))
    return out
