"""The fake's Gemini `generateContent`: plain answers, streams, errors, and the tokens of service accounts."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

from behaviour import Behaviour
from speak_openai import arguments_of

_PATH = re.compile(r".*/models/([^/]+):(generateContent|streamGenerateContent)")
COUNTER = ":countTokens"
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


def model_in(path: str) -> str | None:
    """The model that an address of Gemini names; None for other addresses."""
    found = _PATH.fullmatch(path)
    return unquote(found[1]) if found else None


def streams(path: str) -> bool:
    """Whether an address asks for a stream."""
    return path.endswith(":streamGenerateContent")


def default_error(status: int) -> dict[str, Any]:
    """An error body as Google would word this status."""
    message = f"Scripted trouble with status {status}."
    return {"error": {"code": status, "message": message, "status": _STATUS_NAMES.get(status, "UNKNOWN")}}


def plain(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> dict[str, Any]:
    """A plain answer."""
    parts = _parts(behaviour, persona)
    body = _body(behaviour, number, parts, _finish(behaviour), usage(behaviour.usage))
    if body["candidates"]:
        body["candidates"] = [{**body["candidates"][0], "index": index} for index in range(_candidates(request))]
    return body


def frames(request: dict[str, Any], behaviour: Behaviour, persona: str, number: int) -> Iterator[tuple[str, bool]]:
    """The events of a stream, each with whether it is content. There is no terminator."""
    wanted = range(_candidates(request))
    for index, part in [(index, part) for index in wanted for part in _parts(behaviour, persona)]:
        texts = behaviour.text_pieces(part["text"]) if "text" in part else [None]
        for place, text in enumerate(texts):
            piece = part if text is None else {**part, "text": text}
            if place < len(texts) - 1:
                piece.pop("thoughtSignature", None)
            yield event(_body(behaviour, number, [piece], None, _so_far(behaviour), index)), True
    for index in wanted if not behaviour.no_done else ():
        yield event(_body(behaviour, number, [{"text": ""}], _finish(behaviour), usage(behaviour.usage), index)), False


def error_frame(error: Any) -> str:
    """An error inside a stream."""
    return event(error if error is not None else default_error(503))


def event(value: Any) -> str:
    """One event, with Google's line ends."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\r\n\r\n"


def count_tokens(request: dict[str, Any]) -> dict[str, Any]:
    """A token count: a quarter of the characters of the body."""
    return {"totalTokens": len(json.dumps(request)) // 4}


def usage(counts: dict[str, int] | None) -> dict[str, Any] | None:
    """Usage in Gemini's words: thoughts stand beside the answer's tokens, cached ones within the prompt's."""
    if counts is None:
        return None
    thoughts = counts.get("reasoning", 0)
    told = {
        "promptTokenCount": counts.get("prompt", 0),
        "candidatesTokenCount": counts.get("completion", 0) - thoughts,
        "totalTokenCount": counts.get("prompt", 0) + counts.get("completion", 0),
    }
    if thoughts:
        told["thoughtsTokenCount"] = thoughts
    if "cached" in counts:
        told["cachedContentTokenCount"] = counts["cached"]
    return told


def token(number: int) -> dict[str, Any]:
    """A fresh access token."""
    return {"access_token": f"ya29.fake-{number}", "expires_in": 3599, "token_type": "Bearer"}


def claims_of(form: Any) -> dict[str, Any]:
    """The claims of the assertion in a token request; its signature is not checked here."""
    claim = parse_qs(form)["assertion"][0].split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(claim + "=" * (-len(claim) % 4)))
    return found


def _body(
    behaviour: Behaviour,
    number: int,
    parts: list[dict[str, Any]],
    finish: str | None,
    counts: dict[str, Any] | None,
    index: int = 0,
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": index}
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    if finish is not None:
        candidate["finishReason"] = finish
        if behaviour.citations or (behaviour.usage or {}).get("searches"):
            candidate["groundingMetadata"] = _grounding(behaviour)
    if behaviour.logprobs and text:
        chosen = [{"token": piece, "logProbability": -0.25} for piece in behaviour.text_pieces(text)]
        candidate["logprobsResult"] = {"chosenCandidates": chosen if finish else [{**chosen[0], "token": text}]}
    body: dict[str, Any] = {"candidates": [] if behaviour.empty else [candidate]}
    if counts is not None:
        body["usageMetadata"] = counts
    return {
        **body,
        **behaviour.members,
        "modelVersion": behaviour.model or "fake",
        "responseId": behaviour.id or f"gemini-fake-{number}",
    }


def _so_far(behaviour: Behaviour) -> dict[str, Any] | None:
    """What a chunk in the middle tells of usage: the prompt."""
    return None if behaviour.usage is None else {"promptTokenCount": behaviour.usage.get("prompt", 0)}


def _candidates(request: dict[str, Any]) -> int:
    config = request.get("generationConfig") or {}
    return int(config.get("candidateCount") or 1)


def _grounding(behaviour: Behaviour) -> dict[str, Any]:
    """Sources of the first four bytes of the text."""
    chunks = [{"web": {"uri": each["url"], "title": each["title"]}} for each in behaviour.citations]
    segment = {"startIndex": 0, "endIndex": 4}
    searches = (behaviour.usage or {}).get("searches", 0)
    # Google's own lists hold empty and repeated queries, which it does not bill.
    queries = ["", *(f"query {place}" for place in range(searches)), "query 0"] if searches else []
    return {
        **({"webSearchQueries": queries} if queries else {}),
        "groundingChunks": chunks,
        "groundingSupports": [{"segment": segment, "groundingChunkIndices": list(range(len(chunks)))}],
    }


def _finish(behaviour: Behaviour) -> str:
    return behaviour.finish or "STOP"


def _parts(behaviour: Behaviour, persona: str) -> list[dict[str, Any]]:
    """The parts; `signature` stands on the first call, or on the text where there is none."""
    if behaviour.empty:
        return []
    parts: list[dict[str, Any]] = []
    if behaviour.thinking is not None:
        parts.append({"text": behaviour.thinking, "thought": True})
    text = behaviour.text
    if text is None and not behaviour.tool_calls:
        text = f"Hello from {persona}"
    parts += behaviour.blocks
    if text:
        parts.append({"text": text})
    for call in behaviour.tool_calls:
        function = {"name": call["name"], "args": json.loads(arguments_of(call) or "{}")}
        parts.append({"functionCall": {**function, **({"id": call["id"]} if "id" in call else {})}})
    if behaviour.signature is not None:
        signed = next((part for part in parts if "functionCall" in part), parts[-1])
        signed["thoughtSignature"] = behaviour.signature
    return parts
