"""The fake's Bedrock Converse: plain answers, streams in AWS's binary framing, errors."""

import json
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from behaviour import Behaviour
from speak_openai import arguments_of

STREAM_TYPE = "application/vnd.amazon.eventstream"
_PATH = re.compile(r".*/model/([^/]+)/converse(?:-stream)?")
_AREA = re.compile(r"(?:us|eu|apac|jp|au)\.(?=[a-z0-9]+\.)")
_EXCEPTIONS = {
    400: "ValidationException", 401: "UnrecognizedClientException", 403: "AccessDeniedException",
    404: "ResourceNotFoundException", 408: "ModelTimeoutException", 424: "ModelErrorException",
    429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException",
}  # fmt: skip


def model_in(path: str) -> str | None:
    """The model that an address of Bedrock names, without the area of an inference profile; None for other addresses."""
    found = _PATH.fullmatch(path)
    return _AREA.sub("", unquote(found[1])) if found else None


def streams(path: str) -> bool:
    """Whether an address asks for a stream."""
    return path.endswith("/converse-stream")


def default_error(status: int) -> dict[str, Any]:
    """An error body as Bedrock would word this status; its name is in a header there."""
    return {"message": f"Scripted trouble with status {status}."}


def plain(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> dict[str, Any]:
    """A plain answer."""
    body: dict[str, Any] = {
        "metrics": {"latencyMs": 5},
        "output": {"message": {"role": "assistant", "content": _blocks(behaviour, persona)}},
        "stopReason": _stop_reason(behaviour),
        **_further(request, behaviour),
        **behaviour.members,
    }
    return body if behaviour.usage is None else {**body, "usage": usage(behaviour.usage)}


def frames(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> Iterator[tuple[bytes, bool]]:
    """The events of a stream, each with whether it is content."""
    yield event("messageStart", {"role": "assistant"}), False
    for index, block in enumerate(_blocks(behaviour, persona)):
        yield from _block_events(behaviour, block, index)
    if not behaviour.no_done:
        yield event("messageStop", {"stopReason": _stop_reason(behaviour), **_further(request, behaviour)}), False
        told = {} if behaviour.usage is None else {"usage": usage(behaviour.usage)}
        yield event("metadata", {"metrics": {"latencyMs": 5}, **told}), False


def error_frame(error: Any) -> bytes:
    """An error inside a stream; of one in the words of another dialect the message is taken."""
    inner = error.get("error", error) if isinstance(error, dict) else {}
    name, message = inner.get("type", "modelStreamErrorException"), inner.get("message", "The model failed.")
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


def event(name: str, payload: dict[str, Any]) -> bytes:
    """One event, padded as AWS pads them."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps({**payload, "p": "abcdefg"}, ensure_ascii=False).encode())


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame of the binary framing."""
    head = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    data = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return data + struct.pack(">I", zlib.crc32(data))


def usage(counts: dict[str, int]) -> dict[str, Any]:
    """Usage in Bedrock's words: cached tokens stand beside the input, not in it."""
    cached, written = counts.get("cached", 0), counts.get("cache_write", 0)
    fresh, output = counts.get("prompt", 0) - cached - written, counts.get("completion", 0)
    told: dict[str, Any] = {"inputTokens": fresh, "outputTokens": output}
    if "cached" in counts or "cache_write" in counts:
        told |= {"cacheReadInputTokens": cached, "cacheWriteInputTokens": written}
    return {**told, "totalTokens": fresh + cached + written + output}


def _stop_reason(behaviour: Behaviour) -> str:
    if behaviour.stop_sequence is not None:
        return "stop_sequence"
    return behaviour.finish or ("tool_use" if behaviour.tool_calls else "end_turn")


def _further(request: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    asked = "/stop_sequence" in request.get("additionalModelResponseFieldPaths", [])
    if not asked or behaviour.stop_sequence is None:
        return {}
    return {"additionalModelResponseFields": {"stop_sequence": behaviour.stop_sequence}}


def _blocks(behaviour: Behaviour, persona: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if behaviour.empty:
        return blocks
    if behaviour.thinking is not None:
        signed = {"signature": behaviour.signature} if behaviour.signature else {}
        blocks.append({"reasoningContent": {"reasoningText": {"text": behaviour.thinking, **signed}}})
    if behaviour.redacted is not None:
        blocks.append({"reasoningContent": {"redactedContent": behaviour.redacted}})
    text = behaviour.text
    if text is None and not behaviour.tool_calls:
        text = f"Hello from {persona}"
    blocks += behaviour.blocks
    if text and behaviour.citations:
        blocks.append({"citationsContent": {"content": [{"text": text}], "citations": _citations(behaviour)}})
    elif text:
        blocks.append({"text": text})
    for place, call in enumerate(behaviour.tool_calls):
        given = json.loads(arguments_of(call) or "{}")
        blocks.append(
            {"toolUse": {"toolUseId": call.get("id", f"tooluse_{place}"), "name": call["name"], "input": given}}
        )
    return blocks


def _citations(behaviour: Behaviour) -> list[dict[str, Any]]:
    return [
        {
            "title": each["title"],
            "sourceContent": [{"text": "as it is said there"}],
            "location": {"web": {"url": each["url"]}},
        }
        for each in behaviour.citations
    ]


def _block_events(behaviour: Behaviour, block: dict[str, Any], index: int) -> Iterator[tuple[bytes, bool]]:
    deltas: list[dict[str, Any]] = []
    start: dict[str, Any] | None = None
    if "text" in block:
        deltas = [{"text": each} for each in behaviour.text_pieces(block["text"])]
    elif "citationsContent" in block:
        cited = block["citationsContent"]
        deltas = [{"citation": each} for each in cited["citations"]]
        deltas += [{"text": each} for each in behaviour.text_pieces(cited["content"][0]["text"])]
    elif "toolUse" in block:
        call = block["toolUse"]
        start = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
        written = json.dumps(call["input"], ensure_ascii=False) if call["input"] else ""
        deltas = [{"toolUse": {"input": each}} for each in behaviour.fragments(written)]
    elif "reasoningContent" in block:
        thought = block["reasoningContent"]
        told = thought.get("reasoningText")
        deltas = (
            [{"reasoningContent": thought}]
            if told is None
            else [{"reasoningContent": {name: value}} for name, value in told.items()]
        )
    else:
        ((name, value),) = block.items()
        start = {name: {"format": value.get("format")}}
        deltas = [{name: value}]
    if start is not None:
        yield event("contentBlockStart", {"contentBlockIndex": index, "start": start}), False
    for delta in deltas:
        yield event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}), True
    yield event("contentBlockStop", {"contentBlockIndex": index}), False
