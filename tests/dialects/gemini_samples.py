"""Recorded Gemini traffic and a plain independent reading of it; requests of both clients taken to Gemini."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dialect_samples import ABSENT, ANTHROPIC, OPENAI, folder
from msgspec.structs import replace

from gatewayz.core.usage import Usage
from gatewayz.dialects import PROVIDER_DIALECTS
from gatewayz.dialects.base import Dialect, Target

GEMINI = PROVIDER_DIALECTS["gemini"]
OLD = Target("gemini-2.5-flash")
NEW = Target("gemini-3-flash-preview")
NUMBERED = {1: "STOP"}


@dataclass(frozen=True)
class Recording:
    """One recorded answer of AI Studio or Vertex."""

    name: str
    stream: bool
    status: int
    body: bytes
    request: dict[str, Any]

    def chunks(self) -> list[dict[str, Any]]:
        """The JSON values of the body, whatever holds them."""
        text = self.body.decode()
        if text.lstrip().startswith("data:"):
            lines = text.replace("\r\n", "\n").split("\n")
            return [json.loads(line[5:]) for line in lines if line.startswith("data:")]
        value = json.loads(text)
        return value if isinstance(value, list) else [value]


def recordings(
    *, stream: bool | None = None, ok: bool = True, where: Callable[["Said"], bool] = lambda said: True
) -> list[Any]:
    """The recordings of generateContent as test parameters; one that skips loudly if there are none.

    `where` chooses by what an answer says.
    """
    found = []
    for path in sorted([*Path(folder() / "gemini").glob("*.json"), *Path(folder() / "vertex").glob("*.json")]):
        case = json.loads(path.read_bytes())
        if case["api"] not in ("gemini-generate", "gemini-stream"):
            continue
        status = case["response"]["status"]
        streamed = case["api"] == "gemini-stream"
        if (stream is not None and streamed != stream) or (status < 400) != ok:
            continue
        name = f"{path.parent.name}/{path.stem}"
        body = case["response"]["body_text"].encode()
        recording = Recording(name, streamed, status, body, case["request"]["body"])
        if where(hear(recording)):
            found.append(pytest.param(recording, id=name))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="ABSENT")]


@dataclass
class Said:
    """What a Gemini answer says, read without the code under test. `parts` are joined where they are of one kind."""

    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, Any, str | None]] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    finish: str | None = None
    usage: Usage | None = None
    parts: list[dict[str, Any]] = field(default_factory=list)


def hear(recording: Recording) -> Said:
    """The recorded answer, all chunks together."""
    said = Said()
    queries: set[str] = set()
    for chunk in recording.chunks():
        for candidate in chunk.get("candidates", []):
            for part in candidate.get("content", {}).get("parts", []):
                _part(said, part)
            queries |= set(candidate.get("groundingMetadata", {}).get("webSearchQueries", []))
            if "finishReason" in candidate:
                reason = candidate["finishReason"]
                said.finish = NUMBERED.get(reason, reason)
        if "promptFeedback" in chunk:
            said.finish = chunk["promptFeedback"]["blockReason"]
        counts = chunk.get("usageMetadata", {})
        if "promptTokenCount" in counts:
            thoughts = counts.get("thoughtsTokenCount", 0)
            details = {each["modality"]: each["tokenCount"] for each in counts.get("promptTokensDetails", [])}
            said.usage = Usage(
                counts["promptTokenCount"] + counts.get("toolUsePromptTokenCount", 0),
                counts.get("candidatesTokenCount", 0) + thoughts,
                reasoning_tokens=thoughts,
                audio_input_tokens=details.get("AUDIO", 0),
            )
            assert said.usage.total_tokens == counts["totalTokenCount"], "the provider's own sum"
    if said.usage is not None:
        said.usage = replace(said.usage, web_searches=len(queries - {""}))
    return said


def _part(said: Said, part: dict[str, Any]) -> None:
    if "thoughtSignature" in part:
        said.signatures.append(part["thoughtSignature"])
    if "functionCall" in part:
        call = part["functionCall"]
        said.calls.append((call["name"], call["args"], call.get("id")))
        said.parts.append(part)
    elif "text" not in part:
        said.others.append(next(name for name in part if name != "thoughtSignature"))
    elif part.get("thought"):
        said.thoughts += part["text"]
        _join(said.parts, part)
    else:
        said.text += part["text"]
        _join(said.parts, part)


def _join(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    last = parts[-1] if parts else {}
    same = "text" in last and last.get("thought") == part.get("thought") and "thoughtSignature" not in last
    if same and part["text"]:
        parts[-1] = {**last, **part, "text": last["text"] + part["text"]}
    elif part["text"] or "thoughtSignature" in part:
        parts.append(part)


def to_gemini(client: Dialect, target: Target = OLD, **fields: Any) -> dict[str, Any]:
    """The body for Gemini of a request in a client's dialect."""
    written: dict[str, Any] = json.loads(GEMINI.write_request(read(client, fields), target))
    return written


def left_out(client: Dialect, target: Target = OLD, **fields: Any) -> set[str]:
    """What of a request does not reach Gemini."""
    return set(GEMINI.dropped(read(client, fields), target))


def read(client: Dialect, fields: dict[str, Any]) -> Any:
    """The canonical form of a request; model and messages need not be given."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    if client is ANTHROPIC:
        body.setdefault("max_tokens", 50)
    return client.read_request(client.glance(json.dumps(body).encode()))


def history_of(client: Dialect, shown: bytes) -> list[dict[str, Any]]:
    """The conversation that a client sends after it got a plain answer: its message back, and results for its calls."""
    answer = json.loads(shown)
    if client is OPENAI:
        message = answer["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in message.get("tool_calls") or []
        ]
        return [{"role": "user", "content": "Hi"}, message, *results, {"role": "user", "content": "Go on"}]
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "done"}
        for block in answer["content"]
        if block["type"] == "tool_use"
    ]
    return [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": [*results, {"type": "text", "text": "Go on"}]},
    ]
