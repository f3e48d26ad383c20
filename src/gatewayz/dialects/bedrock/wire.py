"""What Converse answers with on the wire, and how its counts, reasons, citations and encrypted thoughts are read."""

import base64
import binascii
from typing import Any

import msgspec

from gatewayz.core.chat import FinishReason
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text
from gatewayz.dialects.signatures import SEALED_BY_BEDROCK

NAME = "bedrock"
_ABSURD = 2**40  # no answer has so many tokens; such a count is a provider's mistake

FINISHES: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
}
# The model failed to say something that can be read: no answer.
FAULTS = frozenset({"malformed_model_output", "malformed_tool_use"})


class Message(msgspec.Struct):
    """The model's turn."""

    content: list[dict[str, Any]] | None = None


class Output(msgspec.Struct):
    """What holds the turn."""

    message: Message | None = None


class Answer(msgspec.Struct):
    """A plain answer."""

    output: Output | None = None
    stop_reason: Any = msgspec.field(default=None, name="stopReason")
    usage: Any = None
    further: Any = msgspec.field(default=None, name="additionalModelResponseFields")


_ANSWER = msgspec.json.Decoder(Answer)


def answer(data: bytes) -> Answer:
    """The plain answer in `data`. Raises ValueError if it is none (an error, say)."""
    json_text.refuse_deep(data)
    try:
        read = _ANSWER.decode(data)
    except msgspec.ValidationError as error:
        raise ValueError("not of this shape") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:  # the slow way, which also reads half surrogate pairs
            read = msgspec.convert(json_text.load(data), Answer)
        except msgspec.ValidationError as error:
            raise ValueError("not of this shape") from error
    if read.output is None or read.output.message is None or read.output.message.content is None:
        raise ValueError("not an answer of Converse")
    return read


def finish_reason(native: str) -> FinishReason:
    """The normal form of a stop reason; an unknown one counts as a regular stop."""
    return FINISHES.get(native, "stop")


def stop_sequence(further: Any) -> str | None:
    """Which stop text ended the answer, where the model was asked to say so."""
    found = further.get("stop_sequence") if isinstance(further, dict) else None
    return found if isinstance(found, str) else None


def usage_of(raw: Any) -> Usage | None:
    """Usage of a report; None if it is none. Cached tokens stand beside the input, as the sum tells; else within it."""
    if not isinstance(raw, dict) or (
        type(raw.get("inputTokens")) is not int and type(raw.get("outputTokens")) is not int
    ):
        return None
    fresh, output = _count(raw, "inputTokens"), _count(raw, "outputTokens")
    read, written = _count(raw, "cacheReadInputTokens"), _count(raw, "cacheWriteInputTokens")
    within = (read or written) and _count(raw, "totalTokens") == fresh + output and fresh >= read + written
    details = raw.get("cacheDetails")
    hour = sum(
        _count(each, "inputTokens")
        for each in (details if isinstance(details, list) else ())
        if isinstance(each, dict) and each.get("ttl") == "1h"
    )
    hour = min(hour, written)
    return Usage(
        prompt_tokens=fresh if within else fresh + read + written,
        completion_tokens=output,
        cached_tokens=read,
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
    )


def _count(members: dict[str, Any], name: str) -> int:
    value = members.get(name)
    return value if type(value) is int and 0 < value < _ABSURD else 0


def open_redacted(blob: str) -> str:
    """Encrypted thoughts as their maker sends them itself, so that Anthropic accepts them, too; else sealed as they are."""
    try:
        text = base64.b64decode(blob, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return SEALED_BY_BEDROCK + blob
    return text if text.isprintable() and text else SEALED_BY_BEDROCK + blob


def close_redacted(data: str) -> str:
    """What `open_redacted` was given."""
    if data.startswith(SEALED_BY_BEDROCK):
        return data.removeprefix(SEALED_BY_BEDROCK)
    return base64.b64encode(data.encode()).decode()


def is_sealed(data: str) -> bool:
    """Whether these are encrypted thoughts that only Bedrock can read."""
    return data.startswith(SEALED_BY_BEDROCK)


_PLACES = {
    "documentChar": ("char_location", "start_char_index", "end_char_index"),
    "documentPage": ("page_location", "start_page_number", "end_page_number"),
    "documentChunk": ("content_block_location", "start_block_index", "end_block_index"),
}


def citation(raw: Any) -> Any:
    """A citation in Anthropic's form, which is where Converse has its places from; one of another form stays as it is."""
    if not isinstance(raw, dict) or not isinstance(raw.get("location"), dict) or len(raw["location"]) != 1:
        return raw
    source = raw.get("sourceContent")
    pieces = source if isinstance(source, list) else ()
    cited = "".join(each["text"] for each in pieces if isinstance(each, dict) and isinstance(each.get("text"), str))
    ((place, where),) = raw["location"].items()
    if not isinstance(where, dict):
        return raw
    if place in _PLACES:
        kind, start, end = _PLACES[place]
        return {
            "type": kind,
            "cited_text": cited,
            "document_index": where.get("documentIndex", 0),
            "document_title": raw.get("title"),
            start: where.get("start"),
            end: where.get("end"),
        }
    if place == "searchResultLocation":
        return {
            "type": "search_result_location",
            "cited_text": cited,
            "source": raw.get("source") or "",
            "title": raw.get("title"),
            "search_result_index": where.get("searchResultIndex", 0),
            "start_block_index": where.get("start"),
            "end_block_index": where.get("end"),
        }
    if place == "web":
        return {
            "type": "web_search_result_location",
            "cited_text": cited,
            "url": where.get("url") or "",
            "title": raw.get("title") or where.get("domain"),
            "encrypted_index": "",
        }
    return raw
