"""What the tests of the Responses dialect share: its recordings, an independent reading of them, and small requests."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from dialect_samples import ABSENT, folder

from gatewayz.core.stream import (
    Finished,
    RedactedBlock,
    RefusalDelta,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from gatewayz.core.usage import Usage
from gatewayz.dialects import OPENAI_RESPONSES
from gatewayz.dialects.base import Framing, Glance, Target, Voice

TARGET = Target("native-model", provider="acme")


@dataclass(frozen=True)
class Recorded:
    """One recorded answer."""

    name: str
    stream: bool
    status: int
    body: bytes


@dataclass
class Said:
    """What an answer says, however it was told."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    finish: str = ""


def recorded(*, stream: bool, ok: bool = True) -> list[Any]:
    """The recordings of answers that have ended, as test parameters; one that skips loudly if there are none."""
    found = []
    for path in sorted(folder().glob("*/openai-responses*.json")):
        case = json.loads(path.read_bytes())
        text, status = case["response"].get("body_text"), case["response"]["status"]
        if case["api"] not in ("openai-responses", "openai-responses-get") or case["stream"] != stream:
            continue
        if (status < 400) != ok or (not stream and ok and json.loads(text)["status"] == "queued"):
            continue
        name = f"{path.parent.name}/{path.stem}"
        found.append(pytest.param(Recorded(name, stream, status, text.encode()), id=name))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="ABSENT")]


def said_by(response: dict[str, Any]) -> Said:
    """What a response object says, read without the code under test."""
    said = Said()
    for item in response["output"]:
        if item["type"] == "message":
            said.text += "".join(part.get("text", "") for part in item["content"])
            said.refusal += "".join(part.get("refusal", "") for part in item["content"])
        elif item["type"] == "function_call":
            said.calls.append((item["call_id"], item["name"], item["arguments"]))
        elif item["type"] == "reasoning":
            parts = item.get("content") or item.get("summary") or []
            said.reasoning += "\n\n".join(part["text"] for part in parts)
            if item.get("encrypted_content"):
                said.secrets.append(item["encrypted_content"])
    reason = (response.get("incomplete_details") or {}).get("reason")
    ended = {"max_output_tokens": "length", "content_filter": "content_filter"}
    said.finish = ended[reason] if reason else "tool_calls" if said.calls else "stop"
    return said


def collected(events: list[StreamEvent]) -> Said:
    """What canonical events say."""
    said = Said()
    calls: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, TextDelta):
            said.text += event.text
        elif isinstance(event, RefusalDelta):
            said.refusal += event.text
        elif isinstance(event, ThinkingDelta):
            said.reasoning += event.text
        elif isinstance(event, ToolCallStarted):
            calls[event.block] = [event.id, event.name, ""]
        elif isinstance(event, ToolCallDelta):
            calls[event.block][2] += event.fragment
        elif isinstance(event, SignatureDelta):
            said.secrets.append(event.signature)
        elif isinstance(event, RedactedBlock):
            said.secrets.append(event.data)
        elif isinstance(event, Finished):
            said.finish = event.finish
    said.calls = [(call[0], call[1], call[2]) for call in calls.values()]
    return said


def last_response(stream: bytes) -> dict[str, Any]:
    """The response object of the last event of a stream."""
    events = [json.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: {")]
    response: dict[str, Any] = events[-1]["response"]
    return response


def item_secrets(stream: bytes) -> list[str]:
    """The encrypted reasoning of the items of a stream; OpenAI encrypts it anew in the response object at the end."""
    events = [json.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: {")]
    items = [each["item"] for each in events if each["type"] == "response.output_item.done"]
    return [
        item["encrypted_content"] for item in items if item["type"] == "reasoning" and item.get("encrypted_content")
    ]


def counts(response: dict[str, Any]) -> Usage:
    """What a raw response tells of its usage."""
    usage = response["usage"]
    inside, outside = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    return Usage(
        usage["input_tokens"],
        usage["total_tokens"] - usage["input_tokens"],
        cached_tokens=inside.get("cached_tokens") or 0,
        cache_write_5m_tokens=inside.get("cache_write_tokens") or 0,
        reasoning_tokens=outside.get("reasoning_tokens") or 0,
        web_searches=len([each for each in response["output"] if (each.get("action") or {}).get("type") == "search"]),
    )


def glanced(**members: Any) -> Glance:
    """A request as the gateway has glanced at it, with an id for its answer."""
    glance = OPENAI_RESPONSES.glance(json.dumps({"model": "m", "input": "Hi", **members}).encode())
    assert glance.framing is not None
    glance.framing.answer_id = "resp_1"
    return glance


def voice(**members: Any) -> Voice:
    """How the answer to such a request must look."""
    framing: Framing | None = glanced(**members).framing
    return Voice("shown-model", "req-1", 1_700_000_000, False, framing)
