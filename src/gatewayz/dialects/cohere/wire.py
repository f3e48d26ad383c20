"""What Cohere's chat answers with on the wire, and how its counts, reasons, citations and probabilities are read."""

from typing import Any

import msgspec

from gatewayz.core.chat import FinishReason
from gatewayz.core.usage import Usage
from gatewayz.dialects import json_text

NAME = "cohere"
_ABSURD = 2**40  # no answer has so many tokens; such a count is a provider's mistake

FINISHES: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
}
FAULTS = frozenset({"ERROR", "TIMEOUT"})  # the generation failed: no whole answer


class Message(msgspec.Struct):
    """The model's turn."""

    content: Any = None
    tool_plan: Any = None
    tool_calls: Any = None
    citations: Any = None


class Answer(msgspec.Struct):
    """A plain answer; `generation_id` is an older name of `id`."""

    id: Any = None
    message: Any = None
    finish_reason: Any = None
    usage: Any = None
    logprobs: Any = None
    error: Any = None


_ANSWER = msgspec.json.Decoder(Answer)


def answer(data: bytes) -> tuple[Answer, Message]:
    """The plain answer in `data` and the turn in it. Raises ValueError if it is none (an error, say)."""
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
    if not isinstance(read.message, dict):
        raise ValueError("not an answer of Cohere")
    return read, msgspec.convert(read.message, Message)


def finish_reason(native: str) -> FinishReason:
    """The normal form of a reason; an unknown one counts as a regular stop."""
    return FINISHES.get(native, "stop")


def usage_of(raw: Any) -> Usage | None:
    """Usage of a report as Cohere bills it; None if it is none.

    `billed_units` are what is paid: without the preamble that Cohere puts before each prompt, and with no rate of its own for
    cached tokens, which is why these are not told apart. `tokens` counts all; it serves where nothing is said of bills.
    """
    if not isinstance(raw, dict):
        return None
    counts = next((found for name in ("billed_units", "tokens") if _has_counts(found := raw.get(name))), None)
    if counts is None:
        return None
    output = _count(counts, "output_tokens")
    every = raw.get("tokens")
    thought = _count(every, "reasoning_tokens") if isinstance(every, dict) else 0
    return Usage(_count(counts, "input_tokens"), output, reasoning_tokens=min(thought, output))


def _has_counts(value: Any) -> bool:
    names = ("input_tokens", "output_tokens")
    return isinstance(value, dict) and any(isinstance(value.get(name), (int, float)) for name in names)


def _count(members: dict[str, Any], name: str) -> int:
    value = members.get(name)
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < _ABSURD
    return int(value) if usable else 0  # type: ignore[arg-type]  # Cohere's own type of it is a float


def annotations(raw: Any) -> tuple[Any, ...]:
    """A citation as annotations, one for each of its sources that has a form elsewhere.

    Cohere tells which words of the answer rest on which sources. A source with an address is OpenAI's `url_citation`, at these
    words; a document of the request is Anthropic's citation of a document, as a whole.
    """
    if not isinstance(raw, dict):
        return ()
    start, end = _place(raw, "start"), _place(raw, "end")
    sources = raw.get("sources")
    found = (_source(each, raw, start, end) for each in (sources if isinstance(sources, list) else ()))
    return tuple(each for each in found if each is not None)


def _source(source: Any, citation: dict[str, Any], start: int, end: int) -> dict[str, Any] | None:
    if not isinstance(source, dict):
        return None
    held = source.get("document") if source.get("type") == "document" else source.get("tool_output")
    data: dict[str, Any] = held if isinstance(held, dict) else {}
    title = data.get("title") if isinstance(data.get("title"), str) else None
    if isinstance(data.get("url"), str):
        inner = {"start_index": start, "end_index": end, "url": data["url"], "title": title or ""}
        return {"type": "url_citation", "url_citation": inner}
    name = str(source.get("id") or "")
    if source.get("type") == "document":
        text = next(
            (data[member] for member in ("text", "snippet", "content") if isinstance(data.get(member), str)), ""
        )
        return {
            "type": "char_location",
            "cited_text": text,
            "document_index": int(name) if name.isdecimal() else 0,
            "document_title": title,
            "start_char_index": 0,
            "end_char_index": len(text),
        }
    cited = citation.get("text")
    return {
        "type": "tool_result_location",
        "cited_text": cited if isinstance(cited, str) else "",
        "source": name,
        "start_index": start,
        "end_index": end,
    }


def _place(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    return value if type(value) is int and value >= 0 else 0


def logprobs(raw: Any) -> dict[str, Any] | None:
    """Probabilities in OpenAI's form: an entry for each piece of text, with the sum over its tokens; None if there are none."""
    items = raw if isinstance(raw, list) else [raw]
    content = [entry for item in items if (entry := _logprob(item)) is not None]
    return {"content": content, "refusal": None} if content else None


def _logprob(item: Any) -> dict[str, Any] | None:
    if not isinstance(item, dict) or not isinstance(item.get("text"), str):
        return None
    values = item.get("logprobs")
    numbers = [
        value
        for value in (values if isinstance(values, list) else ())
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    text = item["text"]
    return {
        "token": text,
        "logprob": float(sum(numbers)),
        "bytes": list(text.encode("utf-8", "surrogatepass")),
        "top_logprobs": [],
    }
